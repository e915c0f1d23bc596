"""The links between the hosts of a simulated run: what is sent arrives at a step of its own, or is lost (D4).

Invariant: a message is on its way only while its link is whole and both its ends have power. Each line keeps its order,
unless a fault lets a packet overtake.
"""

# Design note
# -----------
# Only the first packet of a line is on offer to the simulator, so the order across lines is its choice and the order
# within one is not.
#
# A line either *keeps* what is on its way when its link is cut, or loses it. Messages are lost, those in flight too:
# nobody sends them again, and a message that survives a cut is what a late one looks like, which is a fault of its
# own. Segments of a connection are kept, because TCP sends them again until it gives up; giving up is the connection's
# business (`histrio_kernel.simulation.streams`). A host without power loses what it has sent in either case.
#
# A host's `Life` ends with its power. Whoever acts for a host holds its life, so what still unwinds after a crash
# cannot act for the host that was started afterwards.

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from itertools import chain
from typing import Final, TypeVar, final

import attrs
import trio

from histrio_kernel.simulation.alarms import alarm
from histrio_kernel.simulation.errors import PowerCut
from histrio_kernel.simulation.net_faults import NetFaults
from histrio_kernel.simulation.run import Completion, Simulation

__all__ = ("Life", "Line", "Links")

T = TypeVar("T")

_OVERTAKEN_MAX: Final = 7
"""So many packets one may overtake at once."""
_DELAYS: Final = 3
"""So many lengths a delay may have, up to the longest."""


def _nothing() -> None:
    pass


def _no_boundary(line: Line, where: str) -> None:
    """Nobody looks at it."""


@final
@attrs.define(eq=False)
class Life:
    """The time in which a host has power.

    Attributes:
        host: its name.
        cut: what its operations raise now; None while it has power.
    """

    host: str
    cut: PowerCut | None = None

    def check(self) -> None:
        """Raise `PowerCut` if it is over."""
        if self.cut is not None:
            raise PowerCut(*self.cut.args)


@final
@attrs.define(eq=False)
class _Packet:
    """Something on its way."""

    label: str
    deliver: Callable[[], None]
    lost: Callable[[], None]
    due: float


@final
class Line:
    """Packets from one host to another, which arrive in order, each at a step of its own.

    Args:
        links: of which this is one.
        src: where they come from.
        dst: where they go.
        keeps: whether they wait while the link is cut; else they are lost.
    """

    __slots__ = ("_alarm", "_completion", "_links", "_queue", "dst", "keeps", "src")

    def __init__(self, links: Links, src: str, dst: str, *, keeps: bool) -> None:
        self.src: Final = src
        self.dst: Final = dst
        self.keeps: Final = keeps
        self._links: Final = links
        self._queue: Final[deque[_Packet]] = deque()
        self._completion: Completion | None = None
        self._alarm: trio.CancelScope | None = None

    def __len__(self) -> int:
        """How many packets are on their way."""
        return len(self._queue)

    def put(
        self,
        label: str,
        deliver: Callable[[], None],
        *,
        delay_s: float = 0.0,
        overtakes: int = 0,
        lost: Callable[[], None] = _nothing,
    ) -> None:
        """Send one more packet; `deliver` is called at the step at which it arrives, `lost` if it never will."""
        self._links.boundary(self, f"before {label}")
        packet = _Packet(label, deliver, lost, self._links.simulation.clock.now + delay_s)
        self._queue.insert(len(self._queue) - overtakes, packet)
        self._links.lines[self] = None
        if self._queue[0] is packet:
            self._disarm()
        self.changed()

    def clear(self) -> None:
        """What is on its way is lost."""
        self._disarm()
        packets = tuple(self._queue)
        self._queue.clear()
        self._links.lines.pop(self, None)
        for packet in packets:
            packet.lost()

    def changed(self) -> None:
        """Look at the link again: it may have been cut or healed."""
        if self._links.is_open(self.src, self.dst):
            self._arm()
        elif self.keeps and self._links.is_up(self.src):
            self._disarm()
        else:
            self.clear()

    def _arm(self) -> None:
        """Offer the first packet to the simulator, once it is due."""
        if not self._queue:
            self._links.lines.pop(self, None)
        elif self._completion is None and self._alarm is None:
            first = self._queue[0]
            if first.due > self._links.simulation.clock.now:
                self._alarm = alarm(first.due, f"{first.label}, which is late", self._offer)
            else:
                self._offer()

    def _offer(self) -> None:
        self._alarm = None
        touches = (f"network of {self.dst}",)
        self._completion = self._links.simulation.submit(self._queue[0].label, self._arrive, touches)

    def _disarm(self) -> None:
        if self._completion is not None:
            self._links.simulation.withdraw(self._completion)
        if self._alarm is not None:
            self._alarm.cancel()
        self._completion = self._alarm = None

    def _arrive(self) -> None:
        self._completion = None
        packet = self._queue.popleft()
        self._arm()
        packet.deliver()
        self._links.boundary(self, f"after {packet.label}")


@final
class Links:
    """All links of one run.

    Args:
        simulation: the run.
        faults: what may happen to what is sent.

    Attributes:
        lines: those with packets on them, in the order in which they got them.
        watchers: what is called whenever a link is cut or healed, or a host loses or gets power.
        boundary: called before a packet is sent and after it has arrived, with its line and with where that is ("before a
            message from a to b"). It may not cut anything: only between two steps.
    """

    def __init__(self, simulation: Simulation, faults: NetFaults | None = None) -> None:
        self.simulation: Final = simulation
        self.faults: Final = NetFaults() if faults is None else faults
        self.lines: Final[dict[Line, None]] = {}
        self._lives: Final[dict[str, Life]] = {}
        self._cuts: Final[set[tuple[str, str]]] = set()  # asked for members only: a set has no order
        self._torn: Final[set[tuple[str, str]]] = set()
        self.boundary: Callable[[Line, str], None] = _no_boundary
        self._messages: Final[dict[tuple[str, str], Line]] = {}
        self.watchers: Final[dict[object, Callable[[], None]]] = {}

    # -- hosts -------------------------------------------------------------------------------------------------------

    @property
    def hosts(self) -> tuple[str, ...]:
        """All that have ever been started, in the order of their first starts."""
        return tuple(self._lives)

    def boot(self, host: str) -> Life:
        """Give a host power, unless it has it; the life that it has now."""
        life = self._lives.get(host)
        if life is None or life.cut is not None:
            life = self._lives[host] = Life(host)
            self._changed()
        return life

    def restart(self, host: str) -> Life:
        """Start a host again after a crash; the same as `boot`."""
        return self.boot(self._known(host))

    def crash(self, host: str) -> None:
        """Cut a host's power: nothing goes out, nothing comes in, and what it had sent or was sent is lost."""
        life = self._lives[self._known(host)]
        if life.cut is None:
            life.cut = PowerCut(f"{host} has no power: nothing that it does has an effect any more")
            self._changed()

    def is_up(self, host: str) -> bool:
        """Whether a host has power."""
        life = self._lives.get(host)
        return life is not None and life.cut is None

    # -- cuts --------------------------------------------------------------------------------------------------------

    def partition(self, *groups: str | Collection[str], one_way: bool = False) -> None:
        """Cut the links between groups of hosts, in addition to what is cut already.

        Hosts that are in no group keep all their links; a single group is cut off from all other hosts. A name alone
        is a group of one.

        Args:
            groups: names of hosts.
            one_way: nothing gets from an earlier group to a later one, but from a later one to an earlier.

        Raises:
            ValueError: no group, a name that no host has, or one that is in two groups.
        """
        named = [self._group(group) for group in groups]
        if len(named) == 1:
            named.append([host for host in self._lives if host not in named[0]])
        _check_groups(named)
        for at, group in enumerate(named):
            for other in named[at + 1 :]:
                self._cuts.update((src, dst) for src in group for dst in other)
                if not one_way:
                    self._cuts.update((dst, src) for src in group for dst in other)
        self._changed()

    def heal(self) -> None:
        """No link is cut any more. What connections have kept goes on; messages that were lost stay lost."""
        self._cuts.clear()
        self._torn.clear()
        self._changed()

    def tear(self, one: str, other: str) -> None:
        """Cut the link between two hosts, besides what `partition` cuts, until it is mended or all is healed."""
        self._torn.update(((one, other), (other, one)))
        self._changed()

    def mend(self, one: str, other: str) -> None:
        """What was torn is whole again; what `partition` has cut stays cut."""
        self._torn.difference_update(((one, other), (other, one)))
        self._changed()

    def is_open(self, src: str, dst: str) -> bool:
        """Whether what *src* sends gets to *dst* now."""
        way = (src, dst)
        return way not in self._cuts and way not in self._torn and self.is_up(src) and self.is_up(dst)

    # -- messages ----------------------------------------------------------------------------------------------------

    def send(
        self,
        src: str,
        dst: str,
        payload: T,
        deliver: Callable[[T], object],
        troubled: Callable[[], None] = _nothing,
    ) -> None:
        """Send a message, which may be lost; `deliver(payload)` is called if and when it arrives, in no task.

        Never waits, never raises for what becomes of the message. Over a cut link, and from or to a host without power,
        it is lost. From a host to itself no fault strikes.

        Args:
            src: the host that sends.
            dst: the host that it is for.
            payload: what is sent; it is handed on as it is, so it must be bytes, frozen, or a copy.
            deliver: takes it. What it raises ends the run.
            troubled: called when the message is lost, or late; in no task, perhaps before this returns.
        """
        line = self._line(self._known(src), self._known(dst))
        what = f"a message from {src} to {dst}"
        if src != dst and self.faults.drop and self._strikes(f"{what} is lost"):
            troubled()
            return
        copies = 1 + (src != dst and self.faults.duplicate and self._strikes(f"{what} arrives twice"))
        delay_s = self.delay(src, dst, what)
        if delay_s:
            troubled()
        for _ in range(copies):
            overtakes = self._overtakes(line, what)
            line.put(what, partial(_hand_over, deliver, payload), delay_s=delay_s, overtakes=overtakes, lost=troubled)

    def delay(self, src: str, dst: str, what: str) -> float:
        """How many seconds the next packet takes."""
        if src == dst or not self.faults.delay_max_s:
            return 0.0
        return self.faults.delay_max_s * self.simulation.decide(_DELAYS + 1, f"{what} is late") / _DELAYS

    def _line(self, src: str, dst: str) -> Line:
        """The line of the messages between two hosts."""
        line = self._messages.get((src, dst))
        if line is None:
            line = self._messages[src, dst] = Line(self, src, dst, keeps=False)
        return line

    def _strikes(self, label: str) -> bool:
        return self.simulation.decide(2, label) == 1

    def _overtakes(self, line: Line, what: str) -> int:
        """How many packets the next one overtakes."""
        if line.src == line.dst or not self.faults.reorder:
            return 0
        return self.simulation.decide(min(len(line), _OVERTAKEN_MAX) + 1, f"{what} overtakes")

    # -- who wants to know -------------------------------------------------------------------------------------------

    def watch(self, who: object, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a link is cut or healed, or a host loses or gets power."""
        self.watchers[who] = changed

    def unwatch(self, who: object) -> None:
        """Not any more."""
        self.watchers.pop(who, None)

    def _changed(self) -> None:
        for line in tuple(self.lines):
            line.changed()
        for changed in tuple(self.watchers.values()):
            changed()

    # -- names -------------------------------------------------------------------------------------------------------

    def _known(self, host: str) -> str:
        if host not in self._lives:
            raise ValueError(f"no host is called {host!r}; there are: {', '.join(self._lives) or 'none'}")
        return host

    def _group(self, group: str | Collection[str]) -> list[str]:
        return [self._known(group)] if isinstance(group, str) else [self._known(host) for host in sorted(group)]


def _hand_over(deliver: Callable[[T], object], payload: T) -> None:
    deliver(payload)


def _check_groups(groups: list[list[str]]) -> None:
    """Every host is in one group at most."""
    if not groups:
        raise ValueError("a partition needs at least one group of hosts")
    named = list(chain.from_iterable(groups))
    twice = [host for at, host in enumerate(named) if host in named[:at]]
    if twice:
        raise ValueError(f"{twice[0]!r} is in two groups, so it cannot be cut off from either")
