"""What can go wrong with a machine besides its schema: the wrong moment, the wrong caller, and errors nobody takes."""

from __future__ import annotations

from histrio_kernel.errors import HistrioError, told

__all__ = ["Disposed", "HandlerTooSlow", "NotActive", "SlowHandler", "TracerFailed", "UnclaimedError", "WrongOwner"]


class NotActive(HistrioError):
    """A scope, an operation, a child or a timer was to belong to an activation of a state that is not active."""


class Disposed(HistrioError):
    """The machine was disposed before what was waited for came true, so it never will."""


class WrongOwner(HistrioError):
    """The machine of an actor was to be mutated by code that is not the actor's; nothing has changed. Tell the actor."""


class HandlerTooSlow(HistrioError):
    """An async handler did not end within its `deadline_s` and was cancelled. It is an error of its state."""


class SlowHandler(HistrioError):
    """The sync handlers of one transition took longer than `slow_handler_s` of real time, and held everybody up."""


class TracerFailed(HistrioError):
    """A tracer raised, and has been detached; the transition went on. See `__cause__`."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(f"{what} raised {told(error)} and is detached")
        self.__cause__ = error


class UnclaimedError(HistrioError):
    """An error that could not become the machine's `exception`, or came from a transition made for one.

    The machine has it as `error`. See `__cause__`.
    """

    def __init__(self, where: str, error: BaseException) -> None:
        super().__init__(f"{where} could not take {told(error)} as its exception")
        self.__cause__ = error
