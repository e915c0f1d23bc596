"""A11: an inbox keeps the contract of Trio's memory channel; one suite runs against both."""

# What is promised of an inbox was learnt from what Trio promises of its channel, so each test here first has to pass
# on Trio's own. In test_channels_drawn.py Hypothesis writes the program.

from functools import partial
from typing import cast

import attrs
import pytest
import trio
import trio.testing
from tests.kernel.ends import KINDS, Calls, Open, drain, open_ours, settle

import histrio


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def open_channel(request: pytest.FixtureRequest) -> Open:
    """Each behaviour is shown on Trio's channel and on ours."""
    return cast(Open, request.param)


# -- values ------------------------------------------------------------------------------------------------------------


async def test_values_come_out_in_the_order_in_which_they_went_in(open_channel: Open) -> None:
    """A11: first in, first out, whichever way a value went in or comes out."""
    send, receive = open_channel(4)
    await send.send(1)
    send.send_nowait(2)
    await send.send(None)
    send.send_nowait(4)

    assert [await receive.receive(), receive.receive_nowait(), await receive.receive()] == [1, 2, None]
    assert await drain(receive) == [4]


async def test_a_full_or_empty_channel_would_block(open_channel: Open) -> None:
    """A11: without room nothing is put in, and without a value nothing is taken out."""
    send, receive = open_channel(2)
    with pytest.raises(trio.WouldBlock):
        receive.receive_nowait()
    send.send_nowait(1)
    send.send_nowait(2)
    with pytest.raises(trio.WouldBlock):
        send.send_nowait(3)

    assert await drain(receive) == [1, 2]


async def test_every_async_call_is_a_checkpoint(open_channel: Open) -> None:
    """A11, A14: `send`, `receive` and `aclose` yield and look for cancellation also when they need not wait."""
    send, receive = open_channel(1)
    with trio.testing.assert_checkpoints():
        await send.send(1)
    with trio.testing.assert_checkpoints():
        await receive.receive()
    with trio.testing.assert_checkpoints():
        await send.aclose()
    with trio.testing.assert_checkpoints():
        await receive.aclose()


async def test_the_nowait_calls_and_close_are_no_checkpoints(open_channel: Open) -> None:
    """A11, A14: what is not async neither yields nor sees a cancellation."""
    send, receive = open_channel(1)
    with trio.CancelScope() as scope:  # noqa: ASYNC100 - that there is no checkpoint is the point
        scope.cancel()
        send.send_nowait(1)
        assert receive.receive_nowait() == 1
        send.close()
        receive.close()

    assert not scope.cancelled_caught


async def test_iteration_ends_with_the_channel(open_channel: Open) -> None:
    """A11: `async for` takes what is in and ends when the other end has been closed."""
    send, receive = open_channel(3)
    values: list[object] = []
    async with trio.open_nursery() as nursery:

        async def take_all() -> None:
            async with receive:
                values.extend([value async for value in receive])

        nursery.start_soon(take_all)
        async with send:
            for number in range(10):
                await send.send(number)

    assert values == list(range(10))


# -- who waits, and for how long ---------------------------------------------------------------------------------------


async def test_senders_come_in_in_the_order_in_which_they_stand(open_channel: Open) -> None:
    """A8, A11: of several who wait for room the first to come gets the first place."""
    send, receive = open_channel(1)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        for number in range(5):
            await calls.start(f"send {number}", partial(send.send, number))
        assert set(calls.outcomes) == {"send 0"}

        for number in range(1, 5):
            assert receive.receive_nowait() == number - 1
            await settle()
            assert set(calls.outcomes) == {f"send {each}" for each in range(number + 1)}
        assert await drain(receive) == [4]


async def test_nobody_overtakes_the_senders_who_stand(open_channel: Open) -> None:
    """A8, A11: room that becomes free is taken by who stands first, in the same moment."""
    send, receive = open_channel(1)
    send.send_nowait("first")
    async with trio.open_nursery() as nursery:
        await Calls(nursery).start("second", partial(send.send, "second"))
        assert receive.receive_nowait() == "first"
        with pytest.raises(trio.WouldBlock):
            send.send_nowait("newcomer")

        assert await drain(receive) == ["second"]


async def test_receivers_are_served_in_the_order_in_which_they_stand(open_channel: Open) -> None:
    """A11: of several who wait for a value the first to come gets the first."""
    send, receive = open_channel(3)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        for number in range(3):
            await calls.start(f"receive {number}", receive.receive)
        send.send_nowait("a")
        send.send_nowait("b")
        await send.send("c")
        await settle()

        assert calls.outcomes == {"receive 0": "a", "receive 1": "b", "receive 2": "c"}


async def test_a_value_for_who_stands_is_not_in_the_channel(open_channel: Open) -> None:
    """A11: a value is handed to the receiver who stands first; nobody else can take it meanwhile."""
    send, receive = open_channel(1)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.start("stands", receive.receive)
        send.send_nowait("for who stands")
        with pytest.raises(trio.WouldBlock):
            receive.receive_nowait()
        send.send_nowait("kept")
        with pytest.raises(trio.WouldBlock):
            send.send_nowait("too many")
        await settle()

        assert calls.outcomes == {"stands": "for who stands"}
        assert await drain(receive) == ["kept"]


# -- cancellation ------------------------------------------------------------------------------------------------------


async def test_a_cancelled_call_does_nothing(open_channel: Open) -> None:
    """A8, A11: in a scope that is cancelled already nothing goes in or comes out, also when it could at once."""
    send, receive = open_channel(2)
    send.send_nowait("in")
    with trio.CancelScope() as scope:
        scope.cancel()
        await send.send("cancelled")
    assert scope.cancelled_caught
    with trio.CancelScope() as scope:
        scope.cancel()
        await receive.receive()
    assert scope.cancelled_caught

    assert await drain(receive) == ["in"]


async def test_a_sender_who_is_cancelled_in_line_has_not_delivered(open_channel: Open) -> None:
    """A8, A11: its value never goes in, and the order of the others stands."""
    send, receive = open_channel(1)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        for name in ("a", "b", "c", "d"):
            await calls.start(name, partial(send.send, name))
        calls.scopes["c"].cancel()
        await settle()

        assert calls.outcomes == {"a": None, "c": trio.Cancelled}
        assert await drain(receive) == ["a", "b", "d"]


async def test_a_sender_who_came_in_has_delivered_though_cancelled_then(open_channel: Open) -> None:
    """A8, A11: cancelled after its value went in and before its task runs, `send` returns."""
    send, receive = open_channel(1)
    send.send_nowait("first")
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.start("second", partial(send.send, "second"))
        receive.receive_nowait()
        calls.scopes["second"].cancel()
        await settle()

        assert calls.outcomes == {"second": None}
        assert await drain(receive) == ["second"]


async def test_a_receiver_who_is_cancelled_in_line_loses_no_value(open_channel: Open) -> None:
    """A11: the value goes to who stands next, or stays in."""
    send, receive = open_channel(2)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.start("first", receive.receive)
        await calls.start("second", receive.receive)
        calls.scopes["first"].cancel()
        await settle()
        send.send_nowait(1)
        send.send_nowait(2)
        await settle()

        assert calls.outcomes == {"first": trio.Cancelled, "second": 1}
        assert await drain(receive) == [2]


async def test_a_receiver_who_was_served_returns_though_cancelled_then(open_channel: Open) -> None:
    """A11: cancelled after a value was handed to it and before its task runs, `receive` returns the value."""
    send, receive = open_channel(1)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.start("receive", receive.receive)
        send.send_nowait("value")
        calls.scopes["receive"].cancel()
        await settle()

        assert calls.outcomes == {"receive": "value"}


async def test_a_cancellation_and_a_value_in_one_moment(open_channel: Open) -> None:
    """A11: cancelled first, then room and a value: the cancelled get neither."""
    send, receive = open_channel(1)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.start("receive", receive.receive)
        calls.scopes["receive"].cancel()
        send.send_nowait("stays")
        await settle()
        await calls.start("send", partial(send.send, "never in"))
        calls.scopes["send"].cancel()
        assert receive.receive_nowait() == "stays"
        await settle()

        assert calls.outcomes == {"receive": trio.Cancelled, "send": trio.Cancelled}
        assert await drain(receive) == []


# -- closing -----------------------------------------------------------------------------------------------------------


async def test_after_the_send_end_what_is_in_comes_out(open_channel: Open) -> None:
    """A11: closing the send end loses nothing that is in; then `receive` raises `EndOfChannel`, each time."""
    send, receive = open_channel(2)
    send.send_nowait(1)
    send.send_nowait(2)
    send.close()
    send.close()

    assert await receive.receive() == 1
    assert receive.receive_nowait() == 2
    for _ in range(2):
        with pytest.raises(trio.EndOfChannel):
            await receive.receive()
        with pytest.raises(trio.EndOfChannel):
            receive.receive_nowait()


async def test_a_closed_send_end_takes_nothing(open_channel: Open) -> None:
    """A11: `send` and `send_nowait` raise `ClosedResourceError`, also when the other end is closed too."""
    send, receive = open_channel(2)
    send.close()
    for _ in range(2):
        with pytest.raises(trio.ClosedResourceError):
            await send.send(1)
        with pytest.raises(trio.ClosedResourceError):
            send.send_nowait(1)
        receive.close()


async def test_a_closed_receive_end_gives_nothing(open_channel: Open) -> None:
    """A11: `receive` raises `ClosedResourceError`, and `send` at the other end `BrokenResourceError`."""
    send, receive = open_channel(2)
    send.send_nowait("lost")
    receive.close()
    receive.close()

    with pytest.raises(trio.BrokenResourceError):
        await send.send(1)
    with pytest.raises(trio.BrokenResourceError):
        send.send_nowait(1)
    for _ in range(2):
        with pytest.raises(trio.ClosedResourceError):
            await receive.receive()
        with pytest.raises(trio.ClosedResourceError):
            receive.receive_nowait()
        send.close()


async def test_closing_the_send_end_wakes_all_who_wait(open_channel: Open) -> None:
    """A11: receivers get `EndOfChannel`; senders `ClosedResourceError`, and their values are not in."""
    send, receive = open_channel(1)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.start("receive 1", receive.receive)
        await calls.start("receive 2", receive.receive)
        send.close()
        await settle()
        assert calls.outcomes == {"receive 1": trio.EndOfChannel, "receive 2": trio.EndOfChannel}

        send, receive = open_channel(1)
        calls = Calls(nursery)
        for name in ("in", "send 1", "send 2"):
            await calls.start(name, partial(send.send, name))
        send.close()
        await settle()
        closed = trio.ClosedResourceError
        assert calls.outcomes == {"in": None, "send 1": closed, "send 2": closed}
        assert await drain(receive) == ["in"]


async def test_closing_the_receive_end_wakes_all_who_wait(open_channel: Open) -> None:
    """A11: receivers get `ClosedResourceError`, senders `BrokenResourceError`."""
    send, receive = open_channel(1)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.start("receive 1", receive.receive)
        await calls.start("receive 2", receive.receive)
        receive.close()
        await settle()
        assert calls.outcomes == {"receive 1": trio.ClosedResourceError, "receive 2": trio.ClosedResourceError}

        send, receive = open_channel(1)
        calls = Calls(nursery)
        for name in ("in", "send 1", "send 2"):
            await calls.start(name, partial(send.send, name))
        receive.close()
        await settle()
        broken = trio.BrokenResourceError
        assert calls.outcomes == {"in": None, "send 1": broken, "send 2": broken}


@pytest.mark.parametrize("receive_end_first", [True, False])
async def test_the_end_that_closes_first_decides_what_a_sender_is_told(
    open_channel: Open, receive_end_first: bool
) -> None:
    """A11: both ends close in one moment; who stood in line hears of the first."""
    send, receive = open_channel(1)
    send.send_nowait("in")
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.start("send", partial(send.send, "stands"))
        for end in (receive, send) if receive_end_first else (send, receive):
            end.close()
        await settle()

        assert calls.outcomes == {"send": trio.BrokenResourceError if receive_end_first else trio.ClosedResourceError}


async def test_aclose_closes_though_cancelled(open_channel: Open) -> None:
    """A11, A14: `aclose` in a cancelled scope raises `Cancelled`, and the end is closed all the same."""
    send, receive = open_channel(1)
    for end in (send, receive):
        with trio.CancelScope() as scope:
            scope.cancel()
            await end.aclose()
        assert scope.cancelled_caught
    with pytest.raises(trio.ClosedResourceError):
        send.send_nowait(1)
    with pytest.raises(trio.ClosedResourceError):
        receive.receive_nowait()


async def test_both_kinds_of_with_close(open_channel: Open) -> None:
    """A11: leaving `with` or `async with` closes the end, after an error too."""
    send, receive = open_channel(1)
    with pytest.raises(KeyError):
        async with send:
            raise KeyError
    with pytest.raises(KeyError), receive:
        raise KeyError
    with pytest.raises(trio.ClosedResourceError):
        send.send_nowait(1)
    with pytest.raises(trio.ClosedResourceError):
        receive.receive_nowait()


# -- ours only ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Ping(histrio.Request[int]):
    pass


@pytest.mark.parametrize("size", [0, -1])
def test_an_inbox_has_room_for_one_at_least(size: int) -> None:
    """A11: an inbox without room is refused, where Trio's channel would be a rendezvous."""
    with pytest.raises(ValueError, match=f"inbox_max is {size}"):
        open_ours(size)


async def test_a_future_is_a_value_like_any_other() -> None:
    """A11: what is sent comes out as it is, also what an inbox uses itself."""

    class Echo(histrio.Actor[Ping]):
        async def receive(self, message: Ping) -> int:
            return 1

    async with histrio.open_system() as system:
        echo = await system.spawn(Echo)
        ask = echo.ask(Ping())
        send, receive = open_ours(1)
        await send.send(ask)

        assert await receive.receive() is ask
        assert await ask == 1


async def test_a_handler_that_waits_at_a_channel_of_ours_gives_its_turn_away() -> None:
    """A2: `send` at a full one and `receive` at an empty one are waits of ours; Trio's own would hold the actor."""
    full, _ = open_ours(1)
    _, empty = open_ours(1)
    full.send_nowait("in")

    class Waits(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            match message:
                case "send":
                    await full.send("stands")
                case "receive":
                    await empty.receive()
                case _:
                    seen.append(message)

    seen: list[str] = []
    async with histrio.open_system() as system:
        waits = await system.spawn(Waits)
        for message in ("send", "receive", "goes on"):
            await waits.tell(message)
        await settle()

        assert seen == ["goes on"]
        system.kill()
