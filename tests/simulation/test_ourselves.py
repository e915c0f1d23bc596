"""D3: Histrio's own promises under explored schedules: the turn, the inbox, supervisors, the scopes of states.

Each program keeps a promise of the design whatever the schedule. That the search can fail is shown by one that does not.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from tests.effort import count

import histrio
from histrio import Ref
from histrio.testing import World, explore

Program = Callable[[World], Awaitable[None]]


# -- the turn -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Pay(histrio.Request[int]):
    """So much."""

    amount: int


class Account(histrio.Actor[Pay]):
    """Counts in two steps, with a wait between messages but none inside a critical piece."""

    def __init__(self) -> None:
        self.balance = 0
        self.inside = 0
        self.handled: list[int] = []

    @histrio.handler(Pay)
    async def pay(self, message: Pay) -> int:
        self.enter()
        before = self.balance
        await trio.lowlevel.checkpoint()  # a plain await: it keeps the turn (A3)
        assert self.inside == 1, "two handlers ran at once"
        self.balance = before + message.amount
        self.leave()
        await self.io(trio.lowlevel.checkpoint)  # gives it away (A2)
        self.enter()
        self.handled.append(message.amount)
        self.leave()
        return self.balance

    def enter(self) -> None:
        """From here on it must be alone."""
        self.inside += 1
        assert self.inside == 1, "two handlers ran at once"

    def leave(self) -> None:
        """It may be interleaved again."""
        self.inside -= 1


async def turn(world: World) -> None:
    """A1, A2, A3: many askers, some of whom give up."""
    account = await world.spawn(Account, name="account")

    async def asker(amount: int, patience_s: float) -> None:
        with trio.move_on_after(patience_s):
            await account.ask(Pay(amount))

    async with trio.open_nursery() as nursery:
        for amount in range(1, 6):
            nursery.start_soon(asker, amount, 0 if amount == 3 else math.inf, name=f"asker {amount}")
    await world.settle()
    actor = world.peek(account)
    assert isinstance(actor, Account)
    assert actor.balance == sum(actor.handled), (actor.balance, actor.handled)
    assert set(actor.handled) >= {1, 2, 4, 5}


# -- the inbox ----------------------------------------------------------------------------------------------------------


class Reader(histrio.Actor[tuple[str, int]]):
    """Reads slowly from a small inbox."""

    inbox_max = 2

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    async def receive(self, message: tuple[str, int]) -> None:
        await trio.lowlevel.checkpoint()
        self.seen.append(message)


async def inbox(world: World) -> None:
    """A8: what is accepted is handled once, in the order of each sender; a cancelled tell is delivered or not, never both."""
    reader = await world.spawn(Reader, name="reader")
    sent: list[tuple[str, int]] = []

    async def sender(name: str) -> None:
        for number in range(4):
            await reader.tell((name, number))
            sent.append((name, number))

    async def hasty() -> None:
        for number in range(4):
            with trio.move_on_after(0) as scope:
                await reader.tell(("hasty", number))
                sent.append(("hasty", number))
            if scope.cancelled_caught:
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for name in ("ann", "ben"):
            nursery.start_soon(sender, name, name=name)
        nursery.start_soon(hasty, name="hasty")
    await world.settle()
    actor = world.peek(reader)
    assert isinstance(actor, Reader)
    for name in ("ann", "ben", "hasty"):
        assert [one for one in actor.seen if one[0] == name] == [one for one in sent if one[0] == name]


# -- supervisors --------------------------------------------------------------------------------------------------------


@attrs.frozen
class Work(histrio.Request[int]):
    """A piece of work; 0 is one too many."""

    number: int


class Worker(histrio.Actor[Work]):
    """Fails when it is asked for nothing."""

    @histrio.handler(Work)
    async def work(self, message: Work) -> int:
        await self.io(trio.lowlevel.checkpoint)
        return 10 // message.number


async def supervised(world: World) -> None:
    """A10, S3: whoever asks is answered, whatever fails and is restarted meanwhile."""
    spec = histrio.child("worker", Worker)
    supervisor = await world.spawn(
        histrio.child("sup", histrio.Supervisor, spec, strategy=histrio.ONE_FOR_ONE, restarts_max=10)
    )
    worker: Ref[Work] = supervisor.child(spec)
    answered: list[int] = []

    async def asker(number: int) -> None:
        with contextlib.suppress(histrio.ActorFailed, histrio.ActorStopped):
            await worker.ask(Work(number))
        answered.append(number)

    async with trio.open_nursery() as nursery:
        for number in (1, 0, 2, 0, 5):
            nursery.start_soon(asker, number, name=f"asker {number}")
    assert sorted(answered) == [0, 0, 1, 2, 5]
    assert await worker.ask(Work(5)) == 2


# -- scopes of states ---------------------------------------------------------------------------------------------------


class Link(histrio.States):
    """On, while somebody holds it."""

    on = histrio.State()


class Holder(histrio.Actor[bool], states=Link):
    """Its state's task is alone, and over before the next one begins (M7)."""

    def __init__(self) -> None:
        self.tasks = 0
        self.began = 0
        self.ended = 0

    @Link.on.entered
    async def hold(self, transition: histrio.Transition[None]) -> None:
        """While the state is on."""
        self.tasks += 1
        self.began += 1
        assert self.tasks == 1, "two activations overlap"
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()  # it takes a while to let go
            self.tasks -= 1

    @Link.on.exited
    async def let_go(self, transition: histrio.Transition[None]) -> None:
        """All work of the activation has ended."""
        assert self.tasks == 0, "exited ran before the task had ended"
        self.ended += 1

    async def receive(self, message: bool) -> None:
        if message:
            self.states.add(Link.on)
        else:
            self.states.remove(Link.on)


async def scopes(world: World) -> None:
    """M7: each begun activation is followed by one `exited`, and two never overlap."""
    holder = await world.spawn(Holder, name="holder")
    for on in (True, False, True, False, True, False):
        await holder.tell(on)
        await trio.lowlevel.checkpoint()
    await world.settle()
    actor = world.peek(holder)
    assert isinstance(actor, Holder)
    assert actor.began == actor.ended, (actor.began, actor.ended)


PROGRAMS: list[Program] = [turn, inbox, supervised, scopes]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
@pytest.mark.parametrize("strategy", ["random", "mix"])
def test_no_schedule_breaks_a_promise(program: Program, strategy: str) -> None:
    """D3: no explored schedule of our own programs fails."""
    report = explore(program, schedules=count("explored_schedules"), strategy=strategy, seed=1)

    report.check()
    assert report.schedules > 1


class Careless(Account):
    """Gives the turn away in the middle of its critical piece."""

    @histrio.handler(Pay)
    async def pay(self, message: Pay) -> int:
        before = self.balance
        await self.io(trio.lowlevel.checkpoint)
        self.balance = before + message.amount
        self.handled.append(message.amount)
        return self.balance


def test_a_handler_that_gives_its_turn_away_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """D3: the same program with an actor that reads, waits and writes loses an update."""
    monkeypatch.setattr("tests.simulation.test_ourselves.Account", Careless)

    report = explore(turn, schedules=50)

    assert report.failed
    assert isinstance(report.error, AssertionError)
