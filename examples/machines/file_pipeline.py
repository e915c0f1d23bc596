"""A file is downloaded, processed and uploaded, all on the host where it lies; on another host if that one is lost.

`session` is the stay on one host. The steps require it, so they end with it, and its task removes the file from the very
host that it was on, however it ends. What a host refuses is tried there again. When a session has ended without success
the machine is `searching`, by itself, and takes the next host.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import attrs
import trio

import histrio
from examples.machines.hosts import Host, Order, Remove, Step
from histrio import Left, Ref, Right, State, Transition, exclusive, group


@attrs.frozen
class Run(histrio.Request[str]):
    """Take a file through the pipeline; answered with the host that did it, or that none could."""


@attrs.frozen
class Stay:
    """On which host."""

    host: Ref[Order]


class Pipeline(histrio.States):
    """How far a file has come."""

    wanted = State()
    searching = State(auto=True, require=[wanted])
    session = State(Stay, require=[wanted], until_done=True)
    exclusive(searching, session)
    download = State(require=[session])
    process = State(require=[session])
    upload = State(require=[session])
    exclusive(download, process, upload)
    steps = group(download, process, upload)
    done = State(remove=[wanted])
    given_up = State(remove=[wanted])


class Carrier(histrio.Actor[Run], states=Pipeline):
    """Takes one file through the pipeline."""

    def __init__(self, file: str, hosts: Sequence[Ref[Order]]) -> None:
        self.file: Final = file
        self.hosts: Final = iter(hosts)

    @histrio.handler(Run)
    async def carry(self, m: Run) -> str:
        self.states.add(Pipeline.wanted)
        match await histrio.either(self.states.when(Pipeline.done), self.states.when(Pipeline.given_up)):
            case Left():
                return "done"
            case Right():
                return "no host is left"

    @Pipeline.searching.entered
    def search(self, t: Transition[None]) -> None:
        host = next(self.hosts, None)
        self.states.add(Pipeline.given_up if host is None else Pipeline.session(host))

    @Pipeline.session.entered
    async def stay(self, t: Transition[Stay]) -> None:
        host = t.args.host
        try:
            await self.work_on(host)
        except (histrio.ActorStopped, histrio.Refusal) as error:
            print(f"  {error}")
            return
        finally:
            with trio.move_on_after(1, shield=True), suppress(histrio.ActorStopped):
                await host.ask(Remove(self.file))
        self.states.add(Pipeline.done)

    async def work_on(self, host: Ref[Order]) -> None:
        again = histrio.Retry(attempts_max=3, first_s=0.1, on=(histrio.Refusal,))
        for step in Pipeline.steps:
            self.states.add(step)
            await self.io(host.ask, Step(step.name, self.file), retry=again)


async def main(system: histrio.System) -> None:
    """A file whose first host is lost and whose second one has a bad start; and a file for which no host is good enough."""
    lost = await system.spawn(Host, 0, "process", name="lost")
    shaky = await system.spawn(Host, 2, name="shaky")
    broken = await system.spawn(Host, 99, name="broken")
    for file, hosts in {"first.csv": [lost, shaky], "second.csv": [broken]}.items():
        print(file)
        carrier = await system.spawn(Carrier, file, hosts)
        print(f"  {await carrier.ask(Run())}")


if __name__ == "__main__":
    histrio.run(main)
