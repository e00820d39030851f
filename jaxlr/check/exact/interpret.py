"""A jaxpr run on numbers of any precision, one equation after the other.

What has no floating-point number in it (indices, labels, random bits) is left to JAX.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxprs_in_params

from jaxlr.check.exact import elementwise, reductions, structure
from jaxlr.check.exact.arrays import exact, is_exact, is_floating
from jaxlr.check.exact.functions import Functions

_MOST_TURNS = 100_000  # of a while loop: one that waits for rounding to stop it may never end
_RULES = {**elementwise.RULES, **reductions.RULES, **structure.RULES}
_CALLS = {
    "jit", "pjit", "closed_call", "core_call", "core_closed_call", "call", "remat", "remat2",
    "checkpoint", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr",
}  # fmt: skip
_JAXPRS = "jaxpr", "call_jaxpr", "fun_jaxpr"  # where a call keeps what it calls, by age


class Unsupported(NotImplementedError):  # noqa: N818 -- says what the primitive is
    """A primitive that has no rule in arbitrary precision; names it and its place."""


class Interpreter:
    """Run jaxprs with the operations of ``on``.

    Attributes
    ----------
    record : dict
        Values named by ``checkpoint_name``, appended as they are computed.
    tie : str or None
        First comparison of numbers that are equal but for rounding.
    """

    def __init__(self, on: Functions, record: dict[str, list[Any]]) -> None:
        self.on = on
        self.record = record
        self.tie: str | None = None
        self._inside: list[JaxprEqn] = []
        self.control: dict[str, Callable[..., Any]] = {
            "cond": self._cond,
            "while": self._while,
            "scan": self._scan,
            **dict.fromkeys(_CALLS, self._call),
        }

    def run(self, closed: ClosedJaxpr | Jaxpr, inputs: Sequence[Any]) -> list[Any]:
        """Return outputs: floating-point ones as arrays of raw numbers, others as NumPy's."""
        jaxpr, consts = _open(closed)
        return self.run_open(jaxpr, map(ingest, consts), inputs)

    def run_open(self, jaxpr: Jaxpr, consts: Iterable[Any], inputs: Sequence[Any]) -> list[Any]:
        """Return outputs, as ``run`` does, for constants that have been ingested."""
        values = dict(zip(jaxpr.constvars, consts, strict=True))
        values.update(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: Any) -> Any:
            if isinstance(atom, Literal):
                return ingest(np.asarray(atom.val, atom.aval.dtype))  # pyright: ignore
            return values[atom]

        for eqn in jaxpr.eqns:
            outputs = self._equation(eqn, [read(v) for v in eqn.invars])
            values.update(zip(eqn.outvars, outputs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _equation(self, eqn: JaxprEqn, inputs: list[Any]) -> Sequence[Any]:
        name = eqn.primitive.name
        if not _has_floats(eqn):
            outputs = eqn.primitive.bind(*inputs, **eqn.params)
        elif name in self.control:
            self._inside.append(eqn)
            outputs = self.control[name](eqn, *inputs)
            self._inside.pop()
            return outputs
        elif name in structure.BY_PRIMITIVE:
            rule = structure.BY_PRIMITIVE[name]
            outputs = rule(self.on, eqn.params, *inputs, primitive=eqn.primitive)
        elif name in _RULES:
            outputs = _RULES[name](self.on, eqn.params, *inputs)
        elif not any(map(is_exact, inputs)) and not _inner(eqn):
            outputs = eqn.primitive.bind(*inputs, **eqn.params)  # floats made of bits
        else:
            raise Unsupported(f"{name} has no rule in arbitrary precision, at {self._place(eqn)}")
        if self.on.tied and self.tie is None:
            self.tie = f"{name} at {self._place(eqn)}"
        outputs = outputs if eqn.primitive.multiple_results else [outputs]
        outputs = [ingest(v) for v in outputs]
        if name == "name":
            self.record.setdefault(eqn.params["name"], []).extend(outputs)
        return outputs

    def _place(self, eqn: JaxprEqn) -> str:
        known = (place(e) for e in (eqn, *reversed(self._inside)))
        return next(filter(None, known), "a place that JAX did not record")

    def _call(self, eqn: JaxprEqn, *inputs: Any) -> list[Any]:
        return self.run(next(eqn.params[k] for k in _JAXPRS if k in eqn.params), inputs)

    def _cond(self, eqn: JaxprEqn, which: Any, *inputs: Any) -> list[Any]:
        branches = eqn.params["branches"]
        return self.run(branches[int(np.clip(int(which), 0, len(branches) - 1))], inputs)

    def _while(self, eqn: JaxprEqn, *inputs: Any) -> list[Any]:
        params = eqn.params
        split = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        cond, body, carry = inputs[: split[0]], inputs[split[0] : split[1]], inputs[split[1] :]
        for _ in range(_MOST_TURNS):
            if not bool(self.run(params["cond_jaxpr"], [*cond, *carry])[0]):
                return list(carry)
            carry = self.run(params["body_jaxpr"], [*body, *carry])
        raise Unsupported(f"while has not ended after {_MOST_TURNS} turns, at {self._place(eqn)}")

    def _scan(self, eqn: JaxprEqn, *inputs: Any) -> list[Any]:
        params = eqn.params
        split = params["num_consts"], params["num_consts"] + params["num_carry"]
        consts, carry, over = inputs[: split[0]], inputs[split[0] : split[1]], inputs[split[1] :]
        turns = range(params["length"])
        columns = []
        for i in reversed(turns) if params["reverse"] else turns:
            outputs = self.run(params["jaxpr"], [*consts, *carry, *(_row(v, i) for v in over)])
            carry, column = outputs[: params["num_carry"]], outputs[params["num_carry"] :]
            columns.append(column)
        if params["reverse"]:
            columns.reverse()
        avals = [v.aval for v in eqn.outvars[params["num_carry"] :]]
        stacked = [_stack([column[k] for column in columns], aval) for k, aval in enumerate(avals)]
        return [*carry, *stacked]


def place(eqn: JaxprEqn) -> str | None:
    """File, line and function that made an equation, where JAX has recorded a user's."""
    traceback = eqn.source_info.traceback
    packages = {str(Path(package.__file__).parent) for package in (jax, np)}  # pyright: ignore
    packages.add(str(Path(__file__).parent))
    for frame in traceback.frames if traceback else ():
        if not any(frame.file_name.startswith(package) for package in packages):
            where = f"{frame.file_name}:{frame.line_num}"
            return f"{where} ({frame.function_name})"
    return None


def _open(closed: ClosedJaxpr | Jaxpr) -> tuple[Jaxpr, Sequence[Any]]:
    return (closed.jaxpr, closed.consts) if isinstance(closed, ClosedJaxpr) else (closed, ())


def ingest(v: Any) -> Any:
    """Take floats as raw numbers, other arrays as NumPy's, keys as they are."""
    if is_exact(v) or jnp.issubdtype(v.dtype, jax.dtypes.extended):
        return v
    if jnp.issubdtype(v.dtype, jnp.complexfloating):
        raise Unsupported("complex numbers have no rules in arbitrary precision")
    v = np.asarray(v)
    return exact(v) if is_floating(v.dtype) else v


def _inner(eqn: JaxprEqn) -> list[Jaxpr]:
    return list(jaxprs_in_params(eqn.params))


def _has_floats(eqn: JaxprEqn) -> bool:
    """Whether anything in an equation, or in what it calls, is a floating-point number."""
    atoms = [*eqn.invars, *eqn.outvars]
    if any(hasattr(v.aval, "dtype") and _is_number(v.aval.dtype) for v in atoms):  # pyright: ignore
        return True
    return any(_has_floats(inner) for jaxpr in _inner(eqn) for inner in jaxpr.eqns)


def _is_number(dtype: Any) -> bool:
    return is_floating(dtype) or jnp.issubdtype(dtype, jnp.complexfloating)


def _row(v: Any, i: int) -> Any:
    return v[i : i + 1].reshape(v.shape[1:]) if isinstance(v, np.ndarray) else v[i]


def _stack(rows: list[Any], aval: Any) -> Any:
    if not rows:
        return np.empty(aval.shape, object if is_floating(aval.dtype) else aval.dtype)
    stack = np.stack if isinstance(rows[0], np.ndarray) else jnp.stack
    return stack(rows)
