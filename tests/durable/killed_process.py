"""`python -m tests.durable.killed_process DB LEDGER`: a durable process that prints each state it is seen in, to be killed.

It goes through its states, each with an effect that writes a line outside. In the middle it waits for a value: the program hands
one in, and says so; whoever knows that it has says `answered` when it starts it again. The outputs are its last line.
"""

from __future__ import annotations

import contextlib
import enum
import sys
from functools import partial

import attrs
import trio

import histrio
from histrio.durable import DurableNext, DurableProcess, open_tree, this_effect
from histrio_kernel.journal.sqlite import open_sqlite


class Stage(enum.Enum):
    """Where it is."""

    S0 = 0
    S1 = 1
    S2 = 2
    ASKS = 3
    S4 = 4
    S5 = 5
    S6 = 6


@attrs.frozen
class Inputs:
    """What it is made of."""

    ledger: str
    pause_s: float


@attrs.frozen
class Outputs:
    """What comes of it."""

    did: tuple[str, ...]
    answer: str


async def write(ledger: str, what: str, pause_s: float) -> str:
    """A line outside, and the time that this takes."""
    await trio.sleep(pause_s)
    async with await trio.open_file(ledger, "a", encoding="utf-8") as file:
        await file.write(f"{this_effect().key.rpartition('/')[2]} {what}\n")
    return what


class Trip(DurableProcess[Stage, Inputs, Outputs], behaviour="tests.killed_process"):
    """From the first state to the last."""

    start = True
    did: list[str]
    answer = ""

    async def started(self) -> None:
        self.did = []

    async def advance(self) -> DurableNext[Stage, Outputs]:
        if self.state is Stage.ASKS:
            if self.resumed is None:
                return self.until_resumed()
            self.answer += str(self.resumed)  # a value that came twice would be seen
        self.did.append(await self.io(write, self.inputs.ledger, self.state.name, self.inputs.pause_s))
        if self.state is Stage.S6:
            return histrio.Done(Outputs(tuple(self.did), self.answer))
        return self.to(Stage(self.state.value + 1))


async def main(system: histrio.System, db: str, ledger: str, pause_s: float, is_answered: bool) -> None:
    """Go on with it, or begin."""
    async with open_sqlite(db) as journal, open_tree(system, journal) as tree:
        trip = await tree.spawn(Trip, Inputs(ledger, pause_s), name="trip")
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                with contextlib.suppress(histrio.ActorStopped):  # it had ended before
                    async for state in trip.control.watch_states(Stage):
                        print(state.name, flush=True)
                        if state is Stage.ASKS and not is_answered:
                            await trip.control.resume("yes")
                            print("answered", flush=True)

            nursery.start_soon(watch)
            outputs = await trip.join()
        print(outputs, flush=True)


if __name__ == "__main__":
    DB, LEDGER, PAUSE_S, *rest = sys.argv[1:]
    histrio.run(partial(main, db=DB, ledger=LEDGER, pause_s=float(PAUSE_S), is_answered=bool(rest)))
