"""The doors of the driver, as a handler meets them: each gives a future of the actor, and none goes past the driver."""

import threading
from pathlib import Path

import pytest
import trio
from tests.actors.lab import Do, Lab
from tests.actors.worlds import World
from tests.kernel.works import forever
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.driver import Listener, Stream


async def test_the_clock(autojump_clock: MockClock) -> None:
    """E2: `io.clock` reads the system's clock, and sleeps on it with the turn given away."""

    async def handler(lab: Lab) -> list[float]:
        start = lab.io.clock.now()
        await lab.io.clock.sleep(2)
        first = lab.io.clock.now() - start
        await lab.io.clock.deadline(start + 5)
        second = lab.io.clock.now() - start
        await lab.io.clock.deadline(start)  # has passed
        await lab.io.clock.sleep(0)
        return [first, second, lab.io.clock.now() - start]

    async def other(lab: Lab) -> float:
        return lab.io.clock.now()

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()
        asked = lab.ask(Do(handler))

        assert await lab.ask(Do(other)) == start
        assert await asked == pytest.approx([2, 5, 5])


async def test_futures_of_doors_combine(autojump_clock: MockClock) -> None:
    """E2: what a door gives is a future like any other: it combines, is cancelled as a loser, and is awaited twice."""

    async def handler(lab: Lab) -> object:
        timer = lab.io.clock.sleep(1)
        got = await histrio.either(lab.io(forever), timer)
        await timer
        return got

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await lab.ask(Do(handler)) == histrio.Right(None)


async def test_a_door_belongs_to_its_handler(autojump_clock: MockClock) -> None:
    """F4: what a handler began at a door and did not await is waited for before its reply, its error is the handler's."""

    async def sleeps(lab: Lab) -> str:
        lab.io.clock.sleep(3)
        return "slept"

    async def fails(lab: Lab) -> None:
        lab.io.clock.sleep(-1)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()
        assert await lab.ask(Do(sleeps)) == "slept"
        assert trio.current_time() - start == pytest.approx(3)

    with pytest.raises(histrio.SystemFailed) as raised:
        async with histrio.open_system() as system:
            await (await system.spawn(Lab)).ask(Do(fails))
    assert isinstance(raised.value.failures[0].__cause__, ValueError)


async def test_a_kill_ends_what_goes_through_doors(autojump_clock: MockClock) -> None:
    """E4: sleepers of a killed actor are cancelled with it."""
    futures: list[histrio.Future[None]] = []

    async def handler(lab: Lab) -> None:
        futures.append(lab.io.clock.sleep(1000))
        await lab.io.clock.deadline(trio.current_time() + 1000)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        await lab.tell(Do(handler))
        await wait_all_tasks_blocked()
        start = trio.current_time()
        await lab.control.kill()

        assert trio.current_time() == start
        with pytest.raises(histrio.FutureCancelled):
            await futures[0]


async def test_the_world_can_be_another(tmp_path: Path) -> None:
    """E2: every door leads to the driver that the system was given; swap it and the program lives in another world.

    Runs in real time, because it uses the real disk, network and threads.
    """
    world = World()

    async def accept(listener: Listener) -> Stream:
        return await listener.accept()

    async def handler(lab: Lab) -> list[object]:
        ours = trio.current_time()
        late = lab.io.clock.now() - ours
        await lab.io.clock.sleep(0)
        await lab.io.clock.deadline(lab.io.clock.now())
        await lab.io.thread(int, "1")
        await lab.io.process(int, "2")
        file = await lab.io.disk.open(tmp_path / "file")
        await lab.io.disk.append(file, b"bytes")
        (listener,) = await lab.io.net.listen("127.0.0.1", 0)
        for stream in await histrio.both(lab.io.net.connect(*listener.address), lab.io(accept, listener)):
            await stream.aclose()
        await listener.aclose()
        return [late > 999, lab.io.random is world.random]

    async with histrio.open_system(driver=world) as system:
        assert await (await system.spawn(Lab)).ask(Do(handler)) == [True, True]

    assert 0 in world.sleeps
    assert [call for call in world.calls if call in ("thread", "process")] == ["thread", "process"]
    assert {"disk", "net"} <= set(world.calls)


async def test_the_disk(tmp_path: Path) -> None:
    """E2: `io.disk` opens, appends, reads, syncs, cuts, renames, lists and removes, each as a future.

    Runs in real time, because the disk is real.
    """

    async def handler(lab: Lab) -> list[object]:
        disk = lab.io.disk
        file = await disk.open(tmp_path / "a")
        ends = await histrio.all_of(*(disk.append(file, data) for data in (b"one", b"two", b"three")))
        await disk.sync(file)
        seen: list[object] = [ends, await disk.read(tmp_path / "a"), await disk.read(tmp_path / "a", 3, 3)]
        await disk.truncate(file, 3)
        await disk.rename(tmp_path / "a", tmp_path / "b")
        seen += [await disk.read(tmp_path / "b"), await disk.list(tmp_path)]
        await disk.close(file)
        await disk.remove(tmp_path / "b")
        return [*seen, await disk.list(tmp_path)]

    async with histrio.open_system() as system:
        got = await (await system.spawn(Lab)).ask(Do(handler))

    assert got == [(3, 6, 11), b"onetwothree", b"two", b"one", ("b",), ()]


async def test_a_thread_gives_the_turn_away(tmp_path: Path) -> None:
    """E2: `io.thread` runs in a thread while the actor goes on; its error is raised at the await.

    Runs in real time, because the thread is real.
    """
    go = threading.Event()

    def blocks() -> int:
        assert go.wait(30)
        return threading.get_ident()

    async def waits(lab: Lab) -> int:
        return await lab.io.thread(blocks)

    async def lets_go(lab: Lab) -> str:
        go.set()
        with pytest.raises(ValueError, match="invalid literal"):
            await lab.io.thread(int, "x")
        return "went on"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        asked = lab.ask(Do(waits))

        assert await lab.ask(Do(lets_go)) == "went on"
        assert await asked != threading.get_ident()


async def test_a_cancelled_thread_is_waited_for() -> None:
    """E2: a thread cannot be stopped: a cancelled await ends when it returns, with its value.

    Runs in real time, because the thread is real.
    """
    begun, go = threading.Event(), threading.Event()

    def blocks() -> str:
        begun.set()
        assert go.wait(30)
        return "returned"

    async def handler(lab: Lab) -> object:
        with trio.CancelScope() as scope:
            future = lab.io.thread(blocks)
            await trio.to_thread.run_sync(begun.wait)
            scope.cancel()
            trio.lowlevel.current_trio_token().run_sync_soon(go.set)
            return [await future, scope.cancelled_caught]
        return "left"

    async with histrio.open_system() as system:
        assert await (await system.spawn(Lab)).ask(Do(handler)) == ["returned", False]
