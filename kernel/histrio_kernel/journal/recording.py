"""The signals of a run in a file: written as they are heard, and read while it goes on or long after."""

# Design note
# -----------
# A recording is for people and tools, a journal is for actors: nothing is rebuilt from it, so nothing waits for a disk. Each
# signal is handed to the operating system before the next one: what a process did before it was killed can be read, what
# a machine did before it lost its power perhaps not. A value that cannot be stored is recorded as a text of it, a `Repr`,
# since a message that holds a lock is a message all the same.
#
# A file is a header (MAGIC, the format) and then records, each with its length before it. What is torn at the end is no
# mistake; what is wrong before the end is.

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self, cast, final

import attrs
import msgspec

from histrio_kernel.bounds import bound
from histrio_kernel.journal.codec import encode
from histrio_kernel.journal.errors import ForeignFile, JournalDamaged, JournalTooNew
from histrio_kernel.journal.record import FORMAT, Record, digest_of
from histrio_kernel.signals import Kind, Signal

__all__ = ["MAGIC", "Recorder", "Recording", "Repr"]

MAGIC: Final = b"histrio signals\n"

_FORMAT: Final = struct.Struct("<I")
_LENGTH: Final = struct.Struct("<I")
_HEADER: Final = MAGIC + _FORMAT.pack(FORMAT)
_TEXT_MAX: Final = 1000
_RECORD_BYTES_MAX: Final = bound("journal_payload_bytes_max") + 65536  # and paths, which are short

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(Record).decode


@attrs.frozen
class Repr:
    """Stands for a value that could not be stored: how Python showed it."""

    text: str


@final
class Recorder:
    """Writes signals to a new file: `system.listen(recorder.hear)`.

    Attributes:
        count: how many have been written.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        """Make the file; *now* tells the time of a signal.

        Raises:
            FileExistsError: there is one.
        """
        self.count = 0
        self._now: Final = now
        self._file: Final = path.open("xb")
        self._write(_HEADER)

    def hear(self, signal: Signal) -> None:
        """Write it. Not a checkpoint.

        Raises:
            OSError: it could not be written.
        """
        payload = _payload_of(signal.detail)
        packed = _pack(
            Record(
                path=signal.path,
                seq=signal.seq,
                incarnation=signal.incarnation,
                kind=signal.kind,
                key=_key_of(signal),
                payload=payload,
                at=self._now(),
                scope=signal.scope,
                cause="" if signal.cause is None else f"{signal.cause[0]}:{signal.cause[1]}",
                digest=digest_of(payload),
            )
        )
        self._write(_LENGTH.pack(len(packed)) + packed)
        self.count += 1

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()

    def __enter__(self) -> Self:
        """It is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _key_of(signal: Signal) -> str:
    """Who else it is about."""
    if signal.kind in (Kind.SPAWN, Kind.JOIN):
        return str(signal.detail)
    if signal.kind is Kind.SEND and isinstance(signal.detail, tuple):
        return str(cast("tuple[object, ...]", signal.detail)[0])
    return ""


def _payload_of(detail: object) -> bytes:
    try:
        return encode(detail)
    except Exception:  # also one that a property of it raises: a reader must not harm whom it watches
        pass
    if type(detail) is tuple:  # what else is in it can perhaps be stored
        return encode(tuple(_or_text(part) for part in cast("tuple[object, ...]", detail)))
    return encode(_or_text(detail))


def _or_text(value: object) -> object:
    try:
        encode(value)
    except Exception:
        try:
            text = repr(value)
        except Exception as error:
            text = f"<{type(value).__qualname__}, whose repr raises {type(error).__qualname__}>"
        return Repr(text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}...")
    return value


@final
class Recording:
    """Reads a file of signals, which may be growing."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            OSError: there is no such file.
            ForeignFile: it is no recording.
            JournalTooNew: a newer Histrio has written it.
        """
        self._path: Final = path
        self._file: Final = path.open("rb")
        self._at = 0
        try:
            self._pass_header()
        except BaseException:
            self._file.close()
            raise

    def _pass_header(self) -> bool:
        """Whether there is a whole one."""
        head = self._file.read(len(_HEADER))
        self._file.seek(0)
        if not MAGIC.startswith(head[: len(MAGIC)]):
            raise ForeignFile(
                f"{self._path} is no recording of signals; make one by `histrio record FILE module:Actor`"
            )
        if len(head) < len(_HEADER):
            return False
        (version,) = _FORMAT.unpack(head[len(MAGIC) :])
        if version > FORMAT:
            raise JournalTooNew(
                f"{self._path} is of format {version}, and this Histrio reads up to {FORMAT}: use a newer one"
            )
        self._at = len(_HEADER)
        return True

    def more(self) -> Iterator[Record]:
        """The records that have been added since the last one; what is torn at the end may come later.

        Raises:
            JournalDamaged: what is not the end cannot be read.
        """
        if not self._at and not self._pass_header():
            return
        end = os.fstat(self._file.fileno()).st_size
        while True:
            self._file.seek(self._at)
            head = self._file.read(_LENGTH.size)
            if len(head) < _LENGTH.size:
                return
            (length,) = _LENGTH.unpack(head)
            until = self._at + _LENGTH.size + length
            if until > end and length <= _RECORD_BYTES_MAX:
                return
            record = self._record(length)
            if record is None:
                if until == end:
                    return
                raise JournalDamaged(
                    f"{self._path} cannot be read from byte {self._at:,} on, which is not its end; what is before can be"
                )
            self._at = until
            yield record

    def _record(self, length: int) -> Record | None:
        if length > _RECORD_BYTES_MAX:
            return None
        try:
            record = _unpack(self._file.read(length))
        except msgspec.DecodeError:
            return None
        return record if record.is_whole else None

    def close(self) -> None:
        """It is not read any more."""
        self._file.close()

    def __enter__(self) -> Self:
        """It is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
