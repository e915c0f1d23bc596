"""The wire of the key-value service: what is written down can be read back, and what is no command is explained."""

import doctest
import json
from types import ModuleType

import pytest
from examples.kv_service import decimals, load, wire
from examples.kv_service.decimals import PIECE_DIGITS, digits_of, number_of
from examples.kv_service.messages import Read, Write
from examples.kv_service.wire import Malformed, parse, show, show_result
from hypothesis import example, given
from hypothesis import strategies as st

Ints = st.SearchStrategy[int]
KEYS = st.text(st.characters(), max_size=50) | st.text(max_size=50)  # half pairs of surrogates are characters, too
SMALL: Ints = st.integers()
LARGE: Ints = st.integers(0, 40_000).flatmap(lambda bits: SMALL.map(lambda low: (1 << bits) + low))
VALUES: Ints = SMALL | LARGE | LARGE.map(lambda value: -value)
COMMANDS = st.builds(Write, KEYS, VALUES) | st.builds(Read, KEYS)
SPACE = st.text(" \t\r\n", max_size=3)


@given(COMMANDS)
@example(Write("\ud800 half a pair", 1))
@example(Write("", -(10**60_000)))
def test_what_is_shown_can_be_parsed(command: Write | Read) -> None:
    """A command survives the wire and the log, whatever its key and value are, and is one line of ASCII there."""
    text = show(command)

    assert parse(text.encode("ascii")) == command
    assert text.isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), SMALL, SPACE, SPACE, SPACE)
def test_a_key_may_be_written_in_any_way_of_json(key: str, value: int, before: str, between: str, after: str) -> None:
    """Escapes or not, white space or not: it is the same key."""
    expected = Write(key, value)
    spellings = [json.dumps(key), json.dumps(key, ensure_ascii=False), '"' + "".join(map(_escape, key)) + '"']

    for quoted in spellings:
        text = f"{before}Write {between}{quoted}\t{between}{value}{after}"
        assert parse(text.encode()) == expected


def _escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))


@given(VALUES.map(abs))
def test_numbers_of_any_size_have_digits(number: int) -> None:
    """Digits and numbers are each other's inverse far beyond Python's limit, and agree with Python below it."""
    digits = digits_of(number)

    assert number_of(digits) == number
    assert digits.isdigit()
    assert digits == "0" or not digits.startswith("0")
    if len(digits) <= PIECE_DIGITS:
        assert digits == str(number)


@pytest.mark.parametrize("zeros", [0, 1, PIECE_DIGITS - 1, PIECE_DIGITS, PIECE_DIGITS + 1, 2 * PIECE_DIGITS, 65_000])
def test_digits_where_the_pieces_meet(zeros: int) -> None:
    """Powers of ten and their neighbours are where a piece more is needed."""
    for number, digits in ((10**zeros, "1" + zeros * "0"), (10**zeros + 1, None), (10**zeros - 1, zeros * "9" or "0")):
        assert number_of(digits_of(number)) == number
        assert digits is None or digits_of(number) == digits


def test_a_write_can_be_shown_in_reports() -> None:
    """The repr of a message never raises, and is short, however long its value is."""
    assert repr(Write("x", 1)) == "Write(key='x', value=1)"
    assert repr(Write("x", -(10**60_000))) == "Write(key='x', value=<a number of 199316 bits>)"


@given(st.text("0123456789", min_size=1, max_size=3 * PIECE_DIGITS))
def test_leading_zeros_mean_nothing(digits: str) -> None:
    """Digits may begin with zeros, of whatever number."""
    assert digits_of(number_of(digits)) == (digits.lstrip("0") or "0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", 'expected Write "key" 1 or Read "key", found nothing'),
        (b"Delete", 'expected Write "key" 1 or Read "key", found \'Delete\''),
        (b'read "x"', 'expected Write "key" 1 or Read "key", found \'read "x"\''),
        (b"Write", 'expected a JSON string such as "key" after Write, in double quotes, found nothing'),
        (b"Read x", "expected a JSON string such as \"key\" after Read, in double quotes, found 'x'"),
        (b"Read 'x'", 'expected a JSON string such as "key" after Read, in double quotes, found "\'x\'"'),
        (b'Read "x', 'expected a JSON string such as "key" after Read, in double quotes, found \'"x\''),
        (b'Read "\\x"', "expected a JSON string as the key, and '\"\\\\x\"' is none at 1"),
        (b'Read "a\nb"', "expected a JSON string as the key, and '\"a\\nb\"' is none at 2"),
        (b'Read "x" 1', "expected nothing after the key of a Read, found '1'"),
        (b'Write "x"', "expected white space and a whole number such as 1 after the key, found nothing"),
        (b'Write "x"1', "expected white space and a whole number such as 1 after the key, found '1'"),
        (b'Write "x" 1.5', "expected white space and a whole number such as 1 after the key, found '1.5'"),
        (b'Write "x" \xd9\xa1', "expected white space and a whole number such as 1 after the key, found '\\u0661'"),
        (b'Write "x" 1 2', "expected nothing after the value of a Write, found '2'"),
        (b'Read "\xff"', "expected UTF-8 text, found the byte 0xff at 6"),
        (b"W" * 100, f'expected Write "key" 1 or Read "key", found \'{"W" * 40}\'...'),
    ],
)
def test_what_is_no_command_is_explained(text: bytes, expected: str) -> None:
    """The error says in one line what was expected and what was there instead."""
    with pytest.raises(Malformed) as caught:
        parse(text)

    assert str(caught.value) == expected


@given(st.binary(max_size=200) | st.text(' "\\WriteRead1-u\n', max_size=60).map(str.encode))
def test_any_bytes_are_a_command_or_malformed(text: bytes) -> None:
    """Whatever comes is taken or explained in one printable line."""
    said = "taken"
    try:
        assert isinstance(parse(text), Read | Write)
    except Malformed as error:
        said = str(error)

    assert said == "taken" or said.startswith("expected ")
    assert said.isprintable()


@pytest.mark.parametrize("text", [b'Read "' + b"\\" * 65_000, b"Write " + b" " * 65_000, b'Write "x" ' + b"-" * 65_000])
@pytest.mark.alarm(10)
def test_no_input_makes_the_parser_go_back(text: bytes) -> None:
    """64 KiB that almost match are refused at once."""
    with pytest.raises(Malformed):
        parse(text)


def test_results() -> None:
    """A Read is answered with the value, or with Nothing."""
    assert show_result(None) == "Result Nothing"
    assert show_result(-1) == "Result -1"
    assert show_result(10**5_000) == "Result 1" + 5_000 * "0"


@pytest.mark.parametrize("module", [decimals, load, wire])
def test_the_examples_in_docstrings_run(module: ModuleType) -> None:
    """What the docstrings of these modules show is so."""
    results = doctest.testmod(module)

    assert results.failed == 0
    assert results.attempted > 0
