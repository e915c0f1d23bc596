"""A machine as a program holds it: the core's, with waits, and scopes that own what is done while a state is active."""

# Design note
# -----------
# Nothing of the shell exists until it is asked for: a machine without waits, scopes and async handlers is the core's
# machine and two empty slots, and mutating it costs what the core costs. The first that needs it makes the keeper, which
# listens to transitions while there is something to hear for.

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import TypeVar, cast

import trio

from histrio_kernel.errors import HistrioError, raise_interrupt, split_cancelled
from histrio_kernel.futures import PENDING, VALUE, Future, Promise, World
from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.body import BUSY, DISPOSED, DRAIN_MAX, QUEUE_MAX, QUEUED, SLOW_HANDLER_S
from histrio_kernel.machine.core.errors import SchemaError, nearest
from histrio_kernel.machine.core.handlers import HandlerTable
from histrio_kernel.machine.core.machine import Machine as CoreMachine
from histrio_kernel.machine.core.resolve import ADD, REMOVE, Op
from histrio_kernel.machine.core.results import Result
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Arguments, Transition
from histrio_kernel.machine.shell.activations import Activation
from histrio_kernel.machine.shell.errors import Disposed, NotActive
from histrio_kernel.machine.shell.ground import Ground, LooseGround, OwnGround
from histrio_kernel.machine.shell.keeper import Keeper, Mutable
from histrio_kernel.machine.shell.scopes import StateScope
from histrio_kernel.machine.shell.waits import (
    AboutArguments,
    AboutDisposal,
    AboutQuery,
    AboutQueue,
    Active,
    Inactive,
    Ticks,
    Wait,
)
from histrio_kernel.machine.states.base import BaseState
from histrio_kernel.machine.states.family import StatesMeta, schema_of
from histrio_kernel.machine.states.handlers import HandlerSet, handlers_of
from histrio_kernel.machine.states.state import Called, State, StateLike

__all__ = ["Machine"]

A = TypeVar("A")


class Machine(CoreMachine[StateLike], Mutable):
    """The states of one schema, by themselves: `async with Machine(Download) as machine:`.

    It can be mutated, read and waited for without being opened. To open it gives it a nursery, in which the tasks of its
    states run (async handlers); leaving the block disposes of it, ends what runs, waits for the async `exited` handlers,
    and then goes on. An actor has a machine of its own: see `Actor.states`.

    Args:
        states: the class of its states, or a schema.
        name: what sources of mutations, reports and tasks call it.
        queue_max: mutations that may wait; one more from inside a handler raises `QueueFull`.
        drain_max: transitions in one go; one more, and what waits is CANCELED and the machine has an `exception`.
        slow_handler_s: real seconds that the sync handlers of one transition may take before they are reported.

    Examples:
        >>> from histrio_kernel.machine.states.family import States
        >>> from histrio_kernel.machine.states.state import State, exclusive
        >>> class Light(States):
        ...     red = State(auto=True)
        ...     green = State()
        ...     exclusive(red, green)
        >>> light = Machine(Light)
        >>> light.add(Light.green), Light.green in light, light.tick(Light.green)
        (EXECUTED, True, 1)
        >>> light.remove(Light.green), light
        (EXECUTED, <Machine: red>)
    """

    __slots__ = ("_keeper", "_nursery")

    def __init__(
        self,
        states: StatesMeta | Schema | Automaton,
        name: str = "",
        queue_max: int = QUEUE_MAX,
        drain_max: int = DRAIN_MAX,
        slow_handler_s: float = SLOW_HANDLER_S,
    ) -> None:
        given = states if isinstance(states, Automaton) else schema_of(states)
        super().__init__(given, name, queue_max, drain_max, slow_handler_s)
        self._keeper: Keeper | None = None
        self._nursery: AbstractAsyncContextManager[trio.Nursery] | None = None

    # -- mutations with arguments ------------------------------------------------------------------------------------------

    def _given(self, op: Op | None, states: tuple[Hashable, ...]) -> tuple[tuple[Hashable, ...], object] | None:
        """The names and the arguments of states that were called with some.

        Raises:
            TypeError: a state needs arguments and was given none.
        """
        arguments = Arguments()
        is_called = False
        for state in states:
            if type(state) is Called:
                called = cast("Called[object]", state)
                is_called = True
                if called.args is not None:
                    arguments[called.state.name] = called.args
            elif isinstance(state, BaseState) and op is not REMOVE and _lacks_arguments(state):
                if op is None and self.all(*cast("tuple[StateLike, ...]", states)):
                    continue  # the toggle is a remove
                raise TypeError(_needs_arguments(state))
        if not is_called:
            return None
        # By name: an edge by the object is found without a look at the arguments, so it must be of one that needs none.
        names = tuple(cast("Called[object]", each).state.name if type(each) is Called else each for each in states)
        return names, arguments or None

    # -- handlers ------------------------------------------------------------------------------------------------------------

    def bind(self, handlers: object, /, owner: object = None) -> None:
        """Call the marked methods of that object, after those bound before; a `HandlerTable` is called with *owner*.

        Within a transition it counts from the next one on. Async handlers count from the next activation of their state
        on: of one that is active already they get neither the task nor the `exited`. Not a checkpoint.

        Raises:
            SchemaError: it has no marked method, or one for a state that the machine does not have.
        """
        if isinstance(handlers, HandlerTable):
            super().bind(handlers, owner)
            return
        found = handlers_of(type(handlers), self.schema)
        if not found:
            raise SchemaError(
                f"{handlers!r} has no handlers: mark methods of its class, as in `@Download.fetching.entered`"
                + (", and bind an object of it" if isinstance(handlers, type) else "")
            )
        self.bind_set(found, handlers)

    def bind_set(self, handlers: HandlerSet, owner: object) -> None:
        """Call these handlers, with this owner; for those who have collected them already."""
        super().bind(handlers.table, owner)
        keeper = self._open_keeper()
        self._change(lambda _: keeper.bind(handlers, owner))

    def unbind(self, handlers: object, /, owner: object = None) -> None:
        """Call the marked methods of that object no more. Tasks that run go on, and are followed by their async `exited`.

        Within a transition it counts from the next one on. Not a checkpoint.

        Raises:
            ValueError: it is not bound.
        """
        if isinstance(handlers, HandlerTable):
            super().unbind(handlers, owner)
            return
        keeper = self._open_keeper()
        found = keeper.bound(handlers)
        if found is None:
            raise ValueError(f"{handlers!r} is not bound to {self!r}")
        super().unbind(found.table, handlers)
        self._change(lambda _: keeper.unbind(found, handlers))

    def evolve(self, schema: StatesMeta | Schema) -> Result:
        """Go on under another schema; see the core's `evolve`. Scopes of states that are gone end.

        Raises:
            SchemaError: a bound handler is for a state that the new schema does not have.
        """
        new = schema_of(schema)
        for handlers, _ in () if self._keeper is None else self._keeper.bindings:
            for name in (*handlers.entered, *handlers.exited):
                if name not in new.definitions:
                    raise SchemaError(
                        f"the new schema has no state {name!r}, which an async handler is for: {nearest(name, new.names)}"
                    )
        return super().evolve(new)

    # -- waits -----------------------------------------------------------------------------------------------------------------

    def when(self, *states: StateLike) -> Future[Transition | None]:
        """Wait until all of these states are active at once.

        Its value is the transition in which that came true, None if it is true already. Waits are looked at after the
        final handlers of each transition, before the next. A wait ends with its last awaiter, and by `cancel()`, and
        frees its place at once. In a handler of an actor an await of it gives the turn away.

        Raises:
            UnknownState: one of them is none.
            Disposed: from the await: the machine was disposed first.
        """
        keeper = self._keeper or self._open_keeper()
        waits = keeper.waits
        wait = Active(keeper.ground.world, waits, self.automaton.schema.find_all(states))
        if self.flags >= BUSY:
            return self._wait_for(wait)
        waits.begin(wait)  # written out, as in `begin` itself: this is the most common of all waits
        return wait

    def when_not(self, *states: StateLike) -> Future[Transition | None]:
        """Wait until none of these states is active; see `when`."""
        return self._wait_for(Inactive(self._world(), self._open_keeper().waits, self.schema.find_all(states)))

    def when_time(self, ticks: Mapping[StateLike, int]) -> Future[Transition | None]:
        """Wait until every state has come to the tick given for it, or beyond; see `when`."""
        pairs = tuple((self.schema.find(state), tick) for state, tick in ticks.items())
        return self._wait_for(Ticks(self._world(), self._open_keeper().waits, pairs))

    def when_ticks(self, state: StateLike, ticks: int = 2) -> Future[Transition | None]:
        """Wait until a state has ticked so many times more from now; two are one period, gone and come."""
        return self.when_time({state: self.tick(state) + ticks})

    def when_args(
        self, state: State[..., A], match: Callable[[A], bool] | None = None, /, **fields: object
    ) -> Future[Transition | None]:
        """Wait until a state enters with arguments that *match* says yes to, or whose attributes equal *fields*.

        It is never true already: arguments belong to the moment. See `when`.

        Raises:
            TypeError: the arguments of the state have no such attribute; or the state has none.
        """
        known = state.arguments.names if state.arguments is not None else ()
        for name in fields:
            if name not in known:
                hint = nearest(name, known).replace("states", "arguments")
                raise TypeError(f"{state!r} has no argument {name!r}: {hint}")

        def matches(args: object) -> bool:
            fits = all(getattr(args, name) == value for name, value in fields.items())
            return fits and (match is None or match(cast(A, args)))

        wait = AboutArguments(self._world(), self._open_keeper().waits, self.schema.find(state), matches)
        if self._stands(wait):
            wait._waits.add_arguments(wait)
        return wait

    def when_error(self) -> Future[Transition | None]:
        """Wait until the machine has an `exception`; `error`, and the transition's `cause`, tell which. See `when`."""
        return self.when(self.schema.names[self.schema.exception])

    def when_query(self, query: Callable[[], bool]) -> Future[Transition | None]:
        """Wait until a predicate holds, which is asked now and after each transition that moved a clock.

        What it raises is raised in who waits. See `when`.
        """
        wait = AboutQuery(self._world(), self._open_keeper().waits, query)
        if self._stands(wait):
            if not self._may_roll_back():
                wait.look(None)
            if wait._state == PENDING:
                wait._waits.enlist(AboutQuery, wait)
        return wait

    def when_queue_ends(self) -> Future[Transition | None]:
        """Wait until the machine has nothing more to do; from outside of its transitions that is so already.

        Unless an interrupt has left something in its queue: then it waits for the next mutation, which works that off.
        """
        wait = AboutQueue(self._world(), self._open_keeper().waits)
        if not self.flags & (BUSY | QUEUED):
            wait._settle(VALUE, None)
        elif self._stands(wait):
            wait._waits.enlist(AboutQueue, wait)
        return wait

    def when_disposed(self) -> Future[Transition | None]:
        """Wait until the machine is disposed. The one wait that disposal does not fail."""
        wait = AboutDisposal(self._world(), self._open_keeper().waits)
        if self.flags & DISPOSED:
            wait._settle(VALUE, None)
        else:
            wait._waits.enlist(AboutDisposal, wait)
        return wait

    def _wait_for(self, wait: Active | Inactive | Ticks) -> Future[Transition | None]:
        """Let a fresh wait stand where it belongs."""
        if self.flags < BUSY:
            wait._waits.begin(wait)
        elif self._stands(wait):
            if self._may_roll_back():
                wait._waits.begin_later(wait)
            else:
                wait._waits.begin(wait)
        return wait

    def _may_roll_back(self) -> bool:
        """Whether final handlers are being called: what they see has not come true yet."""
        running = self.transition
        return running is not None and running.result is None and running.moved

    def _stands(self, wait: Wait) -> bool:
        """Whether it may still come true."""
        if self.flags & DISPOSED:
            wait.refuse(Disposed(f"{self!r} is disposed, so what was waited for will not come"))
            return False
        return True

    # -- scopes ----------------------------------------------------------------------------------------------------------------

    def scope(self, state: StateLike) -> StateScope:
        """A block that ends with the present activation of a state: `with machine.scope(S) as scope:`.

        When the state leaves, or enters anew, what runs in the block is cancelled, before any final handler is called;
        the block then ends quietly and `scope.ended` is true. Other cancellations go on as usual.

        Raises:
            NotActive: the state is not active.
            Disposed: the machine is disposed.
        """
        return StateScope(self.activation(state))

    def activation(self, state: StateLike) -> Activation:
        """The present activation of a state, to give work to.

        Raises:
            NotActive: the state is not active.
            Disposed: the machine is disposed.
        """
        number = self.schema.find(state)
        name = self.schema.names[number]
        if self.flags & DISPOSED:
            raise Disposed(f"{self!r} is disposed: nothing can belong to its states any more")
        if number not in self.node.members:
            raise NotActive(
                f"{name!r} is not active, so nothing can belong to it: its tick is {self.tick(name)}. Begin it in an "
                f"`entered` handler of {name!r}, or wait for it by `when`"
            )
        return self._open_keeper().activation(name)

    # -- life ------------------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Machine:
        """Give it a nursery. Tasks of states that are active already begin now. Not a checkpoint."""
        keeper = self._open_keeper()
        if self._nursery is not None or not isinstance(keeper.ground, LooseGround):
            raise HistrioError(f"{self!r} has a nursery already: open it once")
        self._nursery = trio.open_nursery()
        keeper.ground = OwnGround(keeper.ground.name, await self._nursery.__aenter__())
        keeper.advance()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Dispose of it, and wait until all that belongs to its states has ended, and their async `exited`.

        An error of the block leaves as it is, also if this wait is cancelled. An interrupt in a task goes before it.
        """
        assert self._nursery is not None
        self.dispose()
        try:
            try:
                await self.wound_down()
            finally:
                await self._nursery.__aexit__(None, None, None)
        except BaseException as ended:
            cancelled, rest = split_cancelled(ended)
            if rest is not None:  # a task's errors are the machine's: this is KeyboardInterrupt, or the like
                own = None if error is None else split_cancelled(error)[1]
                raise_interrupt(rest if own is None else BaseExceptionGroup("also in the block", [rest, own]))
            if error is None and cancelled is not None:
                raise cancelled from None
        finally:
            keeper = self._open_keeper()
            keeper.ground = LooseGround(keeper.ground.name)  # what others do in its states may end still later

    def wound_down(self) -> Future[None]:
        """Completes when nothing of its activations is left, no async `exited` handler either."""
        keeper = self._open_keeper()
        over: Promise[None] = Promise(self._world())
        if keeper.is_empty():
            over.set(None)
        else:
            keeper.on_empty = partial(over.set, None)
        return over

    # ----------------------------------------------------------------------------------------------------------------------------

    def failed(self, error: Exception, state: str | None) -> None:
        """Work of a state has failed; `exception` is called alone where to call the state as well would do harm."""
        super().fail(error, None if state is None or self._cannot_stay(state) else state)

    def _cannot_stay(self, state: str) -> bool:
        """Whether a call of that active state beside `exception` would begin it anew, or is refused."""
        schema = self.schema
        number = schema.index(state)
        if number in schema.multi and number not in schema.keep:
            return True
        called = (state, schema.names[schema.exception])
        return self.automaton.edge(self.automaton.current(self.node), ADD, called)[3].refusal is not None

    def finished(self, state: str) -> None:
        """The task of a state that is active until it is done has returned."""
        super().remove(state)

    def _world(self) -> World:
        return self._open_keeper().ground.world

    def _open_keeper(self) -> Keeper:
        """Its shell, made on first use."""
        if self._keeper is None:
            more = self._more()
            self._keeper = Keeper(self, self, self._ground(more.name))
            self.set_shell(self._keeper)
            self._keeper.rest()
        return self._keeper

    def _ground(self, name: str) -> Ground:
        """What it stands on at first."""
        return LooseGround(name)


def _lacks_arguments(state: BaseState) -> bool:
    """Whether that state cannot enter without arguments that somebody gives."""
    return state.arguments is not None and state.arguments.needs_some


def _needs_arguments(state: BaseState) -> str:
    """What is wrong with a state that was called without its arguments."""
    assert state.arguments is not None
    where, names = f"{state.owner}.{state.name}", ", ".join(f"{name}=..." for name in state.arguments.names)
    return f"{where} needs arguments and was given none: write {where}({names})"
