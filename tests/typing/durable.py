"""What type checkers know of durable actors: messages, effects, other lives, and processes; never executed."""

import enum
import sqlite3
from typing import assert_type

import attrs

import histrio
from histrio.durable import (
    ContinueAs,
    DurableActor,
    DurableNext,
    DurableProcess,
    DurableRef,
    DurableTree,
    Late,
    Standing,
    Tick,
)


@attrs.frozen
class Read(histrio.Request[int]):
    what: str


@attrs.frozen
class Write:
    what: str


async def charge(customer: str, cents: int) -> float:
    """An effect."""
    return cents / len(customer)


def insert(connection: sqlite3.Connection, row: int) -> str:
    """One that is a transaction."""
    return f"{connection} {row}"


class Store(DurableActor[Read | Write], behaviour="typing.store"):
    """J3, J5: a handler gives the reply of its message, or goes on as another."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def started(self) -> None:
        async for tick in self.every(60, late=Late.SKIP):
            assert_type(tick, Tick)
            self.number += tick.missed

    @histrio.handler(Read)
    async def read(self, read: Read) -> int | ContinueAs[int]:
        paid = await self.io(charge, read.what, 5, heartbeat_s=1)
        assert_type(paid, float)
        assert_type(await self.transact(insert, 5), str)
        return ContinueAs(Store, self.number) if paid > 1 else self.number

    @histrio.handler(Write)
    async def write(self, write: Write) -> ContinueAs[int] | None:
        child = await self.spawn(Store, len(write.what))
        assert_type(child, DurableRef[Read | Write])
        both = await histrio.both(child.ask(Read("a")), self.io(charge, "b", 1))
        assert_type(both, tuple[int, float])
        return ContinueAs(Store, both[0])


class Wrong(DurableActor[Read | Write], behaviour="typing.wrong"):
    """J3: another reply, other arguments, or a call for a function do not type-check."""

    @histrio.handler(Read)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def read(self, read: Read) -> str:
        return read.what

    @histrio.handler(Write)
    async def write(self, write: Write) -> None:
        self.io(charge, write.what)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.io(charge, write.what, "five")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.io(charge(write.what, 5))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.transact(insert, "five")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.every(60, late="skip")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.spawn(Store, "five")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ContinueAs(Store, "five")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Stage(enum.Enum):
    ASKED = "asked"
    PAID = "paid"


class Other(enum.Enum):
    ODD = "odd"


@attrs.frozen
class Expense:
    cents: int


@attrs.frozen
class Receipt:
    number: str


class Refund(DurableProcess[Stage, Expense, Receipt], behaviour="typing.refund"):
    """S7: `advance` returns a state, a wait, or outputs of the declared class; inputs are those of the class."""

    async def advance(self) -> DurableNext[Stage, Receipt]:
        assert_type(self.state, Stage)
        assert_type(self.inputs, Expense)
        assert_type(self.resumed, object)
        match self.state:
            case Stage.ASKED if self.resumed is None:
                return self.until_resumed()
            case Stage.ASKED:
                return self.wait(self.io(charge, "ann", self.inputs.cents))
            case Stage.PAID:
                return histrio.Done(Receipt("17"))


class WrongRefund(DurableProcess[Stage, Expense, Receipt], behaviour="typing.wrong refund"):
    """S7: another state, other outputs, an effect that was not begun, or a state for a move do not type-check."""

    async def advance(self) -> DurableNext[Stage, Receipt]:
        if self.inputs.cents == 1:
            return self.to(Other.ODD)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        if self.inputs.cents == 2:
            return histrio.Done("17")  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
        if self.inputs.cents == 3:
            return self.wait(charge("ann", 5))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return Stage.PAID  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


async def outside(tree: DurableTree) -> None:
    """J3: refs know what they take, and what is replied."""
    store = await tree.spawn(Store, 5, name="store")
    assert_type(store, DurableRef[Read | Write])
    assert_type(await store.ask(Read("a")), int)
    await store.tell(Write("a"))
    await store.tell("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.ask(Write("a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await tree.spawn(Store, "five", name="store")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    refund = await tree.spawn(Refund, Expense(5), name="refund")
    assert_type(await refund.control.pause(), histrio.Phase)
    assert_type(refund.control.inspect(), Standing)
    async for state in refund.control.watch_states(Stage):
        assert_type(state, Stage)
    await tree.spawn(Refund, 5, name="refund")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
