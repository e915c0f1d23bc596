"""A11: `ref.channel()` hands any Trio producer a `SendChannel`; it keeps Trio's contract of one."""

import pytest
import trio
import trio.testing
from tests.actors.classes import Slow, Write

import histrio


class Store(histrio.Actor[Write]):
    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    async def receive(self, message: Write) -> None:
        self.seen.append(message.number)


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


async def produce(channel: trio.abc.SendChannel[Write]) -> None:
    """A producer that knows nothing of actors."""
    async with channel:
        for number in range(5):
            await channel.send(Write(number))


async def test_a_trio_producer_sends_to_an_actor() -> None:
    """A11: `channel()` is a `trio.abc.SendChannel`; its `send` waits at a full inbox and keeps the order."""
    seen: list[int] = []
    gate = trio.Event()
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        slow = await system.spawn(Slow, seen, gate)
        channel = slow.channel()
        assert isinstance(channel, trio.abc.SendChannel)
        nursery.start_soon(produce, channel)
        await settle()
        assert (seen, system.tree().children[0].queued, system.tree().children[0].standing) == ([0], 1, 1)
        gate.set()

    assert seen == [0, 1, 2, 3, 4]


async def test_closing_a_channel_closes_nothing_else() -> None:
    """A11: after `aclose` its `send` raises `ClosedResourceError`; the actor and other channels go on."""
    seen: list[int] = []
    async with histrio.open_system() as system:
        store = await system.spawn(Store, seen)
        first, second = store.channel(), store.channel()
        await first.aclose()
        await first.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await first.send(Write(1))
        await second.send(Write(2))
        await store.tell(Write(3))

    assert seen == [2, 3]


async def test_closing_a_channel_wakes_who_waits_in_it() -> None:
    """A11: Trio's contract: `aclose` in one task ends a `send` in another with `ClosedResourceError`, not delivered."""
    seen: list[int] = []
    gate = trio.Event()
    outcomes: list[str] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        slow = await system.spawn(Slow, seen, gate)
        channel = slow.channel()

        async def send(number: int) -> None:
            try:
                await channel.send(Write(number))
            except trio.ClosedResourceError:
                outcomes.append(f"{number} closed")

        for number in range(4):
            nursery.start_soon(send, number)
            await settle()
        await channel.aclose()
        await settle()
        assert sorted(outcomes) == ["2 closed", "3 closed"]
        gate.set()

    assert seen == [0, 1]


async def test_a_send_that_has_just_begun_is_closed_too() -> None:
    """A11: whatever the order in which Trio runs the two, after `aclose` was called nothing is delivered."""
    seen: list[int] = []
    outcomes: list[str] = []

    async def send(channel: trio.abc.SendChannel[Write]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await channel.send(Write(1))
        outcomes.append("closed")

    async with histrio.open_system() as system:
        store = await system.spawn(Store, seen)
        for _ in range(20):
            channel = store.channel()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, channel)
                await trio.lowlevel.checkpoint()
                await channel.aclose()
        await settle()

    assert outcomes == ["closed"] * 20
    assert seen == []


async def test_a_channel_to_an_actor_that_has_ended_is_broken() -> None:
    """A11: its `send` raises `BrokenResourceError`, with the `ActorStopped` as its cause; also when it stood in line."""
    gate = trio.Event()
    errors: list[BaseException | None] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        slow = await system.spawn(Slow, list[int](), gate)
        channel = slow.channel()

        async def send() -> None:
            with pytest.raises(trio.BrokenResourceError) as caught:
                await channel.send(Write(9))
            errors.append(caught.value.__cause__)

        await slow.tell(Write(0))
        await settle()
        await slow.tell(Write(1))
        nursery.start_soon(send)
        await settle()
        await slow.control.kill()
        await send()

    assert [type(error) for error in errors] == [histrio.ActorStopped] * 2


async def test_a_channels_send_is_a_checkpoint_and_atomic() -> None:
    """A8, A11: `send` and `aclose` are checkpoints; cancelled, nothing was delivered."""
    seen: list[int] = []
    async with histrio.open_system() as system:
        store = await system.spawn(Store, seen)
        channel = store.channel()
        with trio.testing.assert_checkpoints():
            await channel.send(Write(1))
        with trio.CancelScope() as scope:
            scope.cancel()
            await channel.send(Write(2))
        assert scope.cancelled_caught
        with trio.testing.assert_checkpoints():
            await channel.aclose()
        await settle()

    assert seen == [1]
