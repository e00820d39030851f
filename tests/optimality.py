"""What an optimum of scikit-learn's objective must be like, by NumPy."""

from typing import NamedTuple

import numpy as np
from scipy import optimize, special


class Problem(NamedTuple):
    """Rows, labels and weights, and the options of an estimator."""

    X: np.ndarray
    y: np.ndarray
    s: np.ndarray | None
    options: dict


class Conditions:
    """The objective of a problem by NumPy, in standardised features; m is 1 for two classes."""

    def __init__(self, problem):
        X, y, s, options = problem
        self.K = len(np.unique(y))
        s = np.ones(len(y)) if s is None else s
        if options["class_weight"] == "balanced":
            s = s * (s.sum() / (self.K * np.bincount(y, s)))[y]
        elif options["class_weight"]:
            s = s * np.array([options["class_weight"][k] for k in range(self.K)])[y]
        self.s = s / s.sum()
        self.intercept = options["fit_intercept"]
        self.center = self.s @ X if self.intercept else np.zeros(X.shape[1])
        self.scale = np.sqrt(self.s @ (X - self.center) ** 2)
        ones = np.ones((len(y), int(self.intercept)))
        self.U = np.column_stack([(X - self.center) / self.scale, ones])
        self.m = 1 if self.K == 2 else self.K
        self.y, self.labels = y, np.eye(self.K)[y][:, self.K - self.m :]
        r, strength = options["l1_ratio"], 1 / (options["C"] * s.sum())
        none = ones[0] * 0  # of the intercept
        self.l1 = np.append(r * strength / self.scale, none)
        self.l2 = np.append((1 - r) * strength / self.scale**2, none)

    def point(self, model):
        """Coefficients v = w scale (m, p) of a model, the intercept last."""
        v, b = model.coef_ * self.scale, model.intercept_ + model.coef_ @ self.center
        return np.column_stack([v, b]) if self.intercept else v

    def predictors(self, v):
        z = self.U @ v.T
        return np.column_stack([0 * z, z]) if self.m == 1 else z

    def objective(self, v):
        z = self.predictors(v)
        L = special.logsumexp(z, axis=1) - z[np.arange(len(z)), self.y]
        return self.s @ L + np.sum(self.l2 * v**2) / 2 + np.sum(self.l1 * abs(v))

    def step(self, v):
        """Gradient and Newton's step among the coefficients that are not 0; the others' slack."""
        a = special.softmax(self.predictors(v), axis=1)[:, self.K - self.m :]
        dv = ((a - self.labels) * self.s[:, None]).T @ self.U + self.l2 * v
        free = ((v != 0) | (self.l1 == 0)).ravel()
        d2z = a[:, :, None] * (np.eye(self.m) - a[:, None, :]) * self.s[:, None, None]
        H = np.einsum("ni,njk,nl->jikl", self.U, d2z, self.U).reshape(v.size, v.size)
        H += np.diag(np.broadcast_to(self.l2, v.shape).ravel())
        g = (dv + np.sign(v) * self.l1).ravel()[free]
        H = H[np.ix_(free, free)]
        root = np.sqrt(np.diag(H))
        step = np.linalg.lstsq(H / np.outer(root, root), -g / root, rcond=1e-11)[0] / root
        slack = (np.broadcast_to(self.l1, v.shape) - abs(dv)).ravel()[~free]
        return g, step, slack

    def hold(self, v):
        """Whether v is an optimum, to 1e-6 of the largest coefficient."""
        g, step, slack = self.step(v)
        still = abs(step).max(initial=0) <= 1e-6 * abs(v).max() + 1e-12
        return still and abs(g).max(initial=0) <= 1e-9 and slack.min(initial=0) >= -1e-9

    def separable(self):
        """Whether a direction takes no row away from its label, and some towards it."""
        U, y = self.U[self.s > 0], self.y[self.s > 0]
        unit = np.eye(self.K)
        others = [(i, k) for i in range(len(y)) for k in range(self.K) if k != y[i]]
        A = np.array([np.kron(unit[y[i]] - unit[k], U[i]) for i, k in others])
        # The most of sum t, for 0 <= t <= 1 and t <= A v.
        none, one = np.zeros(A.shape[1]), np.ones(len(A))
        bounds = [(None, None)] * A.shape[1] + [(0, 1)] * len(A)
        conditions = np.column_stack([-A, np.eye(len(A))])
        found = optimize.linprog(np.append(none, -one), conditions, 0 * one, bounds=bounds)
        assert found.status == 0, found.message
        return -found.fun > 0.5
