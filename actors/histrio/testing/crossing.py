"""How a message goes from machine to machine: as bytes, with the addresses of the refs in it, which are refs again there."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast, final
from urllib.parse import quote

import attrs

from histrio.ref import Ref

__all__ = ["Address", "Packed", "address_in", "far_name", "pack", "unbound", "unpack"]

Address: TypeAlias = tuple[str, str]
"""A machine, and a path there."""


@final
@attrs.frozen
class Packed:
    """A message on its way.

    Attributes:
        data: it, pickled.
        addresses: of the refs in it, each once, in the order in which they are met.
    """

    data: bytes
    addresses: tuple[Address, ...]


def far_name(address: Address) -> str:
    """The name of the actor that stands for one of another machine. No two addresses have the same."""
    there, path = address
    return f"far {quote(there, safe='')} {quote(path[1:], safe='')}"


def address_in(ref: Ref[Any]) -> Address:
    """What a ref is pickled as."""
    _, address = cast(tuple[object, Address], ref.__reduce__())
    return address


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, address_of: Callable[[Ref[Any]], Address]) -> None:
        super().__init__(file)
        self._address_of: Final = address_of
        self.addresses: Final[dict[Address, None]] = {}

    def persistent_id(self, obj: object) -> Address | None:
        """The address of a ref; anything else is pickled."""
        if not isinstance(obj, Ref):
            return None
        address = self._address_of(obj)  # pyright: ignore[reportUnknownArgumentType]
        self.addresses[address] = None
        return address


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, ref_to: Callable[[Address], Ref[Any]]) -> None:
        super().__init__(io.BytesIO(data))
        self._ref_to: Final = ref_to

    def persistent_load(self, pid: Address) -> Ref[Any]:
        """The ref for an address."""
        return self._ref_to(pid)


def pack(address_of: Callable[[Ref[Any]], Address], message: object) -> Packed:
    """Pickle a message, and try whether it comes out again: that is the sender's mistake, too."""
    file = io.BytesIO()
    pickler = _Pickler(file, address_of)
    pickler.dump(message)
    data = file.getvalue()
    _Unpickler(data, unbound).load()
    return Packed(data, tuple(pickler.addresses))


def unpack(packed: Packed, refs: Mapping[Address, Ref[Any]]) -> object:
    """The message, with these refs in it."""
    return _Unpickler(packed.data, refs.__getitem__).load()


def unbound(address: Address) -> Ref[Any]:
    """A ref that belongs to no machine."""
    return Ref(*address, None, None)
