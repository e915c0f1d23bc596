"""Two actors send a word back and forth, five times each, once a second; a stepper lets them, and moves the clock."""

# What chronoflow's SimpleScheduler is for, `step_until_idle` does: it lets every actor go as far as it can, and tells
# what is left. Here something is waited for each time, and when it comes is known; so the clock is set to that time,
# and five seconds take none. Messages need no routing: a ref is a place to send to.

from __future__ import annotations

import attrs
import trio
from trio.testing import MockClock

import histrio

ROUNDS = 5


@attrs.frozen
class Word:
    """A word, and whom to send it back to."""

    text: str
    sender: histrio.Ref[Word]


class Echo(histrio.Actor[Word]):
    """Sends each word back, and rests for a second."""

    async def run(self) -> None:
        for number in range(1, ROUNDS + 1):
            word = (await self.receive_next()).message
            print(f"{self.io.clock.now():.0f} s: {self.ref.path} has {word.text!r} from {word.sender.path}, {number}")
            await word.sender.tell(Word(word.text, self.ref))
            await self.io.clock.sleep(1)


async def main(system: histrio.System, clock: MockClock) -> None:
    """Begin with a word that the one has never sent to the other."""
    left = await system.spawn(Echo, name="left")
    right = await system.spawn(Echo, name="right")
    await left.tell(Word("hello", right))
    while (idle := await system.step_until_idle()).until is not None:
        clock.jump(idle.until - trio.current_time())
    print(idle.state.value)
    for letter in system.dead_letters:
        assert isinstance(letter.message, Word)
        print(f"the last {letter.message.text!r} to {letter.path} was not heard")


if __name__ == "__main__":
    clock = MockClock()
    histrio.run(main, clock, clock=clock)
