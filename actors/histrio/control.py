"""What can be done to an actor past its inbox, and what can be seen of it from outside (S6)."""

# Design note
# -----------
# Control is a lane of its own, ahead of the inbox: no message has to be handled before it is heard, so a `kill` works
# on an actor whose inbox is full, whose handler hangs, or that waits for a restart.
#
# Whether an actor is paused is a level that is wanted, not an event that happens: see `histrio_kernel.lane`.

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar, cast, final

import attrs
import trio

from histrio.processes.errors import NotRerunnable
from histrio.processes.pulse import Pulse
from histrio_kernel.cell import Cell
from histrio_kernel.engine import Engine
from histrio_kernel.errors import ActorStopped, End, told
from histrio_kernel.feed import Feed
from histrio_kernel.futures import Future, Promise
from histrio_kernel.inbox import Inbox
from histrio_kernel.lifecycle import Phase

__all__ = ["Control", "Inspection"]

S = TypeVar("S", bound=enum.Enum)


class _Home(Protocol):
    """The system, as far as control needs it."""

    def find_cell(self, path: str, inbox: Inbox) -> Cell | None:
        """The cell that lives at `path` behind `inbox`, if its actor has not ended."""
        ...


@attrs.frozen
class Inspection:
    """One actor at one moment, as data: nothing in it changes with the actor, except what its fields refer to.

    `fields` are the attributes of the actor object, `queued` messages wait in its inbox and `stashed` were put by,
    `in_flight` handlers wait for something. Between two incarnations there is no object, and no fields. `state` is that
    of a `Process` that runs.
    """

    path: str
    actor: str
    phase: Phase
    incarnation: int
    is_paused: bool
    queued: int
    stashed: int
    in_flight: int
    last_failure: str | None
    fields: Mapping[str, object]
    state: enum.Enum | None = None


@final
class Control:
    """What can be done to an actor past its inbox. Nothing here is a checkpoint.

    `stop` and `kill` may be called at any time, any number of times; of an actor that has ended they ask nothing. All
    else raises `ActorStopped` then, with the reason why it ended. The futures need not be awaited.
    """

    __slots__ = ("_home", "_inbox", "_path")

    def __init__(self, home: _Home, path: str, inbox: Inbox) -> None:
        self._home: Final = home
        self._path: Final = path
        self._inbox: Final = inbox

    def pause(self, *, now: bool = False) -> Future[None]:
        """Handle no further message. Completes when no handler runs or waits; cancelled if it is resumed first.

        It holds until `resume`, also when the actor is started again. Mail still comes in, and waits. Pausing what is
        paused asks for nothing more; it ends a `step` that is not over.

        A `Process` makes no further advance: it is paused when the present one is over, or at once while it waits. With
        *now* the present one is cancelled, and made again after `resume`.

        Raises:
            NotRerunnable: *now*, and it is no `Process` that declares itself `rerunnable`; nothing changed.
        """
        cell = self._alive()
        lane = cell.open_lane()
        if now and (lane.driven is None or not lane.driven.rerunnable):
            raise NotRerunnable(self._path, cell.settings.kind.__qualname__)
        return lane.pause(now=now)

    def resume(self) -> None:
        """Handle messages again. Does nothing to an actor that is not paused."""
        cell = self._alive()
        if cell.lane is not None:
            cell.lane.resume()

    def step(self, count: int = 1) -> Future[None]:
        """Handle *count* messages more, then be paused. Completes when that is so; cancelled if it is resumed first.

        A `Process` makes so many advances more; they use up no nudges.

        Raises:
            ValueError: *count* is not a whole number, 1 or more.
        """
        given = cast(object, count)
        if type(given) is not int or given < 1:
            raise ValueError(f"{self._path}: step({given!r}): it must be a whole number, 1 or more")
        return self._alive().open_lane().step(count)

    def nudge(self) -> Future[None]:
        """Go on: one advance more of a `Process` that is driven by STEP; one that is FREE begins, if it has not.

        Completes when the nudge is accepted, which is before the advance: n accepted nudges are n advances, also over a
        restart, a pause or a wait. For its end see `step`, and `watch_states`. At once, unless `nudges_max` are accepted
        and not used up; then it stands in line, and fails with `InboxFull` if that is as long. Whoever awaits it there
        may be cancelled; then it is withdrawn.

        Of other actors a paused one handles one message more, as by `step`; one that is not paused needs no nudge.
        """
        return self._alive().open_lane().nudge()

    def try_nudge(self) -> None:
        """Like `nudge`, but it never stands in line.

        Raises:
            trio.WouldBlock: `nudges_max` nudges are accepted and not used up; nothing changed.
        """
        if not self._alive().open_lane().try_nudge():
            raise trio.WouldBlock(f"{self._path}: nudges_max nudges are not used up yet; nudge() stands in line")

    def stop(self, grace_s: float | None = None, why: str = "") -> Future[Phase]:
        """Begin to stop it: intake is closed, the inbox drained, children stopped, then `stopped()` runs.

        What takes longer than *grace_s* seconds (default: the actor's `shutdown_s`) is cancelled. Completes when this
        incarnation has ended, with the phase then; a supervisor may start another one. While it waits for that, `stop`
        is the end of what is TRANSIENT; what is PERMANENT is started again all the same.
        """
        given = cast(object, grace_s)
        if given is not None and (isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0):
            raise ValueError(f"{self._path}: grace_s is {given!r}; it must be a number of seconds, 0 or more")
        return self._end(lambda cell: cell.stop(why or "it was asked to", grace_s))

    def kill(self, why: str = "") -> Future[Phase]:
        """Cancel its handlers, operations and children now, whatever it does.

        Completes when this incarnation has ended, with the phase then; a supervisor may start another one, also if it
        waits for that already.
        """
        return self._end(lambda cell: cell.kill(why or "it was killed on request"))

    @property
    def is_done(self) -> bool:
        """Whether the actor has ended for good."""
        return self._cell is None

    @property
    def is_paused(self) -> bool:
        """Whether no handler runs or waits, and none will before it is resumed."""
        cell = self._cell
        return cell is not None and cell.phase is Phase.PAUSED

    def status(self) -> Phase:
        """The phase that the actor is in.

        Raises:
            ActorStopped: it has ended; with the reason.
        """
        return self._alive().phase

    def watch_states(self, states: type[S], *, latest: bool = False) -> Feed[S]:
        """The state of a `Process` now, and then every change, until it has ended for good.

        *states* is the Enum of its states. A process that starts again begins in its first state; before it runs, there
        is none to tell. With *latest* a slow reader sees only the newest; without, one that is `feed_max` changes behind
        gets `Lagged`.

        Raises:
            TypeError: it is no process with such states.
        """
        cell = self._alive()
        pulse = cell.open_lane().driven
        kind = cell.settings.kind
        initial = getattr(kind, "__histrio_initial__", None)
        if not isinstance(pulse, Pulse) or type(initial) is not states:
            has = "no states of its own" if initial is None else f"states of type {type(initial).__qualname__}"
            raise TypeError(f"{self._path}: watch_states({states!r}), but {kind.__qualname__} has {has}")
        return cast("Feed[S]", pulse.watch(latest=latest))

    def inspect(self) -> Inspection:
        """What there is to see of the actor now.

        Raises:
            ActorStopped: it has ended; with the reason.
        """
        cell = self._alive()
        return Inspection(
            path=cell.path,
            actor=cell.settings.kind.__qualname__,
            phase=cell.phase,
            incarnation=cell.incarnation,
            is_paused=cell.phase is Phase.PAUSED,
            queued=len(cell.inbox),
            stashed=0 if cell.account is None else cell.account.stashed,
            in_flight=cell.turn.suspended,
            last_failure=None if cell.last_failure is None else told(cell.last_failure),
            fields={} if cell.actor is None else _fields(cell.actor),
            state=None if cell.lane is None or not isinstance(cell.lane.driven, Pulse) else cell.lane.driven.state,
        )

    def _end(self, how: Callable[[Cell], None]) -> Future[Phase]:
        cell = self._cell
        if cell is None:
            return self._ended()
        end = cell.open_lane().until_end()
        how(cell)
        if cell.phase is Phase.RESTARTING and not end.is_done:
            end.set(cell.phase)  # nothing of it runs, and it is to be started again all the same
        return end

    def _ended(self) -> Future[Phase]:
        reason = self._inbox.closed
        assert reason is not None
        ended: Promise[Phase] = Promise(cast(Engine, self._inbox.engine))
        ended.set({End.STOPPED: Phase.STOPPED, End.FAILED: Phase.FAILED}.get(reason.end, Phase.KILLED))
        return ended

    def _alive(self) -> Cell:
        cell = self._cell
        if cell is None:
            assert self._inbox.closed is not None
            raise ActorStopped(self._path, self._inbox.closed)
        return cell

    @property
    def _cell(self) -> Cell | None:
        return self._home.find_cell(self._path, self._inbox)


def _fields(actor: object) -> dict[str, object]:
    """The attributes of an actor, in slots too; not what belongs to the kernel."""
    slots = [name for kind in type(actor).__mro__ for name in _slots(kind)]
    found = {name: getattr(actor, name) for name in slots if hasattr(actor, name)}
    found.update(getattr(actor, "__dict__", {}))
    return {name: value for name, value in found.items() if not name.startswith(("_histrio", "__"))}


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
