"""Services that come up by themselves when what they need is up, and fall with it; a graph of `require` and `auto`.

Nobody computes an order. A service that takes time to start has two states: `..._starts`, which is `auto` and whose task
does the starting, and the one that others require. If a service fails, those that need it end in the same transition,
and all of them come up again in the same way.
"""

from typing import Final

import trio

import histrio
from histrio import Machine, State, Transition, exclusive, group


class Services(histrio.States):
    """What is up, and what is on its way."""

    stopping = State(remove=["database_starts", "cache_starts", "site_starts"])  # so nobody calls them
    config = State()
    database_starts = State(auto=True, require=[config])
    database = State(require=[config])
    cache_starts = State(auto=True, require=[config])
    cache = State(require=[config])
    site_starts = State(auto=True, require=[database, cache])
    site = State(require=[database, cache])
    exclusive(database_starts, database)
    exclusive(cache_starts, cache)
    exclusive(site_starts, site)
    up = group(config, database, cache, site)


class House(histrio.Handlers, states=Services):
    """How long each takes to start, and a line for each change."""

    def __init__(self, machine: Machine) -> None:
        self.machine: Final = machine
        self.began: Final = trio.current_time()
        self.shown: list[str] = []

    @Services.database_starts.entered
    async def start_database(self, t: Transition[None]) -> None:
        await trio.sleep(0.3)
        self.machine.add(Services.database)

    @Services.cache_starts.entered
    async def start_cache(self, t: Transition[None]) -> None:
        await trio.sleep(0.1)
        self.machine.add(Services.cache)

    @Services.site_starts.entered
    async def start_site(self, t: Transition[None]) -> None:
        await trio.sleep(0.2)
        self.machine.add(Services.site)

    @histrio.any_state.entered
    def show(self, t: Transition[object]) -> None:
        up = [state.name for state in Services.up if state in self.machine]
        if up != self.shown:
            self.shown = up
            print(f"{trio.current_time() - self.began:.1f} s: {', '.join(up) or 'nothing'}")


async def main() -> None:
    """Let all come up, let one of them fail, and stop them: the last first."""
    async with Machine(Services) as machine:
        machine.bind(House(machine))
        machine.add(Services.config)
        await machine.when(Services.site)
        print("the database fails")
        machine.remove(Services.database)
        await machine.when(Services.site)
        print("stop")
        machine.add(Services.stopping)
        for name in reversed(machine.names):  # what is required stands before what requires it
            machine.remove(name)


if __name__ == "__main__":
    trio.run(main)
