"""Handlers are told after the clocks have moved; one that fails takes back what had not yet been told."""

# Design note
# -----------
# What left stays out, because its `exited` may have run and cannot be undone. What entered before the failure stays in,
# for the same reason. The state whose `entered` failed, and those behind it that were never told, leave again, and so
# does what required them: after a failure, too, every requirement is met.

from __future__ import annotations

from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.body import Body, More
from histrio_kernel.machine.core.clock import unit
from histrio_kernel.machine.core.moves import Step
from histrio_kernel.machine.core.results import Canceled
from histrio_kernel.machine.core.transition import Transition

__all__ = ["finish"]


def finish(body: Body, transition: Transition, more: More) -> None:
    """Call the final handlers. `transition.error` and `.result` tell of a failure."""
    move = transition.move
    errors: list[BaseException] = []
    for step in move.tells:
        failed = _tell(step, transition, more, errors)
        interrupted = failed and not isinstance(errors[-1], Exception)
        if failed and (step.enters or interrupted):
            first = move.enters.index(step.state) if step.enters else 0
            _roll_back(body, transition, more, move.enters[first:])
            break
    if move.closing is not None and not errors:
        _tell(move.closing, transition, more, errors)
    if errors:
        _fail(transition, errors)


def _tell(step: Step, transition: Transition, more: More, errors: list[BaseException]) -> bool:
    """Tell the handlers of one slot; whether one failed. The first failure of an `entered` stops its others."""
    failed = False
    for number, call in step.calls:
        try:
            if more.on.handler:
                more.tell(more.on.handler, transition, step.slot, number)
            call(more.owners[number], transition)
        except BaseException as error:
            errors.append(error)
            failed = True
            if step.enters or not isinstance(error, Exception):
                break
    return failed


def _fail(transition: Transition, errors: list[BaseException]) -> None:
    """The first error is the transition's; the others are its notes. An interrupt goes before an error."""
    interrupts = [error for error in errors if not isinstance(error, Exception)]
    first = (interrupts or errors)[0]
    for other in errors:
        if other is not first:
            first.add_note(f"In the same transition another final handler failed: {other!r}")
    transition.error = first
    transition.result = Canceled("a final handler failed", first)


def _roll_back(body: Body, transition: Transition, more: More, entered: tuple[int, ...]) -> None:
    """These leave again, and whatever then lacks a requirement."""
    automaton: Automaton = body.automaton
    active = transition.move.after.active
    left = automaton.resolver.with_requirements([state for state in active if state not in entered])
    gone = tuple(state for state in active if state not in left)
    transition.rolled_back = gone
    body.node = automaton.intern(left)
    body.clock += sum(map(unit, gone))
    transition.after = body.clock
    more.shell.rolled_back(transition)
