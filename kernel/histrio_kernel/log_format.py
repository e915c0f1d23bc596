"""What a log looks like on the disk, and how to tell a torn tail from damage: pure functions on bytes.

```text
header, once                                      record, any number of times
  0   8  magic     89 "HISTLOG"                     0   8  marker    93 "Histri" 01
  8   4  version   1                                8   4  checksum  CRC-32 of: this record's offset in the file
 12   4  checksum  CRC-32 of bytes 0 to 11                           (8 bytes), length, synced, payload
                                                   12   4  length    bytes of the payload as stored, below 2**24
all numbers are little-endian                      16   8  synced    the file was known synced up to this offset when
                                                                     the record was written, below 2**56
                                                   24   n  payload   with FE put in after each 93 "Histri"
```
"""

# Design note
# -----------
# The rule (E3): a bad record at or above the highest `synced` of all readable records is the torn tail; nobody was
# ever told that it is safe, so it is cut off. Below it, it is damage to what was acknowledged, and nothing is touched.
#
# So the question is which records are readable, and a bad one may stand before good ones: when the last group of
# appends spans several pages, a power cut can lose the first page and keep the second. After a bad record we look for
# the next marker, and ask every record that we find there. Two things keep us from being told lies:
#
# - The marker occurs at the start of a record and nowhere else, whatever the payloads are. In a payload an FE behind
#   its first seven bytes breaks it. In the head, no eight bytes in a row are free of zeros: byte 15 is the top of a
#   length below 2**24, byte 23 the top of an offset below 2**56. And it cannot begin in one and end in the other,
#   because no end of the marker is also a beginning of it. So a log that is kept in a record of a log is no record.
# - The checksum covers the record's own offset, so bytes that were moved (a page at the wrong place, two logs joined
#   into one file, an old copy of a block) are not readable where they are now.
#
# All records of one group carry the offset at which the group begins: that is what was known when it was written.
# The header is synced before the first record is written, so a file with records and a bad header is damaged, too.
#
# What no log can tell: the last group before a crash was synced and acknowledged, then damaged. No later record knows
# of it, and it reads like a torn tail.

import struct
import zlib
from pathlib import Path
from typing import Final

import attrs

from histrio_kernel.bounds import bound
from histrio_kernel.errors import HistrioError

__all__ = ("HEADER", "LOG_PAYLOAD_BYTES_MAX", "LogCorrupt", "LogError", "LogFormat", "Scan", "encode", "scan")

# bytes of one record's payload; a larger one is refused with a ValueError. Its stored form, at most 8/7 of it,
# must stay below 2**24.
LOG_PAYLOAD_BYTES_MAX: Final = bound("log_payload_bytes_max")

VERSION: Final = 1
MAGIC: Final = b"\x89HISTLOG"
MARKER: Final = b"\x93Histri\x01"
BREAKABLE: Final = MARKER[:7]
BROKEN: Final = BREAKABLE + b"\xfe"  # differs from the marker in eight bits, so no single flip makes a marker of it

_VERSION: Final = struct.Struct("<I")
_CHECKSUM: Final = struct.Struct("<I")
_FIELDS: Final = struct.Struct("<IQ")  # length, synced
_HEAD: Final = struct.Struct("<8sIIQ")
_OFFSET: Final = struct.Struct("<Q")
_LENGTH_END: Final = 1 << 24
_SYNCED_END: Final = 1 << 56

assert LOG_PAYLOAD_BYTES_MAX * 8 // 7 < _LENGTH_END
assert 0 not in MARKER
assert not any(MARKER.startswith(MARKER[-n:]) for n in range(1, len(MARKER)))


def _header(version: int) -> bytes:
    """The header of a log of that version."""
    start = MAGIC + _VERSION.pack(version)
    return start + _CHECKSUM.pack(zlib.crc32(start))


HEADER: Final = _header(VERSION)
HEAD_BYTES: Final = _HEAD.size
assert (len(HEADER), HEAD_BYTES) == (16, 24)


class LogError(HistrioError):
    """A log cannot be read; the file was left as it is."""

    def __init__(self, path: Path, offset: int, text: str) -> None:
        super().__init__(path, offset, text)
        self.path: Final = path
        self.offset: Final = offset
        self.text: Final = text

    def __str__(self) -> str:
        """Which file, where in it, and what to do."""
        return f"{self.path}, offset {self.offset}: {self.text}"


class LogCorrupt(LogError):
    """The log is damaged below an offset up to which it is known to have been synced.

    Attributes:
        path: the file.
        offset: where the first record is that cannot be read.
        text: what is known about it.

    Acknowledged data may be lost, so nothing is cut off on its own account. Restore the file from a copy; or, to give
    up everything from `offset` on, cut it there (`truncate -s OFFSET FILE`) and open it again.
    """


class LogFormat(LogError):
    """The file is no log, or one that a newer Histrio has written. It was not touched; is it the right path?"""


@attrs.frozen
class Scan:
    """What a log holds: its payloads in order, where the good records end, and up to where it is known synced."""

    payloads: list[bytes]
    end: int
    known_synced: int


@attrs.frozen
class _Record:
    payload: bytes
    end: int
    synced: int


def encode(payload: bytes, offset: int, synced: int) -> bytes:
    """The record that stands at *offset* and was written when the file was known synced up to *synced*."""
    assert len(HEADER) <= synced <= offset < _SYNCED_END
    assert len(payload) <= LOG_PAYLOAD_BYTES_MAX
    stored = payload.replace(BREAKABLE, BROKEN)
    fields = _FIELDS.pack(len(stored), synced)
    return b"".join((MARKER, _CHECKSUM.pack(_checksum(offset, fields, stored)), fields, stored))


def scan(path: Path, image: bytes | bytearray) -> Scan:
    """Read the whole file *image*, of which *path* is the name in errors.

    What is behind `Scan.end` is the torn tail. An end of 0 means that not even the header is there yet.

    Raises:
        LogCorrupt: a bad record stands below an offset that was known synced.
        LogFormat: it is not a log of this version.

    """
    if not image.startswith(HEADER):
        return _scan_headless(path, image)
    payloads: list[bytes] = []
    end = known_synced = len(HEADER)
    while (record := _record_at(image, end)) is not None:
        payloads.append(record.payload)
        end = record.end
        known_synced = max(known_synced, record.synced)
    known_synced = max(known_synced, _known_beyond(image, end))
    if end < known_synced:
        raise LogCorrupt(path, end, _damage("record", known_synced))
    return Scan(payloads, end, known_synced)


def _checksum(offset: int, fields: bytes | memoryview, stored: bytes | memoryview) -> int:
    return zlib.crc32(stored, zlib.crc32(fields, zlib.crc32(_OFFSET.pack(offset))))


def _record_at(image: bytes | bytearray, offset: int) -> _Record | None:
    """The record at *offset*, or None if there is no good one."""
    start = offset + HEAD_BYTES
    if start > len(image) or not image.startswith(MARKER, offset):
        return None
    _, checksum, length, synced = _HEAD.unpack_from(image, offset)
    end = start + length
    if length >= _LENGTH_END or end > len(image) or not len(HEADER) <= synced <= offset:
        return None
    view = memoryview(image)
    stored = view[start:end]
    if checksum != _checksum(offset, view[offset + 12 : start], stored):
        return None
    return _Record(bytes(stored).replace(BROKEN, BREAKABLE), end, synced)


def _known_beyond(image: bytes | bytearray, bad: int) -> int:
    """The highest `synced` of the readable records behind a bad one at *bad*; 0 if there is none."""
    highest = 0
    offset = image.find(MARKER, bad + 1)
    while offset >= 0:
        record = _record_at(image, offset)
        if record is not None:
            highest = max(highest, record.synced)
        offset = image.find(MARKER, offset + 1 if record is None else record.end)
    return highest


def _scan_headless(path: Path, image: bytes | bytearray) -> Scan:
    """An image that does not begin as a log of this version does."""
    if len(image) <= len(HEADER) and HEADER.startswith(image.rstrip(b"\0")):
        return Scan([], 0, 0)  # nothing yet, or a creation that was torn: the first record is written after its sync
    _refuse_other_version(path, image)
    known_synced = _known_beyond(image, -1)
    if known_synced or image.startswith(MAGIC):
        raise LogCorrupt(path, 0, _damage("header", max(known_synced, len(HEADER))))
    raise LogFormat(path, 0, "this file is no log of Histrio, and it was not touched; is it the right path?")


def _refuse_other_version(path: Path, image: bytes | bytearray) -> None:
    """A whole header of another version is no damage."""
    if len(image) < len(HEADER):
        return
    version = _VERSION.unpack_from(image, len(MAGIC))[0]
    if image.startswith(_header(version)):
        raise LogFormat(
            path,
            len(MAGIC),
            f"this log has format {version}, and this Histrio reads format {VERSION};"
            " it was not touched: open it with the version that wrote it",
        )


def _damage(what: str, known_synced: int) -> str:
    """The text of a `LogCorrupt`."""
    return (
        f"the {what} here cannot be read, and the file is known to have been synced up to offset {known_synced}, so"
        " acknowledged data is damaged. Nothing was changed: restore the file from a copy, or cut it at this offset to"
        " give up everything behind"
    )
