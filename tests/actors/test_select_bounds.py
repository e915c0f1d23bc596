"""A12: what is skipped counts against the bound, and asks that are selected are answered."""

import pytest
import trio
import trio.testing
from tests.actors.classes import new_actor
from tests.actors.selecting import (
    Go,
    Lossy,
    Ping,
    Pong,
    Selecting,
    any_pong,
    is_even_pong,
    settle,
)

import histrio

Clock = trio.testing.MockClock


# -- bounds ------------------------------------------------------------------------------------------------------------


async def select_or_stall(actor: Selecting) -> object:
    """Wait for a Pong, or be told that none can come."""
    try:
        return await actor.select(Pong)
    except histrio.SelectStalled as error:
        return str(error)


@pytest.mark.parametrize("full_before", [True, False])
async def test_a_select_that_cannot_be_met_is_stalled(full_before: bool) -> None:
    """A12: skipped messages count against the bound; at the bound `SelectStalled` names the actor, and no mail is lost."""
    log: list[object] = []
    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, log, name="actor")
        asked = actor.ask(Go(select_or_stall))
        if not full_before:
            await settle()
        for number in range(4):
            await actor.tell(Ping(number))

        text = str(await asked)
        assert "/actor" in text
        assert "4 other messages" in text
        assert "inbox_max" in text
        await settle()
        assert log == [Ping(number) for number in range(4)]


async def test_where_room_is_always_made_nothing_stalls() -> None:
    """A12: under `DROP_OLD` the oldest of the skipped make room until the match comes."""
    log: list[object] = []
    async with histrio.open_system() as system:
        actor = await system.spawn(Lossy, log, name="actor")
        asked = actor.ask(Go(select_or_stall))
        for number in range(7):
            await actor.tell(Ping(number))
            await settle()
        await actor.tell(Pong(7))

        assert await asked == Pong(7)
        await settle()
        assert log == [Ping(3), Ping(4), Ping(5), Ping(6)]


async def test_filter_never_stalls() -> None:
    """A12: `filter` drops what it passes over, so however much comes before the match, it is met."""
    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, list[object](), name="actor")
        asked = actor.ask(Go(lambda actor: actor.filter(Pong)))
        for number in range(20):
            await actor.tell(Ping(number))
        await actor.tell(Pong(20))

        assert await asked == Pong(20)
        assert system.tree().children[0].dropped == 20


@pytest.mark.parametrize("inbox_max", [1, 2, 3, 4])
async def test_filter_sees_the_line(inbox_max: int, autojump_clock: Clock) -> None:
    """A8, A12: what it drops makes room for who stands in line, and the match may be among those."""
    sized = new_actor(Selecting, inbox_max=inbox_max)
    log: list[object] = []
    stand_though_there_is_room: list[bool] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        gate = trio.Event()

        async def hold_then_filter(actor: Selecting) -> object:
            await gate.wait()
            with trio.fail_after(1):
                found = await actor.filter(Pong)
            node = actor.system.tree().children[0]
            stand_though_there_is_room.append(node.queued < inbox_max and node.standing > 0)
            return found

        actor = await system.spawn(sized, log)
        asked = actor.ask(Go(hold_then_filter))
        await settle()
        for message in (Ping(1), Ping(2), Ping(3), Ping(4), Pong(5), Ping(6), Pong(7)):
            nursery.start_soon(actor.tell, message)
            await settle()
        gate.set()

        assert await asked == Pong(5)
        await settle()
        assert log == [Ping(6), Pong(7)]
        assert stand_though_there_is_room == [False]


async def test_a_select_takes_out_of_a_full_inbox_and_lets_the_line_in() -> None:
    """A8, A12: a match that is queued is taken though the inbox is full, and who stands in line comes in."""
    log: list[object] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        actor = await system.spawn(Selecting, log)
        asked = actor.ask(Go(any_pong))
        for message in (Ping(1), Ping(2), Pong(3), Ping(4)):
            actor.tell_nowait(message) if message != Ping(4) else await actor.tell(message)
        for number in (5, 6):
            nursery.start_soon(actor.tell, Ping(number))

        assert await asked == Pong(3)
        await settle()
        assert log[:3] == [Ping(1), Ping(2), Ping(4)]
        assert set(log[3:]) == {Ping(5), Ping(6)}


# -- asks --------------------------------------------------------------------------------------------------------------


async def test_an_ask_that_is_selected_is_answered_none() -> None:
    """A12: taken without an envelope there is nothing to answer it with, and nobody is left waiting."""
    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, list[object]())
        asked = actor.ask(Go(any_pong))
        await settle()
        pong = actor.ask(Pong(1))

        assert await asked == Pong(1)
        assert await pong is None


async def test_an_envelope_answers_an_ask() -> None:
    """A12: with `envelope=True` the answer is the handler's to give, when it likes; only the first counts."""

    async def answer(actor: Selecting) -> object:
        envelope = await actor.select(Pong, envelope=True)
        envelope.reply(f"answer {envelope.message.number}")
        envelope.reply("again")
        envelope.refuse(histrio.Refusal("too late"))
        return (envelope.is_ask, repr(envelope))

    async def refuse(actor: Selecting) -> object:
        envelope = await actor.select(is_even_pong, envelope=True)
        envelope.refuse(histrio.Refusal("not today"))
        return envelope.message

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, list[object]())
        asked = actor.ask(Go(answer))
        assert await actor.ask(Pong(1)) == "answer 1"
        assert await asked == (True, "<Envelope ask Pong(number=1)>")
        asked = actor.ask(Go(refuse))
        with pytest.raises(histrio.Refusal, match="not today"):
            await actor.ask(Pong(2))
        assert await asked == Pong(2)
        asked = actor.ask(Go(answer))
        await actor.tell(Pong(3))
        assert await asked == (False, "<Envelope tell Pong(number=3)>")


@pytest.mark.parametrize("queued_before", [True, False])
async def test_an_answer_to_who_has_gone_is_dropped(queued_before: bool) -> None:
    """A12, F8: the asker may be cancelled before the envelope is answered; answering then does nothing."""
    envelopes: list[histrio.Envelope[Pong]] = []

    async def keep(actor: Selecting) -> str:
        envelopes.append(await actor.select(Pong, envelope=True))
        return "kept"

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, list[object]())
        asked = actor.ask(Go(keep))
        if not queued_before:
            await settle()
        pong = actor.ask(Pong(1))
        assert await asked == "kept"
        pong.cancel()
        envelopes[0].reply("nobody listens")
        with pytest.raises(histrio.FutureCancelled):
            await pong
        assert system.tree().children[0].queued == 0


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_an_envelope_that_is_never_answered(end: str) -> None:
    """A10, A12: when the actor ends the asker is answered with `ActorStopped`."""
    kept: list[object] = []

    async def keep(actor: Selecting) -> str:
        kept.append(await actor.select(Pong, envelope=True))
        return "kept"

    async with histrio.open_system() as system:
        actor = await system.spawn(Selecting, list[object](), name="actor")
        asked = actor.ask(Go(keep))
        await settle()
        pong = actor.ask(Pong(1))
        assert await asked == "kept"
        (actor.control.stop if end == "stop" else actor.control.kill)()
        with pytest.raises(histrio.ActorStopped, match="/actor"):
            await pong


async def test_a_withdrawn_ask_is_not_selected() -> None:
    """A12, F8: an ask that nobody waits for any more is passed over."""
    async with histrio.open_system() as system:
        gate = trio.Event()

        async def hold_then_select(actor: Selecting) -> object:
            await gate.wait()
            return await actor.select(Pong)

        actor = await system.spawn(Selecting, list[object]())
        asked = actor.ask(Go(hold_then_select))
        withdrawn = actor.ask(Pong(1))
        await actor.tell(Pong(2))
        withdrawn.cancel()
        gate.set()

        assert await asked == Pong(2)
