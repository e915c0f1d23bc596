"""Handlers are asked before anything changes: one veto cancels a transition, or lets one auto state go."""

from __future__ import annotations

from typing import Final

from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.body import More
from histrio_kernel.machine.core.handlers import Kind
from histrio_kernel.machine.core.moves import Step
from histrio_kernel.machine.core.results import Canceled
from histrio_kernel.machine.core.transition import Transition

__all__ = ["negotiate"]

_NO_TARGET: Final = Canceled("handlers let go of every state that it would lead to")


def negotiate(automaton: Automaton, transition: Transition, more: More) -> Canceled | None:
    """Why the transition is not to be made; None if it is, and then `transition.move` is what they agreed upon.

    An error in a handler cancels the transition, also an auto one.
    """
    owners, is_traced = more.owners, more.on.handler
    try:
        if transition.move.is_auto:
            return _negotiate_auto(automaton, transition, more)
        for step, number, call in transition.move.asks:
            if is_traced:
                more.tell(more.on.handler, transition, step.slot, number)
            answer = call(owners[number], transition)
            if answer is not None and answer is not True:
                return _vetoed(step, answer)
    except BaseException as error:
        transition.error = error
        return Canceled("a negotiation handler failed", error)
    return None


def _negotiate_auto(automaton: Automaton, transition: Transition, more: More) -> Canceled | None:
    """Each auto state is accepted or let go for itself; a veto that is about no auto state cancels all.

    What is about a state that was let go is not asked any more, in further bindings neither.
    """
    move = transition.move
    autos = automaton.schema.autos
    let_go: set[int] = set()
    for step, number, call in move.asks:
        if step.state in let_go:
            continue
        if step.slot.kind is Kind.ANY_MAY_ENTER and let_go.issuperset(move.after.active):
            return _NO_TARGET
        if more.on.handler:
            more.tell(more.on.handler, transition, step.slot, number)
        answer = call(more.owners[number], transition)
        if answer is not None and answer is not True:
            veto = _vetoed(step, answer)
            if step.state not in autos:
                return veto
            let_go.add(step.state)
    if let_go.issuperset(move.after.active) and let_go:
        return _NO_TARGET
    if let_go:
        transition.move = automaton.revise(move, let_go)
    return None


def _vetoed(step: Step, answer: object) -> Canceled:
    """What a transition comes to that a handler vetoed.

    Raises:
        TypeError: the handler returned neither a bool nor None.
    """
    if answer is False:
        return Canceled(f"vetoed by {step.slot}")
    raise TypeError(
        f"the handler of {step.slot} returned {answer!r}: only False vetoes, True or None accepts; "
        "a test of a value should say so, as in `return bool(value)`"
    )
