"""A machine: many states at once, mutated in the caller's turn, with an answer that is true when it is given."""

# Design note
# -----------
# The four mutations below are the hot path of the library, so each is written out: one look-up by the states as they
# were given, one test of the flags, one addition. If a flag is set somebody takes part; `drain_known` gets the move that the
# look-up has found, and is the other hot path.

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, Generic, TypeAlias

from histrio_kernel.machine.core.automaton import Automaton, shared_automaton
from histrio_kernel.machine.core.body import (
    BUSY,
    DISPOSED,
    DRAIN_MAX,
    FAILED,
    HANDLED,
    HEARD,
    QUEUE_MAX,
    SLOW_HANDLER_S,
    TRACED,
    UNTIDY,
    Body,
    More,
)
from histrio_kernel.machine.core.clock import pack, tick_of, unpack, width_of
from histrio_kernel.machine.core.drain import drain, drain_known, note_error
from histrio_kernel.machine.core.errors import MachineBusy
from histrio_kernel.machine.core.evolving import Evolution
from histrio_kernel.machine.core.exporting import Exported, active_of, export_of
from histrio_kernel.machine.core.handlers import HandlerTable
from histrio_kernel.machine.core.moves import Move, Mutation
from histrio_kernel.machine.core.queue import cancel_all, enqueue
from histrio_kernel.machine.core.resolve import ADD, REMOVE, SET, Op
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Result
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.source import source_now
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.variables import K
from histrio_kernel.machine.core.watching import Shell, Tracer

__all__ = ["Machine"]

_Change: TypeAlias = Callable[[More], None]

_GONE: Final = Canceled("the machine is disposed")


class Machine(Body, Generic[K]):
    """The states of one schema, or of an automaton that is shared with other machines.

    Args:
        schema: the schema, or its automaton.
        name: what sources of mutations call it.
        queue_max: mutations that may wait; one more from inside a handler raises `QueueFull`.
        drain_max: transitions in one go; one more, and what waits is CANCELED and the machine has an `exception`.
        slow_handler_s: real time that the handlers of one transition may take; if it was more, the shell's `slow` is told.

    Examples:
        >>> machine = Machine(Schema.from_data({"wet": {"remove": ["dry"]}, "dry": {"auto": True, "remove": ["wet"]}}))
        >>> machine.add("wet"), "wet" in machine, machine.tick("wet")
        (EXECUTED, True, 1)
        >>> machine.remove("wet"), machine
        (EXECUTED, <Machine: dry>)
    """

    __slots__ = ()

    def __init__(
        self,
        schema: Schema | Automaton,
        name: str = "",
        queue_max: int = QUEUE_MAX,
        drain_max: int = DRAIN_MAX,
        slow_handler_s: float = SLOW_HANDLER_S,
    ) -> None:
        super().__init__(schema if isinstance(schema, Automaton) else shared_automaton(schema))
        if name or (queue_max, drain_max, slow_handler_s) != (QUEUE_MAX, DRAIN_MAX, SLOW_HANDLER_S):
            self.more = More(name, queue_max, drain_max, slow_handler_s)

    def __repr__(self) -> str:
        return f"<Machine: {self.schema.spell(self.node.active) or 'nothing active'}>"

    # -- mutations -----------------------------------------------------------------------------------------------------

    def add(self, *states: K, args: object = None) -> Result:
        """Make these states active, those called first before what is active.

        Returns:
            EXECUTED, CANCELED with the reason, or from inside a handler or tracer `Queued`.

        Raises:
            UnknownState: one of them is none.
            QueueFull: from inside a handler or tracer, and too many wait.
        """
        edge = self.node.add.get(states)
        if edge is None:
            return self._mutate(ADD, states, args)
        flags = self.flags
        if flags:
            return drain_known(self, edge, states, args) if flags < BUSY else self._later(edge[3], states, args)
        self.node, delta, result, _, _ = edge
        self.clock += delta
        return result

    def remove(self, *states: K, args: object = None) -> Result:
        """Make these states inactive; see `add`. From inside a handler it is EXECUTED at once if nothing waits and none
        of them is active or about to be.
        """
        edge = self.node.remove.get(states)
        if edge is None:
            return self._mutate(REMOVE, states, args)
        flags = self.flags
        if flags:
            return drain_known(self, edge, states, args) if flags < BUSY else self._later(edge[3], states, args)
        self.node, delta, result, _, _ = edge
        self.clock += delta
        return result

    def set(self, *states: K, args: object = None) -> Result:
        """Make these states, and what they imply, the only active ones; see `add`."""
        edge = self.node.set.get(states)
        if edge is None:
            return self._mutate(SET, states, args)
        flags = self.flags
        if flags:
            return drain_known(self, edge, states, args) if flags < BUSY else self._later(edge[3], states, args)
        self.node, delta, result, _, _ = edge
        self.clock += delta
        return result

    def toggle(self, *states: K, args: object = None) -> Result:
        """Remove these states if all are active now, else add them; see `add`."""
        edge = self.node.toggle.get(states)
        if edge is None:
            return self._mutate(None, states, args)
        flags = self.flags
        if flags:
            return drain_known(self, edge, states, args) if flags < BUSY else self._later(edge[3], states, args)
        self.node, delta, result, _, _ = edge
        self.clock += delta
        return result

    def can_add(self, *states: K, args: object = None) -> Result:
        """What `add` would come to: relations and negotiation handlers are asked, with `transition.dry`."""
        return self._dry_run(ADD, states, args)

    def can_remove(self, *states: K, args: object = None) -> Result:
        """What `remove` would come to; see `can_add`."""
        return self._dry_run(REMOVE, states, args)

    def fail(self, error: Exception, state: K | None = None) -> Result:
        """Add `exception`, behind `state` if one is given, because of this error.

        `machine.error` holds it from now until `exception` ends, also if the relations or a handler refuse it; then
        the shell's `unclaimed` gets it too. It passes a full queue.
        """
        if not isinstance(error, Exception):  # pyright: ignore[reportUnnecessaryIsInstance] - Cancelled is caught so
            raise TypeError(f"{error!r} is no error of a program: only an Exception can become a state of a machine")
        exception = self.schema.exception
        called = self.schema.find_all((exception,) if state is None else (state, exception))
        more = self._more()
        if self.flags & DISPOSED:
            more.shell.unclaimed(error, None)
            return _GONE
        note_error(self, more, error)
        mutation = Mutation(ADD, called, called, source=source_now())
        mutation.cause = error
        return self._submit(more, mutation)

    def evolve(self, schema: Schema) -> Result:
        """Go on under another schema. States that both have keep their ticks; active ones that are gone leave; the rest
        is resolved under the new relations, and what does not fit any more leaves with its final handlers.

        Raises:
            SchemaError: a bound handler is for a state that the new schema does not have.
        """
        shared_automaton(schema, self.automaton.tables, self.automaton.edges_max)  # raises here, now
        more = self._more()
        if self.flags & DISPOSED:
            return _GONE
        return self._submit(more, Evolution(schema, source_now()))

    def dispose(self) -> None:
        """Take no more mutations. What waits is CANCELED; a transition that runs goes on to its end."""
        if self.flags & DISPOSED:
            return
        more = self._more()
        self.flags |= DISPOSED
        cancel_all(more, _GONE.reason)
        more.tell(more.on.disposed)
        more.shell.disposed()

    def _mutate(self, op: Op | None, states: tuple[Hashable, ...], args: object) -> Result:
        """A mutation for which no edge is known by these keys."""
        if args is None:
            given = self._given(op, states)
            if given is not None:
                states, args = given
        edge = self.automaton.edge(self.automaton.current(self.node), op, states)
        flags = self.flags
        if flags:
            return drain_known(self, edge, states, args) if flags < BUSY else self._later(edge[3], states, args)
        self.node, delta, result, _, _ = edge
        self.clock += delta
        return result

    def _given(self, op: Op | None, states: tuple[Hashable, ...]) -> tuple[tuple[Hashable, ...], object] | None:
        """What those states stand for that a front door has given arguments: their keys, and the arguments.

        It is asked for keys that no edge is known for. `op` None is a toggle.
        """
        return None

    def _later(self, move: Move, states: tuple[Hashable, ...], args: object) -> Result:
        """A mutation before which something else must be done, or which will never be."""
        more = self._more()
        if self.flags & DISPOSED:
            return _GONE
        if self.flags & BUSY and move.op is REMOVE and self._is_out(move.called, more):
            return EXECUTED
        return self._submit(more, Mutation(move.op, states, move.called, args, source_now()))

    def _submit(self, more: More, mutation: Mutation) -> Result:
        """Run a mutation now, or let it wait if one runs."""
        if not self.flags & BUSY:
            return drain(self, more, mutation)
        queued = enqueue(more, self.schema, mutation)
        if more.on.queued and queued.is_new:
            more.tell(more.on.queued, mutation)
        return queued

    def _dry_run(self, op: Op, states: tuple[Hashable, ...], args: object) -> Result:
        """Ask the relations, and the handlers if there are any."""
        given = self._given(op, states) if args is None else None
        if given is not None:
            states, args = given
        move = self.automaton.edge(self.automaton.current(self.node), op, states)[3]
        if not self.flags:
            return EXECUTED if move.refusal is None else move.refusal
        if self.flags & DISPOSED:
            return _GONE
        return self._submit(self._more(), Mutation(op, states, move.called, args, source_now(), dry=True))

    def _is_out(self, called: tuple[int, ...], more: More) -> bool:
        """Whether a remove has nothing to do: its states are not active nor about to be, and nothing waits."""
        if more.queue or not self.node.members.isdisjoint(called):
            return False
        running = more.here.transition
        if running is None or running.result is not None or running.dry:
            return True
        return running.move.after.members.isdisjoint(called)

    def _more(self) -> More:
        """What a plain machine does without."""
        if self.more is None:
            self.more = More()
        return self.more

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What reports, logs and the sources of mutations call it."""
        return "" if self.more is None else self.more.name

    @property
    def tracers(self) -> tuple[Tracer, ...]:
        """Those that are attached, in the order of attachment."""
        return () if self.more is None else self.more.tracers

    @property
    def schema(self) -> Schema:
        """Its states and relations."""
        return self.automaton.schema

    @property
    def active(self) -> tuple[int, ...]:
        """The numbers of the active states, in the order of the last resolution."""
        return self.node.active

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the active states, in that order."""
        return tuple(self.schema.names[state] for state in self.node.active)

    @property
    def time(self) -> tuple[int, ...]:
        """The ticks of all states, in the order of the schema."""
        return unpack(self.clock, len(self.schema))

    def tick(self, state: K) -> int:
        """How often that state has been begun and ended; odd while it is active."""
        return tick_of(self.clock, self.schema.find(state))

    def __contains__(self, state: Hashable) -> bool:
        return self.schema.find(state) in self.node.members

    def all(self, *states: K) -> bool:
        """Whether all of them are active; of none given, yes."""
        return self.node.members.issuperset(self.schema.find_all(states))

    def none(self, *states: K) -> bool:
        """Whether none of them is active."""
        return self.node.members.isdisjoint(self.schema.find_all(states))

    def any(self, *states: K) -> bool:
        """Whether at least one of them is active."""
        return not self.none(*states)

    def was(self, ticks: Mapping[K, int]) -> bool:
        """Whether every state has come to the tick given for it, or beyond."""
        return all(self.tick(state) >= tick for state, tick in ticks.items())

    def switch(self, *groups: Iterable[K]) -> K | None:
        """The first active state of these groups, as it is given there; None if none is."""
        return next((state for group in groups for state in group if state in self), None)

    def pending(self, state: K) -> bool:
        """Whether an add or a set of that state waits in the queue."""
        number = self.schema.find(state)
        queue = () if self.more is None else self.more.queue
        return any(number in each.called and each.op in {ADD, SET} and not each.dry for each in queue)

    @property
    def error(self) -> BaseException | None:
        """What `exception` is active for, or could not become active for."""
        return None if self.more is None else self.more.error

    @property
    def transition(self) -> Transition | None:
        """The one that runs now."""
        return None if self.more is None else self.more.here.transition

    @property
    def is_disposed(self) -> bool:
        """Whether it takes no more mutations."""
        return bool(self.flags & DISPOSED)

    # -- who takes part ------------------------------------------------------------------------------------------------

    def bind(self, table: HandlerTable, /, owner: object = None) -> None:
        """Call the handlers of that table, with this owner, after those bound before.

        Within a transition it counts from the next one on.

        Raises:
            SchemaError: a handler is for an unknown state.
        """
        shared_automaton(self.schema, (*self.automaton.tables, table), self.automaton.edges_max)  # raises here, now
        self._change(lambda more: self._rebind(more, (*self.automaton.tables, table), (*more.owners, owner)))

    def unbind(self, table: HandlerTable, /, owner: object = None) -> None:
        """Call the handlers of that table, with that owner, no more.

        Raises:
            ValueError: they are not bound.
        """
        if self._binding(table, owner) is None:
            raise ValueError(f"{table!r} of {owner!r} is not bound to {self!r}")
        self._change(lambda more: self._unbind(more, table, owner))

    def _binding(self, table: HandlerTable, owner: object) -> int | None:
        """The number of that binding."""
        owners = () if self.more is None else self.more.owners
        bindings = enumerate(zip(self.automaton.tables, owners, strict=True))
        return next((n for n, (each, whose) in bindings if each is table and whose is owner), None)

    def attach(self, tracer: Tracer) -> None:
        """Let a tracer see every step; within a transition, from the next one on."""
        self._change(lambda more: self._retrace(more, (*more.tracers, tracer)))

    def detach(self, tracer: Tracer) -> None:
        """Let a tracer see no more; within a transition, from the next one on."""
        self._change(lambda more: self._retrace(more, tuple(each for each in more.tracers if each is not tracer)))

    def set_shell(self, shell: Shell) -> None:
        """What gives states their scopes and waits; it hears of transitions once it asks to `listen`.

        It hears of all that happens, unless it sets `more.watched`.
        """
        more = self._more()
        more.shell, more.watched = shell, None

    def listen(self, hear: bool) -> None:
        """Whether the shell hears of transitions. It counts at once."""
        self._more()
        self.flags = self.flags | HEARD if hear else self.flags & ~HEARD

    def _change(self, change: _Change) -> None:
        """Do it now, or before the next transition."""
        more = self._more()
        if self.flags & BUSY:
            more.change.append(lambda: change(more))
            self.flags |= UNTIDY
        else:
            change(more)

    def _rebind(self, more: More, tables: tuple[HandlerTable, ...], owners: tuple[object, ...]) -> None:
        """The same states in the automaton of other tables."""
        self.automaton = shared_automaton(self.schema, tables, self.automaton.edges_max, self.automaton.width)
        self.node = self.automaton.intern(self.node.active)
        more.owners = owners
        self.flags = self.flags | HANDLED if self.automaton.compiled else self.flags & ~HANDLED

    def _unbind(self, more: More, table: HandlerTable, owner: object) -> None:
        """That binding goes."""
        tables, owners = list(self.automaton.tables), list(more.owners)
        number = self._binding(table, owner)
        if number is None:  # it was taken away twice within one transition
            return
        del tables[number], owners[number]
        self._rebind(more, tuple(tables), tuple(owners))

    def _retrace(self, more: More, tracers: tuple[Tracer, ...]) -> None:
        """Other tracers."""
        more.set_tracers(tracers)
        self.flags = self.flags | TRACED if tracers else self.flags & ~TRACED

    # -- beyond one life -----------------------------------------------------------------------------------------------

    def export(self) -> Exported:
        """Its states and ticks, as plain data."""
        return export_of(self.schema, self.node.active, self.time)

    def load(self, exported: Exported) -> None:
        """Take over what another machine with the same states exported. No handler runs, no queue is touched.

        Raises:
            ImportRefused: it is of other states, or contradicts itself; nothing has changed.
            MachineBusy: from inside a transition.
        """
        if self.flags & BUSY:
            raise MachineBusy("a machine cannot be imported into from inside one of its transitions: do it after")
        active = active_of(self.schema, exported)
        ticks = dict(zip(exported.states, exported.ticks, strict=True))
        before = self.clock
        self.clock = pack(ticks[name] for name in self.schema.names)
        if width_of(self.clock) != self.automaton.width:
            tables, edges_max = self.automaton.tables, self.automaton.edges_max
            self.automaton = shared_automaton(self.schema, tables, edges_max, width_of(self.clock))
        self.node = self.automaton.intern(active)
        ticked = tuple(s for s in range(len(self.schema)) if tick_of(before, s) != tick_of(self.clock, s))
        more = self._more()
        if self.flags & FAILED and self.schema.exception not in self.node.members:
            more.error = None
            self.flags &= ~FAILED
        more.shell.imported(ticked)
