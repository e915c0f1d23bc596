"""A handler runs natively in a Trio task: scopes, nurseries and context variables work around what gives the turn away.

Handlers that interleave keep their own, whatever the order, and a cancelled one cleans up with the turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.actors.doer import Do, Doer, Note
from tests.conftest import Show
from tests.effort import count
from tests.inside import assert_at_rest
from trio.testing import MockClock

import histrio
from histrio_kernel.simulation.trio_schedule import seeded_schedule

TICK_S = 0.25
WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


# -- scopes, nurseries and context variables, around operations, in handlers that interleave ---------------------------


@attrs.frozen
class Wait:
    """An operation that takes so long, with so long a clean-up; then the turn is held for so long."""

    ticks: int
    cleanup_ticks: int
    held_ticks: int


@attrs.frozen
class Plan:
    """One handler: what stands around its waits, from the outside in, and the waits."""

    layers: tuple[str, ...]
    timeout_ticks: int
    child_ticks: int
    waits: tuple[Wait, ...]
    fails: bool


PLANS = st.builds(
    Plan,
    layers=st.permutations(("timeout", "nursery", "variable", "shield")).flatmap(
        lambda layers: st.integers(0, 4).map(lambda n: tuple(layers[:n]))
    ),
    timeout_ticks=st.integers(1, 6),
    child_ticks=st.integers(0, 6),
    waits=st.lists(
        st.builds(Wait, st.integers(0, 5), st.integers(0, 2), st.sampled_from((0, 0, 1, 2))), min_size=1, max_size=3
    ).map(tuple),
    fails=st.sampled_from((False, False, True)),
)


@attrs.frozen
class Planned(histrio.Request[str]):
    """Do it by the plan; the answer is how that went."""

    who: str
    plan: Plan


class Weaver(histrio.Actor[Planned]):
    """Runs plans, and checks at each step that nothing of another handler is seen."""

    in_flight_max = 3

    def __init__(self) -> None:
        self.running: str | None = None
        self.operations: set[str] = set()
        self.beside: set[str] = set()

    @histrio.handler(Planned)
    async def follow(self, m: Planned) -> str:
        assert WHOSE.get() == "the spawner's", "a handler starts in the actor's context"
        outcome = await self.layer(m, m.plan.layers, [])
        assert m.who not in self.operations | self.beside, "what it began has ended before it"
        if m.plan.fails:
            raise histrio.Refusal(f"{m.who}: {outcome}")
        return outcome

    @contextmanager
    def alone(self, who: str) -> Generator[None]:
        """No other handler runs between the begin and the end of this."""
        assert self.running is None, f"{who} runs beside {self.running}"
        self.running = who
        try:
            yield
        finally:
            assert self.running == who, f"{self.running} has run beside {who}"
            self.running = None

    async def layer(self, m: Planned, layers: tuple[str, ...], scopes: list[trio.CancelScope]) -> str:
        """Put the first layer around the others."""
        if not layers:
            return await self.waits(m, scopes)
        rest = layers[1:]
        match layers[0]:
            case "timeout":
                with trio.move_on_after(m.plan.timeout_ticks * TICK_S) as scope:
                    return await self.layer(m, rest, [*scopes, scope])
                assert trio.current_time() >= scope.deadline
                return "timeout"
            case "shield":
                with trio.CancelScope(shield=True):
                    return await self.layer(m, rest, [])
            case "variable":
                token = WHOSE.set(m.who)
                try:
                    return await self.layer(m, rest, scopes)
                finally:
                    WHOSE.reset(token)
            case _:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.child, m, "variable" in m.plan.layers[: -len(layers)])
                    outcome = await self.layer(m, rest, scopes)
                assert m.who not in self.beside, "leaving a nursery waits for its tasks"
                return outcome
        raise AssertionError

    async def child(self, m: Planned, owns: bool) -> None:
        """A task beside the handler; it has the context of its place, and no turn."""
        self.beside.add(m.who)
        try:
            assert WHOSE.get() == (m.who if owns else "the spawner's")
            await self.io(trio.sleep, m.plan.child_ticks * TICK_S)
            assert WHOSE.get() == (m.who if owns else "the spawner's")
        finally:
            self.beside.discard(m.who)

    async def waits(self, m: Planned, scopes: list[trio.CancelScope]) -> str:
        """The waits themselves, one after the other."""
        expected = m.who if "variable" in m.plan.layers else "the spawner's"
        for wait in m.plan.waits:
            try:
                assert await self.io(self.operation, m.who, wait) == expected
                assert all(scope.cancelled_caught is False for scope in scopes)
            except trio.Cancelled:
                assert any(trio.current_time() >= scope.deadline for scope in scopes), (
                    "cancelled by somebody else's scope"
                )
                raise
            finally:
                assert m.who not in self.operations, "an operation is over before its await is (F5)"
                with self.alone(m.who):
                    assert WHOSE.get() == expected
                    with trio.CancelScope(shield=True):
                        await trio.sleep(wait.held_ticks * TICK_S)
                    assert WHOSE.get() == expected
        return "done"

    async def operation(self, who: str, wait: Wait) -> str:
        """What runs beside the handlers, in a copy of the context of its maker."""
        self.operations.add(who)
        try:
            await trio.sleep(wait.ticks * TICK_S)
            return WHOSE.get()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(wait.cleanup_ticks * TICK_S)
            self.operations.discard(who)


async def weave(system: histrio.System, plans: list[tuple[int, Plan]]) -> list[str]:
    """Send the plans to one actor, each some ticks after the one before, and see how each went."""
    token = WHOSE.set("the spawner's")
    weaver = await system.spawn(Weaver)
    WHOSE.reset(token)
    answers: list[histrio.Future[str]] = []
    for number, (ticks, plan) in enumerate(plans):
        WHOSE.set("the sender's")
        answers.append(weaver.ask(Planned(f"handler {number}", plan)))
        await trio.sleep(ticks * TICK_S)
    outcomes: list[str] = []
    for number, answer in enumerate(answers):
        try:
            outcomes.append(await answer)
        except histrio.Refusal as refusal:
            outcomes.append(str(refusal).removeprefix(f"handler {number}: "))
    await assert_at_rest(system, weaver)
    return outcomes


@pytest.mark.alarm(400 + count("a4_examples") / 10)
def test_what_is_around_an_operation_is_the_handlers_own(show: Show) -> None:
    """A4: Timeouts, nurseries, shields and context variables around `await self.io(...)`, in handlers that interleave."""
    seen: Counter[str] = Counter()

    @settings(max_examples=count("a4_examples"))
    @given(st.lists(st.tuples(st.integers(0, 2), PLANS), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
    def drawn(plans: list[tuple[int, Plan]], schedule: int) -> None:
        with seeded_schedule(schedule):
            outcomes = histrio.run(weave, plans, clock=MockClock(autojump_threshold=0))
        for (_, plan), outcome in zip(plans, outcomes, strict=True):
            seen[outcome] += 1
            assert outcome in outcomes_of(plan)

    drawn()
    assert set(seen) == {"done", "timeout"}
    show(f"A4: {seen.total():,} handlers that interleave, {seen['timeout']:,} timed out, none saw what is another's")


def outcomes_of(plan: Plan) -> set[str]:
    """How a handler that follows that plan may end."""
    if "timeout" not in plan.layers:
        return {"done"}
    is_shielded = "shield" in plan.layers[plan.layers.index("timeout") :]
    if not is_shielded and plan.waits[0].ticks > plan.timeout_ticks:
        return {"timeout"}
    return {"done", "timeout"}


# -- by name ------------------------------------------------------------------------------------------------------------


async def test_a_timeout_under_a_held_turn_cleans_up_after_the_holder(autojump_clock: MockClock) -> None:
    """A4: A timeout that expires while another holds the turn: `finally` begins when the holder is done, not before."""
    seen: list[tuple[str, float]] = []
    begun = trio.current_time()

    async def time_out(actor: Doer) -> None:
        with trio.move_on_after(1):
            try:
                await actor.door
            finally:
                seen.append(("cleans up", trio.current_time() - begun))
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                seen.append(("has cleaned up", trio.current_time() - begun))

    async def hold_three(actor: Doer) -> None:
        for _ in range(3):
            await trio.sleep(1)
            seen.append(("holds", trio.current_time() - begun))

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.tell(Do(time_out))
        await doer.tell(Do(hold_three))
        await doer.ask(Note())

    assert seen == [("holds", 1), ("holds", 2), ("holds", 3), ("cleans up", 3), ("has cleaned up", 4)]


async def test_the_senders_context_does_not_travel(autojump_clock: MockClock) -> None:
    """A4: A handler starts in the actor's context, as it was at the spawn, whoever sent and whatever ran before."""
    seen: list[str] = []

    async def look(actor: Doer) -> None:
        seen.append(WHOSE.get())
        WHOSE.set("a handler's")
        await actor.io(trio.sleep, 2)
        seen.append(WHOSE.get())

    async with histrio.open_system() as system:
        WHOSE.set("the spawner's")
        doer = await system.spawn(Doer)
        WHOSE.set("the sender's")
        await histrio.both(doer.ask(Do(look)), doer.ask(Do(look)))
        await doer.ask(Do(look))

    assert seen == [*["the spawner's"] * 2, *["a handler's"] * 2, "the spawner's", "a handler's"]
