"""Child tasks and work in `self.io` never hold the turn, unless they enter it as visitors (A17)."""

import contextlib
from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.actors.doer import Do, Doer, DoerOfOne, Note, SerialDoer, through_the_door
from tests.inside import actor_of, assert_at_rest
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


async def test_a_child_task_never_holds_the_turn(autojump_clock: MockClock) -> None:
    """A17: A future that a child task of a handler awaits gives no turn away: who leaves the nursery holds it."""

    async def wait(actor: Doer) -> None:
        await actor.io(trio.sleep, 1)
        actor.seen.append("child")

    async def open_nursery(actor: Doer) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, actor)
            nursery.start_soon(wait, actor)
            await actor.io(trio.sleep, 0.5)  # the handler's own wait gives it away
            actor.seen.append("handler")
        actor.seen.append("left")

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.tell(Do(open_nursery))
        await doer.tell(Note("while the handler waits"))
        await trio.sleep(0.75)
        await doer.ask(Note("while it leaves the nursery"))

        seen = actor_of(system, Doer, doer).seen
        assert seen == ["while the handler waits", "handler", "child", "child", "left", "while it leaves the nursery"]


async def work(actor: Doer) -> None:
    """Work beside the handlers that touches the actor's fields."""
    await trio.sleep(1)
    async with actor.turn():
        actor.seen.append("enters")
        await trio.sleep(1)
        actor.seen.append("leaves")


async def in_background(actor: Doer) -> None:
    """Start that work."""
    actor.background(work, actor)


async def in_a_child(actor: Doer) -> None:
    """Start that work in a child task of work in the background."""

    async def parent() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, actor)

    actor.background(parent)


@pytest.mark.parametrize("start", [in_background, in_a_child])
async def test_work_in_io_enters_the_turn(
    autojump_clock: MockClock, start: Callable[[Doer], Awaitable[object]]
) -> None:
    """A17: `async with self.turn()` waits for the turn, and then no handler runs until it is left."""

    async def hold(actor: Doer) -> None:
        actor.seen.append("holds")
        await trio.sleep(2)
        actor.seen.append("held")

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.ask(Do(start))
        await doer.tell(Do(hold))
        await trio.sleep(1.5)
        await doer.ask(Note())  # came after the visitor has asked for the turn

        assert actor_of(system, Doer, doer).seen == ["holds", "held", "enters", "leaves", "note"]
        await trio.sleep(1)
        await assert_at_rest(system, doer)


async def test_a_free_turn_is_entered_at_once(autojump_clock: MockClock) -> None:
    """A17: A visitor of a free turn gets it; mail that comes meanwhile waits."""
    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.ask(Do(in_background))
        await trio.sleep(1.5)
        await doer.ask(Note())

        assert actor_of(system, Doer, doer).seen == ["enters", "leaves", "note"]


async def test_a_visitor_that_waits_gives_the_turn_away(autojump_clock: MockClock) -> None:
    """A17: Inside `self.turn()` an await of ours gives the turn away as in a handler."""

    async def visit(actor: Doer) -> None:
        async with actor.turn():
            await through_the_door(actor)

    async def start(actor: Doer) -> None:
        actor.background(visit, actor)

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.ask(Do(start))
        await wait_all_tasks_blocked()
        await doer.ask(Note())
        actor_of(system, Doer, doer).door.set(None)
        await assert_at_rest(system, doer)

        assert actor_of(system, Doer, doer).seen == ["waits", "note", "goes on"]


async def test_a_handler_has_the_turn_already(autojump_clock: MockClock) -> None:
    """A17: In a handler `async with self.turn()` changes nothing, also inside itself."""

    async def nested(actor: Doer) -> None:
        async with actor.turn(), actor.turn():
            await trio.sleep(1)
        actor.seen.append("handler")

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.tell(Do(nested))
        await doer.ask(Note())

        assert actor_of(system, Doer, doer).seen == ["handler", "note"]


async def test_a_handler_of_another_actor_has_not(autojump_clock: MockClock) -> None:
    """A17: Who holds the turn of one actor waits for the turn of another."""

    async def hold(actor: Doer) -> None:
        await trio.sleep(2)
        actor.seen.append("held")

    async with histrio.open_system() as system:
        one, two = await system.spawn(Doer), await system.spawn(Doer)
        second = actor_of(system, Doer, two)

        async def visit(_: Doer) -> None:
            async with second.turn():
                second.seen.append("visitor")
                await trio.sleep(1)

        await two.tell(Do(hold))
        await wait_all_tasks_blocked()
        await one.tell(Do(visit))
        await trio.sleep(1)
        await two.ask(Note())

        assert second.seen == ["held", "visitor", "note"]
        await one.ask(Note())
        await assert_at_rest(system, one)
        await assert_at_rest(system, two)


@pytest.mark.parametrize("held_s", [0.0, 5.0])
async def test_a_visitor_that_is_cancelled_in_line_never_enters(autojump_clock: MockClock, held_s: float) -> None:
    """A17: Cancelled before its turn comes, a visitor leaves without having run, and the turn goes on."""

    async def visit(actor: Doer) -> None:
        with trio.move_on_after(1) as scope:
            if not held_s:
                scope.cancel()
            async with actor.turn():
                actor.seen.append("visitor")
        actor.seen.append("gave up")

    async def start(actor: Doer) -> None:
        actor.background(visit, actor)
        await trio.sleep(held_s)

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.ask(Do(start))
        await trio.sleep(10)

        assert actor_of(system, Doer, doer).seen == ["gave up"]
        assert await doer.ask(Note()) == 2
        await assert_at_rest(system, doer)


async def in_a_child_of_the_handler(actor: Doer) -> None:
    """Leave a nursery whose child wants the turn: a deadlock, until somebody cancels it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, actor)


async def in_an_operation_of_a_child(actor: Doer) -> None:
    """The same by way of an operation that the child awaits."""

    async def child() -> None:
        await actor.io(work, actor)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)


async def in_an_operation(actor: Doer) -> None:
    """Await work that wants the turn, which a serial actor does not give away."""
    await actor.io(work, actor)


@pytest.mark.alarm(10)
@pytest.mark.parametrize("by", ["timeout", "kill"])
@pytest.mark.parametrize("wait", [in_a_child_of_the_handler, in_an_operation_of_a_child, in_an_operation])
async def test_who_waits_for_its_own_visitor_can_be_cancelled(
    autojump_clock: MockClock, wait: Callable[[Doer], Awaitable[object]], by: str
) -> None:
    """A17: A handler that keeps the turn and waits for a visitor of it waits for ever, but can be cancelled."""

    async def for_two_seconds(actor: Doer) -> None:
        with trio.move_on_after(2):
            await wait(actor)

    async with histrio.open_system() as system:
        doer = await system.spawn(SerialDoer)
        if by == "timeout":
            await doer.ask(Do(for_two_seconds))
            await doer.ask(Note())
            await assert_at_rest(system, doer)
        else:
            await doer.tell(Do(wait))
            await trio.sleep(2)
            await doer.control.kill()


async def test_visitors_do_not_lift_the_bound(autojump_clock: MockClock) -> None:
    """A6, A17: That visitors come and go lets no more handlers wait at once than `in_flight_max`."""

    async def start(actor: Doer) -> None:
        for _ in range(3):
            actor.background(work, actor)
        await through_the_door(actor)

    async with histrio.open_system() as system:
        doer = await system.spawn(DoerOfOne)
        await doer.tell(Do(start))
        answer = doer.ask(Note())
        await trio.sleep(10)
        before = list(actor_of(system, Doer, doer).seen)
        actor_of(system, Doer, doer).door.set(None)
        await answer

        assert before == ["waits", *["enters", "leaves"] * 3]
        assert actor_of(system, Doer, doer).seen == [*before, "goes on", "note"]


async def test_a_visitor_that_goes_on_does_not_lift_the_bound(autojump_clock: MockClock) -> None:
    """A6, A17: A visitor may wait beside as many handlers as may; when it goes on, there is still no room for one more."""
    visitors_door: list[histrio.Promise[None]] = []

    async def visit(actor: Doer) -> None:
        async with actor.turn():
            visitors_door.append(actor.promise())
            await visitors_door[0]
        actor.seen.append("visited")

    async def start(actor: Doer) -> None:
        actor.background(visit, actor)
        await through_the_door(actor)

    async with histrio.open_system() as system:
        doer = await system.spawn(DoerOfOne)
        await doer.tell(Do(start))
        answer = doer.ask(Note())
        await wait_all_tasks_blocked()
        visitors_door[0].set(None)
        await wait_all_tasks_blocked()
        before = list(actor_of(system, Doer, doer).seen)
        actor_of(system, Doer, doer).door.set(None)
        await answer

        assert before == ["waits", "visited"]
        assert actor_of(system, Doer, doer).seen == [*before, "goes on", "note"]


def guard(actor: Doer) -> contextlib.AbstractContextManager[None]:
    """What only a handler may use."""
    return actor.unchanged("field")


async def test_what_is_for_handlers_is_refused_to_other_tasks(autojump_clock: MockClock) -> None:
    """A17: `select`, `filter`, `receive_next` and `unchanged` raise in work, in a child task and outside of the actor."""

    async def misuse(actor: Doer) -> None:
        for wrong in (actor.select(Note), actor.filter(Note), actor.receive_next()):
            with pytest.raises(histrio.NotStarted, match="handler"):
                await wrong
        with pytest.raises(histrio.NotStarted, match="handler"), guard(actor):
            pass
        actor.seen.append("refused")

    async def everywhere(actor: Doer) -> None:
        await actor.io(misuse, actor)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(misuse, actor)

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.ask(Do(everywhere))
        await misuse(actor_of(system, Doer, doer))

        assert actor_of(system, Doer, doer).seen == ["refused"] * 3


async def test_a_second_select_shuts_the_gate(autojump_clock: MockClock) -> None:
    """A12: A select that begins before the handler of the one before has resumed keeps new messages out as well."""

    async def first(actor: Doer) -> None:
        await actor.select(lambda message: message == Note("one"))
        actor.seen.append("first")

    async def second(actor: Doer) -> None:
        await actor.door
        await actor.select(lambda message: message == Note("two"))
        actor.seen.append("second")

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.tell(Do(second))
        await doer.tell(Do(first))
        await wait_all_tasks_blocked()
        actor_of(system, Doer, doer).door.set(None)
        for mark in ("one", "other", "two"):  # `first` has its message, and then `second` resumes before it
            await doer.tell(Note(mark))
            await wait_all_tasks_blocked()

        assert actor_of(system, Doer, doer).seen == ["first", "second", "other"]
