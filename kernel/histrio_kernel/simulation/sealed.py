"""What an actor may share and still be sealed: data that cannot change. Everything else is named, with its place.

A value that cannot be judged is not immutable.
"""

# Design note
# -----------
# Python has no way to ask whether a value can change, so this is a list of what cannot, and everything else can. What a
# function reaches is found in its code: the globals that it reads, its defaults, what it closes over. Names of modules
# are let through, because the functions behind them are looked at in their turn, when they are called by a sealed actor.
#
# An immutable global can still be rebound, and so can an attribute of a class. So what was looked at is remembered, and
# whoever searches asks between steps whether it is what it was.

from __future__ import annotations

import datetime as dt
import dis
import functools
import logging
import re
import sys
import types
import typing
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from types import CodeType, FunctionType
from typing import Any, Final, cast, final

import attrs

__all__ = ["OWN", "Seals", "is_own"]

OWN: Final = frozenset(
    {"histrio", "histrio_kernel", "trio", "outcome", "attr", "attrs", "msgspec", "sniffio", "typing_extensions"}
)
"""Packages whose functions are not looked at: they keep nothing that actors could share, or are looked at otherwise."""

_ATOMS: Final = (
    str, int, float, complex, bytes, bool, type(None), type(...), type(NotImplemented), range,
    dt.date, dt.time, dt.timedelta, dt.tzinfo, Decimal, Fraction, uuid.UUID, PurePath,
    re.Pattern, Enum, logging.Logger, types.ModuleType, types.BuiltinFunctionType, types.MethodDescriptorType,
    types.WrapperDescriptorType, types.MethodWrapperType, types.ClassMethodDescriptorType, types.MemberDescriptorType,
    types.GetSetDescriptorType, types.GenericAlias, types.UnionType, CodeType,
)  # fmt: skip
_READS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_REBINDS: Final = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
_NOTHING: Final = object()


def is_own(module: object) -> bool:
    """Whether functions of that module are not looked at: those of Python's library, of Trio and of ours."""
    package = str(module).partition(".")[0]
    return package in OWN or (package in sys.stdlib_module_names and package != "__main__")


@functools.lru_cache(maxsize=4096)
def _globals_of(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The names of globals that it reads, and of those that it rebinds."""
    found = [(each.opname, str(each.argval)) for each in dis.get_instructions(code)]
    return (
        frozenset(name for opcode, name in found if opcode in _READS),
        frozenset(name for opcode, name in found if opcode in _REBINDS),
    )


def _is_frozen(cls: type[object]) -> bool:
    """Whether the fields of its instances cannot be set: a frozen class of attrs, dataclasses or msgspec."""
    if attrs.has(cls) or hasattr(cls, "__dataclass_fields__"):
        setter = getattr(cls, "__setattr__", None)
        return "frozen" in getattr(setter, "__name__", "") or bool(
            getattr(getattr(cls, "__dataclass_params__", None), "frozen", False)
        )
    return bool(getattr(getattr(cls, "__struct_config__", None), "frozen", False))


def _fields(value: object) -> Iterator[tuple[str, object]]:
    cls: Any = type(value)
    names: list[str]
    if attrs.has(cls):
        names = [field.name for field in attrs.fields(cls)]
    else:
        names = [*getattr(cls, "__dataclass_fields__", ()), *getattr(cls, "__struct_fields__", ())]
    for name in names:
        yield name, getattr(value, name, None)


@final
class Seals:
    """Judges what one run shares, and remembers what it found, so that it is seen when somebody rebinds it."""

    def __init__(self) -> None:
        self._judged: Final[set[int]] = set()
        self._alive: Final[list[object]] = []
        """What was judged by identity, which must not be given to another object meanwhile."""
        self._seen: Final[list[tuple[Mapping[str, object], str, object, str]]] = []

    def shared(self, value: object, where: str) -> str | None:
        """What of `value` can change, and where it is; None if nothing can."""
        if isinstance(value, type):
            return self._class(cast("type[object]", value), where)
        if isinstance(value, FunctionType):
            return self.function(value, where)
        if isinstance(value, _ATOMS) or (type(value).__module__, type(value).__name__) == ("histrio.ref", "Ref"):
            return None
        if type(value).__module__ in ("typing", "typing_extensions"):
            return None
        if isinstance(value, tuple | frozenset):
            return self._first((one, f"{where}[{at}]") for at, one in enumerate(cast("tuple[object, ...]", value)))
        if isinstance(value, staticmethod | classmethod):
            return self.shared(cast(object, value.__func__), where)
        if isinstance(value, property):
            return self._first((one, where) for one in (value.fget, value.fset, value.fdel))
        if isinstance(value, types.MethodType):
            return self._first(((value.__self__, f"{where}.__self__"), (value.__func__, where)))
        if isinstance(value, functools.partial):
            parts = (value.func, *value.args, *value.keywords.values())
            return self._first((one, where) for one in parts)
        if isinstance(value, BaseException):
            return self.shared(value.args, f"{where}.args")
        if _is_frozen(type(value)):
            return self._first((one, f"{where}.{name}") for name, one in _fields(value))
        return f"{where} is a {type(value).__module__}.{type(value).__qualname__}, which can change"

    def code(self, code: CodeType, names: Mapping[str, object], where: str) -> str | None:
        """What that code reaches by its globals and can change."""
        if self._known(code):
            return None
        reads, rebinds = _globals_of(code)
        if rebinds:
            return f"{where} rebinds the global {min(rebinds)}"
        found = self._first(
            (self._look(names, name, f"the global {name}, used in {where}"), f"the global {name}, used in {where},")
            for name in sorted(reads)
            if name in names
        )
        return found or self._first_code(code, names, where)

    def function(self, function: FunctionType, where: str) -> str | None:
        """What that function has in its defaults, closes over or reaches by its globals, and can change."""
        if is_own(function.__module__) or self._known(function):
            return None
        name = function.__qualname__
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        inside: list[tuple[object, str]] = [
            *((one, f"the attribute {key} of {name}") for key, one in vars(function).items() if key[:2] != "__"),
            *((one, f"a default of {name}") for one in function.__defaults__ or ()),
            *((one, f"the default {key} of {name}") for key, one in (function.__kwdefaults__ or {}).items()),
            *((_content(cell), f"{key}, which {name} closes over,") for key, cell in cells),
        ]
        return self._first(inside) or self.code(function.__code__, function.__globals__, name)

    def rebound(self) -> str | None:
        """What was looked at, and is another object now."""
        for names, name, value, where in self._seen:
            if names.get(name, _NOTHING) is not value:
                return f"{where} has been rebound"
        return None

    def _class(self, cls: type[object], where: str) -> str | None:
        """What a class and its bases have as attributes, and can change."""
        if is_own(cls.__module__) or issubclass(cls, Enum) or self._known(cls):
            return None
        found = self._first((base, where) for base in cls.__mro__[1:])
        return found or self._first(
            (self._look(vars(cls), name, f"the attribute {cls.__qualname__}.{name}"), f"{cls.__qualname__}.{name}")
            for name, value in tuple(vars(cls).items())
            if _counts(name, value)
        )

    def _look(self, names: Mapping[str, object], name: str, where: str) -> object:
        value = names[name]
        self._seen.append((names, name, value, where))
        return _unfixed(value)

    def _first(self, found: Any) -> str | None:
        return next((text for value, where in found if (text := self.shared(value, where)) is not None), None)

    def _first_code(self, code: CodeType, names: Mapping[str, object], where: str) -> str | None:
        """What functions within that one reach."""
        inner = [one for one in code.co_consts if isinstance(one, CodeType)]
        return next((text for one in inner if (text := self.code(one, names, where)) is not None), None)

    def _known(self, thing: object) -> bool:
        if id(thing) in self._judged:
            return True
        self._judged.add(id(thing))
        self._alive.append(thing)
        return False


def _unfixed(value: object) -> object:
    """What an attribute holds that `histrio.fixed` keeps from being assigned over."""
    if type(value).__module__ != "histrio.fixed" or isinstance(value, property):
        return value
    return getattr(value, "__wrapped__", None) or getattr(value, "value", None)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # it has none yet


def _counts(name: str, value: object) -> bool:
    """Whether an attribute of a class is one that its author gave it."""
    return not (
        (name.startswith("__") and name.endswith("__"))
        or name in ("_abc_impl", "_field_defaults", "_is_protocol", "_is_runtime_protocol")
        or isinstance(value, typing.TypeVar)
    )
