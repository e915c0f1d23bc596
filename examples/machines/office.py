"""Those whom an expense claim has to do with, for `expense.py`: a boss who takes her time, and a bank with bad days."""

from typing import Final

import attrs
import trio

import histrio


@attrs.frozen
class Decide(histrio.Request[bool]):
    """Approve a claim, or refuse it; answered with whether that still counts."""

    approve: bool


@attrs.frozen
class Asked:
    """There is a claim of so much, to decide about."""

    amount: int
    claim: histrio.Ref[Decide]


class Boss(histrio.Actor[Asked]):
    """Decides about so many claims: approves up to 100, refuses more, and thinks too long about more than 1000."""

    def __init__(self, claims: int) -> None:
        self.claims: Final = claims

    async def run(self) -> str:
        outcomes: list[str] = []
        for _ in range(self.claims):
            asked = (await self.receive_next()).message
            await self.io.clock.sleep(0.3 if asked.amount < 1000 else 1.5)
            counts = await asked.claim.ask(Decide(asked.amount <= 100))
            outcomes.append(f"{asked.amount} {'decided' if counts else 'too late'}")
        return ", ".join(outcomes)


class Bank:
    """Has its bad days: the first so many payments fail."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def pay(self, amount: int) -> None:
        await trio.sleep(0.1)
        if self.failures:
            self.failures -= 1
            raise OSError(f"{amount} not paid: the line is dead")
