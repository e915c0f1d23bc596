"""D4: several machines in one run: refs over the network, crashes that lose what was not synced, restarts, wrong clocks."""

from __future__ import annotations

import contextlib

import attrs
import pytest
import trio

import histrio
from histrio import Ref
from histrio.testing import Faults, World, explore, simulate
from histrio_kernel.driver import Disk, DiskFailed
from histrio_kernel.simulation.disk_faults import DiskFaults
from histrio_kernel.simulation.errors import Unreachable
from histrio_kernel.simulation.net_faults import NetFaults


@attrs.frozen
class Get(histrio.Request[int]):
    """What is it?"""


@attrs.frozen
class Copy(histrio.Request[int]):
    """Ask the other one, and say what it says."""


@attrs.frozen
class Spend(histrio.Request[int]):
    """There is nothing to spend."""


class Store(histrio.Actor[Get | Spend | int]):
    """Holds a number."""

    def __init__(self) -> None:
        self.value = 0

    @histrio.handler(Get)
    async def get(self, message: Get) -> int:
        return self.value

    @histrio.handler(Spend)
    async def spend(self, message: Spend) -> int:
        raise histrio.Refusal("there is nothing")

    @histrio.handler(int)
    async def put(self, message: int) -> None:
        self.value = message


class Client(histrio.Actor[Copy | int]):
    """Knows a store on another machine."""

    def __init__(self, store: Ref[Get | Spend | int]) -> None:
        self.store = store

    @histrio.handler(Copy)
    async def copy(self, message: Copy) -> int:
        return await self.store.ask(Get())

    @histrio.handler(int)
    async def put(self, message: int) -> None:
        await self.store.tell(message)


async def pair(world: World) -> tuple[Ref[Get | Spend | int], Ref[Copy | int]]:
    """A store on one machine, its client on another."""
    store = await world.node("a").spawn(Store, name="store")
    client = await world.node("b").spawn(Client, await world.node("b").ref(store), name="client")
    return store, client


def test_a_ref_goes_over_the_network() -> None:
    """D4: an actor tells and asks one of another machine as if it were near."""

    async def main(world: World) -> int:
        store, client = await pair(world)
        await client.tell(5)
        await world.settle()
        assert await store.ask(Get()) == 5
        return await client.ask(Copy())

    assert simulate(main).value == 5


def test_a_ref_of_the_own_machine_is_itself() -> None:
    """D4: what is near does not go over the network."""

    async def main(world: World) -> bool:
        store, _ = await pair(world)
        return await world.node("a").ref(store) is store

    assert simulate(main).value


def test_behind_a_cut_an_ask_is_unreachable_and_a_tell_is_lost() -> None:
    """D4: a partition loses tells, and asks fail with `Unreachable`; after it has healed all goes on."""

    async def main(world: World) -> tuple[int, int]:
        store, _ = await pair(world)
        far = await world.node("b").ref(store)
        world.links.partition("a", "b")
        await far.tell(5)
        with pytest.raises(Unreachable, match="a has not answered b, which waited"):
            await far.ask(Get())
        world.links.heal()
        lost = await far.ask(Get())
        await far.tell(7)
        await world.settle()
        return lost, await far.ask(Get())

    assert simulate(main).value == (0, 7)


def test_messages_cross_as_copies_and_what_cannot_be_copied_is_refused() -> None:
    """D4: machines share no objects; the error of an ask that does not pickle names the type."""

    @attrs.frozen
    class Local(histrio.Request[int]):
        """Defined in a function, so it does not pickle."""

    async def main(world: World) -> None:
        store, _ = await pair(world)
        far = await world.node("b").ref(store)
        with pytest.raises(TypeError, match=r"Local cannot go from b to a, because it does not pickle"):
            await far.ask(Local())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    simulate(main)


def test_a_refusal_crosses() -> None:
    """A9, D4: whoever asks over the network is refused as one who is near."""

    async def main(world: World) -> None:
        store, _ = await pair(world)
        far = await world.node("b").ref(store)
        with pytest.raises(histrio.Refusal, match="there is nothing"):
            await far.ask(Spend())

    simulate(main)


def test_nobody_lives_there_any_more() -> None:
    """D4: after a restart the machine answers that no actor lives at that path."""

    async def main(world: World) -> None:
        store, _ = await pair(world)
        far = await world.node("b").ref(store)
        await world.node("a").restart()
        with pytest.raises(Unreachable, match="no actor lives at /store of a"):
            await far.ask(Get())

    simulate(main)


def test_a_crash_severs_first() -> None:
    """D4: what unwinds in a machine without power has no effect any more, and everything of it has ended afterwards."""
    seen: list[str] = []

    class Writer(histrio.Actor[str]):
        """Tries to write at its end."""

        async def receive(self, message: str) -> None:
            file = await self.io.disk.open("/log")
            await self.io.disk.append(file, b"begun ")
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True), contextlib.suppress(DiskFailed):
                    await disks[0].append(file, b"ended")
                seen.append("unwound")

    disks: list[Disk] = []

    async def main(world: World) -> bytes:
        node = world.node("a")
        disks.append(node.disk)
        writer = await node.spawn(Writer)
        await writer.tell("go")
        await world.settle()
        await node.crash()
        assert not node.is_up
        await node.restart()
        return await node.disk.read("/log")

    assert simulate(main).value == b"begun "
    assert seen == ["unwound"]


def test_a_restart_finds_what_the_power_cut_has_left() -> None:
    """D4: a name whose directory was not synced may be gone, and some schedule finds it so."""

    async def main(world: World) -> None:
        node = world.node("a")
        files = node.files
        fd = files.open("/new", 0o102)
        files.pwrite(fd, b"data", 0)
        await node.restart()
        assert "new" in await node.disk.list("/")

    report = explore(main, schedules=100)

    assert report.failed
    assert "what the power cut left" in report.explanation


def test_clocks_of_nodes_may_be_wrong() -> None:
    """D4: with skew a node's clock is ahead by what the simulator chooses, and a deadline of it comes early or late."""

    async def main(world: World) -> None:
        assert world.node("a").driver.clock.now() == world.now

    assert not explore(main, schedules=50).failed
    assert explore(main, schedules=50, faults=Faults(clock_skew_s=5)).failed


def test_a_lossy_network_loses_tells() -> None:
    """D4: a tell is at most once: with a network that drops, some schedule loses it, and none delivers it twice."""

    async def main(world: World) -> None:
        store, client = await pair(world)
        await client.tell(5)
        await world.settle()
        assert await store.ask(Get()) == 5

    assert not explore(main, schedules=30).failed
    report = explore(main, schedules=100, faults=Faults(net=NetFaults(drop=True)))
    assert report.failed
    assert "a message from b to a is lost" in report.explanation


def test_eventually_stops_the_faults() -> None:
    """D5: `eventually` heals the network and lets no fault strike; then what should come, comes."""

    async def main(world: World) -> None:
        store, _ = await pair(world)
        far = await world.node("b").ref(store)
        world.links.partition("a", "b")
        done: list[int] = []

        async def try_again() -> None:
            while not done:
                with contextlib.suppress(Unreachable):
                    done.append(await far.ask(Get()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_again, name="who tries again")
            await world.eventually(lambda: bool(done), "an answer came")

    everything = Faults(net=NetFaults(drop=True, duplicate=True, reorder=True, delay_max_s=3), disk=DiskFaults())
    explore(main, schedules=30, faults=everything).check()
