"""What a simulated program is given: a system of actors on a machine of its own, more machines, and questions to ask."""

# Design note
# -----------
# The program itself stands outside of all machines, like the author of a play: it spawns, tells and asks directly, and
# sees everything at once. What machines tell each other goes over the simulated network.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Final, TypeVar, TypeVarTuple, cast, final, overload

import trio

from histrio.idle import IdleState, look
from histrio.kinds import Lives
from histrio.ref import Ref
from histrio.system import System
from histrio.testing.faults import Faults
from histrio.testing.nodes import Node, Nodes
from histrio_kernel.default_driver import use_driver
from histrio_kernel.driver import Disk, Net
from histrio_kernel.simulation.errors import BrokenPromise, PowerCut
from histrio_kernel.simulation.files import SimFiles
from histrio_kernel.simulation.images import Image
from histrio_kernel.simulation.links import Links
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.trio_idle import wait_all_tasks_blocked

__all__ = ["World", "in_world"]

A = TypeVar("A")
M = TypeVar("M")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@final
class World:
    """The world of one simulated run; `main(world)` is given it.

    Attributes:
        simulation: the engine, for those who write checkers of their own.
        notes: what the world outside knows, and keeps when a machine crashes: acknowledged writes, for example.
    """

    def __init__(self, simulation: Simulation, nodes: Nodes) -> None:
        self.simulation: Final = simulation
        self.notes: Final[list[object]] = []
        self._nodes: Final = nodes
        self._machine: Final = nodes.own
        self._faults_are_over = False

    # -- what there is -------------------------------------------------------------------------------------------------

    async def spawn(self, cls: Callable[[*Ts], Lives[M]], *args: *Ts, name: str | None = None) -> Ref[M]:
        """Start an actor at the top of the world's own system; see `System.spawn`."""
        return await self._machine.spawn(cls, *args, name=name)

    async def start(self) -> System:
        """The system that `spawn` uses; opened by the first of either. A checkpoint."""
        return await self._machine.start()

    @property
    def now(self) -> float:
        """The virtual time, in seconds since the run began."""
        return self.simulation.clock.now

    @property
    def disk(self) -> Disk:
        """The disk of the world's own machine."""
        return self._machine.driver.disk

    @property
    def files(self) -> SimFiles:
        """What is on that disk, also what is not synced: to look at, to make directories, to ask for images."""
        return self._machine.driver.files

    @property
    def network(self) -> Net:
        """The network as the world's own machine has it."""
        return self._machine.driver.net

    @property
    def links(self) -> Links:
        """What is between the machines: to cut, and to heal."""
        return self._nodes.links

    def node(self, name: str) -> Node:
        """The machine of that name, with a disk, a clock and a system of its own; made when it is first asked for."""
        return self._nodes.node(name)

    @contextmanager
    def calm(self) -> Generator[None]:
        """Inside the block no fault strikes, the power is not cut, and time passes only when nothing else can happen.

        For what is to be there before the unlucky part begins: else `started()` of an actor may take too long, or fail.
        What the simulator has cut is healed, and what it has crashed starts again: `node.start()` waits for that.
        """
        before, self.simulation.faults = self.simulation.faults, False
        self._nodes.calm()
        try:
            yield
        finally:
            self.simulation.faults = before and not self._faults_are_over

    # -- questions -----------------------------------------------------------------------------------------------------

    async def settle(self, within_s: float = 60.0) -> None:
        """Let everything happen that has been begun, time passing as it has to, for so many virtual seconds at most.

        Afterwards nothing is left to do but to wait for what comes from outside; or the time is over, as it will be if
        some timer comes again and again. A checkpoint.
        """
        limit = self.now + within_s
        me = trio.lowlevel.current_task()
        while True:
            await wait_all_tasks_blocked()
            deadline = self.simulation.next_program_deadline(but=(me,))
            if deadline > limit:
                return
            await trio.sleep_until(deadline)

    def always(self, holds: Callable[[], bool], promise: str = "") -> None:
        """From now on until the program returns `holds()` is asked between any two steps; if it says no, the run fails.

        Args:
            holds: looks, and changes nothing; what it raises fails the run as well.
            promise: what it is that should hold, for the report.

        Raises:
            BrokenPromise: it does not hold now. Later the run ends with that.
        """

        def check() -> None:
            if not holds():
                raise BrokenPromise(
                    f"this should always hold, and does not at {self.now:g} s: {promise or _name(holds)}"
                )

        check()
        self.simulation.watched.append(check)

    async def eventually(self, holds: Callable[[], bool], promise: str = "", within_s: float = 60.0) -> None:
        """From now on no fault strikes, and the network is whole: in that many virtual seconds `holds()` must come true.

        Nodes that the simulator has crashed start again. Nor does time pass any more while something can go on.

        A checkpoint.

        Raises:
            BrokenPromise: it did not.
        """
        self._faults_are_over, self.simulation.faults = True, False
        self._nodes.links.heal()
        self._nodes.calm()
        came = trio.Event()

        def check() -> None:
            if holds():
                came.set()

        self.simulation.watched.append(check)
        try:
            with trio.move_on_after(within_s):
                await came.wait()
        finally:
            self.simulation.watched.remove(check)
        if not came.is_set():
            raise BrokenPromise(f"this should have come within {within_s:g} s, and did not: {promise or _name(holds)}")

    @overload
    def peek(self, ref: Ref[M]) -> object: ...
    @overload
    def peek(self, ref: Ref[M], cls: type[A]) -> A: ...
    def peek(self, ref: Ref[M], cls: type[object] = object) -> object:
        """The actor object behind a ref, to look at; a test may see what no actor may.

        Args:
            ref: of any machine.
            cls: its class, which a type checker cannot know from the ref.

        Raises:
            LookupError: no actor lives there.
            TypeError: it is of another class.
        """
        for system in self._nodes.systems():
            cell = system._cell_at(ref.path)
            if cell is not None and system.ref_of(cell) == ref and cell.actor is not None:
                if not isinstance(cell.actor, cls):
                    raise TypeError(f"{ref.path} is a {type(cell.actor).__qualname__}, no {cls.__qualname__}")
                return cell.actor
        raise LookupError(f"no actor lives at {ref.path}: it has ended, or its machine is down")

    def replace(self, afn: Callable[..., Awaitable[T]], fake: Callable[..., Awaitable[T]]) -> None:
        """From now on `self.io(afn, ...)` and `self.background(afn, ...)` call *fake* instead, on every machine.

        It is meant for what reaches the real world.
        """
        self._nodes.replaced[afn] = fake


async def in_world(
    simulation: Simulation,
    main: Callable[[World], Awaitable[T]],
    faults: Faults,
    image: Image | None = None,
    plan: Callable[[World, Callable[[], None]], None] | None = None,
) -> T:
    """Run `main(world)` in a new world, and leave nothing of it behind.

    Args:
        simulation: the run that it is a part of.
        main: the program.
        faults: what may go wrong.
        image: what is on the disk in the beginning; default: nothing.
        plan: called with the world before *main*, and with what cuts its power.

    Raises:
        PowerCut: the plan has cut it.
    """
    nodes = Nodes(simulation, faults, image)
    world = World(simulation, nodes)
    simulation.who_waits.append(lambda: _waits(nodes))
    try:
        async with trio.open_nursery() as nursery:
            await nodes.live_in(nursery)
            use_driver(lambda: nodes.own.driver)
            if plan is not None:
                plan(world, nodes.cut)
            try:
                return await main(world)
            except Exception:
                simulation.on_step = None  # what comes now is not what led there
                raise
            finally:
                simulation.watched.clear()  # actors that are being stopped owe nothing any more
                await nodes.stop()
    except BaseExceptionGroup as group:
        raise _the_one(group) from None
    finally:
        simulation.who_waits.pop()
        if nodes.own.has_no_power:
            raise PowerCut("the power was cut, as planned")


def _the_one(group: BaseExceptionGroup) -> BaseException:
    """The error itself, if a nursery that the user has not opened has put it in a group of one."""
    one = group.exceptions[0] if len(group.exceptions) == 1 else group
    one.__suppress_context__ = True
    return one


def _waits(nodes: Nodes) -> str:
    """What the actors of all machines wait for, as far as something can be said."""
    told = [look(system) for system in nodes.systems()]
    return "\n".join(str(idle) for idle in told if idle.state is not IdleState.DONE)


def _name(fn: Callable[..., object]) -> str:
    return cast(str, getattr(fn, "__qualname__", repr(fn)))
