"""D4: when no fault strikes, in `world.calm()` and after `world.eventually(...)`; and what stands in for the real world."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from tests.effort import count

import histrio
from histrio.testing import Faults, World, explore, simulate
from histrio_kernel.driver import DiskFailed
from histrio_kernel.simulation.disk_faults import DiskFaults

FAILING = Faults(disk=DiskFaults(write_fails=True))


async def prepare(world: World, *, calmly: bool) -> None:
    """Write something, which a late clock would not let pass, on a disk whose writes fail."""

    async def write() -> None:
        with trio.fail_after(0.5):
            file = await world.disk.open("/settings")
            await world.disk.append(file, b"on")

    if calmly:
        with world.calm():
            await write()
    else:
        await write()


def test_in_the_calm_nothing_goes_wrong() -> None:
    """D4: no fault strikes, and nobody is slow: a limit of time holds under every schedule."""
    report = explore(partial(prepare, calmly=True), count("explored_schedules"), faults=FAILING)

    assert not report.failed, report.explanation


def test_after_it_everything_may() -> None:
    """D4: the same without it fails."""
    report = explore(partial(prepare, calmly=False), 300, faults=FAILING)

    assert report.failed
    assert isinstance(report.error, DiskFailed | trio.TooSlowError)


def test_the_calm_ends_no_peace() -> None:
    """D4: a calm that began before `eventually` and ends after it brings no fault back."""

    async def main(world: World) -> None:
        with world.calm():
            await world.eventually(lambda: True)
        file = await world.disk.open("/settings")
        await world.disk.append(file, b"on")

    report = explore(main, count("explored_schedules"), faults=FAILING)

    assert not report.failed, report.explanation


async def ring() -> str:
    """Somebody in the real world."""
    raise AssertionError("a real bell")


@pytest.mark.parametrize("by", ["io", "background"])
def test_what_reaches_the_real_world_is_replaced(by: str) -> None:
    """D2: whichever way an actor calls it, the fake is called."""

    class Rings(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            call = self.io if by == "io" else self.background
            rung.append(await call(ring))

    async def fake() -> str:
        return "a fake bell"

    async def main(world: World) -> None:
        world.replace(ring, fake)
        await (await world.spawn(Rings)).tell("now")
        await world.settle()

    rung: list[str] = []
    simulate(main)
    assert rung == ["a fake bell"]
