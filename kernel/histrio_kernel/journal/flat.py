"""Values that consist of plain ones only: most messages and most answers, encoded and decoded in a few calls.

What is not so is left to `encoding` and `decoding`, and what is comes out just as theirs.
"""

# Design note
# -----------
# A message is encoded when it comes, its answer when it goes, and the handler gets what the bytes say: by the general way
# that was a quarter of all that a short step of a durable actor took.
#
# A class is known by its shape, which does not change. What may change is looked at each time: whether its name leads to
# it, its version, and what hangs on an object.

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, cast, final

import attrs
import msgspec
from outcome import Outcome, Value

from histrio_kernel.journal import tags
from histrio_kernel.journal.refs import is_ref
from histrio_kernel.journal.shapes import bare, class_at, fields_of, has_no_extra, is_bare, name_of, version_of

__all__ = ["NOT_FLAT", "arrays_of", "is_constant", "value_of"]

NOT_FLAT: Final = object()
"""Instead of a result."""

_LENGTH_MAX: Final = 1_000
"""Of a text, or bytes; longer ones count towards what a payload may have."""


@attrs.frozen
class _Frozen:
    """Its `__setattr__` is that of all frozen classes of attrs."""


_refuse: Final = _Frozen.__setattr__


def _is_frozen_dataclass(kind: type[object]) -> bool:
    return bool(getattr(getattr(kind, "__dataclass_params__", None), "frozen", False))


@final
class _Shape:
    """What its class makes of an object."""

    __slots__ = ("fields", "has_dict", "is_frozen", "keys", "kind", "name")

    def __init__(self, kind: type[object], fields: tuple[str, ...]) -> None:
        self.kind: Final = kind
        self.fields: Final = fields
        self.keys: Final = dict.fromkeys(fields).keys()
        self.has_dict: Final = bool(kind.__dictoffset__)
        self.is_frozen: Final = kind.__setattr__ is _refuse or _is_frozen_dataclass(kind)
        self.name: Final = name_of(kind)


@lru_cache(maxsize=1024)
def _shape_of(kind: type[object]) -> _Shape | None:
    """The shape of a class of attrs, or a dataclass; None of any other class."""
    fields = fields_of(kind)
    if (
        fields is None
        or not is_bare(kind)
        or not has_no_extra(kind)
        or issubclass(kind, BaseException | msgspec.Struct | Outcome | tuple)
    ):
        return None
    return _Shape(kind, fields)


def _is_plain(value: Any) -> bool:
    kind = value.__class__
    if kind is int:
        return -(1 << 63) <= value < 1 << 63  # type: ignore[no-any-return]
    if kind is str:
        return len(value) <= _LENGTH_MAX and value.isascii()
    return value is None or kind is bool or kind is float or (kind is bytes and len(value) <= _LENGTH_MAX)


def arrays_of(value: Any) -> object:
    """What is to be packed for that value; `NOT_FLAT` if it is none of those."""
    kind = value.__class__
    if kind is Value:
        return [tags.VALUE, value.value] if _is_plain(value.value) else NOT_FLAT
    shape = _shape_of(kind)
    if shape is None:
        return value if _is_plain(value) else NOT_FLAT
    if class_at(shape.name) is not shape.kind or is_ref(shape.kind):
        return NOT_FLAT
    if shape.has_dict and not value.__dict__.keys() <= shape.keys:
        return NOT_FLAT
    version: Any = version_of(shape.kind)
    if version.__class__ is not int or version < 1:
        return NOT_FLAT
    parts: dict[str, object] = {}
    for field in shape.fields:
        part = getattr(value, field, NOT_FLAT)
        if not _is_plain(part):
            return NOT_FLAT
        parts[field] = part
    return [tags.OBJECT, shape.name, version, parts]


def is_constant(value: object) -> bool:
    """Whether it has plain fields only, and a class that refuses to change them: it is as good as what its bytes make."""
    kind = value.__class__
    shape = _shape_of(kind)  # type: ignore[arg-type]  # mypy takes its `__hash__` for that of an object
    if shape is None or not shape.is_frozen or shape.has_dict or is_ref(kind):
        return False
    for field in shape.fields:  # noqa: SIM110 - a loop is quicker than a generator
        if not _is_plain(getattr(value, field, NOT_FLAT)):
            return False
    return True


def value_of(plain: Any) -> object:
    """The value that these arrays stand for; `NOT_FLAT` if it is none of those, or not as its class is now."""
    if plain.__class__ is not list:
        return cast(object, plain)
    if len(plain) == 2 and plain[0] == tags.VALUE and plain[1].__class__ is not list:
        return Value(plain[1])
    if len(plain) != 4 or plain[0] != tags.OBJECT:
        return NOT_FLAT
    _, name, version, parts = plain
    kind = class_at(name)
    shape = None if kind is None else _shape_of(kind)
    if shape is None or version != version_of(shape.kind) or parts.keys() != shape.keys:
        return NOT_FLAT
    made = bare(shape.kind)
    for field, part in parts.items():
        if part.__class__ is list:
            return NOT_FLAT
        object.__setattr__(made, field, part)
    return made
