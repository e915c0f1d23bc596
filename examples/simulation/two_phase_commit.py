"""Two-phase commit over three machines in a simulation: they crash, messages are lost, and no transfer is made by halves.

`python -m examples.simulation.two_phase_commit` explores its schedules.
"""

# A coordinator on one machine moves money between two banks on two others, by presumed abort:
#
# - A bank writes to its disk that it is prepared before it says so. From then on it is in doubt, and may neither commit
#   nor abort until it is told. As long as it is, also after a crash, it says so again, which is then a question.
# - The coordinator writes to its disk that it commits before it tells anybody. It tells again, also after a crash, until
#   both banks have acknowledged it. Of an abort it writes nothing: what it does not know was aborted.
#
# Always: nothing is committed at one bank and given up at the other, nor was a client told something else. Eventually,
# when nothing breaks any more: nobody is in doubt, and all of the money is there.

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final, TypeAlias

import trio
from attrs import frozen

import histrio
from histrio.testing import Faults, NetFaults, Node, PowerCut, World, explore

__all__ = ("FAULTS", "Bank", "Coordinator", "Decision", "Prepare", "Remind", "day")

BANKS: Final = ("north", "south")
OPENING: Final = 10
FAULTS: Final = Faults(crashes=2, outage_max_s=5, net=NetFaults(drop=True, duplicate=True, reorder=True, delay_max_s=3))
"""Two crashes, and a network that loses, doubles, swaps and delays messages."""


@frozen
class Transfer(histrio.Request[bool]):
    """So much to the north, or from there: was it committed? Each has another number, also one that is tried again."""

    number: int
    amount: int


@frozen
class Prepare:
    """To a bank: can you promise to do this, whatever happens?"""

    number: int
    change: int


@frozen
class Decision:
    """To a bank: do it, or give it up."""

    number: int
    commit: bool


@frozen
class Part:
    """To the coordinator: our part in it is "prepared", "committed" or "aborted"."""

    number: int
    bank: str
    part: str


@frozen
class Remind:
    """To oneself: some time has passed."""


ToBank: TypeAlias = Prepare | Decision | Remind
ToCoordinator: TypeAlias = Transfer | Part | Remind


class Bank(histrio.Actor[ToBank]):
    """One account, and its part in each transaction: none, "prepared", "committed" or "aborted"."""

    serial = True

    def __init__(self, name: str, coordinator: histrio.Ref[ToCoordinator]) -> None:
        self.name = name
        self.coordinator = coordinator
        self.parts: dict[int, str] = {}
        self.changes: dict[int, int] = {}

    async def started(self) -> None:
        self.log = await histrio.Log.open(self.io.disk, "/log")
        for record in self.log.take_recovered():
            number, part, change = record.decode().split()
            self.parts[int(number)], self.changes[int(number)] = part, int(change)
        self.timers.every(10, Remind())

    async def write(self, number: int, part: str, change: int) -> None:
        """When this returns it is so, also after a power cut."""
        await self.io(self.log.append, f"{number} {part} {change}".encode())
        self.parts[number], self.changes[number] = part, change

    @property
    def in_doubt(self) -> list[int]:
        """What it has promised, and may have to do."""
        return [number for number, part in self.parts.items() if part == "prepared"]

    @property
    def balance(self) -> int:
        """What is left by all that was committed."""
        return OPENING + sum(self.changes[number] for number, part in self.parts.items() if part == "committed")

    async def say(self, number: int) -> None:
        """What its part in that is; what it refuses it need not write down."""
        await self.coordinator.tell(Part(number, self.name, self.parts.get(number, "aborted")))

    @histrio.handler(Prepare)
    async def prepare(self, m: Prepare) -> None:
        promised = sum(min(self.changes[number], 0) for number in self.in_doubt)
        if self.balance + promised + m.change >= 0:
            await self.write(m.number, "prepared", m.change)
        await self.say(m.number)

    @histrio.handler(Decision)
    async def decide(self, m: Decision) -> None:
        if m.number in self.in_doubt:
            await self.write(m.number, "committed" if m.commit else "aborted", self.changes[m.number])
        await self.say(m.number)

    @histrio.handler(Remind)
    async def ask(self, m: Remind) -> None:
        for number in self.in_doubt:
            await self.say(number)


class Coordinator(histrio.Actor[ToCoordinator]):
    """Asks both banks, decides, and tells them until they have heard."""

    def __init__(self, banks: Mapping[str, histrio.Ref[ToBank]]) -> None:
        self.banks = banks
        self.votes: dict[int, set[str]] = {}  # who has said yes to what is not decided yet
        self.owed: dict[int, set[str]] = {}  # who has not acknowledged yet what was committed
        self.clients: dict[int, histrio.Promise[bool]] = {}

    async def started(self) -> None:
        self.log = await histrio.Log.open(self.io.disk, "/log")
        for record in self.log.take_recovered():
            number, word = record.decode().split()
            self.owed[int(number)] = set(self.banks) if word == "committed" else set()
        self.timers.every(30, Remind())

    @histrio.handler(Transfer)
    async def transfer(self, m: Transfer) -> bool:
        committed: histrio.Promise[bool] = self.promise()
        self.clients[m.number], self.votes[m.number] = committed, set()
        await self.banks["north"].tell(Prepare(m.number, m.amount))
        await self.banks["south"].tell(Prepare(m.number, -m.amount))
        return await committed

    @histrio.handler(Part)
    async def hear(self, m: Part) -> None:
        votes = self.votes.get(m.number)  # none: it is decided
        if m.part == "prepared" and votes is None:
            await self.banks[m.bank].tell(Decision(m.number, m.number in self.owed))
        elif m.part == "prepared" and votes is not None and m.bank not in votes:
            votes.add(m.bank)
            if len(votes) == len(self.banks):
                await self.commit(m.number)
        elif m.part == "aborted" and votes is not None:
            await self.decide(m.number, commit=False)
        elif m.part == "committed" and m.bank in self.owed[m.number]:
            self.owed[m.number].remove(m.bank)
            if not self.owed[m.number]:
                await self.io(self.log.append, f"{m.number} ended".encode())

    async def commit(self, number: int) -> None:
        """What the disk has is committed; nobody may hear of it before."""
        await self.io(self.log.append, f"{number} committed".encode())
        await self.decide(number, commit=True)

    async def decide(self, number: int, *, commit: bool) -> None:
        """It is decided, and everybody may know."""
        del self.votes[number]
        if commit:
            self.owed[number] = set(self.banks)
        self.clients.pop(number).set(commit)
        for bank in self.banks.values():
            await bank.tell(Decision(number, commit))

    @histrio.handler(Remind)
    async def remind(self, m: Remind) -> None:
        for number in tuple(self.votes):
            if len(self.votes.get(number, self.banks)) < len(
                self.banks
            ):  # else it is decided meanwhile, or about to be
                await self.decide(number, commit=False)
        for number, owed in tuple(self.owed.items()):
            for name in sorted(owed):
                await self.banks[name].tell(Decision(number, commit=True))


# -- the simulation ----------------------------------------------------------------------------------------------------


async def day(world: World, bank: type[Bank] = Bank, coordinator: type[Coordinator] = Coordinator) -> None:
    """Two clients, each with three transfers; there is not enough money for all of them."""
    head, branches = world.node("head"), [world.node(name) for name in BANKS]
    told: dict[int, str] = {}  # what clients know

    async def bring_up(node: Node) -> None:
        """Each machine knows where the others are, also if they are down."""
        if node is head:
            await node.spawn(coordinator, {name: await node.ref_to((name, "/bank")) for name in BANKS}, name="head")
        else:
            await node.spawn(bank, node.name, await node.ref_to(("head", "/head")), name="bank")

    def banks() -> list[Bank]:
        refs = [node.system.find(Bank, "/bank") for node in branches if node.is_up and node.system is not None]
        return [world.peek(ref, Bank) for ref in refs if ref is not None]

    def none_is_halved() -> bool:
        """Who has no part in a transfer has given it up, or will."""
        there = banks()
        known = [[told.get(number), *(bank.parts.get(number, "aborted") for bank in there)] for number in range(1, 7)]
        return not any("committed" in each and "aborted" in each for each in known)

    def all_is_well() -> bool:
        return [bank.in_doubt for bank in banks()] == [[], []] and sum(bank.balance for bank in banks()) == 2 * OPENING

    async def client(*transfers: Transfer) -> None:
        for transfer in transfers:
            ref = head.system.find(Coordinator, "/head") if head.is_up and head.system is not None else None
            with contextlib.suppress(histrio.ActorStopped, histrio.ActorFailed, PowerCut):  # then nobody knows
                if ref is not None:
                    told[transfer.number] = "committed" if await ref.ask(transfer) else "aborted"
            await trio.sleep(2)

    with world.calm():
        for node in (head, *branches):
            node.on_start(bring_up)
            await node.start()
    world.always(none_is_halved, "a transfer is made at both banks, or at none")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client, Transfer(1, 7), Transfer(2, 6), Transfer(3, 5), name="ann")
        nursery.start_soon(client, Transfer(4, -4), Transfer(5, -9), Transfer(6, -3), name="ben")
    await world.eventually(all_is_well, "nobody is in doubt, and all of the money is there")
    await world.settle(within_s=4)  # what is still on its way arrives


if __name__ == "__main__":
    print(explore(day, faults=FAULTS))
