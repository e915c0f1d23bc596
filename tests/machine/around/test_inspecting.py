"""M12: a machine looked at: on a page, on a line, and stopped at."""

from collections.abc import Callable

import pytest
from tests.machine.around.small import PLAIN, machine_of, when
from tests.machine.lab import Keeper

from histrio_kernel.machine.around.inspecting import Breakpoint, inspect, one_line
from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.schema import Definition
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.states.mixins import Connected


def pump() -> Machine[str]:
    """A machine with something to show."""
    on = Definition(multi=True, require=["power"], add=["noise"], remove=["off"], after=["power"], tags=["main"])
    return machine_of("pump", "power", on=on, noise=PLAIN, off=Definition(auto=True, quiet=True))


def test_a_line_has_ticks() -> None:
    """M12: the active states in their order with ticks, and the others behind if wanted."""
    machine = pump()
    machine.add("power", "on")
    machine.add("on")
    assert one_line(machine) == f"({' '.join(f'{name}:{machine.tick(name)}' for name in machine.names)})"
    assert one_line(machine, inactive=True).endswith(") [off:0 exception:0]")
    assert machine.tick("on") == 3
    assert one_line(machine_of("m", "a")) == "()"


def test_a_page_has_everything() -> None:
    """M12: states with ticks, flags, relations and tags, active ones marked; error, queue and transition if there are."""
    machine = pump()
    machine.add("power", "on")
    machine.fail(OSError("hot"))
    assert inspect(machine).split("\n") == [
        "pump: 4 of 5 states active",
        "* power     1",
        "* on        1  multi; require power; add noise; remove off; after power; tags main",
        "* noise     1",
        "  off       0  auto, quiet",
        "* exception 1  multi, keep",
        "error: OSError('hot')",
    ]
    assert inspect(machine, ["off", "on"]).split("\n")[1:3] == [
        "  off 0  auto, quiet",
        "* on  1  multi; require power; add noise; remove off; after power; tags main",
    ]
    machine.dispose()
    assert inspect(machine, []).split("\n")[-1] == "disposed"


def test_a_page_from_inside_a_transition() -> None:
    """M12: what runs and what waits."""
    machine, pages = machine_of("m", "a", "b"), list[str]()

    def look(transition: Transition) -> None:
        machine.remove("a")
        machine.add("b")
        pages.append(inspect(machine, []))

    when(machine, "a", look)
    machine.add("a")

    assert pages[0].split("\n")[1:] == ["queue: -a, +b", "transition: <Transition 1 +a: running>"]


def test_an_unknown_state_is_named() -> None:
    """M12: of a page, and of a breakpoint."""
    with pytest.raises(UnknownState, match="did you mean 'power'"):
        inspect(pump(), ["powr"])
    with pytest.raises(UnknownState, match="did you mean 'power'"):
        Breakpoint(pump(), print, added=["powr"])
    with pytest.raises(ValueError, match=r"added=\[...\] or removed=\[...\]"):
        Breakpoint(pump(), print)


def stops(machine: Machine[str], do: Callable[[], object], *, strict: bool = False) -> list[str]:
    """What a breakpoint for adding a and b, and for removing a, is told of."""
    told: list[str] = []

    def tell(mutation: Mutation) -> None:
        told.append(f"{mutation.op.sign}{machine.schema.spell(mutation.called)}")

    with Breakpoint(machine, tell, added=["a", "b"], removed=["a"], strict=strict):
        do()
    do()
    return told


def test_a_breakpoint_stops_at_what_names_its_states() -> None:
    """M12: an add or set that names all of them, a remove likewise, each once; no dry run, and nothing after its block."""
    machine = machine_of("m", "a", "b", "c")

    def mutate() -> None:
        machine.add("a")
        machine.add("b", "c", "a")
        machine.set("a", "b")
        machine.toggle("a", "b")
        machine.can_add("a", "b")
        machine.remove("b")
        machine.remove("a")

    assert stops(machine, mutate) == ["+b, c, a", "=a, b", "-a, b", "-a"]


def test_a_strict_breakpoint_skips_what_is_so_already() -> None:
    """M12: strict, it stops only where one of its states would come or leave."""
    machine = machine_of("m", "a", "b")

    def mutate() -> None:
        machine.add("a", "b")
        machine.add("a", "b")
        machine.remove("a")
        machine.remove("a")

    assert stops(machine, mutate, strict=True) == ["+a, b", "-a"]


def test_a_breakpoint_is_in_the_stack_of_who_mutates() -> None:
    """M12: a mutation from inside a handler is told there, not when its turn comes."""
    machine, order = machine_of("m", "a", "b"), list[str]()

    def mutate(transition: Transition) -> None:
        order.append("before")
        machine.add("b")
        order.append("after")

    when(machine, "a", mutate)
    Breakpoint(machine, lambda _: order.append("stop"), added=["b"])
    machine.add("a")

    assert order == ["before", "stop", "after"]


def test_a_breakpoint_for_what_the_machine_makes_itself() -> None:
    """M12: auto states and exceptions, each once, reported or raised."""
    machine = machine_of("m", "a", "b", idle=Definition(auto=True, require=["a"]))
    machine.set_shell(Keeper())
    autos, errors = list[Mutation](), list[Mutation]()
    Breakpoint(machine, autos.append, added=["idle"])
    Breakpoint(machine, errors.append, added=["exception"])

    def fail(transition: Transition) -> None:
        raise OSError

    when(machine, "b", fail)
    machine.add("a")
    assert len(autos) == 1
    machine.add("b")
    assert len(errors) == 1
    machine.fail(OSError())
    assert len(errors) == 2


def test_objects_name_states() -> None:
    """M12: states of a class are as good as names."""
    machine = Machine(Connected.schema())
    told: list[Mutation] = []
    Breakpoint(machine, told.append, added=[Connected.start])
    machine.add("start")

    assert len(told) == 1
    assert inspect(machine, [Connected.start]).endswith("* start 1")
