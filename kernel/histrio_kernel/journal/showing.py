"""A short text of what is stored, for people: it needs none of the classes."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, Final

from histrio_kernel.journal import tags

__all__ = ["text_of"]

_BRACKETS: Final = {
    tags.LIST: ("[", "]"),
    tags.TUPLE: ("(", ")"),
    tags.SET: ("{", "}"),
    tags.FROZENSET: ("frozenset({", "})"),
}
_EMPTY: Final = {tags.SET: "set()", tags.FROZENSET: "frozenset()"}


def text_of(plain: object, limit: int) -> str:
    """What *plain* stands for, in at most *limit* characters."""
    parts: list[str] = []
    room = limit
    for part in _parts(plain, limit):
        parts.append(part)
        room -= len(part)
        if room < 0:
            break
    text = "".join(parts)
    return text if len(text) <= limit else text[: max(0, limit - 3)] + "..."[:limit]


def _parts(plain: Any, limit: int) -> Iterator[str]:
    if isinstance(plain, str | bytes):
        yield repr(plain[: limit + 1])
        return
    if plain.__class__ is not list:
        yield repr(plain)
        return
    tag, *rest = plain
    match tag:
        case tags.LIST | tags.TUPLE | tags.SET | tags.FROZENSET:
            if not rest and tag in _EMPTY:
                yield _EMPTY[tag]
                return
            before, after = _BRACKETS[tag]
            yield before
            yield from _listed(rest, limit)
            yield f",{after}" if tag == tags.TUPLE and len(rest) == 1 else after
        case tags.DICT:
            yield "{"
            for index in range(0, len(rest), 2):
                yield ", " if index else ""
                yield from _parts(rest[index], limit)
                yield ": "
                yield from _parts(rest[index + 1], limit)
            yield "}"
        case tags.OBJECT:
            yield f"{_short(rest[0])}("
            for index, (name, value) in enumerate(rest[2].items()):
                yield f"{', ' if index else ''}{name}="
                yield from _parts(value, limit)
            yield ")"
        case tags.EXCEPTION:
            yield f"{_short(rest[0])}("
            yield from _listed(rest[2]["args"][1:], limit)
            yield ")"
        case tags.VALUE | tags.ERROR:
            yield "Value(" if tag == tags.VALUE else "Error("
            yield from _parts(rest[0], limit)
            yield ")"
        case _:
            yield _plainly(tag, rest)


def _listed(items: list[object], limit: int) -> Iterator[str]:
    for index, item in enumerate(items):
        yield ", " if index else ""
        yield from _parts(item, limit)


def _plainly(tag: int, rest: list[Any]) -> str:
    match tag:
        case tags.BIG:
            return f"0x{int.from_bytes(rest[0], 'big', signed=True):x}"  # decimals of a huge one are refused by Python
        case tags.SURROGATES:
            return repr(rest[0].decode(errors="surrogatepass"))
        case tags.DATETIME | tags.TIME:
            zone = "" if rest[2] is None else f" {_plainly(rest[2][0], rest[2][1:])}"
            return f"{rest[0]}{zone}"
        case tags.TIMEDELTA:
            return f"{rest[0] * 86400 + rest[1] + rest[2] / 1_000_000:g} s"
        case tags.TIMEZONE:
            return rest[3] or f"UTC{(rest[0] * 86400 + rest[1]) / 3600:+g}"
        case tags.UUID:
            return str(rest[0].hex())
        case tags.PATH:
            return f"{pathlib.PurePosixPath(rest[1])}" if rest[0] != "PureWindowsPath" else str(rest[1])
        case tags.CLASS:
            return f"<class {_short(rest[0])}>"
        case tags.MEMBER | tags.FLAG:
            return f"{_short(rest[0])}.{rest[2]}"
        case tags.REF:
            return f"<Ref {rest[0]}>"
        case tags.AGAIN:
            return "<the error above>"
        case tags.UNSET:
            return "UNSET"
        case _:
            return str(rest[0])


def _short(name: str) -> str:
    return name.rpartition(":")[2]
