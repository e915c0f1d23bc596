"""Mutations from inside a transition wait here, and each gets its result when its own transition is over."""

from __future__ import annotations

from histrio_kernel.machine.core.body import More
from histrio_kernel.machine.core.errors import QueueFull
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.resolve import EVOLVE
from histrio_kernel.machine.core.results import Canceled, Queued, Ticket
from histrio_kernel.machine.core.schema import Schema

__all__ = ["cancel", "cancel_all", "enqueue"]


def enqueue(more: More, schema: Schema, mutation: Mutation) -> Queued:
    """Let a mutation wait: a dry run in front, all others at the end.

    Raises:
        QueueFull: `queue_max` are waiting; what calls `exception` passes all the same, as every report of an error does.
    """
    same = _same_last(more, schema, mutation)
    if same is not None:
        return Queued(same, is_new=False)
    if len(more.queue) >= more.queue_max and schema.exception not in mutation.called:
        raise QueueFull(
            f"{len(more.queue)} mutations wait in the queue of this machine, which is its queue_max: a handler or "
            "tracer makes them faster than they are worked off, or without end"
        )
    if mutation.dry:
        more.queue.insert(0, mutation)
    else:
        more.queue.append(mutation)
    ticket = mutation.ticket = Ticket()
    return Queued(ticket)


def _same_last(more: More, schema: Schema, mutation: Mutation) -> Ticket | None:
    """The ticket of the last waiting mutation, if this one would add nothing to it.

    Only the last: what comes between two equal mutations may undo the first. Arguments and Multi make each call count.
    """
    if not more.queue or not _is_plain(schema, mutation):
        return None
    last = more.queue[-1]
    same = last.op is mutation.op and last.called == mutation.called and _is_plain(schema, last)
    return last.ticket if same else None


def _is_plain(schema: Schema, mutation: Mutation) -> bool:
    """Whether a second one like it, right behind it, would change nothing."""
    return (
        mutation.args is None
        and mutation.cause is None
        and mutation.op is not EVOLVE
        and not mutation.dry
        and schema.multi.isdisjoint(mutation.called)
    )


def cancel_all(more: More, reason: str) -> None:
    """Whatever waits comes to nothing; errors among it are told to the shell."""
    while more.queue:
        cancel(more, more.queue.pop(0), reason)


def cancel(more: More, mutation: Mutation, reason: str) -> None:
    """One that has waited comes to nothing. If it reports an error, that cannot become the machine's `exception`."""
    mutation.resolve(Canceled(reason))
    if mutation.cause is not None:
        more.shell.unclaimed(mutation.cause, None)
