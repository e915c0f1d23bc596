"""Combinators and nurseries agree: drawn expressions end alike, at the same moment, with the same fates inside (F2, F5)."""

# The model is what a Trio user would write by hand: a nursery for each `both` and `either`, a cancel scope for each
# child. It is slow and has no futures, and shares nothing with the combinators but the operations themselves.
#
# Times are chosen so that no two things happen at one moment: durations are whole seconds, all different, the cleanup
# of the operation number n takes 2**-(n+1) seconds, and the cancellation from outside comes at a third kind of moment.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final, cast

import attrs
import hypothesis.strategies as st
import trio
from hypothesis import given
from tests.kernel.works import Boom, Works, members, open_works
from trio.testing import MockClock

from histrio_kernel.combinators import Left, Right, both, either
from histrio_kernel.futures import Future
from histrio_kernel.simulation.trio_schedule import seeded_schedule

LEAVES_MAX: Final = 8


@attrs.frozen
class Leaf:
    """An operation: it takes whole seconds, ends well or not, and its cleanup may fail too."""

    number: int
    takes_s: int
    fails: bool
    breaks: bool


@attrs.frozen
class Pair:
    """`both` or `either` of two expressions."""

    combinator: str
    left: Expression
    right: Expression


Expression = Leaf | Pair
Event = tuple[float, int, str]


@st.composite
def expressions(draw: st.DrawFn) -> Expression:
    """A tree of combinators with different durations at its leaves."""
    size = draw(st.integers(2, LEAVES_MAX))
    durations = iter(draw(st.permutations(range(1, size + 1))))
    numbers = iter(range(size))

    def grow(leaves: int) -> Expression:
        if leaves == 1:
            return Leaf(next(numbers), next(durations), draw(st.booleans()), draw(st.booleans()))
        left = draw(st.integers(1, leaves - 1))
        return Pair(draw(st.sampled_from(["both", "either"])), grow(left), grow(leaves - left))

    return grow(size)


class World:
    """Runs leaves, and keeps what happened to them."""

    def __init__(self) -> None:
        self.start: Final = trio.current_time()
        self.events: Final[list[Event]] = []

    def note(self, leaf: Leaf, event: str) -> None:
        self.events.append((round(trio.current_time() - self.start, 6), leaf.number, event))

    async def run(self, leaf: Leaf) -> str:
        try:
            await trio.sleep(leaf.takes_s)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5 ** (leaf.number + 1))
            self.note(leaf, "cleaned")
            if leaf.breaks:
                raise Boom(f"cleanup of {leaf.number}") from None
            raise
        self.note(leaf, "ended")
        if leaf.fails:
            raise Boom(str(leaf.number))
        return str(leaf.number)


# -- by futures --------------------------------------------------------------------------------------------------------


def build(works: Works, world: World, expression: Expression) -> Future[object]:
    """The expression as futures."""
    if isinstance(expression, Leaf):
        return works.io(world.run, expression)
    left, right = build(works, world, expression.left), build(works, world, expression.right)
    return both(left, right) if expression.combinator == "both" else either(left, right)


async def by_futures(world: World, expression: Expression, timeout_s: float) -> object:
    """What an await of it comes to, within that time."""
    async with open_works() as works:
        outcome: object = "cancelled"
        with trio.move_on_after(timeout_s):
            try:
                outcome = await build(works, world, expression)
            except (Boom, ExceptionGroup) as error:
                outcome = shape(error)
        assert works.pool.running == 0, "the outcome was there before the operations had ended"
        assert works.failures == []
        return outcome


# -- by nurseries ------------------------------------------------------------------------------------------------------


class Children:
    """Two expressions under one nursery, each in a cancel scope of its own."""

    def __init__(self, world: World, pair: Pair) -> None:
        self.world: Final = world
        self.pair: Final = pair
        self.scopes: Final = (trio.CancelScope(), trio.CancelScope())
        self.values: Final[dict[int, object]] = {}
        self.errors: Final[dict[int, Exception]] = {}
        self.first: int | None = None

    async def run(self) -> None:
        """Until both have ended; the first that decides cancels the other."""
        async with trio.open_nursery() as nursery:
            for index in (0, 1):
                nursery.start_soon(self._run_one, index)

    async def _run_one(self, index: int) -> None:
        with self.scopes[index]:
            try:
                self.values[index] = await evaluate(self.world, (self.pair.left, self.pair.right)[index])
            except Abandoned:
                return
            except Exception as error:
                self.errors[index] = error
            if self.first is None and (self.pair.combinator == "either" or index in self.errors):
                self.first = index
                self.scopes[1 - index].cancel()

    def outcome(self) -> object:
        """What the two come to, now that both have ended."""
        errors = [self.errors[index] for index in sorted(self.errors)]
        if self.pair.combinator == "either" and self.first is not None:
            if self.first in self.errors:
                raise self.errors[self.first]
            return (Left, Right)[self.first](self.values[self.first])
        if len(errors) > 1:
            raise ExceptionGroup("both", errors)
        for error in errors:
            raise error
        if len(self.values) < 2:
            raise Abandoned
        return self.values[0], self.values[1]


async def by_nurseries(world: World, expression: Expression, timeout_s: float) -> object:
    """What it comes to, within that time."""
    with trio.move_on_after(timeout_s):
        try:
            return await evaluate(world, expression)
        except Abandoned:
            pass
        except (Boom, ExceptionGroup) as error:
            return shape(error)
    return "cancelled"


async def evaluate(world: World, expression: Expression) -> object:
    """Its value, the way of Trio."""
    if isinstance(expression, Leaf):
        return await world.run(expression)
    children = Children(world, expression)
    try:
        await children.run()
    except trio.Cancelled:
        pass  # from outside; an error or a value that came all the same counts
    except BaseExceptionGroup as group:
        if group.split(trio.Cancelled)[1] is not None:
            raise
    return children.outcome()


class Abandoned(Exception):
    """The expression was cancelled from outside, and nothing in it decided otherwise."""


# -- compared ----------------------------------------------------------------------------------------------------------


def shape(error: BaseException) -> object:
    """What can be compared of an error."""
    if isinstance(error, BaseExceptionGroup):
        return [shape(one) for one in members(cast(BaseException, error))]
    return str(error) if isinstance(error, Boom) else "cancelled"


Run = tuple[object, float, list[Event]]


async def run_one(
    way: Callable[[World, Expression, float], Awaitable[object]], expression: Expression, timeout_s: float
) -> Run:
    """The outcome, when it was there, and what happened to each leaf."""
    world = World()
    outcome = await way(world, expression, timeout_s)
    return outcome, round(trio.current_time() - world.start, 6), sorted(world.events)


def leaves(expression: Expression) -> Iterator[Leaf]:
    """From left to right."""
    if isinstance(expression, Leaf):
        yield expression
    else:
        yield from leaves(expression.left)
        yield from leaves(expression.right)


@given(expressions(), st.integers(0, LEAVES_MAX), st.integers(0, 1000))
def test_combinators_agree_with_nurseries(expression: Expression, timeout: int, seed: int) -> None:
    """F2: a drawn expression has the outcome, the moment and the fates that hand-written nurseries give it.

    With the cancellation from outside drawn too: nothing runs on, and what was decided before is delivered.
    """
    timeout_s = timeout + 0.9 if timeout else 1000
    results: list[Run] = []
    for way in (by_nurseries, by_futures):
        with seeded_schedule(seed):
            results.append(trio.run(run_one, way, expression, timeout_s, clock=MockClock(autojump_threshold=0)))

    by_hand, combined = results
    assert combined == by_hand
    assert {number for _, number, _ in combined[2]} == {leaf.number for leaf in leaves(expression)}
