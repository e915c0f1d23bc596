"""The page for those who come from chronoflow: what its tables name exists, and each of chronoflow's words is there."""

import re
from typing import Final

import pytest
from tests.docs.generated import DOCS
from tests.docs.names import STAND_INS, look_up

from histrio import Kind, durable

PAGE: Final = DOCS / "explanation" / "from-chronoflow.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
CODE: Final = re.compile(r"`([^`]+)`")
WORDS: Final = """
template create start push pull route receive select filter spawn join joinAll use await send exit BACKOFF DROP
SimpleScheduler update Transition replay START SPAWN JOIN USE SEND STOP
"""


def rows() -> list[list[str]]:
    """The rows of the tables: three cells each."""
    lines = (line for line in TEXT.splitlines() if line.startswith("|"))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row != ["chronoflow", "Histrio", "mind"] and not row[0].startswith("---")]


def test_rows_have_three_cells() -> None:
    """No bar stands in a cell, so that every renderer shows the same."""
    assert {len(row) for row in rows()} == {3}
    assert len(rows()) > 40


@pytest.mark.parametrize(
    "code", sorted({code for _, *cells in rows() for cell in cells for code in CODE.findall(cell)})
)
def test_what_the_tables_name_exists(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of code in the columns of Histrio can be written so: its names exist, and its calls fit."""
    monkeypatch.setitem(STAND_INS, "durable", durable)
    if code not in {"envelope.reply(value)", "run()", "started()", "await", "snapshot", "restore"}:
        look_up(code)


def test_each_word_has_its_row() -> None:
    """All of chronoflow's vocabulary is there, and every row says what it is here."""
    left = " ".join(left for left, _, _ in rows())

    assert [word for word in WORDS.split() if not re.search(rf"\b{word}\b", left)] == []
    assert all(middle for _, middle, _ in rows())


def test_each_signal_is_named() -> None:
    """The table of signals has all kinds that there are."""
    named = set(re.findall(r"histrio\.Kind\.(\w+)", TEXT))

    assert {kind.name for kind in Kind} == named
