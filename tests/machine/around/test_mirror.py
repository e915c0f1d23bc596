"""M9, M10: a mirror is equal to its source, and read-only."""

from collections.abc import Callable
from typing import Final, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.around.small import MULTI, PLAIN, machine_of, when, written
from tests.machine.drawn import mutate, mutations, schemas
from tests.machine.lab import Keeper, raises

from histrio_kernel.machine.around.mirror import Mirror, ReadOnly
from histrio_kernel.machine.around.pipes import PipeRefused, pipe, pipes_into
from histrio_kernel.machine.around.watcher import unkeyed
from histrio_kernel.machine.core.errors import SchemaError, UnknownState
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.machine import Machine as ShellMachine
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.machine.states.mixins import Connected
from histrio_kernel.machine.states.state import StateLike


def fail(owner: object, transition: Transition) -> object:
    """A handler that fails."""
    return raises(transition)


@settings(max_examples=count("machine_examples"))
@given(st.data(), st.booleans())
def test_a_mirror_is_equal_to_its_source(data: st.DataObject, ticks: bool) -> None:
    """M10: after every mutation the mirrored states, and with `ticks` their ticks, are those of the source."""
    source: Machine[str] = Machine(data.draw(schemas()), "source")
    failing = data.draw(st.lists(st.sampled_from(source.schema.names[:-1]), max_size=2, unique=True))
    source.set_shell(Keeper())
    source.bind(HandlerTable(Handler(Slot(Kind.ENTERED, name), fail) for name in failing))
    for mutation in data.draw(mutations(source.schema, 3)):
        mutate(unkeyed(source), mutation)
    names = data.draw(st.lists(st.sampled_from(source.schema.names[:-1]), min_size=1, unique=True))
    mirror = Mirror(source, names, ticks=ticks)
    assert_equal(mirror, source, names, ticks=ticks)

    for mutation in data.draw(mutations(source.schema, 8)):
        mutate(unkeyed(source), mutation)
        assert_equal(mirror, source, names, ticks=ticks)


def assert_equal(mirror: Mirror[str], source: Machine[str], names: list[str], *, ticks: bool) -> None:
    """The states, and the ticks if they are to be."""
    assert [name in mirror for name in names] == [name in source for name in names]
    if ticks:
        assert [mirror.tick(name) for name in names] == [source.tick(name) for name in names]


Misuse: TypeAlias = Callable[[Mirror[str]], object]

MISUSES: Final[list[Misuse]] = [
    lambda m: m.add("a"),
    lambda m: m.remove("a"),
    lambda m: m.set(),
    lambda m: m.toggle("a"),
    lambda m: m.fail(OSError()),
    lambda m: m.evolve(m.schema),
    lambda m: m.load(m.export()),
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_a_mirror_is_read_only(misuse: Misuse) -> None:
    """M10: every mutation of a mirror is refused with the name of the machine to mutate; nothing changes."""
    source = machine_of("source", "a")
    mirror = Mirror(source, name="mirror")
    with pytest.raises(ReadOnly, match=r"^mirror is a mirror of source: mutate that$"):
        misuse(mirror)

    assert not mirror.names
    source.add("a")
    assert mirror.names == ("a",)


def test_a_mirror_has_handlers_and_none_that_could_veto() -> None:
    """M10: final handlers are called as the source changes; a negotiating one is refused when it is bound."""
    source = machine_of("source", "a")
    mirror = Mirror(source)
    seen: list[str] = []
    when(mirror, "a", lambda t: seen.append(repr(t.op)))
    source.add("a")
    assert seen == ["add"]

    with pytest.raises(SchemaError, match=r"a\.may_enter could veto what has happened already"):
        when(mirror, "a", lambda t: False, Kind.MAY_ENTER)


def test_relations_and_autos_do_not_act_twice() -> None:
    """M10: a mirrored state comes and goes with the source only, whatever its relations say; `exception` is left out."""
    source = machine_of(
        "source",
        a=Definition(remove=["idle"]),
        idle=Definition(auto=True, remove=["a"]),
        b=Definition(require=["a"], multi=True),
    )
    mirror = Mirror(source, ["b", "idle"])
    assert mirror.schema.names == ("b", "idle", "exception")
    source.fail(OSError())
    source.set("a", "b")

    assert mirror.names == ("b",)
    assert "exception" not in Mirror(source)
    assert mirror.schema.definitions["b"].multi


def test_ticks_that_leave_no_trace_are_set() -> None:
    """M10: with `ticks`, what was rolled back or imported is there too; without, only states are kept."""
    source = machine_of("source", "a", "b", c=MULTI)
    exact, plain = Mirror(source, ticks=True), Mirror(source)
    source.bind(HandlerTable([Handler(Slot(Kind.ENTERED, "a"), fail)]))
    source.add("a")
    assert exact.tick("a") == 2
    assert plain.tick("a") == 0

    exported = source.export()
    source.add("b", "c")
    source.add("c")
    source.load(exported)
    exact.sync()
    plain.sync()
    assert exact.names == plain.names == ()
    source.add("c")
    assert exact.tick("c") == source.tick("c") == 1


def test_a_mirror_whose_own_handler_fails_catches_up() -> None:
    """M3, M10: its error is its own; the state is missing until it comes anew, and the mirror goes on following."""
    source = machine_of("source", "a", "b")
    mirror = Mirror(source, ticks=True)
    mirror.set_shell(Keeper())
    mirror.bind(HandlerTable([Handler(Slot(Kind.ENTERED, "a"), fail)]))
    source.add("a")
    assert "a" not in mirror
    source.add("b")
    assert "b" in mirror
    assert "exception" in mirror
    assert pipes_into(mirror)


def test_a_handler_of_the_mirror_may_mutate_the_source() -> None:
    """M10: then the mirror follows in its own queue, and is equal when that has ended."""
    source = machine_of("source", "a", "b")
    mirror = Mirror(source, ticks=True)
    when(mirror, "a", lambda _: source.add("b"))
    seen = written(mirror)
    source.add("a")

    assert seen == ["+a", "+b"]
    assert set(mirror.names) == {"a", "b"}


def test_a_mirror_can_be_closed_and_fed_from_nowhere_else() -> None:
    """M10: closed, it stays as it is; a pipe into it is refused by it as everybody is."""
    source, other = machine_of("source", "a", "b"), machine_of("other", "a")
    mirror = Mirror(source, name="mirror")
    assert [str(edge) for edge in pipes_into(mirror)] == ["source.a -> mirror.a", "source.b -> mirror.b"]
    keeper = Keeper()
    other.set_shell(keeper)
    made = pipe(other, "a", mirror)
    other.add("a")
    assert keeper.failed == [made]
    assert "a" not in mirror

    source.add("a")
    mirror.close()
    source.add("b")
    assert mirror.names == ("a",)
    with pytest.raises(PipeRefused, match="circle"):
        pipe(Mirror(source), "a", source, "a")


def test_a_state_that_the_source_loses_has_left() -> None:
    """M10: over `evolve` the mirror follows what is left of its states."""
    source = machine_of("source", "a", "b")
    mirror = Mirror(source, ticks=True)
    source.add("a", "b")
    source.evolve(Schema({"b": PLAIN}))

    assert mirror.names == ("b",)
    mirror.sync()
    assert mirror.names == ("b",)


def test_an_unknown_state_is_named() -> None:
    """M10: the source must have the states."""
    with pytest.raises(UnknownState, match="did you mean 'wet'"):
        Mirror(machine_of("source", "wet"), ["wett"])


class LiveMirror(Mirror[StateLike], ShellMachine):
    """A mirror that can be waited for."""


class Veto(Handlers, states=Connected):
    """Would veto."""

    @Connected.connected.may_enter
    def no(self, transition: Transition[None]) -> bool:
        return False


async def test_a_mirror_of_a_richer_machine(autojump_clock: object) -> None:
    """M6, M10: a mirror that inherits from the shell's machine takes objects for states, and its waits come true."""
    source = ShellMachine(Connected, "source")
    mirror = LiveMirror(source, [Connected.connected], "mirror")
    connected = mirror.when(Connected.connected)
    source.add(Connected.start, Connected.connected)
    await connected

    assert Connected.connected in mirror
    with pytest.raises(ReadOnly):
        mirror.add(Connected.connected)
    with pytest.raises(SchemaError, match=r"connected\.may_enter could veto"):
        mirror.bind(Veto())
