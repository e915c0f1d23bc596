"""A promise is completed by hand, from another handler: deferred replies, locks, barriers (F9)."""

import gc
import weakref

import pytest
import trio
from tests.actors.lab import Do, Lab
from tests.kernel.works import Boom
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.futures import Future, Waiter


class Later(histrio.Request[int]):
    """Answered when somebody says `Now`."""


class Now(histrio.Request[None]):
    """Answers all who wait."""


class Deferred(histrio.Actor[Later | Now]):
    """Replies later: a handler waits for a promise that another one completes."""

    def __init__(self) -> None:
        self.waiting: list[histrio.Promise[int]] = []

    @histrio.handler(Later)
    async def later(self, m: Later) -> int:
        promise: histrio.Promise[int] = self.promise()
        self.waiting.append(promise)
        return await promise

    @histrio.handler(Now)
    async def now(self, m: Now) -> None:
        for number, promise in enumerate(self.waiting):
            promise.set(number)


async def test_a_deferred_reply(autojump_clock: MockClock) -> None:
    """F9: a handler that waits for a promise gives the turn away, and goes on when another handler completes it."""
    async with histrio.open_system() as system:
        deferred = await system.spawn(Deferred)
        asked = [deferred.ask(Later()) for _ in range(3)]
        await wait_all_tasks_blocked()
        await deferred.ask(Now())

        assert await histrio.all_of(*asked) == (0, 1, 2)


async def make(lab: Lab) -> histrio.Promise[int]:
    """A promise of the actor."""
    promise: histrio.Promise[int] = lab.promise()
    return promise


async def test_set_and_fail(autojump_clock: MockClock) -> None:
    """F9: `set` gives every awaiter the value, `fail` the error, once completed for good."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        kept, broken = await lab.ask(Do(make)), await lab.ask(Do(make))
        boom = Boom("broken")
        kept.set(1)
        broken.fail(boom)

        assert (await kept, await kept) == (1, 1)
        for _ in range(2):
            with pytest.raises(Boom) as raised:
                await broken
            assert raised.value is boom
        for promise in (kept, broken):
            with pytest.raises(histrio.HistrioError, match=r"has its outcome already.* ask `is_done` first"):
                promise.set(2)
            with pytest.raises(histrio.HistrioError, match="has its outcome already"):
                promise.fail(Boom("again"))
        assert await kept == 1


@pytest.mark.parametrize("wrong", [Boom, "broken", None, KeyboardInterrupt()])
async def test_fail_takes_an_exception(wrong: object, autojump_clock: MockClock) -> None:
    """F9: `fail` of what is no exception instance is a TypeError, and completes nothing."""
    async with histrio.open_system() as system:
        promise = await (await system.spawn(Lab)).ask(Do(make))
        with pytest.raises(TypeError, match=r"takes an exception instance such as ValueError\('why'\)"):
            promise.fail(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

        assert not promise.is_done


async def test_a_cancelled_await_does_nothing_to_a_promise(autojump_clock: MockClock) -> None:
    """F9: a promise outlives its awaiters: the last may be cancelled, also through a combinator, and it can be set."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        promise, other = await lab.ask(Do(make)), await lab.ask(Do(make))
        with trio.move_on_after(1) as scope:
            await promise
        assert scope.cancelled_caught
        with trio.move_on_after(1) as scope:
            await histrio.both(promise, histrio.either(other, promise))
        assert scope.cancelled_caught
        promise.set(1)

        assert await promise == 1


async def test_cancel_of_a_promise(autojump_clock: MockClock) -> None:
    """F9: `cancel` completes a promise as cancelled, and so does losing in `either`; setting it then is an error."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        cancelled, loser, winner = await lab.ask(Do(make)), await lab.ask(Do(make)), await lab.ask(Do(make))
        cancelled.cancel()
        winner.set(1)
        assert await histrio.either(winner, loser) == histrio.Left(1)

        for promise in (cancelled, loser):
            with pytest.raises(histrio.FutureCancelled):
                await promise
            with pytest.raises(histrio.HistrioError):
                promise.set(1)


@pytest.mark.parametrize("end", ["stop", "kill", "failure"])
async def test_a_promise_does_not_outlive_its_actor(end: str, autojump_clock: MockClock) -> None:
    """F9: unset at its actor's end it fails with ActorStopped, for those who wait and those who come later."""

    async def fails(_: Lab) -> None:
        raise Boom("x")

    caught: list[histrio.ActorStopped] = []

    async def wait(promise: histrio.Promise[int]) -> None:
        try:
            await promise
        except histrio.ActorStopped as error:
            caught.append(error)

    async def program() -> None:
        async with trio.open_nursery() as outside, histrio.open_system() as system:
            lab = await system.spawn(Lab, name="lab")
            promise = await lab.ask(Do(make))
            outside.start_soon(wait, promise)
            await wait_all_tasks_blocked()
            if end == "stop":
                lab.control.stop()
            elif end == "kill":
                lab.control.kill()
            else:
                lab.tell_nowait(Do(fails))
            with trio.CancelScope(shield=True):
                await wait(promise)
                await wait(promise)

    if end == "failure":
        with pytest.RaisesGroup(histrio.SystemFailed):
            await program()
    else:
        await program()
    expected = {"stop": histrio.End.STOPPED, "kill": histrio.End.KILLED, "failure": histrio.End.FAILED}[end]
    assert [(error.path, error.reason.end) for error in caught] == [("/lab", expected)] * 3


async def test_a_promise_of_an_ended_actor_has_failed(autojump_clock: MockClock) -> None:
    """F9: a promise that is made after its actor's end has failed from the start."""
    labs: list[Lab] = []

    async def handler(lab: Lab) -> None:
        labs.append(lab)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        await lab.ask(Do(handler))
        lab.control.stop()
        await lab.join()
        promise = await make(labs[0])

        assert promise.is_done
        with pytest.raises(histrio.ActorStopped):
            await promise


class Place(Waiter):
    """Notes when it is told."""

    def __init__(self, order: list[int], number: int) -> None:
        self.order = order
        self.number = number

    def settled(self, future: Future[object]) -> None:
        self.order.append(self.number)


async def test_promises_end_in_the_order_of_their_making(autojump_clock: MockClock) -> None:
    """F9: at the actor's end its promises fail in the order in which they were made, in every process alike."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        promises = [await lab.ask(Do(make)) for _ in range(50)]
        order: list[int] = []
        for number, promise in reversed(tuple(enumerate(promises))):
            promise._attach(Place(order, number))
        await lab.control.kill()

        assert order == list(range(50))


async def test_promises_do_not_pile_up(autojump_clock: MockClock) -> None:
    """F9: a promise that nobody holds any more is forgotten by its actor."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        kept = await lab.ask(Do(make))
        forgotten: list[weakref.ref[histrio.Promise[int]]] = []

        async def handler(lab: Lab) -> None:
            for _ in range(100):
                forgotten.append(weakref.ref(await make(lab)))  # noqa: PERF401 - no async list in a call

        await lab.ask(Do(handler))
        gc.collect()

        assert [one() for one in forgotten if one() is not None] == []
        assert not kept.is_done


async def test_a_lock_of_promises(autojump_clock: MockClock) -> None:
    """F9: handlers can queue by promises for something that one of them holds across its waits."""

    class Lock(Lab):
        def __init__(self) -> None:
            super().__init__()
            self.last: histrio.Future[None] | None = None

        async def section(self) -> tuple[float, float]:
            before, mine = self.last, self.promise_of_none()
            self.last = mine
            if before is not None:
                await before
            entered = trio.current_time()
            await self.io(trio.sleep, 1)
            mine.set(None)
            return entered, trio.current_time()

        def promise_of_none(self) -> histrio.Promise[None]:
            return self.promise()

    async def section(lab: Lab) -> tuple[float, float]:
        assert isinstance(lab, Lock)
        return await lab.section()

    async with histrio.open_system() as system:
        lab = await system.spawn(Lock)
        start = trio.current_time()
        spans = await histrio.all_of(*(lab.ask(Do(section)) for _ in range(4)))

        assert spans == tuple((start + number, start + number + 1) for number in range(4))


async def test_a_promise_is_set_from_outside(autojump_clock: MockClock) -> None:
    """F9: a promise is an ordinary object: an operation, a plain task or another actor may complete it."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        async def handler(lab: Lab) -> tuple[int, int]:
            first, second = await make(lab), await make(lab)

            async def operation() -> None:
                await trio.lowlevel.checkpoint()
                first.set(1)

            async def other(_: Lab) -> None:
                second.set(2)

            await lab.io(operation)
            await lab.ref.tell(Do(other))
            return await histrio.both(first, second)

        assert await lab.ask(Do(handler)) == (1, 2)
