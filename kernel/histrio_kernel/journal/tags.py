"""What stands first in an array of format 1 and tells what the rest of it is. Numbers are never used again."""

from __future__ import annotations

from typing import Final

__all__ = [
    "AGAIN",
    "BIG",
    "CLASS",
    "DATE",
    "DATETIME",
    "DECIMAL",
    "DICT",
    "ERROR",
    "EXCEPTION",
    "FLAG",
    "FROZENSET",
    "LIST",
    "MEMBER",
    "OBJECT",
    "PATH",
    "REF",
    "SET",
    "SURROGATES",
    "TIME",
    "TIMEDELTA",
    "TIMEZONE",
    "TUPLE",
    "UNSET",
    "UUID",
    "VALUE",
    "ZONE",
]

# What is in the array after each of them.
LIST: Final = 0  # the items
TUPLE: Final = 1  # the items
DICT: Final = 2  # key, value, key, value, in order
SET: Final = 3  # the items, sorted by their bytes
FROZENSET: Final = 4  # the items, sorted by their bytes
BIG: Final = 5  # an int beyond 64 bits: its bytes in two's complement, the highest first
SURROGATES: Final = 6  # a str that is no Unicode: its bytes by "surrogatepass"
DATETIME: Final = 7  # ISO text without its zone, fold, zone or None
DATE: Final = 8  # ISO text
TIME: Final = 9  # ISO text without its zone, fold, zone or None
TIMEDELTA: Final = 10  # days, seconds, microseconds
TIMEZONE: Final = 11  # days, seconds, microseconds, name or None
ZONE: Final = 12  # the key of a ZoneInfo
DECIMAL: Final = 13  # text
UUID: Final = 14  # 16 bytes
PATH: Final = 15  # "Path", "PurePosixPath" or "PureWindowsPath", and its text
CLASS: Final = 16  # type
MEMBER: Final = 17  # type, version, name of a member of an Enum
FLAG: Final = 18  # type, version, number of a Flag
OBJECT: Final = 19  # type, version, map of fields
EXCEPTION: Final = (
    20  # type, version, map of fields; "args", and if there are "__cause__" and "__notes__", are among them
)
AGAIN: Final = 21  # the exception of that number, in the order in which they are complete; not within sets
VALUE: Final = 22  # the value of an outcome.Value
ERROR: Final = 23  # the exception of an outcome.Error
REF: Final = 24  # the path of a ref
UNSET: Final = 25  # nothing: msgspec.UNSET
