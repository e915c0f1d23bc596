"""A traffic light: each light is a state whose own task lets it last, and a button shortens the green one.

There is no loop and no timer to look after. A light that ends cancels its task, so nobody can be late for the next.
"""

from typing import Final

import trio

import histrio
from histrio import Machine, State, Transition, exclusive


class Light(histrio.States):
    """One light at a time. Whoever has pressed may walk while it is red."""

    red = State()
    green = State()
    yellow = State()
    exclusive(red, green, yellow)
    pressed = State()
    walk = State(auto=True, require=[red, pressed])


class Control(histrio.Handlers, states=Light):
    """What the lights do."""

    def __init__(self, machine: Machine) -> None:
        self.machine: Final = machine
        self.began: Final = trio.current_time()

    @Light.red.entered
    async def stop(self, t: Transition[None]) -> None:
        await trio.sleep(0.4)
        self.machine.add(Light.green)

    @Light.green.entered
    async def go(self, t: Transition[None]) -> None:
        await trio.sleep(0.2)  # whoever is driving gets through
        with trio.move_on_after(0.6):
            await self.machine.when(Light.pressed)
        self.machine.add(Light.yellow)

    @Light.yellow.entered
    async def slow_down(self, t: Transition[None]) -> None:
        await trio.sleep(0.1)
        self.machine.add(Light.red)

    @Light.walk.exited
    def walked(self, t: Transition[None]) -> None:
        """The wish is fulfilled."""
        self.machine.remove(Light.pressed)

    @histrio.any_state.entered
    def show(self, t: Transition[object]) -> None:
        print(f"{trio.current_time() - self.began:.1f} s: {', '.join(self.machine.names)}")


async def main() -> None:
    """Two rounds; in the second one somebody presses the button."""
    async with Machine(Light, "light") as machine:
        machine.bind(Control(machine))
        machine.add(Light.red)
        await machine.when_ticks(Light.green, 3)  # it has come, gone, and come again
        machine.add(Light.pressed)
        await machine.when(Light.walk)
        await machine.when_not(Light.walk)


if __name__ == "__main__":
    trio.run(main)
