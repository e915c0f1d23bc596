"""A greeter greets whom it is told of, as often as it was made for, and everything that happens can be heard."""

# In chronoflow whoever pushes a message pulls the signals afterwards, out of a list that grows until then. Here a reader
# hears each signal in the moment in which it happens; without one nothing is kept.

from typing import Final

import histrio


class Desk(histrio.Actor[str]):
    """Where greetings go."""

    async def receive(self, message: str) -> None:
        print("greeting:", message)


class Greeter(histrio.Actor[str]):
    """Greets so many people, one after the other, and has ended then."""

    def __init__(self, people: int, desk: histrio.Ref[str]) -> None:
        self.people: Final = people
        self.desk: Final = desk

    async def run(self) -> None:
        for number in range(1, self.people + 1):
            name = (await self.receive_next()).message
            await self.desk.tell(f"no. {number}, good day to {name}")


async def main(system: histrio.System) -> None:
    """Send two people to it, and a third one too late."""
    heard: list[histrio.Signal] = []
    system.listen(heard.append)
    desk = await system.spawn(Desk, name="desk")
    greeter = await system.spawn(Greeter, 2, desk, name="greeter")
    for name in ("Ada", "Grace"):
        await greeter.tell(name)
    await greeter.join()
    await system.step_until_idle()  # so that the last greeting has come, too
    for signal in heard:
        if signal.path == greeter.path:
            print(f"signal {signal.seq}: {signal.kind.value}")
    try:
        await greeter.tell("Barbara")
    except histrio.ActorStopped as stopped:
        print("too late:", stopped)


if __name__ == "__main__":
    histrio.run(main)
