"""What goes into a durable process and what comes out of it: attrs classes, looked at before anything depends on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast, final

import attrs

from histrio_kernel.errors import HistrioError, shown

__all__ = ["WrongInputs", "WrongOutputs", "checked_inputs", "checked_outputs"]


class _Wrong(HistrioError):
    def __init__(self, path: str, field: str, what: str) -> None:
        self.path: Final = path
        self.field: Final = field
        super().__init__(f"{path}: {what}")


@final
class WrongInputs(_Wrong):
    """A durable process was to be made of inputs that its class does not take; nothing was stored.

    Attributes:
        path: of the process.
        field: the name of the input; empty if none is to blame.
    """


@final
class WrongOutputs(_Wrong):
    """A durable process was done with outputs that its class does not allow, so it has failed.

    Attributes:
        path: of the process.
        field: the name of the output; empty if none is to blame.
    """


def checked_inputs(path: str, kind: type[object], given: object) -> object:
    """An object of the class of inputs, whose validators have nothing against it.

    Raises:
        WrongInputs: they have; the text names the field.
    """
    return _checked(WrongInputs, path, "input", kind, given)


def checked_outputs(path: str, kind: type[object], given: object) -> object:
    """An object of the class of outputs, whose validators have nothing against it.

    Raises:
        WrongOutputs: they have; the text names the field.
    """
    return _checked(WrongOutputs, path, "output", kind, given)


def _checked(wrong: type[_Wrong], path: str, port: str, kind: type[object], given: object) -> object:
    if isinstance(given, Mapping):
        return _made(wrong, path, port, kind, cast("Mapping[str, object]", given))
    if not isinstance(given, kind):
        raise wrong(path, "", f"its {port}s are {kind.__qualname__}, and not {shown(given)}")
    blamed, error = _refused(kind, given)
    if error is not None:
        raise wrong(path, blamed, f"the {port} {blamed!r} of {kind.__qualname__} is wrong: {_said(error)}") from None
    return given


def _made(wrong: type[_Wrong], path: str, port: str, kind: type[object], given: Mapping[str, object]) -> object:
    """The object of these fields."""
    fields = {str(field.alias): field for field in _fields(kind) if field.init}
    for name in given:
        if name not in fields:
            names = ", ".join(fields) or "none"
            raise wrong(path, str(name), f"{kind.__qualname__} has no {port} {name!r}; it has {names}")
    for name, field in fields.items():
        if name not in given and field.default is attrs.NOTHING:
            raise wrong(path, name, f"the {port} {name!r} of {kind.__qualname__} is missing")
    try:
        return kind(**given)
    except Exception as error:
        blamed = _blamed(kind, given)
        about = f" {blamed!r} of" if blamed else "s are no"
        is_wrong = " is wrong" if blamed else ""
        raise wrong(path, blamed, f"the {port}{about} {kind.__qualname__}{is_wrong}: {_said(error)}") from None


def _refused(kind: type[object], given: object) -> tuple[str, Exception | None]:
    """The first field whose validator refuses its value, and how."""
    for field in _fields(kind):
        if field.validator is not None:
            try:
                field.validator(given, field, getattr(given, field.name))
            except Exception as error:
                return field.name, error
    return "", None


def _blamed(kind: type[object], given: Mapping[str, object]) -> str:
    """Which field the class did not take: attrs does not tell, so what it does is done again, field by field."""
    bare = object.__new__(kind)
    for field in _fields(kind):
        value = given.get(str(field.alias), field.default)
        try:
            converter = cast("Callable[[object], object] | None", field.converter)
            if converter is not None and value is not field.default:
                value = converter(value)
        except Exception:
            return field.name
        object.__setattr__(bare, field.name, value)
    return _refused(kind, bare)[0]


def _said(error: Exception) -> str:
    """What a validator says. Those of attrs have their fields and values in it too, which cannot be stored: so this is text."""
    return f"{type(error).__name__}: {error.args[0] if error.args else ''}"


def _fields(kind: type[object]) -> tuple[attrs.Attribute[Any], ...]:
    return cast("tuple[attrs.Attribute[Any], ...]", attrs.fields(cast("type[attrs.AttrsInstance]", kind)))
