"""From the arrays of format 1 to values. Classes are looked up, never imported, and none of their code runs but a Struct's."""

# Design note
# -----------
# Objects of attrs and dataclasses are made without `__init__`, as pickle does: converters, validators and
# `__post_init__` have had their say when the object was made, and a converter that is run twice may change a value. So what
# comes back is what was stored, also in fields of `init=False`. Structs can only be made by their constructor.

from __future__ import annotations

import datetime as dt
import enum
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast, final

import msgspec
from outcome import Error, Value

from histrio_kernel.journal import tags
from histrio_kernel.journal.errors import Undecodable
from histrio_kernel.journal.shapes import bare, builtin_base, class_at, fields_of, is_named_tuple, version_of
from histrio_kernel.journal.upcasting import upcaster_of

__all__ = ["Decoding"]

Refs = Callable[[str], object]


@final
class Decoding:
    """The decoding of one value."""

    __slots__ = ("_errors", "_in_sets", "_refs")

    def __init__(self, refs: Refs | None) -> None:
        self._refs: Final = refs
        self._errors: Final[list[BaseException]] = []
        self._in_sets = 0

    def of(self, plain: Any) -> object:
        """The value that *plain* stands for.

        Raises:
            Undecodable: a class is not there any more, or its fields differ.
        """
        if plain.__class__ is not list:
            return cast(object, plain)
        tag, *rest = plain
        return _READERS[tag](self, rest)

    def _items(self, rest: list[object]) -> list[object]:
        return [self.of(each) if each.__class__ is list else each for each in rest]

    def _tuple(self, rest: list[object]) -> object:
        return tuple(self._items(rest))

    def _dict(self, rest: list[object]) -> object:
        items = iter(self._items(rest))
        return dict(zip(items, items, strict=True))

    def _set(self, rest: list[object]) -> set[object]:
        self._in_sets += 1
        items = set(self._items(rest))
        self._in_sets -= 1
        return items

    def _frozenset(self, rest: list[object]) -> object:
        return frozenset(self._set(rest))

    def _datetime(self, rest: list[Any]) -> object:
        text, fold, zone = rest
        return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=cast(Any, self.of(zone)))

    def _time(self, rest: list[Any]) -> object:
        text, fold, zone = rest
        return dt.time.fromisoformat(text).replace(fold=fold, tzinfo=cast(Any, self.of(zone)))

    def _value(self, rest: list[object]) -> object:
        return Value(self.of(rest[0]))

    def _error(self, rest: list[object]) -> object:
        return Error(cast(BaseException, self.of(rest[0])))

    def _again(self, rest: list[int]) -> object:
        return self._errors[rest[0]]

    def _ref(self, rest: list[str]) -> object:
        if self._refs is None:
            raise Undecodable(f"there is a ref to {rest[0]}, and nobody to make it: decode with `refs`")
        return self._refs(rest[0])

    def _class(self, rest: list[str]) -> object:
        found = class_at(rest[0])
        if found is None:
            raise Undecodable(_not_there(rest[0], 1))
        return found

    def _member(self, rest: list[Any]) -> object:
        kind, fields = _now(rest[0], rest[1], {"name": rest[2]})
        member = getattr(kind, "__members__", {}).get(fields.get("name"))
        if member is None:
            raise Undecodable(
                f"{rest[0]} has no member {fields.get('name')!r} any more; {_upcast(rest[0], rest[1], kind)}"
            )
        return member

    def _flag(self, rest: list[Any]) -> object:
        kind, fields = _now(rest[0], rest[1], {"value": self.of(rest[2])})
        if not issubclass(kind, enum.Flag):
            raise Undecodable(f"{rest[0]} is no Flag any more; {_upcast(rest[0], rest[1], kind)}")
        try:
            return kind(fields.get("value"))
        except (ValueError, TypeError):
            raise Undecodable(
                f"{rest[0]} has no {fields.get('value')!r} any more; {_upcast(rest[0], rest[1], kind)}"
            ) from None

    def _fields(self, stored: Mapping[str, object]) -> dict[str, object]:
        fields = dict[str, object]()
        for name, each in stored.items():  # a comprehension would be one more frame at each level
            fields[name] = self.of(each)
        return fields

    def _object(self, rest: list[Any]) -> object:
        name, version, stored = rest
        kind, fields = _now(name, version, self._fields(stored))
        expected = fields_of(kind)
        if expected is None:
            raise Undecodable(f"{name} has no fields any more: it is to be an attrs class, a dataclass or a Struct")
        _check_fields(name, version, kind, fields, expected)
        return _make(name, kind, fields, expected)

    def _exception(self, rest: list[Any]) -> object:
        name, version, stored = rest
        kind, fields = _now(name, version, self._fields(stored))
        if not issubclass(kind, BaseException):
            raise Undecodable(f"{name} is no exception any more; {_upcast(name, version, kind)}")
        known = fields_of(kind)
        if known is not None:
            names = set(known)
            _check_fields(name, version, kind, {each for each in fields if each in names}, known)
        error = _raisable(name, kind, fields)
        if not self._in_sets:
            self._errors.append(error)
        return error


def _make(name: str, kind: type[Any], fields: Mapping[str, object], expected: Sequence[str]) -> object:
    if issubclass(kind, msgspec.Struct):
        try:
            return kind(**fields)
        except Exception as error:
            raise Undecodable(f"{name} cannot be made of what was stored: {error}") from error
    if is_named_tuple(kind):
        return cast(Any, tuple).__new__(kind, [fields[each] for each in expected])
    try:
        made = bare(kind)
    except TypeError as error:
        raise Undecodable(f"{name} cannot be made of its fields: {error}") from error
    for each in expected:
        object.__setattr__(made, each, fields[each])
    return made


def _raisable(name: str, kind: type[BaseException], fields: Mapping[str, object]) -> BaseException:
    """An exception as it was, made by the class of Python that it derives from."""
    base = cast(Any, builtin_base(kind))
    try:
        args = tuple(cast("Sequence[object]", fields["args"]))
        error: BaseException = base.__new__(kind, *args)
        base.__init__(error, *args)
        for field, value in fields.items():
            if field != "args":
                object.__setattr__(error, field, value)
    except (TypeError, ValueError, AttributeError, KeyError) as wrong:
        raise Undecodable(f"{name} cannot be made of what was stored: {wrong!r}") from wrong
    return error


def _now(name: str, version: int, fields: Mapping[str, object]) -> tuple[type[Any], Mapping[str, object]]:
    """The class of today, and the fields as they are today."""
    while True:
        kind = class_at(name)
        wanted = None if kind is None else version_of(kind)
        if kind is not None and version == wanted:
            return kind, fields
        upcaster = upcaster_of(name, version)
        if upcaster is None:
            if kind is None:
                raise Undecodable(_not_there(name, version))
            if version > cast(int, wanted):
                raise Undecodable(
                    f"{name} was stored in version {version}, and here it has version {wanted}: newer code"
                )
            raise Undecodable(
                f"{name} was stored in version {version}, and has version {wanted}; {_upcast(name, version)}"
            )
        try:
            fields = upcaster.turn(fields)
        except Exception as error:
            raise Undecodable(f"the upcaster from version {version} of {name} failed: {error!r}") from error
        name, version = upcaster.to, version + 1


def _check_fields(
    name: str, version: int, kind: type[Any], fields: Mapping[str, object] | set[str], expected: Sequence[str]
) -> None:
    missing = [each for each in expected if each not in fields]
    unknown = [each for each in fields if each not in expected]
    if missing or unknown:
        wrong = (
            f"a field {missing[0]!r} that was not stored" if missing else f"no field {unknown[0]!r}, which was stored"
        )
        raise Undecodable(f"{name} has {wrong}; {_upcast(name, version, kind)}")


def _upcast(name: str, version: int, kind: type[Any] | None = None) -> str:
    """What to do about a class that has changed."""
    now = (
        f"let the class say `__histrio_version__ = {cast(int, version_of(kind)) + 1}`, and " if kind is not None else ""
    )
    return f"{now}register_upcaster({name!r}, {version}, fn) with what turns its fields then into its fields now"


def _not_there(name: str, version: int) -> str:
    module = name.partition(":")[0]
    return (
        f"there is no class {name}: import {module} before the journal is read (names are looked up, and nothing is imported"
        f" for them); if the class has another name now, register_upcaster({name!r}, {version}, fn, to='module:Name')"
    )


def _big(_: Decoding, rest: list[Any]) -> object:
    return int.from_bytes(rest[0], "big", signed=True)


def _surrogates(_: Decoding, rest: list[Any]) -> object:
    return rest[0].decode(errors="surrogatepass")


def _date(_: Decoding, rest: list[Any]) -> object:
    return dt.date.fromisoformat(rest[0])


def _timedelta(_: Decoding, rest: list[Any]) -> object:
    return dt.timedelta(*rest)


def _decimal(_: Decoding, rest: list[Any]) -> object:
    return Decimal(rest[0])


def _uuid(_: Decoding, rest: list[Any]) -> object:
    return uuid.UUID(bytes=rest[0])


def _unset(_: Decoding, _rest: list[Any]) -> object:
    return msgspec.UNSET


def _path(_: Decoding, rest: list[Any]) -> object:
    return _PATHS[rest[0]](rest[1])


def _timezone(_: Decoding, rest: list[Any]) -> object:
    offset = dt.timedelta(*rest[:3])
    return dt.timezone(offset) if rest[3] is None else dt.timezone(offset, rest[3])


def _zone(_: Decoding, rest: list[Any]) -> object:
    try:
        return zoneinfo.ZoneInfo(rest[0])
    except zoneinfo.ZoneInfoNotFoundError:
        raise Undecodable(f"the time zone {rest[0]} is not known here: install tzdata") from None


_PATHS: Final[dict[str, type[pathlib.PurePath]]] = {
    "Path": pathlib.Path,
    "PurePosixPath": pathlib.PurePosixPath,
    "PureWindowsPath": pathlib.PureWindowsPath,
}

_READERS: Final = cast(
    "dict[int, Callable[[Decoding, list[Any]], object]]",
    {
        tags.LIST: Decoding._items,
        tags.TUPLE: Decoding._tuple,
        tags.DICT: Decoding._dict,
        tags.SET: Decoding._set,
        tags.FROZENSET: Decoding._frozenset,
        tags.BIG: _big,
        tags.SURROGATES: _surrogates,
        tags.DATETIME: Decoding._datetime,
        tags.DATE: _date,
        tags.TIME: Decoding._time,
        tags.TIMEDELTA: _timedelta,
        tags.TIMEZONE: _timezone,
        tags.ZONE: _zone,
        tags.DECIMAL: _decimal,
        tags.UUID: _uuid,
        tags.PATH: _path,
        tags.CLASS: Decoding._class,
        tags.MEMBER: Decoding._member,
        tags.FLAG: Decoding._flag,
        tags.OBJECT: Decoding._object,
        tags.EXCEPTION: Decoding._exception,
        tags.AGAIN: Decoding._again,
        tags.VALUE: Decoding._value,
        tags.ERROR: Decoding._error,
        tags.REF: Decoding._ref,
        tags.UNSET: _unset,
    },
)
