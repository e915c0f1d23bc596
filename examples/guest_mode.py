"""Actors in an asyncio program: Trio runs as a guest of asyncio's loop, in the same thread, and Histrio in it."""

# Both loops share one thread, so nothing here needs a lock. But Trio's functions work only while Trio is running: what
# asyncio wants of it goes through the token, which runs it in Trio's next turn.

import asyncio
from typing import Final, TypeVar

import attrs
import trio
from outcome import Outcome, acapture

import histrio

M = TypeVar("M")
R = TypeVar("R")


@attrs.frozen
class Add(histrio.Request[int]):
    """Answered with the sum so far."""

    number: int


class Sum(histrio.Actor[Add]):
    """Adds up."""

    total = 0

    @histrio.handler(Add)
    async def add(self, m: Add) -> int:
        self.total += m.number
        return self.total


class Actors:
    """A system of actors for asyncio code: `async with Actors() as actors`, then `await actors.ask(ref, message)`."""

    async def __aenter__(self) -> "Actors":
        """Start Trio as a guest of the running loop; it has opened a system when this returns."""
        loop: Final = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[Outcome[None]] = loop.create_future()
        trio.lowlevel.start_guest_run(
            self._host, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=self._over.set_result
        )
        either: set[asyncio.Future[None] | asyncio.Future[Outcome[None]]] = {self._ready, self._over}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._over.done():  # it did not even start
            self._over.result().unwrap()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the actors in order, and Trio."""
        self._token.run_sync_soon(self._close.set)
        (await self._over).unwrap()

    async def ask(self, ref: histrio.Ref[M], message: histrio.Askable[M, R]) -> R:
        """What `await ref.ask(message)` is in Trio."""
        reply: asyncio.Future[Outcome[R]] = asyncio.get_running_loop().create_future()

        async def wait() -> None:
            outcome = await acapture(_answer, ref, message)
            if not reply.done():  # nobody in asyncio has given up waiting
                reply.set_result(outcome)

        self._token.run_sync_soon(self._nursery.start_soon, wait)
        return (await reply).unwrap()

    async def _host(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._close = trio.Event()
        async with histrio.open_system() as system, trio.open_nursery() as self._nursery:
            self.sum = await system.spawn(Sum, name="sum")
            self._ready.set_result(None)
            await self._close.wait()


async def _answer(ref: histrio.Ref[M], message: histrio.Askable[M, R]) -> R:
    return await ref.ask(message)


async def main() -> None:
    """Ask an actor from asyncio tasks."""
    async with Actors() as actors:
        sums = await asyncio.gather(*(actors.ask(actors.sum, Add(1)) for _ in range(3)))
        print("asked from asyncio:", sorted(sums))
    print("both loops have ended")


if __name__ == "__main__":
    asyncio.run(main())
