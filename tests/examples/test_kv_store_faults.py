"""The store on a disk that fails and loses power at drawn moments: what was acknowledged is there afterwards."""

from pathlib import Path

import attrs
import pytest
import trio
from examples.kv_service.messages import Read, Write, WriteRefused
from examples.kv_service.store import Store
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

    faults: list[tuple[str, int]]  # which call, and how many of its kind from now
    seconds: float
    keys: list[str]


STEPS = st.lists(
    st.builds(
        Step,
        st.lists(st.tuples(st.sampled_from(CALLS), st.integers(0, 2)), max_size=2),
        st.sampled_from((0.0, 1.0)),
        st.lists(st.sampled_from(KEYS), min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=8,
)


class Model:
    """What is known from outside: the value of each key, and the refused writes that may yet be found on the disk."""

    def __init__(self) -> None:
        self.values: dict[str, int | None] = dict.fromkeys(KEYS)
        self.floating: dict[str, set[int]] = {key: set() for key in KEYS}
        self.number = 0
        self.acknowledged = 0
        self.refused = 0

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
            else:
                self.values[write.key] = write.value
        if len(refused) < len(writes):  # the log was opened again before, and so cut
            self.floating = {key: set() for key in KEYS}
        for write in refused:
            self.floating[write.key].add(write.value)
        self.refused += len(refused)
        self.acknowledged += len(writes) - len(refused)


async def read_all(store: StoreRef) -> dict[str, int | None]:
    """What the store answers."""
    return {key: await store.ask(Read(key)) for key in KEYS}


async def live(calls: Planted, steps: list[Step], model: Model, clock: MockClock) -> None:
    """One life of a store."""
    async with RealDriver(disk=RealDisk(calls)) as driver, histrio.open_system(driver=driver) as system:
        store = await system.spawn(Store, LOG, name="store")
        for step in steps:
            calls.faults.update(Fault(calls.count(name) + nth, name) for name, nth in step.faults)
            clock.jump(step.seconds)
            await model.take(store, step.keys)
            assert await read_all(store) == model.values
        calls.faults.clear()


async def come_back(calls: Planted, model: Model) -> None:
    """The next life, after a power cut."""
    async with RealDriver(disk=RealDisk(calls)) as driver, histrio.open_system(driver=driver) as system:
        store = await system.spawn(Store, LOG, name="store")
        for key, value in (await read_all(store)).items():
            assert value == model.values[key] or value in model.floating[key]


@given(STEPS, st.lists(st.sampled_from(Page), min_size=1), st.booleans())
@settings(max_examples=count("disk_examples"))
@pytest.mark.alarm(600)
def test_no_fault_and_no_power_cut_loses_an_acknowledged_write(
    steps: list[Step], pages: list[Page], short: bool
) -> None:
    """E3: reads always answer what was acknowledged, and after a power cut it is there, or a refused write after it."""
    calls, model, clock = Planted(), Model(), MockClock()
    trio.run(live, calls, steps, model, clock, clock=clock)

    after = calls.power_cut(min if short else max, lambda page: pages[page % len(pages)])
    trio.run(come_back, after, model)
