"""What a log must keep whatever happens together: the promises that hold in every order of events."""

from __future__ import annotations

from collections.abc import Iterator

from tests.actors.supervision.lives import Entry, Prediction
from tests.actors.supervision.programs import ASKS, Do, Program, Strategy, Sup, Worker, paths

__all__ = ["broken_promises"]

# What may follow what in the log of one incarnation.
NEXT = {
    None: {"starting"},
    "starting": {"started", "gone"},
    "started": {"handles", "done", "stopping", "gone"},
    "handles": {"handles", "done", "stopping", "gone"},
    "done": {"handles", "done", "stopping", "gone"},
    "stopping": {"stopped", "gone"},
    "stopped": {"gone"},
    "gone": set[str](),
}


def broken_promises(program: Program, outcome: Prediction) -> list[str]:
    """Each broken promise in a sentence."""
    return [
        *_lives(program, outcome.log),
        *_one_start_at_a_time(program, outcome.log),
        *_budgets(program, outcome.log),
        *_nobody_outlives_a_parent(program, outcome.log),
        *_fates(program, outcome),
    ]


def _lives(program: Program, log: list[Entry]) -> Iterator[str]:
    """One incarnation after the other, each from its begin to its end, and messages only while it has started.

    One that is killed at the instant of its begin may be gone before its code has run.
    """
    for path, spec in program.places().items():
        if isinstance(spec, Sup):
            continue
        last, number = "gone", 0
        for entry in (one for one in log if one.path == path):
            what = entry.what.split()[0]
            if last == "gone":
                if not (entry.incarnation == 1 or entry.incarnation > number) or what != "starting":
                    yield f"{path}: {entry} follows incarnation {number}"
                last, number = what, entry.incarnation
                continue
            if entry.incarnation != number:
                yield f"{path}: incarnation {entry.incarnation} acts before incarnation {number} is gone: {entry}"
            if what not in NEXT[last]:
                yield f"{path}: {what!r} after {last!r}: {entry}"
            last = what
        if last != "gone":
            yield f"{path}: incarnation {number} never ended"


def _one_start_at_a_time(program: Program, log: list[Entry]) -> Iterator[str]:
    """A supervisor awaits each start before it goes on (S2); one that restarts each child for itself only at first."""
    sups = [p for p, s in program.places().items() if isinstance(s, Sup) and s.strategy is not Strategy.ONE_FOR_ONE]
    workers = {path for path, spec in paths(program.root) if isinstance(spec, Worker)}  # start_child may overlap
    for sup in sups:
        starting: str | None = None
        for entry in log:
            if entry.path not in workers or entry.path.rpartition("/")[0] != sup:
                continue
            if entry.what == "starting":
                if starting is not None:
                    yield f"{entry.path} starts before {starting} has started: {entry}"
                starting = entry.path
            elif entry.path == starting:
                starting = None


def _budgets(program: Program, log: list[Entry]) -> Iterator[str]:
    """No supervisor starts its children again more often than it may; one that is itself started again counts anew."""
    for sup, spec in program.places().items():
        if not isinstance(spec, Sup) or spec.strategy is not Strategy.ONE_FOR_ONE:
            continue
        restarts: list[int] = []
        for entry in log:
            if entry.what == "starting" and entry.path.rpartition("/")[0] == sup:
                restarts = [*restarts, entry.at] if entry.incarnation > 1 else []
                within = [at for at in restarts if at >= entry.at - spec.window]
                if spec.backoff == 0 and len(within) > spec.restarts_max:
                    yield f"{sup} starts children again at {within}, of which it may {spec.restarts_max}"


def _nobody_outlives_a_parent(program: Program, log: list[Entry]) -> Iterator[str]:
    """When a supervisor is gone, nothing below it lives (S4)."""
    living: dict[str, Entry] = {}
    for entry in log:
        if entry.what == "starting":
            living[entry.path] = entry
        elif entry.what == "gone":
            living.pop(entry.path, None)
            for path in living:
                if path.startswith(f"{entry.path}/"):
                    yield f"{path} still lives when {entry.path} is gone at {entry.at}"


def _fates(program: Program, outcome: Prediction) -> Iterator[str]:
    """Each message has one fate, which its handlings agree with, and those to one actor are begun in their order."""
    for number, fate in outcome.fates.items():
        op = program.ops[number]
        spec = program.places()[op.path]
        assert isinstance(spec, Worker)
        begun = sum(one.path == op.path and one.what == f"handles {number}" for one in outcome.log)
        allowed = {
            "done": (1, 1 + spec.redeliver_max),
            "dead": (0, 1 + spec.redeliver_max),
            "refused": (0, 0),
            "failed": (0, 1),
            "stopped": (0, 1),
        }.get(fate)
        if allowed is None or (fate in ("failed", "stopped") and op.do not in ASKS):
            yield f"message {number} to {op.path} is {fate}"
        elif not allowed[0] <= begun <= (1 if op.do in ASKS else allowed[1]):
            yield f"message {number} to {op.path} is {fate} and was begun {begun} times"
        elif fate == "dead" and begun == 1 and spec.redeliver_max and op.do is Do.NOTE:
            yield f"message {number} to {op.path} was begun and is dead"
    yield from _order(program, outcome.log)


def _order(program: Program, log: list[Entry]) -> Iterator[str]:
    first: dict[str, list[int]] = {}
    for entry in log:
        what, _, number = entry.what.partition(" ")
        if what == "handles" and int(number) not in first.setdefault(entry.path, []):
            first[entry.path].append(int(number))
    for path, numbers in first.items():
        if numbers != sorted(numbers):
            yield f"{path} began its messages in the order {numbers}"
