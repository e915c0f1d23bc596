"""M1: handlers as marked methods: which are called, which are replaced, and which are refused where they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import attrs
import pytest

from histrio_kernel.machine.core.errors import SchemaError
from histrio_kernel.machine.core.results import Canceled
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.family import States
from histrio_kernel.machine.states.handlers import Handlers, handlers_of
from histrio_kernel.machine.states.state import State, any_state


@attrs.frozen
class Page:
    url: str


class Download(States):
    """What the handlers here are for."""

    fetching = State()
    fetched = State(Page)
    idle = State(auto=True)
    twice = State(multi=True)


class Upload(States):
    """Another class of states, with some of the same names."""

    fetching = State()
    sending = State()


Nothing = Transition[None]


class Every(Handlers, states=Download):
    """A handler of each kind."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def note(self, name: str) -> None:
        """Write down a call."""
        self.calls.append(name)

    @Download.fetching.may_enter
    def may_enter(self, t: Nothing) -> bool | None:
        self.note("may_enter")
        return True

    @Download.fetching.may_exit
    def may_exit(self, t: Nothing) -> bool:
        self.note("may_exit")
        return True

    @Download.fetching.stays
    def stays(self, t: Nothing) -> None:
        self.note("stays")

    @Download.fetching.beside(Download.idle)
    def beside(self, t: Transition[object]) -> None:
        self.note("beside")

    @any_state.may_enter
    def any_may_enter(self, t: Transition[object]) -> None:
        self.note("any may_enter")

    @Download.fetching.entered
    def entered(self, t: Nothing) -> None:
        self.note("entered")

    @Download.fetching.exited
    def exited(self, t: Nothing) -> None:
        self.note("exited")

    @any_state.entered
    def any_entered(self, t: Transition[object]) -> None:
        self.note("any entered")


def machine_with(*owners: object) -> Machine:
    """A machine to which these are bound."""
    machine = Machine(Download)
    for owner in owners:
        machine.bind(owner)
    return machine


def test_every_kind_is_called_in_its_place() -> None:
    """M1: negotiation, then finals; with the object that was bound as `self`."""
    every = Every()
    machine = machine_with(every)

    machine.add(Download.fetching)
    whole = ["may_enter", "any may_enter", "entered", "any entered"]
    auto = ["stays", "beside", "any may_enter", "any entered"]
    assert every.calls == whole + auto
    every.calls.clear()
    machine.remove(Download.fetching)
    assert every.calls == ["may_exit", "beside", "any may_enter", "exited", "any entered"]


def test_only_false_vetoes() -> None:
    """M1: None and True accept; whatever else is a `TypeError` that names the handler, and no veto."""
    answers: list[object] = [None, True, False, 0, "", "no"]

    class Answering(Handlers, states=Download):
        @Download.fetching.may_enter
        def answer(self, t: Nothing) -> bool | None:
            return answers[0]  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    machine = machine_with(Answering())
    outcomes: list[object] = []
    while answers:
        result = machine.add(Download.fetching)
        outcomes.append(type(result.error) if isinstance(result, Canceled) else True)
        machine.set()
        answers.pop(0)

    assert outcomes == [True, True, type(None), TypeError, TypeError, TypeError]


def test_several_objects_are_asked_in_the_order_of_binding() -> None:
    """M1: the first veto stops the rest."""
    asked: list[str] = []

    class Voter(Handlers, states=Download):
        def __init__(self, name: str, vote: bool) -> None:
            self.name, self.vote = name, vote

        @Download.fetching.may_enter
        def ask(self, t: Nothing) -> bool:
            asked.append(self.name)
            return self.vote

    machine = machine_with(Voter("a", True), Voter("b", False), Voter("c", True))

    assert not machine.add(Download.fetching)
    assert asked == ["a", "b"]


def test_one_method_may_have_several_marks() -> None:
    """M1: it is called for each of them."""
    seen: list[str] = []

    class Both(Handlers, states=Download):
        @Download.fetching.entered
        @Download.twice.entered
        @Download.fetching.exited
        def note(self, t: Nothing) -> None:
            seen.append(f"{t.op}")

    machine = machine_with(Both())
    machine.add(Download.fetching, Download.twice)
    machine.remove(Download.fetching)

    assert seen == ["add", "add", "remove"]


def test_any_object_with_marked_methods_can_be_bound() -> None:
    """M1: `Handlers` only finds mistakes earlier."""
    seen: list[object] = []

    class Free:
        @Download.fetching.entered
        def note(self, t: Nothing) -> None:
            seen.append(self)

    free = Free()
    machine = machine_with(free)
    machine.add(Download.fetching)

    assert seen == [free]
    machine.unbind(free)
    machine.set()
    machine.add(Download.fetching)
    assert seen == [free]
    with pytest.raises(ValueError, match="not bound"):
        machine.unbind(free)
    with pytest.raises(SchemaError, match="no handlers"):
        machine.bind(object())
    with pytest.raises(SchemaError, match="bind an object"):
        machine.bind(Free)


def test_two_objects_of_one_class_are_two_bindings() -> None:
    """M1: each is called with itself, and is taken away alone."""
    first, second = Every(), Every()
    machine = machine_with(first, second)

    machine.unbind(first)
    machine.add(Download.fetching)

    assert first.calls == []
    assert second.calls[0] == "may_enter"


# -- subclasses ----------------------------------------------------------------------------------------------------------


def test_a_subclass_adds_handlers_and_the_same_name_replaces() -> None:
    """M1: a method without marks of its own keeps those of the method that it replaces; one with marks has only those."""
    seen: list[str] = []

    class Base(Handlers, states=Download):
        @Download.fetching.entered
        def one(self, t: Nothing) -> None:
            seen.append("base one")

        @Download.twice.entered
        def two(self, t: Nothing) -> None:
            seen.append("base two")

        @Download.idle.entered
        def three(self, t: Nothing) -> None:
            seen.append("base three")

    class Sub(Base):
        def one(self, t: Nothing) -> None:
            seen.append("sub one")

        @Download.twice.exited
        def two(self, t: Nothing) -> None:
            seen.append("sub two")

        @Download.fetching.exited
        def four(self, t: Nothing) -> None:
            seen.append("sub four")

        three = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    machine = machine_with(Sub())
    machine.add(Download.fetching, Download.twice)
    assert seen == ["sub one"]
    machine.set()
    assert seen == ["sub one", "sub four", "sub two"]


def test_a_replaced_handler_may_call_the_one_it_replaces() -> None:
    """M1: it is a method."""

    class Louder(Every):
        def entered(self, t: Nothing) -> None:
            self.note("louder")
            super().entered(t)

    louder = Louder()
    machine_with(louder).add(Download.fetching)

    assert louder.calls[2:4] == ["louder", "entered"]


def test_handlers_of_several_bases_come_together() -> None:
    """M1: mixins bring their own."""
    seen: list[str] = []

    class Left:
        @Download.fetching.entered
        def left(self, t: Nothing) -> None:
            seen.append("left")

    class Right:
        @Download.fetching.exited
        def right(self, t: Nothing) -> None:
            seen.append("right")

    class Both(Left, Right, Handlers, states=Download):
        pass

    machine = machine_with(Both())
    machine.add(Download.fetching)
    machine.set()

    assert seen == ["left", "right"]


def test_handlers_of_a_base_schema_serve_a_machine_of_a_subclass() -> None:
    """M1, M10: also if the state was defined anew there."""
    seen: list[str] = []

    class Quick(Download):
        fetching = State(multi=True)
        more = State()

    class Quicker(Every, states=Quick):
        @Quick.more.entered
        def more(self, t: Nothing) -> None:
            seen.append("more")

    every, quicker = Every(), Quicker()
    machine = Machine(Quick)
    machine.bind(every)
    machine.bind(quicker)
    machine.add(Quick.fetching, Quick.more)
    machine.add("fetching")

    assert every.calls.count("entered") == quicker.calls.count("entered") == 2
    assert seen == ["more"]
    assert handlers_of(Every, Quick.schema()) is handlers_of(Every, Quick.schema())


# -- what is refused -----------------------------------------------------------------------------------------------------


def _unknown_state() -> object:
    class Wrong(Handlers, states=Download):
        @Upload.sending.entered
        def send(self, t: Nothing) -> None: ...

    return Wrong


def _same_name_of_another_class() -> object:
    class Wrong(Handlers, states=Download):
        @Upload.fetching.entered
        def fetch(self, t: Nothing) -> None: ...

    return Wrong


def _unknown_target() -> object:
    class Wrong(Handlers, states=Download):
        @Download.fetching.beside(Upload.sending)
        def send(self, t: Transition[object]) -> None: ...

    return Wrong


def _duplicate() -> object:
    class Wrong(Handlers, states=Download):
        @Download.fetching.entered
        def one(self, t: Nothing) -> None: ...

        @Download.fetching.entered
        def two(self, t: Nothing) -> None: ...

    return Wrong


def _duplicate_in_a_subclass() -> object:
    class Wrong(Every):
        @Download.fetching.entered
        def another(self, t: Nothing) -> None: ...

    return Wrong


def _duplicate_sync_and_async() -> object:
    class Wrong(Handlers, states=Download):
        @Download.fetching.entered
        def one(self, t: Nothing) -> None: ...

        @Download.fetching.entered
        async def two(self, t: Nothing) -> None: ...

    return Wrong


def _beside_itself() -> object:
    class Wrong(Handlers, states=Download):
        @Download.fetching.beside(Download.fetching)
        def one(self, t: Transition[object]) -> None: ...

    return Wrong


async def _slow(self: object, t: Transition[None]) -> None: ...


async def _slow_any(self: object, t: Transition[object]) -> None: ...


def _quick(self: object, t: Transition[None]) -> None: ...


REFUSED: Final[dict[str, tuple[Callable[[], object], str]]] = {
    "a state of another class": (_unknown_state, "Wrong.send handles <State Upload.sending>"),
    "a state of another class with the same name": (_same_name_of_another_class, "another state of that name"),
    "a target of another class": (_unknown_target, "Wrong.send handles <State Upload.sending>"),
    "two for one thing": (_duplicate, "one and two both handle fetching.entered"),
    "two for one thing, one inherited": (_duplicate_in_a_subclass, "entered and another both handle"),
    "two for one thing, one async": (_duplicate_sync_and_async, "one and two both handle"),
    "beside itself": (_beside_itself, "not beside itself"),
    "an async may_enter": (
        lambda: Download.fetching.may_enter(_slow),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        "_slow is a coroutine function, and .*may_enter must answer at once",
    ),
    "an async may_exit": (
        lambda: Download.fetching.may_exit(_slow),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        "must answer at once",
    ),
    "an async stays": (
        lambda: Download.fetching.stays(_slow),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        "must answer at once",
    ),
    "an async beside": (
        lambda: Download.fetching.beside(Download.idle)(_slow_any),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        "must answer at once",
    ),
    "an async any_state.may_enter": (
        lambda: any_state.may_enter(_slow_any),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        "must answer at once",
    ),
    "an async any_state.entered": (
        lambda: any_state.entered(_slow_any),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        "part of the transition",
    ),
    "a deadline of a sync handler": (
        lambda: Download.fetching.entered(deadline_s=1)(_quick),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        "only an async handler",
    ),
    "a deadline of 0": (lambda: Download.fetching.exited(deadline_s=0), "more than 0"),
    "a deadline that is no number": (lambda: Download.fetching.exited(deadline_s=float("nan")), "more than 0"),
    "no method": (
        lambda: cast(Any, Download.fetching.entered)(3),
        "marks a method, got 3",
    ),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_handler_is_refused_where_it_is_written(make: Callable[[], object], words: str) -> None:
    """M1: an unknown state, a wrong kind or a duplicate in one binding is an error at class creation."""
    with pytest.raises(SchemaError, match=words):
        make()


def test_the_nearest_name_is_suggested() -> None:
    """M1: for a state that the machine does not have."""

    class Near(States):
        fetchin = State()

    with pytest.raises(SchemaError, match="did you mean 'fetching'"):

        class _Wrong(Handlers, states=Download):  # pyright: ignore[reportUnusedClass]
            @Near.fetchin.entered
            def fetch(self, t: Nothing) -> None: ...


def test_what_was_refused_is_not_half_bound() -> None:
    """M1: a machine to which a wrong class was to be bound goes on as before."""

    class Wrong:
        @Download.fetching.entered
        def one(self, t: Nothing) -> None: ...

        @Upload.sending.entered
        def two(self, t: Nothing) -> None: ...

    machine = Machine(Download)

    with pytest.raises(SchemaError):
        machine.bind(Wrong())
    assert machine.add(Download.fetching)


def test_a_mark_leaves_a_method_as_it_is() -> None:
    """M1: it can be called by itself, and has its name."""
    every = Every()
    machine = Machine(Download)
    machine.attach(keep := Keep())
    machine.add(Download.fetching)

    every.entered(keep.last)
    assert every.calls == ["entered"]
    assert every.entered.__name__ == "entered"


class Keep(Tracer):
    """Keeps the last transition."""

    last: Transition[None]

    def end(self, transition: Transition[object]) -> None:
        """Keep it."""
        self.last = cast("Transition[None]", transition)
