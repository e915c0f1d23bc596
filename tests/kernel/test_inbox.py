"""A8, A11: what an inbox does with more messages than it has room for, and with those who stand before it."""

# The inbox of a `Keeper` can be filled at leisure: its first message is held, by a plain Trio wait that keeps the turn,
# until the test opens the gate; then it writes down what it handles.

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import attrs
import pytest
import trio
import trio.testing

import histrio
from histrio import DROP_NEW, DROP_OLD, LATEST, REFUSE, Ref


@attrs.frozen
class Note(histrio.Request[int]):
    number: int
    key: str = ""


def key_of(message: object) -> str:
    """The key by which the newest is kept."""
    assert isinstance(message, Note)
    return message.key


class Keeper(histrio.Actor[Note]):
    inbox_max = 2

    def __init__(self, seen: list[int], gate: trio.Event) -> None:
        self.seen = seen
        self.gate = gate

    async def receive(self, message: Note) -> int:
        self.seen.append(message.number)
        await self.gate.wait()
        return message.number


class Refusing(Keeper):
    overflow = REFUSE


class DroppingNew(Keeper):
    overflow = DROP_NEW


class DroppingOld(Keeper):
    overflow = DROP_OLD


class KeepingLatest(Keeper):
    overflow = LATEST(key_of)


@attrs.frozen
class Kept:
    """A keeper with note 0 in hand and notes 1 and 2 in its inbox, which is full."""

    ref: Ref[Note]
    seen: list[int]
    gate: trio.Event

    async def all_handled(self) -> list[int]:
        """The numbers in the order in which they are handled, once the gate is open."""
        self.gate.set()
        await settle()
        return self.seen


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


async def holding(system: histrio.System, kind: type[Keeper] = Keeper) -> Kept:
    """A keeper with note 0 in hand and an empty inbox."""
    seen: list[int] = []
    gate = trio.Event()
    ref = await system.spawn(kind, seen, gate, name="keeper")
    await ref.tell(Note(0, "zero"))
    await settle()
    return Kept(ref, seen, gate)


async def full(system: histrio.System, kind: type[Keeper] = Keeper) -> Kept:
    """A keeper whose inbox is full."""
    kept = await holding(system, kind)
    await kept.ref.tell(Note(1, "one"))
    await kept.ref.tell(Note(2, "two"))
    return kept


def dropped(system: histrio.System) -> int:
    """How many messages the keeper's inbox has dropped."""
    return system.tree().children[0].dropped


# -- the policies ------------------------------------------------------------------------------------------------------

THREE: Final = Note(3, "one")  # the key of note 1

Call = Callable[[Ref[Note]], Awaitable[object]]


async def tell(ref: Ref[Note]) -> None:
    """Send note 3 and wait until it is in."""
    await ref.tell(THREE)


async def tell_nowait(ref: Ref[Note]) -> None:
    """Send note 3 now or not at all."""
    ref.tell_nowait(THREE)


async def ask(ref: Ref[Note]) -> int:
    """Send note 3 and wait for its answer."""
    return await ref.ask(THREE)


async def ask_nowait(ref: Ref[Note]) -> int:
    """Send note 3 now or not at all, and wait for its answer."""
    return await ref.ask_nowait(THREE)


FULL: Final = histrio.InboxFull
DROPPED: Final = histrio.MessageDropped


@pytest.mark.parametrize(
    ("kind", "call", "handled", "outcome", "drops"),
    [
        (Keeper, tell, [0, 1, 2, 3], None, 0),
        (Keeper, tell_nowait, [0, 1, 2], FULL, 0),
        (Keeper, ask, [0, 1, 2, 3], 3, 0),
        (Keeper, ask_nowait, [0, 1, 2], FULL, 0),
        (Refusing, tell, [0, 1, 2], FULL, 0),
        (Refusing, tell_nowait, [0, 1, 2], FULL, 0),
        (Refusing, ask, [0, 1, 2], FULL, 0),
        (Refusing, ask_nowait, [0, 1, 2], FULL, 0),
        (DroppingNew, tell, [0, 1, 2], None, 1),
        (DroppingNew, tell_nowait, [0, 1, 2], None, 1),
        (DroppingNew, ask, [0, 1, 2], DROPPED, 1),
        (DroppingNew, ask_nowait, [0, 1, 2], DROPPED, 1),
        (DroppingOld, tell, [0, 2, 3], None, 1),
        (DroppingOld, tell_nowait, [0, 2, 3], None, 1),
        (DroppingOld, ask, [0, 2, 3], 3, 1),
        (DroppingOld, ask_nowait, [0, 2, 3], 3, 1),
        (KeepingLatest, tell, [0, 3, 2], None, 1),
        (KeepingLatest, tell_nowait, [0, 3, 2], None, 1),
        (KeepingLatest, ask, [0, 3, 2], 3, 1),
        (KeepingLatest, ask_nowait, [0, 3, 2], 3, 1),
    ],
)
async def test_one_message_too_many(
    kind: type[Keeper], call: Call, handled: list[int], outcome: object, drops: int
) -> None:
    """A8, A11: at a full inbox the policy decides: what is handled, what the sender gets, how many were dropped."""
    outcomes: list[object] = []

    async def send(ref: Ref[Note]) -> None:
        try:
            outcomes.append(await call(ref))
        except histrio.HistrioError as error:
            outcomes.append(type(error))

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        kept = await full(system, kind)
        nursery.start_soon(send, kept.ref)
        await settle()
        assert dropped(system) == drops
        waits = outcome == 3 or (kind is Keeper and call is tell)
        assert outcomes == ([] if waits else [outcome])

        assert await kept.all_handled() == handled
        assert outcomes == [outcome]


@pytest.mark.parametrize("kind", [Keeper, KeepingLatest])
async def test_latest_of_another_key_waits(kind: type[Keeper]) -> None:
    """A8: under `LATEST` a message of a key that is not in waits for room as under `WAIT`."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        kept = await full(system, kind)
        nursery.start_soon(kept.ref.tell, Note(3, "three"))
        await settle()
        with pytest.raises(histrio.InboxFull):
            kept.ref.tell_nowait(Note(4, "four"))

        assert await kept.all_handled() == [0, 1, 2, 3]


async def test_latest_of_one_key_in_line() -> None:
    """A8: a later message overtakes those of its key who stand in line: they have delivered, and are dropped."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        kept = await full(system, KeepingLatest)
        returned: list[int] = []

        async def tell_and_note(number: int) -> None:
            await kept.ref.tell(Note(number, "three"))
            returned.append(number)

        nursery.start_soon(tell_and_note, 3)
        await settle()
        asked = kept.ref.ask(Note(4, "three"))
        await settle()
        assert (returned, dropped(system), system.tree().children[0].standing) == ([3], 1, 1)
        last = kept.ref.ask(Note(5, "three"))
        with pytest.raises(histrio.InboxFull):
            kept.ref.tell_nowait(Note(6, "three"))

        assert await kept.all_handled() == [0, 1, 2, 5]
        assert await last == 5
        with pytest.raises(histrio.MessageDropped):
            await asked


@pytest.mark.parametrize(("kind", "handled"), [(DroppingOld, [0, 4, 5]), (KeepingLatest, [0, 5, 4])])
async def test_a_dropped_ask_is_answered(kind: type[Keeper], handled: list[int]) -> None:
    """A11: who asked what is dropped gets `MessageDropped`, which names the actor and the message."""
    async with histrio.open_system() as system:
        kept = await holding(system, kind)
        first, second = kept.ref.ask(Note(1, "a")), kept.ref.ask(Note(2, "b"))
        await kept.ref.tell(Note(3, "a"))
        await kept.ref.tell(Note(4, "b"))
        await kept.ref.tell(Note(5, "a"))
        for future in (first, second):
            with pytest.raises(histrio.MessageDropped, match=r"/keeper .*Note\(number="):
                await future

        assert dropped(system) == 3
        assert await kept.all_handled() == handled


async def test_inbox_full_tells_who_is_full_and_what_to_do() -> None:
    """A8: `InboxFull` names the path, how many messages wait, who stands in line, and the ways out."""
    async with histrio.open_system() as system:
        kept = await full(system)
        standing = kept.ref.ask(Note(3))
        with pytest.raises(histrio.InboxFull) as caught:
            kept.ref.tell_nowait(Note(4))
        await kept.all_handled()
        assert await standing == 3

    for part in ("/keeper: 2 messages", "1 sender", "nothing was delivered", "await tell", "inbox_max"):
        assert part in str(caught.value)


async def test_a_full_inbox_fails_nobody() -> None:
    """A11: whatever a full inbox does to its senders, its actor lives on."""
    async with histrio.open_system() as system:
        for kind in (Refusing, DroppingNew, DroppingOld, KeepingLatest):
            kept = await full(system, kind)
            for number in range(20):
                try:
                    kept.ref.tell_nowait(Note(3 + number, "one"))
                except histrio.InboxFull:
                    assert kind is Refusing
            await kept.all_handled()
            assert await kept.ref.ask(Note(99)) == 99
            kept.ref.control.stop()
            await kept.ref.join()


# -- the senders' line -------------------------------------------------------------------------------------------------


async def test_tells_and_asks_stand_in_one_line() -> None:
    """A8: an `ask` at a full inbox stands in order with the `tell`s before and after it."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        kept = await full(system)
        asks: list[histrio.Future[int]] = []
        for number in range(3, 9):
            if number % 2:
                nursery.start_soon(kept.ref.tell, Note(number))
                await settle()
            else:
                asks.append(kept.ref.ask(Note(number)))
        assert system.tree().children[0].standing == 6

        assert await kept.all_handled() == list(range(9))
        assert [await ask for ask in asks] == [4, 6, 8]


async def test_nobody_overtakes_the_line() -> None:
    """A8: while somebody stands in line a newcomer is refused or stands behind, in the moment when room comes too."""
    async with histrio.open_system() as system:
        kept = await full(system)
        asks = [kept.ref.ask(Note(number)) for number in (3, 4, 5)]
        asks[0].cancel()
        with pytest.raises(histrio.InboxFull):
            kept.ref.tell_nowait(Note(6))

        assert await kept.all_handled() == [0, 1, 2, 4, 5]


async def test_the_line_is_bounded() -> None:
    """A8: beyond `waiting_max` an `ask` fails with `InboxFull`, through its future; a `tell` still stands."""

    class Short(Keeper):
        waiting_max = 3

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        kept = await full(system, Short)
        asks = [kept.ref.ask(Note(number)) for number in (3, 4)]
        nursery.start_soon(kept.ref.tell, Note(5))
        await settle()
        too_many = kept.ref.ask(Note(6))
        nursery.start_soon(kept.ref.tell, Note(7))
        await settle()
        with pytest.raises(histrio.InboxFull, match="3 senders"):
            await too_many

        assert await kept.all_handled() == [0, 1, 2, 3, 4, 5, 7]
        assert [await ask for ask in asks] == [3, 4]


async def test_a_tell_that_is_cancelled_in_line_has_not_delivered() -> None:
    """A8: cancelled in line, its message never comes in; the order of the others stands."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        kept = await full(system)
        scopes = [trio.CancelScope() for _ in range(3)]

        async def tell_in(scope: trio.CancelScope, number: int) -> None:
            with scope:
                await kept.ref.tell(Note(number))

        for number, scope in enumerate(scopes, start=3):
            nursery.start_soon(tell_in, scope, number)
            await settle()
        scopes[1].cancel()
        await settle()
        assert scopes[1].cancelled_caught

        assert await kept.all_handled() == [0, 1, 2, 3, 5]
    assert not scopes[0].cancelled_caught
    assert not scopes[2].cancelled_caught


async def test_a_standing_tell_and_its_cancellation_in_one_moment() -> None:
    """A8: an ask that stands before it is withdrawn, which makes room; cancelled then, the `tell` has delivered."""

    class One(Keeper):
        inbox_max = 1

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        kept = await holding(system, One)
        queued = kept.ref.ask(Note(1))
        scope = trio.CancelScope()
        returned: list[int] = []

        async def tell_two() -> None:
            with scope:
                await kept.ref.tell(Note(2))
                returned.append(2)

        nursery.start_soon(tell_two)
        await settle()
        queued.cancel()
        scope.cancel()
        kept.gate.set()
        await settle()

        assert (kept.seen, returned, scope.cancelled_caught) == ([0, 2], [2], False)


async def test_a_withdrawn_ask_gives_its_place_to_the_line_at_once() -> None:
    """A8, F8: a queued ask that is cancelled is not handled, and who stands first comes in before the actor moves."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        kept = await holding(system)
        queued = [kept.ref.ask(Note(1)), kept.ref.ask(Note(2))]
        returned: list[int] = []

        async def tell_three() -> None:
            await kept.ref.tell(Note(3))
            returned.append(3)

        nursery.start_soon(tell_three)
        await settle()
        assert returned == []
        queued[0].cancel()
        await settle()
        assert returned == [3]
        assert system.tree().children[0].queued == 2
        kept.gate.set()

        assert await queued[1] == 2
        await settle()
        assert kept.seen == [0, 2, 3]


async def test_an_ask_that_has_begun_gives_no_place() -> None:
    """A8, F8: cancelled while it is handled, an ask was no longer in the inbox, so nobody comes in for it."""
    async with histrio.open_system() as system:
        kept = await holding(system)
        kept.gate.set()
        await settle()
        held = trio.Event()
        ref = await system.spawn(Keeper, kept.seen, held, name="other")
        begun = ref.ask(Note(1))
        await settle()
        asks = [ref.ask(Note(number)) for number in (2, 3, 4)]
        begun.cancel()
        other = system.tree().children[1]
        assert (other.queued, other.standing) == (2, 1)
        held.set()

        assert [await ask for ask in asks] == [2, 3, 4]
        assert system.tree().children[1].queued == 0


async def test_withdrawing_more_asks_than_the_inbox_has_room_for() -> None:
    """A8, F8: however many are withdrawn, queued or in line, those left are all handled, in order."""
    async with histrio.open_system() as system:
        kept = await holding(system)
        asks = [kept.ref.ask(Note(number)) for number in range(1, 21)]
        for ask in asks[:7] + asks[8:15]:
            ask.cancel()
        assert (system.tree().children[0].queued, system.tree().children[0].standing) == (2, 4)

        assert await kept.all_handled() == [0, 8, 16, 17, 18, 19, 20]
        assert [await ask for ask in (asks[7], *asks[15:])] == [8, 16, 17, 18, 19, 20]


class Failing(Keeper):
    async def receive(self, message: Note) -> int:
        await super().receive(message)
        raise ValueError("out of order")


@pytest.mark.parametrize(
    ("kind", "end"),
    [(Keeper, histrio.End.STOPPED), (Keeper, histrio.End.KILLED), (Failing, histrio.End.FAILED)],
)
async def test_who_stands_in_line_is_told_of_the_end(kind: type[Keeper], end: histrio.End) -> None:
    """A8, A10: a standing `tell` raises `ActorStopped`, a standing ask gets it; both name path and reason."""
    told: list[histrio.ActorStopped] = []

    async def stand(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(histrio.ActorStopped) as caught:
            await call()
        told.append(caught.value)

    async def fill_and_end() -> None:
        async with trio.open_nursery() as nursery, histrio.open_system() as system:
            kept = await full(system, kind)
            nursery.start_soon(stand, partial(kept.ref.tell, Note(3)))
            await settle()
            nursery.start_soon(stand, partial(kept.ref.ask, Note(4)))
            await settle()
            if end is histrio.End.STOPPED:
                kept.ref.control.stop()
            elif end is histrio.End.KILLED:
                kept.ref.control.kill()
            kept.gate.set()
            await system.wait()

    if end is histrio.End.FAILED:
        with pytest.raises(ExceptionGroup) as caught:
            await fill_and_end()
        assert caught.group_contains(histrio.SystemFailed)
    else:
        await fill_and_end()
    assert [(error.path, error.reason.end) for error in told] == [("/keeper", end)] * 2
