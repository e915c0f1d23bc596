"""`python -m examples.kv_service`: serve at PORT (8080) of this machine, with the data in the directory DATA (./data).

Exit codes: 0, it was stopped by SIGINT or SIGTERM and finished what it had accepted; 1, it failed; 2, the port or the
directory cannot be used; 3, the log is damaged; 130 and 143, a second SIGINT or SIGTERM ended it on the spot.
"""

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Final

import trio

import histrio
from examples.kv_service.front import Address, Front, StorePages, make_app
from examples.kv_service.place import NoPlace, Place
from examples.kv_service.store import Store
from histrio_kernel.log import LogError

__all__ = ("main",)

FAILED: Final = 1
NO_PLACE: Final = 2
DAMAGED: Final = 3


def main() -> int:
    """Serve until a signal comes; the value is the exit code."""
    logging.basicConfig(format="kv_service: %(levelname)s: %(message)s")
    try:
        place = Place.taken(os.environ)
    except NoPlace as reason:
        return _give_up(reason, NO_PLACE)
    with place:
        return trio.run(_until_stopped, place)


async def _until_stopped(place: Place) -> int:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            stop = trio.Event()
            nursery.start_soon(_heed, signals, stop)
            code = await _serve(place, stop)
            nursery.cancel_scope.cancel()
    return code


async def _heed(signals: AsyncIterator[int], stop: trio.Event) -> None:
    """The first signal stops the service in order, the second one now: what was acknowledged is on the disk."""
    async for number in signals:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()


async def _serve(place: Place, stop: trio.Event) -> int:
    async with histrio.open_system("kv_service") as system:
        try:
            store = await system.spawn(Store, place.log, name="store")
        except histrio.ActorFailed as failed:
            return _cannot_start(failed)
        pages = StorePages(store, system)
        app = make_app(pages.command, pages.health, pages.tree)
        front = await system.spawn(Front, app, place.listener, name="front")
        print(f"kv_service listens at {await front.ask(Address())}, its data is in {place.data}", flush=True)
        await stop.wait()
    return 0


def _cannot_start(failed: histrio.ActorFailed) -> int:
    cause = failed.reason.cause
    if isinstance(cause, LogError):
        return _give_up(cause, DAMAGED)
    if isinstance(cause, OSError):
        return _give_up(cause, NO_PLACE)
    raise failed


def _give_up(reason: BaseException, code: int) -> int:
    print(f"kv_service: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
