"""D4: crashes and partitions of nodes that the simulator chooses, as it does all faults."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, final

import attrs
import pytest
import trio
from tests.effort import count

import histrio
from histrio import Ref
from histrio.testing import BrokenPromise, Faults, Node, Unreachable, World, explore, replay
from histrio.testing.running import run_once
from histrio_kernel.driver import File
from histrio_kernel.simulation.choices import Departure, Fifo, Replay, Walk
from histrio_kernel.simulation.errors import PowerCut
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import Simulation

CRASHES: Final = Faults(crashes=1)
PARTITIONS: Final = Faults(partitions=1)
EVERYTHING: Final = Faults(crashes=2, partitions=2)
STRIKE: Final = re.compile(" is cut (before|after) | are cut off from one another before ")
GONE: Final = (histrio.ActorFailed, histrio.ActorStopped, Unreachable, PowerCut)
"""What somebody may get who asks an actor of a node that crashes."""


@attrs.frozen
class Put(histrio.Request[None]):
    """Keep this, and answer when it is kept."""

    text: bytes


class Keeper(histrio.Actor[Put]):
    """Writes what it is to keep to its disk, and answers then."""

    file: File

    async def started(self) -> None:
        self.file = await self.io.disk.open("/kept")

    @histrio.handler(Put)
    async def put(self, message: Put) -> None:
        await self.io.disk.append(self.file, message.text)


class Hasty(Keeper):
    """Answers before it has written."""

    @histrio.handler(Put)
    async def put(self, message: Put) -> None:
        self.background(self.io.disk.append, self.file, message.text)


async def kept(node: Node) -> bytes:
    """What a node finds on its disk, once it is up."""
    await node.start()
    return await node.disk.read("/kept")


async def keep(world: World, kind: type[Keeper]) -> None:
    """What was acknowledged is there afterwards, whatever happens in between."""
    node = world.node("a")

    async def bring_up(node: Node) -> None:
        await node.spawn(kind, name="keeper")

    node.on_start(bring_up)
    with world.calm():
        keeper = (await node.start()).find(kind, "/keeper")
        assert keeper is not None
    try:
        await keeper.ask(Put(b"kept"))
    except GONE:
        return
    await world.settle()
    await world.eventually(lambda: node.is_up)
    assert await kept(node) == b"kept", "an acknowledged write is lost"


async def keep_well(world: World) -> None:
    """With the keeper that does it right."""
    await keep(world, Keeper)


async def keep_badly(world: World) -> None:
    """With the one that does not."""
    await keep(world, Hasty)


@final
class Unlucky:
    """First in, first out, and every fault strikes that may."""

    def pick(self, options: Sequence[int]) -> int:
        """The first."""
        return 0

    def decide(self, ways: int) -> int:
        """With the first of the faults."""
        return 1


def struck(simulation: Simulation) -> list[str]:
    """Where there was a crash or a partition."""
    return [label for at, label in simulation.decided if simulation.tape[at] >> 1 & 0xFFFF and STRIKE.search(label)]


def run(main: Callable[[World], Awaitable[None]], walk: Walk, faults: Faults) -> tuple[Ran[None], Simulation]:
    """One run, which must not fail, and its simulation."""
    made: list[Simulation] = []
    ran = run_once(main, walk, 0, faults, prepare=made.append)
    ran.outcome.unwrap()
    return ran, made[0]


def test_a_write_behind_a_crash_is_lost() -> None:
    """D4: with one crash allowed the search finds it, tells where it was, and its token finds it again."""
    report = explore(keep_badly, faults=CRASHES)

    assert report.failed
    assert "an acknowledged write is lost" in str(report.error)
    assert "the power of a is cut before pwrite /kept (1 of 2)" in report.explanation
    assert report.token is not None
    with pytest.raises(AssertionError, match="an acknowledged write is lost"):
        replay(keep_badly, report.token, faults=CRASHES)
    assert not explore(keep_badly).failed


def test_who_writes_first_survives_every_crash() -> None:
    """D4: a program that keeps its promise passes, whatever crash is chosen."""
    report = explore(keep_well, count("explored_schedules"), faults=Faults(crashes=2))

    assert not report.failed, report.explanation


# -- where, and how often -----------------------------------------------------------------------------------------------


class Worker(histrio.Actor[Put]):
    """Does one of everything that a machine can do in the world."""

    def __init__(self, other: Ref[Put]) -> None:
        self._other: Final = other

    async def receive(self, message: Put) -> None:
        file = await self.io.disk.open("/done")
        await self.io.thread(message.text.upper)
        await self.io.disk.append(file, message.text)
        with contextlib.suppress(Unreachable):
            await self._other.ask(message)


async def work(world: World) -> None:
    """A worker on one node, whom it tells on another; it does not matter how far it gets."""
    a, b = world.node("a"), world.node("b")
    with world.calm():
        worker = await a.spawn(Worker, await a.ref(await b.spawn(Keeper)))
    with contextlib.suppress(*GONE):
        await worker.ask(Put(b"done"))
    await world.settle()
    places.update(struck(world.simulation))


places: Final[set[str]] = set()  # that were struck, in all runs of a test


def may_crash(simulation: Simulation) -> list[tuple[int, str]]:
    """The decisions of a run about crashes, and where on the tape they are."""
    return [(at, label) for at, label in simulation.decided if label.startswith("the power of a ")]


def test_a_crash_comes_at_every_boundary_of_an_effect() -> None:
    """D4: before and after each change of the disk, call in a thread, and message; at each of them in some run."""
    places.clear()
    _, fifo = run(work, Fifo(), CRASHES)
    wanted = [label.removeprefix("the power of a is cut ") for _, label in may_crash(fifo)]

    assert places == set()
    assert Counter(wanted) == {
        "before create /done": 1,
        "before fsync /": 1,
        "before pwrite /done": 1,
        "before fsync /done": 2,
        "after disk of a": 2,
        "before a thread of a": 1,
        "after a thread of a": 1,
        "before a message from a to b": 1,
        "after a message from a to b": 1,
        "after a message from b to a": 1,
    }
    for at, label in may_crash(fifo):
        assert struck(run(work, Replay([Departure(at, 1)]), CRASHES)[1]) == [label]

    places.clear()
    explore(work, 300, strategy="delay", faults=CRASHES).check()
    assert {place for place in places if place.startswith("the power of a ")} == {label for _, label in may_crash(fifo)}


def test_first_in_first_out_has_no_fault() -> None:
    """D4: the plain run has none, so a failure that needs none is told without one."""
    _, simulation = run(work, Fifo(), EVERYTHING)

    assert may_crash(simulation)
    assert struck(simulation) == []


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_than_allowed(most: int) -> None:
    """D4: however unlucky a run is, so many crashes and so many partitions there are, and no more."""

    async def main(world: World) -> None:
        for _ in range(8):
            await work(world)
            await world.node("a").restart()

    _, simulation = run(main, Unlucky(), Faults(crashes=most, partitions=most))

    assert sum("the power of" in label for label in struck(simulation)) == most
    assert sum("are cut off" in label for label in struck(simulation)) == most


def test_the_worlds_own_machine_is_spared() -> None:
    """D4: only nodes crash: the world's own machine is where the test itself stands."""

    async def main(world: World) -> None:
        await (await world.spawn(Keeper)).ask(Put(b"kept"))

    assert struck(run(main, Unlucky(), EVERYTHING)[1]) == []


def test_in_the_calm_nobody_strikes() -> None:
    """D4: nor does anybody in `world.calm()`, and the allowance is not used up there."""
    inside: list[int] = []

    async def main(world: World) -> None:
        node = world.node("a")
        with world.calm():
            keeper = await node.spawn(Keeper)
            await keeper.ask(Put(b"calm"))
        inside.append(len(struck(world.simulation)))
        with contextlib.suppress(*GONE):
            await keeper.ask(Put(b"no more"))

    _, simulation = run(main, Unlucky(), CRASHES)

    assert inside == [0]
    assert struck(simulation) == ["the power of a is cut before pwrite /kept"]


# -- and afterwards -----------------------------------------------------------------------------------------------------


def test_whoever_has_crashed_starts_again() -> None:
    """D4: with what `on_start` says, after a time; whoever starts the node meanwhile waits for that."""
    starts: list[float] = []

    async def main(world: World) -> None:
        async def bring_up(node: Node) -> None:
            starts.append(world.now)
            await node.spawn(Keeper, name="keeper")

        node = world.node("a")
        node.on_start(bring_up)
        with world.calm():
            keeper = (await node.start()).find(Keeper, "/keeper")
        assert keeper is not None
        with pytest.raises(GONE):
            await keeper.ask(Put(b"kept"))
        while node.is_up:
            await trio.lowlevel.checkpoint()
        assert (await node.start()).find(Keeper, "/keeper") is not None

    run(main, Unlucky(), Faults(crashes=1, outage_max_s=40))  # of which an unlucky outage is the shortest

    assert starts == [0, 2]


def test_a_crash_while_it_starts() -> None:
    """D4: the power may go while a node starts, too; then it starts once more."""
    starts: list[str] = []

    async def main(world: World) -> None:
        async def bring_up(node: Node) -> None:
            starts.append("begun")
            await node.spawn(Keeper, name="keeper")
            starts.append("up")

        node = world.node("a")
        node.on_start(bring_up)
        await node.start()
        await world.eventually(lambda: node.is_up)

    run(main, Unlucky(), Faults(crashes=2))

    assert starts == ["begun", "begun", "begun", "up"]


def test_what_the_program_crashes_stays_down() -> None:
    """D4: a crash that the program makes itself is not undone, also if the simulator had struck before."""

    async def main(world: World) -> None:
        node = world.node("a")
        with world.calm():
            keeper = await node.spawn(Keeper)
        with pytest.raises(GONE):
            await keeper.ask(Put(b"kept"))
        await node.crash()
        await world.settle()
        assert not node.is_up
        await node.restart()
        assert node.is_up

    run(main, Unlucky(), CRASHES)


def test_eventually_all_is_well() -> None:
    """D4, D5: after `eventually` has begun nobody strikes, all nodes are up and every link is whole, without waiting."""

    async def main(world: World) -> None:
        a, b = world.node("a"), world.node("b")
        await work(world)
        before = world.now
        await world.eventually(lambda: a.is_up and b.is_up and world.links.is_open("a", "b"), within_s=1)
        assert world.now == before
        seen = len(struck(world.simulation))
        await (await a.spawn(Keeper)).ask(Put(b"kept"))
        assert len(struck(world.simulation)) == seen

    explore(main, count("explored_schedules"), faults=EVERYTHING).check()
    assert struck(run(main, Unlucky(), EVERYTHING)[1])


# -- partitions -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Alive(histrio.Request[bool]):
    """Are you there?"""


class Primary(histrio.Actor[Alive]):
    """Leads."""

    leads = True

    @histrio.handler(Alive)
    async def alive(self, message: Alive) -> bool:
        return True


class Backup(histrio.Actor[None]):
    """Leads as soon as it does not reach the primary, which is a mistake."""

    def __init__(self, primary: Ref[Alive]) -> None:
        self._primary: Final = primary
        self.leads = False

    async def run(self) -> None:
        for _ in range(3):
            try:
                await self._primary.ask(Alive())
            except Unreachable:
                self.leads = True
            await self.io.clock.sleep(5)


async def two_leaders(world: World) -> None:
    """There must never be two who lead."""
    a, b = world.node("a"), world.node("b")
    with world.calm():
        first = await a.spawn(Primary)
        second = await b.spawn(Backup, await b.ref(first))
    primary, backup = world.peek(first, Primary), world.peek(second, Backup)
    world.always(lambda: not (primary.leads and backup.leads), "one leads")
    await world.settle()


def test_a_partition_makes_two_leaders() -> None:
    """D4: with one partition allowed both sides lead, and the token shows it again."""
    report = explore(two_leaders, faults=PARTITIONS)

    assert report.failed
    assert isinstance(report.error, BrokenPromise)
    assert "a and b are cut off from one another before a message from b to a (1 of 2)" in report.explanation
    assert report.token is not None
    with pytest.raises(BrokenPromise, match="one leads"):
        replay(two_leaders, report.token, faults=PARTITIONS)
    assert not explore(two_leaders, count("explored_schedules")).failed


def test_what_the_program_has_cut_stays_cut() -> None:
    """D4: a partition of the simulator heals after a time; one of the program does not, until it says so."""

    async def main(world: World) -> None:
        a, b, c = map(world.node, "abc")
        with world.calm():
            at_a, at_b, at_c = [await node.spawn(Keeper, name="keeper") for node in (a, b, c)]
            far = [await a.ref(at_b), await b.ref(at_c), await c.ref(at_a)]
        world.links.partition("b", "c")
        with pytest.raises(Unreachable):
            await far[0].ask(Put(b"lost"))
        assert not world.links.is_open("a", "b")
        await world.settle()
        assert world.links.is_open("a", "b")
        await far[0].ask(Put(b"kept"))
        with pytest.raises(Unreachable):
            await far[1].ask(Put(b"lost"))

    run(main, Unlucky(), attrs.evolve(PARTITIONS, outage_max_s=1_000))
