"""Actors that do what is heard of, one thing for each message, and what tests ask of the signals that they heard."""

import attrs
import trio
import trio.testing

import histrio
from histrio import Kind, Signal


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


@attrs.frozen
class Do(histrio.Request[str]):
    """What `Worker` is to do."""

    what: str


class Lamp(histrio.States):
    """What a worker may switch on."""

    on = histrio.State()


class Worker(histrio.Actor[Do], states=Lamp):
    """Does one thing of each kind that there is a signal for."""

    inbox_max = 2

    async def receive(self, message: Do) -> str:
        match message.what:
            case "io":
                await self.io(trio.sleep, 1)
            case "spawn":
                await self.spawn(Worker, name="child")
            case "join":
                child = await self.spawn(Worker)
                child.control.stop()
                await child.join()
            case "tell":
                await self.ref.tell(Do("nothing"))
            case "ask":
                await self.ref.ask(Do("nothing"))
            case "select":
                return (await self.select(Do)).what
            case "filter":
                return (await self.filter(lambda m: m.what == "wanted")).what
            case "refuse":
                raise histrio.Refusal("not today")
            case "fail":
                raise ValueError("broken")
            case "timer":
                self.timers.after(1, Do("nothing"))
            case "switch":
                self.states.add(Lamp.on)
            case "hold":
                await trio.sleep(1)
            case _:
                pass
        return message.what


class Lossy(Worker):
    """Drops what it has no room for."""

    overflow = histrio.DROP_OLD


def of(path: str, heard: list[Signal]) -> list[Kind]:
    """The kinds of that actor's signals, in order."""
    return [signal.kind for signal in heard if signal.path == path]
