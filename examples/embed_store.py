"""The store inside a Trio application that knows nothing of actors: one more scope around it, and no other change."""

import tempfile
from pathlib import Path

import trio

import histrio
from examples.kv_service.data import spawn_store
from examples.kv_service.messages import Read, Write


async def sensor(store: histrio.Ref[Write], name: str) -> None:
    """Any task of the application asks by the ref; when this returns, the value is safe on the disk."""
    await store.ask(Write(name, 21))


async def application(directory: Path) -> None:
    """Leaving the system stops the store: what it has accepted is finished first."""
    async with histrio.open_system() as system:
        store = await spawn_store(system, directory / "kv.log")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sensor, store, "north")
        print("north", await store.ask(Read("north")))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        trio.run(application, Path(temporary))
