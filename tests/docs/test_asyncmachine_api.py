"""M12: the table of the original's API misses none of its methods, and names nothing that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from tests.docs import names
from tests.docs.generated import DOCS
from tests.docs.names import Unknown, look_up

from histrio import machines

PAGE: Final = DOCS / "reference" / "asyncmachine-api.md"
CODE: Final = re.compile(r"`([^`]+)`")
HEAD: Final = "| asyncmachine-go | Histrio | mind |"

API: Final = frozenset(
    re.findall(
        r"\w+",
        """
    Add1 Add Remove1 Remove Set AddErr AddErrState EvAdd1 EvAdd EvRemove1 EvRemove EvAddErr EvAddErrState WhenArgs Err
    IsErr Is Is1 Not Not1 Any Any1 Has Has1 IsTime IsClock
    When When1 WhenNot WhenNot1 WhenTime WhenTicks WhenTicksEq WhenErr
    StateNames ActiveStates Tick Clock Time TimeSum NewStateCtx Export GetStruct Switch
    Log Id ParentId Tags SetLogId GetLogId SetLogger SetLogLevel SetLoggerEmpty SetLoggerSimple Ctx String StringAll Inspect
    Index BindHandlers DetachHandlers StatesVerified Tracers DetachTracer BindTracer Dispose WhenDisposed IsDisposed
        """,
    )
)
"""The methods of its interface `Api`."""

WIDER: Final = frozenset(
    re.findall(
        r"\w+",
        """
    Toggle Toggle1 EvToggle EvToggle1 CanAdd CanAdd1 CanRemove CanRemove1 Eval WasTime WasClock WillBe WillBe1 WillBeRemoved
    WillBeRemoved1 IsQueued WhenTime1 WhenNextActive WhenQuery WhenQueue WhenQueueEnds Index1 Schema SchemaVer SetSchema
    VerifyStates Groups SetGroups Import Transition QueueLen QueueTick AddBreakpoint OnChange OnError OnDispose HandleDispose
    DisposeForce Go Fork PoolFork PanicToErr PanicToErrState SetLogArgs
        """,
    )
)
"""Methods of its machine that are not in the interface."""


def rows() -> Iterator[tuple[int, list[str]]]:
    """The rows of the tables: the line, and the cells."""
    inside = False
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), start=1):
        inside = line == HEAD or (inside and line.startswith("|"))
        if inside and line != HEAD and not line.startswith("| ---"):
            yield number, [cell.strip() for cell in line.strip("|").split("|")]


def on_the_right() -> list[tuple[int, str]]:
    """Each piece of code right of the first column."""
    return [(number, code) for number, (_, *right) in rows() for cell in right for code in CODE.findall(cell)]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says what `machines` is there."""
    monkeypatch.setitem(names.STAND_INS, "machines", machines)
    assert "[`histrio.machines`](around-machines.md), which is `machines` here" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("code", [pytest.param(code, id=f"{line}:{code}") for line, code in on_the_right()])
@pytest.mark.usefixtures("module")
def test_what_the_table_names_exists(code: str) -> None:
    """M12: every right-hand side can be written so: its names exist, and its calls fit."""
    if code in EXTRA:
        return
    look_up(code)


EXTRA: Final = frozenset({"exception", "log.level", "queue_max", "in_flight_max", "end", "last"})
"""Words in code style that stand for something of the same line."""


def test_no_method_is_missing() -> None:
    """M12: every method of the original stands on the left of some row, and every row has something on the right."""
    left = {name for _, (first, *_) in rows() for code in CODE.findall(first) for name in [code]}

    assert API - left == set()
    assert WIDER - left == set()
    assert all(second for _, (_, second, _) in rows())
    assert all(CODE.search(second) or second == "nothing" for _, (_, second, _) in rows())


@pytest.mark.parametrize(
    "code",
    ["machine.ad(S)", "machine.when_not_yet(S)", "machines.Log(machine)", "S.entering", "machines.pipe(machine)"],
)
@pytest.mark.usefixtures("module")
def test_what_does_not_exist_is_found(code: str) -> None:
    """A name that leads nowhere, and a call that does not fit, are found."""
    with pytest.raises(Unknown):
        look_up(code)
