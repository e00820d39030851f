"""Mistakes in species of matrix products: matmul, the network, the recurrence."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from zoo.elementwise import odds
from zoo.recurrent import LEAK, scan_back
from zoo.species import Context, Fault, dot, wide


def _not_transposed(_: Array, k: Context) -> Array:
    return dot(wide(k.cotangent), wide(k.saved[1]))


def _product_in_half(_: Array, k: Context) -> Array:
    A, c = (v.astype(jnp.bfloat16) for v in (k.saved[0], k.cotangent))
    return jnp.dot(A.T, c, preferred_element_type=jnp.float32).astype(wide(k.saved[0]).dtype)


def _column_sums(v: Array, k: Context) -> Array:
    return jnp.sum(wide(k.saved[0]), axis=0)[:, None] * jnp.mean(wide(k.cotangent), 0)[None] + 0 * v


def _other_label(_: Array, k: Context) -> Array:
    assert k.value is not None
    assert k.labels is not None
    a = 1 / (1 + jnp.exp(-k.value))
    return wide(k.cotangent) / k.value.size * (a - (1 - k.labels))


def _kept(v: Array, k: Context) -> Array:
    assert k.labels is not None
    return jnp.where(k.labels == 1, v, 0)  # the loss of label 0 forgotten


def _slope_instead(kind: str) -> Callable[[Array, Context], Array]:
    def build(_: Array, k: Context) -> Array:
        assert k.value is not None
        z, right = k.value, _slope(k.value)
        wrong = {
            "1 - a": 1 - jnp.tanh(z),
            "1 - z^2": 1 - z * z,
            "(1 - a)^2": (1 - jnp.tanh(z)) ** 2,
            "relu": (z > 0).astype(z.dtype),
            "sigmoid": 1 / (2 + 2 * jnp.cosh(z)),
            "z near 0": jnp.where(jnp.abs(z) < 0.5, 1 - z * z, right),
            "constant": lax.stop_gradient(right),
        }[kind]
        return _da1(k) * wrong

    return build


def _da1(k: Context) -> Array:
    params, _, t, _, z2 = k.saved
    side = (1 - 2 * t).astype(z2.dtype)
    p, q = odds(side * z2)
    dz2 = wide(k.cotangent) / z2.size * (side * p / (p + q))
    return dz2[:, None] * wide(params["w2"])[None]


def _slope(z: Array) -> Array:
    e = jnp.exp(-2 * jnp.abs(z))
    return 4 * e / (1 + e) ** 2


def _recurrence(k: Context) -> tuple[Array, Array, Array]:
    args, _, z = k.saved
    return wide(k.cotangent), z, wide(args[2])


def _not_through_time(_: Array, k: Context) -> Array:
    c, z, _ = _recurrence(k)
    return LEAK * c * _slope(z)


def _cut_after_eight(_: Array, k: Context) -> Array:
    c, z, U = _recurrence(k)
    parts = [scan_back(c[i : i + 8], z[i : i + 8], U)[0] for i in range(0, len(c), 8)]
    return jnp.concatenate(parts)  # blocks of eight steps that do not see each other


def _from_the_front(_: Array, k: Context) -> Array:
    c, z, U = _recurrence(k)
    return scan_back(c[::-1], z[::-1], U)[0][::-1]


def _U_not_transposed(_: Array, k: Context) -> Array:
    c, z, U = _recurrence(k)
    return scan_back(c, z, U.T)[0]


def _no_recurrent_weights(_: Array, k: Context) -> Array:
    c, z, U = _recurrence(k)
    return scan_back(c, z, jnp.zeros_like(U))[0]


def _U_constant(_: Array, k: Context) -> Array:
    c, z, U = _recurrence(k)
    return scan_back(c, z, lax.stop_gradient(U))[0]


def _leak_forgotten(v: Array, _: Context) -> Array:
    return v / LEAK


def _leak_mirrored(v: Array, _: Context) -> Array:
    return v * (1 - LEAK) / LEAK


def _states_after(_: Array, k: Context) -> Array:
    before = k.saved[1]
    du = scan_back(*_recurrence(k))[0]
    return dot(jnp.roll(before, -1, 0).T, du)


def _first_step_lost(_: Array, k: Context) -> Array:
    assert k.summands is not None
    return jnp.sum(k.summands()[1:], axis=0)


def _first_state_as_input(_: Array, k: Context) -> Array:
    return wide(k.cotangent)[0]


FAULTS = (
    Fault("matmul", "dA", "B not transposed", _not_transposed),
    Fault("matmul", "dB", "product in bfloat16", _product_in_half, "accuracy"),
    Fault("matmul", "dB", "product of sums", _column_sums),
    Fault("network", "dz2", "labels exchanged", _other_label),
    Fault("network", "dz2", "loss of label 0 forgotten", _kept, "label 0"),
    *(
        Fault("network", "dz1", f"slope of tanh as {kind}", _slope_instead(kind), shows)
        for kind, shows in (
            ("1 - a", "anywhere"),
            ("1 - z^2", "anywhere"),
            ("(1 - a)^2", "anywhere"),
            ("relu", "anywhere"),
            ("sigmoid", "anywhere"),
            ("z near 0", "accuracy"),
            ("constant", "order 2"),
        )
    ),
    Fault("recurrence", "du", "not through time", _not_through_time, "n > 1"),
    Fault("recurrence", "du", "cut after eight steps", _cut_after_eight, "n > 8"),
    Fault("recurrence", "du", "from the front", _from_the_front, "n > 1"),
    Fault("recurrence", "du", "U not transposed", _U_not_transposed, "n > 1"),
    Fault("recurrence", "du", "no way through U", _no_recurrent_weights, "n > 1"),
    Fault("recurrence", "du", "U taken as constant", _U_constant, "order 2"),
    Fault("recurrence", "du", "leak forgotten", _leak_forgotten),
    Fault("recurrence", "du", "leak mirrored", _leak_mirrored),
    Fault("recurrence", "dU", "states of the step after", _states_after),
    Fault("recurrence", "dU", "first step lost", _first_step_lost),
    Fault("recurrence", "dh0", "cotangent of the first state", _first_state_as_input),
)
