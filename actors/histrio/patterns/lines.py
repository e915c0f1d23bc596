"""One message stands in the lines of many full inboxes at once, without a task for each of them."""

# Design note
# -----------
# A fan-out must not wait for one full inbox before it looks at the next: a second publisher would overtake it there.
# So who has to wait takes a place in every line in one synchronous step, and then awaits the places one by one. Such an
# await is an await of Histrio: in a handler it gives the turn away, which a nursery would not.
#
# A backlog is a place in the line too, one for all that is kept: what is let in is whatever is the oldest that is kept
# at that moment. So dropping the oldest costs no place in the line.

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, final

from trio.lowlevel import checkpoint_if_cancelled

from histrio_kernel.errors import ActorStopped, FutureCancelled
from histrio_kernel.futures import VALUE, Future, Waiter
from histrio_kernel.inbox import Inbox, Standing, Verdict
from histrio_kernel.overflow import DROP_NEW, DROP_OLD

__all__ = ["Backlog", "let_in", "must_wait", "stand"]

_STOPPED: Final = "its subscriber stopped before it had room for it"


def must_wait(inbox: Inbox) -> bool:
    """Whether a `tell` to this actor would stand in line now. Of a `LATEST` inbox this may be true without need."""
    return inbox.closed is None and not inbox.has_room() and inbox.policy.overflow not in (DROP_NEW, DROP_OLD)


def stand(inbox: Inbox, message: object) -> Future[None]:
    """Take a place in the line of a full inbox; the future completes when `message` is in.

    It fails with `ActorStopped` if the actor stops first. Cancelled, it leaves the line.
    """
    standing = Standing(inbox, message)
    inbox.line_up(standing)
    return standing


async def let_in(standing: Sequence[Future[None]]) -> None:
    """Wait until all who stand have been let in. Those whose actor stops, and those that are cancelled, are left out.

    If this is cancelled, those that still stand leave their lines; the others are in.
    """
    try:
        for each in standing:
            try:
                await each
            except (ActorStopped, FutureCancelled):
                if not each.is_done:
                    raise  # it is the end of whoever waits here
                await checkpoint_if_cancelled()
    finally:
        for each in standing:
            each.cancel()


@final
class Backlog(Waiter):
    """Messages for an actor that has no room for them: in order, bounded; the oldest goes when there are too many."""

    __slots__ = ("_inbox", "_is_moving", "_kept_max", "_on_drop", "_standing", "kept")

    is_leaf: ClassVar[bool] = False

    def __init__(self, inbox: Inbox, kept_max: int, on_drop: Callable[[object, str], None]) -> None:
        self.kept: Final[deque[object]] = deque()
        self._inbox: Final = inbox
        self._kept_max: Final = kept_max
        self._on_drop: Final = on_drop
        self._standing: Standing | None = None
        self._is_moving = False

    def is_empty(self) -> bool:
        """Whether the actor has caught up, so that its inbox can be used as ever."""
        if self._standing is not None and self._standing.is_done:
            self._go_on(self._standing)  # this has not been told yet
        return not self.kept

    def add(self, message: object) -> None:
        """Keep `message`, behind those that are kept. Ask first whether it `is_empty`."""
        self.kept.append(message)
        if self._standing is None:
            self._move()
        self._trim()

    def _trim(self) -> None:
        """The oldest go when there are too many; the next one takes its place in the line."""
        while self._standing is not None and len(self.kept) > self._kept_max:
            oldest = self.kept.popleft()
            self._standing.message = self.kept[0]
            self._on_drop(oldest, "overtaken by newer ones")

    def drop(self) -> None:
        """Nothing of it is wanted any more."""
        self.kept.clear()
        standing, self._standing = self._standing, None
        if standing is not None:
            standing._detach(self)
            standing.cancel()

    def settled(self, future: Future[object]) -> None:
        """The oldest is in, or the actor stops."""
        if future is self._standing:
            self._go_on(future)

    def _go_on(self, future: Future[object]) -> None:
        self._standing = None
        if future._state == VALUE:
            self.kept.popleft()
            self._move()
            self._trim()
        else:
            while self.kept:
                self._on_drop(self.kept.popleft(), _STOPPED)

    def _move(self) -> None:
        """Deliver as many as there is room for; then stand in line with the next.

        Who hears the signals of that may publish, which only adds to what is kept, or unsubscribe the actor.
        """
        if self._is_moving:
            return
        self._is_moving = True
        while self.kept and self._is_delivered(self.kept[0]):
            if self.kept:
                self.kept.popleft()
        self._is_moving = False
        if self.kept:
            self._standing = standing = Standing(self._inbox, self.kept[0])
            standing._attach(self)
            self._inbox.line_up(standing)
            if standing.is_done:
                standing._leave_line()

    def _is_delivered(self, message: object) -> bool:
        """Whether `message` is in, or nobody is there any more to get it."""
        try:
            return self._inbox.offer(message) is not Verdict.FULL
        except ActorStopped:
            self._on_drop(message, _STOPPED)
            return True
