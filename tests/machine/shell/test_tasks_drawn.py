"""M7: whatever cancels, fails or rolls back: nothing started within an activation outlives it, and no two overlap.

Drawn machines by themselves; those of actors, with operations, children and timers, are in `tests/actors/machines`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Final

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.shell.drawn_tasks import Act, Drawn, Troupe, act_of, drawn_machine, handlers_for, linger, table
from tests.machine.shell.lab import Oops, lines_of, waits_of
from tests.machine.shell.witness import LONG_S, Witness
from trio.testing import MockClock

from histrio_kernel.futures import HOLDERS
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.simulation.trio_schedule import seeded_schedule

TASKS: Final = ("sleep", "sleep", "mutate", "raise", "nested", "scope", "dispose")
STEPS: Final = ("mutate",) * 8 + ("sleep",) * 4 + ("scope", "bind", "unbind", "load", "evolve", "fail", "settle")
ENDINGS: Final = ("leave", "leave", "leave", "raise", "cancel", "dispose")


@attrs.frozen
class Program:
    """A machine, and what happens to it from outside."""

    drawn: Drawn
    steps: Sequence[Act]
    ending: str


def program_of(seed: int, length: int) -> Program:
    """All of it out of one seed."""
    dice = random.Random(seed)
    drawn = drawn_machine(dice, TASKS if dice.random() < 0.1 else TASKS[:-1])
    names = [state.name for state in drawn.family]
    steps = [act_of(dice, names, STEPS) for _ in range(length)]
    return Program(drawn, steps, dice.choice(ENDINGS))


class Show:
    """The stage of a machine by itself."""

    def __init__(self, program: Program, outside: trio.Nursery) -> None:
        self.program: Final = program
        self.outside: Final = outside
        self.machine: Final = Machine(program.drawn.family, "drawn", drain_max=50)
        self.troupe: Final = Troupe(program.drawn, self.machine, self)
        self.bound: Final[dict[int, Handlers]] = {}
        self.has_evolved = False

    async def act(self, act: Act, state: str, key: int) -> None:
        """The only one that is left: the task disposes of its machine."""
        self.machine.dispose()

    def gift(self, act: Act, state: str, key: int) -> None:
        """Somebody outside begins a block in the state."""
        scope = self.machine.scope(state)

        async def block() -> None:
            with scope:
                await trio.lowlevel.checkpoint()
                await linger(self.troupe, state, key, "given block", act.seconds / 2)

        self.outside.start_soon(block)

    def bind(self, number: int) -> None:
        """If it is not."""
        if number not in self.bound and not self.has_evolved:
            handlers = handlers_for(self.troupe, number)
            if handlers is not None:
                self.machine.bind(handlers)
                self.bound[number] = handlers
                self.troupe.witness.bound = list(self.bound)

    def unbind(self, number: int) -> None:
        """If it is bound."""
        handlers = self.bound.pop(number, None)
        if handlers is not None:
            self.machine.unbind(handlers)
            self.troupe.witness.bound = list(self.bound)

    async def step(self, act: Act) -> None:
        """One thing that happens from outside."""
        number = int(act.seconds) % len(self.program.drawn.binds)
        match act.kind:
            case "sleep":
                await trio.sleep(act.seconds)
            case "bind":
                self.bind(number)
            case "unbind":
                self.unbind(number)
            case "load":
                if not self.machine.is_disposed:
                    self.troupe.load(act)
            case "evolve":
                if not self.machine.is_disposed:
                    self.has_evolved = True
                    self.troupe.evolve(act)
            case "fail":
                self.machine.fail(Oops())
            case "settle":
                await trio.sleep(LONG_S + 5)
                self.troupe.witness.look()
            case "scope":
                self.outside.start_soon(self.troupe.scope, act)
            case _:
                self.troupe.mutate(act)

    async def play(self) -> None:
        """Open the machine, perhaps late, and let it happen."""
        opens_at = len(self.program.steps) // 4 if self.program.ending == "leave" else 0
        for act in self.program.steps[:opens_at]:
            if act.kind not in {"sleep", "settle"}:
                await self.step(act)
        async with self.machine:
            for act in self.program.steps[opens_at:]:
                await self.step(act)
            if self.program.ending == "dispose":
                self.machine.dispose()
                await trio.sleep(1)
            if self.program.ending == "raise":
                raise Oops


async def perform(program: Program) -> Witness:
    """All of it, and see that nothing is left."""
    async with trio.open_nursery() as outside:
        show = Show(program, outside)
        witness = show.troupe.witness
        show.machine.attach(witness)
        show.machine.bind(table(show.troupe))
        for number in range(len(program.drawn.binds) - 1):
            show.bind(number)
        with trio.CancelScope() as around:
            if program.ending == "cancel":
                around.deadline = trio.current_time() + len(program.steps) / 3
            try:
                await show.play()
            except Oops:
                assert program.ending == "raise"
        cut_off = around.cancelled_caught
        if not cut_off:
            witness.over(in_order=True)
    witness.over(in_order=not cut_off)
    assert (lines_of(show.machine), waits_of(show.machine)) == (0, 0)
    assert not HOLDERS
    return witness


def run_drawn(seed: int, length: int) -> Witness:
    """One run, all of which follows from the seed."""
    program = program_of(seed, length)
    with seeded_schedule(seed):
        return trio.run(perform, program, clock=MockClock(autojump_threshold=0))


@pytest.mark.alarm(300 + count("state_programs") / 10)
@settings(max_examples=count("state_programs"))
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 60))
def test_activations_of_drawn_machines(seed: int, length: int) -> None:
    """M7: all of an activation ends before its `exited` runs, and before the next task starts; each has one `exited`."""
    logging.getLogger("histrio.machine").setLevel(logging.CRITICAL)
    try:
        witness = run_drawn(seed, length)
    finally:
        logging.getLogger("histrio.machine").setLevel(logging.NOTSET)

    assert witness.wrong == []
