"""D2, D3: a search stops at what fails, says what it has tried, and notices that something outside has a say."""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import trio
from outcome import Error
from tests.simulation.toys import lost_update

import histrio
from histrio.testing import BrokenPromise, Nondeterministic, World, explore, replay
from histrio_kernel.simulation.choices import Fifo, Walk
from histrio_kernel.simulation.exploring import Search
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.strategies.delay import Delays
from histrio_kernel.simulation.strategies.fifo import FirstInFirstOut

# -- what comes from outside --------------------------------------------------------------------------------------------


def by_time() -> bool:
    """An even number of microseconds."""
    return time.time_ns() // 1_000 % 2 == 0


def by_chance() -> bool:
    """A coin."""
    return random.random() < 0.5


def by_uuid() -> bool:
    """Half of all."""
    return uuid.uuid4().int % 2 == 0


def by_address() -> bool:
    """Which of two objects lies before the other."""
    KEPT.append([object() for _ in range(random.randrange(100))])
    one, other = object(), object()
    return id(one) < id(other)


def by_an_earlier_run() -> bool:
    """Every second time."""
    KEPT.append([])
    return len(KEPT) % 2 == 0


KEPT: Final[list[list[object]]] = []
OUTSIDE: Final = [by_time, by_chance, by_uuid, by_address, by_an_earlier_run]


class Branching(histrio.Actor[str]):
    """Goes one way or another, by something that is not in the simulation."""

    def __init__(self, asks: Callable[[], bool]) -> None:
        self.asks = asks

    async def receive(self, message: str) -> None:
        for _ in range(31):
            if self.asks():
                await self.io(trio.lowlevel.checkpoint)
            else:
                await self.io.clock.sleep(1)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """No test sees what another one has left."""
    KEPT.clear()
    yield
    KEPT.clear()


@pytest.mark.parametrize("asks", OUTSIDE, ids=lambda asks: asks.__name__)
def test_what_comes_from_outside_is_noticed(asks: Callable[[], bool]) -> None:
    """D2: each run that fails, and some that pass, are made twice; the first event at which they part is told."""

    async def program(world: World) -> None:
        branching = await world.spawn(Branching, asks, name="branching")
        await branching.tell("go")
        await world.settle()

    with pytest.raises(Nondeterministic, match=r"They part at event \d+: in the first .*; in the second ") as caught:
        explore(program)

    told = str(caught.value)
    assert "/branching" in told
    assert "self.io.clock" in told
    assert "self.io.random" in told


def test_an_end_that_comes_from_outside_is_noticed() -> None:
    """D2: two runs with one trace that end in different ways are two different runs."""
    ends = iter([False, True, False, True])

    async def program(world: World) -> None:
        await trio.lowlevel.checkpoint()
        assert next(ends), "it fails"

    with pytest.raises(
        Nondeterministic, match=r"(?s)in the first the end, with AssertionError: it fails.*the end, with a value"
    ):
        explore(program)


def test_the_values_of_the_driver_come_from_the_seed() -> None:
    """D2: chance that is taken from the world is the same in both runs, and another one in the next."""
    drawn: list[float] = []

    class Drawing(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            drawn.append(self.io.random.random())

    async def program(world: World) -> None:
        drawing = await world.spawn(Drawing)
        await drawing.tell("draw")
        await world.settle()

    report = explore(program, schedules=20)

    assert not report.failed
    assert drawn[0] == drawn[1], "the first run is made twice"
    assert len(set(drawn)) == 20


# -- what is told -------------------------------------------------------------------------------------------------------


def test_a_failure_has_all_that_one_needs() -> None:
    """D3: the error, after how many schedules, a token that replays it, and the schedule in sentences."""
    report = explore(lost_update)

    assert report.failed
    assert isinstance(report.error, AssertionError)
    assert 1 < report.schedules <= 300
    assert report.token
    assert report.explanation.startswith("first in, first out, except:\n  - /store goes on only when nobody else can\n")
    assert not report.complete
    text = str(report)
    assert f"schedule {report.schedules} failed: AssertionError: two have added one" in text
    assert f"--sim-replay={report.token}" in text
    with pytest.raises(AssertionError, match="two have added one") as caught:
        report.check()
    assert any(report.token in note for note in caught.value.__notes__)
    with pytest.raises(AssertionError, match="two have added one"):
        replay(lost_update, report.token)


def test_what_passes_says_how_much_was_tried() -> None:
    """D3: and claims no more."""

    async def fine(world: World) -> None:
        await trio.lowlevel.checkpoint()

    report = explore(fine, schedules=12)

    assert (report.failed, report.error, report.schedules, report.token, report.complete) == (
        False,
        None,
        12,
        None,
        False,
    )
    assert str(report) == "12 schedules, none failed"
    report.check()


def test_a_group_of_one_is_the_error_itself() -> None:
    """D3: what the world's own nursery wraps is unwrapped; a nursery of the user's is not."""

    async def wrapped(world: World) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)

    async def fails() -> None:
        raise BrokenPromise("no")

    report = explore(wrapped)
    assert isinstance(report.error, ExceptionGroup | BrokenPromise)


# -- how much is tried --------------------------------------------------------------------------------------------------


class Counted:
    """Runs two tasks, and counts the runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.seeds: list[int] = []

    def __call__(self, walk: Walk, seed: int, steps_max: int | None) -> Ran[object]:
        self.runs += 1
        self.seeds.append(seed)
        return Simulation(walk, seed).run(two_tasks)


async def two_tasks() -> None:
    """With a choice."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.lowlevel.checkpoint)
        nursery.start_soon(trio.lowlevel.checkpoint)


def test_one_run_in_fifty_that_passes_is_made_twice() -> None:
    """D2: the first one is among them."""
    counted = Counted()
    search = Search(counted, Delays(5), 0, 60)

    assert search.run() is None
    assert counted.runs == search.runs + 2 == 62 or search.complete


def test_a_strategy_with_nothing_left_is_complete() -> None:
    """D3: which is told, and how many runs it took."""
    counted = Counted()
    search = Search(counted, FirstInFirstOut(), 0, 100)

    assert search.run() is None
    assert search.complete
    assert search.runs == 1


def test_a_systematic_search_keeps_its_values() -> None:
    """D3: its runs differ in their schedules alone, or nothing would be ruled out by them."""
    counted = Counted()
    Search(counted, Delays(1), 5, 100).run()

    assert set(counted.seeds) == {5}


def test_no_time_is_no_run() -> None:
    """D3: a search that may take no time has tried nothing, and says so."""
    report = explore(lost_update, seconds=0)

    assert (report.failed, report.schedules, report.complete) == (False, 0, False)


def test_who_wants_to_know_is_told_of_each_run() -> None:
    """D3: as the bar of a long search does."""
    told: list[int] = []
    Search(Counted(), Delays(1), 0, 7, on_run=told.append).run()

    assert told == [*range(1, len(told) + 1)]
    assert told


def test_what_is_not_shrunk_is_told_as_it_was() -> None:
    """D3: for those who only want to know whether it fails."""
    report = explore(lost_update, shrinks=False)

    assert report.failed
    assert report.token
    with pytest.raises(AssertionError, match="two have added one"):
        replay(lost_update, report.token)


def test_another_seed_takes_other_schedules() -> None:
    """D3: and the same one the same."""
    found = [explore(lost_update, seed=seed).schedules for seed in (*range(4), *range(4))]

    assert found[:4] == found[4:]
    assert len(set(found)) > 1


def test_a_run_that_fails_first_in_first_out_says_so() -> None:
    """D3: then no schedule is to blame."""

    async def fails(world: World) -> None:
        raise ValueError("always")

    report = explore(fails)

    assert report.schedules == 1
    assert report.explanation.startswith("first in, first out fails already")
    assert isinstance(Simulation(Fifo()).run(broken).outcome, Error)


async def broken() -> None:
    """The same without a world."""
    raise ValueError("always")


def test_the_default_mixture_is_complete_when_nothing_is_left() -> None:
    """D3: the last third of the schedules goes to the search of all, and a small program has none left."""

    async def main(world: World) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.checkpoint, name="ann")
            nursery.start_soon(trio.lowlevel.checkpoint, name="ben")

    report = explore(main, 300)

    assert report.complete
    assert report.schedules == 300
    assert str(report).splitlines() == [
        "300 schedules, none failed; complete under isolation, assuming that",
        "  - the clock does not move while something else can happen",
    ]
