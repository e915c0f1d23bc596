"""Drawn systems of sealed actors: nothing that chance finds is missing from what the search of all schedules finds."""

from typing import Final

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.simulation.strategies.sealed_actors import Program, search_world

import histrio
from histrio.testing import World
from histrio_kernel.simulation.strategies.exhaustive import Exhaustive
from histrio_kernel.simulation.strategies.mix import Mix


@attrs.frozen
class Tell:
    """Write this number down."""

    number: int


@attrs.frozen
class Ask(histrio.Request[int]):
    """Write this number down, and say what is written."""

    number: int


@attrs.frozen
class Play:
    """Do what you are there for."""


class Book(histrio.Actor[Tell | Ask]):
    """Writes numbers down, in the order in which they come."""

    sealed = True

    def __init__(self) -> None:
        self.written = 0

    async def receive(self, message: Tell | Ask) -> int:
        self.written = self.written * 10 + message.number
        return self.written


@attrs.frozen
class Move:
    """What a player does: "tell", "ask", "ask late" (the answer is awaited at the end), "wait" or "spawn"."""

    kind: str
    book: int = 0


class Player(histrio.Actor[Play]):
    """Makes its moves, one after the other, and writes down the answers in the first book."""

    sealed = True

    def __init__(self, number: int, moves: tuple[Move, ...], books: tuple[histrio.Ref[Tell | Ask], ...]) -> None:
        self.number: Final = number
        self.moves: Final = moves
        self.books: Final = books

    async def receive(self, message: Play) -> None:
        late: list[histrio.Future[int]] = []
        for move in self.moves:
            book = self.books[move.book]
            match move.kind:
                case "tell":
                    book.tell_nowait(Tell(self.number))
                case "ask":
                    answer = await book.ask(Ask(self.number))
                    self.books[0].tell_nowait(Tell(answer % 7))
                case "ask late":
                    late.append(book.ask(Ask(self.number)))
                case "spawn":
                    child = await self.spawn(Player, self.number + 3, (Move("tell", move.book),), self.books)
                    child.tell_nowait(Play())
                case _:
                    await trio.lowlevel.checkpoint()
        for future in late:
            done = 8 if future.is_done else 9
            self.books[-1].tell_nowait(Tell(done))
            await future


moves = st.builds(Move, st.sampled_from(["tell", "ask", "ask late", "wait", "spawn"]), st.integers(0, 1))
games = st.lists(st.lists(moves, min_size=1, max_size=2).map(tuple), min_size=2, max_size=2)


def playing(game: list[tuple[Move, ...]]) -> Program:
    """A program in which each player makes those moves; it returns what is in the books."""

    async def main(world: World) -> tuple[int, ...]:
        books = (await world.spawn(Book), await world.spawn(Book))
        players = [await world.spawn(Player, number, each, books) for number, each in enumerate(game, 1)]
        for player in players:
            player.tell_nowait(Play())
        await world.settle()
        written = [world.peek(book) for book in books]
        return tuple(each.written for each in written if isinstance(each, Book))

    return main


@pytest.mark.alarm(3_000)
@settings(max_examples=count("actor_programs"))
@given(games)
def test_what_chance_finds_is_found(game: list[tuple[Move, ...]]) -> None:
    """D3: if all schedules have been searched, each outcome that comes up by chance is among theirs."""
    strategy = Exhaustive(checks=0)
    searched = search_world(strategy, playing(game), runs=count("actor_schedules"))
    assert searched.error is None
    if not strategy.complete:
        return
    by_chance = search_world(Mix(), playing(game), runs=40)

    assert by_chance.error is None
    assert by_chance.values <= searched.values
