"""Appends that gather behind a slow sync, and how each of them ended."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from tests.kernel.planted import Gated
from trio.testing import wait_all_tasks_blocked

from histrio_kernel.driver import Disk, File
from histrio_kernel.real.disk import RealDisk


@asynccontextmanager
async def behind_a_slow_sync(disk: RealDisk, calls: Gated, file: File) -> AsyncGenerator[trio.Nursery]:
    """While the block runs, an append of b"first" is in its fsync; what the block asks for gathers behind it."""
    async with trio.open_nursery() as nursery:
        calls.shut()
        nursery.start_soon(disk.append, file, b"first")
        await trio.to_thread.run_sync(calls.arrived.acquire)
        try:
            yield nursery
            await wait_all_tasks_blocked()
        finally:
            calls.lift()


class Asker:
    """Appends, and keeps how each append ended: with its end, or with its error."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.ends: dict[bytes, int] = {}
        self.errors: dict[bytes, Exception] = {}

    async def append(self, file: File, data: bytes) -> None:
        try:
            self.ends[data] = await self.disk.append(file, data)
        except (OSError, trio.ClosedResourceError) as error:
            self.errors[data] = error
