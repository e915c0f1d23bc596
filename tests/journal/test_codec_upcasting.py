"""J7: what older code has stored is read by newer code, or the difference is named; and nothing is imported for it."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Protocol

import attrs
import msgspec
import pytest

from histrio_kernel.journal.codec import decode, encode, register_upcaster, shown
from histrio_kernel.journal.errors import Undecodable

SHOP = "histrio_test_shop"

Fields = Mapping[str, object]


class Register(Protocol):
    """`register_upcaster`, as the tests call it."""

    def __call__(self, name: str, version: int, fn: Callable[[Fields], Fields], to: str | None = None, /) -> None: ...


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module whose classes change."""
    module = ModuleType(SHOP)
    monkeypatch.setitem(sys.modules, SHOP, module)
    return module


@pytest.fixture
def upcast() -> Iterator[Register]:
    """`register_upcaster`, taken back at the end."""
    undo: list[Callable[[], None]] = []

    def register(name: str, version: int, fn: Callable[[Fields], Fields], to: str | None = None) -> None:
        undo.append(register_upcaster(name, version, fn, to=to))

    yield register
    for each in undo:
        each()


def order(shop: Any, *fields: str, version: int | None = None, name: str = "Order") -> Any:
    """The shop's Order from now on."""
    made: Any = attrs.make_class(name, list(fields), frozen=True)
    made.__module__ = SHOP
    if version is not None:
        made.__histrio_version__ = version
    setattr(shop, name, made)
    return made


def undecodable(data: bytes) -> str:
    """What is said of it."""
    with pytest.raises(Undecodable) as caught:
        decode(data)
    return str(caught.value)


def test_a_class_that_is_gone(shop: Any) -> None:
    """J7: the text names the class, and says what to do if it was renamed."""
    data = encode([order(shop, "price")(1)])
    del shop.Order

    text = undecodable(data)
    assert f"there is no class {SHOP}:Order: import {SHOP} before the journal is read" in text
    assert f"register_upcaster('{SHOP}:Order', 1, fn, to='module:Name')" in text
    assert shown(data) == "[Order(price=1)]"


def test_nothing_is_imported() -> None:
    """J3: a journal cannot make a program import something: a module that is not imported is as good as absent."""
    name = "antigravity"
    assert name not in sys.modules
    data = msgspec.msgpack.encode((1, [19, f"{name}:Order", 1, {}]))

    assert "there is no class antigravity:Order" in undecodable(data)
    assert name not in sys.modules


def lazily(_name: str) -> type:
    """A module's way to have everything."""
    return int


def test_no_module_is_asked_for_what_it_has_not(shop: Any) -> None:
    """J3: a module's `__getattr__`, which may import something, is not asked, and what is no class is none."""
    shop.__getattr__ = lazily
    shop.run = exec

    for name in ("Lazy", "run", "Order.__init__", ""):
        assert f"there is no class {SHOP}:{name}" in undecodable(msgspec.msgpack.encode((1, [16, f"{SHOP}:{name}"])))


@pytest.mark.parametrize(
    "name", ["builtins:dict", "builtins:int", "subprocess:Popen", "builtins:type", "pathlib:Path", "threading:Thread"]
)
@pytest.mark.parametrize("tag", [17, 18, 19, 20])
def test_no_object_of_another_kind_is_made(name: str, tag: int) -> None:
    """J3: bytes that somebody has changed can name any class, and only one that declares fields is made into objects."""
    rest: list[object] = ["x"] if tag == 17 else [1] if tag == 18 else [{"args": [1]}]

    undecodable(msgspec.msgpack.encode((1, [tag, name, 1, *rest])))


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        (("price", "amount"), "has a field 'amount' that was not stored"),
        ((), "has no field 'price', which was stored"),
        (("cost",), "has a field 'cost' that was not stored"),
    ],
)
def test_fields_that_differ(shop: Any, fields: tuple[str, ...], wrong: str) -> None:
    """J7: the text names the class, the field, and the upcaster that is missing."""
    data = encode(order(shop, "price")(1))
    order(shop, *fields)

    text = undecodable(data)
    assert text == (
        f"{SHOP}:Order {wrong}; let the class say `__histrio_version__ = 2`, and"
        f" register_upcaster('{SHOP}:Order', 1, fn) with what turns its fields then into its fields now"
    )


def test_one_version_at_a_time(shop: Any, upcast: Register) -> None:
    """J7: what is two versions old goes through both upcasters, and what is new through none."""
    first = encode([order(shop, "price")(100)])
    second = encode([order(shop, "cents", version=2)(200)])
    third = order(shop, "cents", "currency", version=3)
    upcast(f"{SHOP}:Order", 1, lambda old: {"cents": old["price"]})
    upcast(f"{SHOP}:Order", 2, lambda old: {**old, "currency": "EUR"})

    assert decode(first) == [third(100, "EUR")]
    assert decode(second) == [third(200, "EUR")]
    assert decode(encode(third(1, "CHF"))) == third(1, "CHF")


def test_a_version_without_an_upcaster(shop: Any, upcast: Register) -> None:
    """J7: the text names the version that nobody leads on from; newer code's is named, too."""
    first = encode(order(shop, "price")(1))
    fourth = encode(order(shop, "price", version=4)(1))
    order(shop, "price", version=3)
    upcast(f"{SHOP}:Order", 1, dict)

    assert f"stored in version 2, and has version 3; register_upcaster('{SHOP}:Order', 2, fn)" in undecodable(first)
    assert "stored in version 4, and here it has version 3: newer code" in undecodable(fourth)


def test_a_class_with_another_name(shop: Any, upcast: Register) -> None:
    """J7: a class that was renamed is read by its old name."""
    data = encode(order(shop, "price")(1))
    del shop.Order
    purchase = order(shop, "price", version=2, name="Purchase")
    upcast(f"{SHOP}:Order", 1, dict, f"{SHOP}:Purchase")

    assert decode(data) == purchase(1)


def test_an_upcaster_that_is_wrong(shop: Any, upcast: Register) -> None:
    """J7: one that fails, or that gives other fields than the class has, is named."""
    data = encode(order(shop, "price")(1))
    order(shop, "cents", version=2)

    upcast(f"{SHOP}:Order", 1, lambda old: {"cents": old["cost"]})
    assert undecodable(data) == f"the upcaster from version 1 of {SHOP}:Order failed: KeyError('cost')"
    with pytest.raises(ValueError, match="there is an upcaster from version 1"):
        upcast(f"{SHOP}:Order", 1, dict)


@pytest.mark.parametrize(("name", "version"), [("Order", 1), ("shop:", 1), (":Order", 1), ("shop:Order", 0)])
def test_an_upcaster_of_nothing(name: str, version: int) -> None:
    """J7: a name without its module, or a version that there is not, is refused when it is registered."""
    with pytest.raises(ValueError, match=r"is no name of a class|there is no version"):
        register_upcaster(name, version, dict)


def colour(names: list[str]) -> Any:
    """The shop's Colour of these names."""
    return enum.Enum("Colour", names, module=SHOP)


def test_a_member_with_another_name(shop: Any, upcast: Register) -> None:
    """J7: members of an Enum go by their names, and upcasters rename them."""
    before = colour(["RED"])
    shop.Colour = before
    data = encode([before.RED])
    now = colour(["CRIMSON"])
    shop.Colour = now

    assert f"{SHOP}:Colour has no member 'RED' any more; let the class say" in undecodable(data)
    now.__histrio_version__ = 2
    upcast(f"{SHOP}:Colour", 1, lambda old: {"name": {"RED": "CRIMSON"}[str(old["name"])]})
    assert decode(data) == [shop.Colour.CRIMSON]


def test_an_exception_of_other_fields(shop: Any, upcast: Register) -> None:
    """J7: what an exception was made of is a field of it, "args", beside its own."""
    data = encode(order_failed(shop, "code")(7))
    order_failed(shop, "reason", version=2)

    upcast(f"{SHOP}:Failed", 1, lambda old: {"args": (f"code {old['code']}",), "reason": f"code {old['code']}"})
    assert repr(decode(data)) == "Failed(reason='code 7')"


def order_failed(shop: Any, field: str, version: int = 1) -> Any:
    """The shop's exception from now on."""
    made: Any = attrs.make_class("Failed", [field], bases=(Exception,), auto_exc=True)
    made.__module__ = SHOP
    made.__histrio_version__ = version
    shop.Failed = made
    return made
