"""From SciPy's sparse arrays to `SparseX`: what they must be like, and what is made of them."""

from typing import Any

import jax
import numpy as np

from jaxlr.batch.sparse.layout import SparseX, lay_out

_LARGEST = 1 << 31  # what 32 bits can number
_EXACT = 1 << 24  # integers up to which float32 has them all
_BYTES = 1 << 28  # for what is computed of all rows of a block
_NUMBERS = 6  # of each class: z, dz, the odds, the label and a copy


def is_sparse(X: Any) -> bool:
    """Whether X is sparse: SciPy's, or laid out already."""
    return isinstance(X, SparseX) or hasattr(X, "tocsr")


def most_rows(n_classes: int | None, dense: int = 0) -> int | None:
    """Rows of a block for whose numbers there is memory, or None where there is for all.

    They are some for each class, and for each of so many columns that are made ``dense``.
    """
    if n_classes is None:
        return None
    return max(1, _BYTES // (8 * (_NUMBERS * n_classes + 3 * dense)))


def take_sparse(
    X: Any, *, d: int | None = None, by_columns: bool = True, n_classes: int | None = None
) -> SparseX:
    """Check SciPy's CSR or CSC (or another format of it) and lay it out; X itself stays as it is.

    Duplicates are summed. float64 stays so; all else becomes float32, but integers that float32
    cannot tell apart. Without ``by_columns`` it can only be multiplied by w. With ``n_classes``,
    blocks have as many rows as there is memory for.
    """
    if not isinstance(X, SparseX):
        _check_shape(X)
    if d is not None and X.shape[1] != d:
        raise ValueError(f"X has {X.shape[1]} features (columns), but w has {d}")
    if isinstance(X, SparseX):
        return X
    return lay_out(_canonical(X), by_columns=by_columns, most_rows=most_rows(n_classes))


def _check_shape(X: Any) -> None:
    if len(X.shape) != 2:
        raise ValueError(f"X must have shape (m, d) and has shape {X.shape}")
    if X.shape[0] == 0:
        raise ValueError(f"X has shape {X.shape}: there is no example in it")
    if max(*X.shape, X.nnz) >= _LARGEST:
        raise ValueError(f"X has shape {X.shape} and {X.nnz} entries: fewer than 2^31 are needed")
    if X.dtype.kind not in "biuf":
        raise ValueError(f"X has dtype {X.dtype}: features must be numbers, and real")


def _canonical(X: Any) -> Any:
    """CSR of finite floats, no duplicates, each row in order of columns; X itself if it is that."""
    rows = X.tocsr()
    rows = type(rows)((rows.data, rows.indices, rows.indptr), shape=rows.shape)  # flags of its own
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    given, kind = rows.data, jax.dtypes.canonicalize_dtype(_kind(rows.data))
    with np.errstate(over="ignore"):  # told below
        rows.data = given.astype(kind, copy=False)
    finite = np.isfinite(rows.data)
    if not finite.all():
        raise _not_finite(rows, given, int(np.argmin(finite)))
    return rows


def _kind(data: np.ndarray) -> type:
    wide = data.dtype.kind == "f" and data.dtype.itemsize >= 8
    if data.dtype.kind in "iu" and data.dtype.itemsize > 2 and data.size:
        wide = max(int(data.max()), -int(data.min())) > _EXACT
    return np.float64 if wide else np.float32


def _not_finite(rows: Any, given: np.ndarray, entry: int) -> ValueError:
    row = int(np.searchsorted(rows.indptr, entry, side="right")) - 1
    rule = "features must be finite: impute or drop them"
    if np.isfinite(given[entry]):
        rule = f"too large for {rows.data.dtype}. Scale it down, or enable JAX's 64-bit mode"
    place = f"row {row}, column {int(rows.indices[entry])} (counted from 0)"
    return ValueError(f"X is {given[entry]} in {place}: {rule}")
