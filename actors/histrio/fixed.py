"""Names of an actor that cannot be assigned over: data descriptors, so that other attributes cost nothing (A18)."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Final, NoReturn

__all__ = ["FixedMethod", "FixedProperty", "FixedValue"]


def _refuse(instance: object, name: str) -> NoReturn:
    """Say that `name` belongs to `Actor`."""
    raise AttributeError(
        f"{type(instance).__qualname__}.{name} belongs to histrio.Actor and is read-only; choose another name"
    )


class FixedMethod:
    """A method that instances cannot shadow. Subclasses override it as usual."""

    __slots__ = ("__wrapped__", "name")

    def __init__(self, function: FunctionType, name: str) -> None:
        self.__wrapped__: Final = function
        self.name: Final = name

    @property
    def __closure__(self) -> object:
        """The cells of the function: attrs fills them anew when it makes a slotted class."""
        return self.__wrapped__.__closure__

    @property
    def __isabstractmethod__(self) -> bool:
        """Whether subclasses must override it."""
        return bool(getattr(self.__wrapped__, "__isabstractmethod__", False))

    def __get__(self, instance: object | None, owner: type | None = None) -> object:
        """The bound method, or the function when looked up on the class."""
        return self.__wrapped__ if instance is None else MethodType(self.__wrapped__, instance)

    def __set__(self, instance: object, value: object) -> None:
        _refuse(instance, self.name)

    def __delete__(self, instance: object) -> None:
        _refuse(instance, self.name)


class FixedProperty(property):
    """A property that says whose name it is when it is assigned to."""

    def __set__(self, instance: object, value: object) -> None:
        _refuse(instance, self.fget.__name__ if self.fget is not None else "it")

    def __delete__(self, instance: object) -> None:
        self.__set__(instance, None)


class FixedValue:
    """A setting of a class that instances cannot shadow: it is read from the class, so that would have no effect."""

    __slots__ = ("name", "value")

    def __init__(self, value: object, name: str) -> None:
        self.value: Final = value
        self.name: Final = name

    def __get__(self, instance: object | None, owner: type | None = None) -> object:
        """The value."""
        return self.value

    def __set__(self, instance: object, value: object) -> None:
        _refuse(instance, self.name)

    def __delete__(self, instance: object) -> None:
        _refuse(instance, self.name)
