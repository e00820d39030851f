import sys

import pytest

from jaxlr.cli import main
from jaxlr.extras import MissingExtraError, extra


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.inside"])
def test_missing_package_is_named_with_its_extra(module):
    message = r"^this needs no_such_package: pip install 'jaxlr\[data\]'$"
    with pytest.raises(MissingExtraError, match=message), extra("data"):
        __import__(module)


def test_other_errors_pass_through():
    with pytest.raises(ZeroDivisionError), extra("data"):
        _ = 1 / 0


def test_command_line_without_its_extra_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tyro", None)
    monkeypatch.delitem(sys.modules, "jaxlr.cli.commands", raising=False)
    monkeypatch.delattr("jaxlr.cli.commands", raising=False)
    assert main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "jaxlr: this needs tyro: pip install 'jaxlr[cli]'\n"
