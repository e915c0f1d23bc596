"""What has come to a durable actor and waits to be the input of a step."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, final

from trio.lowlevel import ParkingLot

from histrio.durable.items import Beat, Begin, Done, Go, Item, Letter, Restarted, Told, Transact
from histrio_kernel.journal.store import Mail

__all__ = ["Arrivals"]


@final
class Arrivals:
    """Two lines: what ended is taken before what is new (A2)."""

    def __init__(self) -> None:
        self._first: Final[deque[Done | Beat | Begin | Go | Restarted | Transact]] = deque()
        self._mail: Final[deque[Told | Letter]] = deque()
        self._loaded: Final[set[tuple[str, int]]] = set()
        self._more: Final = ParkingLot()

    def load(self, mail: Sequence[Mail]) -> None:
        """Take what the journal has. Each of those messages may be brought as well, before or after."""
        brought = {_name_of(item.mail) for item in self._mail if isinstance(item, Letter)}
        letters = [Letter(each) for each in mail if _name_of(each) not in brought]
        self._loaded.update(_name_of(each.mail) for each in letters)
        self._mail.extend(letters)

    def put(self, item: Item) -> None:
        """Something has come."""
        if isinstance(item, Letter) and _name_of(item.mail) in self._loaded:
            self._loaded.remove(_name_of(item.mail))  # a message is brought once
        elif isinstance(item, Told | Letter):
            self._mail.append(item)
        else:
            self._first.append(item)
        self._more.unpark_all()

    async def next(self, *, mail: bool, go: bool) -> Item:
        """The next input; without *mail*, nothing that is new. With *go* it is that, if nothing else has come.

        A checkpoint if it waits. Each step is one anyhow, for it is committed; so a process that never waits is heard.
        """
        while True:
            if self._first:
                return self._first.popleft()
            if self._mail and mail:
                return self._mail.popleft()
            if go:
                return Go()
            await self._more.park()

    def ended(self) -> set[str]:
        """The futures whose outcome has come, or is about to be made."""
        return {item.future for item in self._first if isinstance(item, Done | Transact)}

    def left(self) -> Sequence[Item]:
        """What would be lost if this were thrown away: all but mail, which the journal has."""
        return tuple(self._first)


def _name_of(mail: Mail) -> tuple[str, int]:
    return mail.sender, mail.number
