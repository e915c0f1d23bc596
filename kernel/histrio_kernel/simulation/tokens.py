"""A found schedule as a few characters: what replays a failure, on this Python and with these versions."""

# Design note
# -----------
# sim1.<base64>: the first part is the format. What follows is the versions that a tape depends on (Python's minor, Trio,
# Histrio), the seed of the run's values, how the tape is told, and the tape; then a check sum. All numbers are varints,
# and places are told by their distance from the one before, so a shrunk schedule takes about twenty-five characters.
#
# Which was chosen of how many is told by one number, which stays below 128 up to 16 ways. So a replay knows whether the
# program still has the choice that the token departs at.
#
# The check sum is a CRC of 16 bits at the end, which sees every change within one character, and base64 has only one
# spelling here: so no token can be misread by a slip of the hand.

from __future__ import annotations

import base64
import functools
import sys
from binascii import crc_hqx
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from math import isqrt
from typing import Final

import attrs

from histrio_kernel.simulation.choices import Departure, Replay, Walk
from histrio_kernel.simulation.errors import BadToken
from histrio_kernel.simulation.lateness import Late

__all__ = ["Schedule", "read_token", "versions", "write_token"]

FORMAT: Final = "sim1."
_CHECK: Final = 2  # bytes


@attrs.frozen
class Schedule:
    """One way through a program: the seed of its values, and departures from first in, first out.

    Attributes:
        seed: of the values that `random` gives.
        departures: choices that are not the first.
        late: those who let everybody else go first; where there are some, departures count on top of that.
    """

    seed: int
    departures: tuple[Departure, ...] = ()
    late: tuple[int, ...] = ()

    def walk(self) -> Walk:
        """A walk along it."""
        return Late(self.late, self.departures) if self.late else Replay(self.departures)

    def __len__(self) -> int:
        """How many facts it takes to tell it."""
        return len(self.departures) + len(self.late)


@functools.cache
def versions() -> tuple[int, ...]:
    """What a tape depends on: Python's minor version, Trio's, Histrio's."""
    trio = _numbers(version("trio"))
    own = _numbers(version("histrio"))
    return (sys.version_info.minor, trio[0], trio[1], own[0], own[1])


def write_token(schedule: Schedule) -> str:
    """The token of a schedule."""
    numbers: list[int] = [*versions(), schedule.seed, len(schedule.late), *schedule.late, len(schedule.departures)]
    before = 0
    for departure in schedule.departures:
        numbers += (departure.at - before, _pair(departure))
        before = departure.at
    return _spelling(b"".join(map(_varint, numbers)))


def read_token(token: str) -> Schedule:
    """The schedule of a token.

    Raises:
        BadToken: it is damaged, of another format, or of other versions.
    """
    token = token.strip()
    if not token.startswith(FORMAT):
        raise BadToken(
            f"{token!r} is no token of this Histrio: one begins with {FORMAT!r}. Explore again to get one, or replay it "
            "with the version of Histrio that printed it"
        )
    numbers = _read_varints(_data(token))
    made = tuple(_take(numbers, 5, token))
    if made != versions():
        raise BadToken(
            f"{token!r} was made with {_spelt(made)}; this is {_spelt(versions())}, where the same choices lead "
            "elsewhere. Replay it there, or explore again here"
        )
    seed, late_count = _take(numbers, 2, token)
    late = tuple(_take(numbers, late_count, token))
    (count,) = _take(numbers, 1, token)
    return Schedule(seed, _read_departures(_take(numbers, 2 * count, token)), late)


def _read_departures(numbers: Sequence[int]) -> tuple[Departure, ...]:
    found: list[Departure] = []
    at = 0
    for step, pair in zip(numbers[::2], numbers[1::2], strict=True):
        at += step
        ways = (isqrt(8 * pair + 1) + 1) // 2 + 1
        found.append(Departure(at, pair - (ways - 1) * (ways - 2) // 2 + 1, ways))
    return tuple(found)


def _pair(departure: Departure) -> int:
    """The place of (ways, chosen) in the row (2, 1), (3, 1), (3, 2), (4, 1), ..."""
    ways = departure.ways or departure.chosen + 1
    return (ways - 1) * (ways - 2) // 2 + departure.chosen - 1


def _spelling(data: bytes) -> str:
    checked = data + crc_hqx(data, 0xFFFF).to_bytes(_CHECK, "big")
    return FORMAT + base64.urlsafe_b64encode(checked).decode().rstrip("=")


def _data(token: str) -> bytes:
    """What a token holds.

    Raises:
        BadToken: this is not how it was spelt.
    """
    text = token.removeprefix(FORMAT)
    with suppress(ValueError):
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-_CHECK]
        if _spelling(data) == token:
            return data
    raise BadToken(_damaged(token))


def _numbers(text: str) -> tuple[int, int]:
    major, minor, *_ = (*text.split("."), "0")
    return int(major), int("".join(filter(str.isdigit, minor)) or 0)


def _spelt(made: Iterable[int]) -> str:
    python, trio, trio_minor, own, own_minor = made
    return f"Python 3.{python}, Trio {trio}.{trio_minor} and Histrio {own}.{own_minor}"


def _damaged(token: str) -> str:
    return f"{token!r} is damaged: its check sum is wrong. Copy it again, whole, with all of its characters"


def _varint(number: int) -> bytes:
    assert number >= 0
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varints(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0


def _take(numbers: Iterator[int], count: int, token: str) -> list[int]:
    taken = [number for _, number in zip(range(count), numbers, strict=False)]
    if len(taken) < count:
        raise BadToken(_damaged(token))
    return taken
