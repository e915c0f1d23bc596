"""J3: what does not do what its journal says is put in quarantine, and all others go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest
from tests.durable.worlds import double, in_virtual_time, open_world

import histrio
from histrio.durable import DurableActor, NonDeterminism, Quarantined, UnknownBehaviour
from histrio.durable.behaviours import _NAMES
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind


@attrs.frozen
class Ask(histrio.Request[int]):
    """A number, for what the code does today."""

    number: int


class Today(DurableActor[Ask], behaviour="today"):
    """Does what `do` says, which a deploy may change."""

    @histrio.handler(Ask)
    async def answer(self, ask: Ask) -> int:
        return await PROGRAM[0](self, ask.number)


async def two_effects(actor: Today, number: int) -> int:
    """One after the other."""
    first = await actor.io(double, number)
    second = await actor.io(double, number + 1)
    return (first or 0) + (second or 0)


async def other_argument(actor: Today, number: int) -> int:
    """The second one is asked for another number."""
    first = await actor.io(double, number)
    second = await actor.io(double, number + 7)
    return (first or 0) + (second or 0)


async def one_effect(actor: Today, number: int) -> int:
    """The second one is not asked."""
    found = await actor.io(double, number)
    return found or 0


async def three_effects(actor: Today, number: int) -> int:
    """One more."""
    await actor.io(double, number)
    await actor.io(double, number + 1)
    found = await actor.io(double, number)
    return found or 0


async def time_first(actor: Today, number: int) -> int:
    """Sleeps where it asked."""
    await actor.sleep(1)
    return await two_effects(actor, number)


async def other_answer(actor: Today, number: int) -> int:
    """The same effects, and another answer."""
    return await two_effects(actor, number) + 1


async def raises(actor: Today, number: int) -> int:
    """Fails where it did not."""
    await actor.io(double, number)
    raise KeyError(number)


async def swallows(actor: Today, number: int) -> int:
    """Catches everything, which does not help."""
    try:
        await actor.io(double, number + 9)
    except Exception:
        return 0
    return await two_effects(actor, number)


PROGRAM: list[Callable[[Today, int], Awaitable[int]]] = [two_effects]


class Sibling(DurableActor[Ask], behaviour="sibling"):
    """Lives beside it."""

    @histrio.handler(Ask)
    async def answer(self, ask: Ask) -> int:
        return ask.number


@pytest.mark.parametrize(
    ("program", "seq", "recorded", "got", "is_at_a_line"),
    [
        (
            other_argument,
            5,
            "USE 2.2 ('double', 'AT_LEAST_ONCE', (4,))",
            "USE 2.2 ('double', 'AT_LEAST_ONCE', (10,))",
            True,
        ),
        (one_effect, 5, "USE 2.2", "SEND ?!", False),
        (three_effects, 7, "SEND ?!", "USE 2.3", True),
        (time_first, 3, "USE 2.1", "TIMER 2.1", True),
        (other_answer, 7, "SEND ?! Value(14)", "SEND ?! Value(15)", False),
        (raises, 5, "USE 2.2", "raise KeyError: 3", True),
        (swallows, 3, "USE 2.1", "USE 2.1", True),
    ],
)
def test_changed_code_is_noticed(
    program: Callable[[Today, int], Awaitable[int]], seq: int, recorded: str, got: str, *, is_at_a_line: bool
) -> None:
    """J3: the error names the actor, the record, both values and the line; nothing is written; the sibling runs on."""
    stored = Stored()

    async def before() -> None:
        async with open_world(stored) as tree:
            assert await (await tree.spawn(Today, name="today")).ask(Ask(3)) == 14
            await tree.spawn(Sibling, name="sibling")

    async def after() -> None:
        async with open_world(stored) as tree:
            assert tree.states() == {"/sibling": "live", "/today": "quarantined"}
            assert await (await tree.spawn(Sibling, name="sibling")).ask(Ask(8)) == 8
            with pytest.raises(Quarantined) as caught:
                await (await tree.spawn(Today, name="today")).ask(Ask(3))
            error = caught.value.__cause__
            assert isinstance(error, NonDeterminism)
            assert (error.path, error.seq) == ("/today", seq)
            assert error.recorded.startswith(recorded)
            assert error.got.startswith(got)
            assert "patched" in str(error)
            assert ("test_quarantine.py:" in error.line) == is_at_a_line

    PROGRAM[0] = two_effects
    in_virtual_time(before)
    records = stored.read("/today", 0)
    PROGRAM[0] = program
    try:
        in_virtual_time(after)
    finally:
        PROGRAM[0] = two_effects
    assert stored.read("/today", 0) == records
    assert not any(each.kind is Kind.CRASH for each in stored.read("/today", 0))


def test_mended_code_goes_on() -> None:
    """J3: a quarantine is no mark in the journal: with the code as it was the actor lives."""
    stored = Stored()

    async def ask() -> int:
        async with open_world(stored) as tree:
            return await (await tree.spawn(Today, name="today")).ask(Ask(3))

    in_virtual_time(ask)
    PROGRAM[0] = time_first
    with pytest.raises(Quarantined):
        in_virtual_time(ask)
    PROGRAM[0] = two_effects
    assert in_virtual_time(ask) == 14


def test_one_of_which_there_is_no_class_keeps_nobody_else_from_living() -> None:
    """J3, J7: an actor whose class this program does not have is quarantined, at the top and below, and says what to do."""

    class Gone(DurableActor[Ask], behaviour="gone"):
        @histrio.handler(Ask)
        async def answer(self, ask: Ask) -> int:
            await self.spawn(Gone, name=f"kid{ask.number}")
            return ask.number

    stored = Stored()
    reports: list[histrio.HistrioError] = []

    async def before() -> None:
        async with open_world(stored) as tree:
            assert await (await tree.spawn(Gone, name="gone")).ask(Ask(1)) == 1
            await tree.spawn(Sibling, name="sibling")

    async def after() -> None:
        async with open_world(stored) as tree:
            assert tree.states() == {"/gone": "quarantined", "/gone/kid1": "quarantined", "/sibling": "live"}
            assert await (await tree.spawn(Sibling, name="sibling")).ask(Ask(8)) == 8
            with pytest.raises(Quarantined, match="Import the module that has it before the tree is opened") as caught:
                await tree.ref("/gone").ask(Ask(2))
            reports.append(caught.value)

    in_virtual_time(before)
    records = stored.read("/gone", 0)
    known = _NAMES.pop("gone")
    try:
        in_virtual_time(after)
    finally:
        _NAMES["gone"] = known
    assert isinstance(reports[0].__cause__, UnknownBehaviour)
    assert stored.read("/gone", 0) == records
