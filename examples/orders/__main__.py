"""`python -m examples.orders orders.db`: orders from the input, one "customer article cents" a line."""

from __future__ import annotations

import sys
from functools import partial

import trio

import histrio
from examples.orders.actors import Shop
from examples.orders.messages import Place
from histrio.durable import DurableTree, open_tree
from histrio_kernel.journal.sqlite import open_sqlite


async def main(system: histrio.System, path: str, orders: list[Place]) -> str | None:
    """Go on with what was begun, take what is new, and wait until all is done; or say what cannot be."""
    async with open_sqlite(path) as journal, open_tree(system, journal) as tree:
        shop = await tree.spawn(Shop, {"book": 1_000, "pen": 3}, name="shop")
        print("the shop is open", flush=True)
        for place in orders:
            print(await shop.ask(place), "has begun", flush=True)
        while is_open := [path for path, state in orders_of(tree) if state == "live"]:
            print(len(is_open), "orders are open", file=sys.stderr, flush=True)
            await trio.sleep(0.05)
        if stuck := [path for path, state in orders_of(tree) if state == "quarantined"]:
            return f"the code has changed, and these orders cannot go on by it: {', '.join(stuck)}"
        print("all is done", flush=True)
        return None


def orders_of(tree: DurableTree) -> list[tuple[str, str]]:
    """The paths of the orders, and what has become of each."""
    return [(path, state) for path, state in tree.states().items() if "order#" in path]


if __name__ == "__main__":
    lines = [line.split() for line in sys.stdin]
    wanted = [Place(who, what, int(cents)) for who, what, cents in lines]
    sys.exit(histrio.run(partial(main, path=sys.argv[1], orders=wanted)))
