"""A connection that comes back by itself: a state owns the socket, and whoever has something to say waits for another.

`session` is one try, from connecting until somebody hangs up. Its task holds the socket, and the state ends when the task
returns (`until_done`), or the other way round. `connecting` and `online` require it, so they end with it. Between two
sessions it is `resting`, by itself, and a timer that belongs to that rest begins the next one.
"""

from collections import deque
from contextlib import suppress
from typing import Final

import attrs
import trio

import histrio
from examples.machines.lines import Lines, Server, Where
from histrio import Promise, State, Transition, exclusive
from histrio_kernel.driver import Stream


@attrs.frozen
class Say(histrio.Request[str]):
    """Say a line to the server; answered with its answer, however many sessions that takes."""

    text: str


@attrs.frozen
class Connect:
    """Begin a session."""


@attrs.frozen
class Line:
    """An open connection."""

    stream: Stream


class Link(histrio.States):
    """Where the connection stands."""

    wanted = State()
    resting = State(auto=True, require=[wanted])
    session = State(require=[wanted], until_done=True)
    connecting = State(require=[session])
    online = State(Line, require=[session])
    exclusive(resting, session)
    exclusive(connecting, online)


class Client(histrio.Actor[Say | Connect], states=Link):
    """Speaks with the server at that address."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address: Final = address
        self.tries = 0

    async def started(self) -> None:
        self.began = self.io.clock.now()
        self.tell_first(Connect())

    @histrio.handler(Connect)
    async def connect(self, m: Connect) -> None:
        self.states.add(Link.wanted, Link.session, Link.connecting)

    @histrio.handler(Say)
    async def say(self, m: Say) -> str:
        while True:
            while Link.online not in self.states:
                await self.states.when(Link.online)
            with self.states.scope(Link.online):  # it ends with the session; then the line is said again in the next
                answer: Promise[str] = self.promise()
                self.answers.append(answer)
                with suppress(trio.BrokenResourceError):
                    await self.stream.send_all(f"{m.text}\n".encode())  # keeps the turn, so no other line comes between
                return await answer

    @Link.session.entered
    async def converse(self, t: Transition[None]) -> None:
        """The task that has the socket."""
        with suppress(OSError, trio.BrokenResourceError):
            stream = await self.io.net.connect(*self.address)
            try:
                lines = Lines(stream)
                if await lines.next() == "hello":
                    self.states.add(Link.online(stream))
                while (line := await lines.next()) is not None:
                    print(f"  {line}")
                    async with self.turn():
                        self.answers.popleft().set(line)
            finally:
                self.states.remove(Link.online)  # first, so that nobody uses a closed socket
                await stream.aclose()

    @Link.online.entered
    def meet(self, t: Transition[Line]) -> None:
        self.stream, self.tries = t.args.stream, 0
        self.answers: deque[Promise[str]] = deque()

    @Link.resting.entered
    def rest(self, t: Transition[None]) -> None:
        """Twice as long each time in a row."""
        self.timers.after(0.1 * 2**self.tries, Connect(), within=Link.resting)
        self.tries += 1

    @histrio.any_state.entered
    def show(self, t: Transition[object]) -> None:
        if t.moved:
            print(f"{self.io.clock.now() - self.began:.1f} s: {', '.join(self.states.names)}")


async def main(system: histrio.System) -> None:
    """Say four lines, of which two meet a server that has just hung up and is not itself for a while."""
    server = await system.spawn(Server, (2, 0, 0, 3), name="server")
    client = await system.spawn(Client, await server.ask(Where()), name="client")
    answers = [await client.ask(Say("one")), await client.ask(Say("two"))]
    answers += await histrio.both(client.ask(Say("three")), client.ask(Say("four")))
    client.control.stop()
    await client.join()
    await server.join()
    print(f"closed, after {len(answers)} answers")


if __name__ == "__main__":
    histrio.run(main)
