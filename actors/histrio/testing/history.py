"""What clients did to a system, and what they were told: the input of checkers."""

# Design note
# -----------
# Order is by the numbers that the history itself gives, not by a clock: of two events the one that was noted first came
# first. So a history is as repeatable as the run that it was taken in.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar, final

import attrs

__all__ = ["Call", "History", "Operation"]

O = TypeVar("O")  # noqa: E741 - an operation
O_co = TypeVar("O_co", covariant=True)
R = TypeVar("R")


@attrs.frozen
class Operation(Generic[O_co]):
    """One call as the checkers see it.

    Attributes:
        client: who called.
        key: of which object; histories of different keys do not concern each other.
        what: the operation, as data.
        began: the number of the event of its call.
        ended: that of its return; None if it never returned: it may have happened, at any time since, or not.
        result: what was returned.
    """

    client: str
    key: Hashable
    what: O_co
    began: int
    ended: int | None
    result: object

    def __str__(self) -> str:
        """The call and its result."""
        return f"{self.client}: {self.what!r} -> {'?' if self.ended is None else repr(self.result)}"


@final
class Call(Generic[O]):
    """A call that has begun, until one of its methods says how it went."""

    __slots__ = ("_history", "_index")

    def __init__(self, history: History[O], index: int) -> None:
        self._history: Final = history
        self._index: Final = index

    def returned(self, result: object = None) -> None:
        """It returned this."""
        self._history._end(self._index, result)

    def failed(self) -> None:
        """It certainly did not happen. One of which that is not known is left open."""
        self._history._forget(self._index)


@final
class History(Generic[O]):
    """A list of calls, in the order of their beginnings.

    Examples:
        >>> history: History[str] = History()
        >>> call = history.begin("ann", "read")
        >>> call.returned(3)
        >>> [str(operation) for operation in history.operations]
        ["ann: 'read' -> 3"]
    """

    def __init__(self) -> None:
        self._calls: Final[dict[int, Operation[O]]] = {}
        self._events = 0

    def begin(self, client: str, what: O, key: Hashable = None) -> Call[O]:
        """A client calls."""
        index = self._events = self._events + 1
        self._calls[index] = Operation(client, key, what, index, None, None)
        return Call(self, index)

    async def record(
        self,
        client: str,
        what: O,
        do: Callable[[], Awaitable[R]],
        key: Hashable = None,
        unknown: tuple[type[BaseException], ...] = (),
    ) -> R:
        """Note one call around `await do()`, and return what it returns.

        Args:
            client: who calls.
            what: the operation.
            do: does it.
            key: of which object.
            unknown: errors after which it may have happened or not: a timeout, a lost answer. So it is also of one that
                is cancelled. After any other error it has not happened.
        """
        call = self.begin(client, what, key)
        try:
            result = await do()
        except unknown:
            raise
        except Exception:
            call.failed()
            raise
        call.returned(result)
        return result

    @property
    def operations(self) -> tuple[Operation[O], ...]:
        """All calls that happened or may have happened, in the order of their beginnings."""
        return tuple(self._calls.values())

    def by_key(self) -> dict[Hashable, tuple[Operation[O], ...]]:
        """The calls on each object."""
        found: dict[Hashable, list[Operation[O]]] = {}
        for operation in self._calls.values():
            found.setdefault(operation.key, []).append(operation)
        return {key: tuple(operations) for key, operations in found.items()}

    def _end(self, index: int, result: object) -> None:
        assert self._calls[index].ended is None, "a call returns once"
        self._events += 1
        self._calls[index] = attrs.evolve(self._calls[index], ended=self._events, result=result)

    def _forget(self, index: int) -> None:
        self._calls.pop(index, None)
