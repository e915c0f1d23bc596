"""S1: what is started again may have to wait for it: exponentially longer, jittered by the driver's chance, till reset."""

import math
import random
from collections.abc import Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.supervision.crew import Say, ending_of, hold, settle, when_up, worker
from tests.actors.worlds import World
from trio.testing import MockClock

import histrio
from histrio import Backoff, Phase


class Chance(random.Random):
    """Answers `random` by what is given, and counts how often it was asked."""

    def __init__(self, given: Sequence[float]) -> None:
        super().__init__(0)
        self.given = list(given)
        self.asked = 0

    def random(self) -> float:
        self.asked += 1
        return self.given[(self.asked - 1) % len(self.given)]


async def restarts_at(backoff: Backoff, up_s: Sequence[float], chance: random.Random | None = None) -> list[float]:
    """How long it was away each time; it fails after it has been up for so long, again and again."""
    away: list[float] = []
    async with histrio.open_system(driver=World(chance)) as system:
        a = worker("a", [])
        sup = await system.spawn(
            histrio.child("sup", histrio.Supervisor, a, backoff=backoff, restarts_max=100, window_s=1)
        )
        ref = sup.child(a)
        for life, seconds in enumerate(up_s, start=1):
            await trio.sleep(seconds)
            await ref.tell(Say("fail"))
            failed = trio.current_time()
            await when_up(ref, life + 1)
            away.append(trio.current_time() - failed)
    return away


async def test_each_restart_in_a_row_waits_longer(autojump_clock: MockClock) -> None:
    """S1: `first_s`, then `factor` times as long, at most `max_s`."""
    backoff = Backoff(first_s=0.5, factor=3, max_s=10)
    assert await restarts_at(backoff, [0] * 5) == pytest.approx([0.5, 1.5, 4.5, 10, 10])


async def test_a_row_ends_when_the_child_has_been_up_for_long_enough(autojump_clock: MockClock) -> None:
    """S1: for `reset_s`, counted from the return of its `started()`; a moment less does not end it."""
    backoff = Backoff(first_s=1, factor=2, max_s=100, reset_s=60)
    assert await restarts_at(backoff, [0, 0, 59.9, 60, 0, 61]) == pytest.approx([1, 2, 4, 1, 2, 1])


async def test_a_start_that_takes_long_does_not_end_the_row(autojump_clock: MockClock) -> None:
    """S1: only being up counts: one that fails in `started()` after a minute is in the row."""
    starts: list[float] = []

    async def start(_: object) -> None:
        starts.append(trio.current_time())
        if len(starts) > 1:
            await trio.sleep(50)
            raise ValueError("no start")

    async with histrio.open_system() as system:
        a = worker("a", [], starts=start)
        backoff = Backoff(first_s=1, factor=10, reset_s=20, max_s=1000)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=backoff, window_s=1))
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(300)

    assert starts == pytest.approx([0, 1, 61, 211])


async def test_the_chance_of_the_driver_shortens_the_wait(autojump_clock: MockClock) -> None:
    """S1, E2: to between `1 - jitter` and 1 of its length; one number is drawn for each restart, none without jitter."""
    chance = Chance([0, 0.5, 1])
    backoff = Backoff(first_s=8, factor=1, jitter=0.5)
    assert await restarts_at(backoff, [0] * 4, chance) == pytest.approx([8, 6, 4, 8])
    assert chance.asked == 4

    unasked = Chance([0.5])
    assert await restarts_at(Backoff(first_s=8, factor=1), [0] * 2, unasked) == pytest.approx([8, 8])
    assert unasked.asked == 0


async def test_a_seeded_driver_gives_the_same_waits_again(autojump_clock: MockClock) -> None:
    """S1, D1: the same seed, the same times; another seed, others."""
    backoff = Backoff(first_s=1, factor=2, jitter=1)
    times = [await restarts_at(backoff, [0] * 6, random.Random(seed)) for seed in (7, 7, 8)]

    assert times[0] == pytest.approx(times[1])
    assert times[0] != pytest.approx(times[2])
    assert all(0 <= time <= 2**n for n, time in enumerate(times[0]))


async def test_children_wait_each_for_itself(autojump_clock: MockClock) -> None:
    """S1: under ONE_FOR_ONE; the supervisor looks after the others and takes requests meanwhile."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b, c = (worker(name, log) for name in "abc")
        backoff = Backoff(first_s=4, factor=2)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, b, backoff=backoff))
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(1)
        await sup.child(b).tell(Say("fail"))
        await trio.sleep(1)
        added = await sup.start_child(c)
        assert await added.ask(Say("hello")) == "c1"
        assert [sup.child(spec).control.status() for spec in (a, b)] == [Phase.RESTARTING] * 2
        assert await sup.child(a).ask(Say("hello")) == "a2"
        assert trio.current_time() == 4
        assert await sup.child(b).ask(Say("hello")) == "b2"
        assert trio.current_time() == 5


@pytest.mark.parametrize("strategy", histrio.Strategy)
async def test_a_supervisor_does_not_wait_for_a_backoff_to_stop(
    strategy: histrio.Strategy, autojump_clock: MockClock
) -> None:
    """S2, S6: stopped in the middle of one, it is over at once, and nothing is started any more."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = (worker(name, log) for name in "ab")
        sup = await system.spawn(
            histrio.child("sup", histrio.Supervisor, a, b, strategy=strategy, backoff=Backoff(first_s=100, max_s=100))
        )
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(1)
        asked = sup.child(a).ask(Say("hello"))
        assert await sup.control.stop() is Phase.STOPPED
        assert trio.current_time() == 1
        assert await ending_of(asked) == "ActorStopped"
        await trio.sleep(1000)

    assert [line for line in log if "starts" in line] == ["a1 starts", "b1 starts"]


@pytest.mark.parametrize("strategy", [histrio.ONE_FOR_ALL, histrio.REST_FOR_ONE])
async def test_siblings_are_ended_at_once_and_started_after_the_backoff(
    strategy: histrio.Strategy, autojump_clock: MockClock
) -> None:
    """S1: who was started on what has failed does not go on without it; an end in the meantime begins no new wait."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = (worker(name, log) for name in "ab")
        sup = await system.spawn(
            histrio.child("sup", histrio.Supervisor, a, b, strategy=strategy, backoff=Backoff(first_s=10))
        )
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(9.5)
        assert log[4:] == ["a1 fail", "b1 stops", "b1 stopped"]
        assert await sup.child(b).ask(Say("hello")) == "b2"
        assert trio.current_time() == 10

    assert log[7:12] == ["a2 starts", "a2 started", "b2 starts", "b2 started", "b2 hello"]


async def test_restarts_are_counted_when_the_child_ends(autojump_clock: MockClock) -> None:
    """S1: so a budget in a window counts failures, however long the waits between them are."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(
            histrio.child(
                "sup", histrio.Supervisor, a, restarts_max=1, window_s=10, backoff=Backoff(first_s=10.5, factor=1)
            )
        )
        ref = sup.child(a)
        for life in range(1, 5):
            await ref.tell(Say("fail"))
            await when_up(ref, life + 1)
        assert trio.current_time() == 42


async def test_kill_of_a_supervisor_in_a_backoff_takes_no_time(autojump_clock: MockClock) -> None:
    """S6: nor does a cancellation around the system; whoever waits for the child is told."""
    asked: list[histrio.Future[str]] = []
    with trio.move_on_after(5):
        async with histrio.open_system() as system:
            a = worker("a", [])
            sup = await system.spawn(
                histrio.child("sup", histrio.Supervisor, a, backoff=Backoff(first_s=100, max_s=100))
            )
            await sup.child(a).tell(Say("fail"))
            await settle()
            asked.append(sup.child(a).ask(Say("hello")))
            await hold(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert trio.current_time() == 5
    assert await ending_of(asked[0]) == "ActorStopped"


@given(
    first=st.floats(0, 100), factor=st.floats(1, 1e6), most=st.floats(0, allow_nan=False), row=st.integers(1, 10_000),
    jitter=st.floats(0, 1), chance=st.floats(0, 1),
)  # fmt: skip
def test_a_pause_is_never_negative_nor_too_long(
    first: float, factor: float, most: float, row: int, jitter: float, chance: float
) -> None:
    """S1: for whatever numbers: between 0 and `max_s`, and never an overflow."""
    backoff = Backoff(first_s=first, factor=factor, max_s=most, jitter=jitter)
    pause = backoff.pause_s(row, chance)

    assert 0 <= pause <= most
    assert not math.isnan(pause)
    assert backoff.pause_s(row + 1) >= backoff.pause_s(row)
