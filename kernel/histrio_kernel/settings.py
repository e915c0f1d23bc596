"""What an actor's class decides about how its actors run, and what the kernel calls of them."""

from __future__ import annotations

from typing import Protocol

import attrs

from histrio_kernel.bounds import bound
from histrio_kernel.errors import Reason
from histrio_kernel.gate import Handler
from histrio_kernel.overflow import Policy

__all__ = ["Behaviour", "Settings"]


class Behaviour(Protocol):
    """What the kernel calls of an actor besides its message handlers."""

    async def started(self) -> None:
        """Runs before the first message."""
        ...

    async def stopped(self, reason: Reason) -> None:
        """Runs when the actor stops as asked, after the last message."""
        ...

    async def run(self) -> object:
        """Runs instead of the loop that hands messages to handlers."""
        ...


@attrs.frozen(kw_only=True)
class Settings:
    """What an actor's class says about how its actors run. One object serves all actors of a class."""

    handlers: dict[type, Handler]
    kind: type[object] = object
    """The class itself."""
    stem: str = "actor"
    """What actors without a name are called, with a number."""
    policy: Policy = attrs.field(factory=Policy)
    serial: bool = False
    in_flight_max: int = bound("in_flight_max")
    io_max: int = bound("io_max")
    start_s: float = bound("start_s")
    shutdown_s: float = bound("shutdown_s")
    redeliver_max: int = bound("redeliver_max")
    stash_max: int = bound("stash_max")
    has_started: bool = True
    has_stopped: bool = True
    runs_by_hand: bool = False
    sealed: bool = False
    """The class promises that its actors share nothing that can change; what searches all schedules relies on it."""
