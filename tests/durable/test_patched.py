"""J7: code that changes while actors live."""

from __future__ import annotations

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
            if numbers and numbers[-1] == 9:
                await patient.join()
            else:
                while "RECEIVE" in told(stored, "/p")[-1] or "USE" in told(stored, "/p")[-1]:
                    await patient_sleep()

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


async def patient_sleep() -> None:
    """A moment."""
    await trio.sleep(0.1)
