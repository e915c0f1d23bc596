"""How objects that were stored by older code are read by newer code: one version of a class at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

__all__ = ["Upcaster", "register_upcaster", "upcaster_of"]

Fields = Mapping[str, object]


@attrs.frozen
class Upcaster:
    """From one version of a class to the next, perhaps under another name."""

    turn: Callable[[Fields], Fields]
    to: str


_UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {}


def register_upcaster(
    name: str, version: int, fn: Callable[[Fields], Fields], *, to: str | None = None
) -> Callable[[], None]:
    """Objects stored as version *version* of the class *name* (`module:Qualname`) become ones of the next version.

    *fn* takes the fields by name, as they were stored, and returns those of version + 1; the class then says
    `__histrio_version__ = version + 1`, or there is another upcaster from there. With *to*, the class has a new name. Of an
    exception, "args" is among the fields; of a member of an Enum, "name" is the only one, and of a Flag, "value".

    Returns a function that takes it back.

    Raises:
        ValueError: there is one from that version already, or these are no name and version.
    """
    for each in (name, *([] if to is None else [to])):
        module, colon, qualname = each.partition(":")
        if not (module and colon and qualname):
            raise ValueError(f"{each!r} is no name of a class: write module:Qualname, such as 'shop:Order'")
    if version < 1:
        raise ValueError(f"there is no version {version} of {name}: the first one is 1")
    if (name, version) in _UPCASTERS:
        raise ValueError(f"there is an upcaster from version {version} of {name} already")
    upcaster = _UPCASTERS[name, version] = Upcaster(fn, name if to is None else to)

    def undo() -> None:
        if _UPCASTERS.get((name, version)) is upcaster:
            del _UPCASTERS[name, version]

    return undo


def upcaster_of(name: str, version: int) -> Upcaster | None:
    """The way on from that version, if there is one."""
    return _UPCASTERS.get((name, version))
