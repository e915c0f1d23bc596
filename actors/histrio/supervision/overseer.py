"""Which children are started, stopped and started again, and when a supervisor gives up (S1, S2, S3).

It decides at the very moment at which a child has ended, synchronously, one event after the other; it has no task.
"""

# Design note
# -----------
# OTP's supervisor is a process that handles one event at a time and blocks while it stops and starts children. Here a
# child that is slow to start would then hold up the restart of its siblings, and a sibling that dies while another one
# waits for it in its `started()` would not come back until that start has timed out. So nothing blocks: whatever takes
# time (a halt, a start, a backoff) ends in an event, and what is still to do is data, the *plan*.
#
# A plan says which children are to be halted, from right to left, one after the other, and which are to be started
# then, from left to right, each when the one before it is up. ONE_FOR_ONE needs no plan. A child of the group that
# ends while a plan is carried out begins a new plan, which counts as a restart like any other.
#
# Rules are those of OTP's supervisor.erl: what counts as a restart, what is forgotten, what starts again together.
# Where we differ: the inbox survives; siblings are halted at once and started after the backoff; restarts of a
# ONE_FOR_ONE supervisor do not wait for each other.

from __future__ import annotations

import functools
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, Never, TypeVar, cast, final

from trio.lowlevel import disable_ki_protection, enable_ki_protection

from histrio.ref import Ref
from histrio.spawning import House, Nest, attach, place
from histrio.supervision.errors import ChildRunning, TooManyRestarts
from histrio.supervision.kid import Kid
from histrio.supervision.plan import Plan
from histrio.supervision.rules import Rules
from histrio.supervision.spec import AutoShutdown, Child, Restart, Strategy
from histrio_kernel.bounds import bound
from histrio_kernel.cell import Cell
from histrio_kernel.errors import ActorFailed, ActorStopped, End, Reason
from histrio_kernel.futures import ERROR, VALUE, Promise
from histrio_kernel.lifecycle import ENDED, Phase

__all__ = ["Overseer"]

T = TypeVar("T")
_WHYS_MAX: Final = bound("failures_max")
_SUPERVISES: Final = frozenset({Phase.STARTING, Phase.RUNNING, Phase.PAUSED})


@final
class Overseer:
    """The guardian of one supervisor's children, for one incarnation of the supervisor.

    Invariants: every kid with a cell is in `cell.children` under its name; `kids` and `_order` hold the same, and
    numbers rise in it; while `closing` nothing is started.
    """

    def __init__(self, cell: Cell, house: House, rules: Rules) -> None:
        self._cell: Final = cell
        self._house: Final = house
        self.rules: Final = rules
        self.kids: Final[dict[str, Kid]] = {}
        self._order: Final[list[Kid]] = []  # the same, from left to right
        self._added = 0
        self._plan: Plan | None = None
        self._giving_up = False
        self._ends: Final[deque[float]] = deque()  # when there was one that counts, within the window
        self._whys: Final[deque[tuple[str, ActorFailed | Reason]]] = deque(maxlen=_WHYS_MAX)
        self._events: Final[deque[Callable[[], None]]] = deque()
        self._settled: Promise[None] | None = None

    # -- one event after the other -------------------------------------------------------------------------------

    @enable_ki_protection
    def _happens(self, event: Callable[[], None]) -> None:
        """Handle `event` now, or after the one that is being handled and has caused it."""
        self._events.append(event)
        if len(self._events) == 1:
            while self._events:
                try:
                    self._events[0]()
                    if self._plan is not None:
                        self._carry_on(self._plan)
                finally:
                    self._events.popleft()

    @property
    def is_stopping(self) -> bool:
        """Whether the supervisor itself ends, in whatever way."""
        return self._cell.phase not in _SUPERVISES

    @property
    def closing(self) -> bool:
        """Whether nothing is started any more."""
        return self._giving_up or self.is_stopping

    async def settled(self) -> None:
        """Wait until no plan is being carried out."""
        while self._plan is not None:
            if self._settled is None:
                self._settled = Promise(self._cell.engine)
            await self._settled

    # -- what the cell asks (Guardian) ---------------------------------------------------------------------------

    def keeps(self, child: Cell) -> bool:
        """Whether a child that ends may live again."""
        kid = self.kids.get(child.name)
        reason = child.reason
        if kid is None or kid.cell is not child or reason is None or self.closing:
            return False
        restart = kid.spec.restart
        if kid.dismissed or reason.end is End.CANCELLED or restart is Restart.TEMPORARY or kid.is_awaited:
            return False
        return restart is Restart.PERMANENT or reason.end is not End.STOPPED or self._is_halted(kid)

    def _is_halted(self, kid: Kid) -> bool:
        """Whether the plan is to end it, now or later anyway, so that its own end counts for nothing."""
        return kid.halting or (self._plan is not None and not kid.resting and self._plan.halts(kid))

    def closes(self) -> None:
        """The supervisor begins to end: nothing is started any more, and whoever waits for a start is told at once."""
        self._happens(self._call_all_off)

    def _call_all_off(self) -> None:
        if self._giving_up:
            return  # whoever waits is cancelled when it fails
        for kid in self.kids.values():
            if kid.first is not None and kid.is_awaited and kid.is_down:
                kid.first._settle(ERROR, self._takes_none())

    def child_over(self, child: Cell, failure: ActorFailed | None) -> None:
        """A child's incarnation has ended; or a child that was spawned by hand, without a supervisor's care."""
        kid = self.kids.get(child.name)
        if kid is None or kid.cell is not child:
            if failure is not None:
                self._cell.fail(failure)
            return
        self._happens(functools.partial(self._over, kid, child))

    # -- starting ------------------------------------------------------------------------------------------------

    def add(self, name: str, spec: Child[Never]) -> Kid:
        """A child that is to be started, to the right of the others."""
        self._added += 1
        kid = self.kids[name] = Kid(name, self._added, spec, self._is_up)
        self._order.append(kid)
        return kid

    def _place_in_order(self, number: int) -> int:
        """How many are to the left of the one with this number."""
        return bisect_left(self._order, number, key=_number)

    async def start(self, kid: Kid) -> Ref[object]:
        """Start a child, wait until it is up, and give its ref.

        Raises:
            ActorStopped: why it did not start; it is not tried again. Or its supervisor starts none any more.
            ChildRunning: it is there, or somebody else starts it.
        """
        if kid.cell is not None or kid.first is not None:
            raise ChildRunning(f"{self._cell.path}: child {kid.name!r} is there already, or is being started")
        first: Promise[Ref[object]] = Promise(self._cell.engine)
        kid.first = first  # from now on, so that others see that somebody starts it
        try:
            await self.settled()
            if not first.is_done:  # else a plan has started it, or it was called off
                self._happens(functools.partial(self._begin, kid))
            return await first
        finally:
            kid.first = None
            if self._giving_up:
                await self._until_given_up()

    def call_off(self, kid: Kid) -> None:
        """It is not to be started after all; whoever waits for its first start is told."""
        kid.stop_waiting()
        self._leave_plan(kid)
        if kid.first is not None and kid.is_awaited:
            reason = Reason(End.STOPPED, "it was terminated before it was started")
            kid.first._settle(ERROR, ActorStopped(f"{self._cell.path}/{kid.name}", reason))

    def undo(self, kid: Kid, *, forget: bool) -> None:
        """Whoever started it is cancelled: nothing of it is left, and one that is new is forgotten when it has ended."""
        self._leave_plan(kid)
        if kid.cell is not None:
            kid.dismissed, kid.is_passing = True, forget
            kid.cell.kill("whoever started it was cancelled")
        elif forget:
            self.forget(kid)

    async def _until_given_up(self) -> None:
        """The supervisor is about to fail: whoever still starts something is cancelled by that."""
        never: Promise[None] = Promise(self._cell.engine)
        await never

    def _begin(self, kid: Kid) -> None:
        """Begin an incarnation of `kid`; its first, or another one at its old place."""
        kid.stop_waiting()
        nursery = self._cell.io_nursery
        if self.closing or nursery is None:
            if kid.first is not None and kid.is_awaited:
                kid.first._settle(ERROR, self._takes_none())
            return
        if not kid.is_down:
            return  # a plan has begun it, and whoever waits for its start hears of that
        try:
            actor = self._cell.base.run(self._make, kid)
            placed = self._place(kid, actor) if kid.cell is None else None
        except Exception as error:
            self._not_made(kid, error)
            return
        kid.dismissed = False
        if placed is not None:
            cell = kid.cell = placed
            self._sort(kid)
            self._cell.base.run(cell.start, nursery)
        else:
            cell = cast(Cell, kid.cell)
            attach(actor, cell)
            cell.restart(nursery, actor)
        kid.begun, kid.resting = True, False
        if cell.started is None:
            self._up(kid)
        else:
            cell.started._attach(kid)

    def _place(self, kid: Kid, actor: object) -> Cell:
        """A new place for it, unless somebody else has taken it."""
        if kid.name in (self._cell.children or ()):
            raise ValueError(f"{self._cell.path} has a child called {kid.name!r} already, which was spawned by hand")
        return place(cast(Nest, self._cell), kid.name, kid.spec.settings, actor)

    def _takes_none(self) -> ActorStopped:
        reason = self._cell.reason or Reason(End.FAILED, "it gives up", self._last_failure())
        return ActorStopped(self._cell.path, reason, "it starts no children any more")

    @disable_ki_protection
    def _make(self, kid: Kid) -> object:
        if not kid.needs_siblings:
            return kid.spec()
        refs = {id(one.spec.ref): self.ref_of(one) for one in self.kids.values() if one.cell is not None}
        gone = [ref.path for ref in kid.spec.sibling_refs if id(ref) not in refs]
        if gone:
            raise ValueError(
                f"child {kid.name!r} is given the ref of {gone[0]!r}, which has ended and is not started again;"
                f" restart_child({gone[0]!r}) does that"
            )
        return kid.spec.beside(refs)()

    def _not_made(self, kid: Kid, error: Exception) -> None:
        """Its constructor raised."""
        failure = ActorFailed(f"{self._cell.path}/{kid.name}", error, "it could not be made")
        if kid.first is not None and kid.is_awaited and kid.cell is None:
            self._leave_plan(kid)
            kid.first._settle(ERROR, failure)
        else:
            self._cell.engine.report(failure)
            if kid.cell is not None:
                kid.cell.last_failure = error
                kid.cell.reason = failure.reason
            kid.begun, kid.resting = True, kid.cell is not None
            self._again(kid, failure, at_once=False)

    def _sort(self, new: Kid) -> None:
        """The cells of children stand in the order of the kids, also when one has come back, or was late."""
        children = self._cell.children
        assert children is not None
        before = next(islice(reversed(children), 1, None), None)  # who stood last until `new` was placed
        if before is None or (before in self.kids and self.kids[before].number < new.number):
            return
        cells = {name: children[name] for name in self.kids if name in children}
        others = {name: cell for name, cell in children.items() if name not in cells}
        children.clear()
        children.update(others)
        children.update(cells)

    def _is_up(self, kid: Kid) -> None:
        """Its `started()` has returned."""
        self._happens(functools.partial(self._up, kid))

    def _up(self, kid: Kid) -> None:
        kid.up = True
        if self.rules.backoff is not None:
            kid.up_since = self._cell.engine.now()
        if kid.first is not None and kid.is_awaited:
            kid.first._settle(VALUE, self.ref_of(kid))

    # -- ending --------------------------------------------------------------------------------------------------

    def _over(self, kid: Kid, cell: Cell) -> None:
        """Nothing of this incarnation runs any more."""
        if kid.cell is not cell:
            return  # it was given up before this came to be handled
        gone = cell.phase in ENDED
        was_up, kid.up = kid.up, False
        failure = None if kid.resting else cell.failure()  # of one that rests all has been told
        halting, kid.halting = self._is_halted(kid), False
        kid.resting = not gone
        kid.stop_waiting()
        if was_up and self.rules.backoff is not None and self._up_s(kid) >= self.rules.backoff.reset_s:
            kid.in_a_row = 0
        if gone:
            kid.cell = None
        reason = cell.reason
        assert reason is not None
        begins_again = halting and failure is None and not self.is_stopping
        if kid.first is not None and kid.is_awaited and not was_up and not begins_again:
            self._leave_plan(kid)
            kid.first._settle(ERROR, failure or ActorStopped(cell.path, reason))
            return
        if failure is not None:
            self._cell.engine.report(failure)
        if kid.dismissed and gone:
            kid.dismissed = False
            self._leave_plan(kid)
            halting = True
            if kid.is_passing or self.rules.forgets:
                self.forget(kid)
        if kid.dismissed or halting or self.closing:
            if gone and kid.spec.restart is Restart.TEMPORARY and not kid.is_awaited:
                self.forget(kid)
        elif gone:
            self._ended_by_itself(kid)
        else:
            self._again(kid, failure or reason)

    def _up_s(self, kid: Kid) -> float:
        """How long this incarnation has been up."""
        return self._cell.engine.now() - kid.up_since

    def forget(self, kid: Kid) -> None:
        """Nothing is known of it any more."""
        if self.kids.get(kid.name) is kid:
            del self.kids[kid.name]
            del self._order[self._place_in_order(kid.number)]
        kid.stop_waiting()
        self._leave_plan(kid)

    def _leave_plan(self, kid: Kid) -> None:
        """The plan will not start it."""
        if self._plan is not None:
            self._plan.skips(kid)

    def _ended_by_itself(self, kid: Kid) -> None:
        """It will not be started again, by its restart type."""
        self._leave_plan(kid)
        if kid.spec.restart is Restart.TEMPORARY or self.rules.forgets:
            self.forget(kid)
        if kid.spec.significant and self._is_enough(kid):
            self._cell.stop(f"its significant child {kid.name!r} has ended, and auto_shutdown is"
                            f" {self.rules.auto_shutdown.name}")  # fmt: skip

    def _is_enough(self, kid: Kid) -> bool:
        if self.rules.auto_shutdown is AutoShutdown.ALL_SIGNIFICANT:
            others = (one for one in self.kids.values() if one is not kid and one.spec.significant)
            return all(one.cell is None for one in others)
        return self.rules.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT

    # -- starting again ------------------------------------------------------------------------------------------

    def _again(self, kid: Kid, why: ActorFailed | Reason, *, at_once: bool = True) -> None:
        """It is to be started again, unless that has happened too often; and not *at_once*: others run first."""
        now = self._cell.engine.now()
        self._ends.append(now)
        self._whys.append((kid.name, why))
        while now - self._ends[0] > self.rules.window_s:
            self._ends.popleft()
        while len(self._whys) > len(self._ends):
            self._whys.popleft()
        if len(self._ends) > self.rules.restarts_max:
            self._give_up()
            return
        delay = self._delay_s(kid)
        if self.rules.strategy is Strategy.ONE_FOR_ONE:
            if delay or not at_once:
                kid.call_off = self._cell.engine.after(delay, lambda: self._happens(lambda: self._due(kid)))
            else:
                self._begin(kid)
        else:
            self._plan_for(kid, delay, at_once=at_once)

    def _delay_s(self, kid: Kid) -> float:
        backoff = self.rules.backoff
        if backoff is None:
            return 0.0
        kid.in_a_row += 1
        return backoff.pause_s(kid.in_a_row, self._cell.engine.driver.random.random() if backoff.jitter else 0.0)

    def _due(self, kid: Kid) -> None:
        """Its backoff is over."""
        if kid.call_off is not None:
            self._begin(kid)

    def _plan_for(self, kid: Kid, delay: float, *, at_once: bool) -> None:
        """Halt and start again the group that `kid` belongs to."""
        plan, first = self._plan, 0
        if self.rules.strategy is Strategy.REST_FOR_ONE:
            first = kid.number if plan is None or not plan.start else min(kid.number, plan.start[0].number)
        if plan is None or plan.is_starting or first >= plan.first:
            self._drop_plan()
            self._plan = plan = Plan(first)
            group = self._order[self._place_in_order(first) :]
        else:  # its halts go on; so that many that end from right to left do not begin it anew each time
            plan.stop_waiting()
            group = self._order[self._place_in_order(first) : self._place_in_order(plan.first)]
        plan.widen(first, [one for one in reversed(group) if one.begun], restart=True)
        if delay or not at_once:
            plan.due = False
            plan.call_off = self._cell.engine.after(delay, lambda: self._happens(plan.stop_waiting))

    def _drop_plan(self) -> None:
        plan, self._plan = self._plan, None
        if plan is not None:
            plan.stop_waiting()

    def _carry_on(self, plan: Plan) -> None:
        """Do of the plan what can be done now."""
        if self.closing and not self._giving_up:  # the cell stops its children itself, or cancels them
            plan.cancel()
        while plan.halt:
            kid = plan.halt[0]
            if not kid.is_down:
                self._end_for(kid)
                if not kid.is_down:
                    return
            plan.halted()
        if plan.start and not plan.due:
            return
        plan.is_starting = True
        while plan.start:
            kid = plan.start[0]
            if not kid.up:
                if kid.is_down:
                    self._happens(functools.partial(self._begin, kid))
                return
            plan.start.popleft()
        self._drop_plan()
        settled, self._settled = self._settled, None
        if settled is not None:
            settled._settle(VALUE, None)
        if plan.on_done is not None:
            plan.on_done()

    def _end_for(self, kid: Kid) -> None:
        """End a child: for the plan's restart, or for good."""
        cell = kid.cell
        assert cell is not None
        if self._giving_up:
            cell.stop(f"its supervisor {self._cell.path} gives up", because=self._why())
        elif not kid.halting:
            kid.halting = True
            why = f"it is started again together with its siblings in {self._cell.path}"
            if kid.spec.restart is Restart.TEMPORARY:
                why = f"its siblings in {self._cell.path} are started again, and it is TEMPORARY"
            cell.halt(why, self._why())

    def _why(self) -> Reason | None:
        """The end that the plan follows from."""
        why = self._whys[-1][1] if self._whys else None
        return why.reason if isinstance(why, ActorFailed) else why

    def _last_failure(self) -> BaseException | None:
        why = self._why()
        return None if why is None else why.cause

    # -- giving up -----------------------------------------------------------------------------------------------

    def _give_up(self) -> None:
        """Too many restarts: stop all, from right to left, and fail."""
        ends = tuple(
            why if isinstance(why, ActorFailed) else ActorStopped(f"{self._cell.path}/{name}", why)
            for name, why in self._whys
        )
        error = TooManyRestarts(self._cell.path, ends, len(self._ends), self.rules.restarts_max, self.rules.window_s)
        self._stop_all(lambda: self._cell.fail(error))

    async def roll_back(self) -> None:
        """Stop all that have been started, from right to left, and wait until they have ended."""
        done: Promise[None] = Promise(self._cell.engine)
        self._happens(lambda: self._stop_all(lambda: done._settle(VALUE, None)))
        await done

    def _stop_all(self, on_done: Callable[[], None]) -> None:
        """Nothing is started any more. Those that wait for a restart have ended; the others stop, right to left."""
        self._giving_up = True
        self._drop_plan()
        for one in tuple(self.kids.values()):
            if one.cell is not None and one.is_down:
                one.cell.give_up(Reason(End.FAILED, f"its supervisor {self._cell.path} gave up"))
        self._plan = Plan(0, on_done)
        self._plan.widen(0, reversed(self._order), restart=False)

    # ------------------------------------------------------------------------------------------------------------

    def ref_of(self, kid: Kid) -> Ref[object]:
        """The address of a child that has a place."""
        assert kid.cell is not None
        return self._house.ref_of(kid.cell)


def _number(kid: Kid) -> int:
    return kid.number
