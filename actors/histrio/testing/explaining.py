"""A failing schedule told in sentences that a person understands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, final

from histrio_kernel.simulation.choices import CLOCK, Walk
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.telling import SERVICES
from histrio_kernel.simulation.tokens import Schedule

__all__ = ["explain"]

_LAST: Final = 8
"""How many of the last steps are told."""
_TOLD_MAX: Final = 12
"""How many departures are told in full."""

Again = Callable[[Walk, Callable[[Simulation], None]], Ran[object]]
"""Makes the run again, after its simulation has been prepared."""


@final
class _Listener:
    """Notes what a run departs from, and its last steps."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.last: deque[str] = deque(maxlen=_LAST)
        self.late: tuple[int, ...] = ()
        self.names: dict[int, str] = {}
        self._of_name: Final[dict[str, list[int]]] = {}
        self._next = CLOCK
        self._simulation: Simulation | None = None

    def prepare(self, simulation: Simulation) -> None:
        """Listen to that run."""
        self._simulation = simulation
        simulation.on_step = self._step
        simulation.on_choice = self._choice
        simulation.on_turn = self._turn

    def _turn(self, identity: int) -> None:
        self._next = identity
        self._name(identity)

    def _name(self, identity: int) -> str:
        """What it is called; with a number, if another one was called so before."""
        if identity not in self.names:
            assert self._simulation is not None
            name = self._simulation.name_of(identity)
            same = self._of_name.setdefault(name, [])
            same.append(identity)
            self.names[identity] = name if len(same) == 1 else f"{name} #{len(same)}"
        return self.names[identity]

    def _step(self, name: str, at: int, chosen: int) -> None:
        assert self._simulation is not None
        is_fault = name.endswith(")") and " of " in name and chosen > 0 and at >= 0 and self._is_decision()
        if is_fault:
            self.sentences.append(f"at step {self._simulation.steps.steps + 1}: {name}")
        if not name.startswith(SERVICES):
            who = name if is_fault or self._next == CLOCK else self._name(self._next)
            self.last.append(f"{self._simulation.clock.now:g} s  {who}")

    def _is_decision(self) -> bool:
        assert self._simulation is not None
        return bool(self._simulation.tape and self._simulation.tape[-1] & 1)

    def _choice(self, options: Sequence[int], index: int) -> None:
        simulation = self._simulation
        assert simulation is not None
        for identity in options:
            self._name(identity)
        first = min(options, key=lambda option: (option == CLOCK, option in self.late))  # as `Late` has it
        if options[index] == first:
            return
        step = simulation.steps.steps + 1
        passed = [self.names[option] for option in options if option not in (CLOCK, options[index])]
        who = min(passed, key=lambda name: name.startswith(SERVICES))  # the first of them, if it may be, of the program
        if options[index] == CLOCK:
            text = f"at step {step} time passes although {who} could go on"
        else:
            text = f"at step {step} {self.names[options[index]]} goes on before {who}"
        others = len(options) - 2
        if others > 0:
            text += f" (and {others} {'other' if others == 1 else 'others'} could)"
        self.sentences.append(text)


def explain(again: Again, schedule: Schedule) -> str:
    """How a schedule differs from first in, first out, and what happened last."""
    listener = _Listener()
    listener.late = schedule.late
    again(schedule.walk(), listener.prepare)
    facts = [f"{listener.names.get(late, 'the clock')} goes on only when nobody else can" for late in schedule.late]
    facts += listener.sentences[:_TOLD_MAX]
    if len(listener.sentences) > _TOLD_MAX:
        facts.append(f"and {len(listener.sentences) - _TOLD_MAX} more times")
    head = "first in, first out, except:" if facts else "first in, first out fails already"
    lines = [head, *(f"  - {fact}" for fact in facts), "the last steps:", *(f"  {step}" for step in listener.last)]
    return "\n".join(lines)
