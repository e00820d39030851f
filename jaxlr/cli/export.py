"""``jaxlr export``: a trained model as a file for other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from jaxlr.cli.show import print_code, print_error, print_line
from jaxlr.export import FORMATS, ExportError, needed_encoding
from jaxlr.run import Model, RunFolderError, write_file
from jaxlr.run.folder import CONFIG, FILES

# Python that takes raw features X (n, d), in the type that was asked for.
_USE = {
    "onnx": "import onnxruntime; label, probabilities = "
    "onnxruntime.InferenceSession({out}).run(None, {{'X': X}})",
    "stablehlo": "import jax.export, pathlib; {x64}probability = "
    "jax.export.deserialize(pathlib.Path({out}).read_bytes()).call(X)",
    "safetensors": "import safetensors.numpy; tensors = safetensors.numpy.load_file({out})",
    "sklearn": "import skops.io; probabilities = skops.io.load({out}).predict_proba(X)"
    "  # columns as in classes_, sorted",
    "json": "import jaxlr.export, pathlib; probability = "
    "jaxlr.export.from_json(pathlib.Path({out}).read_bytes()).probabilities(X)",
}
_ENCODED = ("onnx", "stablehlo", "sklearn")  # take X as it was encoded, and cannot encode
_X64 = "jax.config.update('jax_enable_x64', True); "


@dataclass(frozen=True)
class Export:
    """Write a trained model as a file for other programs.

    onnx: label and probabilities, for onnxruntime and its like. stablehlo: the compiled
    probabilities, for JAX on CPU, CUDA, ROCm and TPU. sklearn: a LogisticRegression of
    scikit-learn, in a file of skops. These three take features, not columns of a table: where the
    model has categories, or fills missing values, encode them first. json: names and numbers, with
    the formula, and how columns become features. safetensors: the model file of the run, as it is.

    Exit codes: 0 written; 2 wrong arguments, no such model, the file cannot be written, or a
    package is missing.
    """

    run_folder: Annotated[Positional[str], arg(metavar="RUN")]
    """A run folder that `jaxlr train`, `fit` or `cv` wrote."""
    to: Literal["onnx", "stablehlo", "safetensors", "sklearn", "json"]
    """Format of the file."""
    out: str | None = None
    """File to write. Without it: the run's name, in the working folder."""
    overwrite: bool = False
    """Replace the file if there is one."""
    dtype: Literal["float32", "float64"] | None = None
    """Of onnx and stablehlo: type of X and the probabilities; float32 without it."""

    def __post_init__(self) -> None:
        """Check that the arguments go together."""
        if self.dtype is not None and not FORMATS[self.to].has_dtype:
            raise ValueError(f"--dtype goes only with onnx and stablehlo: {self.to} is float64")

    def run(self) -> int:
        """Export, and say where the file is and how to use it."""
        out = Path(self.out) if self.out is not None else self._default()
        try:
            _check_free(out, overwrite=self.overwrite)
            model = Model.load(self.run_folder)
            content = self._encode(model)
        except (ExportError, RunFolderError) as error:
            print_error(str(error))
            return 2
        write_file(out, content)
        dtype = self._dtype()
        print_line(
            f"written to {out}: {len(model.features)} raw features in {dtype}, "
            f"label 0 = {model.labels[0]}, label 1 = {model.labels[1]}"
        )
        before = needed_encoding(model)
        if before and self.to in _ENCODED:
            print_line(f"its features are not the columns of a table: {before}")
        x64 = _X64 if dtype == "float64" else ""
        print_code(_USE[self.to].format(out=repr(str(out)), x64=x64))
        return 0

    def _encode(self, model: Model) -> bytes:
        form = FORMATS[self.to]
        return form.encode(model, self._dtype()) if form.has_dtype else form.encode(model)

    def _dtype(self) -> str:
        return self.dtype or ("float32" if FORMATS[self.to].has_dtype else "float64")

    def _default(self) -> Path:
        # Not in the run folder: a run refuses to overwrite a folder that holds other files.
        return Path(f"{Path(self.run_folder).resolve().name or 'model'}{FORMATS[self.to].suffix}")


def _check_free(out: Path, *, overwrite: bool) -> None:
    """Refuse, before any work is done, a file that should not or cannot be written."""
    if not out.parent.is_dir():
        raise ExportError(f"{out}: there is no folder {out.parent} (--out)")
    if out.is_dir():
        raise ExportError(f"{out} is a folder: name a file in it (--out)")
    if out.name in FILES and (out.parent / CONFIG).is_file():
        raise ExportError(f"{out} belongs to a run: choose another file (--out)")
    if out.exists() and not out.is_file():
        raise ExportError(f"{out} is no ordinary file: choose another (--out)")
    if (out.exists() or out.is_symlink()) and not overwrite:
        raise ExportError(f"{out} exists: choose another file (--out), or --overwrite it")
