"""D4, D5: `crash_points` cuts the power at every change of the disk, and recovers from everything that may be left."""

from __future__ import annotations

import pytest
from tests.effort import count

import histrio
from histrio.testing import BrokenPromise, Report, World, crash_points, lost_writes
from histrio_kernel.driver import Disk, File
from histrio_kernel.log import Log

PATH = "/log"


class Journal(histrio.Actor[bytes]):
    """Appends what it is told; two at once share a sync."""

    async def started(self) -> None:
        self.log = await Log.open(self.disk, PATH)
        self.log.take_recovered()

    @property
    def disk(self) -> Disk:
        """Its disk."""
        assert disks
        return disks[-1]

    async def receive(self, message: bytes) -> None:
        await self.io(self.log.append, message)
        acknowledged[-1].append(message)

    async def stopped(self, reason: histrio.Reason) -> None:
        await self.log.close()


disks: list[Disk] = []
acknowledged: list[list[object]] = []


async def write(world: World) -> None:
    """Four records, of which some are on their way together."""
    disks.append(world.disk)
    acknowledged.append(world.notes)
    journal = await world.spawn(Journal)
    for record in (b"one", b"two", b"three", b"four"):
        await journal.tell(record)
    await world.settle()
    assert len(world.notes) == 4


async def read(world: World) -> list[bytes]:
    """What the log holds afterwards."""
    async with await Log.open(world.disk, PATH) as log:
        return log.take_recovered()


def nothing_is_lost(notes: list[object], found: list[bytes]) -> None:
    """All that was acknowledged is there, in order, and nothing but what was sent."""
    assert found[: len(notes)] == notes
    assert [b"one", b"two", b"three", b"four"][: len(found)] == found


def test_the_log_loses_nothing() -> None:
    """D4, E3: no acknowledged record is lost over every place and image, and no image was left out."""
    report = crash_points(write, read, nothing_is_lost, reordered=True, bases=count("crashed_schedules"))

    report.check()
    assert report.complete
    assert report.schedules > 25 * count("crashed_schedules")


@pytest.mark.parametrize("bases", [1, 3])
def test_a_program_that_is_too_long_is_cut_at_places_that_are_drawn(bases: int) -> None:
    """D4: `runs_max` is kept, each schedule has its share, and the report does not say that it is complete."""
    lives.clear()
    report = crash_points(count_lives, read, nothing_is_lost, bases=bases, runs_max=10)

    report.check()
    assert report.schedules == 10
    assert not report.complete
    drawn = bases - 1  # a schedule is drawn by a run of its own
    looked_for_more = 1  # whether anything was left out, until something was
    assert len(lives) == 10 + drawn + looked_for_more


def test_a_program_that_is_not_too_long_is_cut_everywhere() -> None:
    """D4: with room for all runs they are all made, once, and the report is that without a bound."""
    lives.clear()
    bounded = crash_points(count_lives, read, nothing_is_lost, runs_max=1_000)

    assert len(lives) == bounded.schedules
    assert bounded == crash_points(count_lives, read, nothing_is_lost)
    assert bounded.complete


lives: list[World] = []


async def count_lives(world: World) -> None:
    """As `write`, and counted."""
    lives.append(world)
    await write(world)


async def careless(world: World) -> None:
    """Acknowledges before the sync."""

    async def append(file: File, text: bytes) -> None:
        world.notes.append(text)
        await world.disk.append(file, text)

    file = await world.disk.open("/careless")
    for text in (b"one", b"two"):
        await append(file, text)


async def read_careless(world: World) -> bytes:
    """What there is."""
    return await world.disk.read("/careless") if "careless" in await world.disk.list("/") else b""


def all_there(notes: list[object], found: bytes) -> bool:
    """Everything that was acknowledged."""
    return found.startswith(b"".join(note for note in notes if isinstance(note, bytes)))


def found_out() -> Report:
    """The report of the careless one."""
    return crash_points(careless, read_careless, all_there)


def test_an_acknowledgement_before_the_sync_is_found() -> None:
    """D5: acknowledged means durable; the report says where the power was cut, and its token leads there again."""
    report = found_out()

    assert report.failed
    assert isinstance(report.error, BrokenPromise)
    assert "the power is cut before" in report.explanation
    assert report.token is not None
    assert len(report.token) <= 40
    with pytest.raises(BrokenPromise, match="which is not what was promised"):
        crash_points(careless, read_careless, all_there, token=report.token)


def test_the_same_every_time() -> None:
    """D1: the places are enumerated in one order, so the first failure is always the same."""
    assert found_out().token == found_out().token


def test_what_main_raises_is_the_report() -> None:
    """D4: a program that fails without any cut is told as that."""

    async def main(world: World) -> None:
        raise ValueError("no")

    report = crash_points(main, read, nothing_is_lost)

    assert report.failed
    assert isinstance(report.error, ValueError)
    assert report.schedules == 1


def test_lost_writes_as_a_check() -> None:
    """D5: `lost_writes` tells of each key what was acknowledged and what was found."""

    def check(notes: list[object], found: bytes) -> None:
        lost = lost_writes([("all", b"".join(note for note in notes if isinstance(note, bytes)))], {"all": found})
        assert not lost, lost

    report = crash_points(careless, read_careless, check)

    assert report.failed
    assert "'all' was acknowledged as" in str(report.error)
