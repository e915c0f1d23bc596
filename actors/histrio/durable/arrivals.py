"""What has come to a durable actor past its inbox, and waits to be the input of a step."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, final

from histrio.durable.items import Beat, Begin, Done, Letter, Restarted, Transact
from histrio_kernel.journal.store import Mail

__all__ = ["Arrivals"]


@final
class Arrivals:
    """Two lines: what ended is taken before what is new (A2).

    Attributes:
        ended: outcomes, and what else is no message. They stay while the object is made again.
        letters: messages of durable actors, which the journal has.
    """

    __slots__ = ("_loaded", "ended", "letters")

    def __init__(self) -> None:
        self.ended: Final[deque[Done | Beat | Begin | Restarted | Transact]] = deque()
        self.letters: Final[deque[Letter]] = deque()
        self._loaded: Final[set[tuple[str, int]]] = set()

    def unload(self) -> None:
        """The journal is about to be read."""
        self.letters.clear()
        self._loaded.clear()

    def load(self, mail: Sequence[Mail]) -> None:
        """Take what the journal has. Each of those messages may be brought as well, before or after."""
        brought = {_name_of(item.mail) for item in self.letters}
        letters = [Letter(each) for each in mail if _name_of(each) not in brought]
        self._loaded.update(_name_of(each.mail) for each in letters)
        self.letters.extend(letters)

    def put(self, item: Done | Beat | Begin | Restarted | Transact | Letter) -> None:
        """Something has come."""
        if not isinstance(item, Letter):
            self.ended.append(item)
        elif _name_of(item.mail) in self._loaded:
            self._loaded.remove(_name_of(item.mail))  # a message is brought once
        else:
            self.letters.append(item)


def _name_of(mail: Mail) -> tuple[str, int]:
    return mail.sender, mail.number
