"""Several futures as one: `both` is awaitBoth, `either` is awaitEither, and their n-ary kin.

A combinator is a future that adds itself to its operands as a waiter. It costs no task and no nursery; only a loser
that does not end in time costs a timer.
"""

# Design note
# -----------
# Two rules keep the outcomes honest. *Nothing is left behind*: whoever loses is cancelled and waited for before the
# combinator has its outcome, so its cleanup cannot overlap what comes next; an `either` waits for `cleanup_s` at
# most, because a winner should not be lost to a stuck loser (ZIO's race documents that hang as a pitfall). *A
# cancellation that we caused is no error*: `_ours` remembers whom we asked to end.
#
# `cancel` of a loser is a demand. A combinator that is itself abandoned only leaves its operands: one that others
# await goes on, one that nobody else awaits is cancelled with us (F5).

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Final, Generic, NoReturn, TypeVar, overload

import attrs
from trio.lowlevel import checkpoint_if_cancelled

from histrio_kernel.bounds import bound
from histrio_kernel.errors import FutureCancelled, HistrioError, LoserStuck
from histrio_kernel.futures import CANCELLED, ERROR, PENDING, VALUE, Future, Pace, Telling, Waiter, World
from histrio_kernel.operands import check_cleanup, futures_of

__all__ = ["Left", "Right", "Winner", "all_of", "any_of", "await_both", "await_either", "both", "either", "first_of"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_CLEANUP_S: Final[float] = bound("cleanup_s")

_NONE: Final[frozenset[Future[object]]] = frozenset()


@attrs.frozen
class Left(Generic[T_co]):
    """The value of the first argument of `either`."""

    value: T_co


@attrs.frozen
class Right(Generic[T_co]):
    """The value of the second argument of `either`."""

    value: T_co


@attrs.frozen
class Winner(Generic[T_co]):
    """Which of several futures won, and with what."""

    index: int
    value: T_co


class _Combined(Future[T], Waiter):
    """What all combinators share: the operands, who of them is still to end, and whom we asked to."""

    __slots__ = ("_abandoned", "_depth", "_left", "_left_alone", "_operands", "_ours", "_unique")

    _sees = True
    is_leaf = False

    def __init__(self, world: World, operands: tuple[Future[object], ...]) -> None:
        self._world = world  # what Future.__init__ does, without the call
        self._state = PENDING
        self._waiter = None
        self._operands: Final = operands
        are_two = len(operands) == 2 and operands[0] is not operands[1]
        self._unique: Final = operands if are_two else tuple(dict.fromkeys(operands))
        self._ours: Collection[Future[object]] = _NONE
        self._left_alone: frozenset[Future[object]] = _NONE
        self._abandoned = False
        left = depth = 0
        for operand in self._unique:
            if operand._depth > depth:
                depth = operand._depth
            if not operand._state:
                if operand._waiter is None:
                    operand._waiter = self
                else:
                    operand._attach(self)
                left += 1
        self._left = left
        self._depth = depth + 1

    def _pending(self) -> list[Future[object]]:
        """The operands that are still to end; from now on their cancellation is ours."""
        pending = [operand for operand in self._unique if operand._state == PENDING]
        if len(pending) == 1 and self._ours is _NONE:
            self._ours = pending
        elif pending:
            self._ours = frozenset(self._ours).union(pending)
        return pending

    def _demand_end(self) -> None:
        """Cancel every operand that is still pending. Some end at once and come back through `settled`."""
        for operand in self._pending():
            operand.cancel()

    def _request_cancel(self) -> None:
        if self._abandoned:
            return
        self._abandoned = True
        for operand in self._pending():
            if operand._state == PENDING and operand._abandon(self):
                self._left -= 1
        self._end_if_over()

    def _abandon(self, waiter: Waiter) -> bool:
        if self._alone(waiter):
            self._request_cancel()
            return False
        self._detach(waiter)
        return True

    def looks(self) -> bool:
        return any(waiter.looks() for waiter in self._waiters())

    def _see(self) -> None:
        for operand in self._operands:
            if (operand._sees or operand._state == ERROR) and operand not in self._left_alone:
                operand._see()

    async def _raise(self) -> NoReturn:
        if any(operand._state == CANCELLED and operand not in self._ours for operand in self._operands):
            await checkpoint_if_cancelled()  # as of a cancelled future: whoever is itself cancelled sees that
            ended = self._world.ended()
            if ended is not None:
                raise ended
        await super()._raise()

    def _settle_by(self, operand: Future[object], error: BaseException) -> None:
        """End with the error of `operand`, and with the traceback that it was stored with."""
        self._settle(ERROR, error)
        if operand._state == ERROR:
            self._traceback = operand._traceback

    def _error_of(self, operand: Future[object]) -> BaseException | None:
        """The error of an ended operand; a cancellation that we asked for is none."""
        if operand._state == ERROR:
            return operand._error()
        if operand._state == CANCELLED and operand not in self._ours:
            return FutureCancelled(f"{operand!r} was cancelled before it had an outcome")
        return None

    def _end_if_over(self) -> None:
        raise NotImplementedError

    def _about(self) -> str:
        return f"of {len(self._operands)}"


class _AllOf(_Combined[T]):
    """All must end with a value; the first that does not ends the others."""

    __slots__ = ("_failed",)

    def __init__(self, world: World, operands: tuple[Future[object], ...]) -> None:
        super().__init__(world, operands)
        self._failed = False
        if not self._left or self._left != len(self._unique):
            for operand in operands:
                if operand._state > VALUE:
                    self._fail()
                    break
            if not self._left:
                self._end_if_over()

    def settled(self, future: Future[object]) -> None:
        self._left -= 1
        if future._state != VALUE and not self._failed and not self._abandoned:
            self._fail()
        if not self._left:
            self._end_if_over()

    def _fail(self) -> None:
        self._failed = True
        self._demand_end()

    def _end_if_over(self) -> None:
        if self._left or self._state != PENDING:
            return
        if not self._failed and not self._abandoned:
            operands = self._operands
            if len(operands) == 2:
                self._settle(VALUE, (operands[0]._result, operands[1]._result))
            else:
                self._settle(VALUE, tuple([operand._result for operand in operands]))
            return
        failed = [(operand, error) for operand in self._unique if (error := self._error_of(operand)) is not None]
        if len(failed) > 1:
            text = f"{len(failed)} of {len(self._operands)} futures failed"
            self._settle(ERROR, BaseExceptionGroup(text, [error for _, error in failed]))
        elif failed:
            self._settle_by(*failed[0])
        elif all(operand._state == VALUE for operand in self._operands):
            self._settle(VALUE, tuple(operand._result for operand in self._operands))
        else:
            self._settle(CANCELLED, None)

    def _waits_for_mail(self, inbox: object, in_hand: Collection[object]) -> bool:
        return any(o._state == PENDING and o._waits_for_mail(inbox, in_hand) for o in self._operands)


class _OneOf(_Combined[T]):
    """The first to complete wins (or, with `success_only`, the first to end with a value)."""

    __slots__ = ("_cleanup_s", "_disarm", "_keep", "_success_only", "_winner", "_won_at", "_wrap")

    def __init__(
        self,
        world: World,
        operands: tuple[Future[object], ...],
        wrap: Callable[[int, object], object],
        success_only: bool,
        keep: bool,
        cleanup_s: float,
    ) -> None:
        super().__init__(world, operands)
        self._wrap: Final = wrap
        self._success_only: Final = success_only
        self._keep: Final = keep
        self._cleanup_s: Final = cleanup_s
        self._winner: Future[object] | None = None
        self._won_at = 0.0
        self._disarm: Callable[[], None] | None = None
        if not self._left or self._left != len(self._unique):
            for operand in operands:
                if operand._state != PENDING and self._wins(operand):
                    self._win(operand)
                    break
            if not self._left:
                self._end_if_over()

    def settled(self, future: Future[object]) -> None:
        self._left -= 1
        if self._winner is not None:
            if future._state == VALUE:
                self._tie(future)
        elif future._state == VALUE or self._wins(future):
            self._win(future)
        if not self._left:
            self._end_if_over()

    def _wins(self, operand: Future[object]) -> bool:
        if operand._state == VALUE:
            return True
        return not self._success_only and self._error_of(operand) is not None

    def _win(self, winner: Future[object]) -> None:
        self._winner = winner
        if self._abandoned:
            return  # everybody has been asked to end, or let go, already
        if winner is not self._operands[0]:  # else nobody further to the left could win a tie
            self._won_at = self._world.now()
            before = self._operands[: self._operands.index(winner)]
            if winner._state == VALUE and any(o._state == PENDING and o._may_tie() for o in before):
                # It may be about to end at this very reading of the clock; cancelled now, it could not.
                self._disarm = self._world.after(0, self._end_losers)
                return
        self._end_losers()

    def _end_losers(self) -> None:
        """Leave the losers alone, or have them cancelled and wait for their end."""
        if self._state != PENDING:
            return
        if self._keep:
            self._leave_losers()
        else:
            pending = self._pending()
            for operand in pending:
                operand.cancel()
            for operand in pending:
                if not operand._state:
                    self._disarm = self._world.after(self._cleanup_s, self._give_up)
                    break
        if not self._left:
            self._end_if_over()

    def _tie(self, loser: Future[object]) -> None:
        """Two values at one reading of the clock: the one further to the left has won."""
        winner = self._winner
        assert winner is not None
        if winner is self._operands[0] or not loser._state == winner._state == VALUE:
            return
        if self._world.now() != self._won_at:
            return
        if self._operands.index(loser) < self._operands.index(winner):
            self._winner = loser

    def _give_up(self) -> None:
        if self._state != PENDING:
            return
        for operand in self._unique:
            if operand._state == PENDING:
                text = f"{operand!r} lost and was cancelled {self._cleanup_s} s ago, and has not ended; its owner waits"
                self._world.report(LoserStuck(text))
        self._leave_losers()
        self._end_if_over()

    def _leave_losers(self) -> None:
        pending = [operand for operand in self._unique if operand._state == PENDING]
        for operand in pending:
            operand._detach(self)
        self._left_alone = frozenset(pending)
        self._left -= len(pending)

    def _end_if_over(self) -> None:
        assert self._left >= 0
        if self._left or self._state != PENDING:
            return
        disarm, self._disarm = self._disarm, None
        if disarm is not None:
            disarm()
        winner = self._winner
        if winner is not None and winner._state == VALUE:
            place = 0 if winner is self._operands[0] else self._operands.index(winner)
            self._settle(VALUE, self._wrap(place, winner._result))
        elif winner is not None:
            error = self._error_of(winner)
            assert error is not None
            self._settle_by(winner, error)
        else:
            self._settle_without_winner()

    def _settle_without_winner(self) -> None:
        errors = [error for error in map(self._error_of, self._unique) if error is not None]
        if any(operand in self._ours and operand._state != ERROR for operand in self._operands):
            self._settle(CANCELLED, None)  # we were abandoned, and so did not let everybody try
        else:
            assert len(errors) == len(self._unique), self
            self._settle(ERROR, BaseExceptionGroup(f"none of {len(self._operands)} futures succeeded", errors))

    def _waits_for_mail(self, inbox: object, in_hand: Collection[object]) -> bool:
        return all(o._state == PENDING and o._waits_for_mail(inbox, in_hand) for o in self._operands)


def both(a: Future[A], b: Future[B]) -> Future[tuple[A, B]]:
    """Wait for two futures: the pair of their values (awaitBoth).

    The first error cancels the other future, waits for its end, and is raised bare; if both fail it is an
    `ExceptionGroup`, in the order of the arguments. Not a checkpoint: it returns a future, so it nests.

    Raises:
        TypeError: an argument is no future.
    """
    operands = futures_of("both", (a, b))
    return _AllOf(operands[0]._world, operands)


def either(
    a: Future[A], b: Future[B], *, keep: bool = False, cleanup_s: float = _CLEANUP_S
) -> Future[Left[A] | Right[B]]:
    """Take the first to complete: `Left(value)` of `a` or `Right(value)` of `b` (awaitEither).

    If what completes first is an error, it is raised. The loser is cancelled and waited for at most `cleanup_s`
    seconds, then reported as `LoserStuck` and left to its owner. With *keep* the loser is left alone. A tie goes to
    the left. Not a checkpoint: it returns a future, so it nests.

    A promise that loses is cancelled like any loser: whoever would complete it later asks `is_done` first, or give
    *keep*.

    Raises:
        TypeError: an argument is no future.
    """
    operands = futures_of("either", (a, b))
    if cleanup_s is not _CLEANUP_S:
        check_cleanup("either", cleanup_s)
    return _OneOf(operands[0]._world, operands, _side, False, keep, cleanup_s)


await_both = both
await_either = either


@overload
def all_of() -> Future[tuple[()]]: ...
@overload
def all_of(a: Future[A], /) -> Future[tuple[A]]: ...
@overload
def all_of(a: Future[A], b: Future[B], /) -> Future[tuple[A, B]]: ...
@overload
def all_of(a: Future[A], b: Future[B], c: Future[C], /) -> Future[tuple[A, B, C]]: ...
@overload
def all_of(a: Future[A], b: Future[B], c: Future[C], d: Future[D], /) -> Future[tuple[A, B, C, D]]: ...
@overload
def all_of(*futures: Future[T]) -> Future[tuple[T, ...]]: ...
def all_of(*futures: Future[Any]) -> Future[Any]:
    """Wait for all: the tuple of their values, in the order of the arguments. `both` for any number.

    `await all_of()` is `()`.

    Raises:
        TypeError: an argument is no future.
    """
    operands = futures_of("all_of", futures)
    world: World = operands[0]._world if operands else _Nowhere()
    combined: _AllOf[tuple[object, ...]] = _AllOf(world, operands)
    return combined


def any_of(*futures: Future[T], keep: bool = False, cleanup_s: float = _CLEANUP_S) -> Future[Winner[T]]:
    """Take the first to complete, whatever its outcome. `either` for any number.

    Raises:
        TypeError: an argument is no future.
        ValueError: there is none.
    """
    return _one_of("any_of", futures, success_only=False, keep=keep, cleanup_s=cleanup_s)


def first_of(*futures: Future[T], keep: bool = False, cleanup_s: float = _CLEANUP_S) -> Future[Winner[T]]:
    """Take the first that ends with a value. If none does, an `ExceptionGroup` of all errors is raised.

    Raises:
        TypeError: an argument is no future.
        ValueError: there is none.
    """
    return _one_of("first_of", futures, success_only=True, keep=keep, cleanup_s=cleanup_s)


def _one_of(
    name: str, futures: tuple[Future[T], ...], *, success_only: bool, keep: bool, cleanup_s: float
) -> Future[Winner[T]]:
    if not futures:
        raise ValueError(f"{name}() needs at least one future: none could ever complete it")
    operands = futures_of(name, futures)
    if cleanup_s is not _CLEANUP_S:
        check_cleanup(name, cleanup_s)
    return _OneOf(operands[0]._world, operands, Winner, success_only, keep, cleanup_s)


def _side(index: int, value: object) -> object:
    return Right(value) if index else Left(value)


class _Nowhere:
    """The world of `all_of()`, which has no operand to take one from and is complete from the start."""

    def __init__(self) -> None:
        self.pace: Final = Pace()
        self.telling: Final[Telling] = deque()

    def now(self) -> float:
        return 0.0

    def ended(self) -> None:
        return None

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        raise AssertionError("a combinator without operands waits for nothing")

    def report(self, error: HistrioError) -> None:
        raise AssertionError("a combinator without operands has nothing to report") from error
