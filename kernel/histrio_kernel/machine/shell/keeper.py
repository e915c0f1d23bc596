"""What hears of a machine's transitions: it ends and begins activations, looks at waits, and tells of trouble."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Final, final

from histrio_kernel.machine.core.body import DISPOSED, HEARD, Body
from histrio_kernel.machine.core.handlers import Kind
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.source import ORIGIN, Source
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Shell, Tracer
from histrio_kernel.machine.shell.activations import Activation, Line, Pair
from histrio_kernel.machine.shell.errors import SlowHandler, TracerFailed, UnclaimedError
from histrio_kernel.machine.shell.ground import Ground
from histrio_kernel.machine.shell.tasks import ExitTask, StateTask
from histrio_kernel.machine.shell.waits import Waits
from histrio_kernel.machine.states.handlers import HandlerSet

__all__ = ["Keeper", "Mutable"]

Bindings = tuple[tuple[HandlerSet, object], ...]
"""The handlers that are bound, with their objects, in the order of the bindings."""


class Mutable:
    """What the keeper does to its machine."""

    __slots__ = ()

    def failed(self, error: Exception, state: str | None) -> None:
        """Work of a state has failed; `state` if it is still active."""
        raise NotImplementedError

    def finished(self, state: str) -> None:
        """The task of a state that is active until it is done has returned."""
        raise NotImplementedError


@final
class Keeper(Shell):
    """The shell of one machine. It listens only while there is something to hear for."""

    __slots__ = ("_body", "_has_tasks", "_lines", "_machine", "_pairs", "bindings", "ground", "on_empty", "waits")

    def __init__(self, body: Body, machine: Mutable, ground: Ground) -> None:
        self._body: Final = body
        self._machine: Final = machine
        self._lines: Final[dict[str, Line]] = {}
        self.ground = ground
        self.bindings: Bindings = ()
        self._has_tasks = False
        """Whether states have async handlers."""
        self._pairs: dict[str, tuple[Pair, ...]] | None = None
        """Those of the states that have entered since the bindings changed."""
        self.waits: Final = Waits(body, self.rest)
        self.on_empty: Callable[[], None] | None = None
        """Called when no activation is left, once the machine is disposed."""

    # -- whether there is something to hear for --------------------------------------------------------------------------

    def wake(self) -> None:
        """There is, whatever happens."""
        self._body.flags |= HEARD
        self.waits.attend_to_all()

    def rest(self) -> None:
        """Perhaps there is nothing any more, or of some states only."""
        if not self._lines and not self._has_tasks:
            self.waits.attend_to_watched()
            if not self.waits:
                self._body.flags &= ~HEARD

    def bind(self, handlers: HandlerSet, owner: object) -> None:
        """These handlers are bound, too."""
        self._set_bindings((*self.bindings, (handlers, owner)))

    def unbind(self, handlers: HandlerSet, owner: object) -> None:
        """These are not any more."""
        bindings = list(self.bindings)
        for number, (each, whose) in enumerate(bindings):
            if each is handlers and whose is owner:
                del bindings[number]
                break
        self._set_bindings(tuple(bindings))

    def bound(self, owner: object) -> HandlerSet | None:
        """The handlers that are bound with that object as their owner: those bound first."""
        return next((handlers for handlers, whose in self.bindings if whose is owner), None)

    def _set_bindings(self, bindings: Bindings) -> None:
        self.bindings = bindings
        self._pairs = None
        self._has_tasks = any(handlers.entered or handlers.exited for handlers, _ in bindings)
        if self._has_tasks:
            self.wake()
        else:
            self.rest()

    # -- activations -----------------------------------------------------------------------------------------------------

    def activation(self, state: str) -> Activation:
        """The current activation of a state that is active."""
        line = self._line(state)
        self.wake()
        return line.current or line.enter(None, ())

    def _line(self, state: str) -> Line:
        line = self._lines.get(state)
        if line is None:
            line = self._lines[state] = Line(state, self)
        return line

    def _pairs_of(self, state: str) -> tuple[Pair, ...]:
        """The async handlers of a state, in the order of the bindings."""
        known = self._pairs = {} if self._pairs is None else self._pairs
        pairs = known.get(state)
        if pairs is None:
            found = ((each.entered.get(state), each.exited.get(state), owner) for each, owner in self.bindings)
            pairs = tuple(Pair(*each) for each in found if each[0] is not None or each[1] is not None)
            known[state] = pairs
        return pairs

    def begin(self, activation: Activation) -> bool:
        """Start the tasks of an activation."""
        tasks = [(pair, pair.entered) for pair in activation.pairs if pair.entered is not None]
        returned = _After(len(tasks), partial(self._returned, activation))
        for pair, handler in tasks:
            assert activation.transition is not None
            work = StateTask(activation, pair, handler, self.ground, returned)
            context = self._context(activation.transition)
            if not self.ground.start(context, work.run, f"{self.ground.name}: {activation.name}"):
                activation.works.pop(work)
                return False
        activation.begun.update(pair for pair in activation.pairs if pair.entered is None)
        return True

    def close(self, activation: Activation, name: str, then: Callable[[], None]) -> bool:
        """Run the async `exited` handlers."""
        pairs, transition = activation.to_close(), activation.exit or activation.transition
        if not pairs or transition is None:
            return False
        work = ExitTask(transition, pairs, self.ground, partial(self.failed, None, still=False), then)
        return self.ground.start(self._context(transition), work.run, f"{self.ground.name}: {name} exited")

    def _context(self, transition: Transition[object]) -> Context:
        """What a task begins in: the ground's context, and where its mutations come from."""
        more = self._body.more
        source: Source = transition.as_source("" if more is None else more.name)
        context = self.ground.base()
        context.run(ORIGIN.set, source)
        return context

    def failed(self, state: str | None, error: BaseException, still: bool) -> None:
        """A task has raised."""
        assert isinstance(error, Exception)
        self._machine.failed(error, state if still else None)

    def _returned(self, activation: Activation) -> None:
        """All tasks of an activation have returned."""
        state = activation.name
        schema = self._body.automaton.schema
        if not activation.is_over and state in schema.definitions and schema.index(state) in schema.until_done:
            self._machine.finished(state)

    def advance(self) -> None:
        """Tasks can be started from now on, perhaps."""
        for line in tuple(self._lines.values()):
            line.advance()

    def is_empty(self) -> bool:
        """Whether no activation has anything left."""
        return not any(self._lines.values())

    def emptied(self, line: Line) -> None:
        """No activation of a state has anything left."""
        if self._lines.get(line.name) is line:
            del self._lines[line.name]
            self.rest()
            if self.on_empty is not None and self.is_empty():
                self.on_empty()

    # -- transitions -----------------------------------------------------------------------------------------------------

    def moved(self, transition: Transition[object]) -> None:
        """Scopes of what left or entered anew end, before any final handler."""
        if self._body.flags & DISPOSED or (not self._lines and not self._has_tasks):
            return
        schema, move = transition.schema, transition.move
        before = move.before.members
        for state in move.exits:
            self._leave(schema.names[state], transition)
        for state in move.enters:
            if state in before and state in schema.keep:
                continue
            name = schema.names[state]
            self._leave(name, transition)
            pairs = self._pairs_of(name)
            if pairs:
                self._line(name).enter(transition, pairs)

    def _leave(self, state: str, transition: Transition[object] | None) -> None:
        """The present activation of that state is over."""
        line = self._lines.get(state)
        if line is not None:
            line.leave(transition)

    def rolled_back(self, transition: Transition[object]) -> None:
        """Scopes of what left again end; a task that has not started never starts."""
        for state in transition.rolled_back:
            self._leave(transition.schema.names[state], transition)

    def settled(self, transition: Transition[object]) -> None:
        """Tasks of what has entered start; waits are looked at."""
        move = transition.move
        if self._lines:
            names = transition.schema.names
            for state in move.enters:
                line = self._lines.get(names[state])
                if line is not None:
                    line.settled(transition)
        self.waits.settled(transition)

    def excepted(self, error: BaseException, transition: Transition[object]) -> None:
        """The machine has an `exception`: if no handler of any binding takes it, the ground must know (M8)."""
        exception = transition.schema.exception
        if self._body.automaton.compiled.find(Kind.ENTERED, exception) is not None:
            return
        name = transition.schema.names[exception]
        if not any(name in handlers.entered for handlers, _ in self.bindings):
            self.ground.unhandled(error)

    def queue_ended(self) -> None:
        """Nothing waits any more."""
        self.waits.queue_ended()

    def imported(self, ticked: tuple[int, ...]) -> None:
        """Scopes end of the states whose tick changed."""
        names = self._body.automaton.schema.names
        for state in ticked:
            self._leave(names[state], None)
        self.waits.imported()

    def evolved(self, old: Schema, new: Schema) -> None:
        """The machine has another schema: what is gone has left."""
        for name in old.names:
            if name not in new.definitions:
                self._leave(name, None)
        self.waits.evolved(old, new)

    def disposed(self) -> None:
        """All activations end, those of what entered last first; waits will not come true any more."""
        assert self._body.flags & DISPOSED
        for name in tuple(reversed(self._lines)):
            self._leave(name, None)
        self.waits.disposed(self.ground.name)

    # -- trouble -----------------------------------------------------------------------------------------------------------

    def unclaimed(self, error: BaseException, transition: Transition[object] | None) -> None:
        """An error that did not become the machine's `exception`."""
        self.ground.report(UnclaimedError(f"{self.ground.name}: {transition!r}", error))

    def tracer_failed(self, tracer: Tracer, error: Exception) -> None:
        """A tracer raised and has been detached."""
        self.ground.report(TracerFailed(f"{self.ground.name}: the tracer {tracer!r}", error))

    def slow(self, transition: Transition[object], seconds: float) -> None:
        """The sync handlers of a transition have held everybody up."""
        self.ground.report(
            SlowHandler(
                f"{self.ground.name}: the handlers of {transition!r} took {seconds:.3f} s. A sync handler is part of the "
                "transition and holds everybody up: what takes long belongs into an async `entered`"
            )
        )


@final
class _After:
    """Calls once when it has been called so many times."""

    __slots__ = ("_call", "_left")

    def __init__(self, left: int, call: Callable[[], None]) -> None:
        self._left = left
        self._call: Final = call

    def __call__(self) -> None:
        self._left -= 1
        if not self._left:
            self._call()
