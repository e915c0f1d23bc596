"""`python -m examples.counter counter.db 10000000 1000`: a durable actor counts to ten million, in lives of a thousand.

Each life counts on, and ends with `ContinueAs`: the next one begins where it was, and its first record replaces all that
was before. So the journal stays as small as after the first life, and a start after a crash takes no longer. Kill it where you
like and start it again: it goes on, and says from where.
"""

import contextlib
import sys
from functools import partial

import attrs

import histrio
from histrio.durable import ContinueAs, DurableActor, open_tree
from histrio_kernel.journal.sqlite import open_sqlite


@attrs.frozen
class WhatIsIt(histrio.Request[int]):
    """How far it is."""


class Counter(DurableActor[WhatIsIt], behaviour="examples.counter"):
    """Counts from a number to a goal, by lives of so many."""

    def __init__(self, number: int, goal: int, a_life: int) -> None:
        self.number = number
        self.goal = goal
        self.a_life = a_life

    async def started(self) -> object:
        for _ in range(min(self.a_life, self.goal - self.number)):
            self.number += 1
        await self.sleep(0)  # without a wait nobody could ask until all is counted: lives follow each other at once
        if self.number < self.goal:
            return ContinueAs(Counter, self.number, self.goal, self.a_life)
        self.finish(self.number)
        return None

    @histrio.handler(WhatIsIt)
    async def what_is_it(self, _: WhatIsIt) -> int:
        return self.number


async def main(system: histrio.System, path: str, goal: int, a_life: int) -> None:
    """Count to the goal, or on to it."""
    async with open_sqlite(path) as journal, open_tree(system, journal) as tree:
        counter = await tree.spawn(Counter, 0, goal, a_life, name="counter")  # unless it is there already
        with contextlib.suppress(histrio.ActorStopped):  # it has counted to its goal
            print("it is at", await counter.ask(WhatIsIt()), flush=True)
        print("it has counted to", await counter.join(), flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    path, goal, a_life = (*given, *("counter.db", "10_000_000", "1_000")[len(given) :])
    histrio.run(partial(main, path=path, goal=int(goal), a_life=int(a_life)))
