"""M10: typed arguments of states: how they are made, checked where they are written, and seen by handlers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import attrs
import msgspec
import pytest
import trio

from histrio_kernel.machine.core.results import EXECUTED, Canceled, Queued, Result
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.family import States
from histrio_kernel.machine.states.handlers import Handlers, NoArguments
from histrio_kernel.machine.states.state import Called, State

T = TypeVar("T")


class Quacks(Protocol):
    """Not to be asked by isinstance."""

    def quack(self) -> None: ...


@attrs.frozen
class Page:
    """What is fetched."""

    url: str
    tries: int = 3


@attrs.frozen
class Fetched:
    """All have defaults."""

    data: bytes = b""


@attrs.frozen
class Wide:
    """Annotations of every sort."""

    a: Any = None
    b: Literal["x", "y"] = "x"
    c: Sequence[str] = ()
    d: Callable[[], int] = int
    e: Mapping[str, int] | None = None
    f: float = 1.0
    g: complex = 1j
    h: Quacks | None = None
    i: object = None
    j: type[int] = int


@attrs.frozen
class Converted:
    """What is given need not be of the type; what is kept must."""

    number: int = attrs.field(converter=int)


@dataclasses.dataclass
class Data:
    x: int
    y: str = "y"


class Named(NamedTuple):
    x: int


class Packed(msgspec.Struct):
    x: int


class Plain:
    def __init__(self, x: int) -> None:
        self.x = x


@attrs.frozen
class Box(Generic[T]):
    value: T


def made(x: int) -> str:
    """A function makes arguments, too."""
    return str(x)


Loose = attrs.make_class("Loose", ["x"])


class Download(States):
    """The example of the design, and some more."""

    fetching = State(Page)
    fetched = State(Fetched)
    implied = State(Page)
    busy = State(add=[implied])
    free = State(auto=True, require=[fetched])
    many = State(Page, multi=True)
    wide = State(Wide)
    converted = State(Converted)
    data = State(Data)
    named = State(Named)
    packed = State(Packed)
    plain = State(Plain)
    box = State(Box[int])
    made = State(made)
    loose = State(Loose)
    number = State(int)
    quiet = State()


# -- made ----------------------------------------------------------------------------------------------------------------


def test_a_state_is_called_like_its_class() -> None:
    """M10: by position or by name; the defaults are those of the class."""
    called = Download.fetching("u", tries=5)

    assert isinstance(called, Called)
    assert called.state is Download.fetching
    assert called.args == Page("u", 5)
    assert Download.fetched().args == Fetched()
    assert Download.quiet().args is None
    assert Download.wide(1, "y", ["s"], int, {"a": 1}, 3, 3, None, 7, bool).args.f == 3
    assert Download.converted("12").args.number == 12


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: Download.data(3), Data(3)),
        (lambda: Download.named(3), Named(3)),
        (lambda: Download.packed(3), Packed(3)),
        (lambda: Download.box(3), Box(3)),
        (lambda: Download.made(3), "3"),
        (lambda: Download.loose(3), Loose(3)),
        (lambda: Download.number(3), 3),
    ],
)
def test_any_class_or_function_makes_arguments(make: Callable[[], Called[object]], value: object) -> None:
    """M10: attrs, dataclasses, named tuples, msgspec, plain ones, generic ones, built-in ones."""
    assert make().args == value


def wrong_calls() -> list[tuple[Callable[[], object], str]]:
    """What is refused, and in what words."""

    def missing() -> None:
        Download.fetching()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    def misspelt() -> None:
        Download.fetching(ur="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    def too_many() -> None:
        Download.fetching("u", 3, 4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    def wrong_type() -> None:
        Download.fetching(url=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def wrong_type_by_position() -> None:
        Download.fetching("u", "3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def wrong_default_type() -> None:
        Download.fetched(data="s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def no_sequence() -> None:
        Download.wide(c=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def no_mapping() -> None:
        Download.wide(e=[])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def no_number() -> None:
        Download.wide(f="s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def wrong_for_dataclass() -> None:
        Download.data("s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def wrong_for_tuple() -> None:
        Download.named(x="s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def wrong_for_struct() -> None:
        Download.packed(x="s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def takes_none() -> None:
        Download.quiet(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    return [
        (missing, r"Download.fetching takes \(url, tries\); .*missing.*'url'"),
        (misspelt, "did you mean 'url'"),
        (too_many, "takes"),
        (wrong_type, "Download.fetching: url is 3, a int; it must be str"),
        (wrong_type_by_position, "tries is '3', a str; it must be int"),
        (wrong_default_type, "must be bytes"),
        (no_sequence, "must be Sequence"),
        (no_mapping, r"must be Mapping \| NoneType"),
        (no_number, r"must be int \| float"),
        (wrong_for_dataclass, "x is 's'"),
        (wrong_for_tuple, "x is 's'"),
        (wrong_for_struct, "x is 's'"),
        (takes_none, "Download.quiet takes no arguments"),
    ]


@pytest.mark.parametrize(("make", "words"), wrong_calls())
def test_wrong_arguments_are_refused_where_they_are_written(make: Callable[[], object], words: str) -> None:
    """M10: a missing one, a wrong name, a wrong type: a `TypeError` that names the state and the nearest name."""
    with pytest.raises(TypeError, match=words):
        make()


# -- given to a machine --------------------------------------------------------------------------------------------------


class Notes(Handlers, states=Download):
    """Writes down the arguments that its handlers see."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    @Download.fetching.may_enter
    @Download.fetching.may_exit
    @Download.fetching.stays
    @Download.fetching.entered
    @Download.fetching.exited
    def fetching(self, t: Transition[Page]) -> None:
        try:
            self.seen.append(t.args)
        except NoArguments:
            self.seen.append("none")

    @Download.fetched.entered
    def fetched(self, t: Transition[Fetched]) -> None:
        self.seen.append(t.args)

    @Download.implied.entered
    def implied(self, t: Transition[Page]) -> None:
        self.seen.append(Download.implied.args_in(t))
        self.seen.append(t.args)

    @Download.free.entered
    def free(self, t: Transition[None]) -> None:
        self.seen.append(t.args)


def machine_with_notes() -> tuple[Machine, Notes]:
    """A machine, and what its handlers see."""
    notes = Notes()
    machine = Machine(Download)
    machine.bind(notes)
    return machine, notes


def test_handlers_see_the_arguments_of_their_state() -> None:
    """M10: one mutation, several states, each with its own."""
    machine, notes = machine_with_notes()

    assert machine.add(Download.fetching("u"), Download.fetched(b"d"))
    assert notes.seen == [Page("u"), Page("u"), Fetched(b"d"), "none", None], "at last those of the auto transition"


def test_handlers_of_a_mutation_for_another_state_see_none() -> None:
    """M10: `fetching` stays and leaves by mutations that have no arguments for it."""
    machine, notes = machine_with_notes()
    machine.add(Download.fetching("u"))
    notes.seen.clear()

    machine.add(Download.quiet)
    machine.remove(Download.fetching)

    assert notes.seen == ["none", "none", "none"]


def test_arguments_of_a_remove() -> None:
    """M10: a state that leaves may be told why."""
    machine, notes = machine_with_notes()
    machine.add(Download.fetching("u"))
    notes.seen.clear()

    assert machine.remove(Download.fetching("why"))
    assert notes.seen == [Page("why"), Page("why")]


def test_all_defaults_need_not_be_given() -> None:
    """M10: a state whose arguments have defaults is called by itself; its handlers see the defaults."""
    machine, notes = machine_with_notes()

    assert machine.add(Download.fetched)
    assert machine.remove("fetched")
    assert machine.add(Download.fetched, Download.quiet)
    assert notes.seen == [Fetched(), None, Fetched(), None]


def test_an_implied_state_has_no_arguments() -> None:
    """M10: it was not called itself: `args` raises `NoArguments`, `args_in` is None; and nothing else is broken."""
    machine, notes = machine_with_notes()

    result = machine.add(Download.busy)

    assert isinstance(result, Canceled)
    assert isinstance(result.error, NoArguments)
    assert "Download.implied.args_in(transition)" in str(result.error)
    assert notes.seen == [None]
    assert machine.error is result.error


@pytest.mark.parametrize("way", ["add", "set", "toggle", "can_add"])
def test_required_arguments_must_be_given(way: str) -> None:
    """M10: a `TypeError` in the caller, which says how to write it; nothing has changed."""
    machine, notes = machine_with_notes()
    ways: dict[str, Callable[[], object]] = {
        "add": lambda: machine.add(Download.quiet, Download.fetching),
        "set": lambda: machine.set(Download.fetching),
        "toggle": lambda: machine.toggle(Download.fetching),
        "can_add": lambda: machine.can_add(Download.fetching),
    }

    with pytest.raises(TypeError, match=r"Download.fetching needs arguments .*write Download.fetching\(url="):
        ways[way]()
    assert machine.names == ()
    assert notes.seen == []


def test_what_leaves_needs_no_arguments() -> None:
    """M10: a remove, a toggle that is one, and a dry run of one."""
    machine, _ = machine_with_notes()
    machine.add(Download.fetching("u"))

    assert machine.can_remove(Download.fetching)
    assert machine.toggle(Download.fetching)
    assert Download.fetching not in machine
    assert machine.remove(Download.fetching)


def test_a_known_edge_does_not_let_a_state_in_without_arguments() -> None:
    """M10, M11: what was done with arguments is remembered, and still needs them the next time."""
    machine = Machine(Download)
    for _ in range(3):
        assert machine.add(Download.fetching("u"))
        assert machine.set(Download.fetching("u"))
        machine.set()
        with pytest.raises(TypeError, match="needs arguments"):
            machine.add(Download.fetching)
        with pytest.raises(TypeError, match="needs arguments"):
            machine.toggle(Download.fetching)
    assert machine.tick(Download.fetching) == 6


def test_what_answers_for_a_state_takes_it_with_arguments() -> None:
    """M10, M4: a state with arguments names its state, wherever a state is named."""
    machine, _ = machine_with_notes()

    assert machine.can_add(Download.fetching("u")) is EXECUTED
    assert machine.names == ()
    assert machine.toggle(Download.fetching("u"))
    assert Download.fetching in machine
    assert machine.toggle(Download.fetching("u"))
    assert Download.fetching not in machine


def test_arguments_make_each_call_count() -> None:
    """M5: two equal calls with arguments are two mutations, each with its own."""
    seen: list[Page] = []
    results: list[Result] = []

    class Twice(Handlers, states=Download):
        @Download.quiet.entered
        def begin(self, t: Transition[None]) -> None:
            results.extend(machine.add(Download.many(str(number))) for number in (1, 1, 2))

        @Download.many.entered
        def many(self, t: Transition[Page]) -> None:
            seen.append(t.args)

    machine = Machine(Download)
    machine.bind(Twice())
    machine.add(Download.quiet)

    assert [type(result) for result in results] == [Queued] * 3
    assert seen == [Page("1"), Page("1"), Page("2")]
    assert machine.tick(Download.many) == 5


def test_the_transition_of_a_handler_is_the_transition() -> None:
    """M10: in the dress of one state it says all that it says without, and what becomes of it, too."""
    kept: list[Transition[Page]] = []

    class Keeping(Handlers, states=Download):
        @Download.fetching.may_enter
        def keep(self, t: Transition[Page]) -> None:
            kept.append(t)

    machine = Machine(Download)
    machine.bind(Keeping())
    machine.add(Download.fetching("u"), Download.fetched)

    transition = kept[0]
    assert transition.result is EXECUTED
    assert transition.moved
    assert transition.schema.spell(transition.called) == "fetching, fetched"
    assert transition.schema.spell(transition.enters) == "fetching, fetched"
    assert transition.args == Page("u")
    assert Download.fetched.args_in(transition) is None
    assert Download.fetching.args_in(transition) == Page("u")


async def test_a_task_sees_its_arguments() -> None:
    """M7, M10: an async `entered` has those of its own state."""
    seen: list[Page] = []

    class Fetching(Handlers, states=Download):
        @Download.fetching.entered
        async def fetch(self, t: Transition[Page]) -> None:
            await trio.lowlevel.checkpoint()
            seen.append(t.args)

    async with Machine(Download) as machine:
        machine.bind(Fetching())
        machine.add(Download.quiet, Download.fetching("u"))
        await trio.testing.wait_all_tasks_blocked()

    assert seen == [Page("u")]


async def test_waiting_for_arguments() -> None:
    """M6, M10: equal attributes, or a predicate; a state that enters with others, or as implied, does not end the wait."""
    machine = Machine(Download)
    by_url = machine.when_args(Download.fetching, url="right")

    def is_patient(page: Page) -> bool:
        return page.tries > 5

    by_size = machine.when_args(Download.fetching, is_patient)

    machine.add(Download.fetching("wrong"))
    machine.remove(Download.fetching)
    assert not by_url.is_done
    machine.add(Download.fetching("right"))
    transition = await by_url
    assert transition is not None
    assert Download.fetching.args_in(transition) == Page("right")
    assert not by_size.is_done
    machine.remove(Download.fetching)
    machine.add(Download.fetching("u", 6))
    assert await by_size is not None
    with pytest.raises(TypeError, match="did you mean 'url'"):
        machine.when_args(Download.fetching, ur="x")
