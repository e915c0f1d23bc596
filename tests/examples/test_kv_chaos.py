"""The store and its log on the virtual clock: killed at random for a minute, and what happens when they stay away."""

# Worker threads are what keeps a real disk off the virtual clock. Here a call into the disk is made at once, and then
# takes as long as chance says, in virtual time; all else is the code that serves, but for HTTP itself.

import errno
import os
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import pytest
import trio
from examples.kv_service.client import Reply
from examples.kv_service.data import SupervisorSpec, kept_in
from examples.kv_service.log import LogFile
from examples.kv_service.messages import Write
from examples.kv_service.pages import StorePages
from examples.kv_service.store import Store
from examples.kv_service.wire import parse
from tests.conftest import Show
from tests.effort import count
from tests.examples.kv_load import Load
from tests.kernel.planted import Fault, Planted
from trio.testing import MockClock

import histrio
from histrio_kernel.log_format import scan
from histrio_kernel.real import RealDisk, RealDriver
from histrio_kernel.simulation.trio_schedule import seeded_schedule

M = TypeVar("M")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LOG = Path("/data/kv.log")
CHAOS_S = 60.0
QUIET_S = 4.0  # between two blows, on average
ANSWER_S = 2.0  # within which each request is answered: some calls of the disk, and nothing else
WRITERS, READERS = 8, 3


class Disk(Planted):
    """Files in memory, of which the next so many calls of a name fail."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = Counter[str]()

    def _enter(self, name: str, path: str) -> Fault | None:
        if self.ahead[name] > 0:
            self.ahead[name] -= 1
            if name == "fsync" and path in self.names:
                self.names[path].dirty.clear()  # as Linux does
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return None


def without_threads(monkeypatch: pytest.MonkeyPatch, takes_s: Callable[[], float]) -> None:
    """What would run in a thread runs in its task, and takes so long in virtual time."""

    async def run_sync(fn: Callable[[*Ts], T], *args: *Ts, limiter: trio.CapacityLimiter) -> T:
        async with limiter:
            with trio.CancelScope(shield=True):
                await trio.sleep(takes_s())
            return fn(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


def call_s(chance: random.Random) -> float:
    """How long a call into the disk takes; 20 ms, if it is a slow one."""
    return chance.choice((0.0, 0.005, chance.expovariate(50)))


@asynccontextmanager
async def paged(data: SupervisorSpec, disk: Disk) -> AsyncGenerator[tuple[histrio.System, StorePages]]:
    """A system with *data* under a supervisor that makes it anew however often, and the pages of its store."""
    kv = histrio.child("kv", histrio.Supervisor, data, restarts_max=10_000)
    async with (
        RealDriver(disk=RealDisk(disk)) as driver,
        histrio.open_system(driver=driver) as system,
        trio.open_nursery() as nursery,
    ):
        await system.spawn(kv)
        pages = StorePages(system)
        nursery.start_soon(pages.follow)
        yield system, pages
        nursery.cancel_scope.cancel()


async def command(pages: StorePages, text: str) -> Reply:
    """The answer to a command, without HTTP."""
    response = await pages.command(text.encode())
    return Reply(response.status_code, bytes(response.body).decode().removesuffix("\n"))


def blows(system: histrio.System, disk: Disk) -> dict[str, Callable[[random.Random], object]]:
    """What may happen to the service."""

    def kill(kind: type[histrio.Actor[M]], path: str) -> None:
        ref = system.find(kind, path)
        if ref is not None:
            ref.control.kill("by chance")

    def stop() -> None:
        ref = system.find(Store, "/kv/data/store")
        if ref is not None:
            ref.control.stop(why="by chance")

    def fail(name: str, times: int) -> None:
        disk.ahead[name] = times

    return {
        "log killed": lambda _: kill(LogFile, "/kv/data/log"),
        "store killed": lambda _: kill(Store, "/kv/data/store"),
        "data killed": lambda _: kill(histrio.Supervisor, "/kv/data"),
        "store stopped": lambda _: stop(),
        "write fails": lambda _: fail("pwrite", 1),
        "sync fails": lambda chance: fail("fsync", chance.randint(1, 3)),
        "open fails": lambda chance: fail("open", chance.randint(1, 3)),
    }


async def one_minute(chance: random.Random, struck: Counter[str]) -> Load:
    """Writers and readers, and blows, for a minute; then quiet, and everything is there."""
    disk = Disk()
    load = Load(ANSWER_S, pause_s=lambda: chance.uniform(0, 0.5), retry_s=0.2)
    data = kept_in(LOG, restarts_max=10)
    async with paged(data, disk) as (system, pages):
        all_blows = blows(system, disk)

        async def ask(text: str) -> Reply:
            return await command(pages, text)

        async with load.running([ask] * WRITERS, [ask] * READERS, chance.choice):
            end = trio.current_time() + CHAOS_S
            while trio.current_time() < end:
                await trio.sleep(chance.expovariate(1 / QUIET_S))
                name = chance.choice(list(all_blows))
                struck[name] += 1
                all_blows[name](chance)
        disk.ahead.clear()
        with trio.fail_after(60):
            while (await pages.health(b"")).status_code != 200:  # noqa: ASYNC110 - as any monitor does
                await trio.sleep(0.1)
        await load.check_all(ask)
    check_log(load, bytes(disk.durable_names[str(LOG)].platter))
    return load


def check_log(load: Load, image: bytes) -> None:
    """What is synced holds every acknowledged write, each key's in order."""
    found: dict[str, list[int]] = {key: [] for key in load.known}
    for payload in scan(LOG, image).payloads:
        write = parse(payload)
        assert isinstance(write, Write)
        found[write.key].append(write.value)
    for key, values in load.acknowledged.items():
        assert found[key] == sorted(found[key])
        assert values <= set(found[key]), key


@pytest.mark.alarm(1_200)
def test_a_minute_of_random_kills_loses_nothing(monkeypatch: pytest.MonkeyPatch, show: Show) -> None:
    """Log, store and their supervisor are killed and stopped, the disk fails: each answer is right or 503, in time.

    No acknowledged write is lost, in the file or in memory, and in the end all of it can be read.
    """
    struck, written, away = Counter[str](), 0, 0
    seeds = range(count("kv_chaos_seeds"))
    for seed in seeds:
        print(f"seed {seed}")
        chance = random.Random(seed)
        without_threads(monkeypatch, partial(call_s, chance))
        with seeded_schedule(seed):
            load = trio.run(one_minute, chance, struck, clock=MockClock(autojump_threshold=0))
        written, away = written + load.total, away + load.away

    assert written > 0
    assert away > 0
    assert len(struck) == 7 or len(seeds) < 3
    show(
        f"kv service, a minute of random kills, {len(seeds)} seeds, {struck.total()} blows: {written:,} writes"
        f" acknowledged and there, {away:,} times 503"
    )
