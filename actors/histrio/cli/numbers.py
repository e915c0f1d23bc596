"""The numbers that commands are given, and what is said of others."""

from __future__ import annotations

import argparse
import math

__all__ = ["days", "positive_seconds", "seconds"]


def seconds(text: str) -> float:
    """Seconds, 0 or more."""
    number = _number(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, 0 or more")
    return number


def positive_seconds(text: str) -> float:
    """Seconds, more than 0."""
    number = _number(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, more than 0")
    return number


def days(text: str) -> float:
    """Days, 0 or more."""
    number = _number(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days, 0 or more")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
