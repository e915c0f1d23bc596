"""Sealed actors to search: the fixed lost update, a bystander, and those who break their seal."""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio
from outcome import Error, Value
from tests.simulation.strategies.toys import Searched

import histrio
from histrio.testing import World
from histrio.testing.running import run_once
from histrio_kernel.simulation.choices import Strategy, Taught


@attrs.frozen
class Add(histrio.Request[int]):
    """Add that."""

    much: int = 1


@attrs.frozen
class Read(histrio.Request[int]):
    """How many are there?"""


@attrs.frozen
class Write(histrio.Request[int]):
    """From now on there are so many."""

    number: int


@attrs.frozen
class Go:
    """Begin."""


class Store(histrio.Actor[Add | Read | Write]):
    """Counts."""

    sealed = True

    def __init__(self) -> None:
        self.number = 0

    async def receive(self, message: Add | Read | Write) -> int:
        match message:
            case Add(much):
                self.number += much
            case Write(number):
                self.number = number
            case Read():
                pass
        return self.number


class Adder(histrio.Actor[Go]):
    """Adds one, in one message: the lost update, fixed."""

    sealed = True

    def __init__(self, store: histrio.Ref[Add | Read | Write]) -> None:
        self.store: Final = store

    async def receive(self, message: Go) -> None:
        await self.store.ask(Add())


class Careless(histrio.Actor[Go]):
    """Reads, and then writes what is one more."""

    sealed = True

    def __init__(self, store: histrio.Ref[Add | Read | Write]) -> None:
        self.store: Final = store

    async def receive(self, message: Go) -> None:
        number = await self.store.ask(Read())
        await self.store.ask(Write(number + 1))


class Bystander(histrio.Actor[Go]):
    """Makes three steps that are nobody's business."""

    sealed = True

    async def receive(self, message: Go) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()


Program = Callable[[World], Awaitable[object]]


async def lost_update_fixed(world: World, *, bystander: bool = True) -> int:
    """Two adders, and one who has nothing to do with them."""
    store = await world.spawn(Store)
    actors = [await world.spawn(Adder, store), await world.spawn(Adder, store)]
    if bystander:
        actors.append(await world.spawn(Bystander))
    for actor in actors:
        actor.tell_nowait(Go())
    await world.settle()
    return await store.ask(Read())


async def lost_update(world: World) -> int:
    """The same with one who is careless."""
    store = await world.spawn(Store)
    for actor in [await world.spawn(Careless, store), await world.spawn(Adder, store)]:
        actor.tell_nowait(Go())
    await world.settle()
    return await store.ask(Read())


def search_world(strategy: Strategy, program: Program, *, runs: int, seed: int = 0) -> Searched:
    """As `search`, for a program that is given a world; a run that fails does not end it."""
    values: set[object] = set()
    error: BaseException | None = None
    for number in range(runs):
        walk = strategy.walk(number, seed)
        if walk is None:
            return Searched(number, error, exhausted=True, values=frozenset(values))
        ran = run_once(program, walk, 0)
        strategy.learn(Taught(ran.tape, isinstance(ran.outcome, Error)))
        if isinstance(ran.outcome, Error):
            error = ran.outcome.error
        else:
            assert isinstance(ran.outcome, Value)
            values.add(ran.outcome.value)
    return Searched(runs, error, exhausted=False, values=frozenset(values))
