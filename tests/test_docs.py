"""The pages of docs/ tell the truth: what they show as output is what comes out."""

import doctest
import re
from pathlib import Path

import pytest

JUDGE = (Path(__file__).parents[1] / "docs" / "judge.md").read_text()


class Checker(doctest.OutputChecker):
    """Compares all but what an oracle says of its own noise, which depends on the machine."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        want, got = (re.sub(r"\+- \d\S*", "+- noise", text) for text in (want, got))
        return super().check_output(want, got, optionflags)


def run(text: str, name: str) -> tuple[doctest.TestResults, str]:
    """Run a page as if it was typed into a fresh interpreter; what went wrong, as text."""
    said: list[str] = []
    page = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, name, name, 0)
    runner = doctest.DocTestRunner(Checker(), optionflags=doctest.NORMALIZE_WHITESPACE)
    return runner.run(page, out=said.append), "".join(said)


def sections(text: str, level: str) -> dict[str, str]:
    parts = re.split(rf"^{level} (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.relaxed
def test_the_page_of_the_judge_runs():
    found, said = run(JUDGE, "judge.md")
    assert not found.failed, said
    assert found.attempted > 80


def test_the_page_of_the_judge_has_five_examples_that_stand_alone():
    examples = sections(sections(JUDGE, "##")["Five examples"], "###")
    assert [title.partition(".")[0] for title in examples] == ["1", "2", "3", "4", "5"]
    for title, text in examples.items():
        first = text.partition("```python\n")[2]
        assert first.startswith(">>> import jax, jax.numpy as jnp\n"), title
        assert ">>> from jaxlr.check import check_derivatives\n" in first, title
        assert re.search(r"^(>>> print\(.*verdict|wrong|.* wrong$)", text, re.MULTILINE), title


@pytest.mark.relaxed
def test_a_page_that_lies_is_found_out():
    text = sections(JUDGE, "##")["How it decides"]
    assert "proves nothing" in text
    found, said = run(text.replace("proves nothing", "proves all"), "a lie")
    assert found.failed == 1
    assert "proves nothing" in said
