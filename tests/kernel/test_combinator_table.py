"""The table of awaitBoth and awaitEither: every pair of operands, in both places, with the fate of the loser (F2)."""

# Two operands, the first of which moves at 1 s and the second at 2 s; which of them stands left is a case of its own.
# "slow" has its value after 60 s (61 as the second), "cancelled" is cancelled by a third party at its moment, "done"
# has had its value before. An operand that is cancelled needs 0.25 s to clean up. So the time of the outcome tells
# whether the loser was waited for, and each row can be checked with pencil and paper.

import math
from typing import Final, NamedTuple, cast

import attrs
import pytest
import trio
from tests.conftest import Show
from tests.kernel.works import Act, Boom, Works, open_works
from trio.testing import MockClock, wait_all_tasks_blocked

from histrio_kernel.combinators import Left, Right, both, either
from histrio_kernel.errors import FutureCancelled
from histrio_kernel.futures import CANCELLED, ERROR, VALUE, Future
from histrio_kernel.io import Operation

KINDS: Final = ("ok", "error", "slow", "cancelled", "done")
FATES: Final = {"value": VALUE, "error": ERROR, "cancelled": CANCELLED}


class Row(NamedTuple):
    """What comes of one pair: "A" and "B" are the values of the first and the second."""

    first: str
    second: str
    gets: str
    at_s: float
    fates: str


# fmt: off
BOTH: Final = (
    #   first        second       the await gets   at     fates
    Row("ok",        "ok",        "A and B",        2.0,  "value value"),
    Row("ok",        "error",     "error of B",     2.0,  "value error"),
    Row("ok",        "slow",      "A and B",       61.0,  "value value"),
    Row("ok",        "cancelled", "cancelled",      2.25, "value cancelled"),
    Row("ok",        "done",      "A and B",        1.0,  "value value"),
    Row("error",     "ok",        "error of A",     1.25, "error cancelled"),
    Row("error",     "error",     "error of A",     1.25, "error cancelled"),
    Row("error",     "slow",      "error of A",     1.25, "error cancelled"),
    Row("error",     "cancelled", "error of A",     1.25, "error cancelled"),
    Row("error",     "done",      "error of A",     1.0,  "error value"),
    Row("slow",      "ok",        "A and B",       60.0,  "value value"),
    Row("slow",      "error",     "error of B",     2.25, "cancelled error"),
    Row("slow",      "slow",      "A and B",       61.0,  "value value"),
    Row("slow",      "cancelled", "cancelled",      2.5,  "cancelled cancelled"),
    Row("slow",      "done",      "A and B",       60.0,  "value value"),
    Row("cancelled", "ok",        "cancelled",      1.5,  "cancelled cancelled"),
    Row("cancelled", "error",     "cancelled",      1.5,  "cancelled cancelled"),
    Row("cancelled", "slow",      "cancelled",      1.5,  "cancelled cancelled"),
    Row("cancelled", "cancelled", "cancelled",      1.5,  "cancelled cancelled"),
    Row("cancelled", "done",      "cancelled",      1.25, "cancelled value"),
    Row("done",      "ok",        "A and B",        2.0,  "value value"),
    Row("done",      "error",     "error of B",     2.0,  "value error"),
    Row("done",      "slow",      "A and B",       61.0,  "value value"),
    Row("done",      "cancelled", "cancelled",      2.25, "value cancelled"),
    Row("done",      "done",      "A and B",        0.0,  "value value"),
)
EITHER: Final = (
    Row("ok",        "ok",        "A",              1.25, "value cancelled"),
    Row("ok",        "error",     "A",              1.25, "value cancelled"),
    Row("ok",        "slow",      "A",              1.25, "value cancelled"),
    Row("ok",        "cancelled", "A",              1.25, "value cancelled"),
    Row("ok",        "done",      "B",              0.25, "cancelled value"),
    Row("error",     "ok",        "error of A",     1.25, "error cancelled"),
    Row("error",     "error",     "error of A",     1.25, "error cancelled"),
    Row("error",     "slow",      "error of A",     1.25, "error cancelled"),
    Row("error",     "cancelled", "error of A",     1.25, "error cancelled"),
    Row("error",     "done",      "B",              0.25, "cancelled value"),
    Row("slow",      "ok",        "B",              2.25, "cancelled value"),
    Row("slow",      "error",     "error of B",     2.25, "cancelled error"),
    Row("slow",      "slow",      "A",             60.25, "value cancelled"),
    Row("slow",      "cancelled", "cancelled",      2.5,  "cancelled cancelled"),
    Row("slow",      "done",      "B",              0.25, "cancelled value"),
    Row("cancelled", "ok",        "cancelled",      1.5,  "cancelled cancelled"),
    Row("cancelled", "error",     "cancelled",      1.5,  "cancelled cancelled"),
    Row("cancelled", "slow",      "cancelled",      1.5,  "cancelled cancelled"),
    Row("cancelled", "cancelled", "cancelled",      1.5,  "cancelled cancelled"),
    Row("cancelled", "done",      "B",              0.25, "cancelled value"),
    Row("done",      "ok",        "A",              0.25, "value cancelled"),
    Row("done",      "error",     "A",              0.25, "value cancelled"),
    Row("done",      "slow",      "A",              0.25, "value cancelled"),
    Row("done",      "cancelled", "A",              0.25, "value cancelled"),
    Row("done",      "done",      "the left",       0.0,  "value value"),
)
# fmt: on


@pytest.mark.parametrize(("name", "rows"), [("both", BOTH), ("either", EITHER)], ids=["both", "either"])
def test_the_table_has_every_pair(name: str, rows: tuple[Row, ...], show: Show) -> None:
    """F2: no pair is missing from the tables above, and none is there twice."""
    show(f"F2: {name} of {{{', '.join(KINDS)}}} x the same, in both places: {2 * len(rows)} cells asserted")

    assert [(row.first, row.second) for row in rows] == [(first, second) for first in KINDS for second in KINDS]


@attrs.frozen
class Operand:
    """One of the two: the operation, and the record of what became of it."""

    act: Act
    future: Operation[str]

    def fate(self) -> str:
        """How it ended; a cancelled one has cleaned up, the others have had nothing to clean."""
        fate = next(name for name, state in FATES.items() if state == self.future._state)
        assert (self.act.cleaned_at is not None) == (fate == "cancelled")
        return fate


async def begin(works: Works, kind: str, name: str, moves_s: float) -> Operand:
    """Start one operand of that *kind*."""
    after_s = {"slow": 59 + moves_s, "cancelled": math.inf, "done": 0}.get(kind, moves_s)
    act = Act(name, after_s=after_s, fails=kind == "error")
    future = works.io(act.run)
    if kind == "cancelled":
        works.third_party(cancel_at, moves_s, future)
    elif kind == "done":
        await future
    return Operand(act, future)


async def cancel_at(moves_s: float, future: Future[str]) -> None:
    """The third party."""
    await trio.sleep(moves_s)
    future.cancel()


async def outcome(combined: Future[object]) -> str:
    """What an await of *combined* gets, in the words of the table."""
    try:
        value = await combined
    except Boom as error:
        return f"error of {error}"
    except FutureCancelled:
        return "cancelled"
    if isinstance(value, tuple):
        return " and ".join(cast(tuple[str, str], value))
    one = cast(Left[str] | Right[str], value)
    return f"{type(one).__name__} {one.value}"


def expected(row: Row, *, first_is_left: bool) -> str:
    """What *row* says, with the place of the operands filled in."""
    left, right = ("A", "B") if first_is_left else ("B", "A")
    return {
        "A and B": f"{left} and {right}",
        "A": f"{'Left' if first_is_left else 'Right'} A",
        "B": f"{'Right' if first_is_left else 'Left'} B",
        "the left": f"Left {left}",
    }.get(row.gets, row.gets)


CASES: Final = [
    pytest.param(name, row, first_is_left, id=f"{name}-{row.first}-{row.second}-{'left' if first_is_left else 'right'}")
    for name, rows in (("both", BOTH), ("either", EITHER))
    for row in rows
    for first_is_left in (True, False)
]


@pytest.mark.parametrize(("combinator", "row", "first_is_left"), CASES)
async def test_table(combinator: str, row: Row, first_is_left: bool, autojump_clock: MockClock) -> None:
    """F2: each cell has its result, its error bare, its losers cancelled, and their cleanup over before the outcome."""
    async with open_works() as works:
        start = trio.current_time()
        first = await begin(works, row.first, "A", 1)
        second = await begin(works, row.second, "B", 2)
        await wait_all_tasks_blocked()
        left, right = (first, second) if first_is_left else (second, first)
        combined = both(left.future, right.future) if combinator == "both" else either(left.future, right.future)
        gets = await outcome(combined)
        took_s = trio.current_time() - start

        assert gets == expected(row, first_is_left=first_is_left)
        assert took_s == pytest.approx(row.at_s, abs=1e-6)
        assert f"{first.fate()} {second.fate()}" == row.fates
        assert works.failures == []
