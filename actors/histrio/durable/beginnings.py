"""How an actor's past begins: the payload of its START, or of the TRANSITION that rolled up what was before (J5)."""

from __future__ import annotations

from typing import final

import attrs

__all__ = ["Beginning"]


@final
@attrs.frozen
class Beginning:
    """Who the actor is from here on.

    Attributes:
        behaviour: the name of its class, and `version` that of the code that wrote this.
        args: for the class.
        has_snapshot: whether `snapshot` is the state to go on from.
        snapshot: what `snapshot()` returned.
        count: how many records came before, not counting those that tell of crashes.
        children: the paths of children that live, and of all that were given a name, which none gets again.
        born: how many children of each class there have been, so that no name comes again.
    """

    behaviour: str
    version: int
    args: tuple[object, ...] = ()
    has_snapshot: bool = False
    snapshot: object = None
    count: int = 0
    children: tuple[str, ...] = ()
    born: tuple[tuple[str, int], ...] = ()
