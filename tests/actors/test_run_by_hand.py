"""A12: a behaviour may be one long coroutine, which takes its messages itself."""

from functools import partial
from typing import Final

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.classes import new_actor
from tests.actors.selecting import (
    Ping,
    Pong,
    settle,
)

import histrio


class Running(histrio.Actor[Ping | Pong]):
    """It takes its messages itself."""

    def __init__(self, log: list[object]) -> None:
        self.log = log

    async def run(self) -> None:
        self.log.append("begins")
        while True:
            envelope = await self.receive_next()
            self.log.append(envelope.message)
            envelope.reply(f"{envelope.message.number} taken")
            if envelope.message == Pong(99):
                return


async def test_run_takes_every_message_in_order() -> None:
    """A12: `receive_next` gives one envelope after the other, and `reply` answers an ask."""
    log: list[object] = []
    async with histrio.open_system() as system:
        running = await system.spawn(Running, log)
        await running.tell(Ping(1))
        assert await running.ask(Pong(2)) == "2 taken"
        assert [await running.ask(Ping(number)) for number in (3, 4)] == ["3 taken", "4 taken"]

    assert log == ["begins", Ping(1), Pong(2), Ping(3), Ping(4)]


async def test_an_actor_stops_when_its_run_returns() -> None:
    """A12: then its children and `stopped()` follow as at any stop; what it never took is a dead letter or answered."""
    log: list[object] = []

    class Parting(Running):
        async def stopped(self, reason: histrio.Reason) -> None:
            self.log.append(str(reason))

    async with histrio.open_system() as system:
        running = await system.spawn(Parting, log)
        running.tell_nowait(Pong(99))
        running.tell_nowait(Ping(1))
        never_taken = running.ask(Ping(2))
        await running.join()
        with pytest.raises(histrio.ActorStopped):
            await never_taken

        assert log == ["begins", Pong(99), "stopped (its run() returned)"]
        assert [letter.message for letter in system.dead_letters] == [Ping(1)]


async def test_run_drains_the_inbox_and_need_not_catch_the_end() -> None:
    """A12, S2: asked to stop, `receive_next` gives what was accepted and then raises `EndOfChannel`."""
    log: list[object] = []
    async with histrio.open_system() as system:
        running = await system.spawn(Running, log)
        for number in range(3):
            running.tell_nowait(Ping(number))
        running.control.stop()
        await running.join()

    assert log == ["begins", Ping(0), Ping(1), Ping(2)]
    assert len(system.dead_letters) == 0


async def test_a_run_that_fails_fails_the_actor() -> None:
    """A9, A12: an error of `run` is the actor's failure; asks that it had taken are answered with it."""

    class Breaking(histrio.Actor[Ping]):
        async def run(self) -> None:
            self.taken = await self.receive_next()
            raise ValueError("broken off")

    answers: list[BaseException] = []

    async def life() -> None:
        async with histrio.open_system() as system:
            breaking = await system.spawn(Breaking)
            with trio.CancelScope(shield=True):
                for _ in range(2):
                    with pytest.raises(histrio.ActorStopped) as caught:
                        await breaking.ask(Ping(1))
                    answers.append(caught.value)

    with pytest.raises(histrio.SystemFailed, match="broken off"):
        await life()
    assert isinstance(answers[0], histrio.ActorFailed)


async def test_run_may_select_and_filter_too() -> None:
    """A12: in one coroutine the three ways to take a message mix, each leaving the rest in order."""
    log: list[object] = []

    class Mixing(histrio.Actor[Ping | Pong]):
        async def run(self) -> None:
            log.append(await self.select(Pong))
            log.append((await self.receive_next()).message)
            log.append(await self.filter(is_big_number))
            log.append((await self.receive_next()).message)

    def is_big_number(message: Ping | Pong) -> bool:
        return message.number >= 10

    async with histrio.open_system() as system:
        mixing = await system.spawn(Mixing)
        for message in (Ping(1), Ping(2), Pong(3), Pong(4), Ping(15), Ping(6)):
            await mixing.tell(message)
        await mixing.join()

    assert log == [Pong(3), Ping(1), Ping(15), Ping(6)]


async def test_answered_asks_are_not_remembered() -> None:
    """A12: an actor that takes asks for ever keeps nothing of those that it has answered."""
    log: list[object] = []
    async with histrio.open_system() as system:
        running = await system.spawn(Running, log)
        for number in range(200):
            await running.ask(Ping(number))
        cell = system._cell_at(running.path)
        assert cell is not None

        assert len(cell.turn.owed or ()) <= 64


# -- whatever is sent and taken ----------------------------------------------------------------------------------------

Order = tuple[str, str]
steps: Final = st.lists(
    st.tuples(st.sampled_from(["send", "send", "send", "select", "filter", "next"]), st.sampled_from("abc")),
    max_size=30,
)


@attrs.frozen
class Letter:
    number: int
    kind: str


class Model:
    """An inbox, a line of senders, and takes that are met one after the other: plain lists."""

    def __init__(self, inbox_max: int) -> None:
        self.inbox_max: Final = inbox_max
        self.queue: list[Letter] = []
        self.line: list[Letter] = []
        self.orders: list[Order] = []
        self.taken: list[int | str] = []
        self.waits = False

    def send(self, letter: Letter) -> None:
        """One more message: it meets who waits, or finds room, or stands in line."""
        if self.waits and self.meets(letter):
            return
        if self.line or len(self.queue) >= self.inbox_max:
            self.line.append(letter)
        else:
            self.queue.append(letter)
            if self.waits and len(self.queue) == self.inbox_max:
                self.end_order("stalled")
        self.go_on()

    def meets(self, letter: Letter) -> bool:
        """Whether the first order takes it as it comes, or drops it."""
        how, kind = self.orders[0]
        if how == "next" or letter.kind == kind:
            self.end_order(letter.number)
            self.go_on()
            return True
        return how == "filter"

    def end_order(self, result: int | str) -> None:
        """The first order is met, or never can be."""
        self.waits = False
        del self.orders[0]
        self.taken.append(result)

    def go_on(self) -> None:
        """Meet orders from what is queued, until one has to wait."""
        while self.orders and not self.waits:
            how, kind = self.orders[0]
            match = self.look(how, kind)
            if match is not None:
                self.end_order(match.number)
            elif len(self.queue) >= self.inbox_max:
                self.end_order("stalled")
            else:
                self.waits = True

    def look(self, how: str, kind: str) -> Letter | None:
        """What the queue has for an order; `filter` drops the others, and so gets to see the line."""
        match = next((letter for letter in self.queue if how == "next" or letter.kind == kind), None)
        if how == "filter":
            del self.queue[: self.queue.index(match) if match else len(self.queue)]
        if match is not None:
            self.queue.remove(match)
        seen_all = not self.line
        while self.line and len(self.queue) < self.inbox_max:
            self.queue.append(self.line.pop(0))
        if match is None and how == "filter" and not seen_all:
            return self.look(how, kind)
        return match


class Taker(histrio.Actor[Letter]):
    """It takes messages as the orders say, one after the other."""

    def __init__(self, orders: trio.MemoryReceiveChannel[Order], taken: list[int | str]) -> None:
        self.orders = orders
        self.taken = taken

    async def run(self) -> None:
        async for how, kind in self.orders:
            try:
                self.taken.append((await self.take(how, kind)).number)
            except histrio.SelectStalled:
                self.taken.append("stalled")

    async def take(self, how: str, kind: str) -> Letter:
        """Take one message."""
        if how == "select":
            return await self.select(partial(has_kind, kind))
        if how == "filter":
            return await self.filter(partial(has_kind, kind))
        return (await self.receive_next()).message


def has_kind(kind: str, letter: Letter) -> bool:
    """Whether that letter is of that kind."""
    return letter.kind == kind


@given(program=steps, inbox_max=st.integers(1, 4), heard=st.booleans())
def test_whatever_is_sent_and_taken_the_order_is_kept(program: list[Order], inbox_max: int, heard: bool) -> None:
    """A8, A12: sends and takes in any order take what plain lists would give, and stall when those would."""
    model = Model(inbox_max)
    for number, (what, kind) in enumerate(program):
        if what == "send":
            model.send(Letter(number, kind))
        else:
            model.orders.append((what, kind))
            model.go_on()

    async def main(system: histrio.System) -> list[int | str]:
        give, orders = trio.open_memory_channel[Order](100)
        taken: list[int | str] = []
        taker = await system.spawn(new_actor(Taker, inbox_max=inbox_max), orders, taken)
        if heard:
            system.listen(lambda _: None)
        async with trio.open_nursery() as nursery:
            for number, (what, kind) in enumerate(program):
                if what == "send":
                    nursery.start_soon(taker.tell, Letter(number, kind))
                else:
                    give.send_nowait((what, kind))
                await settle()
            nursery.cancel_scope.cancel()
        system.kill()
        return taken

    assert histrio.run(main) == model.taken
