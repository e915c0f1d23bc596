"""Asking: one asker, a hundred askers, and a hundred asks of one asker under way at once.

Ours: `await ref.ask(m)`, to an actor whose handler returns what it was asked for; pipelined: a hundred futures, then an
await of each. The peer: a memory channel to a task that puts the answer into the letter and sets its `Event`; the
asker waits for the event. Askers are plain Trio tasks on both sides, and each asks one question after the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

import histrio
from tests.benchmarks.measure import Row, Stopwatch

ROOM = 1000
MANY = 100


@attrs.frozen
class Double(histrio.Request[int]):
    """What is twice the number?"""

    number: int


class Doubler(histrio.Actor[Double]):
    """Answers at once."""

    inbox_max = ROOM

    @histrio.handler(Double)
    async def double(self, message: Double) -> int:
        return message.number * 2


@attrs.define
class Letter:
    """The peer's question, with a place for the answer."""

    question: Double
    answered: trio.Event = attrs.field(factory=trio.Event)
    answer: int = 0


QUESTION = Double(21)
ANSWER = 42

Doubling = histrio.Ref[Double]
Post = trio.MemorySendChannel[Letter]


async def ask_in_turn(doubler: Doubling, count: int) -> None:
    """Ours: one question after the other."""
    for _ in range(count):
        assert await doubler.ask(QUESTION) == ANSWER


async def ask_pipelined(doubler: Doubling, count: int) -> None:
    """Ours: a hundred questions under way at once."""
    for _ in range(count // MANY):
        futures = [doubler.ask(QUESTION) for _ in range(MANY)]
        for future in futures:
            assert await future == ANSWER


async def post_in_turn(post: Post, count: int) -> None:
    """The peer: one question after the other."""
    for _ in range(count):
        letter = Letter(QUESTION)
        await post.send(letter)
        await letter.answered.wait()
        assert letter.answer == ANSWER


async def post_pipelined(post: Post, count: int) -> None:
    """The peer: a hundred questions under way at once."""
    for _ in range(count // MANY):
        letters = [Letter(QUESTION) for _ in range(MANY)]
        for letter in letters:
            await post.send(letter)
        for letter in letters:
            await letter.answered.wait()
            assert letter.answer == ANSWER


def ours(asker: Callable[[Doubling, int], Awaitable[None]], askers: int) -> Callable[[int], float]:
    """So many askers of one actor."""

    async def main(system: histrio.System, items: int) -> float:
        doubler = await system.spawn(Doubler)
        with Stopwatch() as watch:
            async with trio.open_nursery() as nursery:
                for _ in range(askers):
                    nursery.start_soon(asker, doubler, items // askers)
        return watch.us_per(items)

    return lambda items: histrio.run(main, items)


def peer(asker: Callable[[Post, int], Awaitable[None]], askers: int) -> Callable[[int], float]:
    """So many askers of one task."""

    async def answer(letters: trio.MemoryReceiveChannel[Letter], count: int) -> None:
        for _ in range(count):
            letter = await letters.receive()
            letter.answer = letter.question.number * 2
            letter.answered.set()

    async def main(items: int) -> float:
        post, letters = trio.open_memory_channel[Letter](ROOM)
        with Stopwatch() as watch:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer, letters, items)
                for _ in range(askers):
                    nursery.start_soon(asker, post, items // askers)
        return watch.us_per(items)

    return lambda items: trio.run(main, items)


_UNIT = "us/ask"
ROWS = (
    Row(
        name="ask, one asker",
        unit=_UNIT,
        ours=ours(ask_in_turn, 1),
        peer=peer(post_in_turn, 1),
        budget=1.25,
        size=30_000,
        peer_size=30_000,
    ),
    Row(
        name="ask, 100 askers",
        unit=_UNIT,
        ours=ours(ask_in_turn, MANY),
        peer=peer(post_in_turn, MANY),
        budget=3,
        size=100_000,
        peer_size=50_000,
    ),
    Row(
        name="ask, 100 pipelined",
        unit=_UNIT,
        ours=ours(ask_pipelined, 1),
        peer=peer(post_pipelined, 1),
        budget=12,
        size=200_000,
        peer_size=30_000,
    ),
)
