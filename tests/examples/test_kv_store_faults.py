"""The store on a disk that fails and loses power at drawn moments: what was acknowledged is there afterwards."""

# A full disk refuses, and the store reads on from memory. A broken one fails the log, and with it the store, which come
# back from the file. Here there is no backoff, so no time passes by that.

import errno
from pathlib import Path

import attrs
import pytest
import trio
from examples.kv_service.data import kept_in
from examples.kv_service.messages import STORE, Read, Unavailable, Write, WriteRefused
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.examples.serving import StoreRef
from tests.kernel.planted import Fault, Page, Planted
from trio.testing import MockClock

import histrio
from histrio_kernel.real import RealDisk, RealDriver

LOG = Path("/data/kv.log")
KEYS = ("a", "b")
CALLS = ("pwrite", "fsync", "ftruncate", "open", "pread")


@attrs.frozen
class Step:
    """Faults that are planted, time that passes, then writes that are asked for at once."""

    faults: list[tuple[str, int, int]]  # which call, how many of its kind from now, and the errno
    seconds: float
    keys: list[str]


STEPS = st.lists(
    st.builds(
        Step,
        st.lists(
            st.tuples(st.sampled_from(CALLS), st.integers(0, 2), st.sampled_from((errno.EIO, errno.ENOSPC))), max_size=2
        ),
        st.sampled_from((0.0, 1.0)),
        st.lists(st.sampled_from(KEYS), min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=8,
)


class Model:
    """What is known from outside.

    Attributes:
        values: what was acknowledged last, or has been read since.
        refused: values that are not there, but may yet be found on the disk after a power cut.
        unknown: values whose writers were told nothing; each may be there once the store was started again.

    """

    def __init__(self) -> None:
        self.values: dict[str, int | None] = dict.fromkeys(KEYS)
        self.refused: dict[str, set[int]] = {key: set() for key in KEYS}
        self.unknown: dict[str, set[int]] = {key: set() for key in KEYS}
        self.number = 0

    async def take(self, store: StoreRef, keys: list[str]) -> None:
        """Ask for a write of each key, all at once, and note what became of them."""
        writes: list[tuple[Write, histrio.Future[None]]] = []
        for key in keys:
            self.number += 1
            write = Write(key, self.number)
            writes.append((write, store.ask(write)))
        refused: list[Write] = []
        for write, answer in writes:
            try:
                await answer
            except WriteRefused:
                refused.append(write)
            except (Unavailable, histrio.ActorFailed):
                self.unknown[write.key].add(write.value)
            else:
                self.values[write.key] = write.value
                self.refused = {key: set() for key in KEYS}  # the log was opened again before, and so cut
        for write in refused:
            self.refused[write.key].add(write.value)

    async def look(self, store: StoreRef) -> None:
        """Read all: what was acknowledged, or a later write of which nothing is known."""
        for key in KEYS:
            found = await store.ask(Read(key))
            assert found == self.values[key] or found in self.later(key, self.unknown)
            self.values[key] = found

    def later(self, key: str, values: dict[str, set[int]]) -> set[int]:
        """Those of *values* that may have come after what is known."""
        known = self.values[key]
        return {value for value in values[key] if known is None or value > known}


async def open_store(system: histrio.System) -> StoreRef:
    """A store that is started again however often, and at once."""
    await system.spawn(kept_in(LOG, restarts_max=10_000, backoff=None))
    return await system.registry.wait(STORE)


async def live(calls: Planted, steps: list[Step], model: Model, clock: MockClock) -> None:
    """One life of a service."""
    async with RealDriver(disk=RealDisk(calls)) as driver, histrio.open_system(driver=driver) as system:
        store = await open_store(system)
        for step in steps:
            calls.faults.update(Fault(calls.count(name) + nth, name, number) for name, nth, number in step.faults)
            clock.jump(step.seconds)
            await model.take(store, step.keys)
            await model.look(store)
        calls.faults.clear()


async def come_back(calls: Planted, model: Model) -> None:
    """The next life, after a power cut."""
    async with RealDriver(disk=RealDisk(calls)) as driver, histrio.open_system(driver=driver) as system:
        store = await open_store(system)
        for key in KEYS:
            found = await store.ask(Read(key))
            assert (
                found == model.values[key]
                or found in model.later(key, model.unknown)
                or found in model.later(key, model.refused)
            )


@given(STEPS, st.lists(st.sampled_from(Page), min_size=1), st.booleans())
@settings(max_examples=count("disk_examples"))
@pytest.mark.alarm(600)
def test_no_fault_and_no_power_cut_loses_an_acknowledged_write(
    steps: list[Step], pages: list[Page], short: bool
) -> None:
    """E3: reads always answer what was acknowledged, and after a power cut it is there, or a refused write after it.

    Also while the log and the store are started again after an error of the disk.
    """
    calls, model, clock = Planted(), Model(), MockClock()
    trio.run(live, calls, steps, model, clock, clock=clock)

    after = calls.power_cut(min if short else max, lambda page: pages[page % len(pages)])
    trio.run(come_back, after, model)
