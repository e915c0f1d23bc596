"""A process that does what its script says and writes down what it did and when."""

from __future__ import annotations

import enum

import attrs
import trio

import histrio

__all__ = [
    "Job",
    "Log",
    "Mortal",
    "MortalSteps",
    "Stage",
    "Steps",
    "Task",
    "at",
    "done",
    "fail",
    "new_log",
    "to",
    "wait",
]

Log = list[tuple[float, str]]


class Stage(enum.Enum):
    """Where a job is."""

    ONE = 1
    TWO = 2
    THREE = 3


@attrs.frozen
class Task:
    """What one advance does: it takes so many seconds, then says how it goes on."""

    how: str
    seconds: float = 0
    stage: Stage = Stage.ONE
    wait_s: float = 0


def to(stage: Stage, seconds: float = 0) -> Task:
    """Go on in another stage."""
    return Task("to", seconds, stage)


def wait(wait_s: float, seconds: float = 0) -> Task:
    """Wait for a timer that runs from then on."""
    return Task("wait", seconds, wait_s=wait_s)


def done(seconds: float = 0) -> Task:
    """Be done."""
    return Task("done", seconds)


def fail(seconds: float = 0) -> Task:
    """Raise an error."""
    return Task("fail", seconds)


class Job(histrio.Process[Stage, str]):
    """Makes the advances of its script, one after the other; its seconds are plain Trio time."""

    rerunnable = True

    def __init__(self, log: Log, *script: Task, unwind_s: float = 0, killed_s: float = 0) -> None:
        self.log = log
        self.script = script
        self.made = 0
        self.unwind_s = unwind_s
        self.killed_s = killed_s

    def note(self, what: str) -> None:
        """Write it down."""
        self.log.append((trio.current_time(), what))

    async def advance(self) -> histrio.Next[Stage, str]:
        task = self.script[self.made]
        self.note(f"begins {self.made}")
        try:
            await trio.sleep(task.seconds)
        except trio.Cancelled:
            self.note(f"cut {self.made}")
            if self.unwind_s:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.unwind_s)
            raise
        self.note(f"ends {self.made}")
        self.made += 1
        match task.how:
            case "to":
                return self.to(task.stage)
            case "wait":
                return self.wait(self.io.clock.sleep(task.wait_s))
            case "done":
                return histrio.Done(f"done after {self.made}")
            case _:
                raise ValueError("it was told to fail")

    async def killed(self, reason: histrio.Reason) -> None:
        self.note("killed")
        await trio.sleep(self.killed_s)
        self.note("cleaned up")


class Steps(Job):
    """The same, an advance for each nudge."""

    drive = histrio.Drive.STEP


class Mortal(Job):
    """One that has a script for each of its lives; the last one serves for all that follow."""

    def __init__(self, log: Log, *lives: tuple[Task, ...]) -> None:
        super().__init__(log)
        self.lives = lives

    async def started(self) -> None:
        life = self.ref.control.inspect().incarnation
        self.script = self.lives[min(life, len(self.lives)) - 1]


class MortalSteps(Mortal):
    """The same, an advance for each nudge."""

    drive = histrio.Drive.STEP


def new_log() -> Log:
    """A log for what nobody looks at."""
    return []


def at(log: Log) -> list[str]:
    """What was written down, each with its time."""
    return [f"{when:g} {what}" for when, what in log]
