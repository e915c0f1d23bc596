"""J3: what goes into a durable process and what comes out of it is looked at before anything depends on it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final, cast

import attrs
import pytest
from tests.durable.jobs import Inputs, Job, Outputs, Stage
from tests.durable.worlds import in_virtual_time, open_world, told

import histrio
from histrio.durable import ContinueAs, DurableActor, DurableNext, DurableProcess, WrongInputs, WrongOutputs
from histrio_kernel.journal.stored import Stored

AnyProcess = DurableProcess[Stage, object, object]


@attrs.define(on_setattr=[])
class Loose:
    """Inputs that can be changed to what their validator does not allow."""

    script: tuple[str, ...] = attrs.field(validator=attrs.validators.min_len(1))
    seconds: float = attrs.field(default=0.0, converter=float)
    _hidden: int = 1


@attrs.frozen
class Both:
    """Outputs whose constructor looks at both fields."""

    low: int = 0
    high: int = 0

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


class Narrow(DurableProcess[Stage, Loose, Both], behaviour="ports.narrow"):
    """Is done with what its inputs say."""

    start = True

    async def advance(self) -> DurableNext[Stage, Both]:
        low, high = self.inputs.script
        return histrio.Done({"low": int(low), "high": int(high)})


def loose_and_empty() -> Loose:
    """It was allowed when it was made."""
    inputs = Loose(("a", "b"))
    inputs.script = ()
    return inputs


GIVEN: Final[list[tuple[object, object, str, str]]] = [
    (Job, dict[str, object](), "script", "/job: the input 'script' of Inputs is missing"),
    (
        Job,
        {"script": ("to TWO",), "second": 1},
        "second",
        "/job: Inputs has no input 'second'; it has script, seconds",
    ),
    (
        Job,
        {"script": ("to TWO",), "seconds": -1},
        "seconds",
        "/job: the input 'seconds' of Inputs is wrong: ValueError: 'seconds' must be >= 0: -1",
    ),
    (Job, "to TWO", "", "/job: its inputs are Inputs, and not 'to TWO'"),
    (
        Narrow,
        {"script": ("a",), "seconds": "no number"},
        "seconds",
        "/job: the input 'seconds' of Loose is wrong: ValueError: could not convert string to float: 'no number'",
    ),
    (Narrow, {"script": ("a",), "_hidden": 1}, "_hidden", "has no input '_hidden'; it has script, seconds, hidden"),
    (
        Narrow,
        loose_and_empty(),
        "script",
        "/job: the input 'script' of Loose is wrong: ValueError: Length of 'script' must be >= 1: 0",
    ),
]
WRONG: Final = [(cast("type[AnyProcess]", kind), *rest) for kind, *rest in GIVEN]


@pytest.mark.parametrize(("kind", "given", "field", "text"), WRONG, ids=lambda value: str(value)[:20])
def test_wrong_inputs_are_refused_at_creation(kind: type[AnyProcess], given: object, field: str, text: str) -> None:
    """J3: nothing is stored, and the error names the process and the input."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            with pytest.raises(WrongInputs) as caught:
                await tree.spawn(kind, given, name="job")
            assert (caught.value.path, caught.value.field) == ("/job", field)
            assert text in str(caught.value)
            assert tree.states() == {}

    in_virtual_time(main)
    assert stored.read("/job", 0) == []


class Parent(DurableActor[str], behaviour="ports.parent"):
    """Spawns a process of wrong inputs, then one of right ones."""

    @histrio.handler(str)
    async def spawn_two(self, name: str) -> None:
        with pytest.raises(WrongInputs, match=r"/parent/wrong: the input 'script' of Inputs is missing"):
            await self.spawn(Job, dict[str, object](), name="wrong")
        right = await self.spawn(Job, {"script": ("outputs",)}, name="right")
        with pytest.raises(histrio.ActorFailed) as caught:
            await right.join()
        self.finish(str(caught.value.reason.cause))


def test_a_durable_parent_is_told_too() -> None:
    """J3: the wrong one is not in the journal, also not in that of its parent; who joins has the name of the output."""
    stored = Stored()

    async def main() -> object:
        async with open_world(stored) as tree:
            parent = await tree.spawn(Parent, name="parent")
            if tree.states()["/parent"] == "live":
                await parent.tell("go")
            return await parent.join()

    said = "/parent/right: the output 'made' of Outputs is missing"
    assert in_virtual_time(main) == said
    assert in_virtual_time(main) == said
    assert not any("wrong" in line for line in told(stored, "/parent"))


@pytest.mark.parametrize(
    ("kind", "inputs", "field", "text"),
    [
        (Job, {"script": ("outputs",)}, "made", "/job: the output 'made' of Outputs is missing"),
        (
            Job,
            {"script": ("outputs made",)},
            "made",
            "/job: the output 'made' of Outputs is wrong: TypeError: 'made' must be <class 'int'>",
        ),
        (
            Job,
            {"script": ("outputs more",)},
            "more",
            "/job: Outputs has no output 'more'; it has made, got",
        ),
        (Narrow, {"script": ("2", "1")}, "", "/job: the outputs are no Both: ValueError: low is above high"),
    ],
    ids=["missing", "wrong", "unknown", "together"],
)
def test_wrong_outputs_are_a_failure(
    kind: type[AnyProcess], inputs: Mapping[str, object], field: str, text: str
) -> None:
    """J3: the process has failed, not finished; the error names the output, also after a restart of the program."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await tree.spawn(kind, inputs, name="job")
            with pytest.raises(histrio.ActorFailed) as caught:
                await ref.join()
            error = caught.value.reason.cause
            assert isinstance(error, WrongOutputs)
            assert (error.path, error.field) == ("/job", field)
            assert text in str(error)
            assert await ref.control.kill() is histrio.Phase.FAILED

    in_virtual_time(main)
    in_virtual_time(main)


def test_right_ones_are_objects() -> None:
    """J3: inputs and outputs that were given as mappings are objects of their classes."""

    async def main() -> object:
        async with open_world(Stored()) as tree:
            job = await tree.spawn(Job, {"script": ("to TWO",)}, name="job")
            narrow = await tree.spawn(Narrow, {"script": ("1", "2")}, name="narrow")
            return await job.join(), await narrow.join()

    assert in_virtual_time(main) == (Outputs(1), Both(1, 2))


class Nothing(enum.Enum):
    """No states."""


def no_ports() -> object:
    """It names no states."""

    class Bare(DurableProcess):  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument]
        """It names nothing."""

    return Bare


def no_states() -> object:
    """Its Enum has no members."""

    class Stateless(DurableProcess[Nothing, Inputs, Outputs]):
        """Its Enum is empty."""

    return Stateless


def no_attrs() -> object:
    """Its outputs are a number."""

    class Numbers(DurableProcess[Stage, Inputs, int]):
        """Its outputs have no fields."""

    return Numbers


def own_init() -> object:
    """It wants to be made of something else."""

    class Own(Job):
        def __init__(self) -> None:  # type: ignore[misc]  # pyright: ignore[reportIncompatibleMethodOverride]
            """Not for processes."""

    return Own


def sync_advance() -> object:
    """Its advance is no coroutine function."""

    class Sync(Job):
        def advance(self) -> DurableNext[Stage, Outputs]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            return self.to(Stage.ONE)

    return Sync


def eager_steps() -> object:
    """It starts by itself, and waits for nudges."""

    class Eager(Job):
        drive = histrio.Drive.STEP

    return Eager


def foreign_initial() -> object:
    """It begins in a state of something else."""

    class Foreign(Job):
        initial = histrio.Drive.FREE

    return Foreign


def no_nudges() -> object:
    """It takes no nudge."""

    class Deaf(Job):
        nudges_max = 0

    return Deaf


def endless_clean_up() -> object:
    """Its clean-up has no deadline."""

    class Endless(Job):
        shutdown_s = float("inf")

    return Endless


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (no_ports, "Bare does not say what its states, inputs and outputs are"),
        (no_states, "is no Enum class that has members"),
        (no_attrs, "<class 'int'> in DurableProcess[...] is no attrs class; declare one"),
        (own_init, "Own.__init__ belongs to DurableProcess; what it is made of is self.inputs"),
        (sync_advance, "Sync.advance must be `async def`"),
        (eager_steps, "Eager.start is True, but its drive is STEP"),
        (foreign_initial, "Foreign.initial is <Drive.FREE: 'free'>; it must be one of its states: Stage.ONE"),
        (no_nudges, "Deaf.nudges_max is 0; it must be a whole number, 1 or more"),
        (endless_clean_up, "Endless.shutdown_s is inf; it must be a number of seconds, 0 or more"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_class_that_says_what_cannot_be(make: Callable[[], object], text: str) -> None:
    """J3: it is refused when it is made, in words."""
    with pytest.raises(TypeError) as caught:
        make()
    assert text in str(caught.value)


class Mistaken(DurableProcess[Stage, Inputs, Outputs], behaviour="ports.mistaken"):
    """Says what says nothing."""

    start = True

    async def advance(self) -> DurableNext[Stage, Outputs]:
        wrong: dict[str, object] = {
            "nothing": None,
            "state": Stage.TWO,
            "future": self.sleep(1),
            "outputs": Outputs(1),
            "done twice": histrio.Done(histrio.Done(Outputs(1))),
            "anew": ContinueAs(Mistaken, Inputs(("nothing",))),
        }
        match self.inputs.script[0]:
            case "to":
                self.to(cast(Stage, "TWO"))
            case "finish":
                self.finish(Outputs(1))
            case "wait":
                self.wait(cast("histrio.Future[object]", 5))
            case word:
                return cast("histrio.Done[Outputs]", wrong[word])
        raise AssertionError


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("nothing", "returned None (does each of its branches return?)"),
        ("state", "returned <Stage.TWO: 2> (for that state: self.to(Stage.TWO))"),
        ("future", "(to wait for that: self.wait(future))"),
        ("outputs", "(to be done with that: histrio.Done(outputs))"),
        ("done twice", "a process is done once; return what is in it"),
        ("anew", "(its past is rolled up between advances, if it has snapshot_every, snapshot() and restore())"),
        ("finish", "finish(Outputs(made=1, got=())): a process is done by `return histrio.Done(outputs)`"),
        ("to", "to('TWO'): that is no state of Mistaken; its states are Stage.ONE, Stage.TWO, Stage.THREE"),
        ("wait", "wait(5): that is no future that its journal knows"),
    ],
)
def test_an_advance_that_says_nothing(word: str, text: str) -> None:
    """J3: the process fails by an error that says what was probably meant."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await tree.spawn(Mistaken, Inputs((word,)), name="job")
            with pytest.raises(histrio.ActorFailed) as caught:
                await ref.join()
            assert text in str(caught.value.reason.cause)

    in_virtual_time(main)
