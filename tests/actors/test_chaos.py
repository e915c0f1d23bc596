"""Drawn programs, ended at drawn moments under drawn schedules: all of it ends, in time, and everybody was told (A10)."""

# A program is a tree of steps, each of which is one thing that a handler may do. What comes out of one is no matter
# here: there is no model. Looked at is what holds always: the system ends, nobody waits for ever, no invariant of the
# kernel breaks (an AssertionError, a KeyError or the like would show among the causes), and every count is back at 0.
#
# The programs come from a seed, not from Hypothesis: here size finds more than shrinking, and Hypothesis prefers small
# ones (2 steps on average; these have 60). A failure names its seed, and `orders_max` may be lowered to make it small.

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Final, cast

import attrs
import pytest
import trio
from tests.actors.lab import Do, Lab, nothing, run_in_system
from tests.conftest import Show
from tests.effort import count
from tests.kernel.works import Boom, forever, members
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.cell import Cell
from histrio_kernel.futures import HOLDERS
from histrio_kernel.simulation.trio_schedule import seeded_schedule

ACTORS: Final = 3
LONG_S: Final = 8
SHUTDOWN_S: Final = 2
HARMLESS: Final = (
    histrio.HistrioError,
    trio.TooSlowError,
    trio.EndOfChannel,
)  # a program that ended at each of them would not get far
EXPECTED: Final = (Boom, *HARMLESS, TimeoutError)


@attrs.frozen
class Step:
    """One thing that a handler does; `of` are steps inside."""

    kind: str
    seconds: int = 0
    target: int = 0
    of: tuple[Step, ...] = ()


# fmt: off
LEAVES: Final = {  # with their weights
    "io": 6, "unawaited": 3, "background": 2, "cleanup": 3, "bad cleanup": 0.4, "shield": 2, "trio": 2, "promise": 1,
    "raise": 0.1, "refuse": 1, "kill myself": 0.1, "stop myself": 0.1, "kill": 0.2, "stop": 0.2, "tell nothing": 3,
    "ask nothing": 4, "select": 1, "unchanged": 1,
}
BRANCHES: Final = {
    "both": 3, "either": 3, "first of": 2, "keep": 2, "timeout": 3, "nursery": 2, "ask": 3, "tell": 3, "in io": 2,
    "finally": 2, "child": 1, "visit": 2,
}
# fmt: on


def draw_step(chance: random.Random, depth: int) -> Step:
    """A step, with at most so many levels of others inside."""
    branches = depth > 0 and chance.random() < 0.7
    table = BRANCHES if branches else LEAVES
    (kind,) = chance.choices(list(table), list(table.values()))
    of = (draw_step(chance, depth - 1), draw_step(chance, depth - 1)) if branches else ()
    return Step(kind, chance.randrange(LONG_S), chance.randrange(ACTORS), of)


class Actor(Lab):
    """Runs drawn programs within small bounds."""

    in_flight_max = 2
    inbox_max = 2
    waiting_max = 3
    io_max = 3
    shutdown_s = SHUTDOWN_S

    def __init__(self, world: World, number: int) -> None:
        super().__init__()
        self.world = world
        self.number = number


class SerialActor(Actor):
    """The same, with the turn kept."""

    serial = True


class OldDropper(Actor):
    """The same, with a full inbox that forgets."""

    overflow = histrio.DROP_OLD


class NewDropper(Actor):
    """The same, with a full inbox that takes no more."""

    overflow = histrio.DROP_NEW


class LatestKeeper(Actor):
    """The same, with an inbox that keeps the latest of a few kinds."""

    overflow = histrio.LATEST(lambda message: id(message) % 3)


KINDS: Final = {Actor: 6, SerialActor: 2, OldDropper: 1, NewDropper: 1, LatestKeeper: 1}


class World:
    """The actors, and everything that somebody outside waits for."""

    system: histrio.System

    def __init__(self, outside: trio.Nursery, *, heard: bool) -> None:
        self.outside: Final = outside
        self.around: Final = trio.CancelScope()
        self.heard: Final = heard
        self.refs: Final[list[histrio.Ref[Do[object]]]] = []
        self.cells: Final[list[Cell]] = []
        self.futures: Final[list[histrio.Future[object]]] = []

    def remember(self, ref: histrio.Ref[Do[object]]) -> histrio.Ref[Do[object]]:
        cell = self.system.find_cell(ref.path, ref._inbox)
        if cell is not None:
            self.cells.append(cell)
        return ref

    def message(self, step: Step) -> Do[object]:
        async def run(lab: Lab) -> object:
            assert isinstance(lab, Actor)
            try:
                return await perform(lab, step)
            except Exception as error:
                if all(isinstance(one, HARMLESS) for one in causes(error)):
                    raise histrio.Refusal("not today") from error
                raise

        return Do(run)


async def bad_cleanup(cleanup_s: float) -> None:
    """Fails when it is cancelled."""
    try:
        await forever(cleanup_s)
    finally:
        raise Boom("bad cleanup")


def begin(lab: Actor, step: Step) -> histrio.Future[object]:
    """A step as a future, for combinators."""
    ref = lab.world.refs[step.target]
    match step.kind:
        case "io" | "trio" | "shield":
            return lab.io(trio.sleep, step.seconds)
        case "cleanup":
            return lab.io(forever, step.seconds / 4)
        case "bad cleanup":
            return lab.io(bad_cleanup, step.seconds / 4)
        case "promise":
            return lab.promise()
        case "ask nothing":
            return ref.ask(Do(nothing))
        case "both":
            return histrio.both(*(begin(lab, inner) for inner in step.of))
        case "either":
            return histrio.either(*(begin(lab, inner) for inner in step.of), cleanup_s=1)
        case "first of":
            return histrio.first_of(*(begin(lab, inner) for inner in step.of), cleanup_s=1)
        case "keep":
            return histrio.any_of(*(begin(lab, inner) for inner in step.of), keep=True)
        case "ask" | "tell":
            return ref.ask(lab.world.message(step.of[0]))
        case "in io":
            return lab.io(perform, lab, step.of[0], timeout_s=LONG_S, retry=histrio.Retry(attempts_max=2, on=(Boom,)))
        case _:
            return lab.io(perform, lab, step)


async def perform(lab: Actor, step: Step) -> object:  # a table in code
    """Do it, in a handler or in an operation."""
    ref = lab.world.refs[step.target]
    match step.kind:
        case "unawaited":
            lab.io(trio.sleep, step.seconds)
        case "background":
            lab.background(trio.sleep, step.seconds)
        case "trio":
            await trio.sleep(step.seconds / 4)
        case "shield":
            with trio.CancelScope(shield=True), contextlib.suppress(histrio.FutureCancelled):
                await histrio.either(lab.io(trio.sleep, step.seconds / 4), lab.io.clock.sleep(1))
        case "raise":
            raise Boom("raised")
        case "refuse":
            raise histrio.Refusal("refused")
        case "kill myself" | "stop myself":
            (lab.ref.control.kill if step.kind == "kill myself" else lab.ref.control.stop)()
        case "kill" | "stop":
            (ref.control.kill if step.kind == "kill" else ref.control.stop)()
        case "tell nothing":
            await ref.tell(Do(nothing))
        case "tell":
            await ref.tell(lab.world.message(step.of[0]))
            return await perform(lab, step.of[1])
        case "timeout":
            with trio.move_on_after(step.seconds / 2):
                await perform(lab, step.of[0])
            return await perform(lab, step.of[1])
        case "nursery":
            async with trio.open_nursery() as nursery:
                for inner in step.of:
                    nursery.start_soon(perform, lab, inner)
        case "finally":
            try:
                await perform(lab, step.of[0])
            finally:
                await perform(lab, step.of[1])
        case "select":
            with trio.move_on_after(step.seconds / 4):
                await lab.select(lambda message: message.function is nothing and step.target == 0)
        case "unchanged":
            with lab.unchanged("seen"):
                await lab.io(trio.sleep, step.seconds / 4)
                lab.touch("seen")
        case "visit":
            async with lab.turn():
                await perform(lab, step.of[0])
            return await perform(lab, step.of[1])
        case "child":
            child = lab.world.remember(await lab.spawn(Actor, lab.world, step.target))
            return await child.ask(lab.world.message(step.of[0]))
        case _:
            return await begin(lab, step)
    return None


@attrs.frozen
class Order:
    """What the world outside does at a moment."""

    at_s: float
    how: str
    target: int
    program: Step


def draw_order(chance: random.Random) -> Order:
    """An order with its program."""
    hows, weights = ("ask", "tell", "ask and leave", "stop", "kill"), (6, 3, 3, 0.2, 0.2)
    (how,) = chance.choices(hows, weights)
    return Order(chance.random() * LONG_S, how, chance.randrange(ACTORS), draw_step(chance, 3))


async def give(world: World, order: Order) -> None:
    """Do it, and see that an answer comes."""
    await trio.sleep(order.at_s)
    ref, message = world.refs[order.target], world.message(order.program)
    with contextlib.suppress(*EXPECTED):
        match order.how:
            case "stop":
                ref.control.stop()
            case "kill":
                ref.control.kill()
            case "tell":
                await ref.tell(message)
            case _:
                asked = ref.ask(message)
                world.futures.append(asked)
                with trio.move_on_after(1 if order.how == "ask and leave" else trio.current_time() + 10_000):
                    await asked


async def listen_in_between(system: histrio.System) -> None:
    """Hear signals for a while, twice."""
    for _ in range(2):
        await trio.sleep(1)
        stop = system.listen(lambda signal: None)
        await trio.sleep(1)
        stop()


async def play(world: World, orders: list[Order], ends_at_s: float, how: str, kinds: list[type[Actor]]) -> None:
    """Open the system, have it worked with, and end it."""
    async with histrio.open_system() as world.system:
        for number, kind in enumerate(kinds):
            world.refs.append(world.remember(await world.system.spawn(kind, world, number)))
        for order in orders:
            world.outside.start_soon(give, world, order)
        if world.heard:
            world.outside.start_soon(listen_in_between, world.system)
        await trio.sleep(ends_at_s)
        if how == "cancel":
            world.around.cancel()
        elif how == "kill":
            world.system.kill()


async def play_outside(heard: bool, orders: list[Order], ends_at_s: float, how: str, kinds: list[type[Actor]]) -> World:
    """Run it all; the virtual moment of the end is bounded, and so is the wait for any answer."""
    async with trio.open_nursery() as outside:
        world = World(outside, heard=heard)
        with world.around:
            try:
                await play(world, orders, ends_at_s, how, kinds)
            except histrio.SystemFailed as failed:
                check_causes(failed)
        assert trio.current_time() < 200
        await trio.sleep(LONG_S + 3)  # the last order, and its answer
        assert outside.child_tasks == frozenset(), "somebody still waits"
    return world


def check_causes(error: BaseException) -> None:
    """Nothing in it was raised by a broken invariant."""
    for cause in causes(error):
        assert isinstance(cause, EXPECTED), f"{cause!r} is a bug"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that is behind it, in groups too."""
    if isinstance(error, BaseExceptionGroup):
        for member in members(cast(BaseException, error)):
            yield from causes(member)
    elif error is not None:
        yield error
        yield from causes(error.__cause__)


def check_counts(cell: Cell) -> None:
    """An ended actor has nothing left."""
    assert cell.reason is not None
    check_causes(histrio.ActorStopped(cell.path, cell.reason))
    assert len(cell.inbox) == 0
    assert cell.inbox.standing == 0
    assert cell.io is None or (cell.io.running, cell.io.waiting, cell.io.tasks) == (0, 0, 0)
    assert cell.turn.suspended == 0
    assert not cell.turn.ready
    assert cell.nursery is None


def run_drawn(seed: int, orders_max: int = 12) -> World:
    """One run, all of which follows from the seed."""
    chance = random.Random(seed)
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=ACTORS)
    how, ends_at_s = chance.choice(("leave", "cancel", "kill")), chance.random() * LONG_S * 2
    orders = [draw_order(chance) for _ in range(orders_max)]
    with seeded_schedule(seed):
        return trio.run(
            play_outside, seed % 3 == 0, orders, ends_at_s, how, kinds, clock=MockClock(autojump_threshold=0)
        )


@pytest.mark.alarm(600)
def test_all_of_it_ends(show: Show) -> None:
    """A10: whatever handlers do, and however the system ends: every task ends, every asker is told, every count is 0."""
    asked = 0
    for seed in range(count("chaos_runs")):
        print(f"seed {seed}")
        world = run_drawn(seed)
        asked += len(world.futures)

        assert all(future.is_done for future in world.futures)
        assert not world.system.engine.telling
        assert HOLDERS == {}
        for cell in world.cells:
            check_counts(cell)
    show(
        f"A10: {count('chaos_runs'):,} drawn runs ended at drawn moments; all of {asked:,} asks from outside were told"
    )


async def test_the_checks_see_a_bug(autojump_clock: MockClock) -> None:
    """A10: the check of causes above finds an AssertionError behind a failure."""

    async def broken(_: Lab) -> None:
        raise AssertionError("an invariant")

    async def program(system: histrio.System) -> None:
        await (await system.spawn(Lab)).tell(Do(broken))
        await wait_all_tasks_blocked()
        await trio.sleep(1)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    with pytest.raises(AssertionError, match=r"an invariant.*is a bug"):
        check_causes(raised.value)
