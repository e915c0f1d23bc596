"""What `spawn` accepts, and whose ref it gives: for type checkers, never executed."""

from functools import partial
from pathlib import Path
from typing import Generic, TypeVar, assert_type

import attrs

import histrio

T = TypeVar("T")


@attrs.frozen
class Put(histrio.Request[None], Generic[T]):
    value: T


class Store(histrio.Actor[str]):
    def __init__(self, path: Path, size: int = 3, *, sync: bool = True) -> None:
        self.path = path
        self.size = size
        self.sync = sync


@attrs.define
class Counter(histrio.Actor[int]):
    first: int
    step: int = 1


class Cell(histrio.Actor[Put[T]], Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value


class Silent(histrio.Actor[bytes]):
    pass


class NoActor:
    pass


async def a_ref_takes_what_the_actor_declares(system: histrio.System) -> None:
    """A13, A16: `spawn` gives a ref of the messages that the class declares."""
    assert_type(await system.spawn(Store, Path("kv.log")), histrio.Ref[str])
    assert_type(await system.spawn(Store, Path("kv.log"), 7, name="store"), histrio.Ref[str])
    assert_type(await system.spawn(Counter, 1), histrio.Ref[int])
    assert_type(await system.spawn(Silent), histrio.Ref[bytes])
    assert_type(await system.spawn(partial(Store, Path("kv.log"), sync=False)), histrio.Ref[str])
    assert_type(await system.spawn(Cell[int], 1), histrio.Ref[Put[int]])


async def a_child_is_spawned_as_its_class_is(system: histrio.System) -> None:
    """S1, S4: `child` takes keywords too; what it gives has all that it needs, so no argument goes with it."""
    counter = histrio.child("counter", Counter, 1)
    assert_type(counter, histrio.Child[int])
    assert_type(await system.spawn(counter), histrio.Ref[int])
    assert_type(await system.spawn(histrio.child(None, Store, Path("kv.log"), sync=False), name="x"), histrio.Ref[str])
    await system.spawn(counter, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def wrong_arguments_are_refused(system: histrio.System) -> None:
    """S4: `spawn` takes the arguments of the class, by position."""
    await system.spawn(Store, "kv.log")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await system.spawn(Store)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await system.spawn(Counter, 1, 2, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await system.spawn(Cell[int], "one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await system.spawn(Store, Path("kv.log"), sync=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await system.spawn(Silent, name=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await system.spawn(partial(Store, Path("kv.log"), sink=1))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def only_actors_are_spawned(system: histrio.System) -> None:
    """S4: a class that is no actor, or an instance, does not type-check."""
    await system.spawn(NoActor)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await system.spawn(Counter(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Parent(histrio.Actor[int]):
    async def started(self) -> None:
        """S4: a child's ref is typed as one of the system is, and its arguments are checked."""
        assert_type(await self.spawn(Counter, 1), histrio.Ref[int])
        assert_type(await self.spawn(histrio.child("counter", Counter, 1)), histrio.Ref[int])
        assert_type(self.ref, histrio.Ref[int])
        await self.spawn(Counter, "one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.tell_first(3)
        self.tell_first("three")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def finding_and_binding_keep_the_type(system: histrio.System, ref: histrio.Ref[int]) -> None:
    """A13: `find` gives a ref of the class that it checks; `bind` keeps the type of the ref."""
    assert_type(system.find(Store, "/store"), histrio.Ref[str] | None)
    assert_type(system.bind(ref), histrio.Ref[int])


async def main(system: histrio.System, path: Path, size: int) -> str:
    """A main with arguments of its own."""
    return f"{system} {path} {size}"


def a_run_returns_what_its_main_returns() -> None:
    """A14: `run` takes the arguments of main behind the system, and returns its value."""
    assert_type(histrio.run(main, Path("x"), 3), str)
    histrio.run(main, Path("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.run(main, "x", 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
