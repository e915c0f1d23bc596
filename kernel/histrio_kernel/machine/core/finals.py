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
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Executed
from histrio_kernel.machine.core.transition import Transition

__all__ = ["finish", "roll_back"]


def finish(body: Body, transition: Transition, more: More) -> Executed | Canceled:
    """Call the final handlers; the result of the transition."""
    owners, is_traced, at = more.owners, more.on.handler, 0
    try:
        for step, number, call in transition.move.tells:
            if is_traced:
                more.tell(more.on.handler, transition, step.slot, number)
            call(owners[number], transition)
            at += 1
    except BaseException as error:
        return _go_on(body, transition, more, at, error)
    return EXECUTED


def _go_on(body: Body, transition: Transition, more: More, at: int, error: BaseException) -> Canceled:
    """The handler number `at` has failed. If it was one of a state that left, those behind it are told all the same."""
    move, errors = transition.move, [error]
    failed = move.tells[at][0]
    for step, number, call in move.tells[at + 1 :]:
        if _stops(failed, errors[-1]) or step.closes:
            break
        try:
            if more.on.handler:
                more.tell(more.on.handler, transition, step.slot, number)
            call(more.owners[number], transition)
        except BaseException as another:
            errors.append(another)
            failed = step
    if _stops(failed, errors[-1]) and not failed.closes:
        first = move.enters.index(failed.state) if failed.enters else 0
        roll_back(body, transition, more, move.enters[first:])
    return _failed(transition, errors)


def _stops(step: Step, error: BaseException) -> bool:
    """Whether nobody behind a handler that failed so is told."""
    return step.enters or step.closes or not isinstance(error, Exception)


def _failed(transition: Transition, errors: list[BaseException]) -> Canceled:
    """The first error is the transition's; the others are its notes. An interrupt goes before an error."""
    interrupts = [error for error in errors if not isinstance(error, Exception)]
    first = (interrupts or errors)[0]
    for other in errors:
        if other is not first:
            first.add_note(f"In the same transition another final handler failed: {other!r}")
    transition.error = first
    return Canceled("a final handler failed", first)


def roll_back(body: Body, transition: Transition, more: More, entered: tuple[int, ...]) -> None:
    """These leave again, and whatever then lacks a requirement."""
    automaton: Automaton = body.automaton
    active = transition.move.after.active
    left = automaton.resolver.with_requirements([state for state in active if state not in entered])
    gone = tuple(state for state in active if state not in left)
    transition.rolled_back = gone
    body.node = automaton.intern(left)
    body.clock += sum(unit(state, automaton.width) for state in gone)
    transition.after = body.clock
    more.shell.rolled_back(transition)
