"""`both` and `either`: an actor writes to two replicas and waits for both, and reads from whoever answers first."""

# Each request of the keeper waits for others, and gives the turn away meanwhile: the two reads at the end run at the
# same time in one actor, and take as long as the slower of them.

from typing import Final

import attrs
import trio

import histrio
from histrio import Left, Right


@attrs.frozen
class Put(histrio.Request[None]):
    """Keep `text` under `key`."""

    key: str
    text: str


@attrs.frozen
class Get(histrio.Request[str]):
    """Answered with the text under `key`."""

    key: str


class Shelf(histrio.Actor[Put | Get]):
    """A place for texts that takes *seconds* for whatever it is asked; for keys in *slow*, ten times as long."""

    def __init__(self, seconds: float, slow: frozenset[str] = frozenset()) -> None:
        self.seconds: Final = seconds
        self.slow: Final = slow
        self.texts: Final[dict[str, str]] = {}

    @histrio.handler(Put)
    async def put(self, m: Put) -> None:
        await self.io.clock.sleep(self.seconds)
        self.texts[m.key] = m.text

    @histrio.handler(Get)
    async def get(self, m: Get) -> str:
        await self.io.clock.sleep(self.seconds * (10 if m.key in self.slow else 1))
        return self.texts[m.key]


class Keeper(histrio.Actor[Put | Get]):
    """Two replicas, of which the first is near and serves as a cache."""

    async def started(self) -> None:
        self.cache = await self.spawn(Shelf, 0.1, frozenset({"cold"}), name="cache")
        self.source = await self.spawn(Shelf, 0.5, name="source")

    @histrio.handler(Put)
    async def put(self, m: Put) -> None:
        await histrio.both(self.cache.ask(m), self.source.ask(m))  # if one fails, so does this

    @histrio.handler(Get)
    async def get(self, m: Get) -> str:
        match await histrio.either(self.cache.ask(m), self.source.ask(m)):  # the other one is not waited for
            case Left(text):
                return f"{text}, from the cache"
            case Right(text):
                return f"{text}, from the source"


async def main(system: histrio.System) -> None:
    """Write two texts, then read them, and tell what each step took."""
    keeper = await system.spawn(Keeper, name="keeper")
    began = trio.current_time()
    await histrio.both(keeper.ask(Put("hot", "soup")), keeper.ask(Put("cold", "salad")))
    print(f"{trio.current_time() - began:.1f} s: both texts are at both replicas")
    hot, cold = await histrio.both(keeper.ask(Get("hot")), keeper.ask(Get("cold")))
    print(f"{trio.current_time() - began:.1f} s: {hot}; {cold}")


if __name__ == "__main__":
    histrio.run(main)
