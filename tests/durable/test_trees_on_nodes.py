"""J3, D4: machines with durable trees that crash where the simulator likes, also while they recover."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Final

import attrs
import pytest
import trio
from tests.conftest import Show
from tests.durable.levels import FIRM, IDENTITY, Build, Told, go_on, journal_on, open_house, traces
from tests.effort import count

import histrio
from histrio.testing import Faults, Node, World, explore, simulate
from histrio_kernel.driver import Disk
from histrio_kernel.signals import Kind
from histrio_kernel.simulation.files import SimFiles

ORDERS: Final = (Build(1, 1), Build(2, 0))
CRASHES: Final = 3
FAULTS: Final = Faults(crashes=CRASHES, outage_max_s=5)
CALM: Final = (0, 3, 5)
"""So much is noted before the first crash, so that not all of them come early."""


class House(histrio.Actor[None]):
    """What lives on the machine: it holds the tree open, and is its client."""

    def __init__(self, disk: Disk, notes: list[object]) -> None:
        self.disk = disk
        self.notes = notes

    async def started(self) -> None:
        self.background(self.live)

    async def live(self) -> None:
        """All orders, and what came of them."""
        await self.look()
        async with open_house(self.system, self.disk, self.notes) as tree:
            await go_on(tree, ORDERS, self.notes)
            self.notes.append(Told("all is done", await traces(tree)))
            await trio.sleep_forever()

    async def look(self) -> None:
        """What the world outside knows is on the disk."""
        async with journal_on(self.disk) as journal:
            records = {row.path: await journal.records(row.path) for row in await journal.actors()}
        uses = {
            f"{IDENTITY}{path}/{each.key}" for path, kept in records.items() for each in kept if each.kind is Kind.USE
        }
        answers = [each for each in records.get(FIRM, ()) if each.key == "?!"]
        assert uses.issuperset(told(self.notes, "began")), "what has begun outside is not in the journal"
        assert len(answers) >= len(told(self.notes, "answered")), "an answer is not in the journal"


async def live_on(world: World, calm: int = 0) -> None:
    """A machine that has all done in the end, whatever happens in between, once so much has been noted."""
    node = world.node("a")

    async def bring_up(node: Node) -> None:
        await node.spawn(House, node.disk, world.notes, name="house")

    node.on_start(bring_up)
    if calm:
        with world.calm():
            await node.start()
            while len(world.notes) < calm:  # noqa: ASYNC110 - a list has no event
                await trio.sleep(0.05)
    await node.start()
    await world.settle(within_s=120)
    await world.eventually(lambda: bool(told(world.notes, "all is done")), within_s=600)


@attrs.frozen
class Day:
    """What is done and told on a day without a crash."""

    traces: object
    answers: list[object]
    begun: list[object]

    async def again(self, world: World, calm: int) -> None:
        """The same, with crashes after a time."""
        await live_on(world, calm)
        assert told(world.notes, "all is done")[-1] == self.traces
        assert told(world.notes, "answered") == [each for each in self.answers if each in told(world.notes, "answered")]
        begun = Counter(told(world.notes, "began"))
        assert begun.keys() == {*self.begun}
        assert max(begun.values()) <= 1 + CRASHES


async def without(world: World) -> Day:
    """A day without a crash."""
    await live_on(world)
    (all_traces,) = told(world.notes, "all is done")
    return Day(all_traces, told(world.notes, "answered"), told(world.notes, "began"))


def told(notes: list[object], what: str) -> list[object]:
    """What of that the world outside knows."""
    return [each.value for each in notes if isinstance(each, Told) and each.what == what]


@pytest.mark.alarm(1_800)
@pytest.mark.parametrize("calm", CALM)
def test_it_lives_on_wherever_it_crashes(calm: int, show: Show) -> None:
    """J3, D4: up to three crashes in a run, also of a recovery: all is done, once by its records, and answers stay as told."""
    day = simulate(without).value
    main = partial(day.again, calm=calm)
    report = explore(main, count("explored_schedules") // len(CALM), strategy="random", faults=FAULTS)

    report.check()
    show(f"J3: a machine with a durable tree, up to {CRASHES} crashes in a run, late {calm}: {report}")


def sync_nothing(files: SimFiles, fd: int) -> None:
    """As `SimFiles.fsync`, but nothing is safe afterwards."""


def test_a_machine_that_syncs_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """J2, D5: what was told was not on the disk, and the exploration above finds that."""
    day = simulate(without).value
    monkeypatch.setattr(SimFiles, "fsync", sync_nothing)

    report = explore(partial(day.again, calm=CALM[-1]), strategy="random", faults=FAULTS, shrinks=False)
    assert report.failed
    assert "is not in the journal" in str(report.error)
