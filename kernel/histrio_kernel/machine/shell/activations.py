"""One period of a state, and the work that belongs to it: it ends with the period, and two periods do not overlap.

Invariants: an activation that is over stays in line until all its work has ended; of the activations of one state at most
one, the first in line, has a task or an async `exited` running.
"""

# Design note
# -----------
# The promise (M7) is about order: all work of an activation has ended before the async `exited` runs, and that has ended
# before the task of the next activation starts. So the activations of a state stand in line. The clock does not wait for
# the line: the state may have gone and come again several times while the first task cleans up. Of those in between
# nothing was started, or only work that handlers gave them; when that has ended they are gone without a trace.
#
# An activation is made only for states that somebody has given work to, or that have async handlers. Its handlers are
# those that were bound when it began: so whose `entered` has begun is told of the end, also if it was unbound meanwhile,
# and whoever was bound too late for the one is not told of the other.

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, final

from histrio_kernel.belonging import Work
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.states.handlers import AsyncHandler

__all__ = ["Activation", "Line", "Pair"]


@final
class Pair:
    """The async handlers of a state in one binding, and the object that they are methods of."""

    __slots__ = ("entered", "exited", "owner")

    def __init__(self, entered: AsyncHandler | None, exited: AsyncHandler | None, owner: object) -> None:
        self.entered: Final = entered
        self.exited: Final = exited
        self.owner: Final = owner


@final
class Activation:
    """One period of a state."""

    __slots__ = ("_line", "begun", "exit", "is_over", "is_ready", "is_started", "pairs", "transition", "works")

    def __init__(self, line: Line, transition: Transition[object] | None, pairs: tuple[Pair, ...]) -> None:
        self._line: Final = line
        self.transition: Final = transition
        """In which it began; None if the state was active already when it was first given work."""
        self.pairs: Final = pairs
        self.works: Final[dict[Work, None]] = {}
        self.is_ready = transition is None
        """Its transition was accepted, and the sync final handlers are over."""
        self.is_started = False
        """Its tasks have been made."""
        self.begun: Final[set[Pair]] = set()
        """Those whose task has taken its first step, or that have none: their `exited` is to be told of its end."""
        self.is_over = False
        self.exit: Transition[object] | None = None
        """In which it ended."""

    @property
    def name(self) -> str:
        """Of its state."""
        return self._line.name

    def __repr__(self) -> str:
        return f"<Activation of {self.name}: {'over' if self.is_over else 'current'}, {len(self.works)} works>"

    def to_close(self) -> tuple[Pair, ...]:
        """Those whose `exited` is to be told of its end."""
        return tuple(pair for pair in self.pairs if pair in self.begun and pair.exited is not None)

    def add(self, work: Work) -> None:
        """This work belongs to it; if it is over, only until it has ended, which it is told to at once."""
        self.works[work] = None
        if self.is_over:
            work.end()

    def done(self, work: Work) -> None:
        """This work has ended."""
        self.works.pop(work, None)
        if self.is_over and not self.works:
            self._line.advance()

    def failed(self, error: BaseException) -> None:
        """Work of it has failed, and nobody else looks at the error."""
        self._line.failed(error, still=not self.is_over)

    def end(self, transition: Transition[object] | None) -> None:
        """The state has left, or entered anew: all its work is to end."""
        self.is_over, self.exit = True, transition
        for work in tuple(self.works):
            if work in self.works:
                work.end()


class Starter(Protocol):
    """Who starts the tasks of states."""

    def begin(self, activation: Activation) -> bool:
        """Start the tasks of `activation`; False if that is not possible yet."""
        ...

    def close(self, activation: Activation, name: str, then: Callable[[], None]) -> bool:
        """Run the async `exited` handlers for it, if any are to be told, and then call `then`; False if none are."""
        ...

    def failed(self, state: str | None, error: BaseException, still: bool) -> None:
        """Work of a state has failed; *still* if that activation is current."""
        ...

    def emptied(self, line: Line) -> None:
        """A line has no activation any more."""
        ...


@final
class Line:
    """The activations of one state: the first may run tasks, the last may be the current one."""

    __slots__ = ("_activations", "_is_closing", "_starter", "name")

    def __init__(self, name: str, starter: Starter) -> None:
        self.name: Final = name
        self._starter: Final = starter
        self._activations: Final[deque[Activation]] = deque()
        self._is_closing = False

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._activations)

    @property
    def current(self) -> Activation | None:
        """That of the present tick, if somebody has asked for one."""
        last = self._activations[-1] if self._activations else None
        return None if last is None or last.is_over else last

    def enter(self, transition: Transition[object] | None, pairs: tuple[Pair, ...]) -> Activation:
        """A new one begins."""
        assert self.current is None
        activation = Activation(self, transition, pairs)
        self._activations.append(activation)
        return activation

    def leave(self, transition: Transition[object] | None) -> None:
        """The current one is over."""
        current = self.current
        if current is not None:
            current.end(transition)
            self.advance()

    def settled(self, transition: Transition[object]) -> None:
        """The transition in which the current one began is over, and it is still there."""
        current = self.current
        if current is not None and current.transition is transition:
            current.is_ready = True
            self.advance()

    def failed(self, error: BaseException, *, still: bool) -> None:
        """Work of this state has failed."""
        self._starter.failed(self.name, error, still)

    def advance(self) -> None:
        """Go on with the first in line, as far as that is possible now."""
        while self._activations and not self._is_closing:
            first = self._activations[0]
            if not first.is_over:
                if first.is_ready and not first.is_started:
                    first.is_started = self._starter.begin(first)
                return
            if first.works:
                return
            if self._starter.close(first, self.name, self._closed):
                self._is_closing = True
                return
            self._pop()

    def _pop(self) -> None:
        """The first is gone."""
        self._activations.popleft()
        if not self._activations:
            self._starter.emptied(self)

    def _closed(self) -> None:
        """The async `exited` of the first is over."""
        self._is_closing = False
        self._pop()
        self.advance()
