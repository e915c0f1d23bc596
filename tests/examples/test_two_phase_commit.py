"""The example of two-phase commit keeps its promises, and each mistake that is easily made in it is found (D3, D4, D5)."""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from examples.simulation import two_phase_commit
from examples.simulation.two_phase_commit import FAULTS, Bank, Coordinator, Remind, day
from tests.effort import count

import histrio
import histrio.testing
from histrio.testing import BrokenPromise, World, explore, replay, simulate

pytestmark = pytest.mark.slow


class Hasty(Bank):
    """Says that it is prepared before its disk has it."""

    async def write(self, number: int, part: str, change: int) -> None:
        if part == "prepared":
            self.background(super().write, number, part, change)
            self.parts[number], self.changes[number] = part, change
        else:
            await super().write(number, part, change)


class Impatient(Bank):
    """Aborts by itself what it has not heard of for a while."""

    @histrio.handler(Remind)
    async def ask(self, m: Remind) -> None:
        for number in self.in_doubt:
            await self.write(number, "aborted", self.changes[number])


class Talkative(Coordinator):
    """Tells that it commits before its disk has it."""

    async def commit(self, number: int) -> None:
        await self.decide(number, commit=True)
        await self.io(self.log.append, f"{number} committed".encode())


class Forgetful(Coordinator):
    """Does not know after a crash what it still had to tell."""

    async def started(self) -> None:
        await super().started()
        self.owed.clear()


PLANTED: Final[dict[str, Callable[[World], Awaitable[None]]]] = {
    "says prepared too early": partial(day, bank=Hasty),
    "tells commit too early": partial(day, coordinator=Talkative),
    "aborts in doubt": partial(day, bank=Impatient),
    "forgets what it decided": partial(day, coordinator=Forgetful),
}
PROMISE: Final = "a transfer is made at both banks, or at none"


def test_no_transfer_is_made_by_halves() -> None:
    """D4, D5: whichever machines crash, whatever is lost, all is committed or nothing, and in the end it is decided."""
    report = explore(day, count("explored_schedules"), faults=FAULTS)

    assert not report.failed, report.explanation


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_is_found(mistake: str) -> None:
    """D3, D4, D5: one that is easily made breaks the promise in few schedules, and the token shows it again."""
    report = explore(PLANTED[mistake], 300, faults=FAULTS, shrinks=False)

    assert isinstance(report.error, BrokenPromise)
    assert PROMISE in str(report.error)
    assert report.token is not None
    with pytest.raises(BrokenPromise, match=PROMISE):
        replay(PLANTED[mistake], report.token, faults=FAULTS)


def test_much_happens() -> None:
    """D4, D5: in these runs there are commits and aborts, banks that have to ask, and machines that start again."""
    seen: Counter[str] = Counter()

    class SeenBank(Bank):
        async def started(self) -> None:
            await super().started()
            seen["a bank starts"] += 1
            seen["it finds that it is in doubt"] += bool(self.in_doubt)

        async def write(self, number: int, part: str, change: int) -> None:
            await super().write(number, part, change)
            seen[part] += 1

    class SeenCoordinator(Coordinator):
        async def started(self) -> None:
            await super().started()
            seen["a coordinator starts"] += 1

    runs = 30
    for seed in range(runs):
        simulate(partial(day, bank=SeenBank, coordinator=SeenCoordinator), seed, faults=FAULTS)

    assert seen["a bank starts"] > 2 * runs + 10
    assert seen["a coordinator starts"] > runs + 10
    assert seen["committed"] > runs
    assert seen["aborted"] > runs / 2
    assert seen["it finds that it is in doubt"] > 5


def test_it_is_a_program_of_less_than_250_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m` explores it and prints the report; here of fewer schedules."""
    monkeypatch.setattr(histrio.testing, "explore", partial(explore, schedules=3))
    monkeypatch.delitem(sys.modules, two_phase_commit.__name__)
    runpy.run_module(two_phase_commit.__name__, run_name="__main__")

    assert capsys.readouterr().out == "3 schedules, none failed\n"
    assert len(Path(two_phase_commit.__file__).read_text(encoding="utf-8").splitlines()) < 250
