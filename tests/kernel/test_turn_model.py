"""The turn does what its model says, for drawn programs under drawn schedules."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import cache
from typing import TypeVar

import pytest
import trio
from hypothesis import given, note, settings
from tests.conftest import Show
from tests.effort import count
from tests.kernel.turn_model import TurnModel
from tests.kernel.turn_programs import (
    Await,
    Cancel,
    Fail,
    Io,
    Kill,
    Kind,
    Nursery,
    Op,
    Program,
    Script,
    Select,
    Send,
    Settle,
    Sleep,
    Spawn,
    Stop,
    Visit,
    Within,
    programs,
)
from tests.kernel.turn_world import (
    END_TICKS,
    Boom,
    IdleClock,
    LiningUp,
    Mail,
    Place,
    Seat,
    Telling,
    Waiting,
    Watched,
    World,
    watching,
)

import histrio
from histrio_kernel.futures import HOLDERS, Promise

T = TypeVar("T")


class Player(histrio.Actor[Mail]):
    """Does what its messages say."""

    def __init__(self, world: World, place_number: int) -> None:
        self.world = world
        self.place_number = place_number

    async def receive(self, message: Mail) -> int:
        place = self.world.places[self.place_number]
        seat = Seat(place, message.number)
        self.world.tell(place.model.begins, message.number)
        try:
            await Doing(self.world, self).script(seat, message.letter.script)
        except (Boom, ExceptionGroup):
            place.model.dead = True  # the actor fails with this handler
            raise
        finally:
            self.world.tell(place.model.returns, message.number)
        return message.number


class Child(histrio.Actor[Mail]):
    """Takes its time to start."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def started(self) -> None:
        await trio.sleep(self.seconds)


@cache
def player(kind: Kind) -> type[Player]:
    """A class of actors with these settings."""

    class Variant(Player):
        serial = kind.serial
        in_flight_max = kind.in_flight_max
        inbox_max = kind.inbox_max
        io_max = kind.io_max

    return Variant


class Doing:
    """Does the things of a program, for somebody who has the turn (a seat) or for a task that has none."""

    def __init__(self, world: World, actor: Player | None) -> None:
        self.world = world
        self.actor = actor

    async def script(self, seat: Seat | None, script: Script) -> None:
        """One after the other; an error of Histrio's is an outcome like any other."""
        for op in script:
            if seat is not None:
                self.world.tell(seat.place.model.runs, seat.number)
            try:
                await self.op(seat, op)
            except histrio.HistrioError:
                pass
            except trio.EndOfChannel:
                pass

    async def watched(self, seat: Seat | None, awaitable: Awaitable[T]) -> T:
        """Await it under the eyes of the model, if it gives a turn away."""
        if seat is None:
            return await awaitable
        return await Watched(awaitable, Waiting(self.world, seat))

    async def op(self, seat: Seat | None, op: Op) -> None:
        """Do one thing."""
        world = self.world
        match op:
            case Await(promise):
                await self.watched(seat, world.promises[promise])
            case Settle(promise, fails):
                self.settle(world.promises[promise], fails=fails)
            case Io():
                if self.actor is not None:
                    await self.watched(seat, self.actor.io(self.operation, op))
            case Sleep(ticks):
                await self.plainly(seat, world.seconds(ticks) if ticks else 0)
            case Send(actor, letter, asks):
                await self.send(seat, world.places[actor], world.write(letter), asks=asks)
            case Within():
                await self.within(seat, op)
            case Cancel(scope):
                if world.scopes:
                    world.scopes[scope % len(world.scopes)].cancel()
            case Nursery(children, body):
                await self.nursery(seat, children, body)
            case Visit(script, awaited):
                await self.visit(seat, script, awaited=awaited)
            case Select(colour, ticks):
                await self.select(seat, colour, ticks)
            case Spawn(ticks):
                if self.actor is not None:
                    await self.watched(seat, self.actor.spawn(Child, world.seconds(ticks)))
            case Fail():
                if self.actor is not None:
                    world.booms += 1
                    raise Boom
            case Kill(actor):
                world.places[actor].model.dead = True
                world.places[actor].ref.control.kill()
            case Stop(actor):
                world.places[actor].ref.control.stop()

    def settle(self, promise: Promise[None], *, fails: bool) -> None:
        """Give a promise its outcome, if it has none."""
        if not promise.is_done:
            if fails:
                promise.fail(histrio.Refusal("by the program"))
            else:
                promise.set(None)

    async def operation(self, op: Io) -> None:
        """What `self.io` runs."""
        try:
            with trio.CancelScope(shield=op.shielded):
                await trio.sleep(self.world.seconds(op.ticks))
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.world.seconds(op.cleanup_ticks) if op.cleanup_ticks else 0)
            if op.fails:
                self.world.booms += 1
                raise Boom

    async def plainly(self, seat: Seat | None, seconds: float) -> None:
        """Sleep as Trio does, with the turn."""
        if seat is not None:
            self.world.blocked.add(seat.number)
        try:
            await trio.sleep(seconds)
        finally:
            if seat is not None:
                self.world.blocked.discard(seat.number)
                self.world.tell(seat.place.model.runs, seat.number)

    async def send(self, seat: Seat | None, place: Place, mail: Mail, *, asks: bool) -> None:
        """Tell it, or ask and wait for the answer."""
        if asks:
            answer = place.ref.ask(mail)
            self.world.asks.append(answer)
            if not answer.is_done:
                self.world.tell(place.model.offered, mail.number)
            assert await self.watched(seat, answer) in (mail.number, None)
        else:
            waiting = None if seat is None else Waiting(self.world, seat)
            telling = Telling(self.world, place, mail, waiting)
            await Watched(place.ref.tell(mail), telling)
            telling.offer()

    async def within(self, seat: Seat | None, op: Within) -> None:
        """Do it in a cancel scope, and clean up in it."""
        world = self.world
        with trio.CancelScope(deadline=trio.current_time() + world.seconds(op.ticks), shield=op.shield) as scope:
            world.scopes.append(scope)
            try:
                await self.script(seat, op.body)
            finally:
                if seat is not None:
                    world.tell(seat.place.model.runs, seat.number)
                await self.script(seat, op.cleanup)

    async def nursery(self, seat: Seat | None, children: tuple[Script, ...], body: Script) -> None:
        """Child tasks have no turn; leaving the nursery is a plain await."""
        world = self.world
        try:
            async with trio.open_nursery() as nursery:
                for child in children:
                    nursery.start_soon(self.script, None, child)
                try:
                    await self.script(seat, body)
                finally:
                    if seat is not None:
                        world.blocked.add(seat.number)
        finally:
            if seat is not None:
                world.blocked.discard(seat.number)
                world.tell(seat.place.model.runs, seat.number)

    async def visit(self, seat: Seat | None, script: Script, *, awaited: bool) -> None:
        """Work beside the handlers that enters the turn.

        Not awaited by whoever keeps the turn meanwhile: a serial handler, or a child task of one that leaves its nursery.
        Those would wait for each other, and a visitor that is within needs the turn to be cancelled.
        """
        if self.actor is None:
            return
        visitor = Seat(self.world.places[self.actor.place_number], self.world.number())
        if awaited and seat is not None and not visitor.place.model.serial:
            await self.watched(seat, self.actor.io(self.work, self.actor, visitor, script))
        else:
            self.actor.background(self.work, self.actor, visitor, script)

    async def work(self, actor: Player, visitor: Seat, script: Script) -> None:
        """What a visitor does."""
        world, model = self.world, visitor.place.model
        turn = actor.turn()
        lining_up = LiningUp(world, visitor)
        try:
            await Watched(turn.__aenter__(), lining_up)
        except BaseException:
            if lining_up.waited:
                world.tell(model.returns, visitor.number)
            raise
        if not lining_up.waited:
            world.tell(model.enters, visitor.number)
        try:
            await self.script(visitor, script)
        finally:
            world.tell(model.returns, visitor.number)
            await turn.__aexit__()

    async def select(self, seat: Seat | None, colour: int, ticks: int) -> None:
        """Wait for a letter of a colour; a handler, or a visitor, may."""
        if self.actor is None or seat is None:
            return
        model = seat.place.model
        inbox = model.pending[: model.inbox_max]
        first = next((number for number in inbox if self.world.mail[number].letter.colour == colour), None)
        waiting = Waiting(self.world, seat)
        with trio.move_on_after(self.world.seconds(ticks)) as scope:
            self.world.scopes.append(scope)
            mail = await Watched(self.actor.select(lambda message: message.letter.colour == colour), waiting)
            assert mail.letter.colour == colour
            if waiting.future is None:
                assert mail.number == first
                self.world.tell(model.gone, mail.number)


async def play(world: World) -> None:
    """The whole program, from outside of the actors."""
    program = world.program
    async with histrio.open_system(held_turn_s=program.held_turn_s) as system:
        world.system = system
        system.engine.pace.left = program.pace
        if program.heard:
            system.listen(lambda signal: None)
        for number, kind in enumerate(program.actors):
            ref = await system.spawn(player(kind), world, number, name=f"player{number}")
            model = TurnModel(serial=kind.serial, in_flight_max=kind.in_flight_max, inbox_max=kind.inbox_max)
            world.places.append(Place(ref, model))
        world.promises += [Promise(system.engine) for _ in range(4)]
        doing = Doing(world, None)
        async with trio.open_nursery() as nursery:
            for ticks, op in (*program.sends, *program.steps):
                if ticks:
                    await trio.sleep(world.seconds(ticks))
                nursery.start_soon(doing.script, None, (op,))
            if program.end is not None:
                nursery.start_soon(doing.script, None, (program.end,))
            for promise in world.promises:
                doing.settle(promise, fails=False)
            await trio.sleep(world.seconds(END_TICKS))
            nursery.cancel_scope.cancel()


async def play_in_scope(world: World) -> None:
    """The same, in a scope that may be cancelled."""
    with world.everything:
        if world.program.cancel_ticks is not None:
            world.everything.deadline = world.seconds(world.program.cancel_ticks)
        try:
            await play(world)
        finally:
            world.over = True


def run(program: Program) -> World:
    """Run a program, and see that nothing is left of it."""
    world = World(program)
    with watching(world):
        try:
            trio.run(play_in_scope, world, clock=IdleClock(world.idle))
        except histrio.SystemFailed as error:
            if not world.booms:
                world.broken = world.broken or f"nothing raised, but: {error}"
        finally:
            note("\n".join(world.log))
    return world


@pytest.mark.alarm(400 + count("turn_examples") / 5)
def test_the_turn_does_what_its_model_says(show: Show) -> None:
    """A1, A2, A6, A12, A17: At most one handler runs; who runs next, and that nobody is forgotten, is as the model says."""
    events: list[int] = []

    @settings(max_examples=count("turn_examples"))
    @given(programs())
    def drawn(program: Program) -> None:
        world = run(program)
        assert world.broken is None
        for place in world.places:
            assert (place.model.holder, [*place.model.ready], place.model.waiting) == (None, [], set())
        assert all(answer.is_done for answer in world.asks)
        assert HOLDERS == {}
        events.append(len(world.log))

    drawn()
    show(f"A1, A2: {len(events):,} drawn programs, {sum(events):,} events of their turns, all as the model says")
