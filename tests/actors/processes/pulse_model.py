"""What is wanted of a process is a level (S6, S7): a model of one supervised process, and programs of controls for it.

What outsiders want is four variables: whether it is to be paused, how many steps and how many nudges it has, and
whether it was launched. All that is done at one instant without a yield is done before the process does anything.
"""

# The model knows nothing of tasks, futures or cancellation. A process is always in one of a few *spots*: between two
# advances, in one, in its unwinding, waiting, cleaning up, or not there. Each spot but the first ends at a known time.

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from typing import Final

import attrs
from hypothesis import strategies as st

__all__ = [
    "SECONDS",
    "SHUTDOWN_S",
    "Do",
    "Op",
    "Program",
    "PulseModel",
    "Stage",
    "Task",
    "Wanted",
    "programs",
    "task_of",
    "times_after",
]

SHUTDOWN_S: Final = 2.5
NUDGES_MAX: Final = 3
LINE_MAX: Final = 1024


class Stage(enum.Enum):
    """The states of the process."""

    ONE = 1
    TWO = 2


class Do(enum.Enum):
    """What is done from outside."""

    PAUSE = "pause"
    PAUSE_NOW = "pause now"
    RESUME = "resume"
    STEP = "step"
    NUDGE = "nudge"
    TRY_NUDGE = "try nudge"
    STOP = "stop"
    KILL = "kill"


@attrs.frozen
class Task:
    """One advance: it takes so many seconds, then says how it goes on; cut off, it takes *unwind_s* to unwind."""

    how: str
    seconds: int
    wait_s: int = 0
    unwind_s: int = 0


@attrs.frozen
class Op:
    """After a gap of so many seconds something is done. Gap 0: at the same instant; SETTLE: when nothing goes on."""

    gap: int
    do: Do
    count: int = 1


SETTLE: Final = -1


def times_after(gaps: Iterable[int]) -> tuple[float, ...]:
    """The moments behind those gaps: each later one has a fraction of its own, so nothing meets by chance."""
    now, made = 0.0, list[float]()
    for number, gap in enumerate(gaps):
        if gap > 0:
            now = math.floor(now) + gap + 2.0 ** -(number + 4)
        made.append(now)
    return tuple(made)


def task_of(tasks: Sequence[Task], number: int) -> Task:
    """What the advance of that number does; after the last one it just goes on."""
    return tasks[number] if number < len(tasks) else Task("to", 4)


@attrs.frozen
class Program:
    """A process, and what is done to it. Its tasks are used up one after the other, in all of its lives."""

    is_step: bool
    starts: bool
    tasks: tuple[Task, ...]
    killed_s: int
    backoff_s: int
    ops: tuple[Op, ...]
    schedule: int = 0
    heard: bool = False

    def times(self) -> tuple[float, ...]:
        """When each op is done."""
        return times_after([op.gap for op in self.ops])

    def task(self, number: int) -> Task:
        """What the advance of that number does."""
        return task_of(self.tasks, number)


@attrs.define
class Wanted:
    """A future that a control returned: when it was over, and how."""

    kind: Do
    at: float | None = None
    outcome: str = "pending"


_PAUSES: Final = (Do.PAUSE, Do.PAUSE_NOW, Do.STEP)


class PulseModel:
    """One process below a supervisor that starts it again unless it has ended normally."""

    def __init__(self, program: Program) -> None:
        self.program: Final = program
        self.now = 0.0
        self.log: list[tuple[float, str]] = []
        self.phases: list[str] = ["starting", "running"]
        self.states: list[Stage] = []
        self.futures: dict[int, Wanted] = {}
        self.line: list[int] = []  # the numbers of the ops whose nudge is not accepted
        self.paused = False
        self.steps = 0
        self.nudges = 0
        self.launched = program.starts
        self.made = 0
        self.owed = False  # a nudged advance was cut off, and is to be made again
        self._begin()

    # -- a life --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.spot, self.until = "between", math.inf
        self.phase = "running"
        self.by_nudge = False
        self.ending = ""
        self.cancelled = False
        self.deadline = self.clean_until = math.inf
        self.state = Stage.ONE
        self.states.append(Stage.ONE)

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self.phases.append(phase)

    def _note(self, what: str) -> None:
        self.log.append((self.now, what))

    @property
    def is_over(self) -> bool:
        return self.phase in ("stopped", "killed", "failed")

    def _settle(self, kinds: tuple[Do, ...], outcome: str) -> None:
        for wanted in self.futures.values():
            if wanted.kind in kinds and wanted.outcome == "pending":
                wanted.at, wanted.outcome = self.now, outcome

    # -- the levels ----------------------------------------------------------------------------------------------

    def _may_advance(self) -> bool:
        """Whether the next advance may be made; then that is used up."""
        self.by_nudge = False
        if self.paused:
            if not self.steps:
                return False
            self.steps -= 1
            return True
        if self.owed:
            self.owed, self.by_nudge = False, True
            return True
        if not self.program.is_step:
            return self.launched
        if self.nudges:
            self.nudges, self.by_nudge = self.nudges - 1, True
            self._admit()
            return True
        return False

    def _admit(self) -> None:
        while self.line and self.nudges < NUDGES_MAX:
            self.nudges += 1
            wanted = self.futures[self.line.pop(0)]
            wanted.at, wanted.outcome = self.now, "done"

    def _look(self) -> None:
        """It is paused as soon as that is wanted and it makes no advance."""
        is_between = self.phase in ("running", "paused") and self.spot in ("between", "waits")
        if is_between and self.paused and not self.steps:
            if self.phase == "running":
                self._enter("paused")
            self._settle(_PAUSES, "done")

    def _end_pause(self) -> None:
        if self.paused:
            self.paused, self.steps = False, 0
            if self.phase == "paused":
                self._enter("running")
            self._settle(_PAUSES, "cancelled")

    # -- what is done --------------------------------------------------------------------------------------------

    def do(self, number: int, op: Op) -> None:
        """One op; the process itself does nothing until `rest`."""
        if self.is_over:
            self._do_at_the_end(number, op.do)
            return
        if op.do not in (Do.RESUME, Do.TRY_NUDGE):
            self.futures[number] = Wanted(op.do)
        match op.do:
            case Do.PAUSE | Do.PAUSE_NOW:
                self.paused, self.steps = True, 0
                if op.do is Do.PAUSE_NOW and self.spot == "advances" and self.phase == "running":
                    self._cut()
            case Do.RESUME:
                self._end_pause()
            case Do.STEP:
                self.paused, self.steps, self.launched = True, self.steps + op.count, True
                if self.phase == "paused":
                    self._enter("running")
            case Do.NUDGE | Do.TRY_NUDGE:
                self._nudge(number, op.do)
            case Do.STOP:
                self._stop()
            case Do.KILL:
                if self.phase != "restarting":
                    self._kill()
                else:
                    self._settle((Do.KILL, Do.STOP), "restarting")
        self._look()

    def _do_at_the_end(self, number: int, do: Do) -> None:
        outcome = self.phase if do in (Do.STOP, Do.KILL) else "refused"
        self.futures[number] = Wanted(do, self.now, outcome)

    def _nudge(self, number: int, do: Do) -> None:
        if not self.program.is_step:
            self.launched = True
            outcome = "done"
        elif not self.line and self.nudges < NUDGES_MAX:
            self.nudges += 1
            outcome = "done"
        elif do is Do.TRY_NUDGE:
            outcome = "would block"
        else:
            self.line.append(number)
            return
        self.futures[number] = Wanted(do, self.now, outcome)

    def _stop(self) -> None:
        if self.phase == "restarting":
            self._over("stopped")
            return
        if self.phase in ("running", "paused"):
            self._enter("draining")
            self.deadline = self.now + SHUTDOWN_S
            self.steps = 0
        self._end_pause()

    def _kill(self) -> None:
        """It is cancelled: what it does unwinds, then it cleans up."""
        if self.phase in ("running", "paused", "draining"):
            self._dies()
            self._cancel()

    def _dies(self) -> None:
        self._enter("dying")
        self.steps = 0
        self.clean_until = self.now + SHUTDOWN_S

    def _cancel(self) -> None:
        """What it does is cancelled."""
        self.cancelled, self.deadline = True, math.inf
        if self.spot == "advances":
            self._cut()

    def _cut(self) -> None:
        """The present advance is cancelled where it sleeps."""
        self._note(f"cut {self.made}")
        self.spot, self.until = "unwinds", self.now + self.program.task(self.made).unwind_s

    # -- what it does --------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Nothing more happens at this instant from outside: the process does what it can."""
        while self._go_on():
            pass

    def _go_on(self) -> bool:
        if self.is_over or self.spot == "gone":
            return self._go_on_between_lives()
        if self.spot == "cleans up":
            return self.until <= self.now and self._gone()
        if self.cancelled and self.spot in ("between", "waits"):
            return self._clean_up()
        if self.phase == "draining" and self.spot in ("between", "waits"):
            return self._done()
        if self.spot == "between":
            if self._may_advance():
                self._note(f"begins {self.made}")
                self.spot, self.until = "advances", self.now + self.program.task(self.made).seconds
                return True
            self._look()
            return False
        return self.until <= self.now and self._spot_over()

    def _spot_over(self) -> bool:
        """An advance, an unwinding or a wait is over."""
        spot, self.spot, self.until = self.spot, "between", math.inf
        if spot == "unwinds":
            self.owed = self.owed or (self.by_nudge and not self.cancelled)
        elif spot == "advances":
            self._advanced()
        return True

    def _advanced(self) -> None:
        task = self.program.task(self.made)
        self._note(f"ends {self.made}")
        self.made += 1
        match task.how:
            case "fail":
                self._enter("failing")
                self.ending = "failed"
                self.steps = 0
                self._gone()
            case "done":
                self._done()
            case "wait":
                self.spot, self.until = "waits", self.now + task.wait_s
                self._look()
            case _:
                self.state = Stage.TWO if self.state is Stage.ONE else Stage.ONE
                self.states.append(self.state)

    def _done(self) -> bool:
        """It has ended normally: nothing is wanted of it any more."""
        if self.phase in ("running", "paused"):
            self._enter("draining")
        self._end_pause()
        self._enter("stopping")
        self.ending = "stopped"
        self._gone()
        return True

    def _clean_up(self) -> bool:
        if self.phase == "draining":
            self._dies()  # it was cancelled by its deadline, which is seen now
        self._note("killed")
        self.ending = "killed"
        self.spot, self.until = "cleans up", min(self.now + self.program.killed_s, self.clean_until)
        return True

    def _gone(self) -> bool:
        """Nothing of the incarnation is there any more."""
        if self.spot == "cleans up" and self.clean_until > self.now:
            self._note("cleaned up")
        self.steps = 0
        self.spot, self.until, self.deadline = "gone", math.inf, math.inf
        if self.ending == "stopped":
            self._over("stopped")
        else:
            self._enter("restarting")
            self._settle((Do.KILL, Do.STOP), "restarting")
            self.until = self.now + self.program.backoff_s
        return True

    def _go_on_between_lives(self) -> bool:
        if self.is_over or self.until > self.now:
            return False
        self._enter("starting")
        self._enter("running")
        self._begin()
        return True

    def _over(self, phase: str) -> None:
        """It has ended for good."""
        self.spot, self.until, self.deadline = "gone", math.inf, math.inf
        self._enter(phase)
        self._settle((Do.KILL, Do.STOP), phase)
        self._settle((*_PAUSES, Do.NUDGE), "error")
        self.line.clear()

    # -- time ----------------------------------------------------------------------------------------------------

    def pass_time(self, until: float) -> None:
        """Up to then."""
        self.rest()
        while (at := min(self.until, self.deadline)) <= until and at < math.inf:
            self.now = at
            if self.deadline <= self.now:
                self._cancel()
            self.rest()
        self.now = until


# -- drawing -----------------------------------------------------------------------------------------------------------

SECONDS: Final = st.sampled_from((0, 1, 0, 2, 4))
_OFTEN: Final = (Do.NUDGE, Do.TRY_NUDGE, Do.PAUSE, Do.PAUSE_NOW, Do.STEP, Do.RESUME)
_TASKS: Final = st.builds(
    Task,
    how=st.sampled_from(("to", "to", "to", "wait", "to", "wait", "fail", "to", "done")),
    seconds=SECONDS,
    wait_s=SECONDS,
    unwind_s=st.sampled_from((0, 0, 1, 2)),
)
_OPS: Final = st.builds(
    Op,
    gap=st.sampled_from((1, 0, SETTLE, 0, 2, 3)),
    do=st.sampled_from((*_OFTEN, *_OFTEN, Do.STEP, Do.NUDGE, Do.KILL, Do.STOP)),
    count=st.integers(1, 3),
)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A process of a few advances, and controls for it, some of them at one instant."""
    is_step = draw(st.booleans())
    return Program(
        is_step=is_step,
        starts=not is_step and draw(st.booleans()),
        tasks=tuple(draw(st.lists(_TASKS, min_size=1, max_size=8))),
        killed_s=draw(st.sampled_from((0, 1, 10))),
        backoff_s=draw(st.sampled_from((0, 1))),
        ops=tuple(draw(st.lists(_OPS, min_size=1, max_size=20))),
        schedule=draw(st.integers(0, 2**32 - 1)),
        heard=draw(st.booleans()),
    )
