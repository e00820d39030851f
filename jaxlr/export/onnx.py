"""ONNX: the graph of the probabilities, node by node, in the letters of `core`."""

import json
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from jaxlr.export.parameters import centred, check_names
from jaxlr.extras import extra
from jaxlr.run import Model

# The oldest opset in which each operator here has the form that it still has (Squeeze takes its
# axes as an input), so that old runtimes read it too. IR 7 is of the same time.
OPSET, IR = 13, 7
_README = (
    "z = w . (x - mean) + b; probabilities (1 - sigma(z), sigma(z)) of labels 0 and 1, from "
    "e = exp(-|z|): (e, 1) / (1 + e) if z >= 0, else (1, e) / (1 + e). X: raw features, finite, "
    "columns as in the metadata (features)."
)
# Operator, inputs, output, attributes; shapes (n, 1) but for the first and the last few.
_NODES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Sub", "X mean", "centred", {}),  # (n, d)
    ("Gemm", "centred w b", "z", {}),
    ("Abs", "z", "size", {}),
    ("Neg", "size", "exponent", {}),
    ("Exp", "exponent", "e", {}),
    ("GreaterOrEqual", "z zero", "positive", {}),
    ("Where", "positive one e", "p", {}),
    ("Where", "positive e one", "q", {}),
    ("Add", "one e", "total", {}),
    ("Div", "q total", "a0", {}),
    ("Div", "p total", "a1", {}),
    ("Concat", "a0 a1", "probabilities", {"axis": 1}),  # (n, 2)
    ("GreaterOrEqual", "a1 half", "likelier", {}),
    ("Cast", "likelier", "column", {"to": 7}),  # int64
    ("Squeeze", "column axis", "index", {}),  # (n,)
    ("Gather", "labels index", "label", {}),  # (n,)
)


def to_onnx(model: Model, dtype: Literal["float32", "float64"] = "float32") -> bytes:
    """Write a model as ONNX, with the outputs that classifiers of scikit-learn have there.

    ``z = w . (x - mean) + b;  e = exp(-|z|);  a = (1 or e) / (1 + e)``

    Parameters
    ----------
    model : Model
        For raw features.
    dtype : {"float32", "float64"}
        Type of X and of the probabilities.

    Returns
    -------
    bytes
        Of a graph from ``X`` (n, d), with any n, to ``label`` (n,), text, and ``probabilities``
        (n, 2) of label 0 and label 1. The metadata has ``features`` and ``labels`` as JSON.

    Raises
    ------
    ExportError
        If a parameter is beyond the range of ``dtype``, or a name no Unicode text.

    Notes
    -----
    Opset 13: the oldest in which each operator has the form that it still has; onnxruntime has it
    since 1.7. The operator Sigmoid is not used: that of onnxruntime is 0 at z = -20 in float32, and
    at -50 in float64. Through the odds both probabilities keep their digits until they underflow.
    A value of X that is NaN gives the probabilities NaN and label 0: a graph cannot refuse it.

    Examples
    --------
    >>> import onnx
    >>> names = {"features": ("x",), "labels": ("no", "yes")}
    >>> model = Model(np.array([2.0]), np.array(0.0), np.zeros(1), np.ones(1), **names)
    >>> graph = onnx.load_from_string(to_onnx(model))
    >>> {entry.key: entry.value for entry in graph.metadata_props}
    {'features': '["x"]', 'labels': '["no", "yes"]'}
    """
    with extra("onnx"):
        from onnx import checker, helper
    check_names(model)
    graph = helper.make_graph(
        [helper.make_node(op, i.split(), [o], **at) for op, i, o, at in _NODES],
        "jaxlr",
        *_ends(dtype, len(model.features)),
        initializer=_constants(model, dtype),
    )
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="jaxlr",
        producer_version=version("jaxlr"),
        doc_string=_README,
    )
    names: dict[str, Any] = {"features": model.features, "labels": model.labels}
    if model.encoding is not None:
        names["encoding"] = json.loads(model.encoding.to_json())
    helper.set_model_props(proto, {name: json.dumps(v) for name, v in names.items()})
    checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def _ends(dtype: str, d: int) -> tuple[list[Any], list[Any]]:
    """Return the inputs and the outputs of the graph."""
    from onnx import TensorProto, helper

    real = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    value = helper.make_tensor_value_info
    return [value("X", real, ["n", d])], [
        value("label", TensorProto.STRING, ["n"]),
        value("probabilities", real, ["n", 2]),
    ]


def _constants(model: Model, dtype: str) -> list[Any]:
    from onnx import numpy_helper

    w, b, mean = centred(model, dtype)
    reals = {"w": w[:, None], "b": b, "mean": mean}
    reals |= {name: np.array(v, dtype) for name, v in (("zero", 0), ("half", 0.5), ("one", 1))}
    others = {"axis": np.array([1], np.int64), "labels": np.array(model.labels, object)}
    return [numpy_helper.from_array(v, name) for name, v in {**reals, **others}.items()]
