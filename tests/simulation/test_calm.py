"""D4: `world.calm()` is for what is to be there before the unlucky part begins."""

from __future__ import annotations

from functools import partial

import trio
from tests.effort import count

from histrio.testing import Faults, World, explore
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
