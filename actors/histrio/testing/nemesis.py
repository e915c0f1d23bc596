"""Crashes and partitions that the walk of a run chooses: where, of whom, and for how long (D4)."""

# Design note
# -----------
# What a machine does in the world begins and ends at few places: its disk changes, a packet leaves or arrives, a call in
# a thread is made. What it loses with its power anywhere else nobody has seen. So the walk decides there and nowhere else,
# and its first answer is that nothing happens: first in, first out never strikes, and what is not needed is shrunk away.
#
# What strikes before an effect strikes at once: the disk is severed, all else between this step and the next, because a
# task cannot be stopped within a step; a packet of that step is lost with its sender. What strikes after an effect is a
# step of its own: first in, first out takes it when nobody else can go on, so that whoever waited for the effect has seen
# it, and another walk takes it anywhere before.
#
# What the power cut leaves on the disk is decided then, not when the machine starts: by that time faults may be off.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol, TypeAlias, final

import trio

from histrio.system import System
from histrio.testing.faults import Faults
from histrio_kernel.simulation.driver import SimDriver
from histrio_kernel.simulation.links import Line, Links
from histrio_kernel.simulation.run import Completion, Simulation

__all__ = ["Nemesis", "Victim"]

Begin: TypeAlias = Callable[[], bool | None]
End: TypeAlias = Callable[[], Awaitable[None]]

_SHORT: Final = 20  # times shorter than a long outage
_BEFORE: Final = "before "  # begins what says where that is; else it is "after "


class Victim(Protocol):
    """A machine, as far as its nemesis knows it."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def driver(self) -> SimDriver:
        """All that it has of the world, in this life."""
        ...

    @property
    def system(self) -> System | None:
        """What runs there, until it has unwound; a machine without is not struck."""
        ...

    def lose_power(self, of: SimDriver) -> bool:
        """Its power is cut, if that is still its driver. Not a checkpoint."""
        ...

    async def come_back(self) -> None:
        """Start it again, unless the program has."""
        ...


@final
class Nemesis:
    """Strikes the machines of one world, as often as its faults allow."""

    _links: Links
    _nursery: trio.Nursery

    def __init__(self, simulation: Simulation, faults: Faults) -> None:
        self._simulation: Final = simulation
        self._crashes, self._partitions = faults.crashes, faults.partitions
        self._outage_max_s: Final = faults.outage_max_s
        self._victims: Final[dict[str, Victim]] = {}
        self._at_once: Final[list[Callable[[], None]]] = []
        self._decided: Final[dict[str, Completion | None]] = {}
        self._outages: Final[dict[trio.CancelScope, None]] = {}

    async def live(self, task_status: trio.TaskStatus[None]) -> None:
        """It acts while this runs."""
        self._simulation.watched.append(self._between_steps)
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def haunt(self, victim: Victim, driver: SimDriver) -> None:
        """From now on that machine may crash where that driver of it does something."""
        self._victims[victim.name] = victim
        driver.files.boundary = lambda call: self._at_effect(victim, f"before {call}")
        driver.boundary = partial(self._at_effect, victim)

    def lurk(self, links: Links) -> None:
        """What goes over those links may be the last for a while."""
        self._links = links
        links.boundary = self._at_line

    def calm(self) -> None:
        """What was decided and has not happened will not happen, and what has happened is over soon."""
        for completion in filter(None, self._decided.values()):
            self._simulation.withdraw(completion)
        self._between_steps()
        self._decided.clear()
        for scope in self._outages:
            scope.cancel()

    def stop(self) -> None:
        """It acts no more, and whoever is down stays so."""
        self._crashes = self._partitions = 0
        self._at_once.clear()
        self.calm()
        self._nursery.cancel_scope.cancel()

    def _at_effect(self, victim: Victim, where: str) -> None:
        if self._crashes_at(victim, where) and where.startswith(_BEFORE):
            victim.driver.sever()

    def _at_line(self, line: Line, where: str) -> None:
        is_sent = where.startswith(_BEFORE)
        src, dst = self._victims.get(line.src), self._victims.get(line.dst)
        for victim in (src,) if is_sent else dict.fromkeys((dst, src)):
            if victim is not None:
                self._crashes_at(victim, where)
        one, other = sorted((line.src, line.dst))
        if self._partitions and is_sent and src and dst and src is not dst and self._links.is_open(one, other):

            async def mend() -> None:
                self._links.mend(one, other)

            what = f"{one} and {other} are cut off from one another"
            self._partitions -= self._strikes(what, where, partial(self._links.tear, one, other), mend)

    def _crashes_at(self, victim: Victim, where: str) -> bool:
        if not self._crashes or victim.system is None or victim.driver.has_no_power:
            return False
        fall = partial(victim.lose_power, victim.driver)
        strikes = self._strikes(f"the power of {victim.name} is cut", where, fall, victim.come_back)
        self._crashes -= strikes
        return strikes

    def _strikes(self, what: str, where: str, begin: Begin, end: End) -> bool:
        if what in self._decided or not self._simulation.decide(2, f"{what} {where}"):
            return False
        strike = partial(self._strike, what, begin, end)
        if where.startswith(_BEFORE):
            self._at_once.append(strike)
        self._decided[what] = None if where.startswith(_BEFORE) else self._simulation.submit(what, strike)
        return True

    def _between_steps(self) -> None:
        while self._at_once:
            self._at_once.pop(0)()

    def _strike(self, what: str, begin: Begin, end: End) -> None:
        self._decided.pop(what, None)
        if begin() is not False:
            is_short = self._simulation.decide(2, f"{what} only for a short time")
            seconds = self._outage_max_s / (_SHORT if is_short else 1)
            scope = trio.CancelScope()
            self._outages[scope] = None
            self._nursery.start_soon(self._outage, scope, seconds, end, name=f"the time in which {what}")

    async def _outage(self, scope: trio.CancelScope, seconds: float, end: End) -> None:
        with scope:
            await trio.sleep(seconds)
        del self._outages[scope]
        await end()
