"""Nothing can be sent to an actor that has not been started, and what comes while it starts waits for it."""

# In chronoflow a process is made first and started later, and a push in between is an error of the moment. Here there
# is nothing to push to before `spawn`: a class is no address, an object that was made by hand has none, and the place
# that a spec keeps for the ref of a child is empty until its supervisor has started it.

from typing import Final

import histrio


class Listener(histrio.Actor[str]):
    """Takes a second to start."""

    def __init__(self, name: str) -> None:
        self.called: Final = name

    async def started(self) -> None:
        await self.ref.tell("while it starts")
        print(self.called, "has started")

    async def receive(self, message: str) -> None:
        print(f"{self.called} hears {message!r}")


async def main(system: histrio.System) -> None:
    """Try it too early, twice, and then in time."""
    try:
        await Listener("nobody").ref.tell("hello")
    except histrio.NotStarted as error:
        print("NotStarted:", error)

    spec = histrio.child("listener", Listener, "the listener")
    try:
        await spec.ref.tell("hello")
    except histrio.Unbound as error:
        print("Unbound:", error)

    supervisor = await system.spawn(histrio.Supervisor, spec)
    await supervisor.child(spec).tell("in time")


if __name__ == "__main__":
    histrio.run(main)
