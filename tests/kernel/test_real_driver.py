"""E2: the real driver has the shape of a driver, and each of its parts reaches the world."""

import errno
import math
import os
import random
import threading
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from histrio_kernel.driver import Clock, Driver, File, Net, Random, Stream
from histrio_kernel.real import RealClock, RealDisk, RealDriver, RealNet


async def test_the_clock_is_the_runs_own(autojump_clock: MockClock) -> None:
    """E2: now, sleep and deadline follow Trio's clock, so a test's MockClock moves them."""
    clock: Clock = RealClock()
    start = clock.now()
    await clock.sleep(10)
    assert clock.now() == start + 10
    await clock.deadline(start + 25)
    assert clock.now() == start + 25
    await clock.deadline(start)
    assert clock.now() == start + 25
    assert clock.now() == autojump_clock.current_time()


async def test_the_clock_refuses_what_is_no_time() -> None:
    """E2: a negative or undefined time is a ValueError."""
    clock = RealClock()
    with pytest.raises(ValueError, match="non-negative"):
        await clock.sleep(-1)
    with pytest.raises(ValueError, match="NaN"):
        await clock.sleep(math.nan)
    with pytest.raises(ValueError, match="NaN"):
        await clock.deadline(math.nan)


async def test_chance_differs_between_drivers() -> None:
    """E2: each driver is seeded by the operating system."""
    async with RealDriver() as one, RealDriver() as other:
        assert one.random.getrandbits(128) != other.random.getrandbits(128)


def test_a_seeded_random_will_do() -> None:
    """E2: random.Random is a Random as it stands, and each of its operations is there."""
    chance: Random = random.Random(1)
    items = list(range(10))
    chance.shuffle(items)

    assert sorted(items) == list(range(10))
    assert 0 <= chance.random() < 1
    assert 2 <= chance.uniform(2, 3) <= 3
    assert chance.randrange(5) in range(5)
    assert chance.randrange(5, 10, 5) == 5
    assert chance.choice("a") == "a"
    assert chance.getrandbits(4) in range(16)
    assert len(chance.randbytes(3)) == 3


async def test_the_real_driver_is_a_driver(tmp_path: Path) -> None:
    """E2: what is written against `Driver` reaches clock, chance, disk, threads through the real one."""
    driver: Driver
    async with RealDriver() as driver:
        file: File = await driver.disk.open(tmp_path / "a")
        assert await driver.disk.append(file, b"x") == 1
        assert await driver.thread(threading.get_ident) != threading.get_ident()
        assert driver.clock.now() <= trio.current_time()
    assert file.closed


async def test_a_driver_closes_its_disk(tmp_path: Path) -> None:
    """E2: leaving the driver closes the files that are still open, also when cancelled."""
    disk = RealDisk()
    with trio.CancelScope() as scope:
        async with RealDriver(disk=disk) as driver:
            file = await driver.disk.open(tmp_path / "a")
            scope.cancel()
        assert file.closed
    assert disk.statistics().files_open == 0


async def test_connections_reach_listeners() -> None:
    """E2: bytes go both ways, and each side sees the other's end."""
    net: Net = RealNet()
    (listener,) = await net.listen("127.0.0.1", 0)
    host, port = listener.address
    assert host == "127.0.0.1"
    assert port > 0
    assert repr(listener) == f"<RealListener 127.0.0.1 port {port}>"
    accepted: list[Stream] = []

    async def accept() -> None:
        accepted.append(await listener.accept())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        client = await net.connect(host, port)
    (server,) = accepted
    await client.send_all(b"ping")
    assert await server.receive_some() == b"ping"
    await server.send_all(bytearray(b"pong"))
    await server.send_eof()
    assert await client.receive_some(4) == b"pong"
    assert await client.receive_some() == b""
    await client.aclose()
    await server.aclose()
    await listener.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_a_port_in_use_is_named() -> None:
    """E2: listening where another listens says where, and keeps the system's number."""
    net = RealNet()
    (listener,) = await net.listen("127.0.0.1", 0)
    port = listener.address[1]
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use") as caught:
        await net.listen("127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    assert isinstance(caught.value.__cause__, OSError)
    await listener.aclose()
    with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
        await net.connect("127.0.0.1", port)


async def test_a_listener_is_a_listener_of_trio() -> None:
    """E2: trio.serve_listeners takes what listen returned."""
    listeners = await RealNet().listen("127.0.0.1", 0)

    async def echo(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(await stream.receive_some())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, echo, list(listeners))
        async with await RealNet().connect(*listeners[0].address) as client:
            await client.send_all(b"echo")
            assert await client.receive_some() == b"echo"
        nursery.cancel_scope.cancel()


async def test_a_thread_that_has_begun_is_waited_for() -> None:
    """E2: cancelling a thread waits for its end, and its outcome is what the caller gets."""
    go, begun = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go.wait(timeout=60)
        return "done"

    async def release(scope: trio.CancelScope) -> None:
        await trio.to_thread.run_sync(begun.wait)
        scope.cancel()
        go.set()

    async with RealDriver() as driver, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(release, scope)
            assert await driver.thread(work) == "done"
        assert scope.cancel_called


async def test_without_the_extra_a_process_says_how_to_get_it() -> None:
    """E2: process without trio-parallel is an error that names the extra and the function."""
    async with RealDriver(processes=None) as driver:
        with pytest.raises(RuntimeError, match=r"process\(getpid\).*pip install histrio\[process\]"):
            await driver.process(os.getpid)


async def test_a_process_is_another_process(tmp_path: Path) -> None:
    """E2: a function runs in a worker process; cancelled in the middle, the worker is killed, at once.

    It takes real time, for a real process.
    """
    pytest.importorskip("trio_parallel")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with RealDriver() as driver:
        assert await driver.process(math.factorial, 5) == 120
        worker = await driver.process(os.getpid)
        assert worker != os.getpid()
        with pytest.raises(ZeroDivisionError):
            await driver.process(divmod, 1, 0)

        writing: list[int] = []
        with trio.fail_after(60), trio.CancelScope() as scope:

            async def cancel() -> None:
                # Opening the pipe to write ends when the worker has opened it to read: now it is in the middle.
                writing.append(await trio.to_thread.run_sync(os.open, pipe, os.O_WRONLY))
                scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel)
                await driver.process(Path.read_bytes, pipe)
        assert scope.cancelled_caught
        (fd,) = writing
        with pytest.raises(BrokenPipeError):
            os.write(fd, b"anybody there?")
        os.close(fd)
