"""How an actor comes into being: its class is checked, it gets a name and a place in the tree, and it starts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple, cast

import trio
from trio.lowlevel import checkpoint

from histrio.ref import Home, Ref
from histrio_kernel.cell import Cell, Parent
from histrio_kernel.engine import Engine
from histrio_kernel.errors import ActorStopped, End, Reason
from histrio_kernel.futures import Promise
from histrio_kernel.settings import Settings
from histrio_kernel.signals import Kind

__all__ = ["House", "Lives", "Nest", "spawn_child"]

M_contra = TypeVar("M_contra", contravariant=True)
N = TypeVar("N")
Ts = TypeVarTuple("Ts")


class Lives(Protocol[M_contra]):
    """An actor, for `spawn`: what has a ref that takes messages of type `M_contra`. Every `Actor[M]` is one."""

    @property
    def ref(self) -> Ref[M_contra]:
        """The actor's own address."""
        ...


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
    house: House, nest: Nest, cls: Callable[[*Ts], Lives[N]], args: tuple[*Ts], name: str | None
) -> Ref[N]:
    """Start an actor of class `cls` below `nest`; see `Actor.spawn`."""
    settings: Settings | None = getattr(cls, "__histrio_settings__", None) if isinstance(cls, type) else None
    if settings is None:
        settings = _settings_of(cls)
    if nest.engine.pace.due():  # before there is a child that a cancellation could leave alone
        await checkpoint()
    if name is not None:
        _check_name(nest, name)
    nursery = nest.io_nursery
    if nursery is None:
        raise ActorStopped(
            nest.path,
            Reason(End.STOPPED, "it takes no children any more"),
            f"nothing was spawned; it was to be {name or settings.stem!r}",
        )
    actor = cls(*args)
    if name is None:
        name = _next_name(nest, settings.stem)
    path = f"{nest.path}/{name}" if nest.path != "/" else f"/{name}"
    cell = Cell(nest.engine, nest, path, name, settings, actor)
    _attach(actor, cell)
    if nest.children is None:
        nest.children = {}
    nest.children[cell.name] = cell
    if nest.engine.signals.heard:
        nest.engine.signals.emit(nest.path, Kind.SPAWN, path)
    cell.start(nursery)
    if settings.has_started or settings.runs_by_hand:
        await _wait_until_started(cell)
    return cast(Ref[N], house.ref_of(cell))


async def _wait_until_started(cell: Cell) -> None:
    """Wait for `started()`; if this is cancelled, the child is killed and its end waited for."""
    cell.started = Promise(cell.engine)
    try:
        await cell.started
    except trio.Cancelled:
        cell.kill("whoever spawned it was cancelled")
        with trio.CancelScope(shield=True):
            await cell.over()
        raise


def _settings_of(cls: object) -> Settings:
    """The settings of the class that is to be spawned, out of partials and generic aliases."""
    kind = cls
    while isinstance(kind, functools.partial):
        kind = cast("functools.partial[object]", kind).func
    kind = getattr(kind, "__origin__", kind)
    if not isinstance(kind, type) or not hasattr(kind, "__histrio_settings__"):
        hint = ""
        if hasattr(kind, "__histrio_actor__") and not isinstance(kind, type):
            hint = f": give the class and its arguments, spawn({type(kind).__qualname__}, ...), not an instance"
        raise ValueError(f"spawn() takes an actor class, a subclass of histrio.Actor, got {cls!r}{hint}")
    return cast(Settings, getattr(kind, "__histrio_settings__"))  # noqa: B009 - checked above


def _check_name(nest: Nest, name: str) -> None:
    if not isinstance(cast(object, name), str) or not name or "/" in name or "#" in name:
        raise ValueError(f"{name!r} is no name for a child of {nest.path}: a name is not empty and has no '/' or '#'")
    if name in (nest.children or ()):
        raise ValueError(f"{nest.path} has a child called {name!r} already; paths are unique while an actor lives")


def _next_name(nest: Nest, stem: str) -> str:
    """`store#1`, `store#2`: counted per parent and class, so names do not depend on the schedule elsewhere."""
    if nest.born is None:
        nest.born = {}
    number = nest.born[stem] = nest.born.get(stem, 0) + 1
    return f"{stem}#{number}"


class _Attachable(Protocol):
    def _histrio_attach(self, cell: Cell) -> None: ...


def _attach(actor: object, cell: Cell) -> None:
    """Give a fresh actor its place."""
    cast(_Attachable, actor)._histrio_attach(cell)
