"""Lives and the time that they live in, for the model of supervision: how a life starts, ends, and waits.

A life is a generator that yields what it waits for; `Sim` lets time pass when nobody can go on. A kill is an exception
thrown in where the life waits. Nothing here knows what a supervisor does.
"""

from __future__ import annotations

import inspect
import math
from collections import deque
from collections.abc import Callable, Generator
from typing import Final, Protocol

import attrs
from tests.actors.supervision.programs import ASKS, COMMANDS, NEVER, Do, Op, Program, Spec, Worker

__all__ = ["Entry", "Failed", "Killed", "Life", "Place", "Prediction", "Script", "Sim", "Steps", "Wait", "WorkerLife"]

SCRIPTS: Final = {
    Do.FAIL_STARTS: "start_failures",
    Do.START_TAKES: "start",
    Do.STOP_TAKES: "stop",
    Do.UNWIND_TAKES: "unwind",
}


@attrs.frozen
class Entry:
    """One line of the log: at that time, in that incarnation of the actor at that path, that happened."""

    at: int
    path: str
    incarnation: int
    what: str


@attrs.define
class Prediction:
    """What must come of a program."""

    log: list[Entry] = attrs.field(factory=list)
    fates: dict[int, str] = attrs.field(factory=dict)
    """What became of each message (by the number of its op): done, failed, stopped, dead, refused."""
    replies: dict[int, str] = attrs.field(factory=dict)
    """What each command answered (by the number of its op)."""
    escalations: list[tuple[str, tuple[str, ...]]] = attrs.field(factory=list)
    """The supervisors that gave up, each with the children whose restarts had used its budget up."""
    ended_by: str = "the end of the block"
    ambiguous: bool = False
    """Two things happened at one instant for two reasons, so the order of what follows is open."""


class Failed(Exception):
    """This life ends by an error."""


class Killed(Exception):
    """This life is cancelled."""


@attrs.frozen
class Wait:
    """What a life waits for: that a condition holds, or that it is so late."""

    ready: Callable[[], bool] = lambda: False
    until: float = math.inf


Steps = Generator[Wait, None, None]


class Above(Protocol):
    """Whoever looks after a life: its supervisor, or the system."""

    def bear(self, place: Place) -> Life:
        """Make a life for that place."""
        ...

    def told_end(self, life: Life) -> None:
        """That life is over."""
        ...

    def keeps(self, life: Life) -> bool:
        """Whether there may be another life at its place: then intake stays open."""
        ...

    def starts_more(self) -> bool:
        """Whether it starts another child as soon as one has started."""
        ...

    def strike_resting(self, place: Place, *, stops: bool) -> None:
        """Whoever waits there for a restart is stopped, or killed."""
        ...


class Place:
    """Where an actor lives: its inbox and whether it is paused outlive its incarnations (Histrio; OTP has neither)."""

    def __init__(self, sim: Sim, path: str, spec: Spec, above: Above) -> None:
        self.sim: Final = sim
        self.path: Final = path
        self.spec: Final = spec
        self.above: Final = above
        self.incarnation = 0
        self.life: Life | None = None
        self.inbox: deque[int] = deque()
        self.redelivered: dict[int, int] = {}
        self.open = True
        self.paused = False
        self.over = False

    def begin(self) -> Life:
        """One more incarnation."""
        assert not self.over
        assert self.life is None or self.life.over
        self.incarnation += 1
        self.open = True
        self.life = self.above.bear(self)
        self.sim.lives.append(self.life)
        return self.life

    def end(self) -> None:
        """It has ended for good: nobody is left waiting (A10)."""
        self.over, self.open = True, False
        while self.inbox:
            self.sim.fate(self.inbox.popleft(), "stopped")
        if self.sim.places.get(self.path) is self:
            del self.sim.places[self.path]


class Life:
    """One incarnation: `body` until it returns, raises `Failed` or is `Killed`, then the clean-up."""

    def __init__(self, place: Place) -> None:
        self.place: Final = place
        self.sim: Final = place.sim
        self.started = False
        self.started_at = -1
        self.has_next = False
        self.on_started: Callable[[], None] = lambda: None
        self.stopping = False
        self.halted = False
        self.cleaning = False
        self.over = False
        self.end = ""
        self.deadline = math.inf
        self.blow: Exception | None = None
        self.steps: Final = self._live()
        self.wait = Wait(lambda: True)

    def body(self) -> Steps:
        raise NotImplementedError

    def clean_up(self) -> Steps:
        raise NotImplementedError

    def _live(self) -> Steps:
        try:
            yield from self.body()
            self.end = "STOPPED"
        except Failed:
            self.end = "FAILED"
        except Killed:
            self.end = "KILLED"
        self.cleaning, self.deadline = True, math.inf
        if self.end != "STOPPED" and not self.place.above.keeps(self):
            self.place.open = False
        yield from self.clean_up()
        self.over = True
        self.sim.lives.remove(self)
        self.note("gone")
        self.place.above.told_end(self)

    def is_up(self) -> None:
        """Its start is over."""
        self.started, self.started_at = True, self.sim.now
        self.has_next = self.place.above.starts_more()
        if self.stopping:
            self.ends_at_once()
        self.on_started()

    def ends_at_once(self) -> None:
        """It ends as soon as it has started, and its sibling may start at that very instant."""
        self.sim.short_lives.add((self.sim.now, self.place.path))
        self.sim.prediction.ambiguous |= self.has_next

    def step(self) -> bool:
        """Go on, if it can."""
        if self.over or not (self.blow or self.wait.ready() or self.wait.until <= self.sim.now):
            return False
        has_begun = inspect.getgeneratorstate(self.steps) != inspect.GEN_CREATED
        blow = self.blow if has_begun and not self.cleaning else None
        if has_begun:
            self.blow = None
        try:
            self.wait = self.steps.throw(blow) if blow else next(self.steps)
        except StopIteration:
            assert self.over
        return True

    def strike(self, blow: Exception) -> None:
        """Kill or break it; who cleans up already is left to it."""
        if not self.cleaning and self.blow is None:
            self.blow = blow

    def stop(self, grace: float | None = None) -> None:
        """Close intake, drain, stop; a pause ends. At the deadline it is killed; a second call can only shorten it."""
        self.place.paused = False
        if self.cleaning:
            return
        if not self.stopping:
            self.place.open = False
        self._end_within(grace)

    def halt(self) -> None:
        """The same for another life: what waits stays where it is, a pause too, and what is in hand is interrupted."""
        if not self.started and not self.stopping:
            self.halted = self.end != "FAILED"
            self.strike(Killed())
        elif not self.cleaning:
            self.halted = True
            self._end_within(None)

    def _end_within(self, grace: float | None) -> None:
        if not self.stopping:
            self.deadline = self.sim.now + (self.place.spec.shutdown if grace is None else grace)
        elif grace is not None:
            self.deadline = min(self.deadline, self.sim.now + grace)
        self.stopping = True

    def sleep(self, grains: float) -> Steps:
        if grains:
            yield Wait(until=self.sim.now + grains)

    def note(self, what: str) -> None:
        self.sim.log.append(Entry(self.sim.now, self.place.path, self.place.incarnation, what))


class WorkerLife(Life):
    """An actor that does what its messages say."""

    def __init__(self, place: Place, spec: Worker) -> None:
        super().__init__(place)
        self.spec: Final = spec
        self.in_hand: dict[int, float] = {}

    def body(self) -> Steps:
        script = self.sim.scripts[self.place.path]
        self.note("starting")
        takes = script.start
        yield from self.sleep(min(takes, self.spec.start_max))
        if takes > self.spec.start_max or script.fails():
            raise Failed
        self.note("started")
        self.is_up()
        while not self._is_drained():
            yield Wait(lambda: self._may_take() or self._is_drained(), min(self.in_hand.values(), default=math.inf))
            for number in [one for one, due in self.in_hand.items() if due <= self.sim.now]:
                del self.in_hand[number]
                self.note(f"done {number}")
                self.sim.fate(number, "done")
            while self._may_take():
                self._handle(self.place.inbox.popleft())
        self._let_go()
        self.note("stopping")
        yield from self.sleep(script.stop)
        self.note("stopped")

    def _may_take(self) -> bool:
        """Whether the next message may be handled now. Who stops handles what waits; who is halted does not."""
        return bool(self.place.inbox) and not self.halted and (self.stopping or not self.place.paused)

    def _is_drained(self) -> bool:
        return self.halted or (self.stopping and not self.place.inbox and not self.in_hand)

    def _handle(self, number: int) -> None:
        self.note(f"handles {number}")
        op = self.sim.program.ops[number]
        if op.do in (Do.CRASH, Do.ASK_CRASH, Do.FINISH) and self.sim.now == self.started_at:
            self.ends_at_once()
        if op.do in (Do.CRASH, Do.ASK_CRASH):
            self.in_hand[number] = math.inf
            raise Failed
        if op.do in (Do.WORK, Do.ASK_WORK):
            self.in_hand[number] = self.sim.now + op.amount
            return
        self.sim.fate(number, "done")
        if op.do is Do.FINISH:
            self.stop()

    def clean_up(self) -> Steps:
        self._let_go()
        yield from self.sleep(self.sim.scripts[self.place.path].unwind)

    def _let_go(self) -> None:
        """S3: what is in hand fails; its tells are redelivered ahead of the inbox so often, else they are dead."""
        again: list[int] = []
        for number in self.in_hand:
            times = self.place.redelivered.get(number, 0)
            if self.sim.program.ops[number].do in ASKS:
                self.sim.fate(number, "ended" if self.halted else "failed" if self.end == "FAILED" else "stopped")
            elif times < self.spec.redeliver_max:
                self.place.redelivered[number] = times + 1
                again.append(number)
            else:
                self.sim.fate(number, "dead")
        self.in_hand.clear()
        self.place.inbox.extendleft(reversed(again))


@attrs.define
class Script:
    """How long the lives of a worker take from now on."""

    start: int
    stop: int
    unwind: int
    start_failures: int

    def set(self, op: Op) -> None:
        """From now on it is another."""
        setattr(self, SCRIPTS[op.do], op.amount)

    def fails(self) -> bool:
        """Whether this start fails."""
        self.start_failures -= 1
        return self.start_failures >= 0


class Sim:
    """Virtual time, and everybody who lives in it."""

    def __init__(self, program: Program) -> None:
        self.program: Final = program
        self.prediction: Final = Prediction()
        self.log: Final = self.prediction.log
        self.now: int = 0
        self.lives: list[Life] = []
        self.places: dict[str, Place] = {}
        self.short_lives: set[tuple[int, str]] = set()
        self.scripts: dict[str, Script] = {}
        self.alarms: list[tuple[float, Callable[[], None]]] = []

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Have something done later."""
        self.alarms.append((when, do))

    def fate(self, number: int, fate: str) -> None:
        """What became of a message is decided once. An ended actor's waiting tells are dead letters."""
        assert number not in self.prediction.fates, f"message {number} has two fates"
        if self.program.ops[number].do in COMMANDS:
            self.prediction.replies[number] = "stopped"
            return
        if fate == "stopped" and self.program.ops[number].do not in ASKS:
            fate = "dead"
        self.prediction.fates[number] = fate

    def is_ambiguous(self) -> bool:
        """Whether two things happened at one instant for two reasons, so that the order of what follows is open.

        Such as a message that has waited and ends its actor as soon as it has started: its sibling starts then, too.
        """
        short = {(entry.at, path) for entry in self.log for at, path in self.short_lives if at == entry.at}
        others = {(at, entry.path) for at, path in short for entry in self.log if entry.at == at and entry.path != path}
        return self.prediction.ambiguous or bool(others)

    def settle(self) -> None:
        """Until nobody can go on at this instant."""
        while True:
            moved = [life for life in tuple(self.lives) if life.step()]
            if not moved:
                return

    def pass_time(self, end: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Until then, or until something has happened."""
        self.settle()
        while (next_at := min(self._times(), default=math.inf)) <= end and next_at < math.inf and not enough():
            self.prediction.ambiguous |= sum(at == next_at for at in self._times()) > 1 or next_at == end < NEVER
            self.now = int(next_at)
            due = [do for at, do in self.alarms if at <= self.now]
            self.alarms = [(at, do) for at, do in self.alarms if at > self.now]
            for do in due:
                do()
            for life in self.lives:
                if life.deadline <= self.now:
                    life.deadline = math.inf
                    life.strike(Killed())
            self.settle()
        self.now = self.now if end == math.inf else max(self.now, int(end))

    def _times(self) -> list[float]:
        waits = [life.wait.until for life in self.lives if not life.over]
        return [*waits, *(life.deadline for life in self.lives), *(at for at, _ in self.alarms)]
