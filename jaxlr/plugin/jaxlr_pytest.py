"""Plugin of pytest: the fixture ``gradient_check``, for tests of hand-written derivatives.

It lies beside the package: pytest reads it at the start of every suite of whoever has jaxlr, and
reading anything of `jaxlr` reads JAX.
"""

import argparse
import shlex
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jaxlr.check.plugin import GradientCheck

_FINISHED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the level and the seed, which then hold for every test."""
    group = parser.getgroup("jaxlr", "hand-written derivatives (jaxlr)")
    group.addoption(
        "--gradient-level",
        choices=("quick", "full"),
        help="how much gradient_check looks at, whatever the tests say (they: quick)",
    )
    group.addoption(
        "--gradient-seed",
        type=_seed_of_text,
        metavar="N",
        help="seed of gradient_check, whatever the tests say (they: 0)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, for suites that are strict about theirs."""
    config.addinivalue_line(
        "markers", "gradient_seed(seed): seed of gradient_check in this test, 0 without it"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note that a test ran to its end: only then a check that it never made is missing."""
    result = yield
    item.stash[_FINISHED] = True
    return result


@pytest.fixture
def gradient_check(request: pytest.FixtureRequest) -> "Generator[GradientCheck, None, None]":
    """``gradient_check(f, *args, **options)`` judges derivatives; a test fails unless they pass.

    Options are those of `jaxlr.check.check_derivatives`, with level "quick" unless said otherwise;
    ``gradient_check.gradient(loss, grads, params, *args)`` judges a function that returns
    gradients. A test that takes this and never calls it is an error, for it proves nothing.
    """
    seed = _marked_seed(request)
    from jaxlr.check.plugin import GradientCheck

    node, option = request.node, request.config.getoption
    given = {"level": option("--gradient-level"), "seed": option("--gradient-seed")}
    given = {name: value for name, value in given.items() if value is not None}
    node.stash[_FINISHED] = False
    check = GradientCheck(seed=seed, override=given, again=f"pytest {shlex.quote(node.nodeid)}")
    yield check
    if node.stash[_FINISHED] and not check.calls:
        message = "takes gradient_check and never called it: no derivative was checked"
        pytest.fail(f"{node.nodeid} {message}", pytrace=False)


def _seed_of_text(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def _marked_seed(request: pytest.FixtureRequest) -> int:
    marker = request.node.get_closest_marker("gradient_seed")
    if marker is None:
        return 0
    given = [*marker.args, *marker.kwargs.values()]
    seed = given[0] if len(given) == 1 and set(marker.kwargs) <= {"seed"} else None
    if type(seed) is not int or seed < 0:
        args = [*map(repr, marker.args), *(f"{k}={v!r}" for k, v in marker.kwargs.items())]
        pytest.fail(
            f"{request.node.nodeid}: gradient_seed({', '.join(args)}) must be one whole number "
            "of at least 0, as in @pytest.mark.gradient_seed(7)",
            pytrace=False,
        )
    return seed
