"""The drawn timelines, of each strategy and of a state's activations, are what their programs print.

That the printed log is the program's is the work of `test_docs.py`; here the drawing is compared with the log.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Final

import attrs
import pytest
from tests.docs.generated import DOCS
from tests.docs_programs import fences

PAGES: Final = tuple(
    DOCS / "explanation" / f"{name}.md" for name in ("one-for-one", "one-for-all", "rest-for-one", "state-scopes")
)
LOGGED: Final = re.compile(r"^ *(\d+)  (\w+) +(\w+)$")
SECTION: Final = re.compile(r"^    section (\w+)$")
BAR: Final = re.compile(r"^    (\w+) : \w+, (\d+), (\d+)$")


@attrs.frozen
class Bar:
    """What one child did, from one second to another."""

    child: str
    what: str
    begin: int
    end: int


def block(page: Path, info: str) -> list[str]:
    """The lines of the one fence of that kind."""
    (lines,) = (lines for _, kind, lines in fences(page.read_text(encoding="utf-8")) if kind == info)
    return lines


def logged(page: Path) -> list[Bar]:
    """The log as bars: each line of a child begins one, which goes on to its next line."""
    children: dict[str, list[tuple[int, str]]] = {}
    for found in filter(None, map(LOGGED.match, block(page, "console"))):
        children.setdefault(found[2], []).append((int(found[1]), found[3]))
    return [
        Bar(child, what, begin, end)
        for child, lines in children.items()
        for (begin, what), (end, _) in pairwise(lines)
        if what != "ended"
    ]


def drawn(page: Path) -> list[Bar]:
    """The bars of the diagram."""
    bars: list[Bar] = []
    child = ""
    for line in block(page, "mermaid"):
        if section := SECTION.match(line):
            child = section[1]
        elif bar := BAR.match(line):
            bars.append(Bar(child, bar[1], int(bar[2]), int(bar[3])))
    return bars


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_timeline_is_what_the_program_prints(page: Path) -> None:
    """S1, S2, M7: the bars of a timeline are those of its printed log, child by child."""
    assert len(drawn(page)) > 10
    assert drawn(page) == logged(page)
