"""J2, J3: what a journal remembers comes back equal, of the same class, and is the same bytes in every process."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import functools
import math
import os
import subprocess
import sys
import uuid
import zoneinfo
from collections.abc import Callable, Hashable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, cast

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outcome import Error, Value
from tests.effort import count
from tests.journal.values import (
    Address,
    Circle,
    Colour,
    Declared,
    Frozen,
    Hashed,
    Label,
    Level,
    Line,
    May,
    Order,
    Outer,
    Packed,
    Parcel,
    Plain,
    Point,
    Strict,
    Sub,
    Word,
)

import histrio
from histrio_kernel.errors import ActorFailed, End, Reason
from histrio_kernel.journal.codec import decode, encode, register_ref, shown
from histrio_kernel.journal.errors import JournalTooNew, Undecodable
from histrio_kernel.journal.record import digest_of

GOLDEN: Final = Path(__file__).parent / "golden_codec_1.txt"

zones = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.sampled_from([zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("UTC")]),
    st.builds(dt.timezone, st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23))),
)

# What can be a key, too. Floats that are not equal to themselves have a test of their own.
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(allow_nan=False),
    st.text(st.characters(codec=None), max_size=20),
    st.binary(max_size=20),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.dates(),
    st.times(timezones=st.sampled_from([None, dt.UTC])),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.sampled_from([Path("/a/b"), Path(), PurePosixPath("x"), PureWindowsPath("c:\\x")]),
    st.sampled_from([Colour.RED, Colour.CRIMSON, Level.HIGH, Word.YES, May.READ, May.READ | May.WRITE, May(0)]),
    st.sampled_from(
        [int, Line, Outer.Inner, Colour, ValueError, msgspec.UNSET, zoneinfo.ZoneInfo("Asia/Tokyo"), dt.UTC]
    ),
)
hashables = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=4),
        st.builds(Line, inner, inner),
        st.builds(Sub, inner),
        st.builds(Hashed, inner),
        st.builds(Label, inner),
        st.builds(Frozen, inner),
        st.builds(Point, inner, inner),
        st.builds(Outer.Inner, inner),
    ),
    max_leaves=5,
)
values = st.recursive(
    hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashables, inner, max_size=4),
        st.sets(hashables, max_size=4),
        st.builds(Order, inner, inner),
        st.builds(Parcel, inner),
        st.builds(Packed, inner, inner),
        st.builds(Line, inner, inner),
        st.builds(Point, inner, inner),
        st.builds(Value, inner),
    ),
    max_leaves=12,
)


def same(left: object, right: object) -> bool:
    """Whether two values are equal, of one class, and so on within them."""
    return left == right and repr(left) == repr(right) and type(left) is type(right)


@settings(max_examples=count("codec_examples"))
@given(values)
def test_every_value_comes_back(value: object) -> None:
    """J3: any value of any kinds within each other comes back equal, of its class; and its bytes are the same again."""
    data = encode(value)
    again = decode(data)

    assert type(again) is type(value)
    assert again == value
    assert encode(again) == data


@settings(max_examples=count("codec_examples"))
@given(values, st.integers(0, 300))
def test_every_value_has_a_text(value: object, limit: int) -> None:
    """J7: what is stored can be shown without its classes, in a line of at most so many characters."""
    text = shown(encode(value), limit)

    assert len(text) <= limit
    assert "not to be read" not in text


@settings(max_examples=count("codec_examples"))
@given(st.binary(max_size=200), values, st.data())
def test_no_bytes_do_harm(noise: bytes, value: object, data: st.DataObject) -> None:
    """J3: bytes that are no value, or that were changed, are a value or `Undecodable`, and always have a text."""
    whole = encode(value)
    at = data.draw(st.integers(0, len(whole)))
    for each in (noise, whole[:at], whole[:at] + noise + whole[at + len(noise) :]):
        shown(each)
        with contextlib.suppress(Undecodable, JournalTooNew):
            decode(each, lambda path: path)


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, -0.0, math.nan, decimal.Decimal("NaN"), decimal.Decimal("1.50")]
)
def test_odd_numbers(value: object) -> None:
    """J3: the sign of a zero, what is no number, and the digits of a Decimal are kept."""
    again = decode(encode(value))

    assert repr(again) == repr(value)
    assert encode(again) == encode(value)


@pytest.mark.parametrize("value", [True, 1, 1.0, False, 0, -0.0, (), [], {}, set[int](), frozenset[int](), "", b""])
def test_what_is_alike_stays_apart(value: object) -> None:
    """J3: 1 and True, an empty list and an empty tuple: each comes back as what it was, also as a key."""
    assert same(decode(encode(value)), value)
    if isinstance(value, Hashable):
        as_key: dict[object, object] = {value: value}
        assert same(decode(encode(as_key)), as_key)


def test_the_order_of_a_dict_is_kept() -> None:
    """J3: the order of keys comes back, and is part of the bytes."""
    assert list(cast("dict[int, int]", decode(encode({2: 0, 1: 0})))) == [2, 1]
    assert encode({2: 0, 1: 0}) != encode({1: 0, 2: 0})


def test_fields_that_are_not_given_to_init_come_back() -> None:
    """J3: objects are made as they were, without `__init__`: what was set later comes back, private fields too."""
    order = Order([1])
    order.total = 7
    parcel = Parcel(1)
    parcel.weight = 9

    assert decode(encode([order, parcel])) == [order, parcel]


def test_a_kept_hash_and_a_cached_property_are_no_part_of_an_object() -> None:
    """J3: equal objects have equal bytes, whether or not they were asked for what they keep."""
    hashed, circle = Hashed("x"), Circle(2)
    before = encode([hashed, circle])
    assert (hash(hashed), circle.area) == (hash(Hashed("x")), 12)

    assert encode([hashed, circle]) == before
    again = cast("list[object]", decode(before))
    assert hash(again[0]) == hash(hashed)
    assert cast(Circle, again[1]).area == 12


# -- exceptions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        KeyError("x", 1),
        OSError(2, "no", "file"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        ImportError("no", name="shop", path="p"),
        StopIteration(4),
        SystemExit(3),
        Plain(1, 2),
        Declared([1], hint="ask"),
        KeyboardInterrupt(),
        histrio.Refusal("no"),
    ],
    ids=repr,
)
def test_an_exception_comes_back(error: BaseException) -> None:
    """J3: its class, its arguments, its attributes, its notes and its cause."""
    error.add_note("seen")
    error.__cause__ = LookupError("why")
    again = cast(BaseException, decode(encode(error)))

    assert type(again) is type(error)
    assert (again.args, repr(again), str(again)) == (error.args, repr(error), str(error))
    assert vars(again) == vars(error)
    assert repr(again.__cause__) == "LookupError('why')"
    for name in ("errno", "filename", "name", "value", "code", "reason"):
        assert getattr(again, name, None) == getattr(error, name, None)
    assert encode(again) == encode(error)


def test_a_group_comes_back() -> None:
    """J3: with its errors and their groups, also if its class is made in a way of its own."""
    group = ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [Declared(2)]), Strict([KeyError(3)])])
    again = cast("ExceptionGroup[Exception]", decode(encode(group)))

    assert repr(again) == repr(group)
    assert type(again) is ExceptionGroup
    strict = again.exceptions[2]
    assert isinstance(strict, Strict)
    assert repr(strict.args) == "('strict', [KeyError(3)])"


def test_an_exception_is_who_it_is() -> None:
    """J3: one that is reached in two ways comes back as one, so that chains of failures do not grow at every step."""
    error: BaseException = KeyError("x")
    for step in range(30):
        failed = ActorFailed(f"/{step}", error)
        failed.__cause__ = error
        error = failed
    first, second = cast("list[ActorFailed]", decode(encode([error, error])))

    assert first is second
    assert first.__cause__ is first.reason.cause
    assert len(encode(error)) < 40_000


def test_an_exception_in_a_set() -> None:
    """J2: the same bytes in whatever order a set goes, though exceptions are numbered outside of sets."""
    one, two = ValueError(1), KeyError(2)
    data = {encode([one, {(1, one), (2, two)}, two, one]), encode([one, {(2, two), (1, one)}, two, one])}

    assert len(data) == 1
    again = cast("list[object]", decode(data.pop()))
    assert [repr(again[0]), repr(again[2])] == ["ValueError(1)", "KeyError(2)"]
    assert again[0] is again[3]


def test_an_outcome_may_be_unwrapped_again() -> None:
    """J3: whether somebody has unwrapped it is no part of it."""
    value, error = Value(Line(1)), Error(ValueError("no"))
    before = encode([value, error])
    assert value.unwrap() == Line(1)

    assert encode([value, error]) == before
    again = cast("list[Value[object]]", decode(before))
    assert again[0].unwrap() == Line(1)
    with pytest.raises(ValueError, match="no"):
        again[1].unwrap()


# -- refs ------------------------------------------------------------------------------------------------------------


class Idle(histrio.Actor[str]): ...


async def test_a_ref_is_its_path() -> None:
    """J3, A13: a ref is stored as its address, wherever it stands, and whoever reads makes it again."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Idle, name="idle")
        data = encode({"to": [Line(ref)]})

        assert decode(data, lambda path: system.find(Idle, path)) == {"to": [Line(ref)]}
        assert shown(data) == "{'to': [Line(price=<Ref /idle>, amount=1)]}"
        with pytest.raises(Undecodable, match=r"a ref to /idle.*`refs`"):
            decode(data)
        await ref.control.stop()


def test_anybody_has_refs() -> None:
    """J3: a class of addresses is registered, and then stored by them."""
    register_ref(Address, lambda _: "/nothing", lasts=False)

    assert decode(encode((Address(), 1)), lambda path: path) == ("/nothing", 1)


# -- the same bytes in every process ---------------------------------------------------------------------------------

PROGRAM: Final = """
from tests.journal.test_codec import samples
from histrio_kernel.journal.codec import encode
from histrio_kernel.journal.record import digest_of
print(digest_of(encode([make() for make in samples().values()])).hex())
"""


def test_digests_are_equal_in_every_process() -> None:
    """J3: equal values have equal digests, whatever the hashes of a process are."""
    digests = set[str]()
    for seed in range(count("same_every_time")):
        environment = os.environ | {"PYTHONHASHSEED": str(seed)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)

    assert digests == {digest_of(encode([make() for make in samples().values()])).hex() + "\n"}


# -- the format for ever ---------------------------------------------------------------------------------------------


def samples() -> dict[str, Callable[[], object]]:
    """A value of each kind, by name."""
    kinds: dict[str, object] = {
        "none": None,
        "bool": True,
        "int": [-1, 1 << 40, 1 << 64, -(1 << 70)],
        "float": [1.5, math.inf, -0.0],
        "str": ["", "ä", "\ud800"],
        "bytes": b"\x00\xff",
        "list": [[], [1, [2]]],
        "tuple": [(), (1, (2,))],
        "dict": {"a": 1, 2: "b", True: None, (3, 4): {}},
        "set": [set[int](), {1, "a", (2, "b"), "c", "d", frozenset(["x", "y", "z"])}],
        "frozenset": frozenset([1, 2, None]),
        "datetime": [
            dt.datetime(2024, 2, 29, 1, 2, 3, 4),  # noqa: DTZ001 -- naive on purpose
            dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
            dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-2), "west")),
        ],
        "date": dt.date(2024, 2, 29),
        "time": [dt.time(1, 2, 3, 4), dt.time(5, tzinfo=dt.UTC)],
        "timedelta": dt.timedelta(-1, 2, 3),
        "decimal": decimal.Decimal("-1.50"),
        "uuid": uuid.UUID(int=5),
        "path": [Path("/a/b"), PureWindowsPath("c:\\x"), PurePosixPath("y")],
        "enum": [Colour.CRIMSON, Level.HIGH, Word.YES, May.READ | May.WRITE],
        "class": [int, Outer.Inner],
        "attrs": [Order([Line(1)], "n"), Outer.Inner(Sub(2)), Hashed(3)],
        "dataclass": [Parcel(1), Label("x")],
        "struct": [Packed(1, Line(2)), Frozen()],
        "namedtuple": Point(1, Point(2, 3)),
        "unset": msgspec.UNSET,
        "outcome": Value(1),
        "reason": Reason(End.STOPPED, "done"),
    }
    made: dict[str, Callable[[], object]] = {name: functools.partial(kinds.__getitem__, name) for name in kinds}
    made |= {
        "exception": lambda: [
            Declared(1, "h"),
            Plain(1, 2),
            ExceptionGroup("g", [OSError(2, "no", "f")]),
            KeyError("k"),
        ]
    }
    return made


def golden() -> dict[str, bytes]:
    """The bytes of format 1 by the names of the samples."""
    lines = (line.split() for line in GOLDEN.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {name: bytes.fromhex(data) for name, data in lines}


@pytest.mark.parametrize("name", samples())
def test_format_1_is_read_for_ever(name: str) -> None:
    """J3: what the first version has written is read, and today's bytes are the same, since digests are compared."""
    value = samples()[name]()
    data = golden()[name]

    again = decode(data)
    assert again == value or (name == "exception" and repr(again) == repr(value))
    assert encode(value) == data


def test_a_newer_format_is_refused() -> None:
    """J3: what a newer Histrio has written is not guessed at."""
    with pytest.raises(JournalTooNew, match="format 2"):
        decode(msgspec.msgpack.encode((2, None, "more")))


def test_objects_that_share_a_part() -> None:
    """J3: a part that is reached twice comes back twice: who is who is no part of a value."""
    part = [1]
    again = cast("list[object]", decode(encode([part, part])))

    assert again == [[1], [1]]
    assert again[0] is not again[1]


@attrs.frozen
class Note:
    text: str


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Note("hello"), "Note(text='hello')"),
        ((1,), "(1,)"),
        ({1: set[int]()}, "{1: set()}"),
        (frozenset([1]), "frozenset({1})"),
        (Value(Colour.BLUE), "Value(Colour.BLUE)"),
        (Error(ValueError("no", 1)), "Error(ValueError('no', 1))"),
        (dt.datetime(2024, 1, 2, tzinfo=dt.UTC), "2024-01-02T00:00:00 UTC+0"),
        (dt.timedelta(hours=1), "3600 s"),
        ([Path("/x"), int, 1 << 64], "[/x, <class int>, 0x10000000000000000]"),
    ],
    ids=repr,
)
def test_a_text_reads_as_python_does(value: object, text: str) -> None:
    """J7: for people, as near to how Python shows it as can be without the classes."""
    assert shown(encode(value)) == text


def test_a_long_text_is_cut() -> None:
    """J7: a large payload is a short text, soon."""
    assert shown(encode(Note("x" * 100)), 20) == "Note(text='xxxxxx..."
    assert shown(encode(list(range(100_000))), 12) == "[0, 1, 2,..."


def write_golden() -> None:
    """Write the golden file: once for each format, and never again."""
    lines = [f"{name} {encode(make()).hex()}\n" for name, make in samples().items()]
    GOLDEN.write_text(
        "# name, and the bytes of the sample of that name in format 1\n" + "".join(lines), encoding="utf-8"
    )
