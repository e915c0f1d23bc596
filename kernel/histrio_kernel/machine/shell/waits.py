"""Waits for what a machine will be: futures that stand where a transition finds them, and free their place at once.

Invariant: a wait that is pending stands in exactly one place of its register, and one that is not in none.
"""

# Design note
# -----------
# As in SAT solvers each wait watches one state only: one that still keeps it from coming true. A transition looks at the
# waits of the states that have ticked, and no others; one that is not true yet moves to the next state that it lacks. So
# a wait that never comes costs a transition of other states nothing but the look. One that stands alone stands bare,
# without a dictionary around it, and to cancel a wait is to delete one key.
#
# Waits are looked at once for each transition that has moved a clock, after its final handlers and before the next
# transition, also when it failed: it is the clocks that count. Predicates are looked at each time.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias, final

from histrio_kernel.futures import CANCELLED, ERROR, PENDING, VALUE, Future, Waiter, World
from histrio_kernel.machine.core.body import HEARD, Body
from histrio_kernel.machine.core.clock import tick_of
from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.results import EXECUTED
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.errors import Disposed

__all__ = [
    "AboutArguments",
    "AboutClock",
    "AboutDisposal",
    "AboutQuery",
    "AboutQueue",
    "Active",
    "Inactive",
    "Ticks",
    "Wait",
    "Waits",
]

Outcome: TypeAlias = "Transition[object] | None"
"""The transition in which a wait came true; None if it was true already."""

TRUE: Final = -1
"""In the place of a state that keeps a wait from coming true: there is none."""
NOWHERE: Final = -2
"""The place of a wait that is being looked at: whoever is told of another one may cancel it meanwhile.

And of one that was made in a final handler: it is looked at when the transition is over, which may roll back yet.
"""


class Wait(Future[Outcome]):
    """One wait. It is given up with its last awaiter, and by `cancel()`."""

    __slots__ = ("_waits",)

    def __init__(self, world: World, waits: Waits) -> None:
        self._world = world
        self._state = PENDING
        self._waiter = None
        self._waits = waits

    def leave(self) -> None:
        """Free its place."""
        raise NotImplementedError

    def renumber(self, numbers: dict[int, int]) -> bool:
        """The machine has another schema; False if a state of this wait is gone."""
        return True

    def refuse(self, error: Exception) -> None:
        """It cannot come true."""
        self._settle(ERROR, error)

    def _request_cancel(self) -> None:
        self.leave()
        self._waits.slept()
        self._settle(CANCELLED, None)

    def _abandon(self, waiter: Waiter) -> bool:
        alone = self._alone(waiter)
        self._detach(waiter)
        if alone:
            self._request_cancel()
        return True


class AboutClock(Wait):
    """A wait that comes true by the ticks of states."""

    __slots__ = ("_at",)

    _at: int

    def lacks(self, body: Body) -> int:
        """A state that keeps it from being true, or `TRUE`."""
        raise NotImplementedError

    def leave(self) -> None:
        """Out of the place of the state that it watches."""
        if self._at == NOWHERE:
            self._waits.drop_later(self)
        else:
            self._waits.remove(self, self._at)

    def stand(self, at: int) -> None:
        """Watch this state, or none."""
        self._at = at
        if at != NOWHERE:
            self._waits.add(self, at)


@final
class Active(AboutClock):
    """All of these states are active at once."""

    __slots__ = ("_states",)

    def __init__(self, world: World, waits: Waits, states: tuple[int, ...]) -> None:
        self._world = world  # as in `Wait`, which is not called: this is the most common of all waits
        self._state = PENDING
        self._waiter = None
        self._waits = waits
        self._states = states

    def lacks(self, body: Body) -> int:
        """The first that is not active."""
        members = body.node.members
        for state in self._states:
            if state not in members:
                return state
        return TRUE

    def renumber(self, numbers: dict[int, int]) -> bool:
        """Its states have other numbers."""
        return all(state in numbers for state in self._states) and self._renumbered(numbers)

    def _renumbered(self, numbers: dict[int, int]) -> bool:
        self._states = tuple(numbers[state] for state in self._states)
        return True

    def _about(self) -> str:
        return f"when {self._waits.spell(self._states)}"


@final
class Inactive(AboutClock):
    """None of these states is active."""

    __slots__ = ("_states",)

    def __init__(self, world: World, waits: Waits, states: tuple[int, ...]) -> None:
        super().__init__(world, waits)
        self._states = states

    def lacks(self, body: Body) -> int:
        """The first that is active."""
        members = body.node.members
        for state in self._states:
            if state in members:
                return state
        return TRUE

    def renumber(self, numbers: dict[int, int]) -> bool:
        """Its states have other numbers; one that is gone is inactive for good."""
        self._states = tuple(numbers[state] for state in self._states if state in numbers)
        return True

    def _about(self) -> str:
        return f"when not {self._waits.spell(self._states)}"


@final
class Ticks(AboutClock):
    """Every one of these states has come to its tick, or beyond."""

    __slots__ = ("_ticks",)

    def __init__(self, world: World, waits: Waits, ticks: tuple[tuple[int, int], ...]) -> None:
        super().__init__(world, waits)
        self._ticks = ticks

    def lacks(self, body: Body) -> int:
        """The first that has not come there."""
        for state, tick in self._ticks:
            if tick_of(body.clock, state) < tick:
                return state
        return TRUE

    def renumber(self, numbers: dict[int, int]) -> bool:
        """Its states have other numbers."""
        if not all(state in numbers for state, _ in self._ticks):
            return False
        self._ticks = tuple((numbers[state], tick) for state, tick in self._ticks)
        return True

    def _about(self) -> str:
        return f"when {self._waits.spell(state for state, _ in self._ticks)} have ticked"


class _InList(Wait):
    """A wait that stands in a list of its own kind."""

    __slots__ = ()

    def leave(self) -> None:
        """Out of the list."""
        self._waits.listed(type(self)).pop(self, None)


@final
class AboutArguments(Wait):
    """A state enters with arguments that match."""

    __slots__ = ("_match", "_target")

    def __init__(self, world: World, waits: Waits, state: int, match: Callable[[object], bool]) -> None:
        super().__init__(world, waits)
        self._target = state
        self._match: Final = match

    @property
    def target(self) -> int:
        """The state."""
        return self._target

    def leave(self) -> None:
        """Out of the list of its state."""
        self._waits.drop_arguments(self)

    def look(self, args: object, transition: Transition[object]) -> None:
        """The state has entered with these."""
        try:
            if not self._match(args):
                return
        except Exception as error:
            self.leave()
            self._settle(ERROR, error)
        else:
            self.leave()
            self._settle(VALUE, transition)

    def renumber(self, numbers: dict[int, int]) -> bool:
        """Its state has another number."""
        if self._target not in numbers:
            return False
        self._target = numbers[self._target]
        return True


@final
class AboutQuery(_InList):
    """A predicate holds."""

    __slots__ = ("_query",)

    def __init__(self, world: World, waits: Waits, query: Callable[[], bool]) -> None:
        super().__init__(world, waits)
        self._query: Final = query

    def look(self, transition: Outcome) -> None:
        """Ask it; what it raises, it raises in who waits."""
        try:
            if not self._query():
                return
        except Exception as error:
            self.leave()
            self._settle(ERROR, error)
        else:
            self.leave()
            self._settle(VALUE, transition)


@final
class AboutQueue(_InList):
    """Nothing waits in the machine's queue any more."""

    __slots__ = ()


@final
class AboutDisposal(_InList):
    """The machine is disposed."""

    __slots__ = ()


Place: TypeAlias = "AboutClock | dict[AboutClock, None]"
"""The waits that watch one state: one, bare, or several in the order in which they came."""


@final
class Waits:
    """The waits of one machine. Whoever comes to stand here makes it tell of its transitions.

    Args:
        body: the machine.
        slept: called when none may be left, so that the machine need not tell of its transitions.
    """

    __slots__ = ("_arguments", "_body", "_lists", "_places", "_slept")

    def __init__(self, body: Body, slept: Callable[[], None]) -> None:
        self._body: Final = body
        self._slept: Final = slept
        self._places: Final[dict[int, Place]] = {}
        self._arguments: Final[dict[int, dict[AboutArguments, None]]] = {}
        self._lists: dict[type[Wait], dict[Wait, None]] | None = None

    def __bool__(self) -> bool:
        return bool(self._places or self._arguments or (self._lists and any(self._lists.values())))

    def __len__(self) -> int:
        """How many stand here."""
        clocks = sum(len(place) if isinstance(place, dict) else 1 for place in self._places.values())
        return clocks + sum(map(len, self._arguments.values())) + sum(map(len, (self._lists or {}).values()))

    def listed(self, kind: type[Wait]) -> dict[Wait, None]:
        """Those of one kind that watch no state."""
        if self._lists is None:
            self._lists = {}
        return self._lists.setdefault(kind, {})

    def spell(self, states: Iterable[int]) -> str:
        """The names of these states."""
        return self._body.automaton.schema.spell(states)

    def attend_to_all(self) -> None:
        """The machine is to tell of whatever happens."""
        more = self._body.more
        assert more is not None
        more.watched = None

    def attend_to_watched(self) -> None:
        """The machine need tell only of the states that are watched here, if all that stand here watch states."""
        more = self._body.more
        assert more is not None
        if not self._arguments and not (self._lists and any(self._lists.values())):
            more.watched = self._places.keys()

    def slept(self) -> None:
        """One has gone."""
        if not self:
            self._slept()

    # -- places --------------------------------------------------------------------------------------------------------

    def begin(self, wait: AboutClock) -> None:
        """A fresh wait comes true at once, or stands where it belongs."""
        at = wait.lacks(self._body)
        if at == TRUE:
            wait._settle(VALUE, None)
        else:
            wait._at = at
            if at in self._places:
                self.add(wait, at)
            else:
                self._body.flags |= HEARD
                self._places[at] = wait

    def begin_later(self, wait: AboutClock) -> None:
        """A fresh wait is looked at when the transition that runs is over."""
        wait.stand(NOWHERE)
        self.enlist(AboutClock, wait)

    def drop_later(self, wait: AboutClock) -> None:
        """It is not to be looked at any more."""
        if self._lists:
            self.listed(AboutClock).pop(wait, None)

    def enlist(self, kind: type[Wait], wait: Wait) -> None:
        """One more of a kind that watches no state."""
        self._body.flags |= HEARD
        self.attend_to_all()
        self.listed(kind)[wait] = None

    def add(self, wait: AboutClock, at: int) -> None:
        """One more watches this state."""
        self._body.flags |= HEARD
        place = self._places.get(at)
        if place is None:
            self._places[at] = wait
        elif isinstance(place, dict):
            place[wait] = None
        else:
            self._places[at] = {place: None, wait: None}

    def remove(self, wait: AboutClock, at: int) -> None:
        """One less watches this state."""
        place = self._places[at]
        if isinstance(place, dict):
            del place[wait]
            if place:
                return
        else:
            assert place is wait
        self._give_up_place(at)

    def _give_up_place(self, at: int) -> Place:
        """Nobody watches this state any more. The last one takes the table along, which else stays as large as it was."""
        place = self._places.pop(at)
        if not self._places:
            self._places.clear()
        return place

    def add_arguments(self, wait: AboutArguments) -> None:
        """It waits for its state to enter."""
        self._body.flags |= HEARD
        self.attend_to_all()
        self._arguments.setdefault(wait.target, {})[wait] = None

    def drop_arguments(self, wait: AboutArguments) -> None:
        """It does not any more."""
        standing = self._arguments.get(wait.target, {})
        standing.pop(wait, None)
        if not standing:
            self._arguments.pop(wait.target, None)

    # -- transitions ---------------------------------------------------------------------------------------------------

    def settled(self, transition: Transition[object]) -> None:
        """A transition that moved a clock is over."""
        places, move = self._places, transition.move
        if places:
            for state in move.exits:
                if state in places:
                    self._look_at_place(state, transition)
            for state in move.enters:
                if state in places:
                    self._look_at_place(state, transition)
            if transition.result is not EXECUTED:
                for state in transition.rolled_back:
                    if state in places:
                        self._look_at_place(state, transition)
        if self._arguments or self._lists:
            self._look_at_arguments(transition)
            self._look_at_all(self._take_later(), transition)
            self._look_at_queries(transition)
            self.slept()

    def _look_at_place(self, state: int, transition: Transition[object]) -> None:
        """A state has ticked that somebody watches."""
        places = self._places
        place = places.pop(state)
        if not places:
            places.clear()  # as in `_give_up_place`, written out
        if isinstance(place, dict):
            self._look_at_all(tuple(place), transition)
            return
        at = place.lacks(self._body)
        if at == TRUE:
            place._settle(VALUE, transition)
        else:
            place.stand(at)

    def _look(self, wait: AboutClock, transition: Outcome) -> None:
        """One that was taken out of its place."""
        at = wait.lacks(self._body)
        if at == TRUE:
            wait._settle(VALUE, transition)
        else:
            wait.stand(at)

    def _look_at_all(self, waiting: Iterable[AboutClock], transition: Outcome) -> None:
        """Several that were taken out of their places."""
        for wait in waiting:
            wait.stand(NOWHERE)
        for wait in waiting:
            if wait._state == PENDING:
                self._look(wait, transition)

    def _look_at_queries(self, transition: Outcome) -> None:
        """Ask every predicate."""
        for wait in tuple(self.listed(AboutQuery)):
            if isinstance(wait, AboutQuery) and wait._state == PENDING:
                wait.look(transition)

    def _look_at_arguments(self, transition: Transition[object]) -> None:
        members, names = self._body.node.members, transition.schema.names
        for state in transition.enters:
            if state in self._arguments and state in members:
                args = transition.args_of(names[state])
                for wait in tuple(self._arguments[state]):
                    if wait._state == PENDING and args is not None:
                        wait.look(args, transition)

    def queue_ended(self) -> None:
        """Nothing waits in the queue."""
        self._release(AboutQueue)
        self.slept()

    def _release(self, kind: type[Wait]) -> None:
        waiting = self.listed(kind)
        for wait in tuple(waiting):
            if wait in waiting:
                wait.leave()
                wait._settle(VALUE, None)

    def imported(self) -> None:
        """The clocks were set from outside: whatever is true now is."""
        self._look_at_all(self._take_clocks(), None)
        self._look_at_queries(None)
        self.slept()

    def _take_clocks(self) -> list[AboutClock]:
        """All that watch states, out of their places."""
        waiting = [*self._clocks(), *self._take_later()]
        self._places.clear()
        for wait in waiting:
            wait.stand(NOWHERE)
        return waiting

    def _take_later(self) -> list[AboutClock]:
        """Those that were made in the final handlers of the transition that is over."""
        later = (self._lists or {}).pop(AboutClock, {})
        return [wait for wait in later if isinstance(wait, AboutClock)]

    def _clocks(self) -> Iterator[AboutClock]:
        for place in self._places.values():
            yield from place if isinstance(place, dict) else (place,)

    def evolved(self, old: Schema, new: Schema) -> None:
        """States have other numbers; a wait for one that is gone cannot come true."""
        numbers = {n: new.index(name) for n, name in enumerate(old.names) if name in new.definitions}
        waiting: list[Wait] = [*self._take_clocks(), *(w for each in self._arguments.values() for w in each)]
        self._arguments.clear()
        for wait in waiting:
            if wait._state != PENDING:
                continue
            if not wait.renumber(numbers):
                wait._settle(ERROR, UnknownState("the machine has another schema now, without a state of this wait"))
            elif isinstance(wait, AboutArguments):
                self.add_arguments(wait)
            elif isinstance(wait, AboutClock):
                self.begin(wait)

    def disposed(self, name: str) -> None:
        """Nothing will come true any more, but that it is disposed."""
        waiting: list[Wait] = [*self._take_clocks(), *(w for each in self._arguments.values() for w in each)]
        self._arguments.clear()
        for kind in (AboutQuery, AboutQueue):
            waiting += self.listed(kind)
            self.listed(kind).clear()
        for wait in waiting:
            if wait._state == PENDING:
                error = Disposed(f"{name} was disposed, so what was waited for will not come: {wait!r}")
                wait._settle(ERROR, error)
        self._release(AboutDisposal)
        self.slept()
