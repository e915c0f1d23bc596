"""Combinators inside combinators, shared operands, and what becomes of it all when nobody waits any more."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import pytest
import trio
from tests.kernel.works import Act, Boom, fail, forever, open_works, under_all_schedules
from trio.testing import MockClock, wait_all_tasks_blocked

from histrio_kernel.bounds import bound
from histrio_kernel.combinators import (
    Left,
    Right,
    all_of,
    any_of,
    both,
    either,
    first_of,
)
from histrio_kernel.errors import FutureCancelled
from histrio_kernel.futures import Future

Combine = Callable[[Future[str], Future[str]], Future[object]]

ALL: Final[dict[str, Combine]] = {
    "both": both,
    "either": either,
    "all_of": all_of,
    "any_of": any_of,
    "first_of": first_of,
}


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
    got: list[tuple[int, int]] = []

    async def stubborn(value: int) -> int:
        with trio.CancelScope(shield=True):
            await trio.sleep(value)
        return value

    async with open_works() as works:
        with trio.move_on_after(0.5) as scope:
            got.append(await both(works.io(stubborn, 1), works.io(stubborn, 2)))

    assert got == [(1, 2)]
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
    """F2: one completion that ends combinators as deep as they nest, each of which ends a loser, ends them all at once."""
    async with open_works() as works:
        first = works.promise(int)
        chained: Future[object] = first
        others = [works.promise(int) for _ in range(bound("nesting_max") // 2)]
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


def deep(futures: Sequence[Future[int]]) -> Future[object]:
    """What a reader of Haskell writes before he finds `all_of`."""
    combined: Future[object] = futures[0]
    for future in futures[1:]:
        combined = both(combined, future)
    return combined


async def test_nesting_is_bounded(autojump_clock: MockClock) -> None:
    """F2: combinators nest `nesting_max` deep, where all of it works; one level more is refused, and shown `all_of`."""
    async with open_works() as works:
        depth = bound("nesting_max")
        futures = [works.promise(int) for _ in range(depth + 2)]
        with pytest.raises(ValueError, match=r"use all_of\(\*futures\)"):
            deep(futures)

        deepest = deep(futures[:-1])
        with trio.move_on_after(1) as scope:
            await deepest
        assert scope.cancelled_caught
        failing = [works.promise(int) for _ in range(depth + 1)]
        deepest = deep(failing)
        failing[0].fail(Boom("deep"))
        with pytest.raises(Boom, match="deep"):
            await deepest
