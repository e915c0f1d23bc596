"""A system is a tree of actors with one way in and one way out: `open_system`, a Trio scope like a nursery (A14)."""

# Design note
# -----------
# Two nurseries, one in the other: actors inside, services (watchdog, timers) outside, so that services live until the
# last actor has ended. The body runs in a cancel scope of its own, because a failing system cancels the body and then
# stops what is left of the tree in order.

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar, TypeVarTuple, cast, final

import trio

from histrio.handlers import HandlerTable
from histrio.idle import Idle, step_until_idle
from histrio.kinds import Lives
from histrio.patterns.registry import Registry
from histrio.ref import Ref
from histrio.spawning import spawn_child
from histrio.tree import Node, node_of
from histrio_kernel.bounds import bound
from histrio_kernel.cell import Cell
from histrio_kernel.default_driver import driver_of_this_run
from histrio_kernel.driver import Driver
from histrio_kernel.engine import Engine
from histrio_kernel.errors import (
    ActorFailed,
    ActorStopped,
    End,
    HistrioError,
    Reason,
    SystemFailed,
    Unbound,
    raise_interrupt,
    split_cancelled,
    told,
)
from histrio_kernel.futures import VALUE, Promise
from histrio_kernel.gate import HEARD
from histrio_kernel.inbox import Inbox
from histrio_kernel.letters import DeadLetters
from histrio_kernel.loop_watchdog import LoopWatchdog
from histrio_kernel.real import RealDriver
from histrio_kernel.signals import Reader
from histrio_kernel.stuck import StuckWatch
from histrio_kernel.watchdog import Watchdog

__all__ = ["System", "open_system", "run"]

M = TypeVar("M")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@final
class System:
    """A tree of actors. Made by `open_system` or `run`.

    Attributes:
        name: what it is called in reports.
    """

    def __init__(self, name: str, engine: Engine, nursery: trio.Nursery, body: trio.CancelScope) -> None:
        self.name: Final = name
        self.path: str = "/"
        self.engine: Engine = engine
        self.children: dict[str, Cell] | None = {}
        self.born: dict[str, int] | None = {}
        self.reason: Reason | None = None
        self._nursery: Final = nursery
        self._body: Final = body
        self._stopping = False
        self._failures: list[ActorFailed] = []
        self._empty: Promise[None] | None = None
        self._registry: Registry | None = None
        engine.host = self
        engine.signals_changed = self._signals_changed

    async def spawn(self, cls: Callable[[*Ts], Lives[M]], *args: *Ts, name: str | None = None) -> Ref[M]:
        """Start an actor at the top of the tree and return its ref when its `started()` has returned.

        A checkpoint if that waits, and every 64th time. Keywords go by `histrio.child` or `functools.partial`. See
        `Actor.spawn`.

        Raises:
            ActorFailed: it failed to start.
            ActorStopped: the system is stopping.
            ValueError: *cls* is no actor class, or *name* is taken, empty, or has "/" or "#" in it.
        """
        return await spawn_child(self, self, cls, args, name)

    async def wait(self) -> None:
        """Wait until no actor is left: until all have ended by themselves, or the system is stopped."""
        if not self.children:
            await trio.lowlevel.checkpoint()
            return
        if self._empty is None:
            self._empty = Promise(self.engine)
        await self._empty

    async def stop(self) -> None:
        """Stop all actors, from the last to the first, each as by `ref.control.stop()`, and wait for their end.

        Leaving `open_system` does this. No actor can be spawned at the top any more. Cancelled, it leaves the rest
        running, and may be called again.
        """
        self._stopping = True
        while self.children:
            for cell in reversed(tuple(self.children.values())):
                cell.stop("the system stops")
                await cell.over()

    def kill(self) -> None:
        """Cancel all actors now. Not a checkpoint."""
        self._stopping = True
        for cell in reversed(tuple((self.children or {}).values())):
            cell.kill("the system is killed")

    def find(self, cls: type[Lives[M]], path: str) -> Ref[M] | None:
        """The ref of the actor at `path`, if one of class `cls` lives there.

        Raises:
            TypeError: the actor there is of another class.
        """
        cell = self._cell_at(path)
        if cell is None:
            return None
        if not issubclass(cell.settings.kind, cast("type[Lives[M]]", getattr(cls, "__origin__", cls))):
            raise TypeError(f"{path} is a {cell.settings.kind.__qualname__}, not a {cls.__qualname__}")
        return cast(Ref[M], self.ref_of(cell))

    def bind(self, ref: Ref[M]) -> Ref[M]:
        """The ref of this system for the address in an unpickled one.

        Raises:
            ActorStopped: no actor lives at that path.
            Unbound: it is the address of another system.
        """
        _, (name, path) = cast(tuple[object, tuple[str, str]], ref.__reduce__())
        if name != self.name:
            raise Unbound(f"{path} is an address in the system {name!r}; this one is {self.name!r}")
        cell = self._cell_at(path)
        if cell is None:
            raise ActorStopped(path, Reason(End.STOPPED, "no actor lives there"), "nothing to bind to")
        return cast(Ref[M], self.ref_of(cell))

    def tree(self) -> Node:
        """What lives in this system at the moment, as data; `str()` of it is a drawing."""
        return node_of(self.name, self.children or {}, stopping=self._stopping)

    @property
    def registry(self) -> Registry:
        """Where the actors of this system are found by typed keys; made when it is first asked for."""
        if self._registry is None:
            self._registry = Registry(self)
        return self._registry

    @property
    def dead_letters(self) -> DeadLetters:
        """Messages that were accepted and never handled: counted, readable, bounded."""
        return self.engine.dead_letters

    @property
    def reports(self) -> tuple[HistrioError, ...]:
        """The last reports of what nobody awaits: `HeldTurn`, `HeldLoop`, `LoserStuck`."""
        return tuple(self.engine.reports)

    async def step_until_idle(self) -> Idle:
        """Let every actor go as far as it can without time passing, and tell how things stand then. A checkpoint.

        For tests and for people who wonder. Everything in the Trio run goes on until all tasks are blocked; a
        `MockClock` with autojump does not jump meanwhile. Actors that tell each other without end never get there.

        Raises:
            HistrioError: the caller is a handler of this system.

        Examples:
            >>> import histrio, trio.testing
            >>> class Sleeper(histrio.Actor[float]):
            ...     async def receive(self, message: float) -> None:
            ...         await self.io.clock.sleep(message)
            >>> async def main(system: histrio.System) -> None:
            ...     sleeper = await system.spawn(Sleeper)
            ...     await sleeper.tell(5.0)
            ...     idle = await system.step_until_idle()
            ...     print(idle.state, idle.until, idle.waits[0].waits_for)
            ...     await trio.sleep(5)
            ...     print((await system.step_until_idle()).state)
            >>> histrio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
            IdleState.WAITING 5.0 its operation RealClock.sleep
            IdleState.DONE
        """
        return await step_until_idle(self)

    def listen(self, reader: Reader) -> Callable[[], None]:
        """Have `reader` called with every signal of every actor, synchronously; the returned function ends it."""
        return self.engine.signals.attach(reader)

    # -- for the front door --------------------------------------------------------------------------------------

    @property
    def io_nursery(self) -> trio.Nursery | None:
        """Where top actors live; None when no more may be spawned."""
        return None if self._stopping else self._nursery

    def ref_of(self, cell: Cell) -> Ref[object]:
        """The address of the actor behind `cell`."""
        return Ref(self, cell.path, cell.inbox, cast(HandlerTable, cell.settings.handlers))

    def find_cell(self, path: str, inbox: Inbox) -> Cell | None:
        """The cell that lives at `path` behind `inbox`, if its actor has not ended."""
        cell = self._cell_at(path)
        return cell if cell is not None and cell.inbox is inbox else None

    def keeps(self, child: Cell) -> bool:
        """There is no supervisor above the top, so nothing there lives again."""
        return False

    def child_over(self, child: Cell, failure: ActorFailed | None) -> None:
        """Forget a top actor that has ended; if it failed, the system fails."""
        assert self.children is not None
        del self.children[child.name]
        if failure is not None:
            self._failures.append(failure)
            self._stopping = True
            self._body.cancel()
        if not self.children and self._empty is not None:
            empty, self._empty = self._empty, None
            empty._settle(VALUE, None)

    def failure(self) -> SystemFailed | None:
        """The error that this system ends with."""
        return SystemFailed(self.name, tuple(self._failures)) if self._failures else None

    def ref_at(self, path: str) -> Ref[object] | None:
        """The address of whoever lives at `path`."""
        cell = self._cell_at(path)
        return None if cell is None else self.ref_of(cell)

    def _cell_at(self, path: str) -> Cell | None:
        children, cell = self.children, None
        for name in path.split("/")[1:]:
            cell = (children or {}).get(name)
            if cell is None:
                return None
            children = cell.children
        return cell

    def _signals_changed(self, heard: bool) -> None:
        cells = list((self.children or {}).values())
        for cell in cells:
            cell.turn.gate = cell.turn.gate | HEARD if heard else cell.turn.gate & ~HEARD
            cell.inbox.set_limit()
            if cell.machine is not None:
                cell.machine.hear(heard)
            cells.extend((cell.children or {}).values())

    def __repr__(self) -> str:
        """Name it and count its top actors."""
        return f"<System {self.name!r} with {len(self.children or ())} actors at its top>"


@asynccontextmanager
async def open_system(
    name: str = "histrio",
    *,
    driver: Driver | None = None,
    held_turn_s: float = bound("held_turn_s"),
    held_loop_s: float = bound("held_loop_s"),
    dead_letters_max: int = bound("dead_letters_max"),
    reports_max: int = bound("reports_max"),
    on_report: Callable[[HistrioError], None] | None = None,
) -> AsyncGenerator[System, None]:
    """Open a system of actors in the current Trio task; leaving the block stops the tree in order.

    If the block raises, the tree is stopped, and then its error leaves. If the system fails, the block is cancelled
    and `SystemFailed` leaves, with all causes. If the scope around is cancelled, all actors are cancelled at once.
    Leaving is a checkpoint; what leaves is one error, never a group of several.

    Args:
        name: what it is called in reports and pickled refs.
        driver: the world that actors reach through `self.io`; default: the real one, inside of a simulation its own.
        held_turn_s: seconds after which the watchdog reports a handler that holds its turn.
        held_loop_s: real seconds after which it reports a task that holds Trio's loop; `math.inf`: it never does. On a
            virtual clock, such as `MockClock`, it never does either.
        dead_letters_max: how many dead letters are kept.
        reports_max: how many reports are kept.
        on_report: called with each report, besides the log.

    Examples:
        >>> import histrio, trio
        >>> class Greeter(histrio.Actor[str]):
        ...     async def receive(self, message: str) -> None:
        ...         print("hello", message)
        >>> async def main() -> None:
        ...     async with histrio.open_system() as system:
        ...         greeter = await system.spawn(Greeter)
        ...         await greeter.tell("world")
        >>> trio.run(main)
        hello world
    """
    ending = _Ending()
    driver = driver_of_this_run() if driver is None else driver
    own_driver = RealDriver() if driver is None else None
    try:
        async with trio.open_nursery() as services:
            engine = Engine(
                name,
                driver if driver is not None else cast(Driver, own_driver),
                services,
                dead_letters_max=dead_letters_max,
                reports_max=reports_max,
                on_report=on_report,
            )
            loop_watchdog = LoopWatchdog(engine, held_loop_s)
            services.start_soon(loop_watchdog.run, name=f"histrio {name}: loop watchdog")
            watchdog = Watchdog(engine, held_turn_s, loop_watchdog.wake)
            services.start_soon(watchdog.run, name=f"histrio {name}: watchdog")
            stuck = StuckWatch(engine)
            services.start_soon(stuck.run, name=f"histrio {name}: what does not end")
            try:
                async with trio.open_nursery() as actors:
                    with trio.CancelScope() as body:
                        ending.system = system = System(name, engine, actors, body)
                        try:
                            yield system
                        except BaseException as error:
                            ending.body_raised(error)
                    ending.body_is_over()
                    await ending.opened().stop()
            finally:
                stuck.close()
                ending.close()  # before the services end, so that whoever finds it open finds a nursery that is, too
            services.cancel_scope.cancel()
    except BaseException as error:
        ending.scope_raised(error)
    finally:
        if own_driver is not None:
            await own_driver.aclose()  # whatever has happened: its files are ours to close
    ending.leave()


@final
class _Ending:
    """Which of the errors at the end of a system leaves it."""

    def __init__(self) -> None:
        self.system: System | None = None
        self._body_error: BaseException | None = None
        self._scope_error: BaseException | None = None
        self._failed_first = False

    def opened(self) -> System:
        """The system, which has been opened."""
        assert self.system is not None
        return self.system

    def body_raised(self, error: BaseException) -> None:
        """The block raised; a cancellation goes on to its scope."""
        cancelled, self._body_error = split_cancelled(error)
        if cancelled is not None:
            for cell in (self.opened().children or {}).values():
                cell.is_to_end()
            raise cancelled

    def body_is_over(self) -> None:
        """From here on, failures of the tree come after the block."""
        assert self.system is not None
        self._failed_first = self.system.failure() is not None

    def scope_raised(self, error: BaseException) -> None:
        """The nurseries raised: a cancellation from outside, or KeyboardInterrupt."""
        self._scope_error = error

    def close(self) -> None:
        """Whoever still awaits a future of this system gets `ActorStopped`."""
        if self.system is not None:
            failure = self.system.failure()
            end = End.STOPPED if failure is None else End.FAILED
            self.system.engine.close(Reason(end, "the system is closed", failure))

    def leave(self) -> None:
        """Raise what leaves the system, if anything does."""
        cancelled, rest = (None, None) if self._scope_error is None else split_cancelled(self._scope_error)
        failure = None if self.system is None else self.system.failure()
        if rest is not None:
            raise_interrupt(rest)
        consequence = self._body_error is None or isinstance(self._body_error, ActorStopped)
        if failure is not None and (self._failed_first or consequence):
            if self._body_error is not None and not isinstance(self._body_error, ActorStopped):
                failure.add_note(f"the block around the system raised too: {told(self._body_error)}")
                failure.__context__ = self._body_error
            raise failure
        if cancelled is not None and isinstance(self._body_error, ActorStopped):
            raise cancelled  # whoever ends together with those that it talks to is cancelled, not failed
        if self._body_error is not None:
            if failure is not None:
                self._body_error.add_note(f"while the system stopped, it failed too: {failure}")
            raise self._body_error
        if cancelled is not None:
            raise cancelled


def run(
    main: Callable[[System, *Ts], Awaitable[T]],
    *args: *Ts,
    name: str = "histrio",
    driver: Driver | None = None,
    clock: trio.abc.Clock | None = None,
) -> T:
    """Run `main(system, *args)` in a new Trio run with a new system; the value is what it returns.

    Raises:
        SystemFailed: an actor failed with no supervisor above it.
        BaseException: whatever *main* raised, as it was.
    """

    async def everything() -> T:
        async with open_system(name, driver=driver) as system:
            return await main(system, *args)

    return trio.run(everything, clock=clock)
