"""An ask belongs to whoever awaits it, and works in any Trio task."""

import gc
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from tests.actors.lab import Do, Lab, nothing
from tests.conftest import Show
from tests.effort import count
from tests.kernel.works import Act
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.simulation.trio_schedule import seeded_schedule

Ref = histrio.Ref[Do[object]]


class Small(Lab):
    """Its inbox holds two messages; a third sender stands in line."""

    inbox_max = 2
    serial = True


async def reply(_: Lab) -> str:
    """Answers at once."""
    return "reply"


async def busy(lab: Lab) -> str:
    """A second of work, with the turn held."""
    await trio.sleep(1)
    lab.seen.append("busy")
    return "busy"


def noting(name: str) -> Do[str]:
    """A message whose handler leaves a note."""

    async def note(lab: Lab) -> str:
        lab.seen.append(name)
        return name

    return Do(note)


async def seen(lab: Lab) -> list[str]:
    """The notes so far."""
    return list(lab.seen)


# -- F6 ----------------------------------------------------------------------------------------------------------------


async def test_futures_work_outside_actors(autojump_clock: MockClock) -> None:
    """F6: any Trio task asks and combines: two actors, two tasks, and futures that others have made."""
    async with histrio.open_system() as system:
        store, cache = await system.spawn(Lab), await system.spawn(Lab)

        assert await store.ask(Do(reply)) == "reply"
        assert await histrio.both(store.ask(Do(reply)), cache.ask(Do(reply))) == ("reply", "reply")
        assert await histrio.either(store.ask(Do(busy)), cache.ask(Do(reply))) == histrio.Right("reply")

        shared = store.ask(Do(busy))
        got: list[str] = []

        async def wait() -> None:
            got.append(await shared)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
        assert got == ["busy", "busy"]


async def test_futures_of_two_systems_combine(autojump_clock: MockClock) -> None:
    """F6: futures of different systems combine."""
    async with histrio.open_system() as one, histrio.open_system() as two:
        first, second = await one.spawn(Lab), await two.spawn(Lab)

        assert await histrio.both(first.ask(Do(busy)), second.ask(Do(reply))) == ("busy", "reply")


async def test_one_actor_asks_another(autojump_clock: MockClock) -> None:
    """F6: the same in a handler, where it gives the turn away; a refusal is caught like any error."""
    async with histrio.open_system() as system:
        other = await system.spawn(Lab)

        async def refuse(_: Lab) -> None:
            raise histrio.Refusal("no")

        async def handler(_: Lab) -> str:
            with pytest.raises(histrio.Refusal, match="no"):
                await other.ask(Do(refuse))
            return await other.ask(Do(reply))

        assert await (await system.spawn(Lab)).ask(Do(handler)) == "reply"


# -- F8 ----------------------------------------------------------------------------------------------------------------


async def leave_by_cancelled_await(asked: histrio.Future[str]) -> None:
    """The last awaiter is cancelled."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await asked
    assert scope.cancelled_caught


async def leave_by_cancel(asked: histrio.Future[str]) -> None:
    """The asker takes it back."""
    asked.cancel()
    with pytest.raises(histrio.FutureCancelled):
        await asked


async def leave_by_combinator(asked: histrio.Future[str]) -> None:
    """A combinator that it is in is abandoned."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await histrio.both(asked, asked)
    assert scope.cancelled_caught


async def leave_as_loser(asked: histrio.Future[str]) -> None:
    """It loses in `either`, at once."""
    before = trio.current_time()
    async with histrio.open_system("other") as other:
        quick = await other.spawn(Lab)
        assert await histrio.either(asked, quick.ask(Do(reply))) == histrio.Right("reply")
    assert trio.current_time() == before


LEAVE: Final = {
    function.__name__.removeprefix("leave_").replace("_", " "): function
    for function in (leave_by_cancelled_await, leave_by_cancel, leave_by_combinator, leave_as_loser)
}
leaving = pytest.mark.parametrize("leave", LEAVE.values(), ids=LEAVE)
Leave = Callable[[histrio.Future[str]], Awaitable[None]]


class Ear:
    """Hears the signals of one kind."""

    def __init__(self, system: histrio.System, kind: histrio.Kind) -> None:
        self.kind = kind
        self.paths: list[str] = []
        self.stop = system.listen(self.hear)

    def hear(self, signal: histrio.Signal) -> None:
        if signal.kind is self.kind:
            self.paths.append(signal.path)


def test_the_ways_to_leave_an_ask(show: Show) -> None:
    """F8: the tests below take every way to leave an ask, at every place where it may be."""
    show(f"F8: {{queued, begun, standing in line}} x {{{', '.join(LEAVE)}}}: message, handler, reply and room asserted")

    assert set(LEAVE) >= {"by cancelled await", "by cancel"}


@leaving
@pytest.mark.parametrize("heard", [True, False])
async def test_a_queued_ask_is_withdrawn(leave: Leave, heard: bool, autojump_clock: MockClock) -> None:
    """F8: queued, the message is withdrawn with a DROP signal: its handler never runs, and its room is free again."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Small, name="lab")
        ear = Ear(system, histrio.Kind.DROP) if heard else None
        working = lab.ask(Do(busy))
        await wait_all_tasks_blocked()
        first, asked = lab.ask(noting("first")), lab.ask(noting("withdrawn"))
        with pytest.raises(histrio.InboxFull):
            lab.tell_nowait(noting("refused"))
        assert system.tree().children[0].queued == 2

        await leave(asked)
        assert asked.is_done
        assert system.tree().children[0].queued == 1
        lab.tell_nowait(noting("in its room"))
        await histrio.both(working, first)
        if ear is not None:
            ear.stop()
            assert ear.paths == ["/lab"]

        assert await lab.ask(Do(seen)) == ["busy", "first", "in its room"]
        assert system.dead_letters.count == 0


@leaving
@pytest.mark.parametrize("heard", [True, False])
async def test_of_a_begun_ask_the_reply_is_dropped(leave: Leave, heard: bool, autojump_clock: MockClock) -> None:
    """F8: begun, the handler runs on to its end, and only its reply is dropped and counted."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        if heard:
            system.listen(lambda signal: None)

        async def handler(lab: Lab) -> str:
            lab.seen.append("began")
            await lab.io(trio.sleep, 1)
            lab.seen.append("ended")
            return "dropped"

        asked = lab.ask(Do(handler))
        await wait_all_tasks_blocked()
        await leave(asked)
        assert asked.is_done
        assert await lab.ask(Do(seen)) == ["began"]
        await trio.sleep(2)

        assert await lab.ask(Do(seen)) == ["began", "ended"]
        assert lab._inbox.replies_dropped == 1
        assert system.dead_letters.count == 0


async def test_a_refusal_that_nobody_waits_for_is_dropped(autojump_clock: MockClock) -> None:
    """F8: of a begun ask that was left a refusal is dropped and counted like a reply; it is no dead letter."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        async def handler(lab: Lab) -> str:
            await lab.io(trio.sleep, 1)
            raise histrio.Refusal("too late")

        asked = lab.ask(Do(handler))
        await wait_all_tasks_blocked()
        await leave_by_cancel(asked)
        del asked
        await trio.sleep(2)
        gc.collect()

        assert lab._inbox.replies_dropped == 1
        assert system.dead_letters.count == 0


@leaving
async def test_a_standing_ask_leaves_the_line(leave: Leave, autojump_clock: MockClock) -> None:
    """F8: in the senders' line it leaves the line; those behind it move up, in their order."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Small)
        first = lab.ask(Do(busy))
        await wait_all_tasks_blocked()
        queued = [lab.ask(noting(name)) for name in ("one", "two")]
        standing = lab.ask(noting("withdrawn"))
        behind = [lab.ask(noting(name)) for name in ("three", "four")]
        assert system.tree().children[0].standing == 3

        await leave(standing)
        assert system.tree().children[0].standing == 2
        assert system.tree().children[0].queued == 2
        await histrio.all_of(first, *queued, *behind)

        assert await lab.ask(Do(seen)) == ["busy", "one", "two", "three", "four"]


@leaving
async def test_room_that_is_given_back_goes_to_the_line(leave: Leave, autojump_clock: MockClock) -> None:
    """F8: the room of a withdrawn ask goes to whoever stands first in line, at once."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Small)
        working = lab.ask(Do(busy))
        await wait_all_tasks_blocked()
        one, withdrawn = lab.ask(noting("one")), lab.ask(noting("withdrawn"))
        standing = lab.ask(noting("standing"))

        await leave(withdrawn)
        assert system.tree().children[0].standing == 0
        assert system.tree().children[0].queued == 2
        await histrio.all_of(working, one, standing)

        assert await lab.ask(Do(seen)) == ["busy", "one", "standing"]


async def test_an_ask_has_several_awaiters(autojump_clock: MockClock) -> None:
    """F8: only with the last of its awaiters an ask is given up."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Small)
        lab.tell_nowait(Do(busy))
        asked = lab.ask(noting("asked"))
        got: list[str] = []

        async def wait(timeout_s: float) -> None:
            with trio.move_on_after(timeout_s):
                got.append(await asked)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, 0.25)
            nursery.start_soon(wait, 0.5)
            nursery.start_soon(wait, 2)
        assert got == ["asked"]


async def test_many_withdrawn_asks_take_no_room(autojump_clock: MockClock) -> None:
    """F8: asks that come and go while the actor is busy do not fill its inbox."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Small)
        working = lab.ask(Do(busy))
        await wait_all_tasks_blocked()
        for _ in range(100):
            lab.ask_nowait(noting("withdrawn")).cancel()
        assert len(lab._inbox) == 0
        last = lab.ask_nowait(noting("last"))
        await histrio.both(working, last)

        assert await lab.ask(Do(seen)) == ["busy", "last"]


def test_the_reply_and_the_cancellation_in_one_batch() -> None:
    """F8: a reply that meets the cancellation of its await: delivered or dropped and counted, under every schedule."""

    async def main(system: histrio.System) -> bool:
        lab = await system.spawn(Lab)

        async def handler(lab: Lab) -> str:
            await lab.io.clock.sleep(1)
            return "reply"

        with trio.move_on_after(1) as scope:
            assert await lab.ask(Do(handler)) == "reply"
        await trio.sleep(1)
        assert lab._inbox.replies_dropped == int(scope.cancelled_caught)
        return scope.cancelled_caught

    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            histrio.run(main, clock=MockClock(autojump_threshold=0))


async def test_as_a_loser_an_ask_ends_at_once(autojump_clock: MockClock) -> None:
    """F8: `either` does not wait for the handler of an ask that lost, and the ask is done when `either` is."""
    async with histrio.open_system() as system:
        slow, quick = await system.spawn(Lab), await system.spawn(Lab)
        start = trio.current_time()
        loser = slow.ask(Do(busy))
        await wait_all_tasks_blocked()

        assert await histrio.either(loser, quick.ask(Do(reply))) == histrio.Right("reply")
        assert loser.is_done
        assert trio.current_time() == start
        await slow.ask(Do(nothing))
        assert trio.current_time() == pytest.approx(start + 1)


async def refuse(_: Lab) -> str:
    """Never answers well."""
    raise histrio.Refusal("no")


async def test_an_unretrieved_error_is_a_dead_letter(autojump_clock: MockClock) -> None:
    """F8: an error of an ask that nobody looks at becomes a signal and a dead letter, when nobody can look any more."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab, name="lab")
        ear = Ear(system, histrio.Kind.DROP)
        message = Do(refuse)
        asked = lab.ask(message)
        await wait_all_tasks_blocked()
        assert system.dead_letters.count == 0

        del asked
        gc.collect()
        (letter,) = system.dead_letters
        assert (letter.path, letter.message) == ("/lab", message)
        assert letter.why == "nobody awaited its answer, which was Refusal: no"
        assert ear.paths == ["/lab"]
        await lab.ask(Do(nothing))


async def test_a_retrieved_error_is_no_dead_letter(autojump_clock: MockClock) -> None:
    """F8: an error that somebody has caught, at once, later or through a combinator, is no dead letter."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        with pytest.raises(histrio.Refusal):
            await lab.ask(Do(refuse))
        later = lab.ask(Do(refuse))
        await wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises(histrio.Refusal):
                await later
        with pytest.raises(histrio.Refusal):
            await histrio.both(lab.ask(Do(refuse)), lab.ask(Do(reply)))
        done = lab.ask(Do(refuse))
        await wait_all_tasks_blocked()
        with pytest.raises(histrio.Refusal):
            await histrio.either(done, lab.ask(Do(reply)))
        del later, done
        gc.collect()

        assert system.dead_letters.count == 0


async def test_a_combinator_that_nobody_awaits_retrieves_nothing(autojump_clock: MockClock) -> None:
    """F8: the error of an ask in a combinator that is dropped unawaited is a dead letter."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        combined = histrio.both(lab.ask(Do(refuse)), histrio.either(lab.ask(Do(reply)), lab.ask(Do(reply))))
        await wait_all_tasks_blocked()
        assert combined.is_done
        del combined
        gc.collect()

        assert [letter.why for letter in system.dead_letters] == ["nobody awaited its answer, which was Refusal: no"]


async def test_an_unretrieved_error_never_fails_the_asker(autojump_clock: MockClock) -> None:
    """F8: an actor that asks and does not wait for the answer is not harmed by its error, nor its handler delayed."""
    async with histrio.open_system() as system:
        other = await system.spawn(Lab)

        async def late_refusal(lab: Lab) -> None:
            await lab.io(trio.sleep, 1)
            raise histrio.Refusal("no")

        async def handler(_: Lab) -> float:
            other.ask(Do(late_refusal))
            return trio.current_time()

        asker = await system.spawn(Lab)
        start = trio.current_time()
        assert await asker.ask(Do(handler)) == start
        assert trio.current_time() == start
        await trio.sleep(2)
        gc.collect()

        assert system.dead_letters.count == 1
        await asker.ask(Do(nothing))


async def test_an_unretrieved_value_is_nothing(autojump_clock: MockClock) -> None:
    """F8: an answer that nobody looks at, and an ask that was withdrawn, are no dead letters."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        lab.ask(Do(reply))
        lab.ask(Do(reply)).cancel()
        lab.ask(Do(nothing)).cancel()
        await wait_all_tasks_blocked()
        gc.collect()

        assert system.dead_letters.count == 0


async def test_a_handler_is_never_cancelled_by_its_asker(autojump_clock: MockClock) -> None:
    """F8: also not when the asker is an actor that is killed."""
    act = Act("asked", after_s=3)
    async with histrio.open_system() as system:
        other, asker = await system.spawn(Lab), await system.spawn(Lab)

        async def work(lab: Lab) -> str:
            lab.seen.append(await lab.io(act.run))
            return "dropped"

        async def handler(_: Lab) -> str:
            return await other.ask(Do(work))

        await asker.tell(Do(handler))
        await trio.sleep(1)
        start = trio.current_time()
        await asker.control.kill()
        assert trio.current_time() == start
        await trio.sleep(5)

        assert act.cleaned_at is None
        assert await other.ask(Do(seen)) == ["asked"]
