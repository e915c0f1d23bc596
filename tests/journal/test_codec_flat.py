"""J3: values that consist of plain ones only go a shorter way, to the same bytes and back to the same values."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from outcome import Value
from tests.effort import count
from tests.journal.values import Circle, Hashed, Label, Line, Order, Packed, Parcel, Point

from histrio_kernel.journal.decoding import Decoding
from histrio_kernel.journal.encoding import Encoding
from histrio_kernel.journal.errors import Unencodable
from histrio_kernel.journal.flat import NOT_FLAT, arrays_of, is_constant, value_of

flat = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 65), 1 << 65), st.floats(), st.text(max_size=20), st.binary()
)


@settings(max_examples=count("codec_examples"))
@given(
    st.one_of(
        flat,
        st.lists(flat),
        st.builds(Line, flat, flat),
        st.builds(Order, flat, flat),
        st.builds(Parcel, flat),
        st.builds(Label, flat),
        st.builds(Hashed, flat),
        st.builds(Circle, st.floats()),
        st.builds(Value, flat),
    )
)
def test_the_short_way_is_the_long_way(value: object) -> None:
    """J3: flat values are encoded to the very bytes of the general way, and those bytes mean the very same."""
    try:
        by_the_long_way = Encoding().of(value)
    except Unencodable:
        by_the_long_way = NOT_FLAT
    arrays = arrays_of(value)

    if arrays is not NOT_FLAT:
        assert msgspec.msgpack.encode(arrays) == msgspec.msgpack.encode(by_the_long_way)
        assert not is_constant(value) or value.__class__.__setattr__ is not object.__setattr__
    if by_the_long_way is not NOT_FLAT:
        plain = msgspec.msgpack.decode(msgspec.msgpack.encode(by_the_long_way))
        by_the_short_way = value_of(plain)
        assert by_the_short_way is NOT_FLAT or repr(by_the_short_way) == repr(Decoding(None).of(plain))
        assert by_the_short_way is NOT_FLAT or type(by_the_short_way) is type(value)


def test_most_messages_go_the_short_way() -> None:
    """What that is for: classes of attrs and dataclasses with plain fields, there and back; and what changes has to be copied."""
    circle = Circle(1.0)
    for value in (Line(1, "a"), Order(None, 2.0), Parcel(b"x"), Label(True), Hashed("x"), circle, Value(7)):
        assert value_of(arrays_of(value)) == value
    assert circle.area > 0
    assert arrays_of(circle) is NOT_FLAT, "something hangs on it"
    assert is_constant(Line(1, "a"))
    assert is_constant(Label("a"))
    assert not any(map(is_constant, (Line([], 1), Order(1), Parcel(1), Point(1, 2), Packed(1), ValueError(), 1)))
