"""Messages that were accepted and never handled are kept here, counted and bounded, so that nothing is lost silently."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, final

import attrs

from histrio_kernel.bounds import bound

__all__ = ["DeadLetter", "DeadLetters"]


@attrs.frozen
class DeadLetter:
    """A message that nobody handled, for whom it was, and why it died."""

    path: str
    message: object
    why: str


@final
class DeadLetters:
    """The last dead letters of a system, and the count of all.

    Examples:
        >>> letters = DeadLetters(letters_max=1)
        >>> letters.add(DeadLetter("/a", "hello", "stopped")); letters.add(DeadLetter("/a", "again", "stopped"))
        >>> [letter.message for letter in letters], letters.count
        (['again'], 2)
    """

    def __init__(self, letters_max: int = bound("dead_letters_max")) -> None:
        self.count = 0
        """How many there have been, those forgotten included."""
        self._letters: Final[deque[DeadLetter]] = deque(maxlen=letters_max)

    def add(self, letter: DeadLetter) -> None:
        """Keep `letter`; at the bound the oldest is forgotten."""
        self.count += 1
        self._letters.append(letter)

    def __iter__(self) -> Iterator[DeadLetter]:
        """The letters that are kept, oldest first."""
        return iter(tuple(self._letters))

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._letters)
