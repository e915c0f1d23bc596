"""A program of Trio's own means alone; run as a script, it prints the hash of its trace, which no version of Trio changes.

python -m tests.simulation.plain_trio > tests/simulation/golden_trace.txt
"""

from collections.abc import AsyncGenerator

import trio

from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.strategies.random_walk import RandomWalk


async def count(upto: int) -> AsyncGenerator[int, None]:
    """So many, and a wait behind each."""
    for number in range(upto):
        yield number
        await trio.lowlevel.checkpoint()


async def plain_trio() -> list[str]:
    """Nurseries, scopes, equal deadlines, events, channels, locks, started tasks, and a call from outside."""
    seen: list[str] = []
    send, receive = trio.open_memory_channel[int](1)
    lock, done = trio.Lock(), trio.Event()

    async def producer(task_status: trio.TaskStatus[str]) -> None:
        task_status.started("started")
        async with send:
            async for number in count(5):
                await send.send(number)

    async def consumer(name: str) -> None:
        async for number in receive:
            async with lock:
                await trio.lowlevel.checkpoint()
                seen.append(f"{name} {number}")

    async def sleeper(number: int) -> None:
        with trio.move_on_after(1 + number % 2):
            try:
                await trio.sleep_forever()
            finally:
                seen.append(f"sleeper {number}")

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(sleeper, number, name=f"sleeper {number}")
        seen.append(await nursery.start(producer, name="producer"))
        for name in ("ann", "ben"):
            nursery.start_soon(consumer, name, name=name)
        trio.lowlevel.current_trio_token().run_sync_soon(done.set)
        await done.wait()
    given_up = count(3)
    seen.append(f"{await anext(given_up)}")
    await given_up.aclose()
    return seen


if __name__ == "__main__":
    print(Simulation(RandomWalk(5)).run(plain_trio).trace_hash)
