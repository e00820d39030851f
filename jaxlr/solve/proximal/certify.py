"""From where the way of a model ended to what may be claimed of it."""

import numpy as np

from jaxlr.core import Params
from jaxlr.solve.certify import status_of
from jaxlr.solve.clock import Clock
from jaxlr.solve.proximal.descent import Descent
from jaxlr.solve.proximal.gap import duality_gap
from jaxlr.solve.proximal.penalty import ElasticNet
from jaxlr.solve.result import PROXIMAL, Certificate, host_params


@np.errstate(over="ignore", invalid="ignore")  # what is not finite has failed
def certify(descent: Descent, penalty: ElasticNet, tol: float, clock: Clock) -> Certificate:
    """Certificate of a model for the penalty that it was last solved for."""
    here, u = descent.look(), descent.u
    scaling, of = descent.loss.scaling, descent.loss.of_features
    size = float(penalty.violation(u, here.g).max(initial=0))
    dw, db = scaling.raw_gradient(here.g[None])
    scale = scaling.scale[0]
    raw = ElasticNet(of(penalty.l1) * scale, of(penalty.l2) * scale**2)
    violation = raw.violation(of(u) / scale, dw.reshape(descent.loss.classes, -1))
    J = here.loss + penalty.of_place(u)
    return Certificate(
        status=status_of(J, size, tol, separated=here.one_label),
        objective=float(J),
        gradient=size,
        raw_gradient=float(max(violation.max(initial=0), abs(db).max())),
        gap=duality_gap(penalty, u, here, descent.set),
        steps=descent.steps - descent.before.steps,
        reads=descent.reads - descent.before.reads,
        method=PROXIMAL,
        compile_seconds=clock.compile,
        run_seconds=clock.run,
        runaway=(-1,) if here.one_label else (),
        one_label=here.one_label,
        stuck=descent.stuck,
    )


def params_of(descent: Descent) -> Params:
    """Parameters w and b of a model; what is 0 is exactly 0."""
    w, b = descent.loss.scaling.to_raw(descent.u[None])
    # What is added to the intercepts of all classes changes nothing; of coefficients it would l1.
    return host_params(w[0], b[0] - b[0].mean() if b.ndim > 1 else b[0])
