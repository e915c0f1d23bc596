"""An actor that says it is sealed, and shares what can change, is refused: nothing is proved about it."""

import datetime as dt
import enum
import logging
from collections.abc import Callable
from typing import ClassVar, Final

import attrs
import pytest
from tests.simulation.strategies.sealed_actors import Go, Program, lost_update_fixed, search_world

import histrio
from histrio.testing import World, explore
from histrio_kernel.simulation.errors import NotSealed
from histrio_kernel.simulation.sealed import Seals
from histrio_kernel.simulation.strategies.exhaustive import Exhaustive

SHARED: Final[dict[str, int]] = {}
KNOWN: Final = ("a", 1, b"b", frozenset({1.5}), None)
LOG: Final = logging.getLogger(__name__)
calls = 0


class Colour(enum.Enum):
    """Cannot change."""

    RED = "red"


@attrs.frozen
class Parcel:
    """A frozen message, with whatever in it."""

    inside: object = None


@attrs.define
class Loose:
    """A message whose fields can be set."""

    inside: int = 0


def remember() -> None:
    """Changes what is global, on behalf of whoever calls."""
    SHARED["calls"] = SHARED.get("calls", 0) + 1


class Sealed(histrio.Actor[Go | Parcel | Loose]):
    """The base of those below, which do nothing wrong by themselves."""

    sealed = True

    async def receive(self, message: Go | Parcel | Loose) -> object:
        LOG.debug("%s %s", message, KNOWN)
        return Parcel((Colour.RED, dt.date(2020, 1, 1), self.ref))


class UsesGlobal(Sealed):
    async def receive(self, message: Go | Parcel | Loose) -> object:
        return len(SHARED)


class CallsHelper(Sealed):
    async def receive(self, message: Go | Parcel | Loose) -> object:
        remember()
        return None


class HasAttribute(Sealed):
    seen: ClassVar[list[int]] = []


class HasDefault(Sealed):
    async def receive(self, message: Go | Parcel | Loose, seen: list[int] = []) -> object:  # noqa: B006 - this is the breach
        return len(seen)


class Rebinds(Sealed):
    async def receive(self, message: Go | Parcel | Loose) -> object:
        global calls  # noqa: PLW0603 - this is the breach
        calls += 1
        return calls


class RebindsAttribute(Sealed):
    total: ClassVar[int] = 0

    async def receive(self, message: Go | Parcel | Loose) -> object:
        RebindsAttribute.total += 1
        return RebindsAttribute.total


class TakesArgument(Sealed):
    def __init__(self, given: object) -> None:
        self.given: Final = given


@attrs.frozen
class Question(histrio.Request[list[int]]):
    """Is answered with a list."""


class RepliesLoosely(histrio.Actor[Question]):
    sealed = True

    async def receive(self, message: Question) -> list[int]:
        return [1]


class Lists(histrio.Actor[Question]):
    """Says nothing of itself, and answers with a list."""

    async def receive(self, message: Question) -> list[int]:
        return [1]


class AsksLoosely(histrio.Actor[Go]):
    """Says that it is sealed, and asks for a list."""

    sealed = True

    def __init__(self, other: histrio.Ref[Question]) -> None:
        self.other: Final = other

    async def receive(self, message: Go) -> None:
        await self.other.ask(Question())


async def is_answered_loosely(world: World) -> None:
    """A sealed actor is answered with a list by one that is not."""
    ref = await world.spawn(AsksLoosely, await world.spawn(Lists))
    ref.tell_nowait(Go())
    await world.settle()


async def asks_who_is_not_sealed(world: World) -> None:
    """Nobody here says anything of himself."""
    assert await (await world.spawn(Lists)).ask(Question()) == [1]


class ClosesOver(Sealed):
    @staticmethod
    def make() -> type[Sealed]:
        """A class whose method closes over a dictionary."""
        inside: dict[str, int] = {}

        class Closes(Sealed):
            async def receive(self, message: Go | Parcel | Loose) -> object:
                return len(inside)

        return Closes


def telling(cls: Callable[[], histrio.Actor[Go | Parcel | Loose]], message: Go | Parcel | Loose) -> Program:
    """A program that sends a message to an actor, and waits."""

    async def main(world: World) -> None:
        ref = await world.spawn(cls)
        ref.tell_nowait(message)
        await world.settle()

    return main


async def asks_loosely(world: World) -> None:
    """Asks an actor that answers with a list."""
    ref = await world.spawn(RepliesLoosely)
    await ref.ask(Question())


async def given_a_dictionary(world: World) -> None:
    """Makes an actor with an argument that can change."""
    await world.spawn(TakesArgument, {"a": 1})
    await world.settle()


BREACHES: Final[dict[str, tuple[Program, str]]] = {
    "a global": (telling(UsesGlobal, Go()), r"the global SHARED, used in UsesGlobal.receive, is a builtins.dict"),
    "a global of a helper": (telling(CallsHelper, Go()), r"the global SHARED, used in remember, is a builtins.dict"),
    "an attribute of the class": (telling(HasAttribute, Go()), r"HasAttribute.seen is a builtins.list"),
    "a default": (telling(HasDefault, Go()), r"a default of HasDefault.receive is a builtins.list"),
    "a global that is rebound": (telling(Rebinds, Go()), r"Rebinds.receive rebinds the global calls"),
    "an attribute that is rebound": (telling(RebindsAttribute, Go()), r"RebindsAttribute.total has been rebound"),
    "an argument": (given_a_dictionary, r"the argument given is a builtins.dict"),
    "a message": (telling(Sealed, Loose()), r"a message to it is a .*Loose, which can change"),
    "inside a message": (telling(Sealed, Parcel((1, [2]))), r"a message to it.inside\[1\] is a builtins.list"),
    "a reply": (asks_loosely, r"its reply is a builtins.list"),
    "an answer to it": (is_answered_loosely, r"its reply is a builtins.list"),
    "what it closes over": (
        telling(ClosesOver.make(), Go()),
        r"inside, which .*receive closes over, is a builtins.dict",
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_what_can_change_is_refused(breach: str) -> None:
    """D3: whatever way a sealed actor shares something that can change, the run fails and says what, where, and whose."""
    program, text = BREACHES[breach]
    searched = search_world(Exhaustive(), program, runs=1)

    assert isinstance(searched.error, NotSealed)
    assert searched.error.args[0].startswith(("/", "TakesArgument"))
    with pytest.raises(NotSealed, match=text):
        raise searched.error


@pytest.mark.parametrize(
    "message", [Go(), Parcel(), Parcel((1, "a", Colour.RED, frozenset({b"x"}), 1.5, (None, True)))]
)
def test_data_may_be_shared(message: Go | Parcel) -> None:
    """D3: what cannot change is no breach: numbers, text, enums, tuples, frozen classes, refs, loggers."""
    searched = search_world(Exhaustive(checks=0), telling(Sealed, message), runs=50)

    assert searched.error is None
    assert searched.exhausted


def test_who_is_not_sealed_may_share() -> None:
    """D3: an actor that says nothing of itself is not looked at; its steps meet all others, so its race is found."""
    shared: dict[str, int] = {}

    class Open(histrio.Actor[Go]):
        async def receive(self, message: Go) -> None:
            before = shared["n"]
            await self.io.clock.sleep(0)
            shared["n"] = before + 1

    async def main(world: World) -> int:
        shared["n"] = 0
        for actor in (await world.spawn(Open), await world.spawn(Open)):
            actor.tell_nowait(Go())
        await world.settle()
        return shared["n"]

    searched = search_world(Exhaustive(), main, runs=100)

    assert searched.error is None
    assert searched.values == {1, 2}


@pytest.mark.parametrize("strategy", ["mix", "exhaustive"])
def test_explore_says_who_is_not_sealed(strategy: str) -> None:
    """D3: a breach is told as what it is, by whatever strategy meets it; who says nothing of himself may answer anything."""
    with pytest.raises(NotSealed, match=r"its reply is a builtins.list"):
        explore(is_answered_loosely, 40, strategy=strategy)
    assert not explore(asks_who_is_not_sealed, 40, strategy=strategy).failed


CAN_CHANGE: Final[list[object]] = [
    [], {}, set[int](), bytearray(), Loose(), iter(()), object(), lambda: SHARED, (1, ([],)), Parcel(Parcel({})),
]  # fmt: skip


@pytest.mark.parametrize("value", CAN_CHANGE)
def test_what_cannot_be_judged_can_change(value: object) -> None:
    """D3: only what is known not to change passes, however deep it lies."""
    assert Seals().shared(value, "it") is not None


def test_a_sealed_class_is_told_by_a_bool() -> None:
    """The error names the class and what is allowed."""
    with pytest.raises(TypeError, match=r"Odd.sealed is 'yes'; it must be True or False"):
        type("Odd", (histrio.Actor,), {"sealed": "yes"})


def test_the_programs_of_the_other_tests_are_sealed() -> None:
    """D3: otherwise they would prove nothing."""
    assert search_world(Exhaustive(), lost_update_fixed, runs=3).error is None
