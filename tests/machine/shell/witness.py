"""Sees what runs in the activations of a machine's states, and whether each of it begins and ends when it may (M7).

It is a tracer, and so knows by itself when an activation begins and ends; whatever runs in one tells it so.
"""

# What it finds wrong it writes down: an AssertionError in a task would become an `exception` of the machine.

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import attrs
import trio

from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer
from histrio_kernel.machine.shell.machine import Machine

__all__ = ["LONG_S", "Binding", "Deed", "Stint", "Witness"]

LONG_S: Final = 40.0
"""Longer than all clean-up of one activation."""


@attrs.frozen
class Binding:
    """The async handlers of one binding: of which states."""

    entered: frozenset[str]
    exited: frozenset[str]


@attrs.define(eq=False)
class Stint:
    """One `entered` that has begun. An activation is named by its state and a number of ours, its key."""

    state: str
    binding: int
    key: int
    is_over: bool = False
    exits: int = 0


@attrs.frozen(eq=False)
class Deed:
    """Something that runs in an activation."""

    state: str
    key: int
    what: str


class Witness(Tracer):
    """What is known of one machine."""

    def __init__(self, machine: Machine, bindings: dict[int, Binding]) -> None:
        self.machine: Final = machine
        self.bindings: Final = bindings
        self.bound: list[int] = []
        self.wrong: Final[list[str]] = []
        self.keys = 0
        self.key: Final[dict[str, int]] = {}
        """Of the active states, their activations."""
        self.began_in: Final[dict[str, int]] = {}
        """The numbers of the transitions in which those began."""
        self.since: Final[dict[str, float]] = {}
        self.due: Final[dict[str, tuple[int, ...]]] = {}
        """Of the active states, the bindings that have a task in their activations."""
        self.ended: Final[dict[tuple[str, int], float]] = {}
        """When activations ended."""
        self.live: Final[set[Deed]] = set()
        self.stints: Final[list[Stint]] = []
        self.closing: Final[dict[str, int]] = {}
        """States in which an `exited` runs, and of which activation."""

    def expect(self, holds: object, what: str) -> None:
        """Write down what is wrong if it does not hold."""
        if not holds:
            self.wrong.append(f"{trio.current_time():g}: {what}")

    # -- activations ---------------------------------------------------------------------------------------------------

    def finals(self, transition: Transition) -> None:
        schema, before = transition.schema, transition.move.before.members
        for state in transition.exits:
            self._ends(schema.names[state])
        for state in transition.enters:
            if not (state in before and state in schema.keep):
                self._ends(schema.names[state])
                self._begins(schema.names[state], transition.number)

    def end(self, transition: Transition) -> None:
        for state in transition.rolled_back:
            self._ends(transition.schema.names[state])

    def schema_changed(self, old: Schema, new: Schema) -> None:
        for name in set(old.names) - set(new.names):
            self._ends(name)

    def disposed(self) -> None:
        for name in tuple(self.key):
            self._ends(name)

    def loaded(self, before: dict[str, int]) -> None:
        """Data was taken over; these were the ticks before."""
        for name, tick in before.items():
            if self.machine.tick(name) != tick:
                self._ends(name)
                if self.machine.tick(name) % 2:
                    self._begins(name, -1)
                    self.due[name] = ()

    def _begins(self, name: str, transition: int) -> None:
        self.keys += 1
        self.key[name] = self.keys
        self.began_in[name] = transition
        self.since[name] = trio.current_time()
        self.due[name] = tuple(number for number in self.bound if name in self.bindings[number].entered)

    def _ends(self, name: str) -> None:
        key = self.key.pop(name, None)
        if key is not None:
            self.ended[name, key] = trio.current_time()

    # -- what runs in them ---------------------------------------------------------------------------------------------

    @contextmanager
    def does(self, state: str, key: int, what: str) -> Generator[None]:
        """Something runs."""
        deed = Deed(state, key, what)
        self.expect(self.closing.get(state) != key, f"{deed} begins beside its `exited`")
        self.live.add(deed)
        try:
            yield
        finally:
            self.live.remove(deed)

    @contextmanager
    def task(self, state: str, binding: int, transition: Transition[object]) -> Generator[int]:
        """An `entered` runs: in the present activation, once, and beside nothing of an earlier one; gives its key."""
        key = self.key.get(state, 0)
        stint = Stint(state, binding, key)
        same = [each for each in self.stints if (each.state, each.binding, each.key) == (state, binding, key)]
        self.expect(key and self.began_in[state] == transition.number, f"{stint} begins because of {transition}")
        self.expect(binding in self.due[state], f"{stint} was not due")
        self.expect(not self.earlier(state, key), f"{stint} begins beside {self.earlier(state, key)}")
        self.expect(state not in self.closing, f"{stint} begins beside an `exited`")
        self.expect(not same, f"{stint} begins a second time")
        self.stints.append(stint)
        try:
            with self.does(state, key, "task"):
                yield key
        finally:
            stint.is_over = True

    @contextmanager
    def exit(self, state: str, binding: int) -> Generator[None]:
        """An `exited` runs: for one `entered` that has begun and ended, and when all of its activation has."""
        owed = [each for each in self.stints if (each.state, each.binding, each.exits) == (state, binding, 0)]
        self.expect(state not in self.closing, f"two `exited` of {state} at once")
        if state in self.bindings[binding].entered:
            self.expect(len(owed) == 1, f"an `exited` of {state} for {owed}")
            key = owed[-1].key
            self.expect(owed[-1].is_over, f"an `exited` beside the task of {owed[-1]}")
            self.expect(self.key.get(state) != key, f"an `exited` of an activation that goes on: {owed[-1]}")
            owed[-1].exits += 1
        else:
            key = (
                self.key.get(state, self.machine.tick(state) + 1 if state in self.machine.schema.definitions else 0) - 1
            )
        self.expect(not self.earlier(state, key + 1), f"an `exited` beside {self.earlier(state, key + 1)}")
        self.closing[state] = key
        try:
            yield
        finally:
            del self.closing[state]

    def earlier(self, state: str, key: int) -> list[Deed]:
        """What runs of activations before that."""
        return [deed for deed in self.live if deed.state == state and deed.key < key]

    # -- looks ---------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Nothing outlives its activation for long, and every activation that is not new has its tasks."""
        now = trio.current_time()
        for deed in self.live:
            ended = self.ended.get((deed.state, deed.key))
            self.expect(ended is None or now - ended < LONG_S, f"{deed} goes on")
        for state, key in self.key.items():
            if now - self.since[state] >= LONG_S:
                begun = {stint.binding for stint in self.stints if (stint.state, stint.key) == (state, key)}
                self.expect(begun.issuperset(self.due[state]), f"{state} has no task since {self.since[state]}")

    def over(self, *, in_order: bool) -> None:
        """All has ended; *in_order*: nobody was cut off."""
        self.expect(not self.live, f"{self.live} outlives all")
        self.expect(not self.closing, f"an `exited` of {self.closing} outlives all")
        self.expect(all(stint.is_over for stint in self.stints), "a task outlives all")
        for stint in self.stints:
            most = stint.state in self.bindings[stint.binding].exited
            self.expect(stint.exits <= most, f"{stint} has too many")
            self.expect(stint.exits == most or not in_order, f"{stint} lacks its `exited`")
