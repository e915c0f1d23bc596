"""An actor whose handlers were cancelled, at whichever await and in whichever way, is as good as new (A4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.actors.doer import Do, Doer, Note
from tests.conftest import Show
from tests.effort import count
from tests.inside import actor_of, assert_at_rest
from trio.testing import MockClock

import histrio
from histrio_kernel.simulation.trio_schedule import seeded_schedule

TICK_S = 0.25


class Other(Doer):
    """Has room for one message only."""

    inbox_max = 1


class Doomed(Doer):
    """Its handlers are cancelled."""

    io_max = 2
    in_flight_max = 4

    async def started(self) -> None:
        await super().started()
        self.other = await self.spawn(Other)


class SlowStart(Doer):
    """Takes two seconds to start."""

    async def started(self) -> None:
        await trio.sleep(2)


def other_of(actor: Doer) -> histrio.Ref[Do | Note]:
    """The child of the actor whose handlers are cancelled."""
    assert isinstance(actor, Doomed)
    return actor.other


async def never(actor: Doer) -> None:
    """A promise that nobody completes."""
    promise: histrio.Promise[None] = actor.promise()
    await promise


async def slow(actor: Doer) -> None:
    """An operation."""
    await actor.io(trio.sleep, 2)


async def unclean(actor: Doer) -> None:
    """An operation that takes its time to end."""

    async def operation() -> None:
        try:
            await trio.sleep(2)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)

    await actor.io(operation)


async def not_awaited(actor: Doer) -> None:
    """An operation that is still running when the handler is cancelled elsewhere."""
    actor.io(trio.sleep, 2)
    await never(actor)


async def queued(actor: Doer) -> None:
    """Operations that wait for a place, and one that is in place."""
    await histrio.all_of(*(actor.io(trio.sleep, 2) for _ in range(4)))


async def door(actor: Doer) -> None:
    """A door of the driver."""
    await actor.io.clock.sleep(2)


async def ask_other(actor: Doer) -> None:
    """An ask that has begun."""
    await other_of(actor).ask(Do(slow))


async def ask_self(actor: Doer) -> None:
    """An ask of the own actor."""
    await actor.ref.ask(Do(slow))


async def tell_other(actor: Doer) -> None:
    """A place in the senders' line."""
    for _ in range(5):
        await other_of(actor).tell(Do(hold))


async def hold(actor: Doer) -> None:
    """A plain call of Trio's."""
    await trio.sleep(2)


async def spawn(actor: Doer) -> None:
    """A child that starts slowly."""
    await actor.spawn(SlowStart)


async def join(actor: Doer) -> None:
    """The end of a child that does not end."""
    await other_of(actor).join()


async def select(actor: Doer) -> None:
    """A message that does not come."""
    await actor.select(lambda message: message == Note("that one"))


async def both(actor: Doer) -> None:
    """A combinator, in a combinator."""
    await histrio.both(actor.io(trio.sleep, 2), histrio.either(actor.io(trio.sleep, 2), other_of(actor).ask(Do(slow))))


async def nursery(actor: Doer) -> None:
    """The end of a nursery, whose children wait for what is ours and for what is Trio's."""
    async with trio.open_nursery() as tasks:
        tasks.start_soon(slow, actor)
        tasks.start_soon(ask_other, actor)
        tasks.start_soon(hold, actor)


async def visit(actor: Doer) -> None:
    """Work that holds the turn."""

    async def work() -> None:
        async with actor.turn():
            await trio.sleep(2)

    await actor.io(work)


async def clean_up(actor: Doer) -> None:
    """A wait whose clean-up waits as well."""
    try:
        await never(actor)
    finally:
        with trio.move_on_after(0.5, shield=True):
            await slow(actor)


AWAITS: Mapping[str, Callable[[Doer], Awaitable[None]]] = {
    wait.__name__: wait
    for wait in (never, slow, unclean, not_awaited, queued, door, ask_other, ask_self, tell_other, hold, spawn, join)
} | {wait.__name__: wait for wait in (select, both, nursery, visit, clean_up)}


ENDS_BEFORE_IT_IS_CANCELLED = {"slow", "unclean", "door", "ask_other"}


async def be_cancelled(system: histrio.System, wait: str, how: str) -> None:
    """Cancel a handler in its await, in one of these ways; and the actor is as good as new."""
    doomed = await system.spawn(Doomed)
    scope = trio.CancelScope()
    holder: str | None = None

    async def handler(actor: Doer) -> str:
        with scope:
            if how == "before":
                scope.cancel()
            elif how == "in time":
                scope.deadline = trio.current_time() + 1
            try:
                await AWAITS[wait](actor)
            finally:
                assert holder is None, "it cleans up beside who has the turn"
        return "cancelled" if scope.cancelled_caught else "done"

    async def cancel(actor: Doer) -> None:
        nonlocal holder
        holder = "the one that cancels"
        await trio.sleep(3 if how == "when ready" else 0)
        scope.cancel()
        await trio.sleep(1)
        holder = None

    answer = doomed.ask(Do(handler))
    await trio.sleep(0.5)
    if how == "from outside":
        scope.cancel()
    elif how != "in time":
        await doomed.tell(Do(cancel))
    outcome = await answer
    await trio.sleep(20)

    if how == "when ready" and wait in ENDS_BEFORE_IT_IS_CANCELLED:
        assert outcome == "done", "what completed before the cancel is delivered"
    assert await doomed.ask(Note()) == 1, "it answers"
    await assert_at_rest(system, doomed)
    await assert_at_rest(system, other_of(actor_of(system, Doomed, doomed)))


WAYS = ("before", "in time", "from outside", "by another", "when ready")
CASES = [
    (wait, how)
    for wait in AWAITS
    for how in WAYS
    if wait != "select" or how not in {"by another", "when ready"}  # while it waits, no other handler begins
]


@pytest.mark.parametrize(("wait", "how"), CASES)
def test_cancellation_at_every_await_leaves_the_actor_usable(wait: str, how: str) -> None:
    """A4: After it the actor answers, nothing is in flight, no operation runs, and all workers are parked."""
    for schedule in range(4):
        with seeded_schedule(schedule):
            histrio.run(be_cancelled, wait, how, clock=MockClock(autojump_threshold=0))


SCRIPTS = st.tuples(
    st.integers(0, 4),  # ticks after the one before
    st.lists(st.sampled_from(sorted(AWAITS)), min_size=1, max_size=3),
    st.integers(0, 12),  # ticks to the timeout of the whole
)


async def be_cancelled_at_times(system: histrio.System, scripts: list[tuple[int, list[str], int]]) -> None:
    """Handlers do several of these, each under a timeout of its own; and the actor is as good as new."""
    doomed = await system.spawn(Doomed)
    cleaning: list[int] = []

    def handler(number: int, waits: list[str], ticks: int) -> Callable[[Doer], Awaitable[object]]:
        async def handle(actor: Doer) -> None:
            with trio.move_on_after(ticks * TICK_S):
                try:
                    for wait in waits:
                        await AWAITS[wait](actor)
                except histrio.HistrioError:
                    pass  # two selects at once, a select at a full inbox, a cycle of asks
                finally:
                    assert cleaning == [], "clean-up never overlaps"
                    cleaning.append(number)
                    with trio.CancelScope(shield=True):
                        await trio.sleep(TICK_S)
                    cleaning.remove(number)

        return handle

    answers: list[histrio.Future[object]] = []
    for number, (pause_ticks, waits, ticks) in enumerate(scripts):
        await trio.sleep(pause_ticks * TICK_S)
        answers.append(doomed.ask(Do(handler(number, waits, ticks))))
    await histrio.all_of(*answers)
    await trio.sleep(60)
    assert await doomed.ask(Note()) == 1, "it answers"
    await assert_at_rest(system, doomed)
    await assert_at_rest(system, other_of(actor_of(system, Doomed, doomed)))


@pytest.mark.alarm(400 + count("a4_examples") / 10)
def test_cancellation_at_drawn_moments_leaves_the_actor_usable(show: Show) -> None:
    """A4: The same for handlers that interleave and are cancelled somewhere on their way."""
    handlers: list[int] = []

    @settings(max_examples=count("a4_examples"))
    @given(st.lists(SCRIPTS, min_size=1, max_size=6), st.integers(0, 2**32 - 1))
    def drawn(scripts: list[tuple[int, list[str], int]], schedule: int) -> None:
        with seeded_schedule(schedule):
            histrio.run(be_cancelled_at_times, scripts, clock=MockClock(autojump_threshold=0))
        handlers.append(len(scripts))

    drawn()
    show(f"A4: {sum(handlers):,} handlers cancelled on their way, in {len(handlers):,} actors that are as good as new")


async def test_what_completes_after_the_cancel_is_delivered(autojump_clock: MockClock) -> None:
    """A4: An operation that ends well although it was cancelled with its await gives its value; F5 waited for it."""

    async def stubborn() -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        return "its value"

    async def handler(actor: Doer) -> object:
        with trio.move_on_after(1) as scope:
            value = await actor.io(stubborn)
            assert scope.cancel_called
            return value
        return "cancelled"

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)

        assert await doer.ask(Do(handler)) == "its value"
        await assert_at_rest(system, doer)


@pytest.mark.parametrize("used_before", [False, True])
async def test_nothing_begins_after_a_cancellation_from_outside(autojump_clock: MockClock, used_before: bool) -> None:
    """A4: The cancellation of an idle actor is its end: what is told afterwards is refused, and no handler begins."""
    refused = False
    with trio.CancelScope() as everything:
        async with histrio.open_system() as system:
            doer = await system.spawn(Doer)
            if used_before:
                await doer.ask(Note())
            await assert_at_rest(system, doer)
            actor = actor_of(system, Doer, doer)
            everything.cancel()
            try:
                doer.tell_nowait(Note("too late"))
            except histrio.ActorStopped:
                refused = True
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            assert "too late" not in actor.seen

    assert refused


async def test_an_asker_that_leaves_a_begun_ask_takes_no_room_along(autojump_clock: MockClock) -> None:
    """A4, A11: The room that an ask had in the inbox was given back when it was taken, not once more when it is left."""

    async def leave(actor: Doer) -> None:
        with trio.move_on_after(1):
            await other_of(actor).ask(Do(hold))

    async with histrio.open_system() as system:
        doomed = await system.spawn(Doomed)
        await doomed.ask(Do(leave))
        other = other_of(actor_of(system, Doomed, doomed))

        other.tell_nowait(Note())  # `Other` holds the turn and has room for one
        with pytest.raises(histrio.InboxFull):
            other.tell_nowait(Note())
