"""Four classic races between Histrio actors, for whoever searches schedules: a plain run of Trio hardly ever shows them.

Each is `async def program(world)`; `world` may be the world of a simulation, or a system of a plain run. In a plain run
all tasks go on at the same pace, so whoever is to come later by some steps does; a simulation may hold the others up.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

import histrio
from histrio import Ref, System
from histrio.testing import World

Place = World | System
Program = Callable[[World], Awaitable[None]]
PlainProgram = Callable[[System], Awaitable[None]]

LATER: Final = 8
"""So many steps later comes whoever comes later; the others are done by then, if nothing holds them up."""


async def later() -> None:
    """Come later than the others."""
    for _ in range(LATER):
        await trio.lowlevel.checkpoint()


# -- a lost update ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Read(histrio.Request[int]):
    """What is the count?"""


@attrs.frozen
class Write(histrio.Request[None]):
    """The count is that."""

    count: int


class Store(histrio.Actor[Read | Write]):
    """Holds a count."""

    def __init__(self) -> None:
        self.count = 0

    @histrio.handler(Read)
    async def read(self, message: Read) -> int:
        return self.count

    @histrio.handler(Write)
    async def write(self, message: Write) -> None:
        self.count = message.count


async def lost_update(world: Place) -> None:
    """Two clients add one each by reading, and writing what they have read plus one."""
    store: Ref[Read | Write] = await world.spawn(Store, name="store")

    async def add() -> None:
        await store.ask(Write(await store.ask(Read()) + 1))

    async def add_later() -> None:
        await later()
        await add()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(add, name="ann")
        nursery.start_soon(add_later, name="ben")
    count = await store.ask(Read())
    assert count == 2, f"two have added one, and the count is {count}"


# -- a cycle of bounded inboxes -----------------------------------------------------------------------------------------


@attrs.frozen
class Ball:
    """To be played back so often."""

    times: int


@attrs.frozen
class PlayWith(histrio.Request[None]):
    """Play with that one."""

    partner: "Ref[Ball | PlayWith]"


class Player(histrio.Actor[Ball | PlayWith]):
    """Plays each ball back, one at a time. Its inbox is small, so that whoever plays to it may have to wait."""

    serial = True
    inbox_max = 1

    def __init__(self) -> None:
        self.partner: Ref[Ball | PlayWith] | None = None

    @histrio.handler(PlayWith)
    async def meet(self, message: PlayWith) -> None:
        self.partner = message.partner

    @histrio.handler(Ball)
    async def play(self, message: Ball) -> None:
        if message.times and self.partner is not None:
            await self.partner.tell(Ball(message.times - 1))


async def inbox_cycle(world: Place) -> None:
    """Two players with four balls, and room for one each: both may wait until the other has room."""
    ann: Ref[Ball | PlayWith] = await world.spawn(Player, name="ann")
    ben: Ref[Ball | PlayWith] = await world.spawn(Player, name="ben")
    await ann.ask(PlayWith(ben))
    await ben.ask(PlayWith(ann))

    async def serve(to: Ref[Ball | PlayWith]) -> None:
        for _ in range(2):
            await to.tell(Ball(1))

    async def serve_later(to: Ref[Ball | PlayWith]) -> None:
        await later()
        await serve(to)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, ann, name="to ann")
        nursery.start_soon(serve_later, ben, name="to ben")
    await ann.ask(PlayWith(ben))
    await ben.ask(PlayWith(ann))


# -- a missed wake-up ---------------------------------------------------------------------------------------------------


@attrs.frozen
class IsOpen(histrio.Request[bool]):
    """Is the door open?"""


@attrs.frozen
class WhenOpened(histrio.Request[None]):
    """Answered when the door is opened next."""


@attrs.frozen
class Open(histrio.Request[None]):
    """Open the door, and wake who waits."""


class Door(histrio.Actor[IsOpen | WhenOpened | Open]):
    """Wakes those who wait when it is opened, and only then."""

    def __init__(self) -> None:
        self.is_open = False
        self.waiting: list[trio.Event] = []

    @histrio.handler(IsOpen)
    async def look(self, message: IsOpen) -> bool:
        return self.is_open

    @histrio.handler(WhenOpened)
    async def wait(self, message: WhenOpened) -> None:
        opened = trio.Event()
        self.waiting.append(opened)
        await self.io(opened.wait)

    @histrio.handler(Open)
    async def open(self, message: Open) -> None:
        self.is_open = True
        for opened in self.waiting:
            opened.set()


async def missed_wakeup(world: Place) -> None:
    """A guest looks whether the door is open, and then waits for it: it may be opened between the two."""
    door: Ref[IsOpen | WhenOpened | Open] = await world.spawn(Door, name="door")

    async def guest() -> None:
        if not await door.ask(IsOpen()):
            await door.ask(WhenOpened())

    async def porter() -> None:
        await later()
        await door.ask(Open())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest, name="guest")
        nursery.start_soon(porter, name="porter")


# -- stale state on resume ----------------------------------------------------------------------------------------------


@attrs.frozen
class Buy(histrio.Request[bool]):
    """A seat; is there one?"""


class Theatre(histrio.Actor[Buy]):
    """Sells its one seat. It looks whether it is free, and is paid meanwhile by others, too."""

    def __init__(self) -> None:
        self.free = 1

    @histrio.handler(Buy)
    async def sell(self, message: Buy) -> bool:
        free = self.free
        if not free:
            return False
        await self.io(trio.lowlevel.checkpoint)  # the guest pays; other handlers run
        self.free = free - 1
        return True


async def stale_state(world: Place) -> None:
    """Two guests want the one seat that a theatre has left."""
    theatre: Ref[Buy] = await world.spawn(Theatre, name="theatre")
    seated: list[str] = []

    async def guest(name: str) -> None:
        if await theatre.ask(Buy()):
            seated.append(name)

    async def late_guest() -> None:
        await later()
        await guest("ben")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest, "ann", name="ann")
        nursery.start_soon(late_guest, name="ben")
    assert len(seated) == 1, f"one seat was sold to {seated}"


TOYS: Final[tuple[Program, ...]] = (lost_update, inbox_cycle, missed_wakeup, stale_state)
HIDDEN: Final[tuple[PlainProgram, ...]] = (lost_update, missed_wakeup)
"""Those that a plain run never fails."""
