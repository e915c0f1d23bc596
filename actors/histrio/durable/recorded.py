"""Futures whose outcome comes from the journal: of effects, timers, answers, and the ends of children."""

# Design note
# -----------
# A recorded future is settled by its life and nobody else, at a step of its own, so the order of completion is the order
# of RESOLVED records. Cancelled, it ends at once: that is the actor's own doing and needs no record, whereas the effect
# behind it is only asked to end, and what comes of it later is recorded and given to nobody.

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, final

from outcome import Error, Outcome, Value

from histrio_kernel.combinators import _Combined
from histrio_kernel.futures import CANCELLED, ERROR, PENDING, VALUE, Future, Waiter, World

__all__ = ["Recorded", "is_recorded"]

T = TypeVar("T")


@final
class Recorded(Future[T]):
    """A future of a durable actor.

    Attributes:
        id: the number of the record that began its handler, not counting those that tell of crashes, and its own number in
            that handler (J4).
        about: what it is for, in words.
        begin: begins what it stands for; called when its record is committed, or after a crash.
        restarts: how often the process of the actor had died when this was made.
        progress: what the effect has said last of how far it is.
        end: asks what it stands for to end, if it has begun.
    """

    __slots__ = ("_give_up", "_is_seen", "about", "begin", "end", "id", "progress", "restarts")

    _sees = True

    def __init__(
        self,
        world: World,
        identity: str,
        about: str,
        begin: Callable[[], None],
        give_up: Callable[[str], object],
        restarts: int,
    ) -> None:
        super().__init__(world)
        self._give_up: Final = give_up
        self.id: Final = identity
        self.about: Final = about
        self.begin: Final = begin
        self.restarts: Final = restarts
        self.progress: object = None
        self._is_seen = False
        self.end: Callable[[], None] | None = None

    @property
    def is_owed(self) -> bool:
        """Whether its handler has to wait for it still, or to hear of its error."""
        return not self._is_seen and self._state != CANCELLED

    def _see(self) -> None:
        self._is_seen = True

    def begin_unless_done(self) -> None:
        """Begin; not if the actor has given it up in the step that made it."""
        if self._state == PENDING:
            self.begin()

    def cancel_if_alone(self) -> None:
        """Its handler has ended; unless somebody else waits for it, nobody will."""
        if not self._waiters():
            self.cancel()

    def resolve(self, outcome: Outcome[object]) -> None:
        """The outcome, which is in the journal. Nothing happens if the actor has given it up."""
        if self._state == PENDING:
            if isinstance(outcome, Error):
                self._settle(ERROR, outcome.error)
            else:
                assert isinstance(outcome, Value)
                self._settle(VALUE, outcome.value)

    def _about(self) -> str:
        return f"{self.id} {self.about}"

    def _request_cancel(self) -> None:
        self._give_up(self.id)
        self._settle(CANCELLED, None)
        if self.end is not None:
            self.end()

    def _abandon(self, waiter: Waiter) -> bool:
        last = self._alone(waiter)
        self._detach(waiter)
        if last:
            self._request_cancel()
        return True

    def _may_tie(self) -> bool:
        return False


def is_recorded(future: Future[object]) -> bool:
    """Whether its outcome follows from the journal."""
    if isinstance(future, _Combined):
        return all(map(is_recorded, future._operands))
    return isinstance(future, Recorded)
