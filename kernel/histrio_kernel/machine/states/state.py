"""A state as a program names it: an attribute of a schema's class, with its relations, and typed arguments."""

# Design note
# -----------
# A state object is its own key in the automaton: it is hashed by identity, so a mutation by object costs what a mutation
# by name costs, and one object serves every schema that inherits it. It gets its name when the class body has ended, so
# within the body relations take the objects themselves; text is for states that stand further down.
#
# P and A are the parameters and the class of the arguments. `State(FetchArgs)` is called like `FetchArgs`, and what comes
# of the call is what a mutation takes: type checkers see a wrong argument where it is written.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, Generic, Literal, ParamSpec, TypeAlias, TypeVar, cast, final, overload

import attrs

from histrio_kernel.machine.core.errors import SchemaError
from histrio_kernel.machine.core.handlers import Kind
from histrio_kernel.machine.core.schema import Definition
from histrio_kernel.machine.core.transition import Arguments, Transition
from histrio_kernel.machine.states.arguments import ArgumentsOf
from histrio_kernel.machine.states.base import BaseState, Relatives, checked_relatives, checked_tags
from histrio_kernel.machine.states.marks import mark

__all__ = [
    "AnyState",
    "BaseState",
    "Called",
    "State",
    "StateGroup",
    "StateLike",
    "any_state",
    "exclusive",
    "group",
]

P = ParamSpec("P")
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
S = TypeVar("S")
R = TypeVar("R", bound="Awaitable[None] | None")


@final
@attrs.frozen(eq=False)
class Called(Generic[A_co]):
    """A state with arguments, as a mutation takes it: `Download.fetched(data=b"")` makes one."""

    state: BaseState
    args: A_co


StateLike: TypeAlias = "BaseState | Called[object] | str"
"""What names a state in a call of a machine: the object, the object with arguments, or the name."""


@final
class State(BaseState, Generic[P, A]):
    """One state of a schema; write it as an attribute of a subclass of `States`.

    Args:
        args: the class of its arguments, an attrs class for example; None if it has none.
        auto: the machine calls it by itself whenever it is inactive and no active state removes it.
        multi: a call of it while it is active is an activation of its own, which ticks twice and runs its handlers;
            "keep": such a call leaves scope and task alone, and calls the sync `entered` handlers only.
        require: states that must be active while it is.
        add: states that come with it.
        remove: states that leave when it comes. Of two that remove each other, the one called last wins.
        after: states whose handlers run before its own.
        quiet: adding it alone starts no auto states: a heartbeat.
        tags: words for whoever reads the schema.
        until_done: it leaves when its task has returned.

    Raises:
        SchemaError: a relation is no list of states.

    Examples:
        >>> import attrs
        >>> from histrio_kernel.machine.states.family import States
        >>> @attrs.frozen
        ... class Page:
        ...     url: str
        >>> class Download(States):
        ...     fetching = State(Page)
        ...     idle = State(auto=True)
        ...     exclusive(idle, fetching)
        >>> Download.fetching(url="x")
        Called(state=<State Download.fetching>, args=Page(url='x'))
    """

    __slots__ = ()

    @overload
    def __init__(
        self: State[[], None],
        args: None = None,
        /,
        *,
        auto: bool = False,
        multi: bool | Literal["keep"] = False,
        require: Relatives = (),
        add: Relatives = (),
        remove: Relatives = (),
        after: Relatives = (),
        quiet: bool = False,
        tags: Iterable[str] = (),
        until_done: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self,
        args: Callable[P, A],
        /,
        *,
        auto: bool = False,
        multi: bool | Literal["keep"] = False,
        require: Relatives = (),
        add: Relatives = (),
        remove: Relatives = (),
        after: Relatives = (),
        quiet: bool = False,
        tags: Iterable[str] = (),
        until_done: bool = False,
    ) -> None: ...
    def __init__(
        self,
        args: Callable[P, A] | None = None,
        /,
        *,
        auto: bool = False,
        multi: bool | Literal["keep"] = False,
        require: Relatives = (),
        add: Relatives = (),
        remove: Relatives = (),
        after: Relatives = (),
        quiet: bool = False,
        tags: Iterable[str] = (),
        until_done: bool = False,
    ) -> None:
        if args is not None and not callable(args):
            raise SchemaError(f"a state has a class of arguments, as in State(FetchArgs), not {args!r}; or none")
        if multi not in (True, False, "keep"):
            raise SchemaError(f"multi is {multi!r}: it must be True, False or 'keep'")
        definition = Definition(
            auto=auto,
            multi=bool(multi),
            keep=multi == "keep",
            quiet=quiet,
            tags=checked_tags(tags),
            until_done=until_done,
        )
        super().__init__(definition, None if args is None else ArgumentsOf(args))
        given = {"require": require, "add": add, "remove": remove, "after": after}
        self.relatives = {kind: checked_relatives(relatives, kind) for kind, relatives in given.items()}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Called[A]:
        """The state with these arguments, for a mutation.

        Raises:
            TypeError: they do not fit the class of its arguments; the message names the state.
        """
        if self.arguments is None:
            if args or kwargs:
                raise TypeError(f"{self.owner}.{self.name} takes no arguments: give it a class of them, State(Args)")
            return Called(self, cast(A, None))
        return Called(self, cast(A, self.arguments.make(f"{self.owner}.{self.name}", args, kwargs)))

    def args_in(self, transition: Transition[object]) -> A | None:
        """The arguments that the mutation of a transition has for this state; None if it has none."""
        args = transition.mutation.args
        return cast("A | None", args.get(self.name)) if isinstance(args, Arguments) else None

    # -- handlers --------------------------------------------------------------------------------------------------------

    def may_enter(
        self, handler: Callable[[S, Transition[A]], bool | None]
    ) -> Callable[[S, Transition[A]], bool | None]:
        """Mark a method that is asked before this state enters. It must be sync; only False vetoes."""
        return mark(handler, Kind.MAY_ENTER, self)

    def may_exit(self, handler: Callable[[S, Transition[A]], bool | None]) -> Callable[[S, Transition[A]], bool | None]:
        """Mark a method that is asked before this state leaves. It must be sync; only False vetoes."""
        return mark(handler, Kind.MAY_EXIT, self)

    def stays(self, handler: Callable[[S, Transition[A]], bool | None]) -> Callable[[S, Transition[A]], bool | None]:
        """Mark a method that is asked when this state is active and stays so, in an add or set; only False vetoes."""
        return mark(handler, Kind.STAYS, self)

    def beside(
        self, target: BaseState
    ) -> Callable[[Callable[[S, Transition[object]], bool | None]], Callable[[S, Transition[object]], bool | None]]:
        """Mark a method that is asked when this state is active and *target* would be, also when both stay."""

        def decorate(
            handler: Callable[[S, Transition[object]], bool | None],
        ) -> Callable[[S, Transition[object]], bool | None]:
            return mark(handler, Kind.BESIDE, target, first=self)

        return decorate

    @overload
    def entered(self, handler: Callable[[S, Transition[A]], R], /) -> Callable[[S, Transition[A]], R]: ...
    @overload
    def entered(
        self, /, *, deadline_s: float
    ) -> Callable[[Callable[[S, Transition[A]], Awaitable[None]]], Callable[[S, Transition[A]], Awaitable[None]]]: ...
    def entered(self, handler: object = None, /, *, deadline_s: float | None = None) -> object:
        """Mark a method that is told that this state has entered.

        A sync one is part of the transition. An async one is the state's task: it starts when the transition is
        accepted and the sync handlers are over, and is cancelled when the activation ends. With *deadline_s* it is
        cancelled after so many seconds of the system's clock, which is an error of it (`HandlerTooSlow`).
        """
        return _final_mark(handler, Kind.ENTERED, self, deadline_s)

    @overload
    def exited(self, handler: Callable[[S, Transition[A]], R], /) -> Callable[[S, Transition[A]], R]: ...
    @overload
    def exited(
        self, /, *, deadline_s: float
    ) -> Callable[[Callable[[S, Transition[A]], Awaitable[None]]], Callable[[S, Transition[A]], Awaitable[None]]]: ...
    def exited(self, handler: object = None, /, *, deadline_s: float | None = None) -> object:
        """Mark a method that is told that this state has left.

        A sync one is part of the transition. An async one runs when all work of the activation has ended; the task of
        the next activation starts after it.
        """
        return _final_mark(handler, Kind.EXITED, self, deadline_s)


def _final_mark(handler: object, kind: Kind, state: BaseState, deadline_s: float | None) -> object:
    """The mark, or the decorator that sets it."""
    if handler is not None:
        return mark(cast("Callable[..., object]", handler), kind, state)
    if deadline_s is None:
        raise SchemaError(f"the mark {kind.value!r} of {state!r} takes a method or a deadline: leave out the brackets")
    if not deadline_s > 0:
        raise SchemaError(f"deadline_s of {state!r} is {deadline_s!r}: it must be seconds, more than 0")

    def decorate(handler: Callable[..., object]) -> Callable[..., object]:
        return mark(handler, kind, state, deadline_s=deadline_s)

    return decorate


@final
class AnyState:
    """Stands for all states in two marks: `any_state.may_enter` and `any_state.entered`."""

    __slots__ = ()

    def may_enter(
        self, handler: Callable[[S, Transition[object]], bool | None]
    ) -> Callable[[S, Transition[object]], bool | None]:
        """Mark a method that is asked last, in every transition. It must be sync; only False vetoes."""
        return mark(handler, Kind.ANY_MAY_ENTER)

    def entered(self, handler: Callable[[S, Transition[object]], None]) -> Callable[[S, Transition[object]], None]:
        """Mark a method that is told last, in every transition in which all went well. It must be sync."""
        return mark(handler, Kind.ANY_ENTERED)

    def __repr__(self) -> str:
        return "any_state"


any_state: Final = AnyState()


@final
class StateGroup:
    """Some states of a schema under one name, as in `busy = group(connecting, fetching)`; iterate over it."""

    __slots__ = ("_states", "name")

    def __init__(self, states: Iterable[BaseState]) -> None:
        self.name = ""
        self._states: Final = tuple(dict.fromkeys(states))

    def __set_name__(self, owner: type, name: str) -> None:
        """It is an attribute of a class now."""
        self.name = self.name or name

    def __iter__(self) -> Iterator[BaseState]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, state: object) -> bool:
        return state in self._states

    def __repr__(self) -> str:
        return f"<StateGroup {self.name}: {', '.join(state.name for state in self._states)}>"


def group(*states: BaseState | StateGroup) -> StateGroup:
    """Some states of a schema under one name, for `machine.switch`, `machine.any(*group)` and readers."""
    for each in states:
        if not isinstance(cast(object, each), BaseState | StateGroup):
            raise SchemaError(f"'group' takes states, and groups of them; got {each!r}")
    return StateGroup(state for each in states for state in (each if isinstance(each, StateGroup) else (each,)))


def exclusive(*states: BaseState) -> None:
    """At most one of these is active: each removes all the others. Write it below them in the class body.

    Raises:
        SchemaError: one of them is no state; or two of them are inherited, and their class is complete.
    """
    for state in states:
        if not isinstance(cast(object, state), BaseState):
            raise SchemaError(f"'exclusive' takes states, got {state!r}")
    for state in states:
        for other in states:
            if other is not state:
                _make_remove(state, other)


def _make_remove(state: BaseState, other: BaseState) -> None:
    """The one removes the other, in the class that is being written: what is inherited is not touched."""
    if not state.name:
        state.removes.append(other)
    elif not other.name:
        other.removed_by.append(state)
    elif other.name not in state.define().remove:
        raise SchemaError(
            f"{state!r} and {other!r} are both inherited, so they cannot be made exclusive here: do that in their "
            "class, or define one of them anew"
        )
