"""What actors say to each other: any object may be told; a `Request[R]` may also be asked, and its reply is an `R`."""

# Design note
# -----------
# `ref.ask(m)` has to check that the actor takes `m` *and* infer the reply. A type checker infers one from a union
# only through a protocol that `m` matches structurally: `Askable` has a message side, which for a subclass `Read` of
# `Request[int]` is `Read`, and a reply side, which is `int`. Neither method exists when the program runs.

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, Self, TypeVar, final

import attrs

from histrio_kernel.asks import Ask
from histrio_kernel.errors import Refusal, shown

__all__ = [
    "Askable",
    "ChildRequest",
    "DeleteChild",
    "Envelope",
    "Request",
    "RestartChild",
    "StartChild",
    "TerminateChild",
]

M_co = TypeVar("M_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)


class Askable(Protocol[M_co, R_co]):
    """For type checkers: a message of type `M_co` that is answered with an `R_co`. `Request[R]` is one."""

    def __histrio_message__(self) -> M_co:
        """The message side."""
        ...

    def __histrio_reply__(self) -> R_co:
        """The reply side."""
        ...


class Request(Generic[R_co]):
    """The base of messages that are answered: `class Read(histrio.Request[int]): ...` is answered with an int.

    Messages are data: make them immutable, with `attrs.frozen` or a frozen dataclass.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def __histrio_message__(self) -> Self: ...

        def __histrio_reply__(self) -> R_co: ...


@final
class Envelope(Generic[M_co]):
    """A message as it came, with the means to answer it: what `receive_next` gives.

    Attributes:
        message: what was sent.
        is_ask: whether somebody waits for an answer.
    """

    __slots__ = ("_ask", "is_ask", "message")

    def __init__(self, message: M_co, ask: Ask[object] | None) -> None:
        self.message: Final = message
        self.is_ask: Final = ask is not None
        self._ask: Final = ask

    def reply(self, value: object) -> None:
        """Answer the asker. Does nothing if nobody asked, or nobody waits any more; only the first answer counts."""
        if self._ask is not None and not self._ask.is_done:
            self._ask.reply(value)

    def refuse(self, refusal: Refusal) -> None:
        """Answer the asker with an error."""
        self.fail(refusal)

    def fail(self, error: Exception) -> None:
        """Answer the asker with any error, for those who pass on what somebody else has raised."""
        if self._ask is not None and not self._ask.is_done:
            self._ask.fail(error)

    def __repr__(self) -> str:
        """Show the message."""
        return f"<Envelope {'ask' if self.is_ask else 'tell'} {shown(self.message)}>"


@final
@attrs.frozen
class StartChild(Request[object]):
    """Asks a supervisor to start a child; the answer is its ref. See `Ref.start_child`."""

    spec: object


@final
@attrs.frozen
class TerminateChild(Request[None]):
    """Asks a supervisor to stop a child and not to start it again. See `Ref.terminate_child`."""

    name: str


@final
@attrs.frozen
class RestartChild(Request[object]):
    """Asks a supervisor to start a child again that has ended; the answer is its ref. See `Ref.restart_child`."""

    name: str


@final
@attrs.frozen
class DeleteChild(Request[None]):
    """Asks a supervisor to forget a child that has ended. See `Ref.delete_child`."""

    name: str


ChildRequest = StartChild | TerminateChild | RestartChild | DeleteChild
"""What every supervisor takes."""
