"""What actors remember, as bytes: every value comes back as an equal one of the same class, in any process."""

# Design note
# -----------
# msgspec alone encodes what it has a type for when it decodes, and a field of type `object` (a message in a signal, the
# outcome of an operation, an argument of a behaviour) comes back as a dict or a list. So each value here tells what it is:
# it is turned into arrays that begin with a tag, and msgspec packs those. What msgpack has itself (None, bool, int, float,
# str, bytes) stands for itself.
#
# Not pickle: it runs what is in the bytes, it imports what they name, its bytes differ for equal values (by which objects
# are shared, by the order of sets), and it takes things that mean nothing in the next process.
#
# Digests are compared, so equal values have equal bytes: sets are sorted by the bytes of their items, and dicts keep their
# order, which is part of what a program does. Equal means: of the same class and equal in each field; 1 and True differ.
# An object that is reached twice comes back twice, except for exceptions, which are who they are, and whose causes would
# else be stored again and again. A traceback belongs to its process and is not stored.

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

import msgspec

from histrio_kernel.bounds import bound
from histrio_kernel.journal.decoding import Decoding
from histrio_kernel.journal.encoding import Encoding
from histrio_kernel.journal.errors import JournalTooNew, Undecodable, Unencodable
from histrio_kernel.journal.flat import NOT_FLAT, arrays_of, is_constant, value_of
from histrio_kernel.journal.record import FORMAT
from histrio_kernel.journal.refs import register_ref
from histrio_kernel.journal.showing import text_of
from histrio_kernel.journal.upcasting import register_upcaster

__all__ = ["decode", "encode", "is_constant", "register_ref", "register_upcaster", "shown"]

_BYTES_MAX: Final = bound("journal_payload_bytes_max")
_SHOWN_MAX: Final = 200
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder().decode


def encode(value: object, *, lasting: bool = False) -> bytes:
    """The bytes of *value*. If it is to be *lasting*, refs that mean nothing in another process are refused.

    Examples:
        >>> decode(encode({"when": (1, 2), 3: {4, 5}}))
        {'when': (1, 2), 3: {4, 5}}

    Raises:
        Unencodable: something in it cannot be stored; the text names the field, and what to do.
    """
    arrays = arrays_of(value)
    data = _pack((FORMAT, Encoding(lasting=lasting).of(value) if arrays is NOT_FLAT else arrays))
    if len(data) > _BYTES_MAX:
        raise Unencodable(
            f"{type(value).__qualname__}: {len(data):,} bytes are more than journal_payload_bytes_max ({_BYTES_MAX:,}); keep"
            " it in a file or a database, and store where it is"
        )
    return data


def decode(data: bytes, refs: Callable[[str], object] | None = None) -> object:
    """The value that *data* are the bytes of. *refs* makes a ref of a path.

    Raises:
        Undecodable: a class is not there any more, or has other fields; or these are no such bytes.
        JournalTooNew: they are of a newer format.
    """
    try:
        arrays = _unpacked(data)
        value = value_of(arrays)
        return Decoding(refs).of(arrays) if value is NOT_FLAT else value
    except (Undecodable, JournalTooNew):
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise Undecodable(f"these {len(data):,} bytes are no value of a journal: {error!r}") from error


def shown(data: bytes, limit: int = _SHOWN_MAX) -> str:
    """A text of the value, in at most *limit* characters. It needs none of the classes, and never fails.

    Examples:
        >>> shown(encode([ValueError("no"), {1: "one"}]))
        "[ValueError('no'), {1: 'one'}]"
    """
    try:
        return text_of(_unpacked(data), limit)
    except Exception as error:  # whatever it is, the other records are to be seen
        return f"<not to be read: {error}>"[:limit]


def _unpacked(data: bytes) -> object:
    try:
        unpacked: object = _unpack(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Undecodable(f"these {len(data):,} bytes are no value of a journal: {error}") from error
    parts = cast("list[object]", unpacked) if isinstance(unpacked, list) else []
    version = parts[0] if parts else None
    if isinstance(version, int) and version > FORMAT:
        raise JournalTooNew(f"a value is of format {version}, and this Histrio reads up to {FORMAT}: use a newer one")
    if version != FORMAT or len(parts) != 2:
        raise Undecodable(f"these {len(data):,} bytes are no value of a journal")
    return parts[1]
