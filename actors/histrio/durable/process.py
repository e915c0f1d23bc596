"""The base class of durable processes: units of work with states, each of whose advances is in the journal."""

# Design note
# -----------
# A durable process is a durable actor whose messages are orders and whose handlers are advances. One advance at a time is
# made, each begun by a record of its own, so between two of them the journal has the state, what is wanted and what was
# handed in. That is its checkpoint. Nothing is pending there but what it waits for, so its past is rolled up there too, if
# the class has `snapshot` and `restore`.
#
# States and moves are those of `histrio.Process`. What that does by tasks and levels is done here by inputs, see `course`.

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Mapping
from typing import ClassVar, Generic, NoReturn, TypeAlias, TypeVar, cast, final

import attrs

from histrio.durable.actor import DurableActor
from histrio.durable.orders import Order
from histrio.durable.ports import checked_inputs
from histrio.durable.recorded import is_recorded
from histrio.processes.declared import check_settings, in_brackets, initial_of
from histrio.processes.errors import WrongAdvance
from histrio.processes.moves import Done, Drive, To, Wait
from histrio_kernel.bounds import bound
from histrio_kernel.errors import Reason, shown
from histrio_kernel.futures import Future

__all__ = ["DurableNext", "DurableProcess", "UntilResumed"]

S = TypeVar("S", bound=enum.Enum)
In = TypeVar("In")
Out = TypeVar("Out")


@final
@attrs.frozen
class UntilResumed:
    """The process goes on when it is handed a value. Made by `DurableProcess.until_resumed`."""


DurableNext: TypeAlias = To[S] | Wait | UntilResumed | Done[Out] | Done[Mapping[str, object]]
"""What `advance` of a `DurableProcess[S, In, Out]` returns: `async def advance(self) -> DurableNext[State, Outputs]`."""


class DurableProcess(DurableActor[Order], Generic[S, In, Out]):
    """A unit of work that a crash does not lose: states of type `S`, an Enum, inputs and outputs of two attrs classes.

    `advance` does one piece of the work and says how it goes on: `self.to(state)`, `self.wait(future)`,
    `self.until_resumed()`, or `Done(outputs)`. What it uses is what any durable actor uses: `self.io`, `self.sleep`, children.
    It is driven by `ref.control`, see `DurableControl`: each order is in the journal before it is acknowledged, and so is
    each state before anybody hears of it. After a crash the process is what it was said to be: paused stays paused.

    It is made of one argument, the inputs: an object of `In`, or a mapping, whose fields are looked at before anything is
    stored. The outputs are looked at when it is done: what its class does not allow is its failure.

    An advance that fails has never happened, and the process has failed by it. What may fail and be tried again belongs in
    `self.io(..., retry=...)`.

    What a class may set, besides what a `DurableActor` may: `drive`, `start`, `initial`, `rerunnable`, `nudges_max`, as of
    `histrio.Process`, and `shutdown_s`: the seconds that `killed` may take (5).

    Examples:
        >>> import attrs, enum, histrio
        >>> from histrio.durable import DurableNext, DurableProcess, WrongInputs, open_tree
        >>> from histrio_kernel.journal.memory import MemoryJournal
        >>> class Stage(enum.Enum):
        ...     ADD = enum.auto()
        ...     TELL = enum.auto()
        >>> @attrs.frozen
        ... class Numbers:
        ...     numbers: tuple[int, ...] = attrs.field(validator=attrs.validators.min_len(1))
        >>> @attrs.frozen
        ... class Sum:
        ...     value: int = attrs.field(validator=attrs.validators.instance_of(int))
        >>> class Add(DurableProcess[Stage, Numbers, Sum], behaviour="example add"):
        ...     async def advance(self) -> DurableNext[Stage, Sum]:
        ...         if self.state is Stage.ADD:
        ...             self.sum = sum(self.inputs.numbers)
        ...             return self.to(Stage.TELL)
        ...         return histrio.Done(Sum(self.sum))
        >>> async def main(system: histrio.System) -> None:
        ...     async with MemoryJournal() as journal, open_tree(system, journal) as tree:
        ...         try:
        ...             await tree.spawn(Add, {"numbers": 6}, name="add")
        ...         except WrongInputs as error:
        ...             print(error)
        >>> histrio.run(main)
        /add: the input 'numbers' of Numbers is wrong: TypeError: object of type 'int' has no len()
    """

    __slots__ = ("_histrio_inputs", "_histrio_resumed", "_histrio_state")

    drive: ClassVar[Drive] = Drive.FREE
    start: ClassVar[bool] = False
    initial: ClassVar[enum.Enum | None] = None
    rerunnable: ClassVar[bool] = False
    nudges_max: ClassVar[int] = int(bound("nudges_max"))
    shutdown_s: ClassVar[float] = bound("shutdown_s")

    __histrio_initial__: ClassVar[enum.Enum]
    __histrio_ports__: ClassVar[tuple[type[object], type[object]]]
    """The classes of its inputs and its outputs."""

    _histrio_inputs: In
    _histrio_state: S
    _histrio_resumed: object

    @final
    def __init__(self, inputs: In | Mapping[str, object]) -> None:
        """What is stored is an object of the class of inputs."""
        self._histrio_inputs = cast(In, inputs)
        self._histrio_state = cast(S, self.__histrio_initial__)
        self._histrio_resumed = None

    # -- what a process overrides ------------------------------------------------------------------------------------

    async def advance(self) -> DurableNext[S, Out]:
        """Do one piece of the work, and return how it goes on.

        What it made with `self.io` and did not await goes on, for a later advance.
        """
        raise NotImplementedError(f"{self.path}: {type(self).__qualname__} has no advance()")

    async def killed(self, reason: Reason) -> None:
        """Clean up after a kill: give back what a service outside still holds, by `self.io`.

        Runs once, if `started()` has returned, after the present advance has been cancelled; a crash goes on with it where
        it was. It is cancelled when `shutdown_s` has passed since the kill. Not called when the process fails, is done, or
        ends with what is above it.
        """

    # -- what an advance uses ----------------------------------------------------------------------------------------

    @property
    def inputs(self) -> In:
        """What it was made of."""
        return self._histrio_inputs

    @property
    def state(self) -> S:
        """The state that it is in. It changes when an advance has returned `self.to(...)`."""
        return self._histrio_state

    @property
    def resumed(self) -> object:
        """What `resume(value)` has handed to this advance; None if nothing. Each value is handed to one advance."""
        return self._histrio_resumed

    def to(self, state: S) -> To[S]:
        """Go on in `state`: `return self.to(State.SENT)`. The next advance follows; watchers hear of a change.

        Raises:
            WrongAdvance: that is none of its states.
        """
        kind = type(self.__histrio_initial__)
        if not isinstance(cast(object, state), kind):
            raise WrongAdvance(
                self.path,
                f"to({shown(state)}): that is no state of {type(self).__qualname__}; its states are"
                f" {', '.join(str(one) for one in kind)}",
            )
        return To(state)

    def wait(self, future: Future[object]) -> Wait:
        """Go on when `future` is over: `return self.wait(future)`. The next advance follows, in the same state.

        It looks at the outcome: `await future` gives it at once, or raises. An error of an effect that it does not look at
        fails the process. A pause leaves the future alone.

        Raises:
            WrongAdvance: that is no future whose outcome is recorded.
        """
        if isinstance(cast(object, future), Future) and is_recorded(future):
            return Wait(future)
        given = cast(object, future)
        if inspect.iscoroutine(given):
            given.close()
        raise WrongAdvance(
            self.path,
            f"wait({shown(given)}): that is no future that its journal knows; self.io(f, ...), self.sleep(5) and the ask of a"
            " durable ref make such",
        )

    def until_resumed(self) -> UntilResumed:
        """Go on when `ref.control.resume(value)` has handed in a value, which the next advance has as `self.resumed`."""
        return UntilResumed()

    def finish(self, result: object = None) -> NoReturn:
        """Not for processes: `return histrio.Done(outputs)`, which are looked at.

        Raises:
            WrongAdvance: always.
        """
        raise WrongAdvance(self.path, f"finish({shown(result)}): a process is done by `return histrio.Done(outputs)`")

    # ----------------------------------------------------------------------------------------------------------------

    @classmethod
    def __histrio_checked__(cls, path: str, args: tuple[object, ...]) -> tuple[object, ...]:
        """Look at the inputs, before anything is stored."""
        if len(args) != 1:
            raise TypeError(f"{path}: {cls.__qualname__} is made of one argument, its inputs, and not of {len(args)}")
        return (checked_inputs(path, cls.__histrio_ports__[0], args[0]),)

    def __init_subclass__(cls, behaviour: str | None = None, version: int = 1, **kwargs: object) -> None:
        """Check the class and remember what its processes need."""
        for name in _OURS:
            if getattr(cls, name) is not getattr(DurableProcess, name):
                hint = "; what it is made of is self.inputs, and `async def started(self)` may do more"
                raise TypeError(
                    f"{cls.__qualname__}.{name} belongs to DurableProcess{hint if name == '__init__' else ''}"
                )
        for name in ("advance", "killed"):
            if not inspect.iscoroutinefunction(getattr(cls, name)):
                raise TypeError(f"{cls.__qualname__}.{name} must be `async def`")
        super().__init_subclass__(behaviour, version, **kwargs)
        check_settings(
            cls.__qualname__, drive=cls.drive, start=cls.start, rerunnable=cls.rerunnable, nudges_max=cls.nudges_max
        )
        _check_seconds(cls.__qualname__, cls.shutdown_s)
        declared = in_brackets(cls, DurableProcess)
        if len(declared) != 3:
            raise TypeError(
                f"{cls.__qualname__} does not say what its states, inputs and outputs are: class {cls.__qualname__}"
                "(DurableProcess[State, Inputs, Outputs])"
            )
        states, inputs, outputs = declared
        if isinstance(states, TypeVar):
            return  # a base of others
        cls.__histrio_initial__ = initial_of(cls.__qualname__, "DurableProcess", states, cls.initial)
        cls.__histrio_ports__ = (_port(cls.__qualname__, inputs), _port(cls.__qualname__, outputs))


_OURS = ("__init__", "inputs", "state", "resumed", "to", "wait", "until_resumed", "finish", "receive")


def _port(what: str, port: object) -> type[object]:
    origin = typing.get_origin(port) or port
    if not isinstance(origin, type) or not attrs.has(origin):
        raise TypeError(
            f"{what}: {port!r} in DurableProcess[...] is no attrs class; declare one, with a field for each"
        )
    return origin


def _check_seconds(what: str, shutdown_s: object) -> None:
    if isinstance(shutdown_s, bool) or not isinstance(shutdown_s, int | float) or not 0 <= shutdown_s < float("inf"):
        raise TypeError(f"{what}.shutdown_s is {shutdown_s!r}; it must be a number of seconds, 0 or more")
