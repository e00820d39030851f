"""What a cross-validation found, the best of it, and both as scikit-learn's attributes."""

from typing import Any, NamedTuple

import numpy as np

from jaxlr.estimator.grid import Grid
from jaxlr.estimator.penalty import Penalty


class Best(NamedTuple):
    """The penalty that was chosen (an average with ``refit=False``), and the mean of its models.

    ``coef`` (m, d), ``intercept`` (m,).
    """

    penalty: Penalty
    coef: np.ndarray
    intercept: np.ndarray


class Search(NamedTuple):
    """What a cross-validation found, for F folds, R shares of L1 and values of C (L,).

    ``scores`` and ``n_iter`` (F, R, L), and ``paths`` (F, R, L, m, p): coefficients, and with an
    ``intercept`` that last.
    """

    Cs: np.ndarray
    ratios: np.ndarray
    scores: np.ndarray
    n_iter: np.ndarray
    paths: np.ndarray
    intercept: bool

    @classmethod
    def of(
        cls, grid: Grid, scores: np.ndarray, Cs: np.ndarray, ratios: list[float], *, intercept: bool
    ) -> "Search":
        """Give the models of a grid, and their scores (F, R L), the axes of folds, R and L."""
        w = [grid.coef, grid.intercept[..., None]] if intercept else [grid.coef]
        paths = np.concatenate(w, axis=-1)
        shape = len(scores), len(ratios), len(Cs)
        steps = np.array([c.steps for c in grid.certificates], np.int32)
        return cls(
            Cs,
            np.array(ratios),
            scores.reshape(shape),
            steps.reshape(shape),
            paths.reshape(*shape, *paths.shape[2:]),
            intercept,
        )

    def best(self, *, refit: bool) -> Best:
        """Choose by the sum of the scores of all folds; or in each, and average."""
        by_C = self.scores.swapaxes(1, 2)  # of equal scores the first C is taken
        F, L, R = by_C.shape
        if refit:
            C, ratio = np.unravel_index(np.argmax(by_C.sum(axis=0)), (L, R))
            return self._mean(Penalty(self.Cs[C], self.ratios[ratio]), self.paths[:, ratio, C])
        C, ratio = np.unravel_index(np.argmax(by_C.reshape(F, -1), axis=1), (L, R))
        penalty = Penalty(float(np.mean(self.Cs[C])), float(np.mean(self.ratios[ratio])))
        return self._mean(penalty, self.paths[np.arange(F), ratio, C])

    def _mean(self, penalty: Penalty, of_folds: np.ndarray) -> Best:
        w = of_folds.mean(axis=0)
        return Best(penalty, *((w[:, :-1], w[:, -1]) if self.intercept else (w, np.zeros(len(w)))))

    def simple(self, best: Penalty, *, given: bool) -> dict[str, Any]:
        """Attributes with ``use_legacy_attributes=False``."""
        return {
            "C_": float(best.C),
            "l1_ratio_": float(best.l1_ratio),
            "l1_ratios_": self.ratios if given else np.array([None]),
            "scores_": self.scores,
            "n_iter_": self.n_iter,
            "coefs_paths_": self.paths,
        }

    def legacy(self, best: Penalty, classes: np.ndarray, *, given: bool) -> dict[str, Any]:
        """Attributes with ``use_legacy_attributes=True``: most of them once for each class."""
        names = classes[1:] if len(classes) == 2 else classes
        C, ratio = np.full(len(names), best.C), np.full(len(names), best.l1_ratio)
        scores, n_iter = self.scores.swapaxes(1, 2), self.n_iter.swapaxes(1, 2)[None]
        paths = np.moveaxis(self.paths, 3, 0).swapaxes(2, 3)  # (m, F, L, R, p)
        if not given:
            scores, n_iter, paths = scores[:, :, 0], n_iter[..., 0], paths[:, :, :, 0]
        return {
            "C_": C,
            "l1_ratio_": ratio if given else np.full(len(names), None),
            "l1_ratios_": self.ratios if given else np.array([None]),
            "scores_": dict.fromkeys(names, scores),
            "n_iter_": n_iter,
            "coefs_paths_": dict(zip(names, paths, strict=True)),
        }
