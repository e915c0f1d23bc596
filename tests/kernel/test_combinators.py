"""Several futures as one: who wins, what becomes of the others, and that none is left behind."""

import contextlib
import gc
import math
import warnings
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from trio.testing import MockClock, assert_no_checkpoints, wait_all_tasks_blocked

from histrio_kernel.combinators import (
    Left,
    Right,
    Winner,
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
from histrio_kernel.simulation.trio_schedule import seeded_schedule
from tests.effort import count
from tests.kernel.works import Act, Boom, Works, answer, fail, forever, open_works

Combine = Callable[[Future[str], Future[str]], Future[object]]

ALL: Final[dict[str, Combine]] = {"both": both, "either": either, "all_of": all_of, "any_of": any_of, "first_of": first_of}


def under_all_schedules(program: Callable[[], Awaitable[object]]) -> list[object]:
    """What *program* returns, in an order of Trio's own for each seed."""
    results: list[object] = []
    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            results.append(trio.run(program, clock=MockClock(autojump_threshold=0)))
    return results


# -- two ---------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("combine", ALL.values(), ids=ALL)
async def test_one_pending_future_twice_is_cancelled_once(combine: Combine, autojump_clock: MockClock) -> None:
    """F2: a combinator of one future twice that is abandoned leaves nothing running."""
    act = Act("slow", after_s=9)
    async with open_works() as works:
        future = works.io(act.run)
        with trio.move_on_after(1) as scope:
            await combine(future, future)

        assert scope.cancelled_caught
        assert act.cleaned_at == trio.current_time()


SLEEPERS: Final[dict[str, Callable[[Works], tuple[Future[str], Future[str]]]]] = {
    "operations": lambda works: (works.io(Act("a", after_s=1).run), works.io(Act("b", after_s=1).run)),
    "started the other way": lambda works: (
        *reversed((works.io(Act("b", after_s=1).run), works.io(Act("a", after_s=1).run))),
    ),
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("sleepers", SLEEPERS)
def test_a_tie_goes_to_the_left(sleepers: str, keep: bool) -> None:
    """F2: of two operations that end with values at one reading of the clock the left wins, under every schedule."""

    async def race() -> object:
        async with open_works() as works:
            return await either(*SLEEPERS[sleepers](works), keep=keep)

    assert set(under_all_schedules(race)) == {Left("a")}


def test_a_tie_of_several_goes_to_the_leftmost() -> None:
    """F3: with more than two the leftmost of those that end together wins, under every schedule."""

    async def race() -> object:
        async with open_works() as works:
            slow = works.io(Act("slow", after_s=9).run)
            return await any_of(slow, *(works.io(Act(name, after_s=1).run) for name in "abcd"))

    assert set(under_all_schedules(race)) == {Winner(1, "a")}


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


async def test_the_error_of_a_kept_loser_is_its_owners(autojump_clock: MockClock) -> None:
    """F3: an error of a kept loser that nobody awaits is not swallowed by the combinator that it lost in."""
    async with open_works() as works:
        slow = works.io(Act("kept", after_s=2, fails=True).run)

        assert await any_of(works.io(Act("quick", after_s=1).run), slow, keep=True) == Winner(0, "quick")
        await trio.sleep(2)
        assert [str(error) for error in works.failures] == ["kept"]


# -- together ----------------------------------------------------------------------------------------------------------


async def test_they_nest(autojump_clock: MockClock) -> None:
    """F2: `both(a, either(b, c))`: values nest, and losers deep inside are cancelled and waited for."""
    async with open_works() as works:
        start = trio.current_time()
        loser = Act("c", after_s=9, cleanup_s=0.5)
        a, b, c = works.io(Act("a", after_s=1).run), works.io(Act("b", after_s=2).run), works.io(loser.run)

        assert await both(a, either(b, c)) == ("a", Left("b"))
        assert loser.cleaned_at == pytest.approx(start + 2.5)


async def test_a_nested_loser_takes_its_operands_along(autojump_clock: MockClock) -> None:
    """F2: a combinator that loses is a loser like any other: its operands are cancelled, their cleanup waited for."""
    async with open_works() as works:
        start = trio.current_time()
        acts = [Act("x", after_s=9, cleanup_s=0.25), Act("y", after_s=9, cleanup_s=0.5)]
        x, y = (works.io(act.run) for act in acts)

        assert await either(both(x, y), works.io(Act("quick", after_s=1).run)) == Right("quick")
        assert [act.cleaned_at for act in acts] == pytest.approx([start + 1.25, start + 1.5])
        assert trio.current_time() == acts[1].cleaned_at


async def test_errors_nest(autojump_clock: MockClock) -> None:
    """F2: an error inside comes out bare through each combinator that it passes."""
    async with open_works() as works:
        bad, other = works.io(fail, Boom("deep")), works.io(forever)
        with pytest.raises(Boom, match="deep"):
            await both(either(all_of(bad, other), works.io(forever)), works.io(forever))
        assert works.pool.running == 0


async def test_a_future_that_others_await_is_left_to_them(autojump_clock: MockClock) -> None:
    """F5: an abandoned combinator cancels the operands that nobody else awaits, and only those."""
    alone, shared = Act("alone", after_s=9), Act("shared", after_s=3)
    got: list[str] = []

    async def wait(future: Future[str]) -> None:
        got.append(await future)

    async with open_works() as works:
        future = works.io(shared.run)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, future)
            await wait_all_tasks_blocked()
            with trio.move_on_after(1):
                await both(works.io(alone.run), future)

    assert alone.cleaned_at is not None
    assert got == ["shared"]


@pytest.mark.parametrize("combine", ALL.values(), ids=ALL)
async def test_move_on_after_leaves_nothing_running(combine: Combine, autojump_clock: MockClock) -> None:
    """F5: a cancelled await of a combinator ends when both operands have cleaned up."""
    acts = [Act("a", after_s=9, cleanup_s=0.25), Act("b", after_s=9, cleanup_s=0.5)]
    async with open_works() as works:
        start = trio.current_time()
        with trio.move_on_after(1) as scope:
            await combine(*(works.io(act.run) for act in acts))

        assert scope.cancelled_caught
        assert [act.cleaned_at for act in acts] == pytest.approx([start + 1.25, start + 1.5])
        assert trio.current_time() == acts[1].cleaned_at
        assert works.pool.running == 0


@pytest.mark.parametrize("combine", ALL.values(), ids=ALL)
async def test_two_awaiters_of_a_combinator(combine: Combine, autojump_clock: MockClock) -> None:
    """F5: a combinator that two tasks await lives until the last of them is cancelled."""
    acts = [Act("a", after_s=9), Act("b", after_s=9)]
    left_at: list[float] = []

    async def wait(future: Future[object], timeout_s: float) -> None:
        with trio.move_on_after(timeout_s):
            await future
        left_at.append(trio.current_time() - start)

    async with open_works() as works:
        start = trio.current_time()
        combined = combine(*(works.io(act.run) for act in acts))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, combined, 1)
            nursery.start_soon(wait, combined, 2)

    assert left_at == pytest.approx([1, 2.25])
    assert [act.cleaned_at for act in acts] == pytest.approx([start + 2.25] * 2)


async def test_an_abandoned_pair_that_completes_after_all(autojump_clock: MockClock) -> None:
    """F5: if all operands of a cancelled `both` complete with values in spite of it, the await gets them."""

    async def stubborn(value: int) -> int:
        with trio.CancelScope(shield=True):
            await trio.sleep(value)
        return value

    async with open_works() as works:
        with trio.move_on_after(0.5) as scope:
            pair = await both(works.io(stubborn, 1), works.io(stubborn, 2))

    assert pair == (1, 2)
    assert not scope.cancelled_caught


@pytest.mark.parametrize("combine", ALL.values(), ids=ALL)
async def test_an_error_of_an_abandoned_operand_is_raised(combine: Combine, autojump_clock: MockClock) -> None:
    """F5: an operand that fails when it is cancelled with its combinator is not lost: the await raises it."""

    async def breaks() -> str:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom("clean-up")

    async with open_works() as works:
        with trio.move_on_after(1):
            if combine is first_of:  # it wants a success, and is told of no failure when it was not let try
                await combine(works.io(breaks), works.io(Act("b", after_s=9).run))
            else:
                with pytest.raises(Boom, match="clean-up"):
                    await combine(works.io(breaks), works.io(Act("b", after_s=9).run))
        assert works.failures == []


KEEPERS: Final[dict[str, Combine]] = {
    **ALL,
    "either keep": lambda a, b: either(a, b, keep=True),
    "any_of keep": lambda a, b: any_of(a, b, keep=True),
    "first_of keep": lambda a, b: first_of(a, b, keep=True),
}


@pytest.mark.alarm(20)  # what hangs here cannot be cancelled
@pytest.mark.parametrize("combine", KEEPERS.values(), ids=KEEPERS)
@pytest.mark.parametrize("ends", ["well", "badly", "cancelled"])
@pytest.mark.parametrize("swapped", [False, True])
async def test_an_abandoned_combinator_lets_promises_be(
    combine: Combine, ends: str, swapped: bool, autojump_clock: MockClock
) -> None:
    """F9: a promise in an abandoned combinator is not touched, in whatever way the other operand ends; nothing hangs."""

    async def last_words() -> str:
        with contextlib.suppress(trio.Cancelled):
            await trio.sleep_forever()
        if ends == "badly":
            raise Boom("last words")
        if ends == "cancelled":
            await trio.lowlevel.checkpoint_if_cancelled()
        return "last words"

    async with open_works() as works:
        promise, operation = works.promise(str), works.io(last_words)
        combined = combine(promise, operation) if swapped else combine(operation, promise)
        with trio.fail_after(10), contextlib.suppress(Boom), trio.move_on_after(1):
            await combined

        assert combined.is_done
        assert operation.is_done
        assert not promise.is_done
        promise.set("still of use")
        assert await promise == "still of use"


@pytest.mark.parametrize("combine", ALL.values(), ids=ALL)
async def test_cancel_of_a_combinator(combine: Combine, autojump_clock: MockClock) -> None:
    """F5: `cancel` of a combinator cancels its operands; awaiting it raises FutureCancelled when they have ended."""
    acts = [Act("a", after_s=9, cleanup_s=0.25), Act("b", after_s=9, cleanup_s=0.5)]
    async with open_works() as works:
        start = trio.current_time()
        combined = combine(*(works.io(act.run) for act in acts))
        await wait_all_tasks_blocked()
        combined.cancel()
        combined.cancel()
        assert not combined.is_done
        with pytest.raises(FutureCancelled):
            await combined

        assert trio.current_time() == pytest.approx(start + 0.5)
        assert all(act.cleaned_at is not None for act in acts)


async def test_an_operand_that_keeps_is_left_alone(autojump_clock: MockClock) -> None:
    """F5: an operation with keep=True goes on when the combinator that it is in is abandoned."""
    async with open_works() as works:
        kept, other = works.io(Act("kept", after_s=3).run, keep=True), Act("other", after_s=9)
        with trio.move_on_after(1) as scope:
            await both(kept, works.io(other.run))

        assert scope.cancelled_caught
        assert other.cleaned_at is not None
        assert await kept == "kept"


def test_two_combinators_of_the_same_futures_agree() -> None:
    """F2: what one combinator does to a loser in reaction is not taken by another for the first completion."""

    async def program() -> object:
        async with open_works() as works:
            p, q = works.promise(int), works.promise(int)
            one, two, three = either(p, q), either(p, q), either(q, p)
            p.set(1)
            return await one, await two, await three

    assert set(under_all_schedules(program)) == {(Left(1), Left(1), Right(1))}


async def test_a_chain_of_reactions(autojump_clock: MockClock) -> None:
    """F2: one completion that ends a thousand nested combinators does so in order, without recursion."""
    async with open_works() as works:
        first = works.promise(int)
        chained: Future[object] = first
        others = [works.promise(int) for _ in range(1000)]
        for other in others:
            chained = both(either(chained, other), first)
        first.set(1)

        assert chained.is_done
        assert all(other.is_done for other in others)


async def test_an_operand_at_several_depths(autojump_clock: MockClock) -> None:
    """F2: an operand that one combinator cancels has been cancelled by somebody else for another that it is in."""
    act = Act("shared", after_s=9)
    async with open_works() as works:
        shared = works.io(act.run)
        with pytest.RaisesGroup(pytest.RaisesExc(Boom, match="bad"), FutureCancelled):
            await both(both(shared, works.io(fail, Boom("bad"))), either(shared, works.io(forever)))

        assert act.cleaned_at == trio.current_time()
        assert works.pool.running == 0


async def test_a_cancelled_task_sees_its_own_cancellation(autojump_clock: MockClock) -> None:
    """F1: a cancelled task that awaits a combinator of cancelled futures gets trio.Cancelled, no error."""
    async with open_works() as works:
        for combine in (both, either, all_of, any_of, first_of):
            with trio.CancelScope() as scope:
                scope.cancel()
                await combine(works.cancelled(), works.cancelled())
            assert scope.cancelled_caught


# -- any number --------------------------------------------------------------------------------------------------------


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

        assert await either(works.io(answer, 1), works.io(forever, 1000), cleanup_s=math.inf) == Left(1)
        assert trio.current_time() == pytest.approx(start + 1000)


# -- what is refused ---------------------------------------------------------------------------------------------------


async def fetch(url: str) -> str:
    """An async function of a user."""
    await trio.lowlevel.checkpoint()
    return url


CALLS: Final[dict[str, Callable[[Future[str]], object]]] = {
    "both(f, c)": lambda future: both(future, fetch("x")),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "both(c, f)": lambda future: both(fetch("x"), future),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "both(c, c)": lambda _: both(fetch("x"), fetch("y")),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "either(c, c)": lambda _: either(fetch("x"), fetch("y")),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "all_of(c, c, c)": lambda _: all_of(fetch("x"), fetch("y"), fetch("z")),  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    "any_of(f, c)": lambda future: any_of(future, fetch("y")),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "first_of(1, c)": lambda _: first_of(1, fetch("y")),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_coroutine_is_refused(call: str, autojump_clock: MockClock) -> None:
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


@pytest.mark.parametrize("wrong", [1, None, "future", fetch])
def test_anything_else_is_refused(wrong: object) -> None:
    """F2: anything that is no future is a TypeError that names it and shows the right call."""
    with pytest.raises(TypeError) as raised:
        either(wrong, wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert repr(wrong) in str(raised.value)
    assert "correct!    await either(" in str(raised.value)
