"""D4: several machines in one run: refs over the network, crashes that lose what was not synced, restarts, wrong clocks."""

from __future__ import annotations

import contextlib

import attrs
import pytest
import trio
from tests.effort import count

import histrio
from histrio import Ref
from histrio.testing import Faults, Node, World, explore, simulate
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
class Card:
    """How to reach somebody."""

    ref: Ref[Get | int]


@attrs.frozen
class Cards(histrio.Request["tuple[Card, ...]"]):
    """Keep these, and give all that there are."""

    cards: tuple[Card, ...] = ()
    by_name: dict[str, list[Ref[Get | int]]] = attrs.field(factory=dict)


@attrs.frozen
class Pass(histrio.Request["tuple[Card, ...]"]):
    """Give your cards to somebody else, and say what that one answers."""

    to: Ref[Cards]
    asks: bool = True


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


class Book(histrio.Actor[Cards | Pass | int]):
    """Keeps cards, and passes them on."""

    def __init__(self, *cards: Card) -> None:
        self.cards = cards
        self.seen: list[object] = []

    @histrio.handler(Cards)
    async def keep(self, message: Cards) -> tuple[Card, ...]:
        self.seen.append(message)
        self.cards += (*message.cards, *(Card(ref) for refs in message.by_name.values() for ref in refs))
        return self.cards

    @histrio.handler(Pass)
    async def pass_on(self, message: Pass) -> tuple[Card, ...]:
        cards = Cards(self.cards[1:], {"the first": [card.ref for card in self.cards[:1]]})
        if message.asks:
            return await message.to.ask(cards)
        await message.to.tell(cards)
        return ()

    @histrio.handler(int)
    async def number(self, message: int) -> None:
        self.seen.append(message)


async def acquaintances(world: World, *, asks: bool) -> tuple[Ref[Pass], Ref[Cards | Pass]]:
    """A book on node a passes the cards of stores on a, b and c, which hold 1, 2 and 3, to a book on b. Both books."""
    a = world.node("a")
    stores = [await world.node(name).spawn(Store, name="store") for name in "abc"]
    for number, store in enumerate(stores):
        await store.tell(number + 1)
    theirs = await world.node("b").spawn(Book, name="book")
    mine = await a.spawn(Book, *[Card(await a.ref(store)) for store in stores])
    await mine.ask(Pass(await a.ref(theirs), asks=asks))
    await world.settle()
    return mine, theirs


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


def test_a_tell_that_cannot_be_copied_is_a_dead_letter() -> None:
    """D4: nobody waits to hear of it, and its machine goes on."""

    async def main(world: World) -> int:
        store, _ = await pair(world)
        far = await world.node("b").ref(store)
        await far.tell(lambda: 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await world.settle()
        system = world.node("b").system
        assert system is not None
        (letter,) = system.engine.dead_letters
        assert "cannot go from b to a, because it does not pickle" in letter.why
        return await far.ask(Get())

    assert simulate(main).value == 0


def test_what_comes_to_a_machine_that_has_stopped_harms_nobody() -> None:
    """D4: a message that is on its way when its machine stops is lost."""

    async def main(world: World) -> None:
        store, _ = await pair(world)
        far = await world.node("b").ref(store)
        await far.tell(5)
        await world.node("a").stop()

    late = Faults(net=NetFaults(delay_max_s=5))
    report = explore(main, count("explored_schedules"), faults=late)
    assert not report.failed, report.explanation


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


@pytest.mark.parametrize("asks", [True, False])
def test_refs_in_messages_work_where_they_arrive(asks: bool) -> None:
    """D4, A13: of the sender, of a third node, and of the receiver itself, which is near there."""

    async def main(world: World) -> None:
        _, theirs = await acquaintances(world, asks=asks)
        refs = [card.ref for card in world.peek(theirs, Book).cards]
        b = world.node("b").system
        assert b is not None
        assert [await ref.ask(Get()) for ref in refs] == [2, 3, 1]
        assert [ref.path for ref in refs] == ["/store", "/far c store", "/far a store"]
        assert refs == [b.ref_at(ref.path) for ref in refs]

    simulate(main)
    explore(main, count("explored_schedules")).check()


def test_refs_in_replies_work_where_they_arrive() -> None:
    """D4, A13: the same on the way back: what has come from here is what it was here."""

    async def main(world: World) -> None:
        a = world.node("a")
        mine, theirs = await acquaintances(world, asks=True)
        far = await a.ref(theirs)
        back = await mine.ask(Pass(far))
        assert [await card.ref.ask(Get()) for card in back[:3]] == [2, 3, 1]
        assert [card.ref.path for card in back[:3]] == ["/far b store", "/far c store", "/store"]
        assert a.system is not None
        assert back[2].ref == a.system.ref_at("/store")

    simulate(main)


def test_a_ref_that_has_crossed_reaches_who_lives_there_after_a_restart() -> None:
    """D4: it is an address: whoever lives there when the machine is up again is told and asked."""

    async def main(world: World) -> None:
        _, theirs = await acquaintances(world, asks=False)
        of_c = world.peek(theirs, Book).cards[1].ref
        c = world.node("c")

        async def bring_up(node: Node) -> None:
            await (await node.spawn(Store, name="store")).tell(30)

        await c.crash()
        with pytest.raises(Unreachable):
            await of_c.ask(Get())
        c.on_start(bring_up)
        await c.restart()
        await world.settle()
        assert await of_c.ask(Get()) == 30

    simulate(main)


def test_a_ref_of_who_has_ended_says_so() -> None:
    """D4: one of an actor of the receiver that is not there any more is `Unreachable`, as from anywhere else."""

    async def main(world: World) -> None:
        a, b = world.node("a"), world.node("b")
        theirs = await b.spawn(Book, name="book")
        gone = await b.spawn(Store, name="gone")
        far = Card(await a.ref(gone))
        mine = await a.spawn(Book, far)
        gone.control.kill("not needed")
        await gone.monitor()
        (card,) = await mine.ask(Pass(await a.ref(theirs)))
        with pytest.raises(Unreachable, match="no actor lives at /gone of b"):
            await card.ref.ask(Get())
        (card,) = world.peek(theirs, Book).cards
        with pytest.raises(Unreachable, match="no actor lives at /gone of b"):
            await card.ref.ask(Get())

    simulate(main)


def test_actors_without_a_name_are_reached_and_no_two_are_mistaken() -> None:
    """D4: whatever a path looks like, the ref leads there and nowhere else."""

    async def main(world: World) -> None:
        a, b = world.node("a"), world.node("b")
        stores = [await a.spawn(Store, name=name) for name in (None, "x y", "x%20y", "x%2Fy", "far b store")]
        far = [await b.ref(store) for store in stores]
        for number, ref in enumerate(far):
            await ref.tell(number)
        await world.settle()
        assert [await store.ask(Get()) for store in stores] == [0, 1, 2, 3, 4]

    simulate(main)


def test_what_is_told_with_refs_keeps_its_order() -> None:
    """D4, A13: from one sender to one actor, also if a ref in the middle needs somebody who stands for it first."""

    async def main(world: World) -> None:
        a, b = world.node("a"), world.node("b")
        theirs = await b.spawn(Book)
        far = await a.ref(theirs)
        cards = Cards(tuple([Card(await a.ref(await world.node(name).spawn(Store))) for name in "acd"]))
        for message in (1, cards, 2, 3):
            await far.tell(message)
        await world.settle()
        seen = world.peek(theirs, Book).seen
        assert [each if isinstance(each, int) else "cards" for each in seen] == [1, "cards", 2, 3]

    explore(main, 5 * count("explored_schedules")).check()


def test_a_ref_that_has_crossed_twice_goes_straight() -> None:
    """D4: a ref that is passed on leads to its actor, not to whoever passed it: that one may crash."""

    async def main(world: World) -> None:
        c = world.node("c")
        _, theirs = await acquaintances(world, asks=False)
        last = await c.spawn(Book)
        await theirs.ask(Pass(await world.node("b").ref(last), asks=False))
        await world.settle()
        await world.node("b").crash()
        refs = [card.ref for card in world.peek(last, Book).cards]
        assert [await ref.ask(Get()) for ref in refs if ref.path != "/far b store"] == [3, 1]

    simulate(main)


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
