"""What one life of a durable process does between its orders and its advances; all of it follows from the journal.

Invariant: at most one handler of it runs or waits: `started`, an advance, or `killed`.
"""

# Design note
# -----------
# A life makes steps of what comes, and asks here what that means for a process. Orders change levels, at once. When it
# rests and the levels allow it, an advance is due; that begins by a record of its own, after whatever else has come. So
# orders are heard between any two advances, and an advance that was due is due again after a crash.
#
# An order is answered when it has been carried out: a pause when it is paused, a kill when it has ended. The answer is in
# the step that does that, so it is in the journal first.

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast, final

import attrs
from outcome import Error, Outcome, Value

from histrio.durable.activation import Activation
from histrio.durable.behaviours import ContinueAs
from histrio.durable.boards import Standing
from histrio.durable.deeds import Deeds
from histrio.durable.levels import Levels
from histrio.durable.orders import Kill, Nudge, Order, Pause, Resume, Step
from histrio.durable.ports import checked_outputs
from histrio.durable.process import DurableProcess, UntilResumed
from histrio.durable.recorded import Recorded
from histrio.processes.errors import NotRerunnable, WrongAdvance, what_was_meant
from histrio.processes.moves import Done, To, Wait
from histrio_kernel.errors import ActorFailed, ActorStopped, End, Reason, Refusal, StuckActor, shown
from histrio_kernel.futures import ERROR, PENDING, Future
from histrio_kernel.lifecycle import Phase

__all__ = ["AnyProcess", "Checkpoint", "Course"]

AnyProcess = DurableProcess[enum.Enum, object, object]


class Doing(enum.Enum):
    """What it does at the moment."""

    STARTS = "starts"
    RESTS = "rests"
    ADVANCES = "advances"
    CLEANS_UP = "cleans up"


@final
@attrs.frozen
class Checkpoint:
    """A process between two advances, for the record that its past is rolled up into.

    Attributes:
        state: the state that it is in.
        levels: what is wanted of it.
        snapshot: what its own `snapshot()` has returned.
    """

    state: enum.Enum
    levels: Levels
    snapshot: object


@final
class Course:
    """One life of a process.

    Args:
        life: that.
        process: its object, fresh.
        checkpoint: where it goes on; None if it begins.

    Attributes:
        kept: what its advances have begun and not looked at.
    """

    def __init__(self, life: Deeds, process: AnyProcess, checkpoint: Checkpoint | None) -> None:
        self._life: Final = life
        self._process: Final = process
        self._checkpoint: Final = checkpoint
        self._levels: Final = Levels(process.start) if checkpoint is None else checkpoint.levels
        if checkpoint is not None:
            process._histrio_state = checkpoint.state
        self._doing = Doing.STARTS
        self._runs: Activation | None = None
        self.kept: Final[list[Recorded[object]]] = []
        self._waits_for: Future[object] | None = None
        self._waited_for: Future[object] | None = None
        self._handed: tuple[object, ...] = ()
        self._asked: Final[dict[int, Order]] = {}
        self._killed: str | None = None  # why
        self._deadline: Future[None] | None = None
        self._interrupts = False

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        """What may be told of it when this step is in the journal."""
        return Standing(self._phase, self._process.state)

    @property
    def _phase(self) -> Phase:
        if self._life.result_wanted is not None:
            return self._end_of(self._life.result_wanted)
        if self._killed is not None:
            return Phase.DYING
        if self._doing is Doing.STARTS and self._checkpoint is None:
            return Phase.STARTING
        return Phase.PAUSED if self._levels.holds and self._doing is not Doing.ADVANCES else Phase.RUNNING

    @staticmethod
    def _end_of(result: Outcome[object]) -> Phase:
        if isinstance(result, Value):
            return Phase.STOPPED
        assert isinstance(result, Error)
        return Phase.FAILED if isinstance(result.error, ActorFailed) else Phase.KILLED

    @property
    def advance_is_due(self) -> bool:
        """Whether an advance is to begin."""
        waits = self._waits_for is not None and not self._waits_for.is_done
        return self._doing is Doing.RESTS and not waits and self._levels.may_advance(self._process.drive)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of its past is needed but what a checkpoint has."""
        return self._doing is Doing.RESTS and not self.kept and not self._asked

    def snapshot(self) -> Checkpoint:
        """What its past can be rolled up into, while it is quiet."""
        return Checkpoint(self._process.state, self._levels, self._process.snapshot())

    # -- what it is told ---------------------------------------------------------------------------------------------

    def order(self, scope: int, order: Order) -> None:
        """Carry out an order, or begin to."""
        self._asked[scope] = order
        match order:
            case Kill(why):
                self._kill(why)
            case _ if self._killed is not None:
                pass  # it is answered by the end
            case Pause(now):
                self._pause(scope, now=now)
            case Step(count):
                self._levels.step(count)
            case Resume(value, has_value):
                self._levels.resume(value, has_value=has_value)
                self._answer(Pause, Step, Resume)
            case Nudge():
                if not self._levels.nudge(self._process.drive, self._process.nudges_max):
                    self._answer_one(scope, Error(Refusal(self._no_more_nudges())))
                self._answer(Nudge)
            case _:
                raise AssertionError(order)
        self.look()

    def _pause(self, scope: int, *, now: bool) -> None:
        if now and not self._process.rerunnable:
            self._answer_one(scope, Error(NotRerunnable(self._life.path, type(self._process).__qualname__)))
            return
        self._levels.pause()
        self._interrupts = now and self._doing is Doing.ADVANCES

    def _kill(self, why: str) -> None:
        if self._killed is None:
            self._killed = why or "it was killed on request"
            self._interrupts = True

    def _no_more_nudges(self) -> str:
        return (
            f"{self._life.path}: {self._process.nudges_max} nudges are not used up yet (nudges_max); nothing was changed."
            " Wait until it has advanced"
        )

    def look(self) -> None:
        """Something has changed: who asked for a pause is told when it is so, and a clean-up has its deadline."""
        if self._phase is Phase.PAUSED:
            self._answer(Pause, Step)
        if self._doing is Doing.CLEANS_UP and self._deadline is not None and self._deadline.is_done:
            self._interrupts = True

    def _answer(self, *orders: type[Order]) -> None:
        """Those orders have been carried out."""
        for scope in [scope for scope, order in self._asked.items() if isinstance(order, orders)]:
            self._answer_one(scope, Value(self._phase))

    def _answer_one(self, scope: int, outcome: Outcome[object]) -> None:
        del self._asked[scope]
        self._life.answer(scope, outcome)

    def farewell(self, scope: int, ended: ActorStopped) -> Outcome[object]:
        """What who gave that order, which is not carried out, is told now that it ends."""
        if isinstance(self._asked.get(scope), Kill):
            return Value(self._phase)
        return Error(ended)

    # -- what it does ------------------------------------------------------------------------------------------------

    def begins(self, activation: Activation) -> None:
        """That is what runs now."""
        assert self._runs is None, self._runs
        self._runs = activation

    async def start(self) -> object:
        """The first handler."""
        if self._checkpoint is None:
            return await self._process.started()
        return await self._process.restore(self._checkpoint.snapshot)

    def take(self) -> Callable[[], Awaitable[object]]:
        """An advance begins: its handler."""
        self._handed = self._levels.values[:1]
        self._process._histrio_resumed = self._levels.take(self._process.drive)
        self._waited_for, self._waits_for = self._waits_for, None
        self._doing = Doing.ADVANCES
        return self._advance

    async def _advance(self) -> object:
        move = self._checked(await self._process.advance())
        before = self._waited_for
        if isinstance(before, Recorded) and before._state == ERROR and before.is_owed:
            await before  # nobody has looked at it
        if not isinstance(move, Done):
            return move
        if isinstance(move.value, Done):
            raise WrongAdvance(
                self._life.path, f"advance() returned {shown(move)}: a process is done once; return what is in it"
            )
        outputs = checked_outputs(self._life.path, self._process.__histrio_ports__[1], move.value)
        for future in tuple(self.kept):
            if future.is_owed:
                await future
        return Done(outputs)

    def _checked(self, move: object) -> To[enum.Enum] | Wait | UntilResumed | Done[object]:
        """Refuse what says nothing.

        Raises:
            WrongAdvance: says what was returned, and what was probably meant.
        """
        if isinstance(move, To | Wait | UntilResumed | Done):
            return cast("To[enum.Enum] | Wait | UntilResumed | Done[object]", move)
        text, hint = shown(move), what_was_meant(move, type(self._process.state))
        if isinstance(move, ContinueAs):
            hint = " (its past is rolled up between advances, if it has snapshot_every, snapshot() and restore())"
        elif isinstance(move, Mapping) or type(move) is self._process.__histrio_ports__[1]:
            hint = " (to be done with that: histrio.Done(outputs))"
        raise WrongAdvance(
            self._life.path,
            f"advance() returned {text}{hint}. It returns self.to(state), self.wait(future), self.until_resumed() or"
            " histrio.Done(outputs)",
        )

    def ended(self, outcome: Outcome[object]) -> Exception | None:
        """What ran has ended; its error, if it has failed by one."""
        done, self._doing, self._runs = self._doing, Doing.RESTS, None
        if isinstance(outcome, Error):
            assert isinstance(outcome.error, Exception)
            return outcome.error
        assert isinstance(outcome, Value)
        value: object = outcome.value
        if done is Doing.CLEANS_UP:
            self._is_dead()
        elif done is Doing.STARTS and isinstance(value, ContinueAs):
            text = shown(cast(object, value))
            return WrongAdvance(self._life.path, f"started() returned {text}, and a process goes on as itself")
        elif done is Doing.ADVANCES:
            self._handed = ()
            self._process._histrio_resumed = None
            self._goes_on(cast("To[enum.Enum] | Wait | UntilResumed | Done[object]", value))
        self.look()
        return None

    def _goes_on(self, move: To[enum.Enum] | Wait | UntilResumed | Done[object]) -> None:
        self.kept[:] = [each for each in self.kept if each.is_owed]
        match move:
            case To(state):
                self._process._histrio_state = state
            case Wait(future):
                self._waits_for = future
            case UntilResumed():
                self._levels.waits_for_value = True
            case Done(value):
                self._life.result_wanted = Value(value)

    def failed(self, scope: int, order: object, failure: Exception) -> Outcome[object]:
        """What it ends with, since a handler has failed in a step that began with *order*, or with something else."""
        if isinstance(order, Kill):
            self._asked[scope] = order
            self._killed = self._killed or order.why or "it was killed on request"
        return Error(failure) if self._killed is None else Error(self._death())

    # -- what is cut short -------------------------------------------------------------------------------------------

    def interrupted(self) -> Activation | None:
        """What is to be cancelled at once, if this step does that. Then `after` says how it goes on."""
        return self._runs if self._interrupts else None

    def after(self) -> Callable[[], Awaitable[object]] | None:
        """What was to be cancelled has unwound: what runs now, if anything does."""
        if not self._interrupts:
            return None
        self._interrupts = False
        done, self._doing = self._doing, Doing.RESTS
        cut, self._runs = self._runs, None
        if self._killed is None:
            assert cut is not None
            self._is_cut_off(cut)
            return None
        for future in tuple(self._life.futures.values()):
            future.cancel()
        self.kept.clear()
        if done is Doing.CLEANS_UP:
            self._life.after_commit(self._tell_of_stuck)
        elif self._cleans_up and (done is not Doing.STARTS or self._checkpoint is not None):
            self._doing = Doing.CLEANS_UP
            return self._clean_up
        self._is_dead()
        return None

    def _is_cut_off(self, cut: Activation) -> None:
        """An advance was none: it is to be made again."""
        for future in [each for each in self._life.futures.values() if each.id.startswith(f"{cut.scope}.")]:
            future.cancel()
        self.kept[:] = [each for each in self.kept if each._state != PENDING or each.id in self._life.futures]
        self._levels.give_back(self._handed)
        self._handed, self._process._histrio_resumed = (), None
        self._waits_for, self._waited_for = self._waited_for, None
        self.look()

    @property
    def _cleans_up(self) -> bool:
        return _function(type(self._process)) is not _function(DurableProcess)

    async def _clean_up(self) -> None:
        self._deadline = deadline = self._process.sleep(self._process.shutdown_s)
        await self._process.killed(Reason(End.KILLED, self._killed or ""))
        deadline.cancel()

    def _is_dead(self) -> None:
        self._life.result_wanted = Error(self._death())

    def _death(self) -> ActorStopped:
        return ActorStopped(self._life.path, Reason(End.KILLED, self._killed or ""))

    def _tell_of_stuck(self) -> None:
        self._life.report(
            StuckActor(
                f"{self._life.path}: killed() of {type(self._process).__qualname__} had not ended"
                f" {self._process.shutdown_s} s after the kill (shutdown_s), and was cancelled"
            )
        )


def _function(cls: type[object]) -> object:
    """The clean-up of a class."""
    return getattr(cls, "killed")  # noqa: B009 - of any class of processes
