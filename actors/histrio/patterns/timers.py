"""Messages that an actor sends to itself later, once or again and again, on the system's clock: `self.timers` (S8).

What a timer sends goes through the inbox like any other message, and no timer outlives the incarnation that set it.
"""

# Design note
# -----------
# However many timers an actor has, there is one task for them, and none while it has none: a heap of what is due when,
# and a task that sleeps until the first of it. A timer that is set anew with each message, as an idle timeout is, costs
# a push and no task; what was cancelled stays in the heap until it would be due, or until such entries are the most.
# For the same reason the task is woken only for what is due earlier than what it sleeps for; and when nothing is left,
# so that a virtual clock does not run to a time at which nothing happens.
#
# The task waits for time and for nothing else. A message for which there is no room stands in the senders' line by
# itself: what stands there is a future, and needs no task.
#
# A tick that still waits must be told from an equal message of somebody else. So a repeated message travels in a slot
# of its own, as messages of a `LATEST` inbox do. There it travels bare: such an inbox has one place for each key, and
# a second message would only take the place of the first.

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Callable, Hashable
from typing import Final, Generic, Never, TypeVar, cast, final

import trio
from trio.lowlevel import enable_ki_protection

from histrio.handlers import HandlerTable
from histrio_kernel.belonging import Period
from histrio_kernel.bounds import bound
from histrio_kernel.cell import Cell
from histrio_kernel.entries import NO_ENTRY, Slot
from histrio_kernel.errors import ActorStopped, NotStarted
from histrio_kernel.futures import Future, Waiter
from histrio_kernel.inbox import Inbox, Standing, Verdict
from histrio_kernel.machine.states.base import BaseState
from histrio_kernel.overflow import Latest
from histrio_kernel.signals import Kind
from histrio_kernel.turn import Turn

__all__ = ["Timers"]

M_contra = TypeVar("M_contra", contravariant=True)

_BATCH_MAX: Final = bound("batch_max")


@final
class Timers(Generic[M_contra]):
    """The timers of one incarnation of an actor: `self.timers`. Nothing here is a checkpoint.

    Times are in seconds of the system's clock. What a timer sends goes through the inbox like any other message: it
    waits while the actor is paused, stands in line while the inbox is full, and is dropped where the policy says so
    (`DROP_NEW`, `DROP_OLD`, `LATEST`). Once it is in the inbox it is a message and no timer any more: `cancel` does not
    take it back.

    When the actor stops, fails or is started again, its timers are gone. From then on none can be set: a call does
    nothing.

    Examples:
        >>> import histrio, trio.testing
        >>> class Kettle(histrio.Actor[str]):
        ...     async def started(self) -> None:
        ...         self.timers.every(2, "hums", key="hum")
        ...         self.timers.after(5, "whistles")
        ...     async def receive(self, message: str) -> None:
        ...         print(self.io.clock.now(), message)
        ...         if message == "whistles":
        ...             self.timers.cancel("hum")
        ...             self.finish()
        >>> async def main(system: histrio.System) -> None:
        ...     await (await system.spawn(Kettle)).join()
        >>> histrio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        2.0 hums
        4.0 hums
        5.0 whistles
    """

    __slots__ = (
        "_asleep_until",
        "_cell",
        "_heap",
        "_is_over",
        "_nap",
        "_numbers",
        "_runs",
        "_standing",
        "_timers",
        "_turn",
    )

    def __init__(self, cell: Cell, actor: object) -> None:
        self._cell: Final = cell
        self._turn: Final[Turn] = cell.turn
        self._is_over = cell.actor is not actor  # that of an earlier incarnation, used by somebody who kept it
        self._timers: Final[dict[Hashable, _Timer]] = {}
        self._heap: Final[list[tuple[float, int, _Timer]]] = []
        self._standing: Final[dict[Standing, _Timer]] = {}
        self._numbers = 0
        self._runs = False
        self._nap: trio.CancelScope | None = None
        self._asleep_until = -math.inf

    def after(
        self, seconds: float, message: M_contra, key: Hashable = None, *, within: BaseState | None = None
    ) -> Hashable:
        """Send `message` to this actor, once, *seconds* from now. The value is its key, for `cancel`.

        A timer of the same *key* that has not sent its message yet is replaced. Without one it gets a key of its own.
        It is called off when the present activation of the state *within* ends; what a state's task sets belongs to its
        activation without being told.

        Raises:
            NotActive: the state *within* is not active; nothing was set.
            NotStarted: the actor has handled nothing yet, and so cannot have set this.
            TypeError: the actor does not take messages of this type, or *key* cannot be one; nothing was set.
            ValueError: *seconds* is not a number, 0 or more; nothing was set.
        """
        return self._set("after", seconds, message, key, repeats=False, within=within)

    def every(
        self, seconds: float, message: M_contra, key: Hashable = None, *, within: BaseState | None = None
    ) -> Hashable:
        """Send `message` to this actor again and again, each *seconds*, first so long from now.

        The times do not drift: they are multiples of *seconds*, counted from now. One at which the last message still
        waits is left out, so a slow or paused actor has one to catch up with and not many. The rest is as in `after`.

        Raises:
            NotStarted, TypeError: as `after`.
            ValueError: *seconds* is not a number greater than 0; nothing was set.
        """
        return self._set("every", seconds, message, key, repeats=True, within=within)

    @enable_ki_protection
    def cancel(self, key: Hashable) -> bool:
        """Call the timer of this *key* off. False if there is none: it was never set, or has sent its message.

        A message of it that stands in the senders' line leaves it; one that waits in the inbox does not.
        """
        found = self._take_out(key) and not self._has_ended()
        if not self._timers:
            self._wake()
        return found

    def __contains__(self, key: object) -> bool:
        """Whether a timer of this key is set."""
        return key in self._timers and not self._has_ended()

    def __len__(self) -> int:
        """How many are set."""
        return 0 if self._has_ended() else len(self._timers)

    def __repr__(self) -> str:
        """Say whose they are, and how many."""
        return f"<Timers of {self._cell.path}: {len(self)}>"

    # -- for the front door --------------------------------------------------------------------------------------

    def next_due(self) -> tuple[float, Hashable] | None:
        """When the first of those that are set is due, and its key; None if none is set, or all stand in line."""
        due = [(timer.due, timer.number, timer.key) for timer in self._timers.values() if timer.standing is None]
        first = min(due, default=None, key=_by_time)
        return None if first is None else (first[0], first[2])

    # -- setting -------------------------------------------------------------------------------------------------

    @enable_ki_protection
    def _set(
        self, name: str, seconds: float, message: M_contra, key: Hashable, *, repeats: bool, within: BaseState | None
    ) -> Hashable:
        cell = self._cell
        seconds = _checked_seconds(f"{cell.path}: timers.{name}()", seconds, repeats=repeats)
        table = cast(HandlerTable, cell.settings.handlers)
        if message.__class__ not in table:
            table.learn(cell.path, message)
        self._numbers += 1
        key = _Unnamed(self._numbers) if key is None else key
        self._check_key(name, key)
        if self._has_ended():
            return key
        if cell.nursery is None:
            raise NotStarted(f"{cell.path}: timers.{name}() is for the actor's own code, and none of it has run yet")
        period = cell.period_here() if within is None else cell.period_of(within)
        self._take_out(key)
        timer = _Timer(self._numbers, key, message, cell.engine.now(), seconds, repeats=repeats)
        self._timers[key] = timer
        self._push(timer)
        self._look_after()
        if period is not None:
            timer.belongs = belongs = _Belongs(self, timer, period)
            period.add(belongs)
        return key

    def _check_key(self, name: str, key: Hashable) -> None:
        try:
            hash(key)
        except TypeError as error:
            raise TypeError(
                f"{self._cell.path}: timers.{name}(): key is {key!r}; it must be hashable, as a str"
            ) from error

    def _take_out(self, key: Hashable) -> bool:
        timer = self._timers.pop(key, None)
        if timer is not None:
            self._call_off(timer)
        return timer is not None

    def _push(self, timer: _Timer) -> None:
        if len(self._heap) > 2 * len(self._timers) + 64:
            self._heap[:] = [entry for entry in self._heap if entry[2].is_set]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (timer.due, timer.number, timer))

    def _look_after(self) -> None:
        """See that the task runs, and does not sleep for too long."""
        if not self._runs:
            self._runs = True
            self._cell.beside(self._run, "timers")
        elif self._heap[0][0] < self._asleep_until:
            self._wake()

    def _wake(self) -> None:
        if self._nap is not None:
            self._nap.cancel()

    def _call_off(self, timer: _Timer) -> None:
        timer.is_set = False
        timer.no_longer_belongs()
        if timer.standing is not None:
            timer.standing.cancel()

    def _has_ended(self) -> bool:
        """Whether the incarnation is ending, or has ended."""
        cell = self._cell
        return self._is_over or cell.turn is not self._turn or cell.reason is not None

    # -- firing --------------------------------------------------------------------------------------------------

    @enable_ki_protection
    async def _run(self) -> None:
        """The task: it ends when no timer is left, or with the actor."""
        try:
            while self._timers and not self._is_over:
                with trio.CancelScope() as self._nap:
                    await self._sleep()
                self._nap = None
                self._fire_due()
        except BaseException:
            self._is_over = True
            raise
        finally:
            self._runs = False
            self._nap = None
            if self._is_over:
                self._clear()
            self._heap.clear()

    async def _sleep(self) -> None:
        self._asleep_until = self._heap[0][0] if self._heap else math.inf
        if self._asleep_until == math.inf:
            await trio.sleep_forever()
        else:
            await self._cell.engine.driver.clock.deadline(self._asleep_until)

    def _fire_due(self) -> None:
        """Fire what is due, in the order of time and of setting; a batch of it, then others run."""
        now = self._cell.engine.now()
        heap = self._heap
        due: list[_Timer] = []
        while heap and (heap[0][0] <= now or not heap[0][2].is_set) and len(due) < _BATCH_MAX:
            timer = heapq.heappop(heap)[2]
            if timer.is_set:
                due.append(timer)
        queued = _Queued(self._cell.inbox)
        for timer in due:
            if timer.is_set and not self._is_over:  # else it was called off by one that fired before it
                self._fire(timer, queued)
                self._set_again(timer, now)

    def _fire(self, timer: _Timer, queued: _Queued) -> None:
        cell = self._cell
        if self._has_ended():
            self._is_over = True
            return
        if timer.standing is not None or queued.holds(timer.carrier):
            return
        if cell.engine.signals.heard:
            cell.engine.signals.emit(cell.path, Kind.TIMER, (timer.key, timer.message))
        bare = timer.period is None or isinstance(cell.settings.policy.overflow, Latest)
        timer.carrier = timer.message if bare else Slot(None, timer.message)
        try:
            verdict = cell.inbox.offer(timer.carrier)
        except ActorStopped:  # whoever heard of it has stopped the actor
            self._is_over = True
            return
        if verdict is Verdict.FULL:
            self._stand(timer)
        elif timer.period is None:
            self._is_done(timer)

    def _set_again(self, timer: _Timer, now: float) -> None:
        """It has fired, or this time was left out; one that repeats goes on."""
        if timer.is_set and timer.period is not None:
            timer.go_on(now)
            self._push(timer)

    def _stand(self, timer: _Timer) -> None:
        """There is no room: its message stands in the senders' line, whatever the policy says of others."""
        standing = timer.standing = Standing(self._cell.inbox, timer.carrier)
        self._standing[standing] = timer
        standing._attach(_Stands(self._stood))
        self._cell.inbox.line_up(standing)

    def _stood(self, standing: Standing) -> None:
        """What stood in line was let in, refused, or called off."""
        timer = self._standing.pop(standing)
        timer.standing = None
        if timer.is_set and timer.period is None:
            self._is_done(timer)

    def _is_done(self, timer: _Timer) -> None:
        timer.is_set = False
        timer.no_longer_belongs()
        del self._timers[timer.key]
        if not self._timers:
            self._wake()

    def _clear(self) -> None:
        """The incarnation ends: no timer is left, and nothing of them stands in line."""
        timers = tuple(self._timers.values())
        self._timers.clear()
        for timer in timers:
            self._call_off(timer)


@final
class _Timer:
    """One message, and when it is due."""

    __slots__ = (
        "belongs",
        "carrier",
        "due",
        "is_set",
        "key",
        "message",
        "number",
        "period",
        "standing",
        "start",
        "ticks",
    )

    def __init__(
        self, number: int, key: Hashable, message: object, now: float, seconds: float, *, repeats: bool
    ) -> None:
        self.number: Final = number
        self.key: Final = key
        self.message: Final = message
        self.start: Final = now
        self.period: Final = seconds if repeats else None
        self.due = now + seconds
        self.ticks = 1
        self.is_set = True
        self.carrier: object = NO_ENTRY
        """What was put into the inbox last."""
        self.standing: Standing | None = None
        """What stands in the senders' line."""
        self.belongs: _Belongs | None = None
        """How it ends with an activation of a state."""

    def no_longer_belongs(self) -> None:
        """It is no timer any more."""
        belongs, self.belongs = self.belongs, None
        if belongs is not None:
            belongs.period.done(belongs)

    def go_on(self, now: float) -> None:
        """It is due again at the first of its times after `now`."""
        assert self.period is not None
        self.ticks = max(self.ticks, math.floor((now - self.start) / self.period)) + 1
        self.due = self.start + self.ticks * self.period


@final
class _Belongs:
    """A timer as the work of an activation."""

    __slots__ = ("_timer", "_timers", "period")

    def __init__(self, timers: Timers[Never], timer: _Timer, period: Period) -> None:
        self._timers: Final = timers
        self._timer: Final = timer
        self.period: Final = period

    def end(self) -> None:
        """The activation is over."""
        if self._timer.is_set:
            self._timers.cancel(self._timer.key)


@final
class _Unnamed:
    """The key of a timer that was given none."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number: Final = number

    def __repr__(self) -> str:
        return f"<timer {self._number}>"


@final
class _Stands(Waiter):
    """Hears what became of a message that stood in the senders' line."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[Standing], None]) -> None:
        self._call: Final = call

    def settled(self, future: Future[object]) -> None:
        """It was let in, refused, or called off."""
        self._call(cast(Standing, future))


@final
class _Queued:
    """Whether what a timer has sent still waits in the inbox: one look at the queue serves all that fire together."""

    __slots__ = ("_dropped", "_found", "_inbox")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox: Final = inbox
        self._dropped = -1
        self._found: set[int] = set()

    def holds(self, carrier: object) -> bool:
        """Whether `carrier`, a slot or what is in one, stands in the queue."""
        if carrier is NO_ENTRY:
            return False
        if self._dropped != self._inbox.dropped:  # firing takes nothing out of the queue but by dropping it
            self._dropped = self._inbox.dropped
            slots = [entry for entry in self._inbox.queue if type(entry) is Slot]
            self._found = {id(slot) for slot in slots}.union(id(slot.entry) for slot in slots)
        return id(carrier) in self._found


def _by_time(due: tuple[float, int, Hashable]) -> tuple[float, int]:
    return due[:2]


def _checked_seconds(what: str, given: object, *, repeats: bool) -> float:
    """The seconds that were given, if they are any."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        seconds = math.inf if given > sys.float_info.max else float(given)
        if seconds > 0 or (seconds == 0 and not repeats):
            return seconds
    allowed = "greater than 0" if repeats else "0 or more"
    raise ValueError(f"{what}: seconds is {given!r}; it must be a number of seconds, {allowed}. Nothing was set")
