"""A18: the names that `Actor` defines are few, read-only, and checked when a class is made."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import attrs
import pytest
import trio
import trio.testing
from tests.actors.classes import new_actor

import histrio
from histrio import Actor, NotStarted

VALUES: Final = ("ref", "system", "parent", "io", "states", "timers", "children")
HOOKS: Final = ("started", "stopped", "receive", "unhandled", "run")
METHODS: Final = (
    "background",
    "promise",
    "spawn",
    "finish",
    "stash",
    "unstash",
    "become",
    "tell_first",
    "select",
    "filter",
    "receive_next",
    "unchanged",
    "touch",
    "turn",
)
SETTINGS: Final = (
    "serial",
    "sealed",
    "in_flight_max",
    "inbox_max",
    "waiting_max",
    "overflow",
    "io_max",
    "redeliver_max",
    "stash_max",
    "start_s",
    "shutdown_s",
)
NAMES: Final = VALUES + HOOKS + METHODS + SETTINGS


class Bare(Actor[int]):
    """Without a word of its own."""


class WithHooks(Actor[int]):
    """Its hooks are its own functions."""

    async def started(self) -> None: ...
    async def stopped(self, reason: histrio.Reason) -> None: ...
    async def receive(self, message: int) -> None: ...
    async def unhandled(self, message: int) -> None: ...
    async def run(self) -> None: ...


class WithSettings(Actor[int]):
    """Its settings are its own values."""

    serial = True
    sealed = True
    in_flight_max = 2
    inbox_max = 3
    waiting_max = 4
    overflow = histrio.DROP_NEW
    io_max = 5
    start_s = 6.0
    shutdown_s = 7.0
    redeliver_max = 8
    stash_max = 9


@attrs.define
class Defined(Actor[int]):
    first: int
    second: int = 2


@attrs.frozen
class Frozen(Actor[int]):
    first: int


@attrs.define(slots=False)
class Unslotted(Actor[int]):
    first: int


@dataclass
class Data(Actor[int]):
    first: int
    second: int = 2


ACTORS: Final[dict[str, Callable[[], Actor[int]]]] = {
    "bare": Bare,
    "hooks": WithHooks,
    "settings": WithSettings,
    "attrs": lambda: Defined(1),
    "attrs, without slots": lambda: Unslotted(1),
    "dataclass": lambda: Data(1),
}


def test_the_names_are_few_and_known() -> None:
    """A18: what `Actor` defines for everybody to see is exactly this list."""
    public = {name for name in dir(Actor) if not name.startswith("_")}

    assert public == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ACTORS)
def test_assigning_over_a_name_raises_at_once(kind: str, name: str) -> None:
    """A18: assigning and deleting are refused, and the error names class and attribute; the value stays."""
    actor = ACTORS[kind]()
    for attempt in (partial(setattr, actor, name, 1), partial(delattr, actor, name)):
        with pytest.raises(AttributeError, match=rf"{type(actor).__name__}.*{name}|{name}.*read-only"):
            attempt()
    if name in HOOKS + METHODS:
        assert callable(getattr(actor, name))


@pytest.mark.parametrize("name", NAMES)
async def test_assigning_in_init_fails_the_spawn(name: str) -> None:
    """A18: it raises where it is written, before there is an actor: `spawn` raises it and nothing lives."""

    class Wrong(Actor[int]):
        def __init__(self) -> None:
            setattr(self, name, "mine")

    async with histrio.open_system() as system:
        with pytest.raises(AttributeError, match=name):
            await system.spawn(Wrong)
        assert system.tree().children == ()


@pytest.mark.parametrize("name", NAMES)
async def test_assigning_in_a_running_actor_raises(name: str) -> None:
    """A18: the same when it lives, for frozen attrs classes in their own words."""
    raised: list[str] = []

    class Assigns(Actor[int]):
        async def receive(self, message: int) -> None:
            with pytest.raises(AttributeError, match=name) as caught:
                setattr(self, name, message)
            raised.append(str(caught.value))

    async with histrio.open_system() as system:
        assigns = await system.spawn(Assigns)
        await assigns.tell(1)
        await trio.testing.wait_all_tasks_blocked()

    assert len(raised) == 1


@pytest.mark.parametrize("name", [*VALUES, *METHODS])
def test_a_class_cannot_define_over_a_name(name: str) -> None:
    """A18: a class attribute or method of that name is refused when the class is made; the error names both."""
    with pytest.raises(TypeError, match=rf"Made.{name} belongs to histrio.Actor"):
        new_actor(Actor[int], **{name: 1})


@pytest.mark.parametrize("name", ["io", "children", "select", "states"])
def test_a_base_that_is_no_actor_cannot_either(name: str) -> None:
    """A18: a mixin before `Actor` would hide the name from everybody, so it is refused like the class itself."""
    mixin = type("Mixin", (), {name: 1})
    with pytest.raises(TypeError, match=rf"{name} belongs to histrio.Actor"):
        new_actor(mixin, Actor[int])


@pytest.mark.parametrize("name", VALUES)
def test_an_attrs_field_cannot_have_such_a_name(name: str) -> None:
    """A18: an attrs class with such a field cannot be made, or at the latest not be constructed."""
    with pytest.raises((TypeError, AttributeError), match=name):
        attrs.make_class("Fields", {name: attrs.field()}, bases=(Bare,), slots=True)(1)
    with pytest.raises((TypeError, AttributeError), match=name):
        attrs.make_class("Fields", {name: attrs.field()}, bases=(Bare,), slots=False)(1)


def test_other_attributes_cost_nothing() -> None:
    """A18: the names are data descriptors, so there is no `__setattr__` or `__getattribute__` of ours on the way."""
    for kind in (Bare, WithHooks, WithSettings, Data):
        for special in ("__setattr__", "__getattribute__", "__delattr__"):
            assert getattr(kind, special) is getattr(object, special)
        assert not hasattr(kind, "__getattr__")


# -- values that are read ----------------------------------------------------------------------------------------------


def test_settings_are_read_from_the_class() -> None:
    """A18: an instance reads the value of its class, given or by default."""
    given = WithSettings()
    assert (given.serial, given.in_flight_max, given.inbox_max, given.waiting_max) == (True, 2, 3, 4)
    assert (given.overflow, given.io_max, given.start_s, given.shutdown_s) == (histrio.DROP_NEW, 5, 6.0, 7.0)
    assert (given.redeliver_max, given.stash_max) == (8, 9)
    default = Bare()
    assert (default.serial, default.in_flight_max, default.inbox_max, default.waiting_max) == (False, 256, 1024, 4096)
    assert (default.overflow, default.io_max, default.start_s, default.shutdown_s) == (histrio.WAIT, None, 60, 5)
    assert (default.redeliver_max, default.stash_max) == (0, 0)
    assert WithSettings.inbox_max == 3


def test_settings_are_inherited() -> None:
    """A18: a subclass has the settings of its base, and may give its own."""

    class Derived(WithSettings):
        inbox_max = 30

    assert (Derived().inbox_max, Derived().io_max, Derived().serial) == (30, 5, True)
    assert WithSettings().inbox_max == 3


NO_COUNTS: Final[tuple[object, ...]] = (0, -1, True, 1.5, float("inf"), "3", None)
NO_TIMES: Final[tuple[object, ...]] = (-0.1, float("nan"), "1", True, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("in_flight_max", "inbox_max", "waiting_max") for value in NO_COUNTS],
        *[("io_max", value) for value in NO_COUNTS if value is not None],
        *[(name, value) for name in ("redeliver_max", "stash_max") for value in NO_COUNTS if value != 0],
        *[(name, value) for name in ("start_s", "shutdown_s") for value in NO_TIMES],
        *[(name, value) for name in ("serial", "sealed") for value in (1, 0, None, "no")],
        *[("overflow", value) for value in ("wait", None, histrio.LATEST, 3)],
    ],
    ids=lambda each: repr(each).partition(" at 0x")[0],
)
def test_settings_are_checked_when_the_class_is_made(name: str, value: object) -> None:
    """A18: a setting that could not work is a `TypeError` that names class, setting and value, and what it must be."""
    with pytest.raises(TypeError, match=rf"Made.{name} is .*; it must be") as caught:
        new_actor(Actor[int], **{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("in_flight_max", 1),
        ("inbox_max", 10**9),
        ("io_max", None),
        ("redeliver_max", 0),
        ("stash_max", 0),
        ("start_s", float("inf")),
        ("shutdown_s", 0),
    ],
)
def test_settings_at_their_limits(name: str, value: object) -> None:
    """A18: the smallest and the largest that make sense are taken."""
    assert getattr(new_actor(Actor[int], **{name: value})(), name) == value


# -- before there is a place -------------------------------------------------------------------------------------------


def promise_of(actor: Actor[int]) -> histrio.Promise[int]:
    """A promise, typed as they are."""
    return actor.promise()


USES: Final[dict[str, Callable[[Actor[int]], object]]] = {
    "ref": lambda actor: actor.ref,
    "system": lambda actor: actor.system,
    "parent": lambda actor: actor.parent,
    "children": lambda actor: actor.children,
    "timers": lambda actor: actor.timers,
    "io": lambda actor: actor.io,
    "io(...)": lambda actor: actor.io(trio.sleep, 1),
    "io.disk": lambda actor: actor.io.disk,
    "background": lambda actor: actor.background(trio.sleep, 1),
    "promise": promise_of,
    "finish": lambda actor: actor.finish(1),
    "stash": lambda actor: actor.stash(1),
    "unstash": lambda actor: actor.unstash(),
    "become": lambda actor: actor.become(None),
    "tell_first": lambda actor: actor.tell_first(1),
    "touch": lambda actor: actor.touch("name"),
    "turn": lambda actor: actor.turn(),
    "unchanged": lambda actor: actor.unchanged("name").__enter__(),
}


@pytest.mark.parametrize("use", USES)
async def test_a_door_in_init_is_not_started(use: str) -> None:
    """A18: in `__init__` there is no place yet: `NotStarted` names class and attribute, and says where to do it."""
    name = use.partition("(")[0].partition(".")[0]

    class Early(Actor[int]):
        def __init__(self) -> None:
            USES[use](self)

    async with histrio.open_system() as system:
        with pytest.raises(NotStarted, match=rf"Early.{name} .*started") as caught:
            await system.spawn(Early)
        assert "__init__" in str(caught.value)
        assert system.tree().children == ()


async def test_an_actor_that_was_never_spawned_is_not_started() -> None:
    """A18: the async methods of an object without a place raise `NotStarted` too."""
    alone = Bare()
    calls: list[Callable[[], Any]] = [
        lambda: alone.spawn(Bare),
        lambda: alone.select(int),
        lambda: alone.filter(int),
        alone.receive_next,
    ]
    for call in calls:
        with pytest.raises(NotStarted, match=r"Bare\."):
            await call()


# -- ways to write a class ---------------------------------------------------------------------------------------------


async def test_init_need_not_call_super() -> None:
    """A18: what an actor needs of ours is set after `__init__`, whatever that does."""

    class NoSuper(Actor[int]):
        def __init__(self, seen: list[int]) -> None:
            self.seen = seen

        async def receive(self, message: int) -> None:
            self.seen.append(message)

    seen: list[int] = []
    async with histrio.open_system() as system:
        await (await system.spawn(NoSuper, seen)).tell(1)

    assert seen == [1]


@attrs.define
class Counting(Actor[int]):
    seen: list[object]
    started_with: int = 0

    async def started(self) -> None:
        self.started_with = 10
        await super().started()

    async def receive(self, message: int) -> None:
        self.seen.append(self.started_with + message)


@attrs.define
class CountingMore(Counting):
    more: int = 5

    async def receive(self, message: int) -> None:
        await super().receive(message + self.more)


@attrs.frozen
class CountingFrozen(Actor[int]):
    seen: list[object]

    async def receive(self, message: int) -> None:
        await self.io(trio.lowlevel.checkpoint)
        self.seen.append(message)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            self.seen = []  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@attrs.define(slots=False, eq=True)
class CountingUnslotted(Actor[int]):
    seen: list[object]

    async def receive(self, message: int) -> None:
        self.seen.append(message)


@dataclass
class CountingData(Actor[int]):
    seen: list[object]

    async def receive(self, message: int) -> None:
        self.seen.append(message)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(Counting, 11), (CountingMore, 16), (CountingFrozen, 1), (CountingUnslotted, 1), (CountingData, 1)],
)
async def test_attrs_and_data_classes_work_as_actors(kind: Any, expected: int) -> None:
    """A18: with slots, frozen, derived, compared by value and so without a hash; `super()` in a hook too."""
    seen: list[object] = []
    async with histrio.open_system() as system:
        ref = cast("histrio.Ref[int]", await system.spawn(kind, seen))
        await ref.tell(1)
        await trio.testing.wait_all_tasks_blocked()

    assert seen == [expected]


def test_an_abstract_hook_must_be_overridden() -> None:
    """A18: `abc.abstractmethod` means for hooks what it means for any method."""

    class Abstract(Actor[int], abc.ABC):
        @abc.abstractmethod
        async def receive(self, message: int) -> None: ...

    class Concrete(Abstract):
        async def receive(self, message: int) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
    assert isinstance(Concrete(), Abstract)


async def test_an_actor_may_have_slots() -> None:
    """A18: a class with `__slots__` has the attributes that it says, and no others."""

    class Slotted(Actor[int]):
        __slots__ = ("seen",)

        def __init__(self, seen: list[int]) -> None:
            self.seen = seen

        async def receive(self, message: int) -> None:
            self.seen.append(message)
            with pytest.raises(AttributeError):
                setattr(self, "other", 1)  # noqa: B010 - type checkers know the slots

    seen: list[int] = []
    async with histrio.open_system() as system:
        await (await system.spawn(Slotted, seen)).tell(1)

    assert seen == [1]
