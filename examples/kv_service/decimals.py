"""Whole numbers of any length to decimal digits and back, without touching Python's limit on such conversions."""

# Design note
# -----------
# Python refuses to convert more than 4,300 digits, because it takes time that grows with their square. The limit holds
# for the whole interpreter, so a part of a program must not lift it; and there is no need to: numbers of up to
# `PIECE_DIGITS` are below the limit whatever it is set to, and two halves make a whole. The square remains: the longest
# number that the wire carries (64 KiB) takes 7 ms to read and 30 ms to write.

import sys
from typing import Final

__all__ = ("PIECE_DIGITS", "digits_of", "number_of")

PIECE_DIGITS: Final = sys.int_info.str_digits_check_threshold
_PIECE_END: Final[int] = 10**PIECE_DIGITS
_DIGITS_PER_BIT: Final = 0.30103


def number_of(digits: str) -> int:
    """The number that `digits` (ASCII, at least one, no sign) stand for.

    >>> number_of("0042")
    42
    """
    if len(digits) <= PIECE_DIGITS:
        return int(digits)
    half = len(digits) // 2
    shift: int = 10**half
    return number_of(digits[:-half]) * shift + number_of(digits[-half:])


def digits_of(number: int) -> str:
    """The digits of `number`, which is not negative.

    >>> len(digits_of(10**10_000))
    10001
    """
    assert number >= 0
    if number < _PIECE_END:
        return str(number)
    half = int(number.bit_length() * _DIGITS_PER_BIT) // 2
    high, low = divmod(number, 10**half)
    return digits_of(high) + digits_of(low).zfill(half)
