"""Whose each object of the kernel is: what a call of one of its methods touches.

Whatever is not listed here is unknown, and a step that calls it meets all others.
"""

# Design note
# -----------
# Objects are named by the full names of their classes, because most of these may not be imported from here. All futures
# that belong to nobody by themselves (promises, combinators) count as one thing: that is coarse, and safe.
#
# Functions that are no methods are known if all that they do to others they do by calling methods. `_FREE` lists the
# modules of which that is true.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from histrio_kernel.futures import Future

__all__ = ["WORLD", "Whose", "free_functions_are_known", "whose"]

WORLD: Final = "the world"
_SYSTEM: Final = "the system"
_FUTURES: Final = "futures"
_LETTERS: Final = "dead letters and reports"

Whose: TypeAlias = Callable[[Any, str], "str | None"]
"""Whose an object of the kernel is, when a method of that name is called: a path or another resource, "" for nobody's,
None if that is not known."""


def _nobody(_: Any, __: str) -> str:
    return ""


def _of_engine(_: Any, method: str) -> str | None:
    if method in ("report", "dead_letter"):
        return _LETTERS
    return "" if method in ("now", "ended", "watch", "ends", "has_ended", "_signals_change") else None


def _of_simulation(_: Any, method: str) -> str:
    return "" if method in ("forget", "decide", "name_of") else WORLD


def _future(_: Any, __: str) -> str:
    return _FUTURES


def _unknown(_: Any, __: str) -> None:
    return None


def _world(_: Any, __: str) -> str:
    return WORLD


_RULES: Final[Mapping[str, Whose]] = {
    "histrio.ref.Ref": lambda it, _: it.path,
    "histrio_kernel.inbox.Inbox": lambda it, _: it.path,
    "histrio_kernel.inbox.Standing": lambda it, _: it.inbox.path,
    "histrio_kernel.inbox.Selection": lambda it, _: it.inbox.path,
    "histrio_kernel.asks.Ask": lambda it, _: it.inbox.path,
    "histrio_kernel.asks._Unretrieved": lambda it, _: it.inbox.path,
    "histrio_kernel.turn.Turn": lambda it, _: it.inbox.path,
    "histrio_kernel.turn.Worker": lambda it, _: it.turn.inbox.path,
    "histrio_kernel.cell.Cell": lambda it, _: it.path,
    "histrio_kernel.account.Account": lambda it, _: it._inbox.path,
    "histrio_kernel.io.IoPool": lambda it, _: it.owner.path,
    "histrio_kernel.io._IoTask": lambda it, _: it.pool.owner.path,
    "histrio.system.System": lambda _, __: _SYSTEM,
    "histrio_kernel.io.Operation": lambda it, _: it._pool.owner.path,
    "histrio_kernel.io.PeriodOperation": lambda it, _: it._pool.owner.path,
    "histrio_kernel.letters.DeadLetters": lambda _, __: _LETTERS,
    "histrio_kernel.engine.Engine": _of_engine,
    # Only a step of the clock changes what it reads, and that meets all others.
    "histrio_kernel.simulation.trio_parts.TieBreaking": _nobody,
    "histrio_kernel.simulation.trio_parts.SimClock": _nobody,
    "histrio_kernel.real.clock.RealClock": _nobody,
    "histrio_kernel.simulation.trio_parts.OrderedSet": _nobody,
    "histrio_kernel.simulation.trio_parts.Generators": _nobody,
    "histrio_kernel.simulation.sealed.Seals": _nobody,
    "histrio_kernel.simulation.trio_run.StepByStep": _nobody,
    "histrio_kernel.simulation.run.Simulation": _of_simulation,
    "histrio_kernel.simulation.footprints.Footprints": _nobody,
    # What an actor makes for itself, and cannot hand to another: it is no data.
    "histrio_kernel.doors.Io": _nobody,
    "histrio_kernel.doors.ClockDoor": _nobody,
    "histrio_kernel.made.Made": _nobody,
    # What has no state, or none that an actor can see.
    "histrio_kernel.futures.PlainWait": _nobody,
    "histrio_kernel.futures.Pace": _nobody,
    "histrio_kernel.signals.Signals": _nobody,
    "histrio_kernel.watchdog.Watchdog": _nobody,
    "histrio_kernel.loop_watchdog.LoopWatchdog": _nobody,
    "histrio_kernel.stuck.StuckWatch": _nobody,
    "histrio.handlers.HandlerTable": _nobody,
}
"""Whose the objects of a class are, by its full name."""

_IN_PACKAGE: Final = ("histrio_kernel.simulation", "histrio_kernel.real", "histrio_kernel.log")


def whose(cls: type[object]) -> Whose:
    """Whose the objects of this class are."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    rule = _RULES.get(name)
    if rule is not None:
        return rule
    if issubclass(cls, BaseException) or hasattr(cls, "__histrio_settings__"):
        return _nobody  # an actor's own object
    if issubclass(cls, Future):
        return _future
    if cls.__module__.startswith(_IN_PACKAGE):
        return _world
    return _unknown


_FREE: Final = frozenset(
    {
        "histrio.actor", "histrio.fixed", "histrio.handlers", "histrio.kinds", "histrio.ref", "histrio.spawning",
        "histrio_kernel.account", "histrio_kernel.bounds", "histrio_kernel.cell", "histrio_kernel.doors", "histrio_kernel.asks", "histrio_kernel.contexts", "histrio_kernel.entries", "histrio_kernel.errors",
        "histrio_kernel.futures", "histrio_kernel.handling", "histrio_kernel.incarnation", "histrio_kernel.inbox",
        "histrio_kernel.io", "histrio_kernel.lifecycle", "histrio_kernel.parking", "histrio_kernel.turn",
        "histrio_kernel.visiting", "histrio_kernel.watchdog", "histrio_kernel.loop_watchdog", "histrio_kernel.stuck",
        "histrio_kernel.combinators", "histrio_kernel.combine",
    }
)  # fmt: skip


def free_functions_are_known(module: str) -> bool:
    """Whether the functions of that module touch others by calling their methods only."""
    return module in _FREE or module.startswith("histrio_kernel.simulation")
