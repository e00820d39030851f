"""How good a model is on rows: loss, accuracy, area under the ROC curve, Brier score."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from jaxlr import batch, shard
from jaxlr.core import Params
from jaxlr.data import Block, Dataset
from jaxlr.extras import extra
from jaxlr.run.ranking import Ranking

Scores = dict[str, Any]  # numbers, or None; and under ROC_AUC_WHY, why there is no area
ROC_AUC_WHY = "roc_auc_why"


def evaluate(params: Params, rows: Dataset) -> Scores:
    """Loss (nats), accuracy, area under the ROC curve and Brier score of a model on rows.

    Each row counts by its weight. With soft labels, accuracy and the area are None; so is the area
    with one label only.
    """
    own = batch.probabilities(params, rows.X) if len(rows.X) else ()  # one of several may have none
    a = shard.join(np.asarray(own, np.float64))
    y = shard.join(rows.y.astype(np.float64))
    s = None if rows.weight is None else shard.join(rows.weight.astype(np.float64))
    hard = bool(np.isin(y, (0, 1)).all())
    return {
        "loss": _loss(params, rows),
        "accuracy": float(np.average((a >= 0.5) == y, weights=s)) if hard else None,
        "roc_auc": _area(y, a, s) if hard else None,
        "brier": float(np.average((a - y) ** 2, weights=s)),
    }


class Scoring:
    """`evaluate` of rows that pass by in blocks; without a ``ranking``, there is no area."""

    def __init__(self, ranking: Ranking | None = None) -> None:
        self.ranking, self.hard = ranking, True
        self.total = np.zeros(4)  # of the weights, and weighted: losses, right answers, squares

    def add(self, L: np.ndarray, z: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        """Add rows: losses, scores w . x + b, labels and weights, (m,) each."""
        a = np.where(z >= 0, 1, np.exp(-abs(z))) / (1 + np.exp(-abs(z)))
        self.hard &= bool(np.isin(y, (0, 1)).all())
        self.total += [s.sum(), s @ L, s @ ((z >= 0) == y), s @ (a - y) ** 2]
        if self.ranking and self.hard:
            self.ranking.add(z, y, s)

    def finish(self) -> Scores:
        """Return what the rows say."""
        s, loss, right, square = self.total.tolist()
        area, why = None, None
        if self.ranking and self.hard:
            area, why = self.ranking.area(), self.ranking.lost
        elif self.ranking:
            self.ranking.close()
        return {
            "loss": loss / s,
            "accuracy": right / s if self.hard else None,
            "roc_auc": area,
            "brier": square / s,
            **({ROC_AUC_WHY: why} if why else {}),
        }


def score_blocks(
    params: Params, blocks: Iterable[tuple[Block, np.ndarray]], scorings: dict[int, Scoring]
) -> None:
    """Score rows, each into the `Scoring` of its code; codes (m,) come with the blocks."""
    for block, codes in blocks:
        assert block.y is not None
        found = batch.scores_of_rows(params, *map(shard.put, (block.X, block.y)))
        L, z = (np.asarray(v, np.float64)[: len(codes)] for v in jax.device_get(found))
        y = block.y.astype(np.float64)[: len(codes)]
        s = np.ones(len(y)) if block.weight is None else block.weight.astype(np.float64)
        for code, scoring in scorings.items():
            rows = np.flatnonzero((codes == code) & (s[: len(codes)] > 0))
            if len(rows):
                scoring.add(L[rows], z[rows], y[rows], s[rows])


def _loss(params: Params, rows: Dataset) -> float:
    """Mean loss of the rows of all processes, of which some may have rows of weight 0 only."""
    s = float(len(rows.y) if rows.weight is None else rows.weight.sum(dtype=np.float64))
    loss = float(batch.loss(params, rows.X, rows.y, rows.weight)) if s else 0.0
    if shard.host_count() == 1:
        return loss
    total, weight = shard.add_up(np.array([s * loss, s])).tolist()
    return total / weight


def _area(y: np.ndarray, scores: np.ndarray, s: np.ndarray | None) -> float | None:
    used: Any = slice(None) if s is None else s > 0
    if len(np.unique(y[used])) < 2:
        return None
    with extra("data"):
        from sklearn.metrics import roc_auc_score
    return float(roc_auc_score(y, scores, sample_weight=s))
