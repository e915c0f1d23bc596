"""What is wanted of a durable process is a level (J3, S7), also over crashes: a model of one, and programs of orders for it.

The model knows nothing of records, steps or tasks. A process is always in one of a few *spots*, each of which but the first
ends at a known time. A crash loses who waits for an acknowledgement, and begins again what is done outside; nothing else.
"""

from __future__ import annotations

import enum
import math
from typing import Final

import attrs
from hypothesis import strategies as st
from tests.actors.processes.pulse_model import SECONDS, Stage, Task, task_of, times_after

__all__ = ["SHUTDOWN_S", "Asked", "Do", "Op", "ProcessModel", "Program", "Stage", "Task", "programs"]

SHUTDOWN_S: Final = 2.25
NUDGES_MAX: Final = 2


class Do(enum.Enum):
    """What is done from outside."""

    PAUSE = "pause"
    PAUSE_NOW = "pause now"
    RESUME = "resume"
    RESUME_WITH = "resume with a value"
    STEP = "step"
    NUDGE = "nudge"
    KILL = "kill"
    CRASH = "crash"


@attrs.frozen
class Op:
    """After so many seconds something is done. When nothing goes on any more, the next one is."""

    gap: int
    do: Do
    count: int = 1


@attrs.frozen
class Program:
    """A process, and what is done to it. After its last task it just goes on."""

    is_step: bool
    starts: bool
    tasks: tuple[Task, ...]
    killed_s: int
    ops: tuple[Op, ...]
    snapshots: bool = False
    schedule: int = 0

    def times(self) -> tuple[float, ...]:
        """When each op is done."""
        return times_after([op.gap for op in self.ops])

    def task(self, number: int) -> Task:
        """What the advance of that number does, outside."""
        return task_of(self.tasks, number)


@attrs.define
class Asked:
    """Somebody who waits for the acknowledgement of an order: when it came, and how."""

    do: Do
    at: float | None = None
    outcome: str = "pending"


_PAUSES: Final = (Do.PAUSE, Do.PAUSE_NOW, Do.STEP)


class ProcessModel:
    """One process, from its spawn on."""

    def __init__(self, program: Program) -> None:
        self.program: Final = program
        self.now = 0.0
        self.asked: dict[int, Asked] = {}
        self.sessions: list[tuple[list[str], list[Stage]]] = []
        self.advances = self.made = 0
        self.got: list[int] = []
        self.state = Stage.ONE
        self.ending = ""
        self.paused = self.owes = self.by_nudge = self.wants_value = self.killed = False
        self.launched = program.starts
        self.steps = self.nudges = 0
        self.values: list[int] = []
        self.handed: list[int] = []
        self.spot, self.until, self.length, self.deadline = "rests", math.inf, math.inf, math.inf
        self._open()

    # -- what is told ------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """What is said of it."""
        if self.ending:
            return self.ending
        if self.killed:
            return "dying"
        holds = self.paused and not self.steps
        return "paused" if holds and self.spot != "advances" else "running"

    def _open(self) -> None:
        self.sessions.append(([], []))
        if not self.ending:
            self._tell()

    def _tell(self) -> None:
        """It is in the journal; who asked for a pause hears of one."""
        phases, states = self.sessions[-1]
        if phases[-1:] != [self.phase]:
            phases.append(self.phase)
        if states[-1:] != [self.state]:
            states.append(self.state)
        if self.phase == "paused":
            self._settle(_PAUSES, "paused")

    def _settle(self, dos: tuple[Do, ...], outcome: str) -> None:
        for asked in self.asked.values():
            if asked.do in dos and asked.outcome == "pending":
                asked.at, asked.outcome = self.now, outcome

    # -- what is done ------------------------------------------------------------------------------------------------

    def do(self, number: int, op: Op) -> None:
        """One op, and all that follows at that instant."""
        if op.do is Do.CRASH:
            self._crash()
        else:
            self.asked[number] = Asked(op.do)
            if self.ending:
                self._settle((op.do,), self.ending if op.do is Do.KILL else "refused")
            elif self.killed and op.do is not Do.KILL:
                pass
            else:
                self._order(number, op)
                self._tell()
        self._rest()

    def _order(self, number: int, op: Op) -> None:
        match op.do:
            case Do.PAUSE | Do.PAUSE_NOW:
                self.paused, self.steps = True, 0
                if op.do is Do.PAUSE_NOW and self.spot == "advances":
                    self._cut()
            case Do.STEP:
                self.paused, self.launched, self.steps = True, True, self.steps + op.count
            case Do.RESUME | Do.RESUME_WITH:
                self.paused, self.steps = False, 0
                if op.do is Do.RESUME_WITH:
                    self.values.append(number)
                elif self.wants_value and not self.values:
                    self.values.append(-1)
                self._settle((*_PAUSES, op.do), "running")
            case Do.NUDGE:
                self._nudge(number)
            case _:
                self._kill()

    def _nudge(self, number: int) -> None:
        outcome = self.phase
        if not self.program.is_step:
            self.launched = True
        elif self.nudges == NUDGES_MAX:
            outcome = "no more"
        else:
            self.nudges += 1
        self.asked[number] = Asked(Do.NUDGE, self.now, outcome)

    def _cut(self) -> None:
        """The advance was none."""
        self.owes = self.owes or self.by_nudge
        self.values[:0] = self.handed
        self.spot = "rests"
        self.until = math.inf
        if self.waited is not None:
            self.spot, self.until = "waits", self.waited

    def _kill(self) -> None:
        if self.killed:
            return
        self.killed = True
        self.spot, self.length = "cleans up", self.program.killed_s
        self.until, self.deadline = self.now + self.length, self.now + SHUTDOWN_S
        if not self.length:
            self._end("killed")

    def _end(self, ending: str) -> None:
        self.ending, self.spot, self.until, self.deadline = ending, "over", math.inf, math.inf
        self._settle((Do.KILL,), ending)
        self._settle(tuple(Do), "refused")

    def _crash(self) -> None:
        self._settle(tuple(Do), "refused")
        if self.spot in ("advances", "cleans up") or (self.spot == "waits" and not self.is_timer):
            self.until = max(self.until, self.now) if self.until <= self.now else self.now + self.length
        self._open()

    # -- what it does ------------------------------------------------------------------------------------------------

    waited: float | None = None
    is_timer: bool = False

    def _may_advance(self) -> bool:
        if self.spot != "rests" or self.killed or self.ending or (self.wants_value and not self.values):
            return False
        if self.paused:
            return self.steps > 0
        return self.owes or (self.nudges > 0 if self.program.is_step else self.launched)

    def _take(self) -> None:
        self.by_nudge = False
        if self.paused:
            self.steps -= 1
        elif self.owes:
            self.owes, self.by_nudge = False, True
        elif self.program.is_step:
            self.nudges, self.by_nudge = self.nudges - 1, True
        self.wants_value = False
        self.handed, self.values = self.values[:1], self.values[1:]
        self.advances += 1
        self.spot, self.length = "advances", self.program.task(self.made).seconds
        self.until = self.now + self.length

    def _rest(self) -> None:
        """All that takes no time."""
        while True:
            if self.spot in ("advances", "waits", "cleans up") and self.until <= self.now:
                self._spot_over()
            elif self.deadline <= self.now:
                self._end("killed")
            elif self._may_advance():
                self._take()
                if self.length:
                    self._tell()
                continue
            else:
                return
            self._tell()

    def _spot_over(self) -> None:
        spot, self.spot, self.until = self.spot, "rests", math.inf
        if spot == "cleans up":
            self._end("killed")
        if spot != "advances":
            return
        self.waited = None
        task = self.program.task(self.made)
        self.got.extend(self.handed)
        self.made += 1
        match task.how:
            case "fail":
                self._end("failed")
            case "done":
                self._end("stopped")
            case "wait" | "sleep":
                self.spot, self.length, self.is_timer = "waits", task.wait_s, task.how == "sleep"
                self.until = self.waited = self.now + self.length
            case "ask":
                self.wants_value = True
            case _:
                self.state = Stage.TWO if self.state is Stage.ONE else Stage.ONE

    # -- time --------------------------------------------------------------------------------------------------------

    def pass_time(self, until: float) -> None:
        """Up to then."""
        self._rest()
        while (at := min(self.until, self.deadline)) <= until and at < math.inf:
            self.now = at
            self._rest()
        self.now = until


# -- drawing -----------------------------------------------------------------------------------------------------------

_TASKS: Final = st.builds(
    Task,
    how=st.sampled_from(("to", "to", "wait", "ask", "to", "sleep", "to", "fail", "ask", "done")),
    seconds=SECONDS,
    wait_s=SECONDS,
)
_OFTEN: Final = (Do.NUDGE, Do.PAUSE, Do.PAUSE_NOW, Do.STEP, Do.RESUME, Do.RESUME_WITH, Do.CRASH)
_OPS: Final = st.builds(
    Op,
    gap=st.sampled_from((1, 0, 0, 2, 3)),
    do=st.sampled_from((*_OFTEN, *_OFTEN, Do.RESUME, Do.NUDGE, Do.KILL)),
    count=st.integers(1, 3),
)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A process of a few advances, and orders and crashes."""
    is_step = draw(st.booleans())
    return Program(
        is_step=is_step,
        starts=not is_step and draw(st.booleans()),
        tasks=tuple(draw(st.lists(_TASKS, min_size=1, max_size=8))),
        killed_s=draw(st.sampled_from((0, 1, 10))),
        ops=tuple(draw(st.lists(_OPS, min_size=1, max_size=16))),
        snapshots=draw(st.booleans()),
        schedule=draw(st.integers(0, 2**32 - 1)),
    )
