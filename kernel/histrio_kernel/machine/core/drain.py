"""One transition after the other is worked off, and what an error or a change calls for comes before what waits."""

# Design note
# -----------
# The order of what comes next is decided here and nowhere else: after an error the exception; else after a change the
# auto states; then the queue. Whatever a handler raises, the machine is whole when this returns: the flag is down, each
# mutation that was begun has its result. An interrupt (KeyboardInterrupt, Cancelled) concludes its transition like an
# error, does not become `exception`, and goes on up; what still waits runs with the next mutation.

from __future__ import annotations

from collections.abc import Hashable
from threading import get_ident
from time import perf_counter
from typing import Final

from histrio_kernel.machine.core.body import (
    BUSY,
    DISPOSED,
    FAILED,
    HEARD,
    QUEUED,
    QUIET,
    TRACED,
    UNTIDY,
    Body,
    More,
)
from histrio_kernel.machine.core.errors import DrainStuck
from histrio_kernel.machine.core.evolving import Evolution, evolve
from histrio_kernel.machine.core.finals import finish, roll_back
from histrio_kernel.machine.core.limits import AUTO_FAILURES_MAX
from histrio_kernel.machine.core.moves import Edge, Move, Mutation
from histrio_kernel.machine.core.negotiation import negotiate
from histrio_kernel.machine.core.queue import cancel_all
from histrio_kernel.machine.core.resolve import ADD
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Executed
from histrio_kernel.machine.core.source import ORIGIN, Source
from histrio_kernel.machine.core.transition import Transition

__all__ = ["drain", "drain_known", "note_error"]

_origin: Final = ORIGIN.get
_set_origin: Final = ORIGIN.set
# The context in which a machine has been mutated goes on pointing to it (`Here`), until another one is mutated in it:
# to set a variable of a context costs as much as all else about it, and that of most contexts need never change.


def drain_known(body: Body, edge: Edge, states: tuple[Hashable, ...], args: object) -> Executed | Canceled:
    """A mutation whose edge is known and that can be begun now, and what follows from it; its own result.

    Whoever takes part in it, nothing unusual has happened if in the end the flags are what they were and nothing waits.
    """
    more, flags = body.more, body.flags
    assert more is not None
    assert flags < BUSY
    if flags == HEARD and more.watched is not None and more.watched.isdisjoint(edge[4]):
        body.node, delta, outcome, _, _ = edge
        body.clock += delta
        return outcome
    move = edge[3]
    here, origin, mutation = more.here, _origin(), move.mutation
    source = None if origin is None or origin is here else origin.source()
    if args is not None or source is not None:
        mutation = Mutation(move.op, states, move.called, args, source)
    if origin is not here:
        _set_origin(here)
    here.thread = get_ident()
    body.flags = busy = flags + BUSY
    try:
        if flags < TRACED or not more.on.queued:
            transition = _perform(body, more, mutation, move)
            result = transition.result
            assert result is not None
            if result is not EXECUTED or body.flags != busy or flags >= FAILED or move.after.auto is not None:
                result = _follow(body, more, transition)
        else:
            more.tell(more.on.queued, mutation)
            result = _run(body, more, mutation)
        if more.queue or (body.flags > QUIET and (more.watched is None or more.on.queue_end)):
            _end(body, more, more.drain_max - 1)
    except BaseException as error:
        _abandon(body, more, error)
        raise
    else:
        return result
    finally:
        here.transition = None
        if body.flags == busy and not more.queue:
            body.flags = flags
            if flags >= HEARD and more.watched is not None and not more.watched:  # as in `_rest`, written out
                body.flags = flags & ~HEARD
        else:
            _clean_up(body, more)
        if source is not None:
            _set_origin(origin)


def drain(body: Body, more: More, mutation: Mutation) -> Executed | Canceled:
    """Work off what waits, this mutation, and what follows from it, until nothing waits; its own result.

    Something waits only if an interrupt has ended an earlier drain.
    """
    assert not body.flags & BUSY
    here, origin, left = more.here, _origin(), more.drain_max - 1
    _set_origin(here)
    here.thread = get_ident()
    body.flags |= BUSY
    try:
        left = _work_off(body, more, left)
        if more.on.queued:
            more.tell(more.on.queued, mutation)
        result = _run(body, more, mutation)
        _end(body, more, left)
    except BaseException as error:
        _abandon(body, more, error)
        raise
    else:
        return result
    finally:
        here.transition = None
        _clean_up(body, more)
        if origin is not None and origin.source() is not None:
            _set_origin(origin)


def _clean_up(body: Body, more: More) -> None:
    """What an unusual drain leaves behind."""
    more.auto_failures = 0
    more.no_autos = False
    body.flags &= ~(BUSY | UNTIDY | QUEUED)
    _rest(body, more)
    if more.queue:
        body.flags |= QUEUED
    if more.change:
        _make_changes(more)


def _rest(body: Body, more: More) -> None:
    """The shell, which wants to hear what becomes of some states only, has nothing to hear for any more."""
    if more.watched is not None and not more.watched:
        body.flags &= ~HEARD


def _work_off(body: Body, more: More, left: int) -> int:
    """The queue, at most `left` transitions; how many of them are left, negative when it has given up."""
    while more.queue:
        if left <= 0:
            _give_up(body, more)
            return -1
        left -= 1
        _run(body, more, more.queue.pop(0))
    return left


def _end(body: Body, more: More, left: int) -> None:
    """The queue, then its end, at which tracers may mutate again."""
    while True:
        if more.queue:
            left = _work_off(body, more, left)
        more.here.transition = None
        if more.on.queue_end:
            more.tell(more.on.queue_end)
        if not more.queue:
            break
        if left < 0:
            cancel_all(more, _had_its(more))
            break
    if more.watched is None and body.flags & HEARD:
        more.shell.queue_ended()


def _had_its(more: More) -> str:
    """Why what waits is canceled."""
    return f"this drain had its {more.drain_max} transitions"


def _give_up(body: Body, more: More) -> None:
    """`drain_max` transitions, and still something waits: that is canceled, and the machine has an `exception`."""
    waiting = len(more.queue)
    cancel_all(more, _had_its(more))
    more.no_autos = True
    body.flags |= UNTIDY
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
    return _follow(body, more, _perform(body, more, mutation, _move(body, more, mutation)))


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
            more.queue.insert(0, auto.mutation)
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
    return Mutation(mutation.op, mutation.states, mutation.called, mutation.args, mutation.source)


def _abandon(body: Body, more: More, error: BaseException) -> None:
    """An interrupt has come up; if it has left nothing in the queue, that has ended."""
    transition = more.here.transition
    if transition is not None:
        _break_off(body, more, transition, error)
    if more.watched is None and body.flags & HEARD and not more.queue:
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


def _perform(body: Body, more: More, mutation: Mutation, move: Move) -> Transition:
    """Negotiate, move, tell: the hot path of machines in which somebody takes part, so it is written out."""
    more.transitions = number = more.transitions + 1
    more.here.transition = transition = Transition(mutation, move, body.clock, number)
    if body.flags > QUIET and more.on.begin:
        _tell_begin(more, transition)
    result: Executed | Canceled | None = move.refusal
    seconds = 0.0
    if move.asks:
        began = perf_counter()
        result = negotiate(body.automaton, transition, more)
        seconds = perf_counter() - began
        move = transition.move
    if result is None:
        result = EXECUTED
        if not mutation.dry:
            body.node = move.after
            body.clock = transition.after = transition.before + move.delta
            if body.flags > QUIET and (more.watched is None or more.on.finals):
                _tell_moved(body, more, transition)
            if move.tells:
                began = perf_counter()
                result = finish(body, transition, more)
                seconds += perf_counter() - began
    transition.result = result
    if body.flags > QUIET:
        _tell_end(body, more, transition)
    if seconds > more.slow_handler_s:
        more.shell.slow(transition, seconds)
    return transition


def _tell_begin(more: More, transition: Transition) -> None:
    """It is resolved, and the handlers will be asked."""
    if more.on.init:
        more.tell_of(more.on.init, transition)
    if more.on.start:
        more.tell_of(more.on.start, transition)


def _tell_moved(body: Body, more: More, transition: Transition) -> None:
    """The clocks have moved, and the handlers will be told."""
    if more.watched is None and body.flags & HEARD and transition.move.delta:
        more.shell.moved(transition)
    if more.on.finals:
        more.tell_of(more.on.finals, transition)


def _tell_end(body: Body, more: More, transition: Transition) -> None:
    """It has its result."""
    try:
        if more.on.end:
            more.tell_of(more.on.end, transition)
    finally:  # an interrupt in a tracer undoes nothing of a transition that is over
        if body.flags & HEARD and transition.after != transition.before:
            watched, is_whole = more.watched, transition.result is EXECUTED  # or more has moved than the move says
            if watched is None or not is_whole or not watched.isdisjoint(transition.move.ticking):
                more.shell.settled(transition)


def _move(body: Body, more: More, mutation: Mutation) -> Move:
    """What the relations say."""
    if mutation.move is not None:
        return mutation.move
    if isinstance(mutation, Evolution):
        return evolve(body, more, mutation.schema)
    automaton = body.automaton
    return automaton.edge(automaton.current(body.node), mutation.op, mutation.states)[3]


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
        body.flags |= UNTIDY
    if transition.move.calls_exception or body.flags & DISPOSED:
        more.shell.unclaimed(error, transition)
    else:
        note_error(body, more, error)
        more.queue.insert(0, _exception(body, error, transition.as_source(more.name)))


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
    mutation = Mutation(ADD, called, called, source=source)
    mutation.cause = error
    return mutation
