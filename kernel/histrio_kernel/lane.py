"""What is wanted of an actor from outside its inbox, and who is told what becomes of it (S5, S6).

What is wanted is a level, not an edge: it holds until something else is wanted, over restarts too, so `pause` and
`resume` may come in any order and at any time, and none is lost.
"""

# Design note
# -----------
# An actor that nobody has ever controlled, watched or monitored has no lane. A notification that is an edge goes wrong
# in both directions: the permit of a `resume` that found nobody waiting makes the next `pause` a no-op, and a `pause`
# that comes too late leaves something that is finished and paused.
#
# What is *driven* decides itself when it goes on (a `Process`, between two advances). Its class says by what: the lane
# makes that with itself, and tells it of every change; it looks at the levels and says `has_paused`.

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, cast, final

from trio.lowlevel import enable_ki_protection

from histrio_kernel.account import Account
from histrio_kernel.bounds import bound
from histrio_kernel.engine import Engine
from histrio_kernel.entries import NO_ENTRY
from histrio_kernel.errors import ActorStopped, Down, NoMoreMail, Reason, SelectStalled
from histrio_kernel.feed import Feed, Feeds, Lag
from histrio_kernel.futures import CANCELLED, ERROR, PENDING, VALUE, Future, Promise
from histrio_kernel.gate import BY_HAND, HALTED, PAUSED
from histrio_kernel.inbox import Inbox, Selection
from histrio_kernel.lifecycle import ENDED, Event, Phase
from histrio_kernel.made import Made
from histrio_kernel.nudges import Nudges
from histrio_kernel.settings import Settings
from histrio_kernel.signals import Kind
from histrio_kernel.turn import Turn

__all__ = ["Driven", "Lane", "Place"]

_ENDING: Final = frozenset({Phase.DRAINING, Phase.FAILING, Phase.DYING})


class Driven(Protocol):
    """What advances a behaviour that is driven from outside, over all of its incarnations, such as a `Process`."""

    @property
    def rerunnable(self) -> bool:
        """Whether the present advance may be cancelled and run again."""
        ...

    def nudge(self) -> bool:
        """One advance more is wanted; False if there is no room for that at present."""
        ...

    def step(self, count: int) -> None:
        """So many advances more may be made, though it is paused."""
        ...

    def level_changed(self) -> None:
        """It was paused, resumed, or is to end."""
        ...

    def interrupt(self) -> None:
        """It was paused, and its present advance is to be cancelled."""
        ...

    def incarnation_over(self) -> None:
        """Nothing of the incarnation runs any more."""
        ...

    def ended(self) -> None:
        """There will be no other incarnation."""
        ...


class Place(Protocol):
    """What a lane needs of its actor."""

    account: Account | None
    phase: Phase
    reason: Reason | None
    turn: Turn

    @property
    def settings(self) -> Settings:
        """What its class says; a class that has `__histrio_driven__` says by what its actors are driven."""
        ...

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Where its messages wait."""
        ...

    def open_account(self) -> Account:
        """Its account, made on first use."""
        ...

    def follow(self, event: Event) -> None:
        """Its phase changes."""
        ...


@final
class Lane:
    """The wants, the waits and the watchers of one place."""

    __slots__ = (
        "_ends",
        "_engine",
        "_held",
        "_monitors",
        "_nudges",
        "_pausing",
        "_place",
        "_resuming",
        "_watchers",
        "driven",
        "paused",
    )

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine: Final = engine
        self._place: Final = place
        self.paused = False
        """What is wanted: that no message is handled."""
        made_by = getattr(place.settings.kind, "__histrio_driven__", None)
        self.driven: Driven | None = None
        if made_by is not None:
            self.driven = cast(Callable[[Engine, str, Lane], Driven], made_by)(engine, place.path, self)
        self._held: Selection | None = None  # the `receive_next` of a `run()`, which is given nothing meanwhile
        self._resuming: Promise[None] | None = None  # what a `run()` that is paused waits for
        self._pausing: Final = Made()
        self._ends: Final = Made()
        self._monitors: Final = Made()
        self._watchers: Feeds[Phase] | None = None
        self._nudges: Nudges | None = None

    # -- pausing -------------------------------------------------------------------------------------------------

    @enable_ki_protection
    def pause(self, *, now: bool = False) -> Promise[None]:
        """From now on no message is handled. Completes when no handler runs or waits; cancelled if resumed first.

        What is driven may be paused *now*: then its present advance is cancelled.
        """
        place = self._place
        if place.account is not None:
            place.account.steps = None
        if not self.paused:
            self._engine.signals.emit(place.path, Kind.CONTROL, "pause")
        self.paused = True
        done = self._until_paused()
        if self.driven is not None:
            self.driven.level_changed()
            if now:
                self.driven.interrupt()
            return done
        if self._nudges is not None:
            self._nudges.withdraw()  # as those that were accepted: each was a step, and a pause ends them
        if place.reason is None:
            self._shut()
        return done

    @enable_ki_protection
    def resume(self) -> None:
        """Messages are handled again. Idempotent."""
        if self.paused:
            self._engine.signals.emit(self._place.path, Kind.CONTROL, "resume")
            self.end_pause()

    def end_pause(self) -> None:
        """What is wanted is not that it be paused: it is resumed, or it stops."""
        if not self.paused:
            return
        self.paused = False
        place = self._place
        if place.account is not None:
            place.account.steps = None
        self._open()
        self._pausing.settle(CANCELLED, None)  # whoever still waits for a pause waits for nothing
        if self.driven is not None:
            self.driven.level_changed()
        elif self._nudges is not None:
            self._nudges.admit()

    @enable_ki_protection
    def step(self, count: int) -> Promise[None]:
        """Handle that many more messages, then be paused. Completes when that is so; cancelled if resumed first."""
        place = self._place
        self._engine.signals.emit(place.path, Kind.CONTROL, f"step {count}")
        self.paused = True
        if self.driven is not None:
            if place.phase is Phase.PAUSED:
                place.follow(Event.RESUME)
            done = self._until_paused()
            self.driven.step(count)
            return done
        account = place.open_account()
        account.steps = (account.steps or 0) + count
        self._open_for_steps()
        return self._until_paused()

    def step_taken(self) -> None:
        """One of the messages that it may handle has been taken. One that is drained does not count."""
        account = self._place.account
        if self._place.reason is not None:
            return
        assert account is not None
        assert account.steps
        account.steps -= 1
        if not account.steps:
            account.steps = None
            self._shut()
        if self._nudges is not None:
            self._nudges.admit()

    # -- nudging -------------------------------------------------------------------------------------------------

    def nudge(self) -> Promise[None]:
        """One step more is wanted. Completes when that was accepted."""
        self._engine.signals.emit(self._place.path, Kind.CONTROL, "nudge")
        return self._open_nudges().add()

    def try_nudge(self) -> bool:
        """One step more is wanted; False, and nothing has changed, if that cannot be accepted now."""
        accepted = self._open_nudges().add_nowait()
        if accepted:
            self._engine.signals.emit(self._place.path, Kind.CONTROL, "nudge")
        return accepted

    def room_for_nudges(self) -> None:
        """What is driven has used one up."""
        if self._nudges is not None:
            self._nudges.admit()

    def _open_nudges(self) -> Nudges:
        if self._nudges is None:
            accept = self._accept_nudge if self.driven is None else self.driven.nudge
            self._nudges = Nudges(self._engine, self._place.path, accept)
        return self._nudges

    def _accept_nudge(self) -> bool:
        """A paused actor handles one message more; one that is not paused needs no nudge."""
        if self.paused:
            account = self._place.open_account()
            steps = account.steps or 0
            if steps >= bound("nudges_max"):
                return False
            account.steps = steps + 1
            self._open_for_steps()
        return True

    def _open_for_steps(self) -> None:
        """Take messages, unless the incarnation ends: then the next one may take so many."""
        if self._place.reason is None:
            self._open()

    # -- the gate ------------------------------------------------------------------------------------------------

    def _shut(self) -> None:
        """Take no message until it is resumed."""
        place = self._place
        place.turn.close_gate(PAUSED)
        if place.phase is Phase.PAUSED:
            self.has_paused()
        elif place.phase is Phase.RUNNING:
            if place.turn.gate & BY_HAND:
                self._hold()
            else:
                place.turn.tell_when_quiet()

    def _open(self) -> None:
        """Take messages again."""
        place = self._place
        if place.phase is Phase.PAUSED:
            place.follow(Event.RESUME)
        held, self._held = self._held, None
        if held is not None and held._waiters() and place.inbox.selection is None:
            self._offer_again(held)
        place.turn.open_gate(PAUSED)
        self._go_on()

    def has_paused(self) -> None:
        """No handler runs or waits, and none will."""
        if self._place.phase is Phase.RUNNING:
            self._place.follow(Event.PAUSE)
        self._pausing.settle(VALUE, None)

    # -- a `run()` that takes its messages itself ----------------------------------------------------------------

    async def boundary(self) -> None:
        """A `run()` that is paused waits here until it is resumed."""
        place = self._place
        while place.turn.gate & PAUSED and not place.turn.gate & HALTED and place.inbox.closed is None:
            self._resuming = Promise(self._engine)
            self.has_paused()
            await self._resuming

    def _hold(self) -> None:
        """A `receive_next` that waits gets nothing until the actor is resumed; it is paused there."""
        inbox = self._place.inbox
        if inbox.selection is not None:
            self._held, inbox.selection = inbox.selection, None
            inbox.set_limit()
            self.has_paused()

    def _offer_again(self, selection: Selection) -> None:
        inbox = self._place.inbox
        entry = inbox.find(selection.match, drops=selection.drops)
        if entry is not NO_ENTRY:
            selection._settle(VALUE, entry)
        elif inbox.closed is not None:
            selection._settle(ERROR, NoMoreMail())
        else:
            try:
                inbox.begin_selection(selection)
            except SelectStalled as error:
                if selection._state == PENDING:
                    selection._settle(ERROR, error)

    def release(self) -> None:
        """The incarnation is to end: a `run()` that is paused goes on."""
        held, self._held = self._held, None
        if held is not None and held._state == PENDING:
            held._settle(ERROR, NoMoreMail())
        self._go_on()

    def _go_on(self) -> None:
        resuming, self._resuming = self._resuming, None
        if resuming is not None and not resuming.is_done:
            resuming._settle(VALUE, None)

    # -- who is told ---------------------------------------------------------------------------------------------

    def _until_paused(self) -> Promise[None]:
        """Completes when no handler runs or waits; cancelled if the actor is resumed first."""
        promise: Promise[None] = Promise(self._engine)
        self._pausing.add(promise)
        return promise

    def until_end(self) -> Promise[Phase]:
        """Completes when the present incarnation has ended, with the phase then."""
        promise: Promise[Phase] = Promise(self._engine)
        self._ends.add(promise)
        return promise

    def monitor(self) -> Future[Down]:
        """Completes when the actor has ended for good."""
        promise: Promise[Down] = Promise(self._engine)
        self._monitors.add(promise)
        return promise

    def watch(self, phase: Phase, *, latest: bool) -> Feed[Phase]:
        """The present phase at once, then every change; or only the latest."""
        if self._watchers is None:
            self._watchers = Feeds(self._engine, f"phases of {self._place.path}")
        feed = self._watchers.open(Lag.LATEST if latest else Lag.FAIL)
        feed.put(phase)
        if phase in ENDED:
            feed.end()
        return feed

    # -- what happens --------------------------------------------------------------------------------------------

    def moved(self, phase: Phase) -> None:
        """The actor's phase has changed."""
        if self._watchers is not None:
            self._watchers.put(phase)
            if phase in ENDED:
                self._watchers.end()
        if self.driven is not None and phase in _ENDING:
            self.driven.level_changed()

    def incarnation_over(self, phase: Phase, error: Callable[[], ActorStopped]) -> None:
        """Nothing of the incarnation runs any more."""
        if self.driven is not None:
            self.driven.incarnation_over()
        if phase in ENDED:
            self._pausing.settle(ERROR, error())
            if self._nudges is not None:
                self._nudges.end(error())
        self._ends.settle(VALUE, phase)

    def ended(self, down: Down) -> None:
        """The actor has ended for good."""
        if self.driven is not None:
            self.driven.ended()
        self._monitors.settle(VALUE, down)
