"""The machines of a simulated world. One that crashes loses what it had not synced, and may be started again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property
from typing import Final, TypeVar, TypeVarTuple, cast, final

import trio

from histrio.kinds import Lives
from histrio.ref import Ref
from histrio.system import System, open_system
from histrio.testing.far import Far, mailbox
from histrio.testing.faults import Faults
from histrio_kernel.driver import Disk
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

    @property
    def driver(self) -> SimDriver:
        """All that it has of the world; made when somebody needs it."""
        if self._driver is None:
            self._driver = self._nodes.driver(self.name, self._image)
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
        """Whether it has power, and a system."""
        return self.system is not None

    async def start(self) -> System:
        """Its system; started if there is none. A checkpoint."""
        if self.system is None:
            await self._nodes.nursery.start(self._live, name=f"histrio node {self.name}")
        assert self.system is not None
        return self.system

    async def spawn(self, cls: Callable[[*Ts], Lives[M]], *args: *Ts, name: str | None = None) -> Ref[M]:
        """Start an actor at the top of its system; see `System.spawn`."""
        return await (await self.start()).spawn(cls, *args, name=name)

    async def ref(self, of: Ref[M]) -> Ref[M]:
        """A ref for the actors of this machine, to an actor of another: what it is told goes over the network.

        A tell arrives at most once; an ask may fail with `Unreachable`. Messages cross as copies. It stays good when
        the other machine is restarted, for whoever lives at that path then. A checkpoint.

        Raises:
            LookupError: *of* is the ref of no actor of a machine that is up.
        """
        there, path = self._nodes.address(of)
        if there == self.name:
            return of
        name = f"far {there} {path[1:]}".replace("/", " ")
        far = (await self.start()).find(Far, f"/{name}")
        if far is None:
            far = await self.spawn(Far, self._nodes.mail.at(self.name), there, path, name=name)
        return cast(Ref[M], far)

    async def crash(self) -> None:
        """Cut its power, and wait until nothing of it runs. What was not synced may be lost, as the simulator chooses.

        Its driver is severed first: what still unwinds has no effect. A checkpoint.
        """
        self.driver.sever()
        if self.name in self._nodes.links.hosts:
            self._nodes.links.crash(self.name)
        if self._scope is not None:
            self._scope.cancel()
            with trio.CancelScope(shield=True):
                await self._ended.wait()
        await trio.lowlevel.checkpoint()

    async def restart(self) -> System:
        """Start it with what a power cut has left on its disk: one of all the possible images. A checkpoint."""
        await self.crash()
        image = self._nodes.draw_image(self.driver.files)
        self._driver = self._nodes.driver(self.name, image)
        return await self.start()

    async def _live(self, task_status: trio.TaskStatus[None]) -> None:
        self._ended = trio.Event()
        self._leaves = trio.Event()
        self._scope = scope = trio.CancelScope()
        try:
            with scope:
                async with open_system(self.name, driver=self.driver) as system:
                    self.system = system
                    self._nodes.mail.at(self.name).receive(mailbox(system, self.name))
                    task_status.started()
                    await self._leaves.wait()
        except Exception:
            if not scope.cancel_called:
                raise
        finally:
            self.system = self._scope = None
            self._ended.set()

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
        self.replaced: Final[dict[Callable[..., object], Callable[..., Awaitable[object]]]] = {}
        self._nodes: Final[dict[str, Node]] = {}
        self.own: Final = Node(self, "world", image)

    @cached_property
    def links(self) -> Links:
        """What is between them. It and what uses it are made when somebody needs them: most programs need one machine."""
        return Links(self.simulation, self.faults.net)

    @cached_property
    def network(self) -> Network:
        """Their connections."""
        return Network(self.links)

    @cached_property
    def mail(self) -> Mail:
        """Their messages."""
        return Mail(self.links)

    def live_in(self, nursery: trio.Nursery) -> None:
        """Their systems run there."""
        self.nursery = nursery

    def cut(self) -> None:
        """Cut the power of the world's own machine, from within any call."""
        self.own.driver.sever()
        self.nursery.cancel_scope.cancel()

    async def stop(self) -> None:
        """Stop all that are up, the last first."""
        for node in (*reversed(self._nodes.values()), self.own):
            await node.stop()

    def node(self, name: str) -> Node:
        """The machine of that name."""
        if name not in self._nodes:
            self._nodes[name] = Node(self, name)
        return self._nodes[name]

    def systems(self) -> Iterator[System]:
        """Of all machines that are up."""
        for node in (self.own, *self._nodes.values()):
            if node.system is not None:
                yield node.system

    def driver(self, name: str, image: Image | None) -> SimDriver:
        """A driver for a machine, whose disk holds that."""
        files = self._files(image)
        clock = None
        if self.faults.clock_skew_s:
            clock = SkewedClock(
                self.faults.clock_skew_s * self.simulation.decide(5, f"the clock of {name} is ahead") / 4, 1
            )
        driver = SimDriver(self.simulation, name, self.network.net(name), files, clock)
        driver.replaced = self.replaced
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

    def address(self, ref: Ref[M]) -> tuple[str, str]:
        """On which machine the actor behind a ref lives, and where there.

        Raises:
            LookupError: it lives on none that is up.
        """
        for node in (self.own, *self._nodes.values()):
            cell = None if node.system is None else node.system._cell_at(ref.path)
            if node.system is not None and cell is not None and node.system.ref_of(cell) == ref:
                return node.name, ref.path
        raise LookupError(f"no actor lives at {ref.path}: it has ended, or its machine is down")
