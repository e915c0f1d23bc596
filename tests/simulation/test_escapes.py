"""D2: a way to the real world is refused at its line, ends the run whoever catches it, and leaves the process as it was."""

import _thread
import gc
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from signal import signal as imported_signal
from typing import Final

import attrs
import pytest
import trio

import histrio
from histrio import Ref
from histrio.testing import World, explore, simulate
from histrio_kernel.simulation.errors import EscapedSimulation


async def real_socket() -> None:
    """Python's own."""
    socket.socket()


async def real_listener() -> None:
    """Trio's."""
    await trio.open_tcp_listeners(0)


async def resolver() -> None:
    """By name."""
    await trio.open_tcp_stream("localhost", 9)


async def worker_thread() -> None:
    """Trio's."""
    await trio.to_thread.run_sync(int)


async def python_thread() -> None:
    """Python's own."""
    threading.Thread(target=int).start()


async def bare_thread() -> None:
    """What those are made of."""
    _thread.start_new_thread(int, ())


async def pool() -> None:
    """A library's."""
    ThreadPoolExecutor(1).submit(int)


async def process() -> None:
    """Trio's."""
    await trio.run_process([sys.executable, "-c", ""])


async def python_process() -> None:
    """Python's own."""
    subprocess.run([sys.executable, "-c", ""], check=True)  # noqa: ASYNC221


async def receiver() -> None:
    """Trio's."""
    with trio.open_signal_receiver(signal.SIGUSR1):
        await trio.sleep(1)


async def handler() -> None:
    """Python's own."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


async def imported_handler() -> None:
    """By a name that was imported before."""
    imported_signal(signal.SIGUSR1, signal.SIG_IGN)


async def waits_for_descriptor() -> None:
    """Of something that is open already."""
    await trio.lowlevel.wait_readable(0)


ESCAPES: Final[list[Callable[[], Awaitable[object]]]] = [
    real_socket,
    real_listener,
    resolver,
    worker_thread,
    python_thread,
    bare_thread,
    pool,
    process,
    python_process,
    receiver,
    handler,
    imported_handler,
    waits_for_descriptor,
]
escapes = pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.__name__)


def line_of(escape: Callable[..., object]) -> str:
    """The line of that function below its docstring, as errors name it."""
    return f"{__file__}:{escape.__code__.co_firstlineno + 2} in {escape.__name__}"


@attrs.frozen
class Do(histrio.Request[None]):
    """Reach for the real world, as an operation of the actor's own or not."""

    escape: Callable[[], Awaitable[object]]
    by_io: bool = False


class Actor(histrio.Actor[Do]):
    """Does what it is told."""

    @histrio.handler(Do)
    async def act(self, message: Do) -> None:
        if message.by_io:
            await self.io(message.escape)
        else:
            await message.escape()


@escapes
def test_the_program_itself_cannot_escape(escape: Callable[[], Awaitable[object]]) -> None:
    """D2: the error names the line, and what to use instead."""

    async def program(world: World) -> None:
        await escape()

    with pytest.raises(EscapedSimulation, match="Use ") as caught:
        simulate(program)
    assert line_of(escape) in str(caught.value)


@escapes
@pytest.mark.parametrize("by_io", [False, True], ids=["handler", "self.io"])
def test_an_actor_cannot_escape(escape: Callable[[], Awaitable[object]], by_io: bool) -> None:
    """D2: neither in a handler nor in `self.io`."""

    async def program(world: World) -> None:
        actor = await world.spawn(Actor)
        await actor.ask(Do(escape, by_io))

    with pytest.raises(EscapedSimulation) as caught:
        simulate(program)
    assert line_of(escape) in str(caught.value)


@escapes
def test_whoever_catches_it_the_run_has_failed(escape: Callable[[], Awaitable[object]]) -> None:
    """D2: a supervisor that starts the actor anew, or an `except` of the program, does not hide it."""

    async def program(world: World) -> str:
        spec = histrio.child("actor", Actor)
        supervisor = await world.spawn(
            histrio.child("sup", histrio.Supervisor, spec, strategy=histrio.ONE_FOR_ONE, restarts_max=10)
        )
        actor: Ref[Do] = supervisor.child(spec)
        with suppress(histrio.ActorStopped):
            await actor.ask(Do(escape))
        return "all is well"

    with pytest.raises(EscapedSimulation) as caught:
        simulate(program)
    assert line_of(escape) in str(caught.value)


def test_a_search_reports_it_with_its_token() -> None:
    """D2: it is a failure like any other, found in the first schedule that has it."""

    async def program(world: World) -> None:
        await worker_thread()

    report = explore(program)

    assert isinstance(report.error, EscapedSimulation)
    assert report.schedules == 1


def everything_of_the_process() -> tuple[object, ...]:
    """What a run may have changed in it."""
    return (
        signal.signal,
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGUSR1),
        threading.Thread.start,
        gc.isenabled(),
        sys.get_asyncgen_hooks(),
        threading.active_count(),
        dict(vars(sys.modules["_signal"])),
        dict(vars(sys.modules["_thread"])),
        dict(vars(sys.modules["trio._core._run"])),
        dict(vars(sys.modules["trio._core._thread_cache"])),
    )


@pytest.mark.parametrize("escape", [None, *ESCAPES], ids=lambda escape: getattr(escape, "__name__", "none"))
def test_afterwards_the_process_is_as_it_was(escape: Callable[[], Awaitable[object]] | None) -> None:
    """D2: whatever happened in the run."""

    async def program(world: World) -> None:
        if escape is not None:
            await escape()

    simulate_once(program)
    before = everything_of_the_process()
    simulate_once(program)

    assert everything_of_the_process() == before


def simulate_once(program: Callable[[World], Awaitable[object]]) -> None:
    """A run, whatever becomes of it."""
    with suppress(EscapedSimulation):
        simulate(program)


def test_afterwards_the_real_world_can_be_reached() -> None:
    """D2: what was refused in a simulation works when it is over."""

    async def real() -> int:
        socket.socket().close()
        with trio.open_signal_receiver(signal.SIGUSR1):
            return await trio.to_thread.run_sync(int)

    async def program(escape: Callable[[], Awaitable[object]], world: World) -> None:
        await escape()

    for escape in ESCAPES:
        simulate_once(partial(program, escape))
        assert trio.run(real) == 0


def test_other_threads_are_free() -> None:
    """D2: a simulation in one thread takes nothing from the others, and two of them do not get in each other's way."""
    done: list[str] = []
    inside, outside = threading.Event(), threading.Event()

    async def other_run() -> None:
        socket.socket().close()
        done.append(await trio.to_thread.run_sync(lambda: "thread"))

    def other_thread() -> None:
        assert inside.wait(60)
        threading.Thread(target=done.append, args=("started",)).start()
        trio.run(other_run)
        done.append(simulate(quick).value)
        outside.set()

    async def quick(world: World) -> str:
        await trio.sleep(1)
        return "simulated"

    async def program(world: World) -> None:
        inside.set()
        assert outside.wait(60)  # that is real, but nobody sees it
        await real_socket()

    thread = threading.Thread(target=other_thread)
    thread.start()
    with pytest.raises(EscapedSimulation):
        simulate(program)
    thread.join()

    assert sorted(done) == ["simulated", "started", "thread"]
    assert gc.isenabled()


def test_an_idle_thread_of_trio_is_not_used_again() -> None:
    """D2: Trio keeps threads that have ended their work; one of them would do without Python's telling."""

    async def real() -> None:
        await trio.to_thread.run_sync(int)

    async def program(world: World) -> None:
        await worker_thread()

    trio.run(real)
    with pytest.raises(EscapedSimulation, match="a real thread"):
        simulate(program)


def test_what_the_world_has_is_no_escape() -> None:
    """D2: the clock, threads, processes and the disk of the driver."""

    class Busy(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            await self.io.clock.sleep(1)
            assert await self.io.thread(int, "7") == 7
            assert await self.io.process(int, "8") == 8

    async def program(world: World) -> str:
        busy = await world.spawn(Busy)
        await busy.tell("go")
        await world.settle()
        file = await world.disk.open("/log")
        await world.disk.append(file, b"x")
        return "done"

    assert simulate(program).value == "done"
