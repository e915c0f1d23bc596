"""Three children hear what their parent hears; it reads one message, then waits for them, from the last to the first."""

# With `copy_inbox` a child receives what its parent receives from the spawn on, and what the parent has not read by
# then. The parent reads "one" only; its children read three messages each, and give back what they have heard.

from typing import Final

import histrio


class Child(histrio.Actor[str]):
    """Listens to so many messages; its result is what it has heard."""

    def __init__(self, count: int) -> None:
        self.count: Final = count

    async def run(self) -> str:
        return ", ".join([(await self.receive_next()).message for _ in range(self.count)])


class Parent(histrio.Actor[str]):
    """Has three children, which never outlive it."""

    async def run(self) -> None:
        children = [await self.spawn(Child, 3, name=name, copy_inbox=True) for name in ("ann", "ben", "cid")]
        print("the parent has heard", (await self.receive_next()).message)
        for child in reversed(children):
            print(f"{child.path} has heard", await child.join(str))


async def main(system: histrio.System) -> None:
    """Tell the parent one thing after the other, until nobody is left to hear it."""
    parent = await system.spawn(Parent, name="parent")
    for message in ("one", "two", "three", "four"):
        try:
            await parent.tell(message)
        except histrio.ActorStopped:
            print("nobody is left for", message)
        await system.step_until_idle()
    for letter in system.dead_letters:
        print(f"{letter.path} has not read", letter.message)


if __name__ == "__main__":
    histrio.run(main)
