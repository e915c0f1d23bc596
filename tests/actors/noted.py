"""Actors that write down how they live, and how they end."""

import attrs
import trio
import trio.testing

import histrio
from histrio import Ref


@attrs.frozen
class Say(histrio.Request[str]):
    what: str


class Noted(histrio.Actor[Say]):
    """It writes down how it lives."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def receive(self, message: Say) -> str:
        if message.what == "fail":
            raise ValueError(f"{self.name} failed")
        if message.what == "wait":
            try:
                await self.io(trio.sleep_forever)
            finally:
                self.log.append(f"{self.name} cleaned up")
        self.log.append(f"{self.name} {message.what}")
        return message.what

    async def stopped(self, reason: histrio.Reason) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append(f"{self.name} stopped")


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


class OneAtATime(Noted):
    in_flight_max = 1


async def spawn_three(system: histrio.System, log: list[str], kind: type[Noted] = Noted) -> list[Ref[Say]]:
    """Three actors, in order."""
    return [await system.spawn(kind, name, log, name=name) for name in ("a", "b", "c")]


STOPPED_IN_ORDER = ["c stopped", "b stopped", "a stopped"]
