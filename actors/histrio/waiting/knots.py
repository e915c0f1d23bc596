"""A knot is something that has to happen before somebody goes on: what it needs, and what it is in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, final

__all__ = ["Knot", "circle"]

_NAMED_MAX: Final = 3
_DEPTH_MAX: Final = 8


@final
class Knot:
    """Something that has to happen. It is filled in when it is looked at, by one of `comes`, `is_for`, `stands_for`."""

    __slots__ = ("_inner", "_word", "is_live", "is_outside", "needs", "path", "paths", "text", "until")

    def __init__(self, path: str = "") -> None:
        self.path: Final = path
        """The actor that it happens in; empty for what happens to a future."""
        self.text = ""
        """What it is, for somebody who waits for it; empty if that is what its inner knots say."""
        self.paths: tuple[str, ...] = ()
        """Whose doing it takes, as far as that is known."""
        self.needs: list[Knot] = []
        """One of these is enough, or may be."""
        self.is_outside = False
        """Whether it may come from outside."""
        self.until = math.inf
        """When it may happen by the passing of time alone, by the system's clock."""
        self.is_live = False
        """Whether it may happen at all, if nobody outside cuts it."""
        self._inner: list[Knot] = []
        self._word = ""

    def comes(self, text: str, until: float = math.inf) -> None:
        """It comes from outside."""
        self.is_outside = True
        self.text = text
        self.until = until

    def is_for(self, text: str, path: str, needs: Iterable[Knot]) -> None:
        """It takes the doing of the actor at `path`: one of `needs`."""
        self.text = text
        self.paths = (path,)
        self.needs = list(needs)

    def stands_for(self, needs: Iterable[Knot], word: str = "", text: str = "") -> None:
        """It is what `needs` are, one of them or all, as `word` between them tells."""
        self.text = text
        self._word = word
        self._inner = self.needs = list(needs)

    # -- in words ------------------------------------------------------------------------------------------------

    def said(self, depth: int = 0, *, among: bool = False) -> str:
        """What has to happen; in brackets if it is several things *among* others."""
        if depth > _DEPTH_MAX:
            return "more"
        inner = self._inner[:_NAMED_MAX]
        named = [one.said(depth + 1, among=bool(self._word) or bool(self.text)) for one in inner]
        if len(self._inner) > _NAMED_MAX:
            named.append(f"{len(self._inner) - _NAMED_MAX} more")
        several = list(dict.fromkeys(one for one in named if one))
        within = self._word.join(several)
        if among and len(several) > 1:
            within = f"({within})"
        return f"{self.text}, which waits for {within}" if self.text and within else self.text or within

    def all_paths(self) -> tuple[str, ...]:
        """Whose doing it takes, inside of it too."""
        return tuple(dict.fromkeys(path for one in self._within() for path in one.paths))

    def earliest(self) -> float:
        """When time alone may make it happen, or something inside of it."""
        return min(one.until for one in self._within())

    def _within(self) -> list[Knot]:
        found: dict[Knot, None] = {self: None}
        ahead: list[Knot] = [self]
        for one in ahead:  # which grows
            fresh = [inner for inner in dict.fromkeys(one._inner) if inner not in found]
            found.update(dict.fromkeys(fresh))
            ahead.extend(fresh)
        return ahead


def circle(start: Knot) -> tuple[str, ...]:
    """The paths of those who wait for each other, from one of them back to itself; empty if there is no such circle.

    `start` is not live, so none of what it needs is.
    """
    chain: dict[Knot, None] = {}
    current: Knot | None = start
    while current is not None and current not in chain:
        chain[current] = None
        current = next(iter(current.needs), None)
    if current is None:
        return ()
    knots = list(chain)
    paths = [knot.path for knot in knots[knots.index(current) :] if knot.path]
    around = [path for at, path in enumerate(paths) if at == 0 or path != paths[at - 1]]
    if len(around) > 1 and around[-1] == around[0]:
        around.pop()
    return (*around, around[0])
