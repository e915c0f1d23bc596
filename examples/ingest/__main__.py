"""Run the pipeline over TCP for some seconds, with a client that sends and somebody who kills, and tell what became."""

import functools
import sys
from random import Random

import trio

import histrio
from examples.ingest.chaos import kill_at_random
from examples.ingest.client import Client
from examples.ingest.pipeline import pipeline

LINES = 2_000
SECONDS = 5.0


async def main(system: histrio.System) -> None:
    """The whole of it."""
    random = Random()
    stored: dict[int, str] = {}

    async def write(number: int, record: str) -> None:
        await trio.sleep(random.uniform(0, 0.01))
        if random.random() < 0.01:
            raise OSError(f"no, not {number}")
        stored[number] = record

    port = (await free_port())[1]

    async def listen() -> trio.SocketListener:
        return (await trio.open_tcp_listeners(port, host="127.0.0.1"))[0]

    await system.spawn(pipeline(listen, write))
    client = Client(functools.partial(trio.open_tcp_stream, "127.0.0.1", port))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, [(number, f"Line  {number}") for number in range(LINES)])
        kills = await kill_at_random(system, "/ingest", random, SECONDS, 0.1)
    print(system.tree())
    await system.stop()  # in order: the listener first, the sink when nobody needs it any more
    lost = client.accepted - stored.keys() - dead(system)
    print(
        f"{kills} kills, {client.connections} connections; {len(client.accepted)} lines accepted, {len(stored)} stored,"
        f" {len(dead(system))} dead letters, {len(lost)} lost"
    )
    if lost:
        sys.exit(f"lost: {sorted(lost)}")


def dead(system: histrio.System) -> set[int]:
    """The numbers of lines that are dead letters."""
    return {number for letter in system.dead_letters if (number := getattr(letter.message, "number", None)) is not None}


async def free_port() -> tuple[str, int]:
    """An address that nobody listens at."""
    with trio.socket.socket() as socket:
        await socket.bind(("127.0.0.1", 0))
        host, port = socket.getsockname()
        return host, port


async def run() -> None:
    """A system that forgets no dead letter."""
    async with histrio.open_system("ingest", dead_letters_max=10 * LINES) as system:
        await main(system)


if __name__ == "__main__":
    trio.run(run)
