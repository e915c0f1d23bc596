"""The machines of a simulated world. One that crashes loses what it had not synced, and may be started again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, TypeVar, TypeVarTuple, cast, final

import trio

from histrio.kinds import Lives
from histrio.ref import Ref
from histrio.system import System, open_system
from histrio.testing.crossing import Address, address_in, far_name, unbound
from histrio.testing.far import Far, Mailbox
from histrio.testing.faults import Faults
from histrio.testing.nemesis import Nemesis
from histrio_kernel.driver import Disk
from histrio_kernel.errors import ActorStopped, End, Reason
from histrio_kernel.simulation.driver import SimDriver, SkewedClock
from histrio_kernel.simulation.files import SimFiles
from histrio_kernel.simulation.images import Image
from histrio_kernel.simulation.links import Links
from histrio_kernel.simulation.mail import Mail
from histrio_kernel.simulation.net import Network
from histrio_kernel.simulation.run import Simulation

__all__ = ["Node", "Nodes"]

M = TypeVar("M")
Ts = TypeVarTuple("Ts")


@final
class Node:
    """One machine: a disk, a clock, a place in the network, and a system of actors while it is up.

    Attributes:
        name: what it is called; its address in the network.
    """

    def __init__(self, nodes: Nodes, name: str, image: Image | None = None) -> None:
        self.name: Final = name
        self._nodes: Final = nodes
        self._image: Final = image
        self._driver: SimDriver | None = None
        self.system: System | None = None
        self._scope: trio.CancelScope | None = None
        self._ended = self._leaves = trio.Event()
        self._left: Image | None = None
        self._comes_up: trio.Event | None = None  # while somebody starts it, or will
        self._on_start: Callable[[Node], Awaitable[object]] | None = None
        self._starter: trio.lowlevel.Task | None = None  # who calls that

    @property
    def driver(self) -> SimDriver:
        """All that it has of the world; made when somebody needs it."""
        if self._driver is None:
            self._driver = self._nodes.driver(self, self._image)
        return self._driver

    @property
    def has_no_power(self) -> bool:
        """Whether it has crashed."""
        return self._driver is not None and self._driver.has_no_power

    @property
    def disk(self) -> Disk:
        """Its disk."""
        return self.driver.disk

    @property
    def files(self) -> SimFiles:
        """What is on its disk, also what is not synced."""
        return self.driver.files

    @property
    def is_up(self) -> bool:
        """Whether it has power, a system, and all that `on_start` starts."""
        return self.system is not None and not self.has_no_power and self._comes_up is None

    def on_start(self, afn: Callable[[Node], Awaitable[object]]) -> None:
        """From now on `await afn(node)` whenever its system starts, also after a crash: to spawn what lives there.

        It is cancelled if the power is cut meanwhile. Messages may come before it is through; time passes only when nothing
        else can happen. What it raises is raised
        by `start` or `restart`, and fails the run if it was the simulator who started the node.
        """
        self._on_start = afn

    async def start(self) -> System:
        """Its system; started if there is none. After a crash that the simulator chose it is waited for. A checkpoint."""
        if self.system is not None and trio.lowlevel.current_task() is self._starter:
            return self.system
        while self._comes_up is not None or self.system is None:
            if self._comes_up is not None:
                await self._comes_up.wait()
            else:
                await self._start()
        return self.system

    async def spawn(self, cls: Callable[[*Ts], Lives[M]], *args: *Ts, name: str | None = None) -> Ref[M]:
        """Start an actor at the top of its system; see `System.spawn`."""
        system = await self.start() if self.system is None else self.system
        return await system.spawn(cls, *args, name=name)

    async def ref(self, of: Ref[M]) -> Ref[M]:
        """A ref for the actors of this machine, to an actor of another: what it is told goes over the network.

        A tell arrives at most once; an ask may fail with `Unreachable`. Messages cross as copies. It stays good when
        the other machine is restarted, for whoever lives at that path then. A checkpoint.

        Raises:
            LookupError: *of* is the ref of no actor of a machine that is up.
        """
        address = self._nodes.address(of)
        if address == (self.name, of.path):
            return of
        if self.system is None:
            await self.start()
        return cast(Ref[M], await self.ref_to(address))

    def address_of(self, ref: Ref[Any]) -> Address:
        """Where the actor is that is reached by a ref in the end, perhaps by way of one that stands for it."""
        address = address_in(ref)
        return self._nodes.far.get(address, address)

    async def ref_to(self, address: Address) -> Ref[Any]:
        """As `ref`, for whoever lives at a path of a machine; unbound, if it is none of this world.

        Raises:
            ActorStopped: this machine is not up.
        """
        system = self.system
        if system is None:
            raise ActorStopped("/", Reason(End.KILLED, f"{self.name} is not up"))
        near = system.ref_at(address[1]) if address[0] == self.name else None
        if near is not None:
            return near
        if not self._nodes.knows(address[0]):
            return unbound(address)
        name = far_name(address)
        far = system.find(Far, f"/{name}")
        if far is not None:
            return far
        post = self._nodes.mail.at(self.name)
        self._nodes.far[self.name, f"/{name}"] = address
        try:
            return await system.spawn(Far, self, post, address, name=name)
        except ValueError:  # another task was quicker, if that has waited
            far = system.find(Far, f"/{name}")
            if far is None:
                raise
            return far

    async def crash(self) -> None:
        """Cut its power, and wait until nothing of it runs. What was not synced may be lost, as the simulator chooses.

        Its driver is severed first: what still unwinds has no effect. A checkpoint.
        """
        self._cut_power()
        self._is_coming_up(None)
        if self._scope is not None:
            with trio.CancelScope(shield=True):
                await self._ended.wait()
        await trio.lowlevel.checkpoint()

    async def restart(self) -> System:
        """Start it with what a power cut has left on its disk: one of all the possible images. A checkpoint."""
        await self.crash()
        self._find_what_is_left()
        return await self.start()

    def lose_power(self, of: SimDriver) -> bool:
        """Cut its power, if it still has that driver; whoever starts it waits for `come_back`. For the nemesis."""
        if self.system is None or self._driver is not of:
            return False
        self._cut_power()
        self._left = self._nodes.draw_image(self.driver.files)
        self._is_coming_up(trio.Event())
        return True

    async def come_back(self) -> None:
        """Start it again after that, unless the program has crashed or started it meanwhile. For the nemesis."""
        event = self._comes_up
        if self._scope is not None:
            await self._ended.wait()
        if event is not None and self._comes_up is event:
            self._find_what_is_left()
            await self._start()

    def _cut_power(self) -> None:
        self.driver.sever()
        if self.name in self._nodes.links.hosts:
            self._nodes.links.crash(self.name)
        if self._scope is not None:
            self._scope.cancel()

    def _find_what_is_left(self) -> None:
        """From now on it has a disk with what the power cut has left."""
        image = self._nodes.draw_image(self.driver.files) if self._left is None else self._left
        self._left = None
        self._driver = self._nodes.driver(self, image)

    def _is_coming_up(self, event: trio.Event | None) -> None:
        """From now on whoever starts it waits for that, and nobody for what was before."""
        before, self._comes_up = self._comes_up, event
        if before is not None:
            before.set()

    async def _start(self) -> None:
        event = trio.Event()
        self._is_coming_up(event)
        try:
            await self._nodes.nursery.start(self._live, name=f"histrio node {self.name}")
        finally:
            if self._comes_up is event:
                self._is_coming_up(None)

    async def _live(self, task_status: trio.TaskStatus[None]) -> None:
        self._ended = trio.Event()
        self._leaves = trio.Event()
        self._scope = scope = trio.CancelScope()
        started = False
        try:
            with scope:
                async with open_system(self.name, driver=self.driver) as system:
                    self.system = system
                    self._nodes.mail.at(self.name).receive(Mailbox(self, system).receive)
                    if self._on_start is not None:
                        self._starter = trio.lowlevel.current_task()
                        with self._punctually():
                            await self._on_start(self)
                    if not scope.cancel_called:  # else it has crashed again, and is waited for again
                        self._is_coming_up(None)
                    started = True
                    task_status.started()
                    await self._leaves.wait()
        except Exception:
            if not scope.cancel_called:
                raise
        finally:
            self.system = self._scope = None
            self._ended.set()
        if not started:
            task_status.started()  # it has crashed before

    @contextmanager
    def _punctually(self) -> Generator[None]:
        """Nobody is so slow meanwhile that `started()` of an actor would take too long."""
        self._nodes.simulation.punctual += 1
        try:
            yield
        finally:
            self._nodes.simulation.punctual -= 1

    async def stop(self) -> None:
        """Stop its actors in order, and wait for their end."""
        if self.system is not None:
            self._leaves.set()
            await self._ended.wait()


@final
class Nodes:
    """All machines of one world."""

    nursery: trio.Nursery

    def __init__(self, simulation: Simulation, faults: Faults, image: Image | None) -> None:
        self.simulation: Final = simulation
        self.faults: Final = faults
        self.far: Final[dict[Address, Address]] = {}  # of those who stand for another, and of those
        self.replaced: Final[dict[Callable[..., object], Callable[..., Awaitable[object]]]] = {}
        self._nodes: Final[dict[str, Node]] = {}
        self.own: Final = Node(self, "world", image)
        self._nemesis: Final = Nemesis(simulation, faults) if faults.crashes or faults.partitions else None

    @cached_property
    def links(self) -> Links:
        """What is between them. It and what uses it are made when somebody needs them: most programs need one machine."""
        links = Links(self.simulation, self.faults.net)
        if self._nemesis is not None:
            self._nemesis.lurk(links)
        return links

    @cached_property
    def network(self) -> Network:
        """Their connections."""
        return Network(self.links)

    @cached_property
    def mail(self) -> Mail:
        """Their messages."""
        return Mail(self.links)

    async def live_in(self, nursery: trio.Nursery) -> None:
        """Their systems run there. A checkpoint only if somebody may strike them."""
        self.nursery = nursery
        if self._nemesis is not None:
            await nursery.start(self._nemesis.live, name="histrio nemesis")

    def calm(self) -> None:
        """What was struck by the simulator is soon well again."""
        if self._nemesis is not None:
            self._nemesis.calm()

    def cut(self) -> None:
        """Cut the power of the world's own machine, from within any call."""
        self.own.driver.sever()
        self.nursery.cancel_scope.cancel()

    async def stop(self) -> None:
        """Stop all that are up, the last first."""
        if self._nemesis is not None:
            self._nemesis.stop()
        for node in (*reversed(self._nodes.values()), self.own):
            await node.stop()

    def node(self, name: str) -> Node:
        """The machine of that name."""
        if name not in self._nodes:
            self._nodes[name] = Node(self, name)
        return self._nodes[name]

    def knows(self, name: str) -> bool:
        """Whether there is a machine of that name."""
        return name in self._nodes or name == self.own.name

    def systems(self) -> Iterator[System]:
        """Of all machines that are up."""
        for node in (self.own, *self._nodes.values()):
            if node.system is not None:
                yield node.system

    def driver(self, node: Node, image: Image | None) -> SimDriver:
        """A driver for a machine, whose disk holds that."""
        name = node.name
        files = self._files(image)
        clock = None
        if self.faults.clock_skew_s:
            clock = SkewedClock(
                self.faults.clock_skew_s * self.simulation.decide(5, f"the clock of {name} is ahead") / 4, 1
            )
        driver = SimDriver(self.simulation, name, self.network.net(name), files, clock)
        driver.replaced = self.replaced
        if self._nemesis is not None and node is not self.own:
            self._nemesis.haunt(node, driver)
        return driver

    def _files(self, image: Image | None) -> SimFiles:
        def strikes(label: str) -> bool:
            return self.simulation.decide(2, label) == 1

        if image is None:
            return SimFiles(faults=self.faults.disk, strike=strikes)
        return SimFiles.from_image(image, faults=self.faults.disk, strike=strikes)

    def draw_image(self, files: SimFiles) -> Image:
        """One of what a power cut may have left; the first, which has everything, if nothing departs."""
        images = list(files.images(16))
        return images[self.simulation.decide(len(images), "what the power cut left")]

    def address(self, ref: Ref[M]) -> Address:
        """On which machine the actor behind a ref lives, and where there.

        Raises:
            LookupError: it lives on none that is up.
        """
        for node in (self.own, *self._nodes.values()):
            cell = None if node.system is None else node.system._cell_at(ref.path)
            if node.system is not None and cell is not None and node.system.ref_of(cell) == ref:
                return node.address_of(ref)
        raise LookupError(f"no actor lives at {ref.path}: it has ended, or its machine is down")
