"""From values to the arrays of format 1; what cannot be stored is refused with the name of its field."""

# Invariants: every array begins with a tag; maps stand only in objects, with names of fields as keys; and the same value
# makes the same arrays in every process.

from __future__ import annotations

import datetime as dt
import enum
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import FunctionType, MethodType
from typing import Any, Final, NoReturn, cast, final

import msgspec
from outcome import Error, Value

from histrio_kernel.bounds import bound
from histrio_kernel.journal import tags
from histrio_kernel.journal.errors import Unencodable
from histrio_kernel.journal.refs import lasts, path_of
from histrio_kernel.journal.shapes import (
    HASH,
    builtin_base,
    class_at,
    extra_of,
    fields_of,
    is_bare,
    is_named_tuple,
    name_of,
)
from histrio_kernel.journal.shapes import version_of as declared_version

__all__ = ["Encoding"]

_DEPTH_MAX: Final = bound("journal_depth_max")
_BYTES_MAX: Final = bound("journal_payload_bytes_max")
_STEPS_SHOWN_MAX: Final = 20

_MISSING: Final = object()
_pack: Final = msgspec.msgpack.encode


class _Refused(Exception):
    """Something within a value cannot be stored; the steps to it are gathered on the way out, the last one first."""

    def __init__(self, what: str) -> None:
        self.what: Final = what
        self.steps: Final[list[str]] = []


@final
class Encoding:
    """The encoding of one value.

    Args:
        lasting: whether it is to mean something in another process.
    """

    __slots__ = ("_above", "_errors", "_in_sets", "_lasting", "_left")

    def __init__(self, *, lasting: bool = False) -> None:
        self._lasting: Final = lasting
        self._above: Final[list[object]] = []  # what we are within
        self._errors: Final[dict[int, int]] = {}  # the numbers of exceptions that are complete, by their id
        self._in_sets = 0
        self._left = _BYTES_MAX  # at least a byte is needed for each value

    def of(self, value: object) -> object:
        """What is to be packed.

        Raises:
            Unencodable: it cannot be stored.
        """
        try:
            return self._plain(value)
        except RecursionError:
            raise Unencodable(
                f"{type(value).__qualname__}: Python's stack has no room for what is nested in it; it is encoded from too"
                " deep in calls, or something that it computes calls itself"
            ) from None
        except _Refused as refused:
            raise Unencodable(f"{type(value).__qualname__}{_way(refused.steps)}: {refused.what}") from None

    def _plain(self, value: object) -> object:
        kind = value.__class__
        if kind is int or kind is bool or value is None or kind is float:
            return value if kind is not int or -(1 << 63) <= cast(int, value) < 1 << 64 else _big(cast(int, value))
        if kind is str:
            return self._text(cast(str, value))
        if kind is bytes:
            self._spend(len(cast(bytes, value)))
            return value
        write = _WRITERS.get(kind)
        if write is not None and write not in _CONTAINERS:
            return write(self, value)
        if len(self._above) >= _DEPTH_MAX:
            self._refuse_depth()
        self._above.append(value)
        try:
            return self._other(value) if write is None else write(self, value)
        finally:
            self._above.pop()

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _Refused(
                f"a value of more than {_BYTES_MAX:,} bytes (journal_payload_bytes_max) is not stored; keep it in a file or"
                " a database, and store where it is"
            )

    def _refuse_depth(self) -> NoReturn:
        inner = self._above[-1]
        if any(each is inner for each in self._above[:-1]):
            raise _Refused(f"a {type(inner).__qualname__} that contains itself cannot be stored; store a name instead")
        raise _Refused(
            f"what is nested more than {_DEPTH_MAX} levels deep (journal_depth_max) is not stored; keep a flat list or"
            " dict, in which items name each other"
        )

    # -- what Python has -----------------------------------------------------------------------------------------

    def _text(self, value: str) -> object:
        self._spend(len(value))
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return [tags.SURROGATES, value.encode(errors="surrogatepass")]
        return value

    def _items(self, tag: int, value: Sequence[object]) -> object:
        self._spend(len(value))
        out: list[object] = [tag]
        try:
            for item in value:
                out.append(self._plain(item))  # noqa: PERF401 -- its length tells where we are
        except _Refused as refused:
            refused.steps.append(f"[{len(out) - 1}]")
            raise
        return out

    def _list(self, value: list[object]) -> object:
        return self._items(tags.LIST, value)

    def _tuple(self, value: tuple[object, ...]) -> object:
        return self._items(tags.TUPLE, value)

    def _dict(self, value: dict[object, object]) -> object:
        self._spend(2 * len(value))
        out: list[object] = [tags.DICT]
        for key, item in value.items():
            try:
                out.append(self._plain(key))
            except _Refused as refused:
                refused.steps.append(f".key({key!r:.60})")
                raise
            try:
                out.append(self._plain(item))
            except _Refused as refused:
                refused.steps.append(f"[{key!r:.60}]")
                raise
        return out

    def _set(self, value: set[object] | frozenset[object]) -> object:
        self._spend(len(value))
        self._in_sets += 1
        try:
            items = sorted(_pack(self._plain(item)) for item in value)
        except _Refused as refused:
            refused.steps.append("{...}")
            raise
        finally:
            self._in_sets -= 1
        tag = tags.SET if value.__class__ is set else tags.FROZENSET
        return [tag, *map(msgspec.Raw, items)]

    def _datetime(self, value: dt.datetime) -> object:
        return [tags.DATETIME, value.replace(tzinfo=None, fold=0).isoformat(), value.fold, self._zone(value.tzinfo)]

    def _time(self, value: dt.time) -> object:
        return [tags.TIME, value.replace(tzinfo=None, fold=0).isoformat(), value.fold, self._zone(value.tzinfo)]

    def _zone(self, zone: dt.tzinfo | None) -> object:
        try:
            return self._plain(zone)
        except _Refused as refused:
            refused.steps.append(".tzinfo")
            raise

    def _zone_info(self, value: zoneinfo.ZoneInfo) -> object:
        if value.key is None:  # pyright: ignore[reportUnnecessaryComparison] -- from_file without a key
            raise _Refused("a ZoneInfo without a key cannot be stored; make it by ZoneInfo(key)")
        return [tags.ZONE, value.key]

    def _value(self, value: Value[object]) -> object:
        return [tags.VALUE, self._field(value.value, ".value")]

    def _error(self, value: Error) -> object:
        return [tags.ERROR, self._field(value.error, ".error")]

    def _field(self, value: object, step: str) -> object:
        try:
            return self._plain(value)
        except _Refused as refused:
            refused.steps.append(step)
            raise

    # -- what programs have --------------------------------------------------------------------------------------

    def _other(self, value: object) -> object:
        path = path_of(value)
        if path is not None:
            if self._lasting and not lasts(value):
                raise _Refused(
                    f"{value!r} leads to an actor of this process, and to nobody in the next one; store the ref of a durable"
                    " actor, or a name by which the actor can be found"
                )
            return [tags.REF, self._text(path)]
        if isinstance(value, enum.Enum):
            return self._member(value)
        if isinstance(value, type):
            return [tags.CLASS, _checked_name(cast("type[object]", value))]
        if isinstance(value, BaseException):
            return self._exception(value)
        fields = fields_of(value.__class__)
        if fields is None:
            raise _Refused(f"{_kind(value)} cannot be stored; {_advice(value)}")
        return self._object(value, fields)

    def _member(self, value: enum.Enum) -> object:
        kind = value.__class__
        head = (_checked_name(kind), _version_of(kind))
        if isinstance(value, enum.Flag):
            return [tags.FLAG, *head, self._plain(value.value)]
        if kind.__members__.get(value.name) is not value:
            raise _Refused(f"{value!r} cannot be stored: {kind.__qualname__} has no member of that name")
        return [tags.MEMBER, *head, value.name]

    def _object(self, value: object, fields: Sequence[str]) -> object:
        kind = value.__class__
        if not is_bare(kind) and not issubclass(kind, msgspec.Struct) and not is_named_tuple(kind):
            raise _Refused(
                f"a {kind.__qualname__} has fields and is a {kind.__mro__[-2].__qualname__} besides, and cannot be"
                " stored; give it a field instead of that base"
            )
        name, version = _checked_name(kind), _version_of(kind)
        self._check_extra(value, fields)
        return [tags.OBJECT, name, version, self._parts(value, fields)]

    def _check_extra(self, value: object, fields: Sequence[str]) -> None:
        extra = extra_of(value, fields)
        if extra is not None:
            refused = _Refused(
                f"an attribute that is no field of {type(value).__qualname__} would be lost; make it a field, or a"
                " functools.cached_property if it can be computed again"
            )
            refused.steps.append(f".{extra}")
            raise refused

    def _parts(self, value: object, fields: Sequence[str]) -> dict[str, object]:
        out: dict[str, object] = {}
        for field in fields:
            part = getattr(value, field, _MISSING)
            try:
                if part is _MISSING:
                    raise _Refused(
                        "the field has no value yet, and the object could not be made again; give it a default"
                    )
                self._spend(1 + len(field))
                out[field] = self._plain(part)
            except _Refused as refused:
                refused.steps.append(f".{field}")
                raise
        return out

    def _exception(self, value: BaseException) -> object:
        number = self._errors.get(id(value))
        if number is not None and not self._in_sets:
            return [tags.AGAIN, number]
        kind = value.__class__
        name, version = _checked_name(kind), _version_of(kind)
        made = cast("tuple[Any, ...]", builtin_base(kind).__reduce__(value))
        fields = {"args": self._field(tuple(made[1]), ".args")}
        fields |= self._parts(value, fields_of(kind) or ())
        state = cast("dict[str, object]", made[2]) if len(made) > 2 and made[2] else {}
        for field, part in state.items():
            if field not in fields and field != HASH:
                fields[field] = self._field(part, f".{field}")
        self._check_extra(value, list(fields))
        if value.__cause__ is not None:
            fields["__cause__"] = self._field(value.__cause__, ".__cause__")
        if not self._in_sets:
            self._errors[id(value)] = len(self._errors)
        return [tags.EXCEPTION, name, version, fields]


def _way(steps: list[str]) -> str:
    """The way to a field, given from its end; the middle of a very long one is left out."""
    if len(steps) > _STEPS_SHOWN_MAX:
        half = _STEPS_SHOWN_MAX // 2
        steps = [*steps[:half], "...", *steps[-half:]]
    return "".join(reversed(steps))


def _big(value: int) -> object:
    return [tags.BIG, value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)]


def _timedelta(value: dt.timedelta) -> list[object]:
    return [tags.TIMEDELTA, value.days, value.seconds, value.microseconds]


def _timezone(_: Encoding, value: dt.timezone) -> object:
    arguments = cast("tuple[Any, ...]", value.__reduce__()[1])  # the offset, and the name if it was given one
    return [tags.TIMEZONE, *_timedelta(arguments[0])[1:], arguments[1] if len(arguments) > 1 else None]


def _date(_: Encoding, value: dt.date) -> object:
    return [tags.DATE, value.isoformat()]


def _delta(_: Encoding, value: dt.timedelta) -> object:
    return _timedelta(value)


def _decimal(_: Encoding, value: Decimal) -> object:
    return [tags.DECIMAL, str(value)]


def _uuid(_: Encoding, value: uuid.UUID) -> object:
    return [tags.UUID, value.bytes]


def _unset(_: Encoding, _value: object) -> object:
    return [tags.UNSET]


def _path(_: Encoding, value: pathlib.PurePath) -> object:
    return [tags.PATH, "Path" if isinstance(value, pathlib.Path) else type(value).__name__, str(value)]


def _checked_name(kind: type) -> str:
    """The name of a class, which leads back to it."""
    name = name_of(kind)
    found = class_at(name)
    if found is kind:
        return name
    if "<locals>" in name:
        raise _Refused(
            f"the class {kind.__qualname__} is made within a function, so it could not be found again; move it to the top"
            " level of its module"
        )
    there = "nothing" if found is None else "another class"
    raise _Refused(
        f"the class {kind.__qualname__} could not be found again: under {name} there is {there}; give it its own name in"
        " the module that it says it is of"
    )


def _version_of(kind: type) -> int:
    version = declared_version(kind)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _Refused(f"{kind.__qualname__}.__histrio_version__ is {version!r}; it is to be a whole number from 1")
    return version


def _kind(value: object) -> str:
    if isinstance(value, FunctionType):
        return "a lambda" if value.__name__ == "<lambda>" else f"a function ({value.__qualname__})"
    kind = value.__class__
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _advice(value: object) -> str:
    """What to store instead."""
    if isinstance(value, FunctionType | MethodType) or value.__class__.__name__ == "builtin_function_or_method":
        return "store what it needs to know, and choose the function by that"
    for base in (str, bytes, int, float, list, tuple, dict, set, frozenset):
        if isinstance(value, base):
            return f"store a plain {base.__name__}: {base.__name__}(...)"
    if isinstance(value, bytearray | memoryview):
        return "store bytes(...)"
    if hasattr(value, "fileno") or hasattr(value, "acquire"):
        return "it belongs to this process: store what it takes to make it again, and make it in `started()`"
    if hasattr(value, "__await__") or hasattr(value, "__next__"):
        return "store what it gives: await it, or make a list of it, before"
    return "make its class an attrs class, a dataclass or a msgspec.Struct, or store what it takes to make it again"


_WRITERS: Final = cast(
    "dict[type, Callable[[Encoding, object], object]]",
    {
        list: Encoding._list,
        tuple: Encoding._tuple,
        dict: Encoding._dict,
        set: Encoding._set,
        frozenset: Encoding._set,
        Value: Encoding._value,
        Error: Encoding._error,
        dt.datetime: Encoding._datetime,
        dt.date: _date,
        dt.time: Encoding._time,
        dt.timedelta: _delta,
        dt.timezone: _timezone,
        zoneinfo.ZoneInfo: Encoding._zone_info,
        Decimal: _decimal,
        uuid.UUID: _uuid,
        pathlib.PosixPath: _path,
        pathlib.WindowsPath: _path,
        pathlib.PurePosixPath: _path,
        pathlib.PureWindowsPath: _path,
        msgspec.UnsetType: _unset,
    },
)
_CONTAINERS: Final = frozenset(_WRITERS[kind] for kind in (list, tuple, dict, set, frozenset, Value, Error))
