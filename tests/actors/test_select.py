"""A12: a handler that waits for one particular message: what it takes, what stays, and what happens meanwhile."""

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Generic, TypeVar

import attrs
import pytest
import trio
import trio.testing
from tests.actors.selecting import (
    Go,
    How,
    LatePong,
    Mail,
    Ping,
    Pong,
    Selecting,
    Serial,
    any_pong,
    is_big,
    is_even_pong,
    settle,
)

import histrio
from histrio import Ref

T = TypeVar("T")
Clock = trio.testing.MockClock


# -- what is selected, and what stays ----------------------------------------------------------------------------------

CHOICES: Final[dict[str, tuple[How, Mail]]] = {
    "type": (any_pong, Pong(3)),
    "type guard": (lambda actor: actor.select(is_even_pong), Pong(4)),
    "predicate": (lambda actor: actor.select(is_big), Ping(12)),
    "subtype": (lambda actor: actor.select(LatePong), LatePong(5)),
}
ALL: Final = (Ping(1), Ping(2), Pong(3), Pong(4), LatePong(5), Ping(12), Pong(11))


async def nothing() -> None:
    """What is done between two messages that come at once."""


@pytest.mark.parametrize("between", [nothing, settle], ids=["from the queue", "as it comes"])
@pytest.mark.parametrize("choice", CHOICES)
async def test_the_first_that_matches_is_taken(choice: str, between: Callable[[], Awaitable[None]]) -> None:
    """A12: a type, a TypeGuard and a predicate each take the first match, queued or still to come; the rest stays in order."""
    how, expected = CHOICES[choice]
    log: list[object] = []

    class Roomy(Selecting):
        inbox_max = 100

    async with histrio.open_system() as system:
        actor = await system.spawn(Roomy, log)
        asked = actor.ask(Go(how))
        await between()
        for message in ALL:
            await actor.tell(message)
            await between()

        assert await asked == expected
        await settle()
        assert log == [message for message in ALL if message != expected]


async def test_filter_drops_what_it_passes_over() -> None:
    """A12: what came before the match is dropped and counted, asks among it are answered `MessageDropped`."""
    log: list[object] = []
    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log, name="actor")
        asked = actor.ask(Go(lambda actor: actor.filter(Pong)))
        early = actor.ask(Ping(1))
        await settle()
        late = actor.ask(Ping(2))
        await actor.tell(Ping(3))
        await actor.tell(Pong(4))
        await actor.tell(Ping(5))

        assert await asked == Pong(4)
        await settle()
        assert log == [Ping(5)]
        assert system.tree().children[0].dropped == 3
        for future in (early, late):
            with pytest.raises(histrio.MessageDropped, match="/actor"):
                await future


async def test_a_generic_is_selected_by_its_origin() -> None:
    """A12, A16: `select(Put[int])` takes a `Put`, as the declaration of one does, and nothing else."""

    @attrs.frozen
    class Put(Generic[T]):
        value: T

    class Puts(histrio.Actor[Put[int] | str]):
        async def run(self) -> None:
            found.append(await self.select(Put[int]))

    found: list[Put[int]] = []
    async with histrio.open_system() as system:
        puts = await system.spawn(Puts)
        await puts.tell("not this")
        await puts.tell(Put(3))
        await puts.join()

    assert found == [Put(3)]


async def test_what_is_no_match_is_refused_at_once(autojump_clock: Clock) -> None:
    """A12: what is neither a type nor a synchronous function of a message is a `TypeError`, and the actor lives on."""

    async def later(message: Mail) -> bool:
        return True

    async def refused(wrong: object, actor: Selecting) -> str:
        for call in (actor.select, actor.filter):
            with pytest.raises(TypeError, match=r"/actor: .* takes a"):
                await call(wrong)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
        return "lives on"

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, list[object](), name="actor")
        for wrong in (3, "Pong", None, later, Pong(3)):
            with trio.fail_after(1):
                assert await actor.ask(Go(partial(refused, wrong))) == "lives on"


# -- meanwhile ---------------------------------------------------------------------------------------------------------


async def test_no_new_message_starts_a_handler_meanwhile(autojump_clock: Clock) -> None:
    """A12: while one waits in `select` other mail waits too; handlers that waited before resume and end."""
    log: list[object] = []

    async def wait_first(actor: Selecting) -> object:
        await actor.io(trio.sleep, 1)
        actor.log.append("resumed")
        return "resumed"

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log)
        before = actor.ask(Go(wait_first))
        await settle()
        selecting = actor.ask(Go(any_pong))
        await actor.tell(Ping(1))
        assert await before == "resumed"
        await settle()
        assert log == ["resumed"]
        await actor.tell(Pong(2))
        assert await selecting == Pong(2)
        await settle()

        assert log == ["resumed", Ping(1)]


async def test_a_resumed_handler_may_send_what_is_selected(autojump_clock: Clock) -> None:
    """A12: a message that the actor sends itself is selected as any other."""

    async def wait_and_send(actor: Selecting) -> None:
        await actor.io(trio.sleep, 1)
        await actor.ref.tell(Pong(1))

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, list[object]())
        sending = actor.ask(Go(wait_and_send))
        await settle()

        assert await actor.ask(Go(any_pong)) == Pong(1)
        await sending


async def test_what_is_told_first_is_selected(autojump_clock: Clock) -> None:
    """A12, S2: what `tell_first` puts in is shown to who waits, like any message; else it goes ahead of all others."""

    async def wait_and_tell_first(actor: Selecting) -> None:
        await actor.io(trio.sleep, 1)
        actor.tell_first(Ping(1))
        actor.tell_first(Pong(2))

    log: list[object] = []
    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log)
        telling = actor.ask(Go(wait_and_tell_first))
        await settle()
        asked = actor.ask(Go(any_pong))
        await actor.tell(Ping(3))
        with trio.fail_after(2):
            assert await asked == Pong(2)
        await telling
        await settle()

        assert log == [Ping(1), Ping(3)]


@pytest.mark.parametrize("how", ["met", "cancelled", "broken"])
async def test_nothing_is_left_of_a_select_that_is_over(how: str, autojump_clock: Clock) -> None:
    """A8, A12: afterwards the inbox is on its fast path again, and the actor takes new messages."""

    async def select_somehow(actor: Selecting) -> str:
        with trio.move_on_after(1), contextlib.suppress(KeyError):
            await actor.select(break_down if how == "broken" else is_big)
        return "over"

    def break_down(message: Mail) -> bool:
        raise KeyError

    log: list[object] = []
    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log)
        cell = system._cell_at(actor.path)
        assert cell is not None
        asked = actor.ask(Go(select_somehow))
        await settle()
        assert cell.inbox.limit == -1
        if how != "cancelled":
            await actor.tell(Ping(10))
        assert await asked == "over"
        assert cell.inbox.limit == Selecting.inbox_max
        assert await actor.ask(Ping(1)) == "handled"


@pytest.mark.parametrize("second", ["select", "filter"])
async def test_a_second_select_is_busy(second: str, autojump_clock: Clock) -> None:
    """A12: while one is outstanding a second raises `Busy`, which names the actor; the first is not disturbed."""

    async def wait_then_select(actor: Selecting) -> str:
        await actor.io(trio.sleep, 1)
        with pytest.raises(histrio.Busy, match="/actor"):
            await (actor.select(Ping) if second == "select" else actor.filter(Ping))
        return "was busy"

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, list[object](), name="actor")
        second_one = actor.ask(Go(wait_then_select))
        await settle()
        first = actor.ask(Go(any_pong))

        assert await second_one == "was busy"
        await actor.tell(Pong(1))
        assert await first == Pong(1)


async def test_one_select_after_the_other(autojump_clock: Clock) -> None:
    """A12: when one is over the next may begin, also before the handler of the first has run on."""

    async def two(actor: Selecting) -> object:
        first = await actor.select(Pong)
        second = await actor.select(Ping)
        return (first, second)

    async def wait_then_select(actor: Selecting) -> object:
        await actor.io(trio.sleep, 1)
        return await actor.select(Pong)

    log: list[object] = []
    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log)
        third = actor.ask(Go(wait_then_select))
        await settle()
        both = actor.ask(Go(two))
        await settle()
        await actor.tell(Pong(1))
        await actor.tell(Ping(2))
        assert await both == (Pong(1), Ping(2))
        await trio.sleep(2)
        await actor.tell(Ping(3))
        await settle()
        assert log == []
        await actor.tell(Pong(4))

        assert await third == Pong(4)
        await settle()
        assert log == [Ping(3)]


@pytest.mark.parametrize("kind", [Selecting, Serial])
async def test_a_cancelled_select_loses_nothing(kind: type[Selecting], autojump_clock: Clock) -> None:
    """A4, A12: after a timeout the message that comes too late is handled like any other."""
    log: list[object] = []

    async def with_timeout(actor: Selecting) -> object:
        with trio.move_on_after(1):
            return await actor.select(Pong)
        return "timed out"

    async with histrio.open_system() as system:
        actor = await system.spawn(kind, log)
        asked = actor.ask(Go(with_timeout))
        await actor.tell(Ping(1))
        assert await asked == "timed out"
        await actor.tell(Pong(2))
        await settle()

        assert log == [Ping(1), Pong(2)]


async def test_a_match_and_a_cancellation_in_one_moment() -> None:
    """A4, A12: what was selected before the cancel is delivered, so no message is lost between the two."""
    log: list[object] = []
    scopes: list[trio.CancelScope] = []

    async def cancellable(actor: Selecting) -> object:
        with trio.CancelScope() as scope:
            scopes.append(scope)
            return await actor.select(Pong)
        return "cancelled"

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log)
        for cancel_first in (False, True):
            asked = actor.ask(Go(cancellable))
            await settle()
            if cancel_first:
                scopes[-1].cancel()
                actor.tell_nowait(Pong(2))
            else:
                actor.tell_nowait(Pong(1))
                scopes[-1].cancel()
            assert await asked == ("cancelled" if cancel_first else Pong(1))
            await settle()

        assert log == [Pong(2)]


@pytest.mark.parametrize("queued_before", [True, False])
async def test_a_match_that_raises_raises_in_its_handler(queued_before: bool) -> None:
    """A12: the error of a predicate is the selecting handler's, not the sender's; the message is not lost."""
    log: list[object] = []

    def broken(message: Mail) -> bool:
        raise KeyError("predicate")

    async def select_broken(actor: Selecting) -> str:
        with pytest.raises(KeyError, match="predicate"):
            await actor.select(broken)
        return "raised here"

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log)
        asked = actor.ask(Go(select_broken))
        if not queued_before:
            await settle()
        await actor.tell(Ping(1))
        assert await asked == "raised here"
        await settle()

        assert log == [Ping(1)]


async def test_only_the_actors_own_handlers_select() -> None:
    """A12, A17: in a task that is no handler it raises `NotStarted`, which says so."""

    async def in_a_child_task(actor: Selecting) -> str:
        with pytest.raises(ExceptionGroup) as caught:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(actor.select, Pong)
        assert caught.group_contains(histrio.NotStarted, match="/actor.*handlers")
        with pytest.raises(histrio.NotStarted, match="/actor"):
            await actor.io(actor.select, Pong)
        return "refused"

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, list[object](), name="actor")

        assert await actor.ask(Go(in_a_child_task)) == "refused"


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_a_select_ends_when_its_actor_stops() -> None:
    """A12, S2: nothing more can come, so `EndOfChannel` ends the wait; what is queued is still handled."""
    log: list[object] = []

    async def wait_for_end(actor: Selecting) -> str:
        try:
            await actor.select(Pong)
        except trio.EndOfChannel:
            return "ended"
        return "met"

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log)
        asked = actor.ask(Go(wait_for_end))
        await actor.tell(Ping(1))
        await settle()
        actor.control.stop()

        assert await asked == "ended"
        await actor.join()
        assert log == [Ping(1)]


async def test_a_handler_need_not_catch_the_end() -> None:
    """A10, A12: its asker gets `ActorStopped`, and the actor stops as it was asked to: that is no failure."""
    log: list[object] = []
    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log, name="actor")
        asked = actor.ask(Go(any_pong))
        await actor.tell(Ping(1))
        await settle()
        actor.control.stop()
        with pytest.raises(histrio.ActorStopped, match="/actor") as caught:
            await asked
        await actor.join()

        assert log == [Ping(1)]
        assert caught.value.reason.end is histrio.End.STOPPED


async def test_selecting_in_started() -> None:
    """A12: mail that comes before the actor has started can be selected; the rest is handled when it has."""
    log: list[object] = []

    class Waits(Selecting):
        async def started(self) -> None:
            self.log.append(await self.select(Pong))

    async def spawn(system: histrio.System) -> None:
        await system.spawn(Waits, log, name="waits")

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        nursery.start_soon(spawn, system)
        await settle()
        waits: Ref[Mail] | None = system.find(Waits, "/waits")
        assert waits is not None
        await waits.tell(Ping(1))
        await waits.tell(Pong(2))
        await waits.tell(Ping(3))
        await settle()

        assert log == [Pong(2), Ping(1), Ping(3)]
