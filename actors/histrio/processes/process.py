"""A process is a unit of work that has states and is advanced until it is done; what it is told comes past its inbox."""

# Design note
# -----------
# A `Process` is an actor whose `run()` is a loop of advances, so all that is promised of actors holds for it: it is
# spawned, supervised, joined, monitored and killed as they are. It takes no messages. What it needs from others it
# asks for, and waits.
#
# A state changes when an advance has returned, and only there. So an advance that fails, is killed, or is cut off and
# made again has left the state as it was, and whoever watches sees every state, once, in order.

from __future__ import annotations

import enum
import inspect
from types import FunctionType
from typing import ClassVar, Final, Generic, Protocol, TypeVar, cast, final

from trio.lowlevel import disable_ki_protection

from histrio.actor import Actor, cell_of
from histrio.fixed import FixedMethod, FixedProperty, FixedValue
from histrio.processes.declared import check_settings, in_brackets, initial_of
from histrio.processes.errors import WrongAdvance
from histrio.processes.loop import Loop
from histrio.processes.moves import Drive, Next, To, Wait
from histrio.processes.pulse import Pulse
from histrio_kernel.bounds import bound
from histrio_kernel.engine import Engine
from histrio_kernel.errors import Reason, shown
from histrio_kernel.futures import Future
from histrio_kernel.lane import Lane
from histrio_kernel.machine.states.family import StatesMeta

__all__ = ["NoMessage", "Process"]

S = TypeVar("S", bound=enum.Enum)
T = TypeVar("T")


@final
class NoMessage:
    """What a process can be told: nothing. There is no object of this class."""

    def __init__(self) -> None:
        raise TypeError("a histrio.Process takes no messages, so there is none to make; see its control")


class Process(Actor[NoMessage], Generic[S, T]):
    """A unit of work with states of type `S`, an Enum, and a result of type `T`, advanced until it is done.

    `advance` does one piece of the work and says how it goes on: `self.to(state)` in another state, `self.wait(future)`
    when that is over, or not at all, `Done(value)`. The process begins in the first member of `S`, or in `initial`.

    It is driven from outside, by `ref.control`: `nudge`, `pause`, `resume`, `step`, `stop`, `kill`. These say what is
    wanted, so they may come in any order and at any time. All of them are heard between two advances, and a kill at any
    time. `stop` lets the present advance end. `ref.control.watch_states(S)` tells each state.

    What a class may set, besides what an `Actor` may:

    - `drive`: `FREE` (default) waits for its first nudge and then runs to its end; `STEP` advances once for each nudge.
    - `start`: a FREE process needs no nudge to begin (False).
    - `initial`: the state that it begins in, if not the first.
    - `rerunnable`: an advance may be cancelled and run again, so it can be paused at once: `pause(now=True)` (False).
    - `nudges_max`: how many nudges may wait to be used up, of a STEP process (1024).

    Examples:
        >>> import enum, histrio
        >>> class Step(enum.Enum):
        ...     ADD = enum.auto()
        ...     TELL = enum.auto()
        >>> class Add(histrio.Process[Step, int]):
        ...     def __init__(self, *numbers: int) -> None:
        ...         self.numbers = numbers
        ...     async def advance(self) -> histrio.Next[Step, int]:
        ...         if self.state is Step.ADD:
        ...             self.sum = sum(self.numbers)
        ...             return self.to(Step.TELL)
        ...         return histrio.Done(self.sum)
        >>> async def main(system: histrio.System) -> None:
        ...     add = await system.spawn(Add, 6, 4)
        ...     add.control.nudge()
        ...     print(await add.join(int))
        >>> histrio.run(main)
        10
    """

    __slots__ = ("_histrio_state",)

    drive: ClassVar[Drive] = Drive.FREE
    start: ClassVar[bool] = False
    initial: ClassVar[enum.Enum | None] = None
    rerunnable: ClassVar[bool] = False
    nudges_max: ClassVar[int] = bound("nudges_max")

    __histrio_initial__: ClassVar[enum.Enum | None] = None
    _histrio_state: S

    # -- what a process overrides --------------------------------------------------------------------------------

    async def advance(self) -> Next[S, T]:
        """Do one piece of the work, and return how it goes on. It has the turn, as a handler has.

        A failure fails the process. What it made with `self.io` and did not await goes on, for a later advance.
        """
        raise NotImplementedError(f"{self.ref.path}: {type(self).__qualname__} has no advance()")

    async def killed(self, reason: Reason) -> None:
        """Clean up after a kill or a cancellation: give back what a service outside still holds.

        Runs once `started()` has returned, in whatever phase the kill comes, after the present advance has unwound.
        It is shielded, and itself cancelled when `shutdown_s` has passed since the kill. It has no operations any more,
        `self.io` gives cancelled futures (E4): await the calls themselves. Not called when the process fails, stops or
        is done.
        """

    # -- what an advance uses ------------------------------------------------------------------------------------

    @property
    def state(self) -> S:
        """The state that it is in. It changes when an advance has returned `self.to(...)`."""
        try:
            return self._histrio_state
        except AttributeError:
            return self._first_state()

    def to(self, state: S) -> To[S]:
        """Go on in `state`: `return self.to(State.SENT)`. The next advance follows; watchers hear of a change.

        Raises:
            WrongAdvance: that is none of its states.
        """
        if not isinstance(cast(object, state), type(self.state)):
            raise WrongAdvance(
                cell_of(self, "to").path,
                f"to({shown(state)}): that is no state of {type(self).__qualname__}; its states are"
                f" {', '.join(str(one) for one in type(self.state))}",
            )
        return To(state)

    def wait(self, future: Future[object]) -> Wait:
        """Go on when `future` is over: `return self.wait(future)`. The next advance follows, in the same state.

        It looks at the outcome: `await future` gives it at once, or raises. An operation's error that it does not look
        at fails the process. To wait for several, combine them: `self.wait(histrio.both(a, b))`.

        A process that is paused, stopped or killed while it waits is so at once. A pause leaves the future alone; an
        end gives it up, which cancels an operation and withdraws an ask, unless somebody else awaits it too.

        Raises:
            WrongAdvance: that is no future.
        """
        given = cast(object, future)
        if not isinstance(given, Future):
            hint = "self.io(f, ...) makes one of a call, self.promise() one to complete by hand"
            if inspect.iscoroutine(given):
                given.close()
                hint = "to wait for a call, self.io(f, ...) makes a future of it"
            raise WrongAdvance(cell_of(self, "wait").path, f"wait({shown(given)}): that is no future; {hint}")
        return Wait(future)

    # ------------------------------------------------------------------------------------------------------------

    async def run(self) -> object:
        """Advance until done; see `advance`, which is what a process overrides."""
        cell = cell_of(self, "run")
        pulse = cell.open_lane().driven
        assert isinstance(pulse, Pulse)
        cleans_up = _looked_up(type(self), "killed") is not Process.__dict__["killed"]
        return await Loop(cast("Process[enum.Enum, object]", self), cell, pulse, cleans_up=cleans_up).run()

    def _first_state(self) -> S:
        initial = type(self).__histrio_initial__
        if initial is None:
            raise TypeError(
                f"{type(self).__qualname__} does not say what its states are: class {type(self).__qualname__}"
                "(histrio.Process[State, Result]), where State is an Enum"
            )
        return cast(S, initial)

    def _histrio_enter(self, state: S) -> None:
        _STATE_SLOT.__set__(self, state)

    @classmethod
    def __histrio_driven__(cls, engine: Engine, path: str, lane: Lane) -> Pulse:
        """By what the kernel lets processes of this class be driven: one for each place."""
        return Pulse(
            engine,
            path,
            lane,
            drive=cls.drive,
            start=cls.start,
            nudges_max=cls.nudges_max,
            rerunnable=cls.rerunnable,
        )

    def __init_subclass__(cls, states: StatesMeta | None = None, **kwargs: object) -> None:
        """Check the class and remember what its processes need."""
        for name in _OURS:
            if _looked_up(cls, name) is not Process.__dict__[name]:
                hint = "; what a process does is written as `async def advance(self)`" if name == "run" else ""
                raise TypeError(
                    f"{cls.__qualname__}.{name} belongs to histrio.Process{hint or '; choose another name'}"
                )
        super().__init_subclass__(states, **kwargs)
        for name in _HOOKS:
            hook = _looked_up(cls, name)
            function = hook.__wrapped__ if isinstance(hook, FixedMethod) else hook
            if not inspect.iscoroutinefunction(function):
                raise TypeError(f"{cls.__qualname__}.{name} must be `async def`")
            disable_ki_protection(function)  # user code is interruptible; the loop that calls it is not (A14)
            if function is hook:
                setattr(cls, name, FixedMethod(cast(FunctionType, function), name))
        _check_settings(cast("type[Process[enum.Enum, object]]", cls))
        cls.__histrio_initial__ = _initial(cast("type[Process[enum.Enum, object]]", cls))


class _Slot(Protocol):
    def __set__(self, instance: object, value: object) -> None: ...


_STATE_SLOT: Final = cast(_Slot, Process.__dict__["_histrio_state"])
_OURS: Final = ("run", "state", "to", "wait")
_HOOKS: Final = ("advance", "killed")
_SETTINGS: Final = ("drive", "start", "initial", "rerunnable", "nudges_max")


def _fix_names() -> None:
    """Assigning over a name of a process raises at once (A18)."""
    for name in ("to", "wait", *_HOOKS):
        setattr(Process, name, FixedMethod(cast(FunctionType, Process.__dict__[name]), name))
    setattr(Process, "state", FixedProperty(cast(property, Process.__dict__["state"]).fget))  # noqa: B010 - read-only
    for name in _SETTINGS:
        setattr(Process, name, FixedValue(Process.__dict__[name], name))


def _looked_up(cls: type, name: str) -> object:
    """What `name` finds in `cls` and its bases, without calling a descriptor."""
    return next(base.__dict__[name] for base in cls.__mro__ if name in base.__dict__)


def _check_settings(cls: type[Process[enum.Enum, object]]) -> None:
    """Refuse a setting that is not what it must be, and fix the others."""
    check_settings(
        cls.__qualname__, drive=cls.drive, start=cls.start, rerunnable=cls.rerunnable, nudges_max=cls.nudges_max
    )
    for name in _SETTINGS:
        member = _looked_up(cls, name)
        if not isinstance(member, FixedValue):
            setattr(cls, name, FixedValue(member, name))


def _initial(cls: type[Process[enum.Enum, object]]) -> enum.Enum | None:
    """The state that processes of this class begin in; None while a type variable stands for the states.

    Raises:
        TypeError: what stands in the brackets is no Enum with members, or `initial` is no member of it.
    """
    states = next(iter(in_brackets(cls, Process)), None)
    initial = cast(object, cls.initial)
    if states is not None and not isinstance(states, TypeVar):
        return initial_of(cls.__qualname__, "Process", states, initial)
    if initial is not None and not isinstance(initial, enum.Enum):
        raise TypeError(f"{cls.__qualname__}.initial is {initial!r}; it must be a member of an Enum")
    return initial


_fix_names()
