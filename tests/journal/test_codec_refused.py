"""J2: what cannot be stored is refused before anything is written, by the name of its field and with what to do."""

from __future__ import annotations

import collections
import sys
import threading
from collections.abc import Callable

import pytest
from tests.journal import values
from tests.journal.values import (
    Both,
    Dictionary,
    Line,
    Nothing,
    Order,
    Plain,
    Slotted,
    Taken,
    Unset,
    Versioned,
    local_class,
)

from histrio_kernel.bounds import bound
from histrio_kernel.journal.codec import decode, encode
from histrio_kernel.journal.errors import Unencodable


def refused(value: object) -> str:
    """What is said of it."""
    with pytest.raises(Unencodable) as caught:
        encode(value)
    return str(caught.value)


def an_open_file() -> object:
    """One of this process."""
    return sys.__stderr__


def an_extra_attribute() -> object:
    """An object with more than its fields."""
    circle = values.Circle(1)
    circle.__dict__["colour"] = "red"
    return circle


def an_extra_slot() -> object:
    """An object with a slot that is no field."""
    slotted = Slotted(1)
    object.__setattr__(slotted, "more", 2)
    return slotted


def a_failure_with_a_file() -> object:
    """An exception that holds what cannot be stored."""
    return Plain(sys.__stderr__, 1)


LATER = "store what it takes to make it again, and make it in `started()`"

CASES: dict[str, tuple[Callable[[], object], str]] = {
    "lambda": (lambda: lambda: 1, "function: a lambda cannot be stored; store what it needs to know"),
    "function": (lambda: local_class, "function: a function (local_class) cannot be stored; store what it needs"),
    "builtin": (lambda: len, "cannot be stored; store what it needs to know"),
    "file": (
        an_open_file,
        f"TextIOWrapper: a _io.TextIOWrapper cannot be stored; it belongs to this process: {LATER}",
    ),
    "lock": (threading.Lock, f"lock: a _thread.lock cannot be stored; it belongs to this process: {LATER}"),
    "plain object": (
        Nothing,
        "Nothing: a tests.journal.values.Nothing cannot be stored; make its class an attrs class",
    ),
    "generator": (lambda: (n for n in [1]), "store what it gives: await it, or make a list of it"),
    "field": (
        lambda: Order([Line(1), Line(2), Line(sys.__stderr__)]),
        "Order.lines[2].price: a _io.TextIOWrapper cannot be stored",
    ),
    "private field": (lambda: Order(1, None, object()), "Order._secret: an object cannot be stored"),
    "item": (lambda: {"a": ({1: object()},)}, "dict['a'][0][1]: an object cannot be stored"),
    "key": (lambda: {("a", len): 1}, "dict.key(('a', <built-in function len>))[1]: a builtin"),
    "in a set": (lambda: [{object()}], "list[0]{...}: an object cannot be stored"),
    "local class": (
        local_class(),
        "is made within a function, so it could not be found again; move it to the top",
    ),
    "a local class itself": (local_class, "move it to the top level of its module"),
    "taken name": (
        lambda: Taken(1),
        "the class Line could not be found again: under tests.journal.values:Line there is another class",
    ),
    "no name": (lambda: type("Gone", (Line,), {"__module__": "tests.journal.values"})(1), ":Gone there is nothing"),
    "dict subclass": (Dictionary, "Dictionary: a tests.journal.values.Dictionary cannot be stored; store a plain dict"),
    "ordered dict": (lambda: collections.OrderedDict({1: 2}), "store a plain dict: dict(...)"),
    "str subclass": (lambda: type("Name", (str,), {})("x"), "store a plain str: str(...)"),
    "bytearray": (lambda: bytearray(b"x"), "bytearray: a bytearray cannot be stored; store bytes(...)"),
    "fields and a dict": (Both, "Both: a Both has fields and is a dict besides"),
    "attribute": (an_extra_attribute, "Circle.colour: an attribute that is no field of Circle would be lost"),
    "slot": (an_extra_slot, "Slotted.more: an attribute that is no field of Slotted would be lost"),
    "unset field": (Unset, "Unset.part: the field has no value yet, and the object could not be made again"),
    "version": (Versioned, "Versioned.__histrio_version__ is '2'; it is to be a whole number from 1"),
    "exception": (a_failure_with_a_file, "Plain.one: a _io.TextIOWrapper cannot be stored"),
    "group": (lambda: ExceptionGroup("g", [ValueError(len)]), "ExceptionGroup.args[1][0].args[0]: a builtin"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_stored_is_refused(name: str) -> None:
    """J2: the text names the field by the way to it, what is there, and what to do."""
    make, text = CASES[name]

    assert text in refused(make())


def test_a_cycle_is_refused() -> None:
    """J2: what contains itself has no end."""
    items: list[object] = []
    items.append({"again": items})
    order = Order(None)
    order.lines = (order,)

    for value in (items, order):
        text = refused(value)
        assert "that contains itself cannot be stored" in text
        assert len(text) < 500


def nested(levels: int) -> object:
    """A list in a list in a list."""
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_depth_has_a_bound() -> None:
    """J2: as deep as `journal_depth_max` is stored, one level more is refused, by a text that is still short."""
    levels = bound("journal_depth_max")
    chain: object = None
    for _ in range(levels):
        chain = Line(chain)

    assert decode(encode(nested(levels))) == nested(levels)
    assert decode(encode(chain)) == chain
    for value in (nested(levels + 1), nested(100_000)):
        text = refused(value)
        assert f"nested more than {levels} levels deep" in text
        assert len(text) < 500


def test_size_has_a_bound() -> None:
    """J2: a payload of `journal_payload_bytes_max` is stored, one of a byte more is refused."""
    size = bound("journal_payload_bytes_max")
    most = b"x" * (size - 7)  # the format, and the length of the bytes

    assert len(encode(most)) == size
    assert "4,194,305 bytes are more than journal_payload_bytes_max" in refused(most + b"x")
    assert "Line.price: a value of more than 4,194,304 bytes" in refused(Line("x" * (size + 1)))


def test_what_is_small_and_endless_to_write_is_refused_soon() -> None:
    """J2: sixty lists that each hold the next one twice would be more bytes than there are."""
    value: object = "x" * 1000
    for _ in range(60):
        value = [value, value]

    assert "a value of more than 4,194,304 bytes" in refused(value)


def test_a_surrogate_is_stored() -> None:
    """J3: a file name that is no Unicode is a str all the same, also as a key."""
    assert decode(encode({"\udcff": Line("a\ud800")})) == {"\udcff": Line("a\ud800")}
