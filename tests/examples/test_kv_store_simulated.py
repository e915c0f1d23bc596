"""The simulated key-value store tells the truth and survives power cuts, and each planted mistake is found (D3, D4, D5)."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import pytest
from examples.kv_service import wire
from examples.kv_service.log import LogFile
from examples.kv_service.messages import Append, LogMessage, Read, Write, WriteRefused
from examples.kv_service.store import Store
from examples.simulation import kv_store
from examples.simulation.kv_store import DISK, clients, find, is_all_there, survives, tells_the_truth, write_and_read
from tests.effort import count

import histrio
import histrio.testing
from histrio.testing import BrokenPromise, Faults, NotLinearizable, Report, World, crash_points, explore, replay

pytestmark = pytest.mark.slow


class Hasty(Store):
    """Acknowledges a write before the log has answered."""

    @histrio.handler(Write)
    async def write(self, m: Write) -> None:
        self.background(self.log.ask, Append(wire.show(m).encode()))
        self._apply(m)


class Early(Store):
    """Applies a write before it is logged, so that one can be read that the log then refuses, or that a power cut takes."""

    @histrio.handler(Write)
    async def write(self, m: Write) -> None:
        self._apply(m)
        await super().write(m)


class Undoing(Store):
    """As `Early`, but takes back what the log refuses; somebody may have read it, or written another value, by then."""

    @histrio.handler(Write)
    async def write(self, m: Write) -> None:
        before = self.values.get(m.key)
        self._apply(m)
        try:
            await super().write(m)
        except WriteRefused:
            if before is None:
                self.values.pop(m.key, None)
            else:
                self.values[m.key] = before
            raise


class Caching(Store):
    """Remembers what it has answered, and does not hear of later writes."""

    def __init__(self, log: histrio.Ref[LogMessage]) -> None:
        super().__init__(log)
        self.cached: dict[str, int | None] = {}

    @histrio.handler(Read)
    async def read(self, m: Read) -> int | None:
        return self.cached.setdefault(m.key, self.values.get(m.key))


class Unsynced(LogFile):
    """Answers when the record is on its way to the disk."""

    @histrio.handler(Append)
    async def append(self, m: Append) -> None:
        self.background(super().append, m)


LIES: Final = {
    "applies what the log may refuse": Early,
    "takes back what somebody may have read": Undoing,
    "answers from a cache": Caching,
}
"""What clients notice while the power is on."""

LOSSES: Final = {
    "acknowledges before the log has answered": partial(survives, store=Hasty),
    "shows what is not logged yet": partial(survives, store=Early),
    "the log answers before the disk": partial(survives, log=Unsynced),
}
"""What clients notice after a power cut."""


@pytest.mark.alarm(10_000)  # of a nightly run
def test_clients_are_told_the_truth() -> None:
    """D3, D5: whatever the schedule, and whatever the disk refuses, there is an order that explains all answers."""
    report = tells_the_truth(count("explored_schedules"))

    assert not report.failed, report.explanation


@pytest.mark.alarm(10_000)  # of a nightly run
def test_nothing_is_lost_by_a_power_cut() -> None:
    """D4, D5: wherever the power is cut, and whatever that leaves, all that somebody knows is there."""
    report = survives(count("crashed_schedules"))

    assert not report.failed, report.explanation
    assert report.complete


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found(lie: str) -> None:
    """D3, D5: no order explains what its clients were told, and the token shows it again."""
    report = tells_the_truth(200, LIES[lie])

    assert isinstance(report.error, NotLinearizable)
    assert report.token is not None
    with pytest.raises(NotLinearizable):
        replay(partial(clients, store=LIES[lie]), report.token, faults=DISK)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_found(loss: str) -> None:
    """D4, D5: somewhere a power cut takes away what somebody knows, and the token shows it again."""
    searched = LOSSES[loss]

    report = searched()

    assert isinstance(report.error, BrokenPromise)
    assert report.token is not None
    with pytest.raises(BrokenPromise):
        crash_points(partial(write_and_read, **searched.keywords), find, is_all_there, token=report.token)


def test_it_is_a_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m` explores it, cuts its power, and prints both reports; here the first of fewer schedules."""

    def explore_little(main: Callable[[World], Awaitable[object]], _: int, *, faults: Faults) -> Report:
        return explore(main, 3, faults=faults)

    monkeypatch.setattr(histrio.testing, "explore", explore_little)
    monkeypatch.delitem(sys.modules, kv_store.__name__)
    runpy.run_module(kv_store.__name__, run_name="__main__")

    first, second = capsys.readouterr().out.splitlines()
    assert first == "clients at the same time: 3 schedules, none failed"
    assert second.startswith("power cuts: ")
    assert second.endswith("schedules, none failed (all of them: complete)")
