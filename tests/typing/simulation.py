"""What type checkers know of a simulation: the value of a run, the refs of its actors, and what they refuse."""

from typing import assert_type

import histrio
from histrio import Ref
from histrio.testing import Report, Run, World, explore, replay, simulate


class Greeter(histrio.Actor[str]):
    """Takes a word."""

    async def receive(self, message: str) -> None:
        """Nothing becomes of it."""


async def main(world: World) -> int:
    """A program."""
    greeter = await world.spawn(Greeter, name="greeter")
    assert_type(greeter, Ref[str])
    assert_type(await world.node("a").spawn(Greeter), Ref[str])
    await greeter.tell(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return 1


async def no_world() -> int:
    """It takes nothing."""
    return 1


def no_program(world: World) -> int:
    """It is not async."""
    return 1


def runs() -> None:
    """What comes out."""
    assert_type(simulate(main), Run[int])
    assert_type(simulate(main).value, int)
    assert_type(replay(main, "sim1."), Run[int])
    assert_type(explore(main), Report)
    simulate(no_world)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    simulate(no_program)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    explore(main, schedules="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
