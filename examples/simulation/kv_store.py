"""The store of the key-value service in a simulation: it tells its clients the truth, also after a power cut.

`python -m examples.simulation.kv_store` explores its schedules, then cuts its power everywhere.
"""

# The store and its log are the ones that `make run` starts, only without HTTP. Two promises are asked:
#
# - Linearizability: whatever clients do at the same time, there is an order, one operation after the other, that explains
#   all that they were told.
# - Durability: what a client knows, because a write was answered or because it has read it, is there after a power cut.
#   The values of a key only grow, so to know one is to know that no smaller one may be found.

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import trio

import histrio
from examples.kv_service.log import LogFile
from examples.kv_service.messages import LogMessage, Read, StoreMessage, Write, WriteRefused
from examples.kv_service.store import Store
from histrio.testing import (
    DiskFaults,
    Faults,
    History,
    Report,
    World,
    check_linearizable,
    crash_points,
    explore,
    models,
)

__all__ = ("DISK", "clients", "find", "is_all_there", "survives", "tells_the_truth", "write_and_read")

LOG: Final = Path("/kv.log")
DISK: Final = Faults(disk=DiskFaults(full=True, short_write=True, slow_s=0.1))
"""A disk that is slow at times, and has no room at times."""

StoreClass: TypeAlias = Callable[[histrio.Ref[LogMessage]], Store]
LogClass: TypeAlias = Callable[[Path], LogFile]


async def start(world: World, store: StoreClass, log: LogClass) -> histrio.Ref[StoreMessage]:
    """A log, and the store in it."""
    return await world.spawn(store, await world.spawn(log, LOG, name="log"), name="store")


# -- linearizability ---------------------------------------------------------------------------------------------------


async def clients(world: World, store: StoreClass = Store, log: LogClass = LogFile) -> None:
    """Three clients, two of whom use the same key; each writes, reads what is there then, and one does it again."""
    with world.calm():
        ref = await start(world, store, log)
    history: History[models.Read | models.Write] = History()

    async def client(name: str, key: str, *values: int) -> None:
        for value in values:
            with contextlib.suppress(WriteRefused):  # the disk had no room; then, the store says, it did not happen
                await history.record(name, models.Write(value), partial(ref.ask, Write(key, value)), key)
            await history.record(name, models.Read(), partial(ref.ask, Read(key)), key)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client, "ann", "x", 1, 2, name="ann")
        nursery.start_soon(client, "ben", "x", 3, name="ben")
        nursery.start_soon(client, "cleo", "y", 4, name="cleo")
    check_linearizable(history, models.Register())


def tells_the_truth(schedules: int = 200, store: StoreClass = Store, log: LogClass = LogFile) -> Report:
    """Whether there is always an order that explains what the clients were told."""
    return explore(partial(clients, store=store, log=log), schedules, faults=DISK)


# -- durability --------------------------------------------------------------------------------------------------------


async def write_and_read(world: World, store: StoreClass = Store, log: LogClass = LogFile) -> None:
    """A writer for each of two keys, and a reader; all that they are told is noted in `world.notes`."""
    ref = await start(world, store, log)

    async def writer(key: str) -> None:
        for value in (1, 2):
            await ref.ask(Write(key, value))
            world.notes.append((key, value))

    async def reader() -> None:
        for key in ("x", "y", "x"):
            value = await ref.ask(Read(key))
            world.notes.append((key, value or 0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer, "x", name="writer of x")
        nursery.start_soon(writer, "y", name="writer of y")
        nursery.start_soon(reader, name="reader")


async def find(world: World) -> dict[str, int]:
    """What is there after the power has come back; 0 stands for nothing."""
    ref = await start(world, Store, LogFile)
    x, y = [await ref.ask(Read(key)) for key in ("x", "y")]
    return {"x": x or 0, "y": y or 0}


def is_all_there(notes: list[object], found: dict[str, int]) -> bool:
    """Nothing that somebody knows is gone, and nothing is there that nobody wrote."""
    known = {"x": 0, "y": 0}
    for note in notes:
        match note:
            case (str(key), int(value)):
                known[key] = max(known[key], value)
            case _:
                raise AssertionError(f"{note!r} is no note of ours")
    return all(known[key] <= found[key] <= 2 for key in known)


def survives(bases: int = 5, store: StoreClass = Store, log: LogClass = LogFile) -> Report:
    """Whether a power cut takes something away that somebody knows of, wherever it comes in so many schedules."""
    return crash_points(partial(write_and_read, store=store, log=log), find, is_all_there, bases=bases)


if __name__ == "__main__":
    print("clients at the same time:", tells_the_truth())
    print("power cuts:", survives())
