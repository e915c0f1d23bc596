"""One transition after the other is worked off, and what an error or a change calls for comes before what waits."""

# Design note
# -----------
# The order of what comes next is decided here and nowhere else: after an error the exception; else after a change the
# auto states; then the queue. Whatever a handler raises, the machine is whole when this returns: the flag is down, each
# mutation that was begun has its result. An interrupt (KeyboardInterrupt, Cancelled) concludes its transition like an
# error, does not become `exception`, and goes on up; what still waits runs with the next mutation.

from __future__ import annotations

from typing import Final

from histrio_kernel.machine.core.body import BUSY, DISPOSED, FAILED, HANDLED, HEARD, QUEUED, TRACED, Body, More
from histrio_kernel.machine.core.errors import DrainStuck
from histrio_kernel.machine.core.evolving import Evolution, evolve
from histrio_kernel.machine.core.finals import finish, roll_back
from histrio_kernel.machine.core.moves import Move, Mutation
from histrio_kernel.machine.core.negotiation import negotiate
from histrio_kernel.machine.core.queue import cancel_all
from histrio_kernel.machine.core.resolve import ADD
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Executed
from histrio_kernel.machine.core.source import ORIGIN, Source
from histrio_kernel.machine.core.transition import Transition

__all__ = ["OBSERVED", "drain", "drain_short", "note_error"]

AUTO_FAILURES_MAX: Final = 16
"""Auto transitions that were cancelled by an error of a handler, in one drain; then it starts no more of them.

The exception that follows each is a change, and so calls the same auto states again. One that failed after its states
had entered would fail for ever just so, and it starts none at once.
"""

OBSERVED: Final = HANDLED | TRACED | HEARD
"""Somebody takes part in transitions."""


def drain(body: Body, more: More, mutation: Mutation) -> Executed | Canceled:
    """Work off what waits, this mutation, and what follows from it, until nothing waits; its own result.

    Something waits only if an interrupt has ended an earlier drain.
    """
    assert not body.flags & BUSY
    origin = ORIGIN.set(more) if body.flags & OBSERVED else None
    body.flags |= BUSY
    try:
        left = _work_off(body, more, more.drain_max - 1) if more.queue else more.drain_max - 1
        if more.on.queued:
            more.tell(more.on.queued, mutation)
        result = _run(body, more, mutation)
        if more.queue or body.flags & ~(HANDLED | BUSY):
            _end(body, more, left)
    except BaseException as error:
        _abandon(body, more, error)
        raise
    else:
        return result
    finally:
        more.current = None
        body.flags &= ~BUSY
        _clean_up(body, more)
        if origin is not None:
            ORIGIN.reset(origin)


def drain_short(body: Body, more: More, move: Move, mutation: Mutation) -> Executed | Canceled:
    """The same for a mutation whose move is known, of a machine on which nothing waits and that holds no error.

    Only what is unusual goes the long way: an error, an auto transition, what handlers and tracers have queued.
    """
    flags = body.flags
    assert not flags & ~OBSERVED
    assert move.before.active == body.node.active
    origin = ORIGIN.set(more) if flags else None
    body.flags = flags | BUSY
    more.transitions = number = more.transitions + 1
    more.current = transition = Transition(mutation, move, body.clock, number)
    try:
        if flags & ~HANDLED or move.refusal is not None or move.asks:
            _carry_out(body, more, transition)
        else:  # what `_carry_out` and `_apply` would do, without their calls: one handler, and nobody else to tell
            body.node = move.after
            body.clock = transition.after = transition.before + move.delta
            finish(body, transition, more)
            if transition.result is None:
                transition.result = EXECUTED
            if body.flags & HEARD and transition.moved:  # since a handler waits for something
                more.shell.settled(transition)
        if transition.result is EXECUTED and body.flags == flags | BUSY and move.after.auto is None:
            result: Executed | Canceled = EXECUTED
        else:
            result = _follow(body, more, transition)
        if more.queue or body.flags & ~(HANDLED | BUSY):
            _end(body, more, more.drain_max - 1)
    except BaseException as error:
        _abandon(body, more, error)
        raise
    else:
        return result
    finally:
        more.current = None
        body.flags &= ~BUSY
        if more.queue or more.change or more.auto_failures:
            _clean_up(body, more)
        if origin is not None:
            ORIGIN.reset(origin)


def _clean_up(body: Body, more: More) -> None:
    """What an unusual drain leaves behind."""
    more.auto_failures = 0
    more.no_autos = False
    body.flags &= ~QUEUED
    if more.queue:
        body.flags |= QUEUED
    if more.change:
        _make_changes(more)


def _work_off(body: Body, more: More, left: int) -> int:
    """The queue, at most `left` transitions; how many of them are left, negative when it has given up."""
    while more.queue:
        if left <= 0:
            _give_up(body, more)
            return -1
        left -= 1
        _run(body, more, more.queue.popleft())
    return left


def _end(body: Body, more: More, left: int) -> None:
    """The queue, then its end, at which tracers may mutate again."""
    while True:
        left = _work_off(body, more, left)
        more.current = None
        if more.on.queue_end:
            more.tell(more.on.queue_end)
        if not more.queue:
            break
        if left < 0:
            cancel_all(more, _had_its(more))
            break
    if body.flags & HEARD:
        more.shell.queue_ended()


def _had_its(more: More) -> str:
    """Why what waits is canceled."""
    return f"this drain had its {more.drain_max} transitions"


def _give_up(body: Body, more: More) -> None:
    """`drain_max` transitions, and still something waits: that is canceled, and the machine has an `exception`."""
    waiting = len(more.queue)
    cancel_all(more, _had_its(more))
    more.no_autos = True
    more.auto_failures = AUTO_FAILURES_MAX
    error = DrainStuck(
        f"after {more.drain_max} transitions in one go {waiting} mutations still waited and are canceled: handlers or "
        "tracers keep queueing mutations for each other; break the circle, or raise drain_max"
    )
    note_error(body, more, error)
    _run(body, more, _exception(body, error))
    cancel_all(more, _had_its(more))


def _run(body: Body, more: More, mutation: Mutation) -> Executed | Canceled:
    """One mutation from its turn to its result, and what is to come next."""
    if more.change:
        _make_changes(more)
        mutation = _as_now(body, mutation)
    return _follow(body, more, _perform(body, more, mutation))


def _follow(body: Body, more: More, transition: Transition) -> Executed | Canceled:
    """What comes next; the transition's result."""
    mutation, result = transition.mutation, transition.result
    assert result is not None
    if transition.error is not None or mutation.cause is not None or body.flags & FAILED:
        _conclude_error(body, more, transition)
    goes_on = not more.no_autos and not body.flags & DISPOSED
    if result is EXECUTED and transition.move.starts_auto and not mutation.dry and goes_on:
        auto = body.node.auto
        if isinstance(auto, bool):
            auto = body.automaton.auto(body.automaton.current(body.node))
        if auto is not None:
            more.queue.appendleft(auto.mutation)
    mutation.resolve(result)
    if transition.error is not None and not isinstance(transition.error, Exception):
        raise transition.error
    return result


def _make_changes(more: More) -> None:
    """Handlers and tracers that were bound or taken away within a transition count from the next one on."""
    changes, more.change = more.change, []
    for change in changes:
        change()


def _as_now(body: Body, mutation: Mutation) -> Mutation:
    """The same mutation, if its move was worked out for other handlers than are bound now."""
    move = mutation.move
    if move is None:
        return mutation
    if move.is_auto:
        auto = body.automaton.auto(body.automaton.current(body.node))
        assert auto is not None
        return auto.mutation
    again = Mutation(mutation.op, mutation.states, mutation.called)
    again.args, again.source = mutation.args, mutation.source
    return again


def _abandon(body: Body, more: More, error: BaseException) -> None:
    """An interrupt has come up; if it has left nothing in the queue, that has ended."""
    if more.current is not None:
        _break_off(body, more, more.current, error)
    if body.flags & HEARD and not more.queue:
        more.shell.queue_ended()


def _break_off(body: Body, more: More, transition: Transition, error: BaseException) -> None:
    """If a tracer raised the interrupt, its transition ends here: what was not told yet leaves again."""
    if transition.result is None:
        transition.error, transition.result = error, Canceled("it was interrupted", error)
        if transition.moved:
            roll_back(body, transition, more, transition.enters)
            if body.flags & HEARD:
                more.shell.settled(transition)
    ticket = transition.mutation.ticket
    if ticket is not None and ticket.result is None:
        ticket.resolve(transition.result)


def _perform(body: Body, more: More, mutation: Mutation) -> Transition:
    """Resolve, negotiate, move, tell."""
    move = _move(body, more, mutation)
    more.transitions += 1
    transition = Transition(mutation, move, body.clock, more.transitions)
    more.current = transition
    _carry_out(body, more, transition)
    return transition


def _carry_out(body: Body, more: More, transition: Transition) -> None:
    """Negotiate, move, tell."""
    move, flags = transition.move, body.flags
    if flags & TRACED:
        if more.on.init:
            more.tell(more.on.init, transition)
        if more.on.start:
            more.tell(more.on.start, transition)
    if move.refusal is not None:
        transition.result = move.refusal
    elif move.asks:
        _negotiate(body, more, transition)
    if transition.result is None:
        if transition.mutation.dry:
            transition.result = EXECUTED
        else:
            _apply(body, more, transition)
    if flags & TRACED and more.on.end:
        more.tell(more.on.end, transition)
    if body.flags & HEARD and transition.after != transition.before:
        more.shell.settled(transition)


def _move(body: Body, more: More, mutation: Mutation) -> Move:
    """What the relations say."""
    if mutation.move is not None:
        return mutation.move
    if isinstance(mutation, Evolution):
        return evolve(body, more, mutation.schema)
    known = body.node.moves[mutation.op.index].get(mutation.states)
    if known is not None:
        return known
    automaton = body.automaton
    return automaton.move(automaton.current(body.node), mutation.op, mutation.states)


def _negotiate(body: Body, more: More, transition: Transition) -> None:
    """Ask the handlers. An error in one cancels the transition, also an auto one."""
    try:
        outcome = negotiate(body.automaton, transition, more)
    except BaseException as error:
        transition.error = error
        transition.result = Canceled("a negotiation handler failed", error)
        return
    if isinstance(outcome, Canceled):
        transition.result = outcome
    else:
        transition.move = outcome


def _apply(body: Body, more: More, transition: Transition) -> None:
    """Move the clocks and tell the handlers."""
    move = transition.move
    body.node = move.after
    body.clock = transition.after = transition.before + move.delta
    if body.flags & HEARD and move.delta:
        more.shell.moved(transition)
    if more.on.finals:
        more.tell(more.on.finals, transition)
    if move.tells:
        finish(body, transition, more)
    if transition.result is None:
        transition.result = EXECUTED


def _conclude_error(body: Body, more: More, transition: Transition) -> None:
    """What the machine's error is now, and whether an `exception` comes before what waits."""
    _end_error(body, more, transition)
    cause = transition.mutation.cause
    if cause is not None:
        if transition.result is EXECUTED:
            more.shell.excepted(cause, transition)
        else:
            more.shell.unclaimed(cause, transition)
    if isinstance(transition.error, Exception):
        _take_error(body, more, transition, transition.error)


def _take_error(body: Body, more: More, transition: Transition, error: Exception) -> None:
    """An error of a handler becomes the next transition, unless it came from a transition that was made for one."""
    if transition.is_auto:
        more.auto_failures += AUTO_FAILURES_MAX if transition.moved else 1
        more.no_autos = more.auto_failures >= AUTO_FAILURES_MAX
    if transition.move.calls_exception or body.flags & DISPOSED:
        more.shell.unclaimed(error, transition)
    else:
        note_error(body, more, error)
        more.queue.appendleft(_exception(body, error, transition.as_source(more.name)))


def _end_error(body: Body, more: More, transition: Transition) -> None:
    """The machine's error ends when `exception` does; a transition that reports one sets it anew."""
    exception = body.automaton.schema.exception
    if transition.mutation.cause is not None:
        note_error(body, more, transition.mutation.cause)
    elif exception in transition.move.before.members and exception not in body.node.members:
        more.error = None
        body.flags &= ~FAILED


def note_error(body: Body, more: More, error: BaseException) -> None:
    """The machine has this error, whether or not `exception` will be let in."""
    more.error = error
    body.flags |= FAILED


def _exception(body: Body, error: Exception, source: Source | None = None) -> Mutation:
    """The mutation that an error calls for."""
    called = (body.automaton.schema.exception,)
    mutation = Mutation(ADD, called, called)
    mutation.cause, mutation.source = error, source
    return mutation
