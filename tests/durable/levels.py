"""A durable tree of three levels in a simulated world, whose every record is the same whatever happens in between.

A firm has two crews at once, and a mason each; they ask, tell, wait, fail and end. What each of them gets comes in one
order only, because each thing that comes follows from the one before it. So no schedule and no crash makes a difference to
the records of a path, and records can be compared byte by byte.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, final

import attrs
import msgspec
import trio

import histrio
from histrio.durable import DurableActor, DurableRef, DurableTree, open_tree, this_effect
from histrio_kernel.driver import Disk
from histrio_kernel.journal.codec import decode
from histrio_kernel.journal.logged import LoggedJournal, open_logged
from histrio_kernel.journal.record import Record
from histrio_kernel.signals import Kind

PATH: Final = "/journal"
FIRM: Final = "/firm"
IDENTITY: Final = "0123456789abcdef"
"""Of each journal here, so that keys and chance are the same."""

NOT_COMPARED: Final = frozenset({Kind.CRASH, Kind.RESTART})
"""What tells of crashes."""


@attrs.frozen
class Told:
    """What the world outside knows: an effect "began" there, or a client was "answered"."""

    what: str
    value: object


@final
class Outside:
    """The world outside."""

    notes: list[object]
    """Of the world that is simulated now."""


OUTSIDE: Final = Outside()


async def lay(number: int) -> int | None:
    """Twice the number, after as many hundredths of a second; None for 2, and an error for 3."""
    OUTSIDE.notes.append(Told("began", this_effect().key))
    await trio.sleep(number / 100)
    if number == 3:
        raise ValueError("no third")
    return None if number == 2 else 2 * number


async def never() -> None:
    """It rains."""
    await trio.sleep_forever()


@attrs.frozen
class Build(histrio.Request[object]):
    """Build it with so many crews, and say what was built."""

    number: int
    crews: int = 2
    plan: bytes = b""


@attrs.frozen
class Begin:
    """Work for whoever sent it."""

    number: int


@attrs.frozen
class Lay(histrio.Request[int]):
    """Lay so many."""

    number: int


@attrs.frozen
class Count(histrio.Request[int]):
    """How many are there, and as many more?"""

    more: int


@attrs.frozen
class Laid:
    """So many were laid."""

    number: int


CHANGED: Final[dict[str, int]] = {}
"""What a deploy has changed: how much more a mason says that he has laid."""


class Mason(DurableActor[Lay | Count], behaviour="levels mason"):
    """The lowest level: effects, a message upward, and an end."""

    def __init__(self, crew: DurableRef[Begin | Laid]) -> None:
        self.crew = crew
        self.laid = 0

    @histrio.handler(Lay)
    async def lay(self, message: Lay) -> int:
        laid = await self.io(lay, message.number)
        self.laid += laid or 0
        await self.sleep(0.25)
        await self.crew.tell(Laid(self.laid + CHANGED.get(self.path, 0)))
        if message.number == 2:
            self.finish(f"{self.laid} laid")
        return self.laid

    @histrio.handler(Count)
    async def count(self, message: Count) -> int:
        if message.more < 0:
            await self.io(lay, 1)
            self.laid += 100  # a step that fails has never happened
            raise LookupError("less than nothing")
        return self.laid + message.more


class Crew(DurableActor[Begin | Laid], behaviour="levels crew"):
    """The middle level: questions, a child that fails, a race, an effect that fails, and an end."""

    def __init__(self) -> None:
        self.told: list[object] = []

    @histrio.handler(Begin)
    async def begin(self, message: Begin) -> None:
        mason = await self.spawn(Mason, self.ref)
        self.told.append(await mason.ask(Lay(message.number)))
        self.told.append(await histrio.both(mason.ask(Count(1)), mason.ask(Count(2))))
        try:
            await mason.ask(Count(-1))
        except histrio.ActorFailed:
            self.told.append("failed")
        race = await histrio.either(self.io(never), self.sleep(0.5))
        self.told.append(type(race).__name__)
        try:
            await self.io(lay, 3)
        except ValueError as error:
            self.told.append(str(error))
        self.told.append(await mason.ask(Lay(2)))
        self.told.append(await mason.join())
        self.finish(tuple(self.told))

    @histrio.handler(Laid)
    async def count(self, message: Laid) -> None:
        self.told.append(f"{message.number}!")


class Firm(DurableActor[Build], behaviour="levels firm"):
    """The top: children that work at the same time."""

    def __init__(self) -> None:
        self.built: list[object] = []

    @histrio.handler(Build)
    async def build(self, message: Build) -> object:
        crews = [await self.spawn(Crew) for _ in range(message.crews)]
        for number, crew in enumerate(crews, 4):
            await crew.tell(Begin(number * message.number))
        for crew in crews:
            self.built.append(await crew.join())
        self.built.append(await self.io(lay, message.number))
        await self.sleep(1)
        return len(self.built), str(self.uuid()), self.built[-1]


@asynccontextmanager
async def open_house(system: histrio.System, disk: Disk, notes: list[object]) -> AsyncGenerator[DurableTree]:
    """The tree of the journal on that disk; what happens outside is noted there."""
    OUTSIDE.notes = notes
    async with journal_on(disk) as journal, open_tree(system, journal) as tree:
        yield tree


def journal_on(disk: Disk) -> AbstractAsyncContextManager[LoggedJournal]:
    """The journal alone."""
    return open_logged(disk, PATH, IDENTITY)


async def go_on(tree: DurableTree, orders: Sequence[Build], notes: list[object]) -> None:
    """A client asks what was not asked yet, one after the other, and waits for what was; each answer is noted."""
    firm = await tree.spawn(Firm, name="firm")
    for place, order in enumerate(orders):
        records = await tree.journal.records(FIRM)
        asked = [decode(each.payload, tree.dereference) for each in records if each.kind is Kind.RECEIVE]
        if order not in asked:
            notes.append(Told("answered", await firm.ask(order)))
        while not await has_answered(tree, place + 1):  # noqa: ASYNC110 - what was asked before a crash has no event
            await trio.sleep(0.1)


async def has_answered(tree: DurableTree, count: int) -> bool:
    """Whether so many answers to the client are in the journal."""
    return sum(each.key == "?!" for each in await tree.journal.records(FIRM)) >= count


async def traces(tree: DurableTree) -> Mapping[str, bytes]:
    """What is compared of all paths."""
    return {path: trace(await tree.journal.records(path)) for path in tree.states()}


def trace(records: Sequence[Record]) -> bytes:
    """What is compared of one path: kind, key, payload's digest and scope of each record, as bytes.

    Left out are CRASH and RESTART; `seq` and `cause`, which count them; `incarnation`; `at`, and the payload of a TIMER, which
    is a time. Attempts of an effect have no records of their own: there is one USE for each key. Two pasts, one behind the
    other, are the bytes of one behind those of the other.
    """
    return b"".join(
        msgspec.msgpack.encode((each.kind.value, each.key, b"" if each.kind is Kind.TIMER else each.digest, each.scope))
        for each in records
        if each.kind not in NOT_COMPARED
    )
