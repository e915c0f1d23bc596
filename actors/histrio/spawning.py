"""How an actor comes into being: its class is checked, it gets a name and a place in the tree, and it starts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Never, Protocol, TypeVar, TypeVarTuple, cast, final

import trio
from trio.lowlevel import checkpoint

from histrio.kinds import Lives, settings_of
from histrio.ref import Home, Ref
from histrio.supervision.spec import Child
from histrio_kernel.belonging import Period
from histrio_kernel.bounds import bound
from histrio_kernel.cell import Cell, Parent
from histrio_kernel.engine import Engine
from histrio_kernel.errors import ActorStopped, End, Reason
from histrio_kernel.futures import Future, Promise, Waiter
from histrio_kernel.gate import Handler
from histrio_kernel.inbox import Inbox
from histrio_kernel.settings import Settings
from histrio_kernel.signals import Kind

__all__ = ["House", "Nest", "attach", "check_form", "check_name", "next_name", "place", "spawn_child"]

_DEPTH_MAX: Final = bound("depth_max")

N = TypeVar("N")
Ts = TypeVarTuple("Ts")


class House(Home, Protocol):
    """The system, as far as spawning knows it."""

    def ref_of(self, cell: Cell) -> Ref[object]:
        """The address of the actor behind `cell`."""
        ...


class Nest(Parent, Protocol):
    """Where an actor can be born: a cell, or the system."""

    children: dict[str, Cell] | None
    born: dict[str, int] | None

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        ...

    @property
    def engine(self) -> Engine:
        """What all actors of the system share."""
        ...

    @property
    def io_nursery(self) -> trio.Nursery | None:
        """Where children run; None when no more are taken."""
        ...


async def spawn_child(
    house: House,
    nest: Nest,
    cls: Callable[[*Ts], Lives[N]],
    args: tuple[*Ts],
    name: str | None,
    copied: Inbox | None = None,
    find_period: Callable[[], Period | None] | None = None,
) -> Ref[N]:
    """Start an actor of class `cls`, or what a `Child` says, below `nest`; see `Actor.spawn`.

    If an inbox is to be *copied*, the new actor gets copies from the moment on at which it has its place. From then on it
    is stopped, too, when the period ends that it belongs to; which one that is, is asked for at that moment.
    """
    settings: Settings | None = getattr(cls, "__histrio_settings__", None) if isinstance(cls, type) else None
    if settings is None:
        given = cast(object, cls)
        if isinstance(given, Child):
            spec = cast("Child[Never]", given)
            settings, name = spec.settings, name or spec.name
        else:
            settings = settings_of(cls)
    if nest.engine.pace.due():  # before there is a child that a cancellation could leave alone
        await checkpoint()
    if name is not None:
        check_name(nest, name)
    nursery = nest.io_nursery
    if nursery is None:
        raise ActorStopped(
            nest.path,
            Reason(End.STOPPED, "it takes no children any more"),
            f"nothing was spawned; it was to be {name or settings.stem!r}",
        )
    period = None if find_period is None else find_period()
    actor = cls(*args)
    if name is None:
        name = next_name(nest, settings.stem)
    cell = place(nest, name, settings, actor)
    if copied is not None:
        copied.copy_to(cell.inbox, functools.partial(_takes, settings.handlers))
    cell.start(nursery)
    if period is not None:
        _Belongs(cell, period)
    if cell.started is not None:
        await _wait_until(cell.started, cell)
    return cast(Ref[N], house.ref_of(cell))


@final
class _Belongs(Waiter):
    """A child as the work of an activation of its parent: it is stopped with it."""

    __slots__ = ("_cell", "_period")

    is_leaf: ClassVar[bool] = False

    def __init__(self, cell: Cell, period: Period) -> None:
        self._cell: Final = cell
        self._period: Final = period
        over = cell.over()
        if not over.is_done:
            over._attach(self)
            period.add(self)

    def end(self) -> None:
        """The activation is over."""
        self._cell.stop("the state that it belonged to has ended")

    def settled(self, future: Future[object]) -> None:
        """It has ended."""
        self._period.done(self)


def _takes(handlers: Mapping[type, Handler], message: object) -> bool:
    """Whether an actor with these handlers takes messages like this one."""
    try:
        return handlers[message.__class__] is not None
    except TypeError:
        return False


def place(nest: Nest, name: str, settings: Settings, actor: object) -> Cell:
    """Give a fresh `actor` its place below `nest`; it has not started yet.

    Raises:
        ValueError: the tree would be too deep.
    """
    if nest.path.count("/") >= _DEPTH_MAX:
        raise ValueError(
            f"{nest.path} is {_DEPTH_MAX} levels deep, and Trio cannot cancel what is much deeper; no child"
        )
    path = f"{nest.path}/{name}" if nest.path != "/" else f"/{name}"
    cell = Cell(nest.engine, nest, path, name, settings, actor)
    attach(actor, cell)
    if nest.children is None:
        nest.children = {}
    nest.children[name] = cell
    if nest.engine.signals.heard:
        nest.engine.signals.emit(nest.path, Kind.SPAWN, path)
    return cell


async def _wait_until(started: Promise[None], cell: Cell) -> None:
    """Wait for `started()`; if this is cancelled, the child is killed and its end waited for."""
    try:
        await started
    except trio.Cancelled:
        cell.kill("whoever spawned it was cancelled")
        with trio.CancelScope(shield=True):
            await cell.over()
        raise


def check_name(nest: Nest, name: str) -> None:
    """Refuse what is no name for a child of `nest`, or is taken.

    Raises:
        ValueError: says which.
    """
    check_form(nest.path, name)
    if name in (nest.children or ()):
        raise ValueError(f"{nest.path} has a child called {name!r} already; paths are unique while an actor lives")


def check_form(path: str, name: str) -> None:
    """Refuse what is no name for a child of the actor at `path`.

    Raises:
        ValueError: says so.
    """
    if not isinstance(cast(object, name), str) or not name or "/" in name or "#" in name:
        raise ValueError(f"{name!r} is no name for a child of {path}: a name is not empty and has no '/' or '#'")


def next_name(nest: Nest, stem: str) -> str:
    """`store#1`, `store#2`: counted per parent and class, so names do not depend on the schedule elsewhere."""
    if nest.born is None:
        nest.born = {}
    number = nest.born[stem] = nest.born.get(stem, 0) + 1
    return f"{stem}#{number}"


class _Attachable(Protocol):
    def _histrio_attach(self, cell: Cell) -> None: ...


def attach(actor: object, cell: Cell) -> None:
    """Give a fresh actor its place."""
    cast(_Attachable, actor)._histrio_attach(cell)
