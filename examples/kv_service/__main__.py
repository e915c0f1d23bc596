"""`python -m examples.kv_service`: serve at PORT (8080) of this machine, with the data in the directory DATA (./data).

Exit codes: 0, it was stopped by SIGINT or SIGTERM and finished what it had accepted; 1, it failed, more often than it
may start again; 2, the port or the directory cannot be used; 3, the log is damaged; 130 and 143, a second SIGINT or
SIGTERM ended it on the spot.
"""

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Final

import trio

import histrio
from examples.kv_service.front import Address, Front
from examples.kv_service.place import NoPlace, Place
from examples.kv_service.service import FRONT, served_at
from histrio_kernel.log import LogError
from histrio_kernel.real import RealDisk, RealDriver
from histrio_kernel.real.syscalls import Syscalls

__all__ = ("main",)

FAILED: Final = 1
NO_PLACE: Final = 2
DAMAGED: Final = 3


def main(syscalls: Syscalls | None = None) -> int:
    """Serve until a signal comes; the value is the exit code.

    Args:
        syscalls: the calls into the operating system that the disk makes; tests give one with faults.

    """
    logging.basicConfig(format="kv_service: %(levelname)s: %(message)s")
    try:
        place = Place.taken(os.environ)
    except NoPlace as reason:
        return _give_up(reason, NO_PLACE)
    with place:
        return trio.run(_until_stopped, place, RealDisk(syscalls))


async def _until_stopped(place: Place, disk: RealDisk) -> int:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            stop = trio.Event()
            nursery.start_soon(_heed, signals, stop)
            try:
                async with RealDriver(disk=disk) as driver, histrio.open_system("kv_service", driver=driver) as system:
                    code = await _serve(system, place, stop)
            except histrio.SystemFailed as failed:
                code = _has_failed(failed)
            nursery.cancel_scope.cancel()
    return code


async def _heed(signals: AsyncIterator[int], stop: trio.Event) -> None:
    """The first signal stops the service in order, the second one now: what was acknowledged is on the disk."""
    async for number in signals:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()


async def _serve(system: histrio.System, place: Place, stop: trio.Event) -> int:
    try:
        await system.spawn(served_at(place))
    except histrio.ActorFailed as failed:
        return _cannot_start(failed)
    front = system.find(Front, FRONT)
    assert front is not None
    print(f"kv_service listens at {await front.ask(Address())}, its data is in {place.data}", flush=True)
    await stop.wait()
    place.listener.close()  # the front closes its own, and then nobody listens
    return 0


def _cannot_start(failed: histrio.ActorFailed) -> int:
    cause: BaseException = failed
    while isinstance(cause, histrio.ActorFailed) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, LogError):
        return _give_up(cause, DAMAGED)
    if isinstance(cause, OSError):
        return _give_up(cause, NO_PLACE)
    raise failed


def _has_failed(failed: histrio.SystemFailed) -> int:
    """Say why, a line for each reason, from the last end back to the first cause."""
    _, *reasons = failed.reason.chain()  # the first says that the system has failed
    for line in reasons:
        print(f"kv_service: {line}", file=sys.stderr)
    return FAILED


def _give_up(reason: BaseException, code: int) -> int:
    print(f"kv_service: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
