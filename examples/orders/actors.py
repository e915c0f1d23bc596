"""The order workflow: a shop that takes orders, a shelf, and one durable actor for each order."""

from __future__ import annotations

from typing import cast

import histrio
from examples.orders.messages import Cancel, Get, Place, Receipt, Take
from examples.orders.outside import Declined, charge, refund, send_mail, ship
from histrio.durable import DurableActor, DurableRef, Mode

__all__ = ("Order", "Shelf", "Shop")


class Shelf(DurableActor[Take | Cancel | Get], behaviour="orders.shelf", version=1):
    """Knows what is there. Its past is rolled up now and then."""

    snapshot_every = 200

    def __init__(self, left: dict[str, int]) -> None:
        self.left = dict(left)

    def snapshot(self) -> object:
        return self.left

    async def restore(self, snapshot: object) -> None:
        self.left = cast("dict[str, int]", snapshot)

    @histrio.handler(Take)
    async def take(self, take: Take) -> bool:
        if self.left.get(take.article, 0) == 0:
            return False
        self.left[take.article] -= 1
        return True

    @histrio.handler(Cancel)
    async def put_back(self, cancel: Cancel) -> None:
        self.left[cancel.article] = self.left.get(cancel.article, 0) + 1

    @histrio.handler(Get)
    async def get(self, get: Get) -> int:
        return self.left.get(get.article, 0)


class Order(DurableActor[Receipt], behaviour="orders.order", version=1):
    """One order, from its payment to its last e-mail. It reads as if nothing could go wrong in between."""

    def __init__(self, place: Place, shelf: DurableRef[Take | Cancel | Get], shop: DurableRef[Receipt]) -> None:
        self.place = place
        self.shelf = shelf
        self.shop = shop

    async def started(self) -> object:
        receipt = await self.carry_out()
        await self.io(send_mail, self.place.customer, receipt.text, mode=Mode.AT_MOST_ONCE, reconcile=it_was_sent)
        await self.shop.tell(receipt)
        self.finish(receipt)
        return None

    async def carry_out(self) -> Receipt:
        """Take it from the shelf, have it paid, and ship it; what cannot be paid goes back."""
        number = self.path.rpartition("/")[2]
        if not await self.shelf.ask(Take(self.place.article)):
            return Receipt(number, False, f"{self.place.article} is sold out")
        try:
            payment = await self.io(charge, self.place.customer, self.place.cents)
        except Declined:
            await self.shelf.tell(Cancel(self.place.article))
            return Receipt(number, False, "your bank has declined")
        parcel = await histrio.either(self.io(ship, self.place.article, self.place.customer), self.sleep(3_600))
        if isinstance(parcel, histrio.Right):
            await self.io(refund, payment)
            await self.shelf.tell(Cancel(self.place.article))
            return Receipt(number, False, "nobody came to fetch it; your money is on its way back")
        return Receipt(number, True, f"it is on its way: {parcel.value}")


async def it_was_sent(key: str) -> None:
    """After a crash nobody knows whether a mail was sent, and two would be worse than none."""


class Shop(DurableActor[Place | Receipt], behaviour="orders.shop", version=1):
    """Takes orders. It knows how many are open, and forgets the rest."""

    def __init__(self, stock: dict[str, int], done: int = 0) -> None:
        self.stock = stock
        self.done = done

    async def started(self) -> None:
        self.shelf = await self.spawn(Shelf, self.stock, name="shelf")

    @histrio.handler(Place)
    async def take_order(self, place: Place) -> str:
        order = await self.spawn(Order, place, self.shelf, self.ref)
        return order.path.rpartition("/")[2]

    @histrio.handler(Receipt)
    async def note_receipt(self, receipt: Receipt) -> None:
        self.done += 1
