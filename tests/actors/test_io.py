"""Operations of an actor: bounded, tried again by a policy, with the context of their caller, ended with their actor."""

import contextlib
import functools
import gc
import weakref
from contextvars import ContextVar
from typing import Final

import pytest
import trio
from tests.actors.lab import Crowd, Do, Lab, Narrow, nothing
from tests.effort import count
from tests.kernel.works import Act, Boom, answer, forever
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.bounds import bound
from histrio_kernel.simulation.trio_schedule import seeded_schedule

# -- io_max ------------------------------------------------------------------------------------------------------------


async def test_operations_are_bounded(autojump_clock: MockClock) -> None:
    """E1: at most `io_max` operations run at once; further ones have a future at once, and run in their order."""
    crowd = Crowd()

    async def handler(lab: Lab) -> tuple[int, ...]:
        futures = [lab.io(crowd.enter, number) for number in range(7)]
        assert not any(future.is_done for future in futures)
        return await histrio.all_of(*futures)

    async with histrio.open_system() as system:
        start = trio.current_time()
        lab = await system.spawn(Narrow)

        assert await lab.ask(Do(handler)) == tuple(range(7))
        assert trio.current_time() - start == pytest.approx(4)
    assert crowd.most == 2
    assert [sorted(crowd.order[at : at + 2]) for at in (0, 2, 4, 6)] == [[0, 1], [2, 3], [4, 5], [6]]


@pytest.mark.parametrize(("kind", "expected"), [(Lab, 256), (Narrow, 2)])
async def test_the_bound_is_that_of_handlers(kind: type[Lab], expected: int, autojump_clock: MockClock) -> None:
    """E1: `io_max` is `in_flight_max`, by default 256, unless the class says otherwise."""
    crowd = Crowd()

    async def handler(lab: Lab) -> None:
        await histrio.all_of(*(lab.io(crowd.enter, number) for number in range(300)))

    async with histrio.open_system() as system:
        await (await system.spawn(kind)).ask(Do(handler))

    assert crowd.most == expected
    assert bound("in_flight_max") == bound("io_max") == 256


async def test_the_bound_follows_in_flight_max(autojump_clock: MockClock) -> None:
    """E1: an actor that may have three handlers waiting runs three operations at once."""

    class Three(Lab):
        in_flight_max = 3

    crowd = Crowd()

    async def handler(lab: Lab) -> None:
        await histrio.all_of(*(lab.io(crowd.enter, number) for number in range(9)))

    async with histrio.open_system() as system:
        await (await system.spawn(Three)).ask(Do(handler))

    assert crowd.most == 3


@pytest.mark.parametrize(
    ("act", "took_s"),
    [
        pytest.param(Act("a", after_s=1), 2, id="a value"),
        pytest.param(Act("a", after_s=1, fails=True), 2, id="an error"),
        pytest.param(Act("a", after_s=1000), 2.25, id="a cancellation"),
    ],
)
async def test_every_ending_makes_room(act: Act, took_s: float, autojump_clock: MockClock) -> None:
    """E1: the place of an operation goes to the next in the queue, in whatever way it ended."""

    async def handler(lab: Lab) -> None:
        first = [lab.io(act.run), lab.io(act.run)]
        queued = [lab.io(Act("queued", after_s=1).run), lab.io(Act("queued", after_s=1).run)]
        await trio.sleep(1)
        await wait_all_tasks_blocked()
        for future in first:
            future.cancel()  # does nothing to those that have ended
        for future in first:
            with contextlib.suppress(Boom, histrio.FutureCancelled):
                await future
        assert await histrio.all_of(*queued) == ("queued", "queued")

    async with histrio.open_system() as system:
        start = trio.current_time()
        await (await system.spawn(Narrow)).ask(Do(handler))

        assert trio.current_time() - start == pytest.approx(took_s)


async def test_a_queued_operation_is_withdrawn(autojump_clock: MockClock) -> None:
    """E1: a queued operation that is cancelled, or whose last awaiter is, never runs; those behind it move up."""
    crowd = Crowd()

    async def handler(lab: Lab) -> None:
        running = [lab.io(crowd.enter, number) for number in (0, 1)]
        cancelled, abandoned, last = (lab.io(crowd.enter, number) for number in (2, 3, 4))
        cancelled.cancel()
        assert cancelled.is_done
        start = trio.current_time()
        with trio.move_on_after(0.5) as scope:
            await abandoned
        assert scope.cancelled_caught
        assert trio.current_time() == pytest.approx(start + 0.5)
        await histrio.all_of(*running, last)

    async with histrio.open_system() as system:
        await (await system.spawn(Narrow)).ask(Do(handler))

    assert sorted(crowd.order) == [0, 1, 4]


async def test_timers_do_not_queue(autojump_clock: MockClock) -> None:
    """E1: a timeout is on time when all places are taken, or it would be of no use just then."""

    async def handler(lab: Lab) -> float:
        start = trio.current_time()
        stuck = [lab.io(forever, keep=True) for _ in range(5)]
        await histrio.either(histrio.all_of(*stuck), lab.io.clock.sleep(1), keep=True)
        for future in stuck:
            future.cancel()
        return trio.current_time() - start

    async with histrio.open_system() as system:
        lab = await system.spawn(Narrow)
        with trio.fail_after(10):
            assert await lab.ask(Do(handler)) == pytest.approx(1)


async def test_an_operation_in_an_operation_needs_no_place(autojump_clock: MockClock) -> None:
    """E1: what an operation starts by `self.io` and awaits runs when all places are taken: no deadlock, at any depth."""

    async def nested(lab: Lab, depth: int) -> int:
        return await lab.io(nested, lab, depth - 1) + 1 if depth else 0

    async def handler(lab: Lab) -> tuple[int, ...]:
        return await histrio.all_of(*(lab.io(nested, lab, 5) for _ in range(4)))

    async with histrio.open_system() as system:
        lab = await system.spawn(Narrow)
        with trio.fail_after(1):
            assert await lab.ask(Do(handler)) == (5, 5, 5, 5)


async def test_an_operation_in_a_task_of_an_operation_needs_no_place(autojump_clock: MockClock) -> None:
    """E1: the same for what the child tasks of an operation start."""

    async def nested(lab: Lab) -> None:
        async def child() -> None:
            await lab.io(trio.sleep, 1)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(child)

    async def handler(lab: Lab) -> None:
        await histrio.all_of(*(lab.io(nested, lab) for _ in range(2)))

    async with histrio.open_system() as system:
        lab = await system.spawn(Narrow)
        with trio.fail_after(2):
            await lab.ask(Do(handler))


async def test_cancelling_the_outer_cancels_the_inner(autojump_clock: MockClock) -> None:
    """F5: an operation that awaits another one takes it along when it is cancelled."""
    act = Act("inner", after_s=9)

    async def outer(lab: Lab) -> str:
        return await lab.io(act.run)

    async def handler(lab: Lab) -> None:
        with trio.move_on_after(1):
            await lab.io(outer, lab)

    async with histrio.open_system() as system:
        start = trio.current_time()
        await (await system.spawn(Narrow)).ask(Do(handler))

        assert act.cleaned_at == pytest.approx(start + 1.25)
        assert trio.current_time() == act.cleaned_at


def test_operations_begin_in_their_order() -> None:
    """E1: operations begin in the order in which handlers started them, under every schedule, with used tasks too.

    So what is appended to a file first stands in it first.
    """

    async def main(system: histrio.System) -> None:
        order: list[int] = []

        async def begin(number: int) -> None:
            order.append(number)
            await trio.lowlevel.checkpoint()

        async def one(lab: Lab, number: int) -> None:
            await lab.io(begin, number)

        async def many(lab: Lab) -> None:
            await histrio.all_of(*(lab.io(begin, number) for number in range(10)))

        lab = await system.spawn(Lab)
        await lab.ask(Do(many))
        await lab.ask(Do(many))
        await histrio.all_of(*(lab.ask(Do(functools.partial(one, number=number))) for number in range(10)))

        assert order == list(range(10)) * 3

    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            histrio.run(main, clock=MockClock(autojump_threshold=0))


async def test_tasks_are_used_again(autojump_clock: MockClock) -> None:
    """E1: a hundred operations one after the other cost one task."""
    tasks: set[object] = set()

    async def work() -> None:
        tasks.add(trio.lowlevel.current_task())
        await trio.lowlevel.checkpoint()

    async def handler(lab: Lab) -> None:
        for _ in range(100):
            await lab.io(work)

    async with histrio.open_system() as system:
        await (await system.spawn(Lab)).ask(Do(handler))

    assert len(tasks) == 1


# -- the call ----------------------------------------------------------------------------------------------------------

user: Final[ContextVar[str]] = ContextVar("user", default="nobody")


async def who() -> str:
    """Whom the context names, at the end."""
    await trio.lowlevel.checkpoint()
    return user.get()


async def test_an_operation_has_the_context_of_its_caller(autojump_clock: MockClock) -> None:
    """E1: an operation sees the context variables of the call that made it: in a new task, a used one, and queued."""

    async def handler(lab: Lab) -> list[str]:
        user.set("new")
        seen = [await lab.io(who)]
        user.set("used")
        seen.append(await lab.io(who))
        futures: list[histrio.Future[str]] = []
        for name in ("one", "two", "queued", "queued too"):
            user.set(name)
            futures.append(lab.io(who))
        user.set("later")
        return seen + list(await histrio.all_of(*futures))

    async with histrio.open_system() as system:
        lab = await system.spawn(Narrow)

        assert await lab.ask(Do(handler)) == ["new", "used", "one", "two", "queued", "queued too"]


def test_contexts_are_told_apart_by_identity() -> None:
    """E1: each operation has the very objects of its caller's context, though those of another are equal."""
    basket: ContextVar[list[int]] = ContextVar("basket")

    async def put(number: int) -> None:
        await trio.lowlevel.checkpoint()
        basket.get().append(number)

    async def handler(lab: Lab, number: int) -> list[int]:
        basket.set([])
        await lab.io(put, number)
        return basket.get()

    async def main(system: histrio.System) -> None:
        for kind in (Lab, Narrow):
            lab = await system.spawn(kind)
            for _ in range(2):
                asked = (lab.ask(Do(functools.partial(handler, number=number))) for number in range(6))
                assert await histrio.all_of(*asked) == tuple([number] for number in range(6))

    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            histrio.run(main, clock=MockClock(autojump_threshold=0))


async def test_what_an_operation_sets_is_its_own(autojump_clock: MockClock) -> None:
    """E1: what an operation sets in its context is seen by nobody else: not its caller, not the next in its task."""

    async def set_it() -> None:
        user.set("mine")
        await trio.lowlevel.checkpoint()

    async def handler(lab: Lab) -> list[str]:
        await lab.io(set_it)
        return [user.get(), await lab.io(who)]

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await lab.ask(Do(handler)) == ["nobody", "nobody"]


async def test_a_coroutine_is_refused(autojump_clock: MockClock) -> None:
    """E1: `self.io(fetch(x))` is a TypeError that shows the right call, and leaves no coroutine unawaited."""

    async def handler(lab: Lab) -> str:
        with pytest.raises(TypeError) as raised:
            lab.io(answer(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        gc.collect()  # a warning would be an error
        return str(raised.value)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab, name="lab")

        assert (await lab.ask(Do(handler))).splitlines() == [
            "/lab: self.io() takes an async function and its arguments, and calls it itself.",
            "  incorrect!  await self.io(answer(x))",
            "  correct!    await self.io(answer, x)",
        ]


async def test_a_synchronous_function_is_an_error_of_the_operation(autojump_clock: MockClock) -> None:
    """E1: a function that is not async fails the await with a TypeError."""

    async def handler(lab: Lab) -> None:
        with pytest.raises(TypeError):
            await lab.io(len, "four")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async with histrio.open_system() as system:
        await (await system.spawn(Lab)).ask(Do(handler))


async def test_an_idle_actor_keeps_no_message(autojump_clock: MockClock) -> None:
    """E1: neither a message that was handled nor what an operation gave is kept alive by an idle actor."""

    class Big:
        pass

    kept: list[weakref.ref[object]] = []

    async def make() -> Big:
        await trio.lowlevel.checkpoint()
        return Big()

    async def handler(lab: Lab) -> None:
        big = await lab.io(make)
        kept.append(weakref.ref(big))

    async def send(lab: histrio.Ref[Do[object]]) -> None:
        class Message(Do[None]):
            """One of its own type, so that a weak reference can be made."""

        message = Message(handler)
        kept.append(weakref.ref(message))
        await lab.tell(message)
        message = Message(handler)
        kept.append(weakref.ref(message))
        await lab.ask(message)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        await send(lab)
        await wait_all_tasks_blocked()
        gc.collect()

        assert len(kept) == 4
        assert [one() for one in kept if one() is not None] == []


async def test_the_turn_passes_while_an_operation_runs(autojump_clock: MockClock) -> None:
    """E1: the actor handles other messages while operations of its handlers run."""

    async def slow(lab: Lab) -> str:
        return await lab.io(Act("slow", after_s=5).run)

    async with histrio.open_system() as system:
        start = trio.current_time()
        lab = await system.spawn(Lab)
        asked = lab.ask(Do(slow))
        await lab.ask(Do(nothing))

        assert trio.current_time() == start
        assert await asked == "slow"
