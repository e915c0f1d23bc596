"""The store and its log, supervised: what any program spawns that wants the store, with HTTP or without."""

# Design note
# -----------
# REST_FOR_ONE: when the log fails, the store's memory is worth no more than what the log now reads from the file, so
# both start again. When only the store fails, the log goes on, and is read by the next store.
#
# The budget is five restarts in half a minute, each after a longer pause than the one before. A disk that is not well
# after these some seconds is somebody else's to look at.

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeAlias

import histrio
from examples.kv_service.log import LogFile
from examples.kv_service.messages import STORE, StoreMessage
from examples.kv_service.store import Store
from histrio.messages import ChildRequest

__all__ = ("SupervisorSpec", "kept_in", "spawn_store")

SupervisorSpec: TypeAlias = histrio.Child[ChildRequest]

BACKOFF: Final = histrio.Backoff(first_s=0.1, factor=2, max_s=2, jitter=0.5)


def kept_in(
    path: Path, *, restarts_max: int = 5, window_s: float = 30, backoff: histrio.Backoff | None = BACKOFF
) -> SupervisorSpec:
    """A supervisor of a log at *path* and the store in it, which is found under the key `STORE`."""
    log = histrio.child("log", LogFile, path)
    return histrio.child(
        "data",
        histrio.Supervisor,
        log,
        histrio.child("store", Store, log.ref),
        strategy=histrio.REST_FOR_ONE,
        restarts_max=restarts_max,
        window_s=window_s,
        backoff=backoff,
    )


async def spawn_store(system: histrio.System, path: Path) -> histrio.Ref[StoreMessage]:
    """Start a store in the log at *path*, without HTTP, and give its ref, which stays good when it is started again.

    Raises:
        ActorFailed: the log cannot be opened, or is damaged.

    """
    await system.spawn(kept_in(path))
    return await system.registry.wait(STORE)
