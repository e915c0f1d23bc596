"""J2: the journal in a log: what a power cut, a disk that fails and damage leave of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest
import trio
from tests.effort import count
from tests.journal.owner import record
from tests.kernel.planted import Fault, Planted

from histrio.testing import DiskFaults, Faults, World, crash_points, simulate
from histrio_kernel import log_format
from histrio_kernel.driver import Disk
from histrio_kernel.journal.errors import ForeignFile, JournalDamaged, JournalFailed, JournalTooNew
from histrio_kernel.journal.logged import open_logged
from histrio_kernel.journal.store import Batch, Journal, Mail
from histrio_kernel.log import LOG_PAYLOAD_BYTES_MAX, Log
from histrio_kernel.real.disk import RealDisk

PATH = "/journal"

Found = dict[str, list[int]]
ACTORS = ("/a", "/b")


async def live(world: World) -> None:
    """Two actors commit, each to itself, a child, and a message; what is acknowledged is noted."""

    async def act(journal: Journal, path: str) -> None:
        for seq in (1, 2, 3):
            mail = Mail("/mail", path, seq, b"", 0.0)
            await journal.commit(
                Batch(
                    records=[record(path, seq), record(f"{path}/child", seq)],
                    sends=[mail],
                    took=[("/mail", path, seq - 1)],
                    keep_from=[(path, 2)] if seq == 2 else (),
                )
            )
            world.notes.append((path, seq))

    async with open_logged(world.disk, PATH) as journal, trio.open_nursery() as nursery:
        for path in ACTORS:
            nursery.start_soon(act, journal, path)


async def recover(world: World) -> Found:
    """What is there afterwards, and that it goes on."""
    found: Found = {}
    async with open_logged(world.disk, PATH) as journal:
        for path in ACTORS:
            found[path] = [each.seq for each in await journal.records(path)]
            found[f"{path}/child"] = [each.seq for each in await journal.records(f"{path}/child")]
            found[f"{path} mail"] = [mail.number for mail in await journal.mail("/mail") if mail.sender == path]
        await journal.commit(Batch(records=[record("/after", 1)]))
    async with open_logged(world.disk, PATH) as journal:
        assert [each.seq for each in await journal.records("/after")] == [1]
    return found


def whole_and_not_lost(notes: list[object], found: Found) -> None:
    """Of each actor, a beginning of its batches that is not shorter than what was acknowledged; each batch is whole."""
    for path in ACTORS:
        done = sum((path, seq) in notes for seq in (1, 2, 3))
        last = max(found[f"{path}/child"], default=0)
        assert done <= last <= done + 1
        assert found[f"{path}/child"] == [*range(1, last + 1)]
        assert found[path] == [*range(1 if last < 2 else 2, last + 1)]
        assert found[f"{path} mail"] == [last][: last > 0]


def test_a_power_cut_anywhere() -> None:
    """J2, D4: every acknowledged batch survives, and none is there by half, over every place and every image."""
    report = crash_points(live, recover, whole_and_not_lost, reordered=True, bases=count("journal_crashes"))

    report.check()
    assert report.complete
    assert report.schedules > 40 * count("journal_crashes")


class Hasty:
    """A journal that answers before it has committed."""

    def __init__(self, journal: Journal, nursery: trio.Nursery) -> None:
        self.journal = journal
        self.nursery = nursery

    async def commit(self, batch: Batch) -> None:
        self.nursery.start_soon(self.journal.commit, batch)
        await trio.lowlevel.checkpoint()


async def live_hastily(world: World) -> None:
    """As above, with that one."""
    async with open_logged(world.disk, PATH) as journal, trio.open_nursery() as nursery:
        hasty = Hasty(journal, nursery)
        for seq in (1, 2, 3):
            await hasty.commit(Batch(records=[record("/a", seq), record("/a/child", seq)]))
            world.notes.append(("/a", seq))


def test_an_answer_before_the_sync_is_found() -> None:
    """J2, D5: the test above can fail."""

    def check(notes: list[object], found: Found) -> None:
        assert len(found["/a/child"]) >= len(notes)

    assert crash_points(live_hastily, recover, check).failed


PAGES: Final = bytes(range(1, 200)) * 60
"""A payload on three pages of the disk, of which none looks like another or like nothing."""


async def live_on_pages(world: World) -> None:
    """Two batches, the second on pages that a disk may write in any order."""
    async with open_logged(world.disk, PATH) as journal:
        for seq, payload in ((1, b"x"), (2, PAGES)):
            await journal.commit(Batch(records=[record("/a", seq, payload)]))
            world.notes.append(seq)


async def payloads(world: World) -> list[bytes]:
    """What is there afterwards."""
    async with open_logged(world.disk, PATH) as journal:
        return [each.payload for each in await journal.records("/a")]


def is_a_beginning(notes: list[object], found: list[bytes]) -> bool:
    """Whole batches only, and those that were acknowledged."""
    return len(notes) <= len(found) and found == [b"x", PAGES][: len(found)]


def test_torn_pages() -> None:
    """J2, D4: of a batch on several pages any may be missing after a power cut: then it is not there."""
    report = crash_points(live_on_pages, payloads, is_a_beginning, reordered=True)

    report.check()
    assert report.complete
    in_order = crash_points(live_on_pages, payloads, is_a_beginning)
    assert report.schedules >= in_order.schedules + 6, "of three pages, six ways in which some are missing"


def test_torn_pages_are_found_by_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """D5: without the checksums of its log the journal takes a batch with a page that is not there for one."""
    monkeypatch.setattr(log_format, "_checksum", no_checksum)

    report = crash_points(live_on_pages, payloads, is_a_beginning, reordered=True)

    assert report.failed
    assert isinstance(report.error, JournalDamaged | ForeignFile)


def no_checksum(offset: int, fields: bytes, stored: bytes) -> int:
    """The same for all records."""
    return 0


async def commit(disk: Disk, path: str, batches: int) -> None:
    """Some batches."""
    async with open_logged(disk, path) as journal:
        for seq in range(1, batches + 1):
            await journal.commit(Batch(records=[record("/a", seq)]))


async def until_it_fails(journal: Journal) -> tuple[int, JournalFailed]:
    """How many batches were acknowledged, and what became of the next one."""
    seq = 0
    while True:
        try:
            await journal.commit(Batch(records=[record("/a", seq + 1, bytes(100))]))
        except JournalFailed as error:
            return seq, error
        seq += 1


@pytest.mark.parametrize("fault", [Fault(6, "fsync"), Fault(3, "pwrite"), Fault(3, "pwrite", short=True)], ids=str)
async def test_a_disk_that_fails(fault: Fault) -> None:
    """J2: the journal fails for good; reading is refused, too, as memory is ahead of the disk; opened again it is whole."""
    disk = RealDisk(Planted(fault))
    path = "/d/journal"
    async with open_logged(disk, path) as journal:
        stored, error = await until_it_fails(journal)
        assert isinstance(error.__cause__, OSError)
        with pytest.raises(JournalFailed):
            await journal.commit(Batch(records=[record("/b", 1)]))
        with pytest.raises(JournalFailed):
            await journal.records("/a")
    async with open_logged(disk, path) as journal:
        assert [each.seq for each in await journal.records("/a")] == [*range(1, stored + 1)]
        await journal.commit(Batch(records=[record("/b", 1)]))


@pytest.mark.parametrize("seed", range(5))
def test_a_disk_that_fills_up_in_a_simulation(seed: int) -> None:
    """J2, D4: what was acknowledged before the disk was full is there afterwards."""

    async def main(world: World) -> None:
        async with open_logged(world.disk, PATH) as journal:
            stored, _ = await until_it_fails(journal)
        async with open_logged(world.disk, PATH) as journal:
            assert len(await journal.records("/a")) == stored
        assert stored > 5

    simulate(main, seed, faults=Faults(disk=DiskFaults(capacity=4_000)))


async def make_log(disk: Disk, path: str, payload: bytes) -> None:
    """Add that to a log."""
    async with await Log.open(disk, path) as log:
        await log.append(payload)


NEWER = msgspec.msgpack.encode(["journal of Histrio", 2, "and more"])


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    """J2: a text, a log of something else, a journal of a newer Histrio."""
    text, other, newer = (tmp_path / name for name in ("text", "other", "newer"))
    text.write_text("Dear diary\n" * 100)
    trio.run(make_log, RealDisk(), str(other), b"x" * 20)
    trio.run(make_log, RealDisk(), str(newer), NEWER)
    for path, error in ((text, ForeignFile), (other, ForeignFile), (newer, JournalTooNew)):
        before = path.read_bytes()
        with pytest.raises(error, match=str(path)):
            trio.run(commit, RealDisk(), str(path), 1)
        assert path.read_bytes() == before


def test_damage_is_told(tmp_path: Path) -> None:
    """J2: a flipped bit in what was acknowledged, and a record of the log that makes no sense."""
    flipped, nonsense = tmp_path / "flipped", tmp_path / "nonsense"
    trio.run(commit, RealDisk(), str(flipped), 5)
    image = bytearray(flipped.read_bytes())
    image[len(image) // 2] ^= 1
    flipped.write_bytes(image)
    trio.run(commit, RealDisk(), str(nonsense), 2)
    trio.run(make_log, RealDisk(), str(nonsense), msgspec.msgpack.encode([[1, 2, 3]]))
    for path in (flipped, nonsense):
        with pytest.raises(JournalDamaged, match=str(path)):
            trio.run(commit, RealDisk(), str(path), 1)


async def test_a_batch_that_is_too_large_harms_nobody(tmp_path: Path) -> None:
    """J2: it is refused before it is written, and the journal goes on."""
    async with open_logged(RealDisk(), str(tmp_path / "journal")) as journal:
        with pytest.raises(ValueError, match="nothing was written"):
            await journal.commit(Batch(records=[record("/a", 1, bytes(LOG_PAYLOAD_BYTES_MAX))]))
        async with trio.open_nursery() as nursery:
            for name in "abc":  # together they are more than one record of the log may have
                nursery.start_soon(journal.commit, Batch(records=[record(f"/{name}", 1, bytes(4_000_000))]))
        assert [row.records for row in await journal.actors()] == [1, 1, 1]
        assert journal.groups >= 2
