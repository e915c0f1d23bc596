"""What is wanted of an actor is a level, not an edge (S6): a model of one place, and programs of controls for it.

What outsiders want is one variable, `wants`: to run, to be paused, or to handle so many messages more. It holds until
something else is wanted, over restarts too. All that is done at one instant is done before the actor does anything: so
of several wants at one instant the last one counts.
"""

# Independent of the model of supervision on purpose: this one is a table of phases with a clock, that one a set of
# processes. Where both speak of one thing (a restart, a deadline, a clean-up) they are two opinions.

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import attrs
from hypothesis import strategies as st
from tests.actors.supervision.programs import Do, Op, Program, Restart, Salt, Sup, Worker

__all__ = ["FUTURES", "PATH", "ControlModel", "Wanted", "control_programs", "predicted"]

RUN: Final = math.inf  # how many more messages are wanted to be handled
PATH: Final = "/r/a"
FUTURES: Final = (Do.PAUSE, Do.STEP, Do.NUDGE, Do.KILL, Do.STOP, Do.STOP_WITHIN)


@attrs.define
class Wanted:
    """A future that a control returned: when it was over, and how."""

    kind: Do
    at: int | None = None
    outcome: str = "pending"


class ControlModel:
    """One place below a supervisor that starts it again for ever, after a pause of so long."""

    def __init__(self, program: Program) -> None:
        self.program: Final = program
        (spec,) = program.root.children
        assert isinstance(spec, Worker)
        self.spec: Final = spec
        self.now = 0
        self.wants: float = RUN
        self.queue: list[int] = []
        self.open = True
        self.over = False
        self.incarnation = 0
        self.is_last = False  # its supervisor stops
        self.is_ambiguous = False  # two things happened at one instant by chance
        self.log: list[tuple[int, int, str]] = []  # when, in which incarnation, what
        self.phases: list[tuple[int, str]] = []
        self.futures: dict[int, Wanted] = {}
        self._begin()

    # -- a life --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.incarnation += 1
        self.open = True
        self.waiting: dict[int, int] = {}  # handlers that gave the turn away, and until when they wait
        self.holder: tuple[int, float] | None = None  # the handler that has the turn, and until when
        self.about_to_take = False  # somebody has the turn in order to take a message at the end of this instant
        self.has_started = False
        self.end = ""
        self.deadline = math.inf
        self._enter("starting")
        self._note("starting")
        self._next(self.spec.start)

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self.phases.append((self.now, phase))

    def _note(self, what: str) -> None:
        self.log.append((self.now, self.incarnation, what))

    def _next(self, grains: float) -> None:
        """The next step of this phase comes so much later."""
        self.step_at = self.now + grains

    def _started(self) -> None:
        self._note("started")
        self.step_at = math.inf
        if self.phase == "starting":
            self._enter("running")
        self.has_started = True

    def _cancel(self, phase: str) -> None:
        """It fails or is killed: its handlers end at once, and the clean-up takes its time."""
        if self.phase in ("failing", "dying") or self.end:
            return
        if self.spec.unwind:  # else its log is closed before they go on
            for number in self._due():
                self._note(f"done {number}")  # it had its outcome before the cancellation, and waited for the turn
        self.waiting.clear()
        self.holder = None
        self.deadline = math.inf
        self._enter(phase)
        self.end = "failed" if phase == "failing" else "killed"
        self._next(self.spec.unwind)

    def _ended(self) -> None:
        """Nothing of the incarnation runs any more."""
        self._note("gone")
        again = Restart.TEMPORARY if self.is_last else self.spec.restart
        if again is Restart.PERMANENT or (again is Restart.TRANSIENT and self.end != "stopped"):
            self._enter("restarting")
            self._incarnation_over()
            self._next(self.program.root.backoff)
            if self.step_at == self.now:
                self._begin()
        else:
            self._over(self.end)

    def _over(self, phase: str) -> None:
        """It has ended for good."""
        self.over, self.open = True, False
        self.step_at = self.deadline = math.inf
        self._enter(phase)
        self._incarnation_over()
        self._settle((Do.PAUSE, Do.STEP), "error")

    def _incarnation_over(self) -> None:
        self._settle((Do.KILL, Do.STOP, Do.STOP_WITHIN), self.phase)

    def _settle(self, kinds: tuple[Do, ...], outcome: str) -> None:
        for wanted in self.futures.values():
            if wanted.kind in kinds and wanted.at is None:
                wanted.at, wanted.outcome = self.now, outcome

    # -- what happens --------------------------------------------------------------------------------------------

    def do(self, number: int, op: Op) -> None:
        """One op; the actor itself does nothing until `rest`."""
        if op.do in FUTURES:
            if self.over and op.do in (Do.PAUSE, Do.STEP, Do.NUDGE):
                self.futures[number] = Wanted(op.do, self.now, "error")
                return
            self.futures[number] = Wanted(op.do)
        match op.do:
            case Do.NOTE | Do.WORK | Do.HOLD | Do.CRASH:
                if self.open:
                    self.queue.append(number)
            case Do.PAUSE:
                self.wants = 0
            case Do.STEP:
                self.wants = op.amount + (0 if self.wants == RUN else self.wants)
                if self.phase == "paused":
                    self._enter("running")
            case Do.NUDGE:
                if self.wants != RUN:
                    self.do(number, Op(op.at, Do.STEP, op.path, 1))
                self.futures[number] = Wanted(op.do, self.now, "done")
            case Do.RESUME:
                self._resume()
            case Do.KILL:
                self._stop_or_kill("killed")
            case Do.STOP:
                self._stop_or_kill("stopped", self.spec.shutdown)
            case Do.STOP_WITHIN:
                self._stop_or_kill("stopped", op.amount, within=True)
            case _:
                raise AssertionError(op)
        if self.queue and self.phase == "running" and self.wants and self.holder is None:
            self.about_to_take = True
        self._look()

    def _resume(self) -> None:
        if self.wants != RUN:
            self.wants = RUN
            if self.phase == "paused":
                self._enter("running")
            self._settle((Do.PAUSE, Do.STEP), "cancelled")

    def _stop_or_kill(self, how: str, grace: float = math.inf, *, within: bool = False) -> None:
        if self.over:
            self._incarnation_over()
        elif self.phase == "restarting":
            if (how == "stopped" and self.spec.restart is Restart.TRANSIENT) or self.is_last:
                self._over(how)
            self._incarnation_over()  # of what is started again in any case, nothing runs
        elif how == "killed":
            self._cancel("dying")
        else:
            self._resume()
            if self.phase in ("starting", "running", "paused"):
                self._enter("draining")
                self.open = False
                self.deadline = self.now + grace
            elif self.phase in ("draining", "stopping") and not self.end and within:
                self.deadline = min(self.deadline, self.now + grace)

    def _look(self) -> None:
        """It is paused as soon as that is wanted and no handler runs or waits."""
        quiet = not self.waiting and self.holder is None and not self.about_to_take
        if self.phase == "running" and self.wants == 0 and quiet:
            self._enter("paused")
        if self.phase == "paused":
            self._settle((Do.PAUSE, Do.STEP), "done")

    # -- time ----------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Nothing more happens at this instant from outside: the actor does what it can."""
        self.about_to_take = False
        while self._handle_next():
            pass
        self._look()
        drained = not self.queue and not self.waiting and self.holder is None
        if self.phase == "draining" and self.has_started and drained:
            self._enter("stopping")
            self._note("stopping")
            self._next(self.spec.stop)

    def _handle_next(self) -> bool:
        """Who has waited long enough goes on, then the next message is taken: if nobody has the turn."""
        if self.holder is not None or self.phase not in ("running", "draining") or not self.has_started:
            return False
        due = self._due()
        if due:
            del self.waiting[due[0]]
            self._note(f"done {due[0]}")
            return True
        if not self.queue or (self.phase == "running" and self.wants == 0):
            return False
        if self.phase == "running" and self.wants != RUN:
            self.wants -= 1
        self._handle(self.queue.pop(0))
        return True

    def _due(self) -> list[int]:
        """The handlers whose waits are over, in the order in which they ended."""
        due = [number for number, at in self.waiting.items() if at <= self.now]
        return sorted(due, key=self.waiting.__getitem__)

    def _handle(self, number: int) -> None:
        op = self.program.ops[number]
        self._note(f"handles {number}")
        match op.do:
            case Do.WORK:
                self.waiting[number] = self.now + op.amount
            case Do.HOLD:
                self.holder = (number, self.now + op.amount)
            case Do.CRASH:
                self._cancel("failing")
            case _:
                pass

    def times(self) -> Iterator[float]:
        """When something happens next."""
        yield self.step_at
        yield self.deadline
        if self.holder is not None:
            yield self.holder[1]
        else:
            yield from self.waiting.values()

    def pass_time(self, until: float) -> None:
        """Up to then."""
        self.rest()
        while (at := min(self.times())) <= until and at < math.inf:
            self.is_ambiguous |= at > self.now and ([*self.times()].count(at) > 1 or at == until)
            self.now = max(self.now, int(at))
            if self.holder is not None and self.holder[1] <= self.now:
                self._note(f"done {self.holder[0]}")
                self.holder = None
            elif self.deadline <= self.now:
                self._cancel("dying")
            elif self.step_at <= self.now:
                self._step()
            self.rest()
        if until < math.inf:
            self.now = int(until)

    def _step(self) -> None:
        if self.phase == "restarting":
            self._begin()
        elif self.end:
            self._ended()
        elif self.phase == "stopping":
            self._note("stopped")
            self.end, self.deadline = "stopped", math.inf
            self._next(self.spec.unwind)
        else:
            self._started()

    def finish(self) -> None:
        """The block ends, and so does all."""
        self.is_last = True
        if not self.over:
            self._stop_or_kill("stopped", self.spec.shutdown)
        self.pass_time(math.inf)
        assert self.over


def predicted(program: Program) -> tuple[ControlModel, list[str]]:
    """The model after the whole program, and the phase before each instant at which something is done."""
    model = ControlModel(program)
    seen: list[str] = []
    for number, op in enumerate(program.ops):
        if op.at > model.now:
            model.pass_time(op.at)
            seen.append(model.phase)
        model.do(number, op)
    model.pass_time(program.end)
    model.finish()
    return model, seen


# -- drawing -----------------------------------------------------------------------------------------------------------

_CONTROLS: Final = (Do.PAUSE, Do.RESUME, Do.STEP, Do.NUDGE)
_MAIL: Final = (Do.NOTE, Do.NOTE, Do.WORK, Do.HOLD, Do.CRASH)
_ENDS: Final = (Do.KILL, Do.STOP, Do.STOP_WITHIN)
_DOINGS: Final = st.sampled_from((*_CONTROLS * 3, *_MAIL * 2, *_ENDS))
_GAPS: Final = st.sampled_from((1, 0, 0, 2, 3))
_TICKS: Final = st.sampled_from((0, 0, 1, 2, 3))


@st.composite
def control_programs(draw: st.DrawFn) -> Program:
    """Controls and messages for one actor, some of them at one instant; no two instants come together by chance."""
    salt = Salt(distinct=True)
    worker = Worker(
        name="a",
        restart=draw(st.sampled_from(Restart)),
        start=salt(draw(_TICKS)),
        stop=salt(draw(_TICKS)),
        unwind=salt(draw(_TICKS)),
        shutdown=salt(draw(st.sampled_from((20, 20, 2, 1)))),
    )
    backoff = salt(draw(st.sampled_from((0, 0, 2, 3))))
    root = Sup(name="r", children=(worker,), restarts_max=10_000, backoff=backoff, backoff_max=backoff)
    now, ops = worker.start + salt(1), list[Op]()
    for gap, do, amount in draw(st.lists(st.tuples(_GAPS, _DOINGS, st.integers(1, 3)), min_size=1, max_size=20)):
        now += salt(gap)
        ops.append(Op(now, do, PATH, amount if do is Do.STEP else salt(amount)))
    return Program(root, tuple(ops), now + salt(8), schedule=draw(st.integers(0, 2**32 - 1)), heard=draw(st.booleans()))
