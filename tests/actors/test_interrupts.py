"""A14: `KeyboardInterrupt` works: it leaves alone, whatever it strikes, and everything is cleaned up on its way."""

# The real one is sent to a process of its own, which prints "ready", is struck by SIGINT, and prints what it still
# does. The others are raised by the program, where a signal would be hard to aim.

import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
import trio.testing
from tests.actors.classes import new_actor

import histrio
from histrio_kernel.futures import HOLDERS

PREAMBLE: Final = """
    import sys, time, trio, histrio

    class Noted(histrio.Actor[str]):
        shutdown_s = 0.5

        async def receive(self, message: str) -> None:
            try:
                if message == "spin":
                    ready()
                    while True:
                        pass
                elif message == "hold":
                    ready()
                    await trio.sleep_forever()
                elif message == "io":
                    ready()
                    await self.io(trio.sleep_forever)
            finally:
                print("handler cleaned up", flush=True)

        async def stopped(self, reason: histrio.Reason) -> None:
            print("stopped", flush=True)

    def ready() -> None:
        print("ready", flush=True)
"""

MAINS: Final = {
    "a handler that computes": """
        async def main(system: histrio.System) -> None:
            await (await system.spawn(Noted)).tell("spin")
            await system.wait()
    """,
    "a handler that holds the turn": """
        async def main(system: histrio.System) -> None:
            await (await system.spawn(Noted)).tell("hold")
            await system.wait()
    """,
    "a handler that waits for its operation": """
        async def main(system: histrio.System) -> None:
            await (await system.spawn(Noted)).tell("io")
            await system.wait()
    """,
    "a run that computes": """
        class Spins(histrio.Actor[int]):
            async def run(self) -> None:
                ready()
                while True:
                    pass

        async def main(system: histrio.System) -> None:
            await system.spawn(Spins)
            await system.wait()
    """,
    "an idle system": """
        async def main(system: histrio.System) -> None:
            await system.spawn(Noted)
            ready()
            await system.wait()
    """,
    "a busy system": """
        class Ring(histrio.Actor[int]):
            async def receive(self, message: int) -> None:
                await self.ref.tell(message + 1)
                if message == 1000:
                    ready()

        async def main(system: histrio.System) -> None:
            await (await system.spawn(Ring)).tell(0)
            await system.wait()
    """,
    "the body": """
        async def main(system: histrio.System) -> None:
            await system.spawn(Noted)
            ready()
            while True:
                pass
    """,
}


@pytest.mark.parametrize("where", MAINS)
@pytest.mark.alarm(60)
def test_a_real_interrupt_ends_the_program(where: str) -> None:
    """A14: SIGINT ends a program within its cleanup; a real process in real time, since a signal is what is tested."""
    end = """
        try:
            histrio.run(main)
        except KeyboardInterrupt as error:
            print("interrupted", type(error.__cause__).__name__, flush=True)
    """
    source = "\n".join(textwrap.dedent(part) for part in (PREAMBLE, MAINS[where], end))
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        try:
            said, _ = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == 0
    assert said.splitlines()[-1].startswith("interrupted")
    assert ("handler cleaned up" in said) == where.startswith("a handler")


Raise = Callable[[histrio.System], Awaitable[object]]


class Interrupts(histrio.Actor[str]):
    """It is struck where it is told to be."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def started(self) -> None:
        self.background(self.work)

    async def work(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.log.append("operation cleaned up")

    async def receive(self, message: str) -> None:
        match message:
            case "handler":
                raise KeyboardInterrupt
            case "operation":
                await self.io(self.interrupted)
            case "nursery":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.interrupted)
            case _:
                try:
                    await self.io(trio.sleep_forever)
                finally:
                    self.log.append("handler cleaned up")

    async def interrupted(self) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["handler", "operation", "nursery", "body"])
def test_an_interrupt_leaves_alone(where: str) -> None:
    """A14: raised in a handler, an operation or a child task it is no actor's failure: it leaves `run` as itself."""

    async def main(system: histrio.System) -> None:
        bystander = await system.spawn(Interrupts, log)
        struck = await system.spawn(Interrupts, log)
        await bystander.tell("wait")
        await trio.testing.wait_all_tasks_blocked()
        if where == "body":
            raise KeyboardInterrupt
        await struck.tell(where)
        await system.wait()

    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        histrio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert sorted(log) == ["handler cleaned up", "operation cleaned up", "operation cleaned up"]
    assert not HOLDERS


@pytest.mark.parametrize("hook", ["started", "stopped", "run"])
def test_an_interrupt_in_a_hook_leaves_alone(hook: str) -> None:
    """A14: in `started`, `stopped` and `run` too."""

    async def strike(self: object, *args: object) -> None:
        raise KeyboardInterrupt

    async def main(system: histrio.System) -> None:
        await system.spawn(new_actor(histrio.Actor[int], **{hook: strike}))
        await system.stop()

    with pytest.raises(KeyboardInterrupt):
        histrio.run(main)
    assert not HOLDERS


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit])
def test_other_exceptions_of_that_rank_leave_alone_too(error: type[BaseException]) -> None:
    """A14: what is no `Exception` is nobody's outcome."""

    class Exits(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            raise error

    async def main(system: histrio.System) -> None:
        await (await system.spawn(Exits)).tell("go")
        await system.wait()

    with pytest.raises(error):
        histrio.run(main)


def test_an_interrupt_and_a_failure_at_once() -> None:
    """A14: the interrupt leaves, and the failure is its cause, so neither hides the other."""

    class Fails(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("while cleaning up")

    async def main(system: histrio.System) -> None:
        await (await system.spawn(Fails)).tell("begin")
        await trio.testing.wait_all_tasks_blocked()
        await (await system.spawn(Interrupts, list[str]())).tell("handler")
        await system.wait()

    with pytest.raises(KeyboardInterrupt):
        histrio.run(main)


class Unprotected(histrio.Actor[int | str]):
    """It notes where a signal could not interrupt it."""

    def __init__(self, protected: dict[str, bool]) -> None:
        self.protected = protected
        self.note("__init__")

    def note(self, where: str) -> None:
        """Note whether an interrupt would wait here."""
        self.protected[where] = trio.lowlevel.currently_ki_protected()

    async def started(self) -> None:
        self.note("started")
        await trio.lowlevel.checkpoint()
        self.note("started, later")

    async def stopped(self, reason: histrio.Reason) -> None:
        self.note("stopped")

    @histrio.handler(int)
    async def number(self, m: int) -> None:
        self.note("handler")
        await self.io(self.operation)
        self.note("handler, later")
        self.background(self.operation_in_background)

    async def operation(self) -> None:
        self.note("operation")

    async def operation_in_background(self) -> None:
        self.note("background")
        async with self.turn():
            self.note("turn")

    async def unhandled(self, message: int | str) -> None:
        self.note("unhandled")


class AlsoReceives(Unprotected):
    async def receive(self, message: int | str) -> None:
        self.note("receive")


class Runs(Unprotected):
    async def run(self) -> None:
        self.note("run")
        await self.receive_next()
        self.note("run, later")


async def test_user_code_is_never_protected() -> None:
    """A14: state changes of ours are protected from interrupts; handlers, hooks and operations are not."""
    protected: dict[str, bool] = {}
    async with histrio.open_system() as system:
        for kind in (Unprotected, AlsoReceives, Runs):
            ref = await system.spawn(kind, protected)
            await ref.tell(1)
            if kind is not Runs:
                await ref.tell("one")
            await trio.testing.wait_all_tasks_blocked()

    assert len(protected) == 13
    assert [where for where, was_protected in protected.items() if was_protected] == []
