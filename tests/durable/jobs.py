"""A durable process that does what its script says, and a world outside that writes down what was done to it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar, Final

import attrs
import trio

import histrio
from histrio.durable import DurableNext, DurableProcess, DurableRef, DurableTree, this_effect
from histrio.durable.orders import Order

DONE: Final[list[str]] = []
"""What was done outside, each with its key, in this test."""


class Stage(enum.Enum):
    """Where a job is."""

    ONE = 1
    TWO = 2
    THREE = 3


async def work(what: str, seconds: float) -> str:
    """Something that takes time, outside."""
    DONE.append(f"{what} begins as {this_effect().key.rpartition('/')[2]}")
    try:
        await trio.sleep(seconds)
    except trio.Cancelled:
        DONE.append(f"{what} is cancelled")
        raise
    DONE.append(f"{what} ends")
    return f"{what} done"


async def fail(what: str) -> str:
    """It never succeeds."""
    DONE.append(f"{what} fails")
    raise OSError(what)


@attrs.frozen
class Inputs:
    """What a job is made of: its advances, one word each."""

    script: tuple[str, ...] = attrs.field(validator=attrs.validators.min_len(1))
    seconds: float = attrs.field(default=1.0, validator=attrs.validators.ge(0))


@attrs.frozen
class Outputs:
    """What comes of it."""

    made: int = attrs.field(validator=attrs.validators.instance_of(int))
    got: tuple[object, ...] = ()


class Plain(DurableProcess[Stage, Inputs, Outputs], behaviour="jobs.plain"):
    """Makes the advances of its script; after the last one it is done."""

    start = True
    made: int
    got: list[object]

    async def started(self) -> None:
        self.made, self.got = 0, []

    async def advance(self) -> DurableNext[Stage, Outputs]:
        if self.resumed is not None:
            self.got.append(self.resumed)
        if self.made == len(self.inputs.script):
            return histrio.Done(Outputs(self.made, tuple(self.got)))
        word = self.inputs.script[self.made]
        if word in ("work", "work and fail", "work and finish"):
            await self.io(work, f"work {self.made}", self.inputs.seconds)
        if word == "retry":
            await self.io(fail, "retry", retry=histrio.Retry(first_s=1_000, pause_max_s=1_000))
        self.made += 1
        match word.split():
            case ["to", stage]:
                return self.to(Stage[stage])
            case ["wait"]:
                return self.wait(self.io(work, f"wait {self.made}", self.inputs.seconds))
            case ["lose"]:
                return self.wait(self.io(fail, "lost"))
            case ["leave"]:
                self.io(work, f"left {self.made}", self.inputs.seconds)
                return self.to(self.state)
            case ["leave", "failing"]:
                self.io(fail, "left")
                return self.to(self.state)
            case ["sleep"]:
                return self.wait(self.sleep(self.inputs.seconds))
            case ["ask"]:
                return self.until_resumed()
            case ["fail"] | ["work", "and", "fail"]:
                raise ValueError("it was told to fail")
            case ["work", "and", "finish"]:
                return histrio.Done(Outputs(self.made))
            case ["outputs", *rest]:
                given: Mapping[str, object] = {"made": self.made} if rest else {"got": ()}
                return histrio.Done({**given, **dict.fromkeys(rest, "no number")})
            case _:
                return self.to(self.state)


class Job(Plain, behaviour="jobs.job"):
    """The same, which has something to clean up, and may be cut off."""

    rerunnable = True
    shutdown_s: ClassVar[float] = 5

    async def killed(self, reason: histrio.Reason) -> None:
        await self.io(work, f"clean-up ({reason.why})", self.inputs.seconds)


class Stepped(Job, behaviour="jobs.stepped"):
    """The same, an advance for each nudge."""

    drive = histrio.Drive.STEP
    start = False
    nudges_max = 3


class Waiting(Job, behaviour="jobs.waiting"):
    """The same, but it waits for its first nudge."""

    start = False


class Rolling(Job, behaviour="jobs.rolling"):
    """The same, whose past is rolled up."""

    snapshot_every = 8

    def snapshot(self) -> object:
        return Outputs(self.made, tuple(self.got))

    async def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, Outputs)
        self.made, self.got = snapshot.made, list(snapshot.got)


async def job(tree: DurableTree, *script: str, kind: type[Plain] = Job, seconds: float = 1.0) -> DurableRef[Order]:
    """A job at `/job`, there already or not."""
    return await tree.spawn(kind, Inputs(script, seconds), name="job")
