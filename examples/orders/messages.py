"""What the actors of the order workflow say to each other."""

from __future__ import annotations

import attrs

import histrio

__all__ = ("Cancel", "Get", "Place", "Receipt", "Take")


@attrs.frozen
class Place(histrio.Request[str]):
    """Place an order; the answer is its number, and that it has begun."""

    customer: str
    article: str
    cents: int


@attrs.frozen
class Receipt:
    """What a customer is told in the end."""

    order: str
    paid: bool
    text: str


@attrs.frozen
class Take(histrio.Request[bool]):
    """Take one of an article from the shelf; the answer is whether there was one."""

    article: str


@attrs.frozen
class Get(histrio.Request[int]):
    """How many of an article are left?"""

    article: str


@attrs.frozen
class Cancel:
    """Put one back: it was not paid."""

    article: str
