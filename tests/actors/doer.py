"""An actor that does what it is told, for tests that say in one place what a handler does and what is seen."""

from collections.abc import Awaitable, Callable

import attrs

import histrio


class Do(histrio.Request[object]):
    """Run the function with the actor, as a handler."""

    def __init__(self, function: "Callable[[Doer], Awaitable[object]]") -> None:
        self.function = function


@attrs.frozen
class Note(histrio.Request[int]):
    """Leaves a mark; is answered with the number of marks."""

    mark: str = "note"


class Doer(histrio.Actor[Do | Note]):
    """Does what it is told."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.field: object = None

    async def started(self) -> None:
        self.door: histrio.Promise[None] = self.promise()

    @histrio.handler(Do)
    async def do(self, m: Do) -> object:
        return await m.function(self)

    @histrio.handler(Note)
    async def note(self, m: Note) -> int:
        self.seen.append(m.mark)
        return len(self.seen)


class SerialDoer(Doer):
    """Keeps the turn while it does so."""

    serial = True
    inbox_max = 1


class DoerOfOne(Doer):
    """Has one handler in flight."""

    in_flight_max = 1
    inbox_max = 2


async def through_the_door(actor: Doer) -> None:
    """Wait until somebody opens the door."""
    actor.seen.append("waits")
    await actor.door
    actor.seen.append("goes on")
