"""One handler of a durable actor, from its first step to its end; it goes on only when its life says so.

Invariant: at most one activation of a life runs. It runs until it waits for something recorded, or ends.
"""

# Design note
# -----------
# Like a worker of the kernel's turn, an activation has a Trio task to itself, so cancel scopes and nurseries work in it.
# Unlike a worker it does not queue for a turn: the life resumes one after another, in the order in which their waits
# ended, and looks at the journal in between. So what they do depends on the recorded inputs alone.
#
# A wait that Trio cancels would be an input that nobody recorded. So a cancel scope that strikes a durable wait is refused:
# `either(x, self.sleep(5))` is the recorded way.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol, final

import trio
from outcome import Error, Outcome, Value
from trio.lowlevel import Abort, Task, current_task, disable_ki_protection, reschedule

from histrio.durable.errors import NotRecorded
from histrio.durable.recorded import Recorded, is_recorded
from histrio.durable.strict import looked_at
from histrio_kernel.futures import HOLDERS, Future, Holder, RaiseCancel
from histrio_kernel.journal.record import Record
from histrio_kernel.parking import request

__all__ = ["Activation", "Owner"]


class Owner(Protocol):
    """The life, as far as its activations know it."""

    @property
    def path(self) -> str:
        """Of the actor."""
        ...

    def waits(self) -> None:
        """The activation that ran waits."""
        ...

    def handler_ended(self, activation: Activation, /) -> None:
        """The activation that ran has ended."""
        ...

    def can_go_on(self, activation: Activation, /) -> None:
        """Its wait is over."""
        ...

    def send(self, to: str, message: object) -> None:
        """Record a message, which goes out with this step."""
        ...

    def ask(self, to: str, message: object) -> Future[object]:
        """Record a question; the future is its answer."""
        ...

    def join(self, to: str) -> Future[object]:
        """Record that the end of another actor is waited for."""
        ...


@final
class Activation(Holder):
    """A handler that has begun.

    Attributes:
        scope: the number of the record that began it, not counting those that tell of crashes.
        record: that record.
        made: how many futures it has made.
        patches: what it was told of changes of its code, by their names.
        waits_for: what it waits for now, or did last; None before.
        outcome: what its handler returned or raised; None before, and if it was ended.

    Args:
        life: that it belongs to.
        scope: see above.
        record: see above.
        body: the handler.
        kept: where what it begins and does not look at is kept; by default it waits for that at its end (F4).
    """

    __slots__ = (
        "_body",
        "_cancel_scope",
        "_keeps",
        "_killed",
        "_refused",
        "_struck",
        "_task",
        "_unseen",
        "life",
        "made",
        "outcome",
        "patches",
        "record",
        "request",
        "scope",
        "waits_for",
    )

    def __init__(
        self,
        life: Owner,
        scope: int,
        record: Record,
        body: Callable[[], Awaitable[object]],
        kept: list[Recorded[object]] | None = None,
    ) -> None:
        self.scope: Final = scope
        self.record: Final = record
        self.patches: Final[dict[str, bool]] = {}
        self.waits_for: Future[object] | None = None
        self.made = 0
        self.outcome: Outcome[object] | None = None
        self.request: Any = None  # made when it waits: most never do
        self.life: Final = life
        self._body = body
        self._task: Task | None = None
        self._cancel_scope: trio.CancelScope | None = None
        self._killed = self._struck = False
        self._refused: NotRecorded | None = None
        self._keeps: Final = kept is not None
        self._unseen: Final[list[Recorded[object]]] = [] if kept is None else kept

    @disable_ki_protection
    async def run(self, within: trio.CancelScope) -> None:
        """The handler, and what it has begun and not waited for (F4), in the task that calls and that cancel scope of it."""
        self._task = task = current_task()
        self._cancel_scope = within
        HOLDERS[task] = self
        outcome: Outcome[object] | None = None
        try:
            value = await self._body()
            for future in () if self._keeps else self._unseen:
                if future.is_owed:
                    await future
            self.check()
            outcome = Value(value)
        except Exception as error:
            outcome = Error(error)
        finally:
            del HOLDERS[task]
            self.outcome = None if self._killed else outcome
            self.life.handler_ended(self)

    @property
    def is_killed(self) -> bool:
        """Whether it was ended."""
        return self._killed

    def is_looked_at(self) -> None:
        """Refuse what could not be done again; said before it begins."""
        self._body = partial(looked_at, self.life.path, self._body, self._waits_for_what_is_recorded, self._refuse)

    def _refuse(self, error: NotRecorded) -> None:
        self._refused = self._refused or error

    def _waits_for_what_is_recorded(self) -> bool:
        return self.waits_for is not None and not self.waits_for.is_done

    @property
    def has_begun(self) -> bool:
        """Whether it has a task."""
        return self._task is not None

    def go_on(self) -> None:
        """Its wait is over, and it is its turn."""
        assert self._task is not None
        reschedule(self._task)

    def kill(self) -> None:
        """End it where it waits; its clean-up runs now."""
        assert self._cancel_scope is not None, "it waits, so it has begun"
        self._killed = True
        self._cancel_scope.cancel()

    def made_one(self, future: Recorded[object]) -> None:
        """The handler has made a future, whose end it sees or waits for at its own end."""
        self._unseen.append(future)

    # -- what the future that it awaits calls ------------------------------------------------------------------------

    def gives_way(self, future: Future[object]) -> bool:
        """Wait for *future*; others go on.

        Raises:
            NotRecorded: its outcome would not be in the journal.
        """
        self.check()
        if not is_recorded(future):
            raise NotRecorded(
                f"{self.life.path} waits for {future!r}, whose outcome its journal does not know, so it could not be done "
                "again. A durable handler waits for what it began itself: self.io(ref.ask, message), self.sleep(5), or the "
                "ask of a durable ref"
            )
        if self.request is None:
            self.request = request(self.abort)
        self.waits_for = future
        future._attach(self)
        self.life.waits()
        return True

    def settled(self, future: Future[object]) -> None:
        """The wait is over; the life says when to go on."""
        self.life.can_go_on(self)

    def abort(self, raise_cancel: RaiseCancel) -> Abort:
        """Cancelled while it waits, by what ends it, or by a scope of its own, which is told as soon as it goes on."""
        self._struck = not self._killed
        if self.waits_for is not None:
            self.waits_for._detach(self)
        return Abort.SUCCEEDED

    def check(self) -> None:
        """Nothing but its life has made it go on.

        Raises:
            NotRecorded: a cancel scope has, or, in a strict tree, the end of another wait.
        """
        if self._refused is not None:
            raise self._refused
        if self._struck:
            raise NotRecorded(
                f"{self.life.path}: a cancel scope struck a wait of a durable handler. When it strikes is not recorded, so "
                "it could not be done again: use either(x, self.sleep(5)) instead"
            )
