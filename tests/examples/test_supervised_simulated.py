"""The supervised tree keeps its promises whatever fails, and each planted mistake is found and replayed (D3, D4, D5, S1-S3)."""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import pytest
from examples.simulation import supervised
from examples.simulation.supervised import FAULTS, Do, Enter, Job, Ledger, LedgerRef, Worker, day, house, show_light
from tests.effort import count

import histrio
import histrio.testing
from histrio.testing import BrokenPromise, explore, replay, simulate

pytestmark = pytest.mark.slow

MISSING: Final = "what was accepted is in the ledger"
TWO: Final = "of one child there are never two"
BUDGET: Final = "the budget of the office is kept"
DONE: Final = "each accepted job is done once, and everybody is there"


class Hasty(Worker):
    """Accepts a job before the ledger has it."""

    @histrio.handler(Job)
    async def accept(self, m: Job) -> None:
        self.background(super().accept, m)


class Optimist(Ledger):
    """Answers before its disk has the entry."""

    @histrio.handler(Enter)
    async def enter(self, m: Enter) -> None:
        entries = self.entries or ()
        if m.entry not in entries:
            self.entries = (*entries, m.entry)
            self.background(self.log.append, m.entry.encode())


class Patient(Ledger):
    """Enters whatever it is told, so often as it is told."""

    @histrio.handler(Enter)
    async def enter(self, m: Enter) -> None:
        await self.io(self.log.append, m.entry.encode())
        self.entries = (*(self.entries or ()), m.entry)


class Blank(Worker):
    """Does not ask what is still to be done."""

    async def started(self) -> None:
        self.background(self.io, show_light, self.ref.path)


class Double(Worker):
    """Lives twice, as far as one can see."""

    async def started(self) -> None:
        await super().started()
        self.background(self.io, show_light, self.ref.path)


@attrs.frozen
class Mistake:
    """A house that is built wrongly, and the promise that it breaks."""

    built: partial[supervised.House]
    promise: str


PLANTED: Final = {
    "accepts before it is stored": Mistake(partial(house, worker=Hasty), MISSING),
    "answers before the disk has it": Mistake(partial(house, ledger=Optimist), MISSING),
    "enters twice": Mistake(partial(house, ledger=Patient), DONE),
    "starts without asking": Mistake(partial(house, worker=Blank), DONE),
    "one for one where rest for one is needed": Mistake(partial(house, strategy=histrio.ONE_FOR_ONE), DONE),
    "a budget that is not the one that was promised": Mistake(partial(house, restarts_max=4), BUDGET),
    "two of one child": Mistake(partial(house, worker=Double), TWO),
}


@pytest.mark.alarm(20_000)  # of a nightly run
def test_no_accepted_job_is_lost() -> None:
    """D4, D5, S1, S2, S3: whenever the disk fails and the power is cut, all is done once in the end, and all are up."""
    report = explore(day, count("explored_schedules"), faults=FAULTS)

    assert not report.failed, report.explanation


@pytest.mark.parametrize("name", PLANTED)
def test_a_mistake_is_found(name: str) -> None:
    """D3, D5, S1: it breaks its promise within a few schedules, and the token shows it again."""
    mistake = PLANTED[name]
    program = partial(day, built=mistake.built)

    report = explore(program, 100, faults=FAULTS, shrinks=False)

    assert isinstance(report.error, BrokenPromise)
    assert mistake.promise in str(report.error)
    assert report.token is not None
    with pytest.raises(BrokenPromise, match=mistake.promise):
        replay(program, report.token, faults=FAULTS)


def test_a_mistake_that_is_found_is_made_short() -> None:
    """D3: the report of a wrong strategy says what it takes, and its token shows it again."""
    program = partial(day, built=PLANTED["one for one where rest for one is needed"].built)

    report = explore(program, 100, faults=FAULTS)

    assert report.token is not None
    assert report.explanation.startswith("first in, first out, ")
    with pytest.raises(BrokenPromise, match=DONE):
        replay(program, report.token, faults=FAULTS)


def test_much_happens() -> None:
    """D4, S3: in these runs ledgers fail and come back, offices spend their budget, power is cut in the middle of work."""
    seen: Counter[str] = Counter()

    class SeenLedger(Ledger):
        async def started(self) -> None:
            await super().started()
            seen["a ledger starts"] += 1
            seen["it finds entries"] += bool(self.entries)

        @histrio.handler(Enter)
        async def enter(self, m: Enter) -> None:
            try:
                await super().enter(m)
            except OSError:
                seen["its disk fails"] += 1
                raise

    class SeenWorker(Worker):
        def __init__(self, ledger: LedgerRef, remainder: int) -> None:
            super().__init__(ledger, remainder)
            seen["a worker is made"] += 1

        @histrio.handler(Do)
        async def do(self, m: Do) -> None:
            seen["work begins"] += 1
            await super().do(m)
            seen["work ends"] += 1

    def seen_house() -> supervised.House:
        seen["a house is built"] += 1
        return house(SeenLedger, SeenWorker)

    runs = 30
    for seed in range(runs):
        simulate(partial(day, built=seen_house), seed, faults=FAULTS)

    assert seen["a house is built"] > runs + 10, "power cuts"
    assert seen["its disk fails"] > 10
    assert seen["a ledger starts"] > seen["a house is built"] + 10, "restarts"
    assert seen["it finds entries"] > 10
    assert seen["work begins"] > seen["work ends"] > 3 * runs - 10


def test_it_is_a_program_of_less_than_200_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m` explores it and prints the report; here of fewer schedules."""
    monkeypatch.setattr(histrio.testing, "explore", partial(explore, schedules=3))
    monkeypatch.delitem(sys.modules, supervised.__name__)
    runpy.run_module(supervised.__name__, run_name="__main__")

    assert capsys.readouterr().out == "3 schedules, none failed\n"
    assert len(Path(supervised.__file__).read_text(encoding="utf-8").splitlines()) < 200
