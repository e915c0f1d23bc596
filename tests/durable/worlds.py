"""Durable actors for tests, a system to run them in, and a power switch between their commits."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, Final, TypeVar

import trio
from trio.testing import MockClock

import histrio
from histrio.durable import DurableActor, DurableTree, open_tree, this_effect
from histrio_kernel.combine import Rest
from histrio_kernel.journal.codec import shown
from histrio_kernel.journal.memory import MemoryJournal
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import Batch
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind

T = TypeVar("T")

OF_CRASHES: Final = frozenset({Kind.CRASH, Kind.RESTART})


class PowerCut(Exception):
    """The process is gone."""


class Ledger:
    """The world outside: what was done to it, and how often by which key."""

    def __init__(self) -> None:
        self.done: Final[Counter[str]] = Counter()
        self.fails = False

    async def double(self, number: int) -> int | None:
        """Twice the number, after as many hundredths of a second; None for 2, and an error for 13."""
        self.done[this_effect().key] += 1
        await trio.sleep(number / 100)
        if number == 13:
            raise ValueError("thirteen")
        return None if number == 2 else 2 * number


OUTSIDE: Final = Ledger()


async def double(number: int) -> int | None:
    """See `Ledger.double`."""
    return await OUTSIDE.double(number)


@asynccontextmanager
async def open_world(stored: Stored) -> AsyncGenerator[DurableTree]:
    """The tree of what is stored, in a system of its own."""
    async with (
        histrio.open_system() as system,
        MemoryJournal(stored) as journal,
        open_tree(system, journal) as tree,
    ):
        yield tree


def cut_after(tree: DurableTree, commits: int, scope: trio.CancelScope) -> None:
    """From now on the process dies with that many commits: nothing goes on, and nothing more is stored."""
    journal = tree.journal
    real: Callable[[Batch, Rest | None], Awaitable[Sequence[Record]]] = journal.commit
    left = commits

    async def commit(batch: Batch, rest: Rest | None = None) -> Sequence[Record]:
        nonlocal left
        if left == 0:
            scope.cancel()
            raise PowerCut
        left -= 1
        stored = await real(batch, rest)
        if left == 0:
            scope.cancel()
            raise PowerCut  # it is stored, and nobody is told
        return stored

    journal.commit = commit  # type: ignore[method-assign]


def in_virtual_time(main: Callable[[], Awaitable[T]]) -> T:
    """Run it on a clock that jumps."""
    return trio.run(main, clock=MockClock(autojump_threshold=0))


async def until_cut(stored: Stored, commits: int, main: Callable[[DurableTree], Awaitable[object]]) -> None:
    """Run until the process dies with that many commits, or to the end."""
    with trio.CancelScope() as scope, contextlib.suppress(Exception):
        async with open_world(stored) as tree:
            cut_after(tree, commits, scope)
            await main(tree)


def told(stored: Stored, path: str) -> list[str]:
    """What is kept of an actor, in words, without what tells of crashes and of time."""
    return [
        " ".join(filter(None, (each.kind.name, each.key, _what(each))))
        for each in stored.read(path, 0)
        if each.kind not in OF_CRASHES
    ]


def _what(record: Record) -> str:
    return shown(record.payload) if record.payload and record.kind is not Kind.TIMER else ""


def hear_reports(tree: DurableTree, hear: Callable[[histrio.HistrioError], object]) -> None:
    """Have `hear` called with each report of the system."""

    def on_report(error: histrio.HistrioError) -> None:
        hear(error)

    tree.system.engine.on_report = on_report


class InAHandler(DurableActor[str], behaviour="tests.in a handler"):
    """Does that, and ends."""

    do: ClassVar[Callable[[DurableActor[str]], object]]

    async def receive(self, message: str) -> None:
        type(self).do(self)
        self.finish()


def in_a_handler(do: Callable[[DurableActor[str]], object]) -> None:
    """Call it with a durable actor, `/w`, in a handler of it."""
    InAHandler.do = staticmethod(do)

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await tree.spawn(InAHandler, name="w")
            await ref.tell("go")
            await ref.join()

    in_virtual_time(main)
