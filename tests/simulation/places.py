"""Two simulated hosts and the network between them, for tests."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import attrs
import trio

from histrio_kernel.simulation.choices import Fifo, Walk
from histrio_kernel.simulation.links import Links
from histrio_kernel.simulation.net import Network, SimListener, SimNet
from histrio_kernel.simulation.net_faults import NetFaults
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.streams import SimStream

T = TypeVar("T")
Pair: TypeAlias = tuple[SimStream, SimStream]
ALL_FAULTS = NetFaults(drop=True, duplicate=True, reorder=True, delay_max_s=3.0)


@attrs.frozen
class Place:
    """Two hosts, "a" and "b", and the network between them."""

    network: Network

    @property
    def links(self) -> Links:
        """Where they are cut and crash."""
        return self.network.links

    def net(self, host: str) -> SimNet:
        """The network as one of them sees it now."""
        return self.network.net(host)

    async def quiet(self) -> None:
        """Wait until nothing is on its way."""
        while self.links.lines:  # noqa: ASYNC110  # the network has no event for it
            await trio.sleep(1)

    async def pair(self, port: int = 80) -> Pair:
        """A connection: its end at "a", which has connected, and its end at "b"."""
        (listener,) = await self.net("b").listen("b", port)
        ends = await both(listener, self.net("a").connect("b", port))
        await listener.aclose()
        return ends


async def both(listener: SimListener, connecting: Awaitable[SimStream]) -> Pair:
    """The two ends of a connection: who connects, and who accepts."""
    accepted: list[SimStream] = []

    async def accept() -> None:
        accepted.append(await listener.accept())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        client = await connecting
    return client, accepted[0]


def run(
    main: Callable[[Place], Awaitable[T]],
    walk: Walk | None = None,
    faults: NetFaults | None = None,
    *,
    window: int = 65_536,
) -> Ran[T]:
    """Run a program with two hosts; what it raises is raised."""
    simulation = Simulation(Fifo() if walk is None else walk)
    links = Links(simulation, faults)

    async def program() -> T:
        links.boot("a")
        links.boot("b")
        return await main(Place(Network(links, timeout_s=10.0, window=window)))

    ran = simulation.run(program)
    ran.outcome.unwrap()
    return ran
