"""A nondeterministic automaton is a machine with many states active at once: wherever the reading may have come to.

It finds "color" and "colour" in a text. Each letter is one `set`: of the states that active ones lead to by that letter.
A move without a letter is the relation `add`: whoever has read "colo" may be past the "u" already.
"""

from typing import Final

import histrio
from histrio import State, Transition


class Reading(histrio.States):
    """What has been read of the word. A word may begin anywhere, so `nothing` goes on for ever."""

    nothing = State()
    c = State()
    co = State()
    col = State()
    colo = State(add=["colou"])
    colou = State()
    found = State()


MOVES: Final = {
    (Reading.nothing, "c"): Reading.c,
    (Reading.c, "o"): Reading.co,
    (Reading.co, "l"): Reading.col,
    (Reading.col, "o"): Reading.colo,
    (Reading.colo, "u"): Reading.colou,
    (Reading.colou, "r"): Reading.found,
}


class Reader(histrio.Handlers, states=Reading):
    """Reads a text, and keeps where words end."""

    def __init__(self) -> None:
        self.machine: Final = histrio.Machine(Reading)
        self.machine.bind(self)
        self.machine.add(Reading.nothing)
        self.at = 0
        self.ends: Final[list[int]] = []

    def read(self, text: str) -> None:
        """Make one move for each letter, and show where it may be."""
        for letter in text:
            self.at += 1
            reached = [target for (state, by), target in MOVES.items() if by == letter and state in self.machine]
            self.machine.set(Reading.nothing, *reached)
            print(letter, " ".join(state.name for state in Reading if state in self.machine))

    @Reading.found.entered
    def keep(self, _: Transition[None]) -> None:
        """A word ends here."""
        self.ends.append(self.at)


def main() -> None:
    """Read a text in which one word begins within another."""
    reader = Reader()
    reader.read("a cocolour, color")
    print(f"found {len(reader.ends)}, which end at {reader.ends}; clock of found: {reader.machine.tick(Reading.found)}")


if __name__ == "__main__":
    main()
