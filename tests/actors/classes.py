"""A slow actor for whoever needs a full inbox; and classes that a test makes as it runs, with what it is given."""

import types
from typing import Any, cast

import attrs
import trio

import histrio


@attrs.frozen
class Write:
    number: int


class Slow(histrio.Actor[Write]):
    """Has room for one message, and handles none to its end before the gate opens."""

    inbox_max = 1

    def __init__(self, seen: list[int], gate: trio.Event) -> None:
        self.seen = seen
        self.gate = gate

    async def receive(self, message: Write) -> None:
        self.seen.append(message.number)
        await self.gate.wait()


def new_actor(*bases: Any, **body: object) -> type[histrio.Actor[Any]]:
    """A class `Made` with these bases and this body; it stands in this module unless the body says another."""

    def fill(namespace: dict[str, object]) -> None:
        namespace.update({"__module__": __name__, **body})

    return cast("type[histrio.Actor[Any]]", types.new_class("Made", bases, exec_body=fill))
