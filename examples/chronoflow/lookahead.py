"""A client sends three commands, and takes the answers in the order that it likes: 102, 101, 100."""

# `select` takes the first message that matches and leaves the others where they are, in order. Usually it is not needed
# for this: an ask is a future of its own answer, and futures may be awaited in any order (the last lines).

from __future__ import annotations

from functools import partial
from typing import Final

import attrs
from trio.testing import MockClock

import histrio


@attrs.frozen
class Command(histrio.Request[str]):
    """What a server can be told, under a number; its answer goes back under the same one."""

    number: int
    word: str
    sender: histrio.Ref[Answer]


@attrs.frozen
class Answer:
    """What came of a command."""

    number: int
    text: str


def is_of(number: int, message: Answer) -> bool:
    """Whether that is the answer to the command of this number."""
    return message.number == number


class Server(histrio.Actor[Command]):
    """Knows the time."""

    @histrio.handler(Command)
    async def obey(self, m: Command) -> str:
        text = f"{self.io.clock.now():.0f} s" if m.word == "time" else f"cannot {m.word}"
        await m.sender.tell(Answer(m.number, text))
        return text


class Client(histrio.Actor[Answer]):
    """Takes answers from the last to the first."""

    def __init__(self, server: histrio.Ref[Command]) -> None:
        self.server: Final = server

    async def run(self) -> None:
        commands = [Command(100, "time", self.ref), Command(101, "time", self.ref), Command(102, "stop", self.ref)]
        for command in commands:
            await self.server.tell(command)
        for command in reversed(commands):
            print(await self.select(partial(is_of, command.number)))

        answers = {command.number: self.server.ask(command) for command in commands}
        for number in reversed(answers):
            print(number, await answers[number])


async def main(system: histrio.System) -> None:
    """Let the client do its work."""
    server = await system.spawn(Server, name="server")
    client = await system.spawn(Client, server, name="client")
    await client.join()


if __name__ == "__main__":
    histrio.run(main, clock=MockClock())
