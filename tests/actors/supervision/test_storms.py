"""Storms and large trees: what one actor costs does not grow with their number, and nothing of them is left."""

import gc
import logging
import time
import tracemalloc
from itertools import pairwise
from weakref import ReferenceType, ref

import attrs
import pytest
import trio
from tests.conftest import Show
from tests.effort import count
from trio.testing import MockClock

import histrio


@attrs.frozen
class Fail:
    """Fails whoever gets it."""


@attrs.frozen
class Sum(histrio.Request[int]):
    """How many incarnations have there been?"""


class Mayfly(histrio.Actor[Fail | Sum]):
    """Dies of every message but one."""

    lives = 0

    def __init__(self) -> None:
        Mayfly.lives += 1

    @histrio.handler(Fail)
    async def fail(self, m: Fail) -> None:
        raise ValueError("a day is over")

    @histrio.handler(Sum)
    async def sum(self, m: Sum) -> int:
        return Mayfly.lives


@pytest.mark.slow
@pytest.mark.alarm(120)
@pytest.mark.parametrize("strategy", list(histrio.Strategy))
def test_a_child_that_dies_again_and_again_costs_no_memory(
    strategy: histrio.Strategy, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1, S2: as many deaths as you like in a row, each started again; one more costs the time at which it was, no more."""
    deaths = count("storm_deaths")

    async def main(system: histrio.System) -> tuple[int, int]:
        mayfly = histrio.child("mayfly", Mayfly)
        rules = histrio.child("all", histrio.Supervisor, mayfly, strategy=strategy, restarts_max=deaths, window_s=1e9)
        fly = (await system.spawn(rules)).child(mayfly)

        async def die(times: int) -> int:
            for _ in range(times):
                await fly.tell(Fail())
            await fly.ask(Sum())
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        early = await die(6 * deaths // 10)  # the bounded lists (dead letters, reports, failures) are full by now
        late = await die(deaths - 6 * deaths // 10)
        assert await fly.ask(Sum()) == deaths + 1
        assert fly.control.inspect().incarnation == deaths + 1
        return early, late

    monkeypatch.setattr(logging.getLogger("histrio"), "disabled", True)  # pytest keeps every record
    Mayfly.lives = 0
    tracemalloc.start()
    try:
        early, late = histrio.run(main, clock=MockClock(autojump_threshold=0))
    finally:
        tracemalloc.stop()
    each = (late - early) / (0.4 * deaths)
    show(f"a child that died {deaths:,} times, {strategy.value}: {each:.0f} bytes kept for each death")
    assert each < 100


def test_a_child_that_cannot_be_made_leaves_others_their_time() -> None:
    """S1: a constructor that always raises is tried again by and by, and siblings go on meanwhile."""

    class Never(histrio.Actor[str]):
        def __init__(self, made: list[int]) -> None:
            made.append(0)
            if len(made) > 1:
                raise ValueError("not again")

        async def receive(self, message: str) -> None:
            raise ValueError("once")

    async def main(system: histrio.System) -> None:
        made: list[int] = []
        never = histrio.child("never", Never, made)
        supervisor = await system.spawn(histrio.child("all", histrio.Supervisor, never, restarts_max=1_000))
        await supervisor.child(never).tell("die")
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        assert 1 < len(made) < 1_000  # others run between two attempts

    histrio.run(main)


def test_a_child_that_cannot_start_leaves_others_their_time() -> None:
    """S1: a `started()` that fails at once, again and again, without a backoff: others run between two attempts."""

    class Never(histrio.Actor[str]):
        def __init__(self, starts: list[int]) -> None:
            self.starts = starts

        async def started(self) -> None:
            self.starts.append(0)
            if len(self.starts) > 1:
                raise ValueError("not again")

        async def receive(self, message: str) -> None:
            raise ValueError("once")

    async def main(system: histrio.System) -> None:
        starts: list[int] = []
        never = histrio.child("never", Never, starts)
        supervisor = await system.spawn(histrio.child("all", histrio.Supervisor, never, restarts_max=1_000))
        await supervisor.child(never).tell("die")
        seen = [len(starts)]
        for _ in range(100):
            await trio.lowlevel.checkpoint()
            seen.append(len(starts))
        assert 1 < seen[-1] < 1_000
        assert max(after - before for before, after in pairwise(seen)) <= 2

    histrio.run(main)


# -- large trees -------------------------------------------------------------------------------------------------------


class Leaf(histrio.Actor[Sum]):
    """One of very many."""

    known: list[ReferenceType[histrio.Actor[Sum]]] = []  # noqa: RUF012 - of this file

    async def started(self) -> None:
        Leaf.known.append(ref(self))

    @histrio.handler(Sum)
    async def sum(self, m: Sum) -> int:
        return 1


def grove(name: str, branches: int, leaves: int) -> histrio.Child[histrio.ChildRequest]:
    """A supervisor of supervisors of leaves."""
    return histrio.child(
        name,
        histrio.Supervisor,
        *(
            histrio.child(
                f"branch{branch}",
                histrio.Supervisor,
                *(histrio.child(f"leaf{leaf}", Leaf) for leaf in range(leaves)),
            )
            for branch in range(branches)
        ),
    )


@attrs.frozen
class Times:
    """CPU seconds of one large tree."""

    start: float
    recover: float
    stop: float

    def all(self) -> float:
        return self.start + self.recover + self.stop


def one_life(size: int) -> Times:
    """A tree of that many leaves starts, has its middle killed, recovers, and stops."""
    leaves = 50
    branches = size // leaves

    async def main() -> Times:
        async with histrio.open_system() as system:
            began = time.process_time()
            await system.spawn(grove("tree", branches, leaves))
            started = time.process_time()
            assert len(Leaf.known) == size
            middle = [
                system.find(histrio.Supervisor, f"/tree/branch{number}")
                for number in range(branches // 4, branches // 2)
            ]
            for number, branch in enumerate(middle):
                assert branch is not None
                if number % 3 == 0:  # as many as restarts_max allows in its window
                    await branch.control.kill()
                    await trio.sleep(10)
            for branch in middle:
                assert branch is not None
                leaf = system.find(Leaf, f"{branch.path}/leaf{leaves - 1}")
                assert leaf is not None
                assert await leaf.ask(Sum()) == 1
            recovered = time.process_time()
            await system.stop()
            stopped = time.process_time()
        return Times(started - began, recovered - started, stopped - recovered)

    Leaf.known.clear()
    times = trio.run(main, clock=MockClock(autojump_threshold=0))
    gc.collect()
    assert [one() for one in Leaf.known if one() is not None] == []
    return times


@pytest.mark.slow
@pytest.mark.alarm(300)
def test_a_large_tree_costs_as_much_for_each_actor_as_a_small_one(show: Show) -> None:
    """S1, S2, S4: start, killing the middle, recovery and stop take time in proportion to the tree; nothing is left."""
    actors = count("tree_actors")
    sizes = (actors // 10, 3 * actors // 10, actors)
    best = {size: min((one_life(size) for _ in range(3)), key=Times.all) for size in sizes}

    for size, times in best.items():
        each = [f"{part / size * 1e6:.0f}" for part in (times.start, times.recover, times.stop)]
        show(
            f"a tree of {size:,} actors: {' / '.join(each)} us of CPU each to start / lose its middle and recover / stop"
        )
    for part in ("start", "recover", "stop"):
        small, large = getattr(best[sizes[0]], part) / sizes[0], getattr(best[sizes[-1]], part) / sizes[-1]
        assert large < 4 * small, part  # a quadratic part would make it ten times as much
