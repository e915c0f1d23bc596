"""An actor's phase changes by this table and nowhere else.

Code calls `follow`, tests walk every pair, and the docs draw `NEXT`. A pair that is absent is illegal: there is no
second list to keep in step. This file knows nothing of Trio, inboxes or parents.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

__all__ = ["ENDED", "NEXT", "Event", "Phase", "follow"]


class Phase(enum.Enum):
    """Where an actor stands between its spawn and its end."""

    __hash__ = object.__hash__  # members are singletons; Enum's own is a call in Python for each look-up

    STARTING = "starting"
    """`started()` runs; mail is accepted and waits."""
    RUNNING = "running"
    """Messages are handled."""
    PAUSED = "paused"
    """No handler runs or waits, and no message is taken until it is resumed."""
    DRAINING = "draining"
    """Intake is closed; what was accepted is still handled."""
    STOPPING = "stopping"
    """Children are stopped, then `stopped()` runs."""
    FAILING = "failing"
    """An error ended it; handlers, operations and children are being cancelled and waited for."""
    DYING = "dying"
    """It was killed or cancelled; handlers, operations and children are being waited for."""
    RESTARTING = "restarting"
    """Its incarnation has ended, and its supervisor will start another one, at once or after a backoff."""
    STOPPED = "stopped"
    """It has ended as it was asked to."""
    KILLED = "killed"
    """It has ended by being killed or cancelled."""
    FAILED = "failed"
    """It has ended by an error."""


class Event(enum.Enum):
    """What moves an actor from one phase to the next."""

    __hash__ = object.__hash__

    STARTED = "started"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    DRAINED = "drained"
    FAIL = "fail"
    KILL = "kill"
    ENDED = "ended"
    KEPT = "kept"
    """Nothing of the incarnation runs any more, and there may be another one."""
    RESTART = "restart"


NEXT: Final[Mapping[Phase, Mapping[Event, Phase]]] = {
    Phase.STARTING: {
        Event.STARTED: Phase.RUNNING,
        Event.STOP: Phase.DRAINING,
        Event.FAIL: Phase.FAILING,
        Event.KILL: Phase.DYING,
    },
    Phase.RUNNING: {
        Event.PAUSE: Phase.PAUSED,
        Event.STOP: Phase.DRAINING,
        Event.FAIL: Phase.FAILING,
        Event.KILL: Phase.DYING,
    },
    Phase.PAUSED: {
        Event.RESUME: Phase.RUNNING,
        Event.STOP: Phase.DRAINING,
        Event.FAIL: Phase.FAILING,
        Event.KILL: Phase.DYING,
    },
    Phase.DRAINING: {
        Event.STARTED: Phase.DRAINING,
        Event.STOP: Phase.DRAINING,
        Event.DRAINED: Phase.STOPPING,
        Event.FAIL: Phase.FAILING,
        Event.KILL: Phase.DYING,
    },
    Phase.STOPPING: {
        Event.STOP: Phase.STOPPING,
        Event.FAIL: Phase.FAILING,
        Event.KILL: Phase.DYING,
        Event.ENDED: Phase.STOPPED,
        Event.KEPT: Phase.RESTARTING,
    },
    Phase.FAILING: {
        Event.STOP: Phase.FAILING,
        Event.FAIL: Phase.FAILING,
        Event.KILL: Phase.FAILING,
        Event.ENDED: Phase.FAILED,
        Event.KEPT: Phase.RESTARTING,
    },
    Phase.DYING: {
        Event.STOP: Phase.DYING,
        Event.FAIL: Phase.FAILING,
        Event.KILL: Phase.DYING,
        Event.ENDED: Phase.KILLED,
        Event.KEPT: Phase.RESTARTING,
    },
    Phase.RESTARTING: {
        Event.RESTART: Phase.STARTING,
        Event.STOP: Phase.STOPPED,
        Event.FAIL: Phase.FAILED,
        Event.KILL: Phase.KILLED,
    },
    Phase.STOPPED: {Event.STOP: Phase.STOPPED, Event.KILL: Phase.STOPPED},
    Phase.KILLED: {Event.STOP: Phase.KILLED, Event.KILL: Phase.KILLED},
    Phase.FAILED: {Event.STOP: Phase.FAILED, Event.KILL: Phase.FAILED},
}

ENDED: Final = frozenset({Phase.STOPPED, Phase.KILLED, Phase.FAILED})
"""The phases that nothing leaves."""


def follow(phase: Phase, event: Event) -> Phase:
    """The phase that `event` leads to from `phase`.

    Raises:
        ValueError: the table has no such pair; nothing has changed.

    Examples:
        >>> follow(Phase.RUNNING, Event.STOP)
        <Phase.DRAINING: 'draining'>
    """
    try:
        return NEXT[phase][event]
    except KeyError:
        raise ValueError(f"{event.value!r} cannot happen to an actor that is {phase.value!r}") from None
