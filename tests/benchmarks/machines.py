"""What a mutation of a machine costs: in `u`, beside figures of the Go original, and what a machine weighs.

A state is given by its name, as a program without a typed front would. All is warm: what the automaton remembers of
these states it has met before. The peers that live in Python are in tests/benchmarks/state_machines.py.
"""

# Design note
# -----------
# The original's figures were taken in `u`, interleaved with it on one thread, so they carry to any machine: a row with
# such a figure shows how many times as fast as the original we are, and its budget in `u` is turned round. A row without
# one has its budget for a peer. `u` itself is measured beside every slice of our work (`in_units`).
#
# Each work asserts that its mutations have done what they should, once for all of them: a machine that refuses is fast.

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from typing import Final, TypeAlias, TypedDict

import trio

from histrio_kernel.machine.around.watcher import unkeyed
from histrio_kernel.machine.core.handlers import Call, Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer
from histrio_kernel.machine.shell.machine import Machine as ShellMachine
from tests.benchmarks.measure import Row, Side, in_units
from tests.conformance.run_vectors import VECTORS, Operation, Relations, schema_of

Work: TypeAlias = Callable[[int], None]
"""Makes so many mutations of machines that are made and warm."""

NAMES: Final = ("a", "b", "c")
MACHINES: Final = 1_000

_MANY: Final = 90_000
_PASSES: Final = 450
"""Over the script of 193 mutations: so each slice is whole passes, in a quick run too."""


def cyclic() -> Schema:
    """Three states of which each removes the others."""
    return Schema({name: Definition(remove=[other for other in NAMES if other != name]) for name in NAMES})


def toggle() -> Work:
    """One state, on and off."""
    machine = Machine(Schema({"on": Definition()}))
    toggle = machine.toggle

    def work(mutations: int) -> None:
        before = machine.tick("on")
        for _ in range(mutations):
            toggle("on")
        assert machine.tick("on") == before + mutations

    return work


def in_turn(machine: Machine) -> Work:
    """Three states, one after the other: each mutation moves two clocks."""
    machine.add("c")
    add = machine.add

    def work(mutations: int) -> None:
        rounds, before = mutations // 3, sum(machine.time)
        for _ in range(rounds):
            add("a")
            add("b")
            add("c")
        assert sum(machine.time) == before + 6 * rounds

    return work


def in_turn_with_args(machine: Machine, args: object) -> Work:
    """The same with arguments."""
    machine.add("c", args=args)
    add = machine.add

    def work(mutations: int) -> None:
        rounds, before = mutations // 3, sum(machine.time)
        for _ in range(rounds):
            add("a", args=args)
            add("b", args=args)
            add("c", args=args)
        assert sum(machine.time) == before + 6 * rounds

    return work


def handled(kind: Kind, call: Call) -> Machine:
    """A machine of three states with one handler for each."""
    machine = Machine(cyclic())
    machine.bind(HandlerTable(Handler(Slot(kind, name), call) for name in NAMES))
    return machine


def told(owner: object, transition: Transition) -> None:
    """A final handler."""


def asked(owner: object, transition: Transition) -> bool:
    """A negotiating handler, which accepts."""
    return True


def reads_args(owner: object, transition: Transition) -> None:
    """A final handler that wants to know."""
    assert transition.args == {"url": "x"}


class Ends(Tracer):
    """Hears of the end of every transition."""

    def __init__(self) -> None:
        self.seen = 0

    def end(self, transition: Transition) -> None:
        """Count it."""
        self.seen += 1


def traced() -> Work:
    """Three states in turn, and one tracer."""
    machine, tracer = Machine(cyclic()), Ends()
    machine.attach(tracer)
    work = in_turn(machine)

    def seen(mutations: int) -> None:
        before = tracer.seen
        work(mutations)
        assert tracer.seen == before + mutations // 3 * 3

    return seen


class _Expected(TypedDict):
    """What a fresh machine has come to after so many passes over the script."""

    passes: int
    executed: int
    active: list[str]
    time: list[int]


class _Script(Relations):
    """A list of mutations, and what they come to."""

    script: list[Operation]
    expect: list[_Expected]


def script() -> Work:
    """The script on 20 states of the conformance vectors, again and again on one machine."""
    data: _Script = json.loads((VECTORS / "machine-bench.json").read_text(encoding="utf-8"))
    schema = schema_of(data)
    for expected in data["expect"]:
        machine = Machine(schema)
        results = [op(*states) for op, states in _calls(machine, data) * expected["passes"]]
        assert results.count(EXECUTED) == expected["executed"]
        assert list(machine.time) == expected["time"]
    machine = Machine(schema)
    calls = _calls(machine, data)

    def work(mutations: int) -> None:
        for _ in range(mutations // len(calls)):
            for op, states in calls:
                op(*states)
        assert sorted(machine.names) == sorted(data["expect"][0]["active"])

    return work


def _calls(machine: Machine, data: _Script) -> list[tuple[Callable[..., object], tuple[str, ...]]]:
    """The script as calls of that machine."""
    ops = {"add": machine.add, "remove": machine.remove, "set": machine.set, "toggle": machine.toggle}
    return [(ops[each["op"]], tuple(each["states"])) for each in data["script"]]


def round_robin() -> Work:
    """A thousand machines of one schema, one mutation each, in turn."""
    schema = cyclic()
    machines = [Machine(schema) for _ in range(MACHINES)]
    adds = [machine.add for machine in machines]

    def work(mutations: int) -> None:
        rounds, before = mutations // MACHINES, sum(machines[-1].time)
        for name in islice(cycle(NAMES), rounds):
            for add in adds:
                add(name)
        assert sum(machines[-1].time) >= before + 2 * (rounds - 1)  # the first may find its state active

    for add in adds:
        add("c")
    return work


def waited_for() -> Work:
    """Three states in turn, and before each mutation a wait for the state that it brings."""
    machine = ShellMachine(cyclic())
    machine.add("c")
    add, when = machine.add, machine.when

    def work(mutations: int) -> None:
        rounds, before = mutations // 3, sum(machine.time)
        for _ in range(rounds):
            when("a")
            add("a")
            when("b")
            add("b")
            when("c")
            add("c")
        wait = when("a")
        add("a")
        assert wait.is_done
        add("c")
        assert sum(machine.time) == before + 6 * rounds + 4

    return work


def waited_for_in_vain() -> Work:
    """Three states in turn, and a wait for another one, which never comes."""
    machine = ShellMachine(Schema({**cyclic().definitions, "never": Definition()}))
    wait, work = machine.when("never"), in_turn(unkeyed(machine))

    def waiting(mutations: int) -> None:
        work(mutations)
        assert not wait.is_done

    return waiting


def machine_bytes(make: Callable[[Schema], Machine], machines: int) -> float:
    """What one of so many machines of three states weighs, the clock of each a number of its own."""
    schema = cyclic()
    tracemalloc.start()
    try:
        first = make(schema)  # with all that its automaton remembers
        for name in NAMES:
            first.add(name)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        made = [make(schema) for _ in range(machines)]
        for machine in made:
            for name in NAMES:
                machine.add(name)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / machines
    finally:
        tracemalloc.stop()


def idle_shell(schema: Schema) -> Machine:
    """A machine that has been waited for, and is not any more."""
    machine = ShellMachine(schema)
    machine.when("a").cancel()
    return unkeyed(machine)


def in_trio(side: Side) -> Side:
    """The same in a Trio run: to wait takes one."""

    async def main(mutations: int) -> float:
        return side(mutations)

    return lambda mutations: trio.run(main, mutations)


def in_u(make: Callable[[], Work]) -> Side:
    """The cost of one of so many mutations; the first ones are not timed."""

    def side(mutations: int) -> float:
        work = make()
        work(3 * MACHINES)
        return in_units(work, mutations)

    return side


def go(figure: float) -> Side:
    """What one mutation costs in the original, in `u`."""
    return lambda _: figure


def beside_go(name: str, ours: Side, figure: float, budget: float, size: int = _MANY) -> Row:
    """A row for which the original has a figure; both are in `u`."""
    return Row(
        name=f"machine, {name}",
        unit=f"u, at most {budget:g}; the peer is in Go",
        ours=ours,
        peer=go(figure),
        budget=round(figure / budget, 2),
        size=size,
        peer_size=1,
    )


def within(name: str, ours: Side, budget: float) -> Row:
    """A row without such a figure."""
    return Row(
        name=f"machine, {name}",
        unit="u",
        ours=ours,
        limit=budget,
        higher_is_better=False,
        size=_MANY,
        peer_size=1,
    )


def weight(name: str, make: Callable[[Schema], Machine], budget: float) -> Row:
    """A row of bytes."""
    return Row(
        name=f"machine, {name}",
        unit="bytes/machine of 3 states",
        ours=in_trio(partial(machine_bytes, make)),
        limit=budget,
        higher_is_better=False,
        size=5_000,
        peer_size=1,
    )


ROWS: Final = (
    beside_go("toggle", in_u(toggle), figure=59, budget=10),
    beside_go("cycle of 3 states", in_u(lambda: in_turn(Machine(cyclic()))), figure=91, budget=10),
    beside_go("script on 20 states", in_u(script), figure=513, budget=13, size=193 * _PASSES),
    beside_go("one final handler", in_u(lambda: in_turn(handled(Kind.ENTERED, told))), figure=152, budget=25),
    within("one may_enter", in_u(lambda: in_turn(handled(Kind.MAY_ENTER, asked))), budget=35),
    within("one tracer", in_u(traced), budget=30),
    within("arguments", in_u(lambda: in_turn_with_args(handled(Kind.ENTERED, reads_args), {"url": "x"})), budget=45),
    beside_go("a wait for each", in_trio(in_u(waited_for)), figure=83, budget=40),
    within("a wait in vain", in_trio(in_u(waited_for_in_vain)), budget=25),
    beside_go("1000 machines", in_u(round_robin), figure=110, budget=10),
    weight("bytes", Machine, budget=512),
    weight("bytes with an idle shell", idle_shell, budget=1024),
)
