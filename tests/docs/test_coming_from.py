"""The tables for those who come from elsewhere name nothing that does not exist.

Left stands what somebody knows, and the other columns say what it is here. `tests/docs/names.py` looks up each piece of
code in those.
"""

import re
from typing import Final

import pytest
from tests.docs.generated import DOCS
from tests.docs.names import Unknown, look_up

FROM: Final = ("otp", "pykka", "asyncio-taskgroups", "transitions", "python-statemachine", "xstate")
PAGES: Final = tuple(DOCS / "explanation" / f"from-{name}.md" for name in FROM)
HEAD: Final = re.compile(r"^\| [\w\- ]+ \| Histrio \| mind \|$")
CODE: Final = re.compile(r"`([^`]+)`")


def cells() -> list[tuple[str, int, str]]:
    """Each piece of code right of the first column: its page, its line, itself."""
    found: list[tuple[str, int, str]] = []
    for page in PAGES:
        inside = False
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            inside = bool(HEAD.match(line)) or (inside and line.startswith("|"))
            if inside and not HEAD.match(line):
                _, _, *right = line.split("|")
                found += [(page.stem, number, code) for code in CODE.findall("|".join(right))]
    return found


@pytest.mark.parametrize(("page", "line", "code"), [pytest.param(*cell, id=f"{cell[0]}:{cell[1]}") for cell in cells()])
def test_what_a_table_names_exists(page: str, line: int, code: str) -> None:
    """Each piece of code in the tables for newcomers can be written so: its names exist, and its calls fit."""
    look_up(code)


def test_each_page_has_tables() -> None:
    """Each page has tables, with a few dozen names in them."""
    pages = [page for page, _, _ in cells()]

    assert all(pages.count(page.stem) > 30 for page in PAGES)


@pytest.mark.parametrize(
    "code",
    [
        "histrio.Nobody",
        "ref.shout(m)",
        "ref.control.stop(1, 2, 3)",
        "self.io(f, x, again=True)",
        "self.io.clock.yesterday()",
        'histrio.child("kv", histrio.Supervisor, store, strategi=histrio.ONE_FOR_ALL)',
        "system.registry.look(key)",
        "error.nothing",
        "nowhere_max",
        "async def begun(self): ...",
        "async def stopped(self): ...",
        "with trio.fail_later(5): await ref.ask(m)",
        "histrio.child('a', Store).whith(restart=histrio.TRANSIENT)",
        "@S.enterd",
        "machine.ad(S)",
        "State(requires=[a])",
        "Job.schema().to_dict()",
        "histrio.any_state.exited",
        "self.states.wen(S)",
    ],
)
def test_what_does_not_exist_is_found(code: str) -> None:
    """A name that leads nowhere, and a call that does not fit, are found."""
    with pytest.raises(Unknown):
        look_up(code)
