"""`python -m examples.orders orders.db`: orders from the input, one "customer article cents" a line."""

from __future__ import annotations

import sys
from functools import partial

import trio

import histrio
from examples.orders.actors import Shop
from examples.orders.messages import Place
from histrio.durable import open_tree
from histrio_kernel.journal.sqlite import open_sqlite


async def main(system: histrio.System, path: str, orders: list[Place]) -> None:
    """Go on with what was begun, take what is new, and wait until all is done."""
    async with open_sqlite(path) as journal, open_tree(system, journal) as tree:
        shop = await tree.spawn(Shop, {"book": 1_000, "pen": 3}, name="shop")
        print("the shop is open", flush=True)
        for place in orders:
            print(await shop.ask(place), "has begun", flush=True)
        while open_orders := [path for path, state in tree.states().items() if "order#" in path and state != "ended"]:
            print(len(open_orders), "orders are open", file=sys.stderr, flush=True)
            await trio.sleep(0.05)
        print("all is done", flush=True)


if __name__ == "__main__":
    lines = [line.split() for line in sys.stdin]
    histrio.run(partial(main, path=sys.argv[1], orders=[Place(who, what, int(cents)) for who, what, cents in lines]))
