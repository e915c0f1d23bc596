"""What type checkers know of processes: their states, their results, and how they are driven; never executed."""

import enum
from typing import TypeVar, assert_type

import histrio

T = TypeVar("T")


class Step(enum.Enum):
    ADD = "add"
    TELL = "tell"


class Other(enum.Enum):
    ODD = "odd"


class Add(histrio.Process[Step, int]):
    """S7: `advance` returns a state, a wait, or a result of the declared type."""

    drive = histrio.Drive.STEP
    rerunnable = True
    initial = Step.ADD

    def __init__(self, left: int, right: int) -> None:
        self.numbers = (left, right)

    async def advance(self) -> histrio.Next[Step, int]:
        assert_type(self.state, Step)
        match self.state:
            case Step.ADD:
                self.sum: histrio.Future[int] = self.io(total, *self.numbers)
                return self.wait(self.sum)
            case Step.TELL:
                return histrio.Done(await self.sum)

    async def killed(self, reason: histrio.Reason) -> None:
        assert_type(reason.end, histrio.End)


async def total(*numbers: int) -> int:
    """An operation."""
    return sum(numbers)


class Wrong(histrio.Process[Step, int]):
    """S7: another state, another result, a coroutine for a future or a state for a move do not type-check."""

    async def advance(self) -> histrio.Next[Step, int]:
        if self.system.name == "other state":
            return self.to(Other.ODD)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        if self.system.name == "other result":
            return histrio.Done("ten")  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]
        if self.system.name == "no future":
            return self.wait(total(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return Step.TELL  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class Assigned(histrio.Process[Step, None]):
    """A18: the names of a process are read-only."""

    async def advance(self) -> histrio.Next[Step, None]:
        self.state = Step.TELL  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.drive = histrio.Drive.STEP  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        return histrio.Done(None)


class Twice(histrio.Process[Step, T]):
    """S7: a base may leave the result open."""

    async def result(self) -> T:
        raise NotImplementedError

    async def advance(self) -> histrio.Next[Step, T]:
        return self.to(Step.TELL) if self.state is Step.ADD else histrio.Done(await self.result())


class Words(Twice[str]):
    async def result(self) -> str:
        return "done"


class NoEnum(histrio.Process[int, str]):  # type: ignore[type-var]  # pyright: ignore[reportInvalidTypeArguments]
    """S7: states are an Enum."""


async def a_process_is_an_actor(system: histrio.System) -> None:
    """S7: it is spawned, joined, supervised and watched as actors are; it takes no message."""
    add = await system.spawn(Add, 6, 4)
    words = await system.spawn(Words)
    assert_type(add, histrio.Ref[histrio.NoMessage])
    assert_type(words, histrio.Ref[histrio.NoMessage])
    assert_type(await add.join(int), int)
    assert_type(add.control.watch_states(Step), histrio.Feed[Step])
    assert_type(add.control.watch_states(Step, latest=True), histrio.Feed[Step])
    assert_type(add.control.nudge(), histrio.Future[None])
    assert_type(add.control.pause(now=True), histrio.Future[None])
    histrio.child("add", Add, 6, right=4).with_(restart=histrio.TRANSIENT)

    await add.tell("go on")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add.control.watch_states(int)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
