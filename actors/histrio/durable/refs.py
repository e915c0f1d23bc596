"""The address of a durable actor: good before and after a crash, in its own process and for its own kind."""

# Design note
# -----------
# A durable handler's messages go out with its commit, so they cannot go by an ordinary ref, which delivers at once. This
# one looks who is calling: a durable handler's message is recorded, and everybody else's goes straight to the actor.

from __future__ import annotations

from operator import attrgetter
from typing import Generic, Protocol, TypeVar, cast, final

from trio.lowlevel import current_task

from histrio.durable.activation import Activation, Owner
from histrio.durable.boards import Board
from histrio.durable.control import DurableControl
from histrio.durable.orders import Order
from histrio.messages import Askable
from histrio.ref import Ref
from histrio_kernel.futures import HOLDERS, Future
from histrio_kernel.journal.refs import register_ref

__all__ = ["DurableRef", "Place"]

M_contra = TypeVar("M_contra", contravariant=True)
R = TypeVar("R")


class Place(Protocol):
    """Where durable actors live: the tree."""

    def ref_at(self, path: str) -> Ref[object]:
        """The ordinary ref of the durable actor at a path.

        Raises:
            ActorStopped: none lives there.
        """
        ...

    def end_of(self, path: str) -> Future[object]:
        """The result of an actor, when it has ended."""
        ...

    def is_live(self, path: str) -> bool:
        """Whether that actor has not ended."""
        ...

    def board_at(self, path: str) -> Board:
        """What there is to see of a process.

        Raises:
            ActorStopped: none lives there.
        """
        ...


@final
class DurableRef(Generic[M_contra]):
    """The address of a durable actor.

    In a durable handler `tell` and `ask` are recorded, and go out when the handler waits or ends. A message between
    durable actors arrives once, whatever crashes. Elsewhere they are those of an ordinary ref: the reply of an `ask`
    comes when what the message led to is in the journal, a `tell` says nothing of that.
    """

    __slots__ = ("_place", "path")

    def __init__(self, path: str, place: Place) -> None:
        self.path = path
        self._place = place

    async def tell(self, message: M_contra) -> None:
        """Send a message. In a durable handler it does not wait.

        Raises:
            Unencodable: in a durable handler: it cannot be stored.
            ActorStopped: elsewhere: no durable actor lives there. `TypeError`: it does not take such messages.
        """
        sender = _sender()
        if sender is not None:
            sender.send(self.path, message)
        else:
            await self._place.ref_at(self.path).tell(message)

    def ask(self, message: Askable[M_contra, R]) -> Future[R]:
        """Ask a question; awaiting the future gives the reply. A cancelled await may leave it to be answered in vain.

        Raises:
            Unencodable: in a durable handler: it cannot be stored.
            ActorStopped: elsewhere, at once: no durable actor lives there; in a durable handler the await raises it.
        """
        sender = _sender()
        if sender is not None:
            return cast("Future[R]", sender.ask(self.path, message))
        return cast("Ref[M_contra]", self._place.ref_at(self.path)).ask(message)

    @property
    def control(self) -> DurableControl:
        """What can be done to a `DurableProcess`, and what can be seen of it."""
        return DurableControl(cast("DurableRef[Order]", self), self._place)

    async def join(self) -> object:
        """Wait until it has ended for good, and return its result; also if that was long ago.

        Cancelling it does nothing to the actor.

        Raises:
            ActorFailed: its beginning has failed; or, elsewhere than in a durable handler, it has failed too often.
            ActorStopped: there was none, or it ended with what is above it.
        """
        sender = _sender()
        return await (self._place.end_of(self.path) if sender is None else sender.join(self.path))

    def __eq__(self, other: object) -> bool:
        """Whether both lead to the same place."""
        return isinstance(other, DurableRef) and self.path == other.path

    def __hash__(self) -> int:
        """By path."""
        return hash(self.path)

    def __repr__(self) -> str:
        """Show the path."""
        return f"<DurableRef {self.path}>"


def _sender() -> Owner | None:
    """The life of the durable handler that calls."""
    holder = HOLDERS.get(current_task())
    return holder.life if isinstance(holder, Activation) else None


register_ref(DurableRef, attrgetter("path"), lasts=True)
