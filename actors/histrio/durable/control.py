"""What can be done to a durable process, and what can be seen of it."""

from __future__ import annotations

import enum
from typing import Final, Protocol, TypeVar, cast, final

from histrio.durable.boards import Board, Standing
from histrio.durable.orders import Kill, Nudge, Order, Pause, Resume, Step
from histrio_kernel.errors import ActorFailed, ActorStopped, End
from histrio_kernel.feed import Feed
from histrio_kernel.futures import Future
from histrio_kernel.lifecycle import Phase

__all__ = ["DurableControl"]

S = TypeVar("S", bound=enum.Enum)


class _Ref(Protocol):
    @property
    def path(self) -> str: ...

    def ask(self, message: Order) -> Future[Phase]: ...

    async def join(self) -> object: ...


class _Place(Protocol):
    def is_live(self, path: str) -> bool: ...

    def board_at(self, path: str) -> Board: ...


class _Nothing(enum.Enum):
    NOTHING = "no value"


@final
class DurableControl:
    """What can be done to a `DurableProcess`, and what can be seen of it: `ref.control`.

    An order is acknowledged when it is in the journal and has been carried out: awaiting its future gives the phase then. It
    need not be awaited. Orders say what is wanted from then on, also after a crash. One whose acknowledgement is lost with
    the process of the system may have been stored or not: give it again. A durable actor that gives one in a handler gives
    it once, and has its answer whatever crashes.

    All but `kill` raise `ActorStopped` if the process has ended, or ends before they are carried out.
    """

    __slots__ = ("_place", "_ref")

    def __init__(self, ref: _Ref, place: _Place) -> None:
        self._ref: Final = ref
        self._place: Final = place

    def pause(self, *, now: bool = False) -> Future[Phase]:
        """Make no further advance, until `resume`. Completes when no advance is made: with PAUSED, or if it has been resumed
        first, with RUNNING.

        What the process waits for goes on. With *now* the present advance is cancelled, and made again after `resume`.

        Raises:
            NotRerunnable: at the await: *now*, and it is not declared `rerunnable`; nothing changed.
        """
        return self._ref.ask(Pause(now))

    def resume(self, value: object = _Nothing.NOTHING) -> Future[Phase]:
        """Go on. *value* is handed to the next advance, as `self.resumed`; each value to one advance, in order.

        Without one, a process that waits for a value (`self.until_resumed()`) is handed None.

        Raises:
            Unencodable: at the await: *value* cannot be stored; nothing changed.
        """
        return self._ref.ask(Resume() if value is _Nothing.NOTHING else Resume(value, has_value=True))

    def step(self, count: int = 1) -> Future[Phase]:
        """Make *count* advances more, then be paused; they use up no nudges. Completes as `pause` does.

        Raises:
            ValueError: *count* is not a whole number, 1 or more.
        """
        given = cast(object, count)
        if type(given) is not int or given < 1:
            raise ValueError(f"{self._ref.path}: step({given!r}): it must be a whole number, 1 or more")
        return self._ref.ask(Step(count))

    def nudge(self) -> Future[Phase]:
        """Go on: a FREE process begins, if it has not; one that is driven by STEP makes one advance more.

        Raises:
            Refusal: at the await: `nudges_max` nudges are not used up; nothing changed.
        """
        return self._ref.ask(Nudge())

    async def kill(self, why: str = "") -> Phase:
        """Cancel what it does, have it clean up, and end it. Returns when it has ended, with the phase then: KILLED, or how
        it had ended before.

        May be called at any time, any number of times; `killed()` of the process runs once.

        Raises:
            ActorStopped: there was no such process, or it has ended with what is above it.
        """
        try:
            return await self._ref.ask(Kill(why))
        except ActorStopped:
            pass
        try:
            await self._ref.join()
        except ActorFailed:
            return Phase.FAILED
        except ActorStopped as ended:
            if ended.reason.end is not End.KILLED:
                raise
            return Phase.KILLED
        return Phase.STOPPED

    # -- what can be seen, by those who are not durable ----------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Whether it has ended for good."""
        return not self._place.is_live(self._ref.path)

    @property
    def is_paused(self) -> bool:
        """Whether no advance is made, and none will before it is resumed."""
        return not self.is_done and self.inspect().phase is Phase.PAUSED

    def inspect(self) -> Standing:
        """What there is to see of it now: its phase and its state, as they are in the journal.

        Raises:
            ActorStopped: it has ended.
            Quarantined: it does not do what its journal says.
            TypeError: it is no process.
        """
        standing = self._board.standing
        assert standing is not None
        return standing

    def watch(self, *, latest: bool = False) -> Feed[Phase]:
        """The present phase at once, then every change, until it has ended or the tree is closed.

        With *latest* a slow reader sees only the newest. Raises what `inspect` raises.
        """
        return self._board.watch(latest=latest)

    def watch_states(self, states: type[S], *, latest: bool = False) -> Feed[S]:
        """The present state at once, then every change. *states* is the Enum of its states.

        Raises:
            TypeError: it is no process with such states. Else what `inspect` raises.
        """
        has = type(self.inspect().state)
        if has is not states:
            raise TypeError(
                f"{self._ref.path}: watch_states({states!r}), but its states are of type {has.__qualname__}"
            )
        return self._board.watch_states(states, latest=latest)

    @property
    def _board(self) -> Board:
        board = self._place.board_at(self._ref.path)
        if board.standing is None:
            raise TypeError(f"{self._ref.path} is no DurableProcess that has begun, so there is nothing to see of it")
        return board
