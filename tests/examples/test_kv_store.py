"""The store and its log: durable before it is visible, visible before it is answered, in the order of the log."""

import errno
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from examples.kv_service.data import kept_in
from examples.kv_service.log import LogFile
from examples.kv_service.messages import STORE, LogMessage, Read, Status, Unavailable, Write, WriteRefused
from examples.kv_service.store import Store
from examples.kv_service.wire import show
from tests.effort import count
from tests.examples.serving import StoreRef
from tests.kernel.planted import Fault, Planted

import histrio
from histrio_kernel.log_format import LogFormat, scan
from histrio_kernel.real import RealDisk, RealDriver

LOG = Path("/data/kv.log")


class Gated(Planted):
    """A disk whose syncs of the log can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def fsync(self, fd: int) -> None:
        assert self.gate.wait(30)
        super().fsync(fd)


class Watched(Store):
    """A store that remembers what it applied, in order."""

    def __init__(self, log: histrio.Ref[LogMessage], applied: list[str]) -> None:
        super().__init__(log)
        self.applied = applied

    def _apply(self, write: Write) -> None:
        super()._apply(write)
        self.applied.append(show(write))


@asynccontextmanager
async def store_on(
    calls: Planted, make: Callable[[histrio.Ref[LogMessage]], Store] = Store
) -> AsyncGenerator[StoreRef]:
    """A store on a disk in memory, with nobody who would start it again."""
    async with (
        RealDriver(disk=RealDisk(calls)) as driver,
        histrio.open_system(driver=driver, held_turn_s=60) as system,
    ):
        yield await system.spawn(make, await system.spawn(LogFile, LOG, name="log"), name="store")


def logged(calls: Planted) -> list[str]:
    """What the log holds, synced, in order."""
    return [payload.decode() for payload in scan(LOG, calls.names[str(LOG)].platter).payloads]


async def test_a_write_can_be_read() -> None:
    """A Read is answered with the value that was written, of whatever size; an unknown key is bound to None."""
    async with store_on(Planted()) as store:
        await store.ask(Write("x", 10**5_000))
        assert await store.ask(Read("x")) == 10**5_000
        assert await store.ask(Read("y")) is None


async def test_a_restart_reads_the_log() -> None:
    """A new store on the same log has the last value of each key."""
    calls = Planted()
    async with store_on(calls) as store:
        for value in range(3):
            await store.ask(Write("x", value))
        await store.ask(Write("\ud800", -1))

    async with store_on(calls) as store:
        assert await store.ask(Read("x")) == 2
        assert await store.ask(Read("\ud800")) == -1
        assert (await store.ask(Status())).keys == 2


async def test_a_write_is_visible_only_when_it_is_synced() -> None:
    """While a write waits for the disk, reads are answered, with the value before; it is answered when it is synced."""
    calls = Gated()
    async with store_on(calls) as store:
        await store.ask(Write("x", 1))
        calls.gate.clear()
        write = store.ask(Write("x", 2))
        await trio.testing.wait_all_tasks_blocked()
        assert await store.ask(Read("x")) == 1
        assert not write.is_done
        assert logged(calls) == ['Write "x" 1']

        calls.gate.set()
        await write
        assert await store.ask(Read("x")) == 2
        assert logged(calls) == ['Write "x" 1', 'Write "x" 2']


async def test_writes_that_wait_share_a_sync() -> None:
    """E3: while one write is synced others come, and one more sync serves them all."""
    calls = Gated()
    async with store_on(calls) as store:
        calls.gate.clear()
        first = store.ask(Write("first", 0))
        await trio.testing.wait_all_tasks_blocked()
        before = calls.count("fsync", str(LOG))
        writes = [store.ask(Write(f"key {number}", number)) for number in range(500)]
        await trio.testing.wait_all_tasks_blocked()
        calls.gate.set()
        await histrio.all_of(first, *writes)

    assert calls.count("fsync", str(LOG)) == before + 2


async def test_writes_of_one_key_are_applied_in_the_order_of_the_log() -> None:
    """However Trio schedules 64 writers of one key, memory takes their values in the order in which the log has them."""
    calls = Planted()
    applied: list[str] = []
    async with store_on(calls, partial(Watched, applied=applied)) as store:
        for turn in range(count("kv_order_rounds")):
            writes = [store.ask(Write("x", 64 * turn + number)) for number in range(64)]
            await histrio.all_of(*writes)
            assert applied == logged(calls)
            assert f'Write "x" {await store.ask(Read("x"))}' == applied[-1]


def fail_from_now(calls: Planted, name: str, times: int, number: int) -> None:
    """Plant faults in the next *times* calls of *name*."""
    now = calls.count(name)
    calls.faults.update(Fault(now + nth, name, number) for nth in range(times))


@pytest.mark.parametrize("name", ["pwrite", "fsync"])
async def test_a_full_disk_acknowledges_nothing_and_reads_go_on(name: str, mock_clock: trio.testing.MockClock) -> None:
    """Each of the writes that share a failed write or sync is refused; none becomes visible; the actor lives on."""
    calls = Gated()
    async with store_on(calls) as store:
        await store.ask(Write("x", 1))
        fail_from_now(calls, name, 1, errno.ENOSPC)
        writes = [store.ask(Write("x", 10 + number)) for number in range(8)]
        for write in writes:
            with pytest.raises(WriteRefused, match="No space left on device"):
                await write
        assert await store.ask(Read("x")) == 1
        refusing = (await store.ask(Status())).refusing

    assert refusing is not None
    assert "No space left on device" in refusing
    async with store_on(calls) as store:
        assert await store.ask(Read("x")) in {1, *range(10, 18)}  # in the page cache is what never was acknowledged


@pytest.mark.parametrize("name", ["pwrite", "fsync"])
async def test_a_broken_disk_fails_the_log(name: str) -> None:
    """After any other error of the disk nobody is told that a write is safe, and the log ends by that error."""
    calls = Planted()

    async def live() -> None:
        async with store_on(calls) as store:
            await store.ask(Write("x", 1))
            fail_from_now(calls, name, 1, errno.EIO)
            with pytest.raises(Unavailable):
                await store.ask(Write("x", 2))
            await trio.sleep_forever()

    with pytest.raises(histrio.SystemFailed) as caught:
        await live()

    assert [failure.path for failure in caught.value.failures] == ["/log"]
    assert "Input/output error" in str(caught.value)


async def test_the_log_is_opened_again_after_a_while(mock_clock: trio.testing.MockClock) -> None:
    """After a failure writes are refused without touching the disk; after `reopen_s` one of them opens the log again."""
    calls = Gated()
    async with store_on(calls) as store:
        await store.ask(Write("x", 1))
        fail_from_now(calls, "fsync", 1, errno.ENOSPC)
        with pytest.raises(WriteRefused):
            await store.ask(Write("x", 2))
        touched = len(calls.calls)
        mock_clock.jump(0.99)
        with pytest.raises(WriteRefused):
            await store.ask(Write("x", 3))
        assert len(calls.calls) == touched

        mock_clock.jump(0.01)
        await store.ask(Write("y", 4))
        await store.ask(Write("y", 5))
        assert (await store.ask(Status())).refusing is None
        assert logged(calls) == ['Write "x" 1', 'Write "y" 4', 'Write "y" 5']
        assert await store.ask(Read("x")) == 1


async def test_one_write_at_a_time_opens_the_log_again(mock_clock: trio.testing.MockClock) -> None:
    """While one write opens the log again, the others are refused at once; while the disk still fails, all are."""
    calls = Gated()
    async with store_on(calls) as store:
        fail_from_now(calls, "fsync", 2, errno.EDQUOT)
        with pytest.raises(WriteRefused):
            await store.ask(Write("x", 1))
        mock_clock.jump(1)
        opened = calls.count("open")
        writes = [store.ask(Write("x", value)) for value in range(2, 6)]
        for write in writes:
            with pytest.raises(WriteRefused):
                await write
        assert calls.count("open") == opened + 1

        mock_clock.jump(1)
        await store.ask(Write("x", 6))
        assert logged(calls) == ['Write "x" 6']


async def test_a_log_that_somebody_else_has_changed_is_not_written_to(mock_clock: trio.testing.MockClock) -> None:
    """If the log does not hold what was acknowledged when it is opened again, writes stay refused and reads go on."""
    calls = Gated()
    async with store_on(calls) as store:
        await store.ask(Write("x", 1))
        fail_from_now(calls, "fsync", 1, errno.ENOSPC)
        with pytest.raises(WriteRefused):
            await store.ask(Write("x", 2))
        calls.unlink(str(LOG))
        mock_clock.jump(1)
        for _ in range(2):
            with pytest.raises(WriteRefused, match="holds 0 records, and 1 were acknowledged"):
                await store.ask(Write("x", 3))
            mock_clock.jump(1)
        assert await store.ask(Read("x")) == 1


async def test_a_write_that_the_log_cannot_hold_is_refused() -> None:
    """A key of more than the log takes is refused, and the actor lives on."""
    async with store_on(Planted()) as store:
        with pytest.raises(WriteRefused, match="is the most"):
            await store.ask(Write("k" * (8 * 1024 * 1024), 1))
        await store.ask(Write("k", 1))


@pytest.mark.parametrize("payload", [b'Read "x"', b"something else"])
async def test_a_log_of_something_else_does_not_start(payload: bytes) -> None:
    """A log whose records are no writes is refused, and the error tells which record."""
    calls = Planted()
    disk = RealDisk(calls)
    async with await histrio.Log.open(disk, LOG) as log:
        await log.append(b'Write "x" 1')
        await log.append(payload)

    with pytest.raises(histrio.ActorFailed) as caught:
        async with store_on(calls):
            pass

    assert isinstance(caught.value.reason.cause, LogFormat)
    assert "record 2 was not written by this store" in str(caught.value)


async def test_a_write_whose_asker_has_gone_is_carried_out() -> None:
    """Once its handler has begun, a write is durable and visible although nobody waits for the answer."""
    calls = Gated()
    async with store_on(calls) as store:
        calls.gate.clear()
        with trio.move_on_after(0.05):
            await store.ask(Write("x", 1))
        assert await store.ask(Read("x")) is None
        calls.gate.set()
        await store.ask(Write("y", 2))
        assert await store.ask(Read("x")) == 1

    assert logged(calls) == ['Write "x" 1', 'Write "y" 2']


async def test_stopping_finishes_what_was_accepted() -> None:
    """Writes that wait for the disk when the store is stopped are answered, then the log is closed."""
    calls = Gated()
    async with store_on(calls) as store:
        calls.gate.clear()
        writes = [store.ask(Write("x", number)) for number in range(100)]
        await trio.testing.wait_all_tasks_blocked()
        store.control.stop()
        calls.gate.set()
        await histrio.all_of(*writes)
        await store.join()
        with pytest.raises(histrio.ActorStopped):
            await store.ask(Read("x"))

    assert len(logged(calls)) == 100


async def test_a_store_that_is_killed_finds_what_was_under_way() -> None:
    """A store alone is started again: it reads what its predecessor had asked the log for, and the log goes on.

    What was under way is in the file, although nobody was told; so memory has it, too, in the order of the log.
    """
    calls = Gated()
    async with RealDriver(disk=RealDisk(calls)) as driver, histrio.open_system(driver=driver) as system:
        await system.spawn(kept_in(LOG, backoff=None))
        store = await system.registry.wait(STORE)
        calls.gate.clear()
        first = store.ask(Write("x", 0))
        await trio.testing.wait_all_tasks_blocked()
        later = [store.ask(Write("x", number)) for number in range(1, 100)]
        await trio.testing.wait_all_tasks_blocked()
        await store.control.kill("by a test")
        reading = store.ask(Read("x"))
        await trio.testing.wait_all_tasks_blocked()
        calls.gate.set()
        found = await reading
        for write in (first, *later):
            with pytest.raises(histrio.ActorStopped):
                await write
        incarnations = {node.name: node.incarnation for node in system.tree().walk()}

    assert logged(calls) == [f'Write "x" {number}' for number in range(100)]
    assert found == 99
    assert (incarnations["log"], incarnations["store"]) == (1, 2)
