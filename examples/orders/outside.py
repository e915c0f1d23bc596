"""The world outside of the shop: a bank, a mail server, a carrier. Here each is a file that remembers what was asked.

A real one is asked over the network, and is told the same key: that is how it knows a second attempt from a second order.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import trio

from histrio.durable import this_effect

__all__ = ("LEDGER", "Declined", "charge", "refund", "send_mail", "ship")

LEDGER: Final = "ORDERS_LEDGER"
"""The environment variable that names the file."""


class Declined(Exception):
    """The bank says no, and will say so tomorrow."""


async def charge(customer: str, cents: int) -> str:
    """Take money; the number of the payment.

    Raises:
        Declined: the customer has none.
    """
    note("charge", f"{customer} {cents}")
    await trio.sleep(0.005)
    if customer == "poor":
        raise Declined(customer)
    return f"payment {this_effect().key}"


async def refund(payment: str) -> None:
    """Give it back."""
    note("refund", payment)
    await trio.sleep(0.002)


async def ship(article: str, customer: str) -> str:
    """Have it brought; the number of the parcel."""
    note("ship", f"{article} to {customer}")
    await trio.sleep(0.005)
    return f"parcel {this_effect().key}"


async def send_mail(customer: str, text: str) -> None:
    """Tell a customer something; one mail too few is better than one too many."""
    note("mail", f"{customer}: {text}")
    await trio.sleep(0.002)


def note(what: str, about: str) -> None:
    """The outside remembers it, by its key."""
    path = os.environ.get(LEDGER)
    if path is None:
        return
    line = json.dumps({"what": what, "about": about, "key": this_effect().key, "attempt": this_effect().attempt})
    with Path(path).open("a", encoding="utf-8") as ledger:
        ledger.write(line + "\n")
