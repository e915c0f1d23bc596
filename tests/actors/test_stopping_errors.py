"""A10: what a stopping actor raises is its failure, though it may be the end of a channel; and its files are closed."""

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


class Reads(histrio.Actor[str]):
    """Its handler reads a channel of its own, which may end."""

    def __init__(self, channel: trio.MemoryReceiveChannel[int]) -> None:
        self.channel = channel

    async def receive(self, message: str) -> None:
        await self.channel.receive()


async def test_the_end_of_a_channel_of_its_own_is_a_failure(autojump_clock: MockClock) -> None:
    """A10: a handler that meets the end of its own channel while its actor stops has failed, and says so."""
    send, receive = trio.open_memory_channel[int](0)

    async def stop_and_close(system: histrio.System) -> None:
        reader = await system.spawn(Reads, receive)
        await reader.tell("read")
        await wait_all_tasks_blocked()
        reader.control.stop()
        send.close()
        await trio.sleep_forever()

    with pytest.raises(histrio.SystemFailed) as caught:
        async with histrio.open_system() as system:
            await stop_and_close(system)

    assert isinstance(caught.value.failures[0].__cause__, trio.EndOfChannel)


class EndsInStopped(histrio.Actor[str]):
    async def stopped(self, reason: histrio.Reason) -> None:
        raise trio.EndOfChannel


async def test_the_end_of_a_channel_in_stopped_is_a_failure() -> None:
    """A10: the same for `stopped()`."""
    with pytest.raises(histrio.SystemFailed) as caught:
        async with histrio.open_system() as system:
            await system.spawn(EndsInStopped)

    assert isinstance(caught.value.failures[0].__cause__, trio.EndOfChannel)


class KeepsOpen(histrio.Actor[str]):
    """Opens a file and never closes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def started(self) -> None:
        self.file = await self.io.disk.open(self.path)


def descriptors_of(path: Path) -> int:
    """How many descriptors of this process are open on the file."""
    target = path.stat()
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            here = os.stat(f"/proc/self/fd/{name}")
        except OSError:  # the one that listed them
            continue
        found += (here.st_dev, here.st_ino) == (target.st_dev, target.st_ino)
    return found


@pytest.mark.parametrize("how", ["leave", "raise", "cancel"])
async def test_files_are_closed_with_the_system(how: str, tmp_path: Path) -> None:
    """A14, E4: however a system ends, what its actors had open is closed when it has ended."""
    path = tmp_path / "kept"

    async def use() -> None:
        async with histrio.open_system() as system:
            await system.spawn(KeepsOpen, path)
            assert descriptors_of(path) == 1
            if how == "raise":
                raise KeyError(how)
            if how == "cancel":
                scope.cancel()
                await trio.sleep_forever()

    with trio.CancelScope() as scope:
        try:
            await use()
        except KeyError:
            assert how == "raise"

    assert scope.cancelled_caught == (how == "cancel")
    assert descriptors_of(path) == 0


class Shields(histrio.Actor[str]):
    """Lets nobody interrupt what it does at its end, and takes too long for that."""

    shutdown_s = 2

    async def stopped(self, reason: histrio.Reason) -> None:
        with trio.CancelScope(shield=True):
            await self.io(trio.sleep, 30)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_what_waits_under_a_shield_is_killed_all_the_same(how: str, autojump_clock: MockClock) -> None:
    """A10, E4: that an operation was cancelled with its actor is no failure of it, though a shield lets the await see that."""
    async with histrio.open_system() as system:
        shields = await system.spawn(Shields)
        down = shields.monitor()
        shields.control.stop()
        await trio.sleep(1)
        if how == "kill":
            shields.control.kill("now")

        assert (await down).reason.end is histrio.End.KILLED
