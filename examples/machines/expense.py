"""An expense claim: it is registered, a person decides, and it is paid; or it is refused, overdue, or cannot be paid.

Where a claim stands is the state of its actor's machine. It can only be decided while it waits for that, and whoever
comes too late is told so. The time for it is the task of the waiting, which a decision ends.
"""

from typing import Final

import attrs
import trio

import histrio
from examples.machines.office import Asked, Bank, Boss, Decide
from histrio import State, Transition, exclusive


@attrs.frozen
class Submit(histrio.Request[str]):
    """Ask for the money; answered when the claim is closed, with how."""


class Expense(histrio.States):
    """The way of a claim."""

    registering = State()
    waiting = State()
    paying = State()
    paid = State(add=["closed"])
    refused = State(add=["closed"])
    overdue = State(add=["closed"])
    unpaid = State(add=["closed"])
    exclusive(registering, waiting, paying, paid, refused, overdue, unpaid)
    closed = State()


class Claim(histrio.Actor[Submit | Decide], states=Expense):
    """One claim."""

    def __init__(self, amount: int, boss: histrio.Ref[Asked], bank: Bank) -> None:
        self.amount: Final = amount
        self.boss: Final = boss
        self.bank: Final = bank

    @histrio.handler(Submit)
    async def submit(self, m: Submit) -> str:
        self.states.add(Expense.registering)
        await self.states.when(Expense.closed)
        return f"{', '.join(self.states.names)} {self.states.error or ''}".rstrip()

    @histrio.handler(Decide)
    async def decide(self, m: Decide) -> bool:
        return self.states.add(Expense.paying if m.approve else Expense.refused) is histrio.EXECUTED

    @Expense.paying.may_enter
    @Expense.refused.may_enter
    def is_waited_for(self, t: Transition[None]) -> bool:
        return Expense.waiting in self.states

    @Expense.registering.entered
    async def register(self, t: Transition[None]) -> None:
        await trio.sleep(0.1)
        self.states.add(Expense.waiting)

    @Expense.waiting.entered
    async def ask(self, t: Transition[None]) -> None:
        await self.boss.tell(Asked(self.amount, self.ref))
        await trio.sleep(1.0)
        self.states.add(Expense.overdue)

    @Expense.paying.entered
    async def pay(self, t: Transition[None]) -> None:
        try:
            await self.io(self.bank.pay, self.amount, retry=histrio.Retry(attempts_max=3, first_s=0.1))
        except OSError as error:
            self.states.fail(error, Expense.unpaid)
        else:
            self.states.add(Expense.paid)

    @Expense.exception.entered
    def bear(self, t: Transition[None]) -> None:
        """That a claim cannot be paid is no failure of its actor."""


async def main(system: histrio.System) -> None:
    """Five claims, and how often the bank fails for each."""
    claims = {20: 0, 50: 2, 70: 3, 500: 0, 5000: 0}
    boss = await system.spawn(Boss, len(claims), name="boss")
    for amount, failures in claims.items():
        claim = await system.spawn(Claim, amount, boss, Bank(failures))
        print(f"{amount}: {await claim.ask(Submit())}")
    print("the boss:", await boss.join(str))


if __name__ == "__main__":
    histrio.run(main)
