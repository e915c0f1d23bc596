"""The pages for those who come from other durable systems name nothing that does not exist.

Left stands what somebody knows. In the other columns `self` is a durable actor, `ref` its address, `tree` its tree, and
`durable` is `histrio.durable`.
"""

import re
from typing import Final

import pytest
from tests.docs.generated import DOCS
from tests.docs.names import STAND_INS, Unknown, look_up

from histrio import durable

PAGES: Final = {"from-temporal": "Temporal", "from-dbos": "DBOS"}
CODE: Final = re.compile(r"`([^`]+)`")
PLAIN: Final = frozenset({"/ann-1", "histrio.durable", "reconcile", "version=", "on"})
"""What is in code style and no piece of code: a path, a parameter."""


def rows(page: str) -> list[list[str]]:
    """The rows of the table of words: three cells each."""
    lines = (DOCS / "explanation" / f"{page}.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert cells[0] == [PAGES[page], "Histrio", "mind"]
    return cells[2:]


CELLS: Final = [
    (page, code)
    for page in PAGES
    for _, *cells in rows(page)
    for cell in cells
    for code in CODE.findall(cell)
    if code not in PLAIN
]


@pytest.fixture(autouse=True)
def durable_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the names of these tables stand for."""
    for name, kind in (
        ("self", durable.DurableActor),
        ("ref", durable.DurableRef),
        ("tree", durable.DurableTree),
        ("durable", durable),
    ):
        monkeypatch.setitem(STAND_INS, name, kind)


@pytest.mark.parametrize(("page", "code"), CELLS)
def test_what_a_table_names_exists(page: str, code: str) -> None:
    """Each piece of code in the columns of Histrio can be written so: its names exist, and its calls fit."""
    look_up(code)


@pytest.mark.parametrize("page", PAGES)
def test_rows_have_three_cells(page: str) -> None:
    """No bar stands in a cell, every row says what it is here, and there are a few dozen."""
    assert {len(row) for row in rows(page)} == {3}
    assert all(middle for _, middle, _ in rows(page))
    assert len(rows(page)) > 20


@pytest.mark.parametrize(
    "code", ["self.nap(5)", "self.io(f, x, again=True)", "tree.look(x)", "durable.Nothing", "ref.shout(m)"]
)
def test_what_does_not_exist_is_found(code: str) -> None:
    """A name of durable actors that leads nowhere, and a call that does not fit, are found."""
    with pytest.raises(Unknown):
        look_up(code)
