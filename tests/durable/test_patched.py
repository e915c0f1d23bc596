"""J7: code that changes while actors live."""

from __future__ import annotations

import pytest
import trio
from tests.durable.worlds import double, in_virtual_time, open_world, told

import histrio
from histrio.durable import DurableActor
from histrio_kernel.journal.stored import Stored

NEW: list[bool] = [False]


class Patient(DurableActor[int], behaviour="patient"):
    """Its code is changed between two runs."""

    @histrio.handler(int)
    async def treat(self, number: int) -> None:
        if NEW[0] and self.patched("two doses"):
            await self.io(double, number)
        await self.io(double, number)
        if number == 9:
            self.finish()


def test_old_actors_do_without_and_new_ones_with() -> None:
    """J7: the past is done again the old way, and what comes new is done the new way, which stays in the journal."""
    stored = Stored()

    async def run(*numbers: int) -> None:
        async with open_world(stored) as tree:
            patient = await tree.spawn(Patient, name="p")
            for number in numbers:
                await patient.tell(number)
            await trio.sleep(1)

    NEW[0] = False
    in_virtual_time(lambda: run(1))
    old = told(stored, "/p")
    NEW[0] = True
    in_virtual_time(lambda: run(2))
    in_virtual_time(run)
    in_virtual_time(lambda: run(9))
    lines = told(stored, "/p")
    NEW[0] = False

    assert lines[: len(old)] == old
    assert sum("patch two doses" in line for line in lines) == 2
    assert sum(line.startswith("USE") for line in lines) == 1 + 2 + 2
    assert lines[-1].startswith("STOP")


class Slow(DurableActor[int], behaviour="slow"):
    """Asks for the change on both sides of a wait."""

    @histrio.handler(int)
    async def treat(self, number: int) -> None:
        before = NEW[0] and self.patched("colour")
        await self.sleep(number)
        after = NEW[0] and self.patched("colour")
        if number == 9:
            self.finish((before, after))


@pytest.mark.parametrize("deployed", [False, True])
def test_a_handler_has_one_answer_on_both_sides_of_a_wait(*, deployed: bool) -> None:
    """J7: what began the old way ends so, though the new code came while it waited; others beside it are new."""
    stored = Stored()

    async def begin() -> None:
        async with open_world(stored) as tree:
            await (await tree.spawn(Slow, name="s")).tell(9)
            await trio.sleep(1)

    async def later() -> object:
        async with open_world(stored) as tree:
            await tree.ref("/s").tell(1)
            return await tree.ref("/s").join()

    NEW[0] = deployed
    in_virtual_time(begin)
    NEW[0] = True
    ended = in_virtual_time(later)
    NEW[0] = False

    assert ended == (deployed, deployed)
    assert sum("patch colour" in line for line in told(stored, "/s")) == 1 + deployed
