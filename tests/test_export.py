"""A model as a file for other programs: they compute what the model computes."""

import errno
import io
import json
import math
import os
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import skops.io
from jax import export as jax_export
from scipy.special import expit

from jaxlr import export
from jaxlr.cli import main
from jaxlr.cli.export import Export
from jaxlr.export import FORMATS, ExportError
from jaxlr.extras import MissingExtraError
from jaxlr.run import Model

# A weight of 1, a time stamp in seconds (its mean is none of float32), a tiny scale, a large one;
# label 1 sorts first.
MODEL = Model(
    w=np.array([1.0, 3e-5, -4e6, 1 / 3e9]),
    b=np.array(-3e-5 * 1.7e9 + 0.25),
    mean=np.array([0.0, 1.7e9 + 57, 1e-6, 2e9]),
    scale=np.array([1.0, 1e5, 1e-6, 3e9]),
    features=("unit", "time", "größe, µm", "x 10^9"),
    labels=("yes", "no"),
    target="outcome",
    exclude=("id",),
)
RNG = np.random.default_rng(0)
X = (MODEL.mean + MODEL.scale * RNG.standard_normal((9, 4))).astype(np.float32).astype(np.float64)
ON_EDGES = np.array([0, -90, -40, -20, -15, 15, 20, 40, 80.0])  # as z; beyond -18 Sigmoid gives 0


def truth(model, X):
    """Both probabilities, by another library, from parameters in extended precision."""
    w, b = model.w.astype(np.longdouble), model.b.astype(np.longdouble)
    z = X.astype(np.longdouble) @ w + b
    return np.stack([expit(-z), expit(z)], axis=1)


def on_edges(model, dtype):
    """Rows whose first feature alone moves z, from end to end."""
    X = np.repeat(model.mean[None, :], len(ON_EDGES), axis=0)
    X[:, 0] = ON_EDGES
    return X.astype(dtype)


def of_onnx(model, dtype):
    session = onnxruntime.InferenceSession(export.to_onnx(model, dtype))
    return session, lambda X: session.run(None, {"X": np.asarray(X, dtype)})


def test_onnxruntime_gives_the_same_probabilities_and_labels(dtype):
    session, run = of_onnx(MODEL, dtype)
    for rows in (X, X[:1], X[:0]):
        label, a = run(rows)
        assert a.dtype == dtype
        np.testing.assert_allclose(a, truth(MODEL, rows), atol=1e-6 if dtype == "float32" else 1e-9)
        np.testing.assert_allclose(a[:, 1], MODEL.probabilities(rows), atol=1e-6)
        assert label.tolist() == np.where(a[:, 1] >= 0.5, "no", "yes").tolist()
    assert len(set(run(X)[0])) == 2
    assert [node.name for node in session.get_inputs()] == ["X"]
    assert [node.name for node in session.get_outputs()] == ["label", "probabilities"]
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["features"]) == list(MODEL.features)
    assert json.loads(metadata["labels"]) == ["yes", "no"]


def test_onnx_keeps_the_digits_of_both_probabilities_far_out(dtype):
    rows = on_edges(MODEL, dtype)
    a = of_onnx(MODEL, dtype)[1](rows)[1]
    expected = truth(MODEL, rows.astype(np.float64))
    normal = expected > np.finfo(dtype).tiny
    assert normal.sum() >= 17
    rtol = 1e-5 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(a[normal], expected[normal], rtol=rtol)


def test_onnx_at_the_largest_numbers_and_at_none(dtype):
    run = of_onnx(MODEL, dtype)[1]
    huge = np.diag(np.full(4, 3e38)) + MODEL.mean
    for sign in (-1, 1):
        a = run(sign * huge)[1]
        one = (sign * MODEL.w > 0).astype(float)
        # Some runtimes stop at the smallest number before they come to 0.
        np.testing.assert_allclose(a, np.stack([1 - one, one], axis=1), rtol=0, atol=1e-30)
    label, a = run(np.full((1, 4), np.nan))
    assert np.isnan(a).all()
    assert label == ["yes"]


def test_onnx_takes_label_1_at_exactly_one_half_as_predict_does():
    label, a = of_onnx(MODEL._replace(w=np.zeros(4), b=np.array(0.0)), "float32")[1](X)
    assert (a == 0.5).all()
    assert set(label) == {"no"}


def test_onnx_is_for_old_runtimes_too_and_has_the_same_bytes_again():
    content = export.to_onnx(MODEL)
    proto = onnx.load_from_string(content)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 13)]
    assert proto.ir_version == 7
    assert content == export.to_onnx(MODEL)


def test_stablehlo_is_read_back_for_any_number_of_rows_and_every_platform(dtype):
    before = dict(jax.config.values)
    content = export.to_stablehlo(MODEL, dtype)
    assert dict(jax.config.values) == before
    function = jax_export.deserialize(content)
    assert function.platforms == ("cpu", "cuda", "rocm", "tpu")
    for rows in (X, X[:1]):
        a = function.call(rows.astype(dtype))
        assert a.dtype == dtype
        atol = 1e-6 if dtype == "float32" else 1e-9
        np.testing.assert_allclose(a, truth(MODEL, rows)[:, 1], atol=atol)


def test_stablehlo_holds_no_names_of_folders_and_has_the_same_bytes_again():
    content = export.to_stablehlo(MODEL)
    assert b".py" not in content
    assert str(Path(export.__file__).parents[2]).encode() not in content
    assert content == export.to_stablehlo(MODEL)


@pytest.mark.parametrize("labels", [("yes", "no"), ("no", "yes")])
def test_scikit_learn_gives_the_same_probabilities(labels):
    model = MODEL._replace(labels=labels)
    content = export.to_skops(model)
    assert skops.io.get_untrusted_types(data=content) == []
    for estimator in (export.to_sklearn(model), skops.io.loads(content, trusted=[])):
        assert estimator.coef_.shape == (1, 4)
        assert estimator.intercept_.shape == (1,)
        assert estimator.n_features_in_ == 4
        assert estimator.feature_names_in_.tolist() == list(model.features)
        assert estimator.classes_.tolist() == ["no", "yes"]
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            a = estimator.predict_proba(X)
        column = estimator.classes_.tolist().index(labels[1])
        np.testing.assert_allclose(a[:, column], model.probabilities(X), atol=1e-12)
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            predicted = estimator.predict(X)
        likelier = np.where(model.probabilities(X) >= 0.5, labels[1], labels[0])
        assert predicted.tolist() == likelier.tolist()


def test_no_pickle_is_in_the_file_of_skops():
    with zipfile.ZipFile(io.BytesIO(export.to_skops(MODEL))) as file:
        names = set(file.namelist())
        assert "schema.json" in names
        for name in names - {"schema.json"}:
            np.load(io.BytesIO(file.read(name)), allow_pickle=False)


NUMBERS = [0.1, 1 / 3, -0.0, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, -1e22, 1e-7]


def test_json_has_every_bit_of_every_number():
    w = np.array(NUMBERS)
    d = len(w)
    names = tuple(f"x{j}" for j in range(d))
    model = MODEL._replace(w=w, mean=w, scale=np.full(d, 5e-324), features=names, target=None)
    again = export.from_json(export.to_json(model).encode())
    for field in Model._fields:
        old, new = getattr(model, field), getattr(again, field)
        if isinstance(old, np.ndarray):
            assert (new.dtype, new.shape, new.tobytes()) == (np.float64, old.shape, old.tobytes())
        else:
            assert new == old


def test_json_is_enough_for_who_knows_nothing_but_its_readme():
    fields = json.loads(export.to_json(MODEL))
    assert "1 / (1 + exp(-z))" in fields["readme"]
    for x in X:
        row = dict(zip(MODEL.features, x, strict=True))
        pairs = zip(fields["w"], fields["features"], strict=True)
        z = fields["b"] + sum(w * row[feature] for w, feature in pairs)
        a = 1 / (1 + math.exp(-z))
        assert a == pytest.approx(truth(MODEL, x[None, :])[0, 1], abs=1e-9)


def test_all_that_a_model_has_is_in_its_json():
    """A new field of a model must be written by each format, or be refused by it."""
    head = {"format", "version", "readme"}
    assert set(json.loads(export.to_json(MODEL))) - head == set(Model._fields)
    assert set(Model._fields) == {
        *("w", "b", "mean", "scale"),
        *("features", "labels", "target", "exclude", "encoding"),
    }


def changed(**fields):
    return json.dumps(json.loads(export.to_json(MODEL)) | fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        (export.to_json(MODEL)[:-9], "no JSON"),
        (b"\xff{}", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no model of jaxlr"),
        ("{}", "no model of jaxlr"),
        ('{"format": 1, "format": 1}', "'format' is in the file 2 times"),
        (changed(version=2), "version is 2: this jaxlr reads 1"),
        (changed().replace('"scale"', '"scales"'), "scale is missing"),
        (changed(encoding={}), "encoding: this is no encoding"),
        (changed(w=[1, 2]), "w must be a list of 4 numbers"),
        (changed(mean="abcd"), "mean must be a list of 4 numbers"),
        (changed(w=[1, "__import__('os')", 3, 4]), "w of feature 'time' is \"__import__"),
        (changed(w=[1, 2, True, 4]), "w of feature 'größe, µm' is True"),
        (changed(b=None), "b is None: it must be a finite number"),
        (changed(b=math.nan), "NaN is in it"),
        (changed(b=0).replace('"b": 0', '"b": 1e999'), "b is inf"),
        (changed(b=10**400), "b is 1000.*: it must be a finite number"),
        (changed(scale=[1, 1, 1, 0]), "scale of feature 'x 10.9' is 0: it must be above 0"),
        (changed(labels=["a"]), "labels has 1 entries"),
        (changed(labels=["a", "a"]), "'a' is in labels 2 times"),
        (changed(labels="ab"), "labels is 'ab': it must be a list"),
        (changed(features=["a", "b", "c", 4]), "entry 4 of features is 4"),
        (changed(features=["a", "b", "c", "a"]), "'a' is in features 2 times"),
        (changed(features=["a", "b", "c", "\ud800"]), r"'\\ud800' is no Unicode text"),
        (changed(target=3), "entry 1 of target is 3"),
    ],
)
def test_malformed_json_gets_one_message(text, message):
    with pytest.raises(ExportError, match=message) as caught:
        export.from_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encode", [export.to_onnx, export.to_stablehlo])
@pytest.mark.parametrize(
    ("fields", "dtype", "message"),
    [
        ({"w": np.array([1, 1, 1e39, 1])}, "float32", r"w of feature 'größe, µm' is 1e\+39, bey"),
        ({"w": np.array([1, 1e-40, 1, 1])}, "float32", "w of feature 'time' is 1e-40, beyond"),
        ({"mean": np.full(4, 1e300)}, "float32", r"mean of feature 'unit' .*--dtype float64"),
        ({"b": np.array(1e39)}, "float32", r"b \+ w . mean is 1e\+39, beyond the range of float32"),
        ({"w": np.full(4, 1e300), "mean": np.full(4, 1e300)}, "float64", r"is inf, .* float64$"),
        ({}, "float16", "dtype is float16: exports are in float32 or float64"),
    ],
)
def test_what_a_type_cannot_hold_is_refused_by_name(encode, fields, dtype, message):
    with pytest.raises(ExportError, match=message):
        encode(MODEL._replace(**fields), dtype)


@pytest.mark.parametrize("encode", [export.to_onnx, export.to_skops, export.to_json])
def test_names_that_are_no_text_are_refused(encode):
    with pytest.raises(ExportError, match=r"'\\udc80' is no Unicode text"):
        encode(MODEL._replace(labels=("a", "\udc80")))


@pytest.mark.parametrize(
    ("module", "encode", "name"),
    [
        ("onnx", export.to_onnx, "onnx"),
        ("flatbuffers", export.to_stablehlo, "stablehlo"),
        ("skops", export.to_skops, "skops"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module, encode, name):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module}: pip install 'jaxlr\[{name}\]'"):
        encode(MODEL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a run in it."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "first"
    run.mkdir(parents=True)
    (run / "params.safetensors").write_bytes(MODEL.to_bytes())
    (run / "config.toml").write_text('command = "fit"\n')
    return tmp_path


def listing(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_format_is_one_of_the_command_line():
    assert Export.__annotations__["to"].__args__ == tuple(FORMATS)


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--to", to] for to in FORMATS),
        ["--to", "onnx", "--dtype", "float64"],
        ["--to", "stablehlo", "--dtype", "float64"],
        ["--to", "json", "--out", "it's mine.txt"],
    ],
    ids=" ".join,
)
@pytest.mark.relaxed
def test_a_file_is_written_and_the_line_that_is_printed_uses_it(folder, capsys, arguments):
    to, dtype = arguments[1], "float64" if "float64" in arguments else "float32"
    before = listing(folder)
    assert main(["export", "runs/first", *arguments]) == 0
    out = arguments[3] if "--out" in arguments else f"first{FORMATS[to].suffix}"
    assert listing(folder).keys() - before.keys() == {folder / out}
    written, use = capsys.readouterr().out.splitlines()
    assert written.startswith(f"written to {out}: 4 raw features in float")
    assert written.endswith("label 0 = yes, label 1 = no")

    names = {"X": X.astype(dtype) if FORMATS[to].has_dtype else X}
    x64 = jax.config.jax_enable_x64
    try:
        if to == "sklearn":
            with pytest.warns(UserWarning, match="does not have valid feature names"):
                exec(use, names)
        else:
            exec(use, names)
    finally:
        jax.config.update("jax_enable_x64", x64)
    if to == "safetensors":
        assert (folder / out).read_bytes() == before[folder / "runs/first/params.safetensors"]
        assert names["tensors"]["w"].tolist() == MODEL.w.tolist()
        return
    a = names["probability"] if "probability" in names else names["probabilities"]
    a = a[:, 0] if to == "sklearn" else a[:, 1] if to == "onnx" else a  # sorted: no, yes
    np.testing.assert_allclose(a, truth(MODEL, X)[:, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--to", "json"], "nowhere: no run folder with a trained model"),
        (["runs/damaged", "--to", "json"], "not a model of jaxlr, or damaged"),
        (["runs/wide", "--to", "onnx"], "w of feature 'unit' is 1e+200, beyond the range of float"),
        (["runs/first", "--to", "json", "--out", "taken.json"], "taken.json exists: choose anoth"),
        (
            ["runs/first", "--to", "json", "--out", "pipe", "--overwrite"],
            "pipe is no ordinary file",
        ),
        (["runs/first", "--to", "json", "--out", "link"], "link exists"),
        (["runs/first", "--to", "json", "--out", "runs"], "runs is a folder: name a file in it"),
        (["runs/first", "--to", "json", "--out", ""], ". is a folder: name a file in it"),
        (["runs/first", "--to", "json", "--out", "no/a.json"], "no/a.json: there is no folder no"),
        (
            ["runs/first", "--to", "json", "--out", "runs/first/config.toml", "--overwrite"],
            "runs/first/config.toml belongs to a run",
        ),
    ],
)
def test_what_cannot_be_exported_gets_one_message_and_changes_no_file(
    folder, capsys, arguments, message
):
    (folder / "taken.json").write_text("{}")
    (folder / "link").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    for name, content in {
        "damaged": MODEL.to_bytes()[:-3],
        "wide": MODEL._replace(w=np.full(4, 1e200)).to_bytes(),
    }.items():
        (folder / "runs" / name).mkdir()
        (folder / "runs" / name / "params.safetensors").write_bytes(content)
    before = listing(folder)
    assert main(["export", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("jaxlr: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert listing(folder) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/first"], "--to"),
        (["runs/first", "--to", "pickle"], "pickle"),
        (["runs/first", "--to", "json", "--dtype", "float32"], "--dtype goes only with onnx"),
        (["runs/first", "--to", "onnx", "--dtype", "float16"], "float16"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(folder, capsys, arguments, message):
    before = listing(folder)
    with pytest.raises(SystemExit) as caught:
        main(["export", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert listing(folder) == before


def test_a_file_is_replaced_where_that_is_asked_for(folder):
    (folder / "first.json").write_text("old")
    assert main(["export", "runs/first", "--to", "json", "--overwrite"]) == 0
    assert export.from_json((folder / "first.json").read_bytes()).labels == MODEL.labels


def test_a_full_disk_gets_one_message_and_leaves_nothing(folder, capsys, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = listing(folder)
    monkeypatch.setattr(os, "fsync", full)
    assert main(["export", "runs/first", "--to", "json"]) == 2
    assert (
        capsys.readouterr().err == "jaxlr: first.json cannot be written: No space left on device\n"
    )
    assert listing(folder) == before
