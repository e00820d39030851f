"""The pages of docs/ tell the truth: what they show as output is what comes out."""

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
JUDGE, PENALTIES = ((DOCS / name).read_text() for name in ("judge.md", "penalties.md"))


class Checker(doctest.OutputChecker):
    """Compares all but what an oracle says of its own noise, which depends on the machine."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        want, got = (re.sub(r"\+- \d\S*", "+- noise", text) for text in (want, got))
        return super().check_output(want, got, optionflags)


def run(text: str, name: str) -> tuple[doctest.TestResults, str]:
    """Run text as if it was typed into a fresh interpreter; return also what went wrong."""
    said: list[str] = []
    page = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, name, name, 0)
    runner = doctest.DocTestRunner(Checker(), optionflags=doctest.NORMALIZE_WHITESPACE)
    return runner.run(page, out=said.append), "".join(said)


def sections(text: str, level: str) -> dict[str, str]:
    """Split at headings of a level: titles and what stands below them."""
    parts = re.split(rf"^{level} (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


EXAMPLES = sections(sections(JUDGE, "##")["Five examples"], "###")


@pytest.mark.relaxed
@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_of_the_judge_runs_alone(title):
    text = EXAMPLES[title]
    if title.startswith("1."):  # later sections look at its report
        text += JUDGE.partition(EXAMPLES["5. A Pallas kernel"])[2]
    found, said = run(text, title)
    assert not found.failed, said
    assert found.attempted > 6


@pytest.mark.relaxed
def test_how_the_judge_decides_runs_and_a_page_that_lies_is_found_out():
    text = sections(JUDGE, "##")["How it decides"]
    found, said = run(text, "decides")
    assert (found.failed, found.attempted) == (0, 5), said
    found, said = run(text.replace("proves nothing", "proves all"), "a lie")
    assert found.failed == 1
    assert "proves nothing" in said


def test_the_judge_has_five_examples_and_none_of_its_code_is_left_out():
    assert [title.partition(".")[0] for title in EXAMPLES] == ["1", "2", "3", "4", "5"]
    for title, text in EXAMPLES.items():
        assert re.search(r"^wrong | wrong$", text, re.MULTILINE), title
    code = re.findall(r"^```(\w*)\n(.*?)^```", JUDGE, re.MULTILINE | re.DOTALL)
    assert [kind for kind, text in code if not text.startswith(">>> ")] == ["py"]  # the fixture


@pytest.mark.relaxed
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_penalties_of_other_packages_give_our_answers():
    found, said = run(PENALTIES, "penalties")
    assert not found.failed, said
    assert found.attempted > 15
