"""S7, A18: what authors of processes do wrong is refused in words, at class creation or by a named error with the path."""

import enum
import types
from collections.abc import Callable
from typing import Any, Final, cast

import attrs
import pytest
import trio
from tests.actors.processes.jobs import Job, Log, Stage, done
from trio.testing import MockClock

import histrio


class Empty(enum.Enum):
    """An Enum without members."""


class Other(enum.Enum):
    ODD = 1


class Mistaken(Job):
    """Its advance does what it is given."""

    start = True

    def __init__(self, does: Callable[["Mistaken"], object]) -> None:
        super().__init__([])
        self.does = does

    async def advance(self) -> histrio.Next[Stage, str]:
        return cast("histrio.Next[Stage, str]", self.does(self))


async def value() -> int:
    """A call that somebody forgot to make a future of."""
    return 1


def finished_before(process: Mistaken) -> object:
    """It has a result already, and gives another."""
    process.finish(1)
    return histrio.Done(2)


MISTAKES: Final[tuple[tuple[Callable[[Any], object], str], ...]] = (
    (lambda p: None, "advance() returned None (does each of its branches return?). It returns self.to(state)"),
    (lambda p: 3, "advance() returned 3. It returns self.to(state), self.wait(future) or histrio.Done(value)"),
    (lambda p: Stage.TWO, "advance() returned <Stage.TWO: 2> (for that state: self.to(Stage.TWO)). It"),
    (lambda p: p.io(value), " (to wait for that: self.wait(future)). It returns"),
    (lambda p: value(), " (did it forget an `await`?). It returns"),
    (
        lambda p: p.to(Other.ODD),
        "to(<Other.ODD: 1>): that is no state of Mistaken; its states are Stage.ONE, Stage",
    ),
    (lambda p: p.to("TWO"), "to('TWO'): that is no state of Mistaken"),
    (lambda p: p.wait(3), "wait(3): that is no future; self.io(f, ...) makes one of a call"),
    (lambda p: p.wait(value()), "that is no future; to wait for a call, self.io(f, ...) makes a future of it"),
    (
        lambda p: histrio.Done(histrio.Done(1)),
        "advance() returned Done(value=Done(value=1)): a process is done once",
    ),
    (
        finished_before,
        "advance() returned Done(value=2), but finish(1) has given a result already. A process is done",
    ),
)


@pytest.mark.parametrize(("does", "says"), MISTAKES)
async def test_a_wrong_advance_fails_the_process(does: Callable[[Any], object], says: str) -> None:
    """S7: an advance that says nothing, or asks for what there is not, fails by `WrongAdvance` that tells what to do."""
    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor, name="sup")
        job = await sup.start_child(histrio.child("job", Mistaken, does).with_(restart=histrio.TEMPORARY))
        with pytest.raises(histrio.ActorFailed) as failed:
            await job.join()

        error = failed.value.__cause__
        assert isinstance(error, histrio.WrongAdvance)
        assert error.path == "/sup/job"
        assert str(error).startswith("/sup/job: ")
        assert says in str(error)


async def test_a_process_without_advance(autojump_clock: MockClock) -> None:
    """S7: it fails at its first advance, and says what is missing."""

    class Idle(histrio.Process[Stage, str]):
        start = True

    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor, name="sup")
        job = await sup.start_child(histrio.child("job", Idle).with_(restart=histrio.TEMPORARY))

        with pytest.raises(histrio.ActorFailed, match=r"NotImplementedError: /sup/job: .*Idle has no advance\(\)"):
            await job.join()


async def test_a_process_without_states(autojump_clock: MockClock) -> None:
    """S7: a class that leaves its states open cannot be run; `initial` is enough to say them."""

    class Open(histrio.Process):  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument]
        start = True

        async def advance(self) -> histrio.Done[int]:
            return histrio.Done(1)

    class Said(Open):
        initial = Stage.TWO

    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor, name="sup")
        job = await sup.start_child(histrio.child("job", Open).with_(restart=histrio.TEMPORARY))
        with pytest.raises(histrio.ActorFailed, match="does not say what its states are"):
            await job.join()

        said = await sup.start_child(histrio.child("said", Said).with_(restart=histrio.TEMPORARY))
        assert await said.join() == 1


def new_process(**names: object) -> type[Job]:
    """A subclass of Job with these attributes."""
    return cast(type[Job], type("New", (Job,), {"__module__": __name__, **names}))


def not_async(*_: object) -> None:
    """No coroutine function."""


WRONG: Final[tuple[tuple[dict[str, object], str], ...]] = (
    ({"drive": "free"}, "New.drive is 'free'; it must be histrio.Drive.FREE or histrio.Drive.STEP"),
    ({"start": 1}, "New.start is 1; it must be True or False"),
    ({"rerunnable": None}, "New.rerunnable is None; it must be True or False"),
    ({"nudges_max": 0}, "New.nudges_max is 0; it must be a whole number, 1 or more"),
    ({"nudges_max": True}, "New.nudges_max is True; it must be a whole number, 1 or more"),
    ({"drive": histrio.Drive.STEP, "start": True}, "New.start is True, but its drive is STEP"),
    ({"initial": Other.ODD}, "New.initial is <Other.ODD: 1>; it must be one of its states: Stage.ONE, Stage.TWO"),
    ({"initial": "ONE"}, "New.initial is 'ONE'; it must be one of its states"),
    ({"run": Job.run}, "New.run belongs to histrio.Process; what a process does is written as `async def advance"),
    ({"state": Stage.ONE}, "New.state belongs to histrio.Process; choose another name"),
    ({"to": None}, "New.to belongs to histrio.Process; choose another name"),
    ({"wait": 1}, "New.wait belongs to histrio.Process; choose another name"),
    ({"advance": not_async}, "New.advance must be `async def`"),
    ({"killed": not_async}, "New.killed must be `async def`"),
    ({"spawn": None}, "New.spawn belongs to histrio.Actor; choose another name"),
)


@pytest.mark.parametrize(("names", "says"), WRONG)
def test_wrong_classes_are_refused(names: dict[str, object], says: str) -> None:
    """S7, A18: a setting that is none, or a name that is taken, is an error when the class is made."""
    with pytest.raises(TypeError) as refused:
        new_process(**names)

    assert str(refused.value).startswith(says)


@pytest.mark.parametrize("states", [int, Empty, "Stage", None])
def test_states_are_an_enum_with_members(states: object) -> None:
    """S7: what stands first in the brackets of `Process[...]` is an Enum class that has members."""
    generic = cast(Any, histrio.Process)
    with pytest.raises(TypeError, match=r"^New: .* in Process\[\.\.\.\] is no Enum class that has members$"):
        subclass_of(generic[states, int])


def subclass_of(base: Any) -> type:
    """A class New with that base."""
    return types.new_class("New", (base,))


@pytest.mark.parametrize(
    "name", ["state", "to", "wait", "advance", "killed", "drive", "start", "initial", "rerunnable"]
)
def test_names_of_a_process_are_read_only(name: str) -> None:
    """A18: assigning over a name that a process has raises at once."""
    job = Job([])

    with pytest.raises(AttributeError, match=rf"^Job\.{name} belongs to histrio\.Actor and is read-only"):
        setattr(job, name, 1)


def test_used_before_it_has_a_place() -> None:
    """A18: `self.to` of what is no state says so also in `__init__`, where there is no path yet."""
    with pytest.raises(histrio.NotStarted):
        Job([]).to(cast(Stage, 3))


async def test_attrs_classes_work_as_processes(autojump_clock: MockClock) -> None:
    """A18, S7: frozen and slotted ones too."""

    @attrs.frozen
    class Frozen(histrio.Process[Stage, int]):
        result: int

        async def advance(self) -> histrio.Next[Stage, int]:
            return self.to(Stage.TWO) if self.state is Stage.ONE else histrio.Done(self.result)

    @attrs.define
    class Slotted(histrio.Process[Stage, int]):
        drive = histrio.Drive.STEP
        result: int

        async def advance(self) -> histrio.Next[Stage, int]:
            return self.to(Stage.TWO)

        async def killed(self, reason: histrio.Reason) -> None:
            killed.append(self.result)

    killed: list[int] = []
    async with histrio.open_system() as system:
        frozen, slotted = await system.spawn(Frozen, 7), await system.spawn(Slotted, 8)
        frozen.control.nudge()
        slotted.control.nudge()
        assert await frozen.join(int) == 7
        await trio.sleep(1)
        assert slotted.control.inspect().state is Stage.TWO
        await slotted.control.kill()

        assert killed == [8]


async def test_no_message_can_be_made_or_sent(autojump_clock: MockClock) -> None:
    """S7, A16: a process takes no messages, and says so."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, done())
        with pytest.raises(TypeError, match="takes no messages"):
            histrio.NoMessage()
        with pytest.raises(TypeError, match=r"^/job#1: it takes NoMessage, not str"):
            await job.tell("hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
