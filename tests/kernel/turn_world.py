"""A drawn program runs on Histrio, and a model of each actor's turn is told what happens at the moment when it does."""

# How the moments are seen
# ------------------------
# `Watched` stands between a handler's await and Trio: it sees each time when the await lets Trio go on, each abort that
# Trio calls when the task is cancelled, and each return. So "waits", "cancelled" and "resumes" are Trio's own word, not
# the kernel's. That a wait has ended otherwise is seen where every outcome is written, in `Future._settle`. Nothing else
# of the kernel is believed: who may run next, and when, is the model's to say.
#
# `IdleClock` is asked for the time to the next deadline only when no task can run: that is the moment to ask the models
# whether all may be blocked, and then the clock jumps. So nothing here waits for real time.

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar, final
from unittest import mock

import attrs
import trio
from outcome import Error
from tests.inside import cell_of
from tests.kernel.turn_model import TurnModel
from tests.kernel.turn_programs import Letter, Program
from trio.lowlevel import Abort, current_task

import histrio
from histrio_kernel.asks import Ask
from histrio_kernel.entries import message_of
from histrio_kernel.futures import CANCELLED, HOLDERS, VALUE, Future, Promise
from histrio_kernel.inbox import Selection
from histrio_kernel.io import Operation
from histrio_kernel.lifecycle import Phase
from histrio_kernel.simulation.trio_schedule import seeded_schedule
from histrio_kernel.turn import Worker

__all__ = ["Boom", "IdleClock", "Mail", "Place", "Seat", "Watched", "World", "watching"]

T = TypeVar("T")

TICK_S: Final = 0.25
END_TICKS: Final = 60
LATEST_S: Final = 500.0  # whoever still runs then will never end


class Boom(Exception):
    """What programs raise."""


@attrs.frozen(eq=False)
class Mail(histrio.Request[int]):
    """A message of a program, with a number of its own."""

    number: int
    letter: Letter


@attrs.define(eq=False)
class Place:
    """One actor of the program."""

    ref: histrio.Ref[Mail]
    model: TurnModel


@attrs.define(eq=False)
class Seat:
    """Somebody who may hold the turn of an actor: a handler, or a visitor."""

    place: Place
    number: int


@final
class IdleClock(trio.abc.Clock):
    """Jumps to the next deadline as soon as nothing can run, and tells of it before."""

    def __init__(self, idle: Callable[[float], None]) -> None:
        self._now = 0.0
        self._idle: Final = idle

    def start_clock(self) -> None:
        """It stands still."""

    def current_time(self) -> float:
        """Seconds since the begin of the run."""
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Never sleep."""
        if deadline > self._now:
            self._idle(deadline)
            if deadline < math.inf:
                self._now = deadline
        return 0.0


class Watcher(Protocol):
    """Who wants to know about an await."""

    def waits(self) -> None: ...
    def aborts(self) -> None: ...
    def aborted(self, answer: Abort) -> None: ...
    def resumes(self, outcome: object) -> None: ...


class Watched(Generic[T]):
    """An await that tells its watcher when it waits, when Trio aborts the wait, and when it goes on."""

    def __init__(self, awaitable: Awaitable[T], watcher: Watcher) -> None:
        self._awaitable: Final = awaitable
        self._watcher: Final = watcher

    def __await__(self) -> Generator[Any, Any, T]:
        """Await it."""
        inner = self._awaitable.__await__()
        step: Callable[[], Any] = inner.__next__
        while True:
            try:
                trap = step()
            except StopIteration as stop:
                value: T = stop.value
                return value
            waits = _is_ours(trap)
            if waits:
                trap = attrs.evolve(trap, abort_func=self._telling(trap.abort_func))
                self._watcher.waits()
            sent = yield trap  # Trio never throws: it sends an outcome
            step = partial(inner.send, sent)
            if waits:
                self._watcher.resumes(sent)

    def _telling(self, abort: Callable[[Any], Abort]) -> Callable[[Any], Abort]:
        def tell(raise_cancel: Any) -> Abort:
            self._watcher.aborts()
            answer = abort(raise_cancel)
            self._watcher.aborted(answer)
            return answer

        return tell


def _is_ours(trap: object) -> bool:
    """Whether what is yielded to Trio is a wait of the kernel's; else it is a checkpoint, which keeps the turn."""
    abort = getattr(trap, "abort_func", None)
    return str(getattr(abort, "__module__", "")).startswith("histrio_kernel")


@final
class World:
    """What is shared by the actors of a running program, and the record of what happened."""

    def __init__(self, program: Program) -> None:
        self.program: Final = program
        self.places: list[Place] = []
        self.promises: list[Promise[None]] = []
        self.scopes: list[trio.CancelScope] = []
        self.asks: list[Future[int]] = []
        self.waiters: dict[Future[Any], list[Seat]] = {}
        self.aborting: Seat | None = None
        self.mail: dict[int, Mail] = {}
        self.told: set[int] = set()
        self.standing: set[int] = set()
        self.blocked: set[int] = set()
        self.everything = trio.CancelScope()
        self.system: histrio.System | None = None
        self.log: list[str] = []
        self.broken: str | None = None
        self.booms = 0
        self.over = False
        self._numbers = 0
        self._stuck = 0

    def number(self) -> int:
        """A number that nobody else has."""
        self._numbers += 1
        return self._numbers

    def write(self, letter: Letter) -> Mail:
        """A message with that letter in it."""
        mail = Mail(self.number(), letter)
        self.mail[mail.number] = mail
        return mail

    def seconds(self, ticks: int) -> float:
        """So many ticks, and a bit that differs each time: whatever ends together ends so by intent."""
        self._numbers += 1
        return ticks * TICK_S + (self._numbers * 40503 % 65536) * 2.0**-20

    def tell(self, event: Callable[..., None], *args: object, **kwargs: object) -> None:
        """Write the event down and tell the model; what the model refuses breaks the program's promise."""
        model = getattr(event, "__self__", None)
        where = next((place.ref.path for place in self.places if place.model is model), "?")
        self.log.append(f"{trio.current_time():8.4f}  {where:10} {event.__name__} {args} {kwargs or ''}")
        try:
            event(*args, **kwargs)
        except (AssertionError, KeyError, ValueError) as error:
            self.break_off(f"{where}: {event.__name__} {args}: {type(error).__name__} {error}")

    def break_off(self, why: str) -> None:
        """A promise is broken: the first such event is the finding."""
        self.log.append(f"^^^^^^^^ {why}")
        if self.broken is None:
            self.broken = why
        self.everything.cancel()

    # -- what is seen ----------------------------------------------------------------------------------------------

    def settled(self, future: Future[Any], state: int, result: object) -> None:
        """A future gets its outcome."""
        if isinstance(future, Selection) and state == VALUE:
            mail = message_of(result)
            assert isinstance(mail, Mail)
            for place in self.places:
                if place.ref.path == future.inbox.path:
                    place.model.caught.add(mail.number)
                    self.tell(place.model.gone, mail.number)
        elif isinstance(future, Ask) or state != VALUE:
            self._not_handled(getattr(future, "message", None))
        message = getattr(future, "message", None)
        if isinstance(message, Mail):
            self.standing.discard(message.number)
        for seat in self.waiters.pop(future, ()):
            if seat is self.aborting:  # its wait ends with the abort, after what that has caused
                self.waiters[future] = [seat]
                continue
            stood = type(future).__name__ == "Standing" and getattr(future, "inbox", None) is seat.place.ref._inbox
            self.tell(seat.place.model.ended, seat.number, let_in=stood and state == VALUE)

    def _not_handled(self, message: object) -> None:
        if isinstance(message, Mail):
            for place in self.places:
                if message.number in place.model.pending:
                    self.tell(place.model.gone, message.number)

    def idle(self, deadline: float) -> None:
        """Every task is blocked."""
        if self.over:
            return  # Trio itself winds up, by a callback that wakes it
        for place in self.places:
            phase = self._phase(place)
            dead = phase not in (Phase.STARTING, Phase.RUNNING, Phase.DRAINING)
            try:
                place.model.rests(blocked=self.blocked, told=self.told, standing=self.standing, dead=dead)
            except AssertionError as error:
                self.break_off(f"{place.ref.path} ({phase}): {error}")
        if deadline > LATEST_S:
            self._stuck += 1
            self.break_off("nothing can run, and nothing ever will")
            assert self._stuck < 3, "\n".join(["cancelling everything does not end it", *self.log])

    def _phase(self, place: Place) -> Phase:
        assert self.system is not None
        try:
            return cell_of(self.system, place.ref).phase
        except AssertionError:
            return Phase.KILLED


@attrs.define(eq=False)
class Waiting:
    """The watcher of an await by somebody who has the turn."""

    world: World
    seat: Seat
    future: Future[Any] | None = None
    left: bool = False  # it was cancelled before there was an outcome

    def waits(self) -> None:
        """The await has to wait; for what, the worker knows."""
        holder = HOLDERS[current_task()]
        assert isinstance(holder, Worker)
        self.future = holder.future
        assert self.future is not None
        self.world.waiters.setdefault(self.future, []).append(self.seat)
        self.world.tell(self.seat.place.model.waits, self.seat.number, selects=isinstance(self.future, Selection))

    def aborts(self) -> None:
        """Trio cancels it."""
        self.world.aborting = self.seat

    def aborted(self, answer: Abort) -> None:
        """That ends the wait, but for an operation: its wait ends when the operation has ended (F5)."""
        self.world.aborting = None
        assert self.future is not None
        seats = self.world.waiters.get(self.future, [])
        if self.seat in seats and (self.future.is_done or not isinstance(self.future, Operation)):
            seats.remove(self.seat)
            self.left = not self.future.is_done
            self.world.tell(self.seat.place.model.ended, self.seat.number)

    def resumes(self, outcome: object) -> None:
        """It goes on: with its cancellation, or with an outcome that came first."""
        self.world.tell(self.seat.place.model.resumes, self.seat.number)
        assert self.future is not None
        is_cancelled = isinstance(outcome, Error)
        if is_cancelled != self.left and self.future._state != CANCELLED:
            came = "Cancelled" if is_cancelled else "its outcome"
            self.world.break_off(f"{self.seat.number} got {came} of {self.future!r}, and the other had come first")
        self.left = False


@attrs.define(eq=False)
class Telling:
    """The watcher of a `tell`: the message is offered when the call waits in line, or returns."""

    world: World
    place: Place
    mail: Mail
    waiting: Waiting | None
    offered: bool = False

    def offer(self) -> None:
        """The message is in the inbox, or in the line."""
        if not self.offered:
            self.offered = True
            self.world.told.add(self.mail.number)
            self.world.tell(self.place.model.offered, self.mail.number)

    def waits(self) -> None:
        """It stands in line."""
        self.offer()
        self.world.standing.add(self.mail.number)
        if self.waiting is not None:
            self.waiting.waits()

    def aborts(self) -> None:
        """Trio cancels it."""
        if self.waiting is not None:
            self.waiting.aborts()

    def aborted(self, answer: Abort) -> None:
        """Cancelled in line it is not delivered; cancelled after that it is."""
        future = self.waiting.future if self.waiting is not None else None
        if answer is Abort.SUCCEEDED or (future is not None and not future.is_done):
            self.world.standing.discard(self.mail.number)
            self.world.tell(self.place.model.gone, self.mail.number)
        if self.waiting is not None:
            self.waiting.aborted(answer)

    def resumes(self, outcome: object) -> None:
        """It is in, or has been refused or cancelled."""
        self.world.standing.discard(self.mail.number)
        if self.waiting is not None:
            self.waiting.resumes(outcome)


@attrs.define(eq=False)
class LiningUp:
    """The watcher of a visitor that wants the turn."""

    world: World
    seat: Seat
    waited: bool = False

    def waits(self) -> None:
        """The turn is not free."""
        self.waited = True
        self.world.tell(self.seat.place.model.lines_up, self.seat.number)

    def aborts(self) -> None:
        """Trio cancels it."""

    def aborted(self, answer: Abort) -> None:
        """A visitor that gives up leaves the line."""
        if answer is Abort.SUCCEEDED:
            self.waited = False
            self.seat.place.model.ready.remove(self.seat.number)

    def resumes(self, outcome: object) -> None:
        """It has the turn."""
        if self.waited:
            self.world.tell(self.seat.place.model.resumes, self.seat.number)


@contextmanager
def watching(world: World) -> Generator[None]:
    """Tell the world of every outcome that is written, and draw Trio's schedule from its program."""
    settle = Future[Any]._settle

    def told(future: Future[Any], state: int, result: object) -> None:
        world.settled(future, state, result)
        settle(future, state, result)

    with (
        mock.patch.object(Future, "_settle", told),
        mock.patch.object(logging.getLogger("histrio"), "disabled", new=True),
        seeded_schedule(world.program.schedule),
    ):
        yield
