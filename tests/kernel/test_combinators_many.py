"""Combinators of any number of futures: all, the first to complete, the first success (F3)."""

import math
from collections.abc import Callable

import pytest
import trio
from tests.kernel.works import Act, Boom, answer, forever, open_works, under_all_schedules
from trio.testing import MockClock

from histrio_kernel.combinators import (
    Left,
    Winner,
    all_of,
    any_of,
    either,
    first_of,
)
from histrio_kernel.errors import FutureCancelled, LoserStuck
from histrio_kernel.futures import Future


async def test_all_of(autojump_clock: MockClock) -> None:
    """F3: `all_of` is the tuple of the values in argument order, of any number of futures; of none it is ()."""
    async with open_works() as works:
        acts = [Act(name, after_s=after_s) for name, after_s in (("a", 3), ("b", 1), ("c", 2))]

        assert await all_of(*(works.io(act.run) for act in acts)) == ("a", "b", "c")
        assert await all_of(works.value(1)) == (1,)
        assert await all_of() == ()


async def test_all_of_ends_all_at_the_first_error(autojump_clock: MockClock) -> None:
    """F3: the first error cancels all others of `all_of`, and is raised bare when they have ended."""
    async with open_works() as works:
        acts = [Act(str(number), after_s=9, cleanup_s=number / 4) for number in (1, 2, 3)]
        bad = works.io(Act("bad", after_s=1, fails=True).run)
        start = trio.current_time()
        with pytest.raises(Boom, match="bad"):
            await all_of(works.io(acts[0].run), bad, works.io(acts[1].run), works.io(acts[2].run))

        assert trio.current_time() == pytest.approx(start + 1.75)
        assert all(act.cleaned_at is not None for act in acts)


async def test_any_of(autojump_clock: MockClock) -> None:
    """F3: `any_of` is the first to complete, with its index; an error that is first is raised bare."""
    async with open_works() as works:

        def three(*, second_fails: bool) -> list[Future[str]]:
            b = Act("b", after_s=1, fails=second_fails)
            return [works.io(Act("a", after_s=2).run), works.io(b.run), works.io(Act("c", after_s=3).run)]

        assert await any_of(*three(second_fails=False)) == Winner(1, "b")
        with pytest.raises(Boom, match="b"):
            await any_of(*three(second_fails=True))
        assert works.pool.running == 0


async def test_first_of(autojump_clock: MockClock) -> None:
    """F3: `first_of` is the first success; failures before it do not count, and are not lost on their owner."""
    async with open_works() as works:
        acts = [Act("a", after_s=1, fails=True), Act("b", after_s=3), Act("c", after_s=2)]

        assert await first_of(*(works.io(act.run) for act in acts)) == Winner(2, "c")
        assert acts[1].cleaned_at is not None
        assert works.failures == []


async def test_first_of_all_that_fail(autojump_clock: MockClock) -> None:
    """F3: if all fail, `first_of` raises a group of all errors in argument order, cancelled ones among them."""
    async with open_works() as works:
        acts = [Act("a", after_s=2, fails=True), Act("b", after_s=1, fails=True)]
        futures = [works.io(acts[0].run), works.cancelled(), works.io(acts[1].run)]
        with pytest.RaisesGroup(
            pytest.RaisesExc(Boom, match="a"), FutureCancelled, pytest.RaisesExc(Boom, match="b")
        ) as raised:
            await first_of(*futures)

        assert [str(error) for error in raised.value.exceptions][::2] == ["a", "b"]


@pytest.mark.parametrize("combine", [any_of, first_of])
def test_of_none(combine: Callable[[], object]) -> None:
    """F3: `any_of()` and `first_of()` of nothing raise ValueError at the call: they could never complete."""
    with pytest.raises(ValueError, match=r"needs at least one future"):
        combine()


@pytest.mark.parametrize("combine", [any_of, first_of])
async def test_keep_of_many(combine: Callable[..., Future[Winner[str]]], autojump_clock: MockClock) -> None:
    """F3: with keep=True all losers go on."""
    async with open_works() as works:
        futures = [works.io(Act(str(number), after_s=number).run) for number in (3, 1, 2)]

        assert await combine(*futures, keep=True) == Winner(1, "1")
        assert await all_of(*futures) == ("3", "1", "2")


async def test_cleanup_of_many(autojump_clock: MockClock) -> None:
    """F3: one deadline serves all losers; each that is stuck is reported."""
    async with open_works() as works:
        start = trio.current_time()
        losers = [works.io(forever, 60), works.io(forever, 0.5), works.io(forever, 60)]

        assert await any_of(*losers, works.io(answer, None), cleanup_s=2) == Winner(3, None)
        assert trio.current_time() == pytest.approx(start + 2)
        assert [type(report) for report in works.engine.reports] == [LoserStuck, LoserStuck]


async def test_a_cleanup_without_end(autojump_clock: MockClock) -> None:
    """F2: with `cleanup_s=inf` the loser is waited for, however long it takes."""
    async with open_works() as works:
        start = trio.current_time()
        quick = works.io(Act("quick", after_s=1).run)

        assert await either(quick, works.io(forever, 1000), cleanup_s=math.inf) == Left("quick")
        assert trio.current_time() == pytest.approx(start + 1 + 1000)


def test_a_tie_of_several_goes_to_the_leftmost() -> None:
    """F3: with more than two the leftmost of those that end together wins, under every schedule."""

    async def race() -> object:
        async with open_works() as works:
            slow = works.io(Act("slow", after_s=9).run)
            return await any_of(slow, *(works.io(Act(name, after_s=1).run) for name in "abcd"))

    assert set(under_all_schedules(race)) == {Winner(1, "a")}


async def test_the_error_of_a_kept_loser_is_its_owners(autojump_clock: MockClock) -> None:
    """F3: an error of a kept loser that nobody awaits is not swallowed by the combinator that it lost in."""
    async with open_works() as works:
        slow = works.io(Act("kept", after_s=2, fails=True).run)

        assert await any_of(works.io(Act("quick", after_s=1).run), slow, keep=True) == Winner(0, "quick")
        await trio.sleep(2)
        assert [str(error) for error in works.failures] == ["kept"]
