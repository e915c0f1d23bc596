"""Everything that could grow has a bound, and every bound stands in this one table.

Code takes its defaults from here and `docs/reference/bounds.md` is written from it, so they cannot disagree.
"""

# Design note
# -----------
# A bound is a promise about memory or time under load. One that is written where it is used is one that
# nobody finds when the pager rings, so the numbers live together and carry what happens when they are reached. Those of
# machines are written in their core, which imports nothing of the kernel, and are taken over here.

from __future__ import annotations

from typing import Final

import attrs

from histrio_kernel.machine.core.limits import AUTO_FAILURES_MAX, DRAIN_MAX, EDGES_MAX, QUEUE_MAX, SLOW_HANDLER_S

__all__ = ["BOUNDS", "Bound", "bound"]


@attrs.frozen
class Bound:
    """One limit: its name, its default, who may change it, and what happens at it."""

    name: str
    default: float
    unit: str
    set_by: str
    at_the_bound: str


BOUNDS: Final[tuple[Bound, ...]] = (
    Bound("inbox_max", 1024, "messages", "class attribute", "the `overflow` policy decides"),
    Bound("waiting_max", 4096, "asks", "class attribute", "a further `ask` fails with `InboxFull`"),
    Bound("stash_max", 0, "messages", "class attribute", "`stash` raises `StashFull`; 0: the actor has no stash"),
    Bound("redeliver_max", 0, "deliveries", "class attribute", "a told message in hand at a restart is a dead letter"),
    Bound("in_flight_max", 256, "handlers", "class attribute", "no new message is taken until a handler resumes"),
    Bound("nudges_max", 1024, "nudges", "class attribute", "`try_nudge` raises `WouldBlock`; `nudge` stands in line"),
    Bound("io_max", 256, "operations", "class attribute", "further operations queue; by default `in_flight_max`"),
    Bound("batch_max", 64, "messages", "fixed", "the actor lets other tasks run, and keeps its turn"),
    Bound("pace_max", 64, "calls", "fixed", "`tell` or an `await` of what is complete yields to other tasks"),
    Bound("disk_append_bytes_max", 64 * 1024 * 1024, "bytes", "fixed", "`append` raises `ValueError`"),
    Bound("disk_batch_bytes_max", 8 * 1024 * 1024, "bytes", "fixed", "further appends share the next sync"),
    Bound("disk_batch_records_max", 4096, "appends", "fixed", "further appends share the next sync"),
    Bound("disk_readers_max", 8, "threads", "fixed", "further reads wait for a thread"),
    Bound("driver_threads_max", 40, "threads", "fixed", "further `self.io.thread` calls wait for a thread"),
    Bound("log_payload_bytes_max", 8 * 1024 * 1024, "bytes", "fixed", "`Log.append` raises `ValueError`"),
    Bound("log_batch_bytes_max", 8 * 1024 * 1024, "bytes", "fixed", "further records go with the next append"),
    Bound("log_batch_records_max", 4096, "records", "fixed", "further records go with the next append"),
    Bound("journal_group_max", 1024, "batches", "fixed", "further batches share the next sync"),
    Bound("journal_group_bytes_max", 8 * 1024 * 1024, "bytes", "fixed", "further batches share the next sync"),
    Bound(
        "journal_busy_s", 5, "seconds", "fixed", "a journal that another program holds locked fails: `JournalFailed`"
    ),
    Bound("journal_payload_bytes_max", 4 * 1024 * 1024, "bytes", "fixed", "`Unencodable`; nothing was written"),
    Bound("journal_depth_max", 100, "levels", "fixed", "a value nested deeper is `Unencodable`"),
    Bound("spare_waits_max", 256, "waits", "fixed", "a wait that is over is thrown away"),
    Bound("feed_max", 1024, "items", "argument", "the `Lag` policy of the reader decides"),
    Bound("causes_max", 4096, "messages", "fixed", "while signals are heard; a RECEIVE does not tell its SEND"),
    Bound("dead_letters_max", 1024, "letters", "`open_system`", "the oldest is forgotten; the count goes on"),
    Bound("reports_max", 256, "reports", "`open_system`", "the oldest is forgotten; the count goes on"),
    Bound("message_types_max", 1024, "types", "fixed", "types learnt from subclasses are forgotten and learnt again"),
    Bound("nesting_max", 100, "combinators", "fixed", "the call raises `ValueError`; `all_of` takes any number"),
    Bound("children_shown_max", 20, "children", "`histrio tree`", "a line tells how many more there are"),
    Bound("cleanup_s", 5, "seconds", "argument of `either`", "a loser is reported as `LoserStuck`, left to its owner"),
    Bound("depth_max", 100, "levels", "fixed", "`spawn` raises `ValueError`: Trio cannot cancel what is much deeper"),
    Bound(
        "restarts_max", 3, "restarts", "argument of a supervisor", "within `window_s` (5); it fails: `TooManyRestarts`"
    ),
    Bound(
        "failures_max",
        64,
        "failures",
        "fixed",
        "a supervisor forgets the oldest reason; restarts are counted all the same",
    ),
    Bound("start_s", 60, "seconds", "class attribute", "`spawn` raises `ActorFailed`: `started()` took too long"),
    Bound("shutdown_s", 5, "seconds", "class attribute", "an actor that drains or cleans up is cancelled"),
    Bound("queue_max", QUEUE_MAX, "mutations", "`Machine`", "one more in a handler or tracer raises `QueueFull`"),
    Bound("drain_max", DRAIN_MAX, "transitions", "`Machine`", "what waits is CANCELED; `exception`: `DrainStuck`"),
    Bound("edges_max", EDGES_MAX, "outcomes", "fixed", "what is remembered of mutations is forgotten and learnt again"),
    Bound("auto_failures_max", AUTO_FAILURES_MAX, "transitions", "fixed", "this mutation starts no more auto states"),
    Bound("slow_handler_s", SLOW_HANDLER_S, "seconds", "`Machine`", "sync handlers that took longer are reported"),
    Bound("held_turn_s", 1, "seconds", "`open_system`", "the watchdog reports who holds the turn"),
    Bound("held_loop_s", 1, "seconds", "`open_system`", "the watchdog reports who holds Trio's loop, on a real clock"),
)

_DEFAULTS: Final = {row.name: row.default for row in BOUNDS}


def bound(name: str) -> int:
    """The default of the bound called `name`.

    Examples:
        >>> bound("inbox_max")
        1024
    """
    return int(_DEFAULTS[name])
