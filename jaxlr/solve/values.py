"""From sums over rows to what the solver decides by, in NumPy on the host or in JAX, compiled."""

from typing import Any, NamedTuple

import numpy as np

from jaxlr.solve.scaling import Scaling


class Values(NamedTuple):
    """What one read says of k models: objective (k,), gradient (k, p), and of the labels.

    ``separates`` (k,): every row is on its label's side, and no penalty holds the parameters
    back; ``one_label`` (k,): there is but one label, or a class has no row, and an intercept to run
    away with. Either proves that there is no finite optimum.
    """

    J: np.ndarray
    g: np.ndarray
    separates: np.ndarray
    one_label: np.ndarray

    @classmethod
    def of(cls, total: Any, u: Any, scaling: Scaling, penalty: Any, l2: Any) -> "Values":
        """Values at u (k, p) from the `batch.GradientSums` of k models, their penalties added."""
        J = total.L / total.s + 0.5 * (penalty * u**2).sum(axis=1)
        s = total.s.reshape(-1, *[1] * (total.db.ndim - 1))
        g = scaling.gradient(total.dw / s[..., None], total.db / s) + penalty * u
        missing = (total.ones == 0) | (total.zeros == 0)
        one_label = missing.reshape(len(J), -1).any(axis=1) & scaling.intercept
        return cls(J, g, (total.undecided == 0) & (l2 == 0), one_label)

    @property
    def hopeless(self) -> np.ndarray:
        """Whether there is proof that no finite optimum exists, (k,)."""
        return self.separates | self.one_label
