"""M1, M9, M10, M11: machines that change under their own handlers, compared with fresh ones that never did."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.cases import few, row
from tests.machine.lab import Keeper, Oops, Writer
from tests.machine.test_resolution import assert_consistent

from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.errors import QueueFull, SchemaError
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import Queued, Result, Ticket
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition

KINDS: Final = (Kind.MAY_ENTER, Kind.MAY_EXIT, Kind.STAYS, Kind.ENTERED, Kind.EXITED)


def schema_of(dice: random.Random, names: Sequence[str]) -> Schema:
    """A schema of most of these states, in any order."""
    chosen = few(dice, names, len(names) * 0.8) or [names[0]]
    return Schema({name: row(dice, name, [*chosen, "exception"], 0.8) for name in chosen})


@attrs.define(eq=False)
class World:
    """A machine whose handlers change it while they can, and only write down their calls afterwards."""

    dice: random.Random
    schemas: Sequence[Schema]
    machine: Machine
    tables: list[HandlerTable] = attrs.field(factory=list)
    writers: list[Writer] = attrs.field(factory=list)
    tickets: list[Ticket] = attrs.field(factory=list)
    calls: list[str] = attrs.field(factory=list)
    is_calm: bool = False
    left: int = 60

    def table(self) -> HandlerTable:
        """Handlers for some states of all schemas, or of none."""
        known = [name for name in self.schemas[0].names if all(name in schema.definitions for schema in self.schemas)]
        slots = [Slot(kind, name) for kind in KINDS for name in known if self.dice.random() < 0.4]
        slots += [Slot(Kind.ANY_ENTERED)] if self.dice.random() < 0.5 else []
        number = len(self.tables)
        made = HandlerTable(self.handler(f"{number}:{slot}", slot) for slot in slots)
        self.tables.append(made)
        return made

    def handler(self, name: str, slot: Slot) -> Handler:
        """One that notes its call, or does mischief."""

        def call(owner: object, transition: Transition) -> object:
            assert owner is self, "each handler gets the owner of its own table"
            if self.is_calm:
                self.calls.append(name)
                return None
            return self.mischief()

        return Handler(slot, call)

    def mischief(self) -> object:
        """Mostly nothing; else a change, a mutation, a veto or an error."""
        self.left -= 1
        if self.left > 0 and self.dice.random() < 0.4:
            self.change()
        return self.ending()

    def ending(self) -> object:
        """How a handler ends."""
        chance = self.dice.random()
        if chance < 0.05:
            raise Oops
        return False if chance < 0.1 else None

    def change(self) -> None:
        """Something that counts from the next transition on."""
        changes = (self.bind, self.unbind, self.evolve, self.attach, self.detach, self.listen, self.mutate, self.mutate)
        self.dice.choice(changes)()

    def bind(self) -> None:
        """Bind one more table."""
        if len(self.tables) < 6:
            made = self.table()
            self.machine.bind(made, self)

    def unbind(self) -> None:
        """Take one away, if it is bound."""
        if self.machine.automaton.tables:
            self.machine.unbind(self.dice.choice(self.machine.automaton.tables), self)

    def evolve(self) -> None:
        """Another schema."""
        with suppress(QueueFull, SchemaError):
            self.note(self.machine.evolve(self.dice.choice(self.schemas)))

    def attach(self) -> None:
        """One more tracer."""
        self.writers.append(Writer())
        self.machine.attach(self.writers[-1])

    def detach(self) -> None:
        """One less."""
        if self.writers:
            self.machine.detach(self.writers.pop())

    def listen(self) -> None:
        """Let the shell hear, or not."""
        self.machine.listen(self.dice.random() < 0.5)

    def mutate(self) -> None:
        """A mutation of some states."""
        states = few(self.dice, self.machine.schema.names, 2)
        ways = (self.machine.add, self.machine.remove, self.machine.set, self.machine.toggle, self.machine.can_add)
        with suppress(QueueFull):
            self.note(self.dice.choice(ways)(*states))

    def note(self, result: Result) -> None:
        """Keep the ticket, if it is one."""
        if isinstance(result, Queued):
            self.tickets.append(result.ticket)


def world_of(seed: int, edges_max: int) -> World:
    """A world of chance."""
    dice = random.Random(seed)
    names = [f"s{number}" for number in range(dice.randint(2, 8))]
    schemas = [schema_of(dice, names) for _ in range(3)]
    machine = Machine(Automaton(schemas[0], edges_max=edges_max), drain_max=80)
    machine.set_shell(Keeper())
    world = World(dice, schemas, machine)
    world.bind()
    return world


def twin_of(world: World, twin_calls: list[str]) -> Machine:
    """A fresh machine with the schema, the handlers and the states of the one that has been through it all."""
    machine = world.machine
    twin = Machine(Automaton(machine.schema))
    twin.set_shell(Keeper())
    for table in machine.automaton.tables:
        number = world.tables.index(table)
        slots = [slot for slot, _ in table.items()]
        twin.bind(HandlerTable(noting(f"{number}:{slot}", slot, twin_calls) for slot in slots))
    twin.load(machine.export())
    return twin


def noting(name: str, slot: Slot, calls: list[str]) -> Handler:
    """A handler that notes its call."""

    def call(owner: object, transition: Transition) -> object:
        calls.append(name)
        return None

    return Handler(slot, call)


def assert_whole(machine: Machine, tickets: Sequence[Ticket]) -> None:
    """Nothing runs or waits, and it stands on a node of its own automaton."""
    assert machine.transition is None
    assert machine.more is not None
    assert not machine.more.queue
    assert not machine.more.change
    assert len(machine.more.owners) == len(machine.automaton.tables)
    assert_consistent(machine)
    node, automaton = machine.node, machine.automaton
    assert automaton.intern(node.active) is automaton.current(node)
    assert all(ticket.result is not None for ticket in tickets)


@settings(max_examples=count("machine_examples"))
@given(seed=st.integers(0, 2**32 - 1), edges_max=st.sampled_from([3, 4096]))
def test_a_machine_that_has_been_changed_is_as_good_as_new(seed: int, edges_max: int) -> None:
    """M1, M10, M11: whatever its handlers bound, evolved, attached and queued, it goes on as a fresh one would."""
    world = world_of(seed, edges_max)
    for _ in range(12):
        world.mutate()
        assert_whole(world.machine, world.tickets)
        if world.dice.random() < 0.3:
            world.change()
    world.is_calm = True
    calls: list[str] = []
    twin = twin_of(world, calls)

    for _ in range(12):
        states = few(world.dice, twin.schema.names, 2)
        way = world.dice.choice(["add", "remove", "set", "toggle"])
        world.calls.clear()
        calls.clear()
        assert bool(getattr(world.machine, way)(*states)) == bool(getattr(twin, way)(*states))
        assert world.machine.export() == twin.export()
        assert world.calls == calls
