"""Several futures as one: who wins, what becomes of the others, and that none is left behind."""

import gc
import math
import warnings
from collections.abc import Callable
from typing import Final, cast

import pytest
import trio
from tests.kernel.works import Act, Boom, Works, answer, fail, forever, open_works, under_all_schedules
from trio.testing import MockClock, assert_no_checkpoints, wait_all_tasks_blocked

from histrio_kernel.combinators import (
    Left,
    Right,
    all_of,
    any_of,
    await_both,
    await_either,
    both,
    either,
    first_of,
)
from histrio_kernel.errors import FutureCancelled, LoserStuck
from histrio_kernel.futures import Future


def test_both_have_literal_names() -> None:
    """F2: `await_both` and `await_either` are the same two functions."""
    assert await_both is both
    assert await_either is either


async def test_combining_is_no_checkpoint(autojump_clock: MockClock) -> None:
    """F2: a combinator returns a future, at once."""
    async with open_works() as works:
        with assert_no_checkpoints():
            pair = both(works.promise(int), works.promise(int))
        assert isinstance(pair, Future)
        pair.cancel()


async def test_both_fail_in_the_order_of_the_arguments(autojump_clock: MockClock) -> None:
    """F2: if the one cancelled by the other's error fails in its cleanup, a group holds both, in argument order."""

    async def late(error: Exception) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise error

    early, broken = Boom("early"), Boom("late")
    async with open_works() as works:
        with pytest.RaisesGroup(pytest.RaisesExc(Boom, match="late"), pytest.RaisesExc(Boom, match="early")) as raised:
            await both(works.io(late, broken), works.io(fail, early))

        assert raised.value.exceptions == (broken, early)
        assert isinstance(raised.value, ExceptionGroup)
        assert works.failures == []


async def test_both_done_with_errors(autojump_clock: MockClock) -> None:
    """F2: two futures that failed before are a group, in argument order; one failed before cancels the other."""
    one, two = Boom("one"), Boom("two")
    async with open_works() as works:
        with pytest.RaisesGroup(Boom, Boom) as raised:
            await both(works.error(one), works.error(two))
        assert raised.value.exceptions == (one, two)

        act = Act("other", after_s=9)
        other = works.io(act.run)
        await wait_all_tasks_blocked()
        with pytest.raises(Boom, match="one"):
            await both(other, works.error(one))
        assert act.cleaned_at == trio.current_time()


async def test_either_done_with_errors(autojump_clock: MockClock) -> None:
    """F2: of two that are complete when `either` is called the left counts, whatever its outcome."""
    async with open_works() as works:
        value, error, cancelled = works.value("value"), works.error(Boom("done")), works.cancelled()

        assert await either(value, error) == Left("value")
        with pytest.raises(Boom, match="done"):
            await either(error, value)
        with pytest.raises(FutureCancelled):
            await either(cancelled, value)
        assert await either(value, cancelled) == Left("value")


async def test_one_future_twice(autojump_clock: MockClock) -> None:
    """F2: `both(f, f)` is its value twice, `either(f, f)` is Left; an error comes bare and once."""
    async with open_works() as works:
        future = works.io(answer, 1)
        assert await both(future, future) == (1, 1)
        assert await both(future, future) == (1, 1)
        future = works.io(answer, 2)
        assert await either(future, future) == Left(2)
        failed = works.io(fail, Boom("once"))
        for combine in (both, either):
            with pytest.raises(Boom, match="once"):
                await combine(failed, failed)


def sleepers(works: Works, *, right_starts: bool) -> tuple[Future[str], Future[str]]:
    """Two operations that end at one moment; the right one is started first, if so wanted."""
    left, right = Act("left", after_s=1), Act("right", after_s=1)
    if right_starts:
        second = works.io(right.run)
        return works.io(left.run), second
    return works.io(left.run), works.io(right.run)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("right_starts", [False, True])
def test_a_tie_goes_to_the_left(right_starts: bool, keep: bool) -> None:
    """F2: of two operations that end with values at one reading of the clock the left wins, under every schedule."""

    async def race() -> object:
        async with open_works() as works:
            return await either(*sleepers(works, right_starts=right_starts), keep=keep)

    assert set(under_all_schedules(race)) == {Left("left")}


def test_a_tie_with_an_error_is_no_tie() -> None:
    """F2: only values tie; of a value and an error that come together the first to complete counts, and one only."""

    async def race() -> object:
        async with open_works() as works:
            left, right = Act("left", after_s=1, fails=True), Act("right", after_s=1)
            try:
                return await either(works.io(left.run), works.io(right.run))
            except Boom as error:
                return str(error)

    assert set(under_all_schedules(race)) <= {"left", Right("right")}


async def test_a_later_value_is_no_tie(autojump_clock: MockClock) -> None:
    """F2: the left that ends with a value while it is cleaned up has lost: the clock has moved on."""

    async def stubborn() -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(1.5)
        return "too late"

    async with open_works() as works:
        assert await either(works.io(stubborn), works.io(Act("right", after_s=1).run)) == Right("right")


async def test_a_loser_that_completed_after_all(autojump_clock: MockClock) -> None:
    """F2: a loser keeps its own true outcome, and who awaits it gets that."""

    async def stubborn() -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        return "mine"

    async with open_works() as works:
        loser = works.io(stubborn)
        assert await either(loser, works.io(Act("right", after_s=1).run)) == Right("right")
        assert loser.is_done
        assert await loser == "mine"


async def test_a_late_error_does_not_hide_the_winner(autojump_clock: MockClock) -> None:
    """F2: a loser that fails in its cleanup changes nothing for the winner, and fails nobody else."""

    async def breaks() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom("late")

    async with open_works() as works:
        assert await either(works.io(breaks), works.io(Act("right", after_s=1).run)) == Right("right")
        await wait_all_tasks_blocked()
        assert works.failures == []


async def test_a_stuck_loser_is_reported(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """F2: a loser that has not ended `cleanup_s` after its cancellation is reported, named, and left to its owner."""
    async with open_works() as works:
        start = trio.current_time()
        loser = works.io(forever, 60)
        assert await either(works.io(Act("a", after_s=1).run), loser, cleanup_s=2) == Left("a")

        assert trio.current_time() == pytest.approx(start + 3)
        (report,) = works.engine.reports
        assert isinstance(report, LoserStuck)
        assert "forever of /works" in str(report)
        assert not loser.is_done
        assert "LoserStuck" in caplog.text


async def test_a_stuck_loser_waits_five_seconds_by_default(autojump_clock: MockClock) -> None:
    """F2: `cleanup_s` is 5 unless given."""
    async with open_works() as works:
        start = trio.current_time()
        assert await either(works.io(Act("a", after_s=1).run), works.io(forever, 60)) == Left("a")

        assert trio.current_time() == pytest.approx(start + 6)


async def test_a_loser_in_time_is_not_reported(autojump_clock: MockClock) -> None:
    """F2: a loser that ends just before `cleanup_s` is not reported, and leaves no timer behind."""
    async with open_works() as works:
        assert await either(works.io(Act("a", after_s=1).run), works.io(forever, 4.75)) == Left("a")
        await wait_all_tasks_blocked()

        assert [task.name for task in works.engine.nursery.child_tasks if "timer" in task.name] == []
        await trio.sleep(10)
        assert list(works.engine.reports) == []


async def test_the_late_error_of_a_stuck_loser_is_its_owners(autojump_clock: MockClock) -> None:
    """F2: what a stuck loser raises in the end does not reach who awaited `either`; its owner is told."""
    late = Boom("late")

    async def breaks() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(60)
            raise late

    async with open_works() as works:
        assert await either(works.io(Act("a", after_s=1).run), works.io(breaks)) == Left("a")
        await trio.sleep(100)

        assert works.failures == [late]


async def test_keep_leaves_the_loser_alone(autojump_clock: MockClock) -> None:
    """F3: with keep=True the loser goes on, and can be awaited for its own outcome."""
    async with open_works() as works:
        start = trio.current_time()
        quick, slow = works.io(Act("quick", after_s=1).run), works.io(Act("slow", after_s=2).run)

        assert await either(slow, quick, keep=True) == Right("quick")
        assert trio.current_time() == pytest.approx(start + 1)
        assert await slow == "slow"


# -- what is refused ---------------------------------------------------------------------------------------------------


async def fetch(url: str) -> str:
    """An async function of a user."""
    await trio.lowlevel.checkpoint()
    return url


def wrong() -> Future[str]:
    """A coroutine, where a future is wanted: what a user forgets, with the checkers looking away."""
    return cast(Future[str], fetch("x"))


CALLS: Final[dict[str, Callable[[Future[str]], object]]] = {
    "both(f, c)": lambda future: both(future, wrong()),
    "both(c, f)": lambda future: both(wrong(), future),
    "both(c, c)": lambda _: both(wrong(), wrong()),
    "either(c, c)": lambda _: either(wrong(), wrong()),
    "all_of(c, c, c)": lambda _: all_of(wrong(), wrong(), wrong()),
    "any_of(f, c)": lambda future: any_of(future, wrong()),
    "first_of(1, c)": lambda _: first_of(cast(Future[str], 1), wrong()),
}


@pytest.mark.parametrize("call", CALLS)
async def test_coroutines_are_refused(call: str, autojump_clock: MockClock) -> None:
    """F2: a coroutine instead of a future is a TypeError, and no coroutine is left that was never awaited."""
    async with open_works() as works:
        future = works.io(fetch, "f")
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with pytest.raises(TypeError, match=rf"^{call.partition('(')[0]}\(\) takes futures"):
                CALLS[call](future)
            gc.collect()

        assert [str(warning.message) for warning in seen] == []
        assert await future == "f"  # those among the arguments go on


def test_a_refusal_shows_the_right_call() -> None:
    """F2: the TypeError for a coroutine shows the wrong call and the right one, with the user's own name."""
    with pytest.raises(TypeError) as raised:
        both(fetch("x"), fetch("y"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert str(raised.value).splitlines()[1:] == [
        "  incorrect!  await both(fetch(x), other)",
        "  correct!    await both(self.io(fetch, x), other)",
    ]


@pytest.mark.parametrize("given", [1, None, "future", fetch])
def test_anything_else_is_refused(given: object) -> None:
    """F2: anything that is no future is a TypeError that names it and shows the right call."""
    with pytest.raises(TypeError) as raised:
        either(given, given)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert repr(given) in str(raised.value)
    assert "correct!    await either(" in str(raised.value)


@pytest.mark.parametrize("cleanup_s", [-1.0, math.nan])
@pytest.mark.parametrize("combine", [either, any_of, first_of])
async def test_cleanup_s_is_checked(
    combine: Callable[..., Future[object]], cleanup_s: float, autojump_clock: MockClock
) -> None:
    """F2: a `cleanup_s` that is no time is a ValueError at the call; later it would end the whole system."""
    async with open_works() as works:
        with pytest.raises(ValueError, match="cleanup_s"):
            combine(works.promise(int), works.promise(int), cleanup_s=cleanup_s)
