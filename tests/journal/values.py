"""Classes of each kind that a journal can store, and what cannot be."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass, field
from typing import NamedTuple

import attrs
import msgspec


@attrs.frozen
class Line:
    price: object
    amount: object = 1


@attrs.define
class Order:
    lines: object
    note: object = None
    total: int = attrs.field(init=False, default=0)
    _secret: object = "s"
    """Its name as an argument is another one."""


@attrs.frozen(cache_hash=True)
class Hashed:
    part: object


class Sub(Line):
    """Declares nothing itself."""


@dataclass
class Parcel:
    inside: object
    weight: int = field(init=False, default=3)


@dataclass(frozen=True, slots=True)
class Label:
    text: object

    @functools.cached_property  # (never used here: it has no place in a class of slots)
    def never(self) -> None: ...


@dataclass
class Circle:
    radius: float

    @functools.cached_property
    def area(self) -> float:
        """Kept by the object, and no part of it."""
        return 3 * self.radius**2


class Packed(msgspec.Struct):
    inside: object
    rest: object = None


class Frozen(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    inside: object = None


class Point(NamedTuple):
    x: object
    y: object


class Outer:
    @attrs.frozen
    class Inner:
        """A class within another one."""

        inside: object


class Colour(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 -- an alias
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 1


class Word(enum.StrEnum):
    YES = "yes"


class May(enum.Flag):
    READ = 1
    WRITE = 2


class Plain(Exception):
    """Its arguments are not those of its `__init__`."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__(f"{one} and {two}")
        self.one = one


@attrs.define
class Declared(Exception):
    code: object
    hint: str = ""


class Strict(ExceptionGroup[Exception]):
    """A group that is made in another way."""

    def __new__(cls, errors: list[Exception]) -> Strict:
        return super().__new__(cls, "strict", errors)

    def __init__(self, errors: list[Exception]) -> None:
        pass


class Nothing:
    """A plain object."""


class Address:
    """An address, once it is registered."""


class Dictionary(dict[str, int]):
    """More than a dict."""


@attrs.define
class Both(dict[str, int]):
    """A dict with fields."""

    part: int = 0


class Slotted(Line):
    __slots__ = ("more",)


@attrs.define
class Unset:
    part: int = attrs.field(init=False)


class Versioned(msgspec.Struct):
    part: int = 0
    __histrio_version__ = "2"


def local_class() -> type:
    """A class that cannot be found by its name."""

    @attrs.frozen
    class Local:
        part: int = 0

    return Local


Taken = attrs.make_class("Line", ["part"])
Taken.__module__ = __name__
