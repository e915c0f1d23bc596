"""A8, A10: every message has one fate, and its sender knows it: handled, dropped, dead, or never delivered."""

# Drawn senders send to one actor with a small inbox, some with timeouts, under a drawn schedule; the actor is stopped or
# killed at a drawn moment, or not before all is over. Then the books are balanced: whoever was told "delivered" finds
# the message among those handled, dropped or dead, exactly once; whoever was told otherwise finds it nowhere.

from collections import Counter
from typing import Final

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.classes import new_actor

import histrio
from histrio import DROP_NEW, DROP_OLD, LATEST, REFUSE, WAIT, Ref
from histrio_kernel.overflow import Latest, Overflow
from histrio_kernel.simulation.trio_schedule import seeded_schedule


@attrs.frozen
class Letter(histrio.Request[int]):
    """It takes the actor that long to handle it, with or without its turn."""

    sender: int
    number: int
    seconds: int = 0
    holds: bool = False


@attrs.frozen
class Sending:
    """One call of a sender."""

    way: str
    seconds: int
    holds: bool
    timeout_s: int | None


@attrs.define
class Books:
    """What became of every letter, as the sender, the actor and the system know it."""

    delivered: set[Letter] = attrs.Factory(set[Letter])  # told, and `tell` returned
    answered: set[Letter] = attrs.Factory(set[Letter])
    dropped: set[Letter] = attrs.Factory(set[Letter])  # asked, and MessageDropped
    refused: set[Letter] = attrs.Factory(set[Letter])  # an error or a cancellation said that it was not delivered
    unknown: set[Letter] = attrs.Factory(set[Letter])  # asked, and given up or ended meanwhile
    begun: list[Letter] = attrs.Factory(list[Letter])
    done: list[Letter] = attrs.Factory(list[Letter])


class Reader(histrio.Actor[Letter]):
    def __init__(self, books: Books) -> None:
        self.books = books

    async def receive(self, message: Letter) -> int:
        self.books.begun.append(message)
        if message.holds:
            await trio.sleep(message.seconds)
        elif message.seconds:
            await self.io(trio.sleep, message.seconds)
        self.books.done.append(message)
        return message.number


def sender_and_parity(message: object) -> tuple[int, int]:
    """The key by which the latest is kept."""
    assert isinstance(message, Letter)
    return (message.sender, message.number % 2)


OVERFLOWS: Final[dict[str, Overflow | Latest]] = {
    "wait": WAIT,
    "refuse": REFUSE,
    "drop_new": DROP_NEW,
    "drop_old": DROP_OLD,
    "latest": LATEST(sender_and_parity),
}


async def send(ref: Ref[Letter], books: Books, letter: Letter, sending: Sending) -> None:
    """Send it that way, and book what this sender is told of it."""
    with trio.move_on_after(float("inf") if sending.timeout_s is None else sending.timeout_s) as scope:
        try:
            match sending.way:
                case "tell":
                    await ref.tell(letter)
                    books.delivered.add(letter)
                case "tell_nowait":
                    ref.tell_nowait(letter)
                    books.delivered.add(letter)
                case "ask":
                    assert await ref.ask(letter) == letter.number
                    books.answered.add(letter)
                case _:
                    assert await ref.ask_nowait(letter) == letter.number
                    books.answered.add(letter)
        except histrio.MessageDropped:
            books.dropped.add(letter)
        except histrio.InboxFull:
            books.refused.add(letter)
        except histrio.ActorStopped:
            (books.unknown if "ask" in sending.way else books.refused).add(letter)
    if scope.cancelled_caught:
        (books.unknown if "ask" in sending.way else books.refused).add(letter)


@attrs.frozen
class Program:
    """What is drawn."""

    overflow: str
    inbox_max: int
    in_flight_max: int
    senders: list[list[Sending]]
    end: str
    end_s: int
    heard: bool
    seed: int


async def run(program: Program) -> tuple[Books, Counter[Letter], int]:
    """The books, the letters that died, and how many the inbox has dropped."""
    books = Books()
    kind = new_actor(
        Reader,
        inbox_max=program.inbox_max,
        in_flight_max=program.in_flight_max,
        overflow=OVERFLOWS[program.overflow],
        shutdown_s=1000,
    )

    async def send_all(sender: int) -> None:
        for number, sending in enumerate(program.senders[sender]):
            await send(reader, books, Letter(sender, number, sending.seconds, sending.holds), sending)

    async with histrio.open_system(held_turn_s=10_000) as system:
        if program.heard:
            system.listen(lambda _: None)
        reader = await system.spawn(kind, books, name="reader")
        cell = system._cell_at("/reader")
        assert cell is not None
        async with trio.open_nursery() as nursery:
            for sender in range(len(program.senders)):
                nursery.start_soon(send_all, sender)
            await trio.sleep(program.end_s + 0.5)
            if program.end == "stop":
                reader.control.stop()
            elif program.end == "kill":
                reader.control.kill()
        await system.stop()
        dead = Counter(letter.message for letter in system.dead_letters if isinstance(letter.message, Letter))
    return books, dead, cell.inbox.dropped


sendings: Final = st.builds(
    Sending,
    way=st.sampled_from(["tell", "tell", "tell_nowait", "ask", "ask_nowait"]),
    seconds=st.integers(0, 2),
    holds=st.booleans(),
    timeout_s=st.sampled_from([None, None, 1, 2]),
)
programs: Final = st.builds(
    Program,
    overflow=st.sampled_from(sorted(OVERFLOWS)),
    inbox_max=st.integers(1, 3),
    in_flight_max=st.integers(1, 3),
    senders=st.lists(st.lists(sendings, max_size=6), min_size=1, max_size=4),
    end=st.sampled_from(["stop", "kill", "late"]),
    end_s=st.integers(0, 8),
    heard=st.booleans(),
    seed=st.integers(0, 2**16),
)


@given(program=programs)
def test_every_message_has_one_fate(program: Program) -> None:
    """A8, A10: delivered, and then handled, dropped or dead, once; or not delivered, and then nowhere; order is kept."""
    with seeded_schedule(program.seed):
        books, dead, dropped = trio.run(run, program, clock=trio.testing.MockClock(autojump_threshold=0))

    done = Counter(books.done)
    assert max([*Counter(books.begun).values(), *dead.values()], default=1) == 1
    for letter in books.refused | books.dropped:
        assert letter not in books.begun
        assert not dead[letter]
    for letter in books.answered:
        assert done[letter]
        assert not dead[letter]
    lost = [letter for letter in books.delivered if done[letter] + dead[letter] != 1]
    assert not [letter for letter in lost if done[letter] or dead[letter]]
    assert len(lost) + len(books.dropped) <= dropped <= len(lost) + len(books.dropped) + len(books.unknown)
    if program.overflow != "latest":
        for sender in range(len(program.senders)):
            numbers = [letter.number for letter in books.begun if letter.sender == sender]
            assert numbers == sorted(numbers)


@pytest.mark.parametrize("overflow", ["wait", "refuse"])
async def test_without_a_policy_that_drops_nothing_is_dropped(
    overflow: str, autojump_clock: trio.testing.MockClock
) -> None:
    """A11: under `WAIT` and `REFUSE` what was delivered is handled or, at the end, a dead letter."""
    sendings = [Sending("tell", 0, False, None)] * 20
    program = Program(overflow, 1, 1, [sendings] * 3, "late", 1, False, 0)
    books, dead, dropped = await run(program)

    assert dropped == 0
    assert not dead
    assert set(books.done) == books.delivered
