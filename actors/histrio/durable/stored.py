"""How the values of durable actors are stored: so that they mean something in the next process."""

from __future__ import annotations

from functools import partial
from typing import Final

from outcome import Error, Outcome

from histrio_kernel.errors import told
from histrio_kernel.journal import codec
from histrio_kernel.journal.errors import Unencodable

__all__ = ["encode", "encode_error", "encode_outcome"]

encode: Final = partial(codec.encode, lasting=True)
"""The bytes of a value; `Unencodable` names the field that cannot be stored."""


def encode_outcome(outcome: Outcome[object]) -> bytes:
    """An outcome; one that cannot be stored is an error that says so."""
    try:
        return encode(outcome)
    except Unencodable as error:
        return encode(Error(error))


def encode_error(error: Exception) -> bytes:
    """An error, or its text."""
    try:
        return encode(error)
    except Unencodable:
        return encode(told(error))
