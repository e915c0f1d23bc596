"""How a class is named in a journal, how it is found again, and which fields its objects have."""

# Design note
# -----------
# A name is `module:Qualname`, and it is looked up in what the program has imported already. Nothing is imported for the
# sake of a name: what is in a journal may come from elsewhere, and importing a module runs it. For the same reason the
# parts of a name are looked up in the dictionaries of modules and classes, where no `__getattr__` is asked.
#
# What an object consists of is what its class declares: fields of attrs, of dataclasses, of Structs, of NamedTuples. What
# else hangs on it would be lost without a word, so it is refused; a value that a `cached_property` keeps is no part of it.

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

import attrs
import msgspec

__all__ = [
    "HASH",
    "bare",
    "builtin_base",
    "class_at",
    "extra_of",
    "fields_of",
    "has_no_extra",
    "is_bare",
    "is_named_tuple",
    "name_of",
    "version_of",
]

F = TypeVar("F", bound=Callable[..., object])

HASH: Final = "_attrs_cached_hash"
"""Where attrs keeps a hash (`cache_hash=True`); it may differ between processes, and is no part of an object."""

_NOT_EXTRA: Final = frozenset({"__weakref__", "__dict__", HASH})


def _once(function: F) -> F:
    """For what does not change about a class, or a name."""
    return cast(F, functools.lru_cache(maxsize=1024)(function))


def name_of(kind: type) -> str:
    """The name of a class, whether or not it leads anywhere."""
    return f"{kind.__module__}:{kind.__qualname__}"


def class_at(name: str) -> type | None:
    """The class of that name, if its module is imported and has it."""
    module, parts = _way_of(name)
    found: object = sys.modules.get(module)
    for part in parts:
        found = getattr(found, "__dict__", {}).get(part)
    return cast("type[object]", found) if isinstance(found, type) else None


@_once
def _way_of(name: str) -> tuple[str, Sequence[str]]:
    module, _, qualname = name.partition(":")
    return module, qualname.split(".")


def version_of(kind: type) -> object:
    """The version of a class's fields: `__histrio_version__`, or 1."""
    return getattr(kind, "__histrio_version__", 1)


def is_named_tuple(kind: type[object]) -> bool:
    """Whether it was made by `NamedTuple` or `namedtuple`."""
    return tuple in kind.__mro__ and isinstance(getattr(kind, "_fields", None), tuple)


@_once
def fields_of(kind: type[object]) -> tuple[str, ...] | None:
    """The names of an object's fields; None if its class declares none."""
    if attrs.has(kind):
        return tuple(field.name for field in attrs.fields(kind))
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if is_named_tuple(kind):
        return cast("tuple[str, ...]", cast(Any, kind)._fields)
    return None


def bare(kind: type[object]) -> object:
    """An object of a class of attrs or a dataclass whose fields are not set yet. No code of the class runs.

    Raises:
        TypeError: its objects hold more than fields: it derives from dict, int or the like.
    """
    made = object.__new__(kind)
    if _keeps_its_hash(kind):
        object.__setattr__(made, HASH, None)
    return made


@_once
def _keeps_its_hash(kind: type[object]) -> bool:
    code = getattr(kind.__hash__, "__code__", None)
    return code is not None and HASH in code.co_names


@_once
def is_bare(kind: type[object]) -> bool:
    """Whether `bare` can make one."""
    try:
        bare(kind)
    except TypeError:
        return False
    return True


def extra_of(value: object, fields: Sequence[str]) -> str | None:
    """The name of something that hangs on an object and is no field of it; None if there is nothing."""
    kind = value.__class__
    for name in getattr(value, "__dict__", ()):
        if name not in fields and name not in _NOT_EXTRA and not _is_cached(kind, name):
            return str(name)
    for name in _slots_of(kind):
        if name not in fields and hasattr(value, name):
            return name
    return None


def has_no_extra(kind: type[object]) -> bool:
    """Whether nothing hangs on its objects but their fields, and what is in their `__dict__` if they have one."""
    return set(_slots_of(kind)) <= set(fields_of(kind) or ())


@_once
def _slots_of(kind: type[object]) -> Sequence[str]:
    """What else may hang on its objects, in slots."""
    found: list[str] = []
    for base in kind.__mro__:
        if "__attrs_attrs__" in base.__dict__ or "__slots__" not in base.__dict__:
            continue  # slots of attrs are fields, or kept values of properties
        slots: object = base.__dict__["__slots__"]
        found += (slots,) if isinstance(slots, str) else cast("Sequence[str]", slots)
    return [name for name in found if name not in _NOT_EXTRA]


def _is_cached(kind: type, name: str) -> bool:
    return isinstance(getattr(kind, name, None), functools.cached_property)


def builtin_base(kind: type[BaseException]) -> type[BaseException]:
    """The exception of Python itself that *kind* derives from: it knows how to make one without code of *kind*."""
    return next(base for base in kind.__mro__ if base.__module__ == "builtins" and not base.__flags__ & _HEAP)


_HEAP: Final = 1 << 9
