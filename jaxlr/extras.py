"""Optional packages, and the extra of jaxlr that brings each."""

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ImportError):
    """A package is missing that one of jaxlr's extras installs."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import packages of the extra ``name`` inside this context; say so where one is missing.

    Examples
    --------
    >>> with extra("cli"):
    ...     import no_such_package
    Traceback (most recent call last):
    jaxlr.extras.MissingExtraError: this needs no_such_package: pip install 'jaxlr[cli]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or str(error)).partition(".")[0]
        message = f"this needs {package}: pip install 'jaxlr[{name}]'"
        raise MissingExtraError(message, name=error.name) from error
