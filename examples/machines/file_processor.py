"""A file is processed as a state: whoever asked waits until it is done, something fails, or it takes too long.

`processing_file` owns the work: its task is cancelled when the state ends, whoever ends it. `file_processed` takes its
place, and `in_progress` comes and goes with it, without being called by anybody.
"""

from collections.abc import Sequence
from typing import Final

import attrs
import trio

import histrio
from histrio import Left, Right, State, Transition, any_state, exclusive

PATIENCE_S: Final = 1.0


@attrs.frozen
class Process(histrio.Request[str]):
    """Process a file, of these lines; answered in words."""

    name: str
    lines: Sequence[str]


@attrs.frozen
class Processed:
    """What came of a file."""

    words: int


class File(histrio.States):
    """One file at a time."""

    processing_file = State(Process)
    file_processed = State(Processed)
    exclusive(processing_file, file_processed)
    in_progress = State(auto=True, require=[processing_file])


async def count_words(lines: Sequence[str]) -> int:
    """The work, at ten lines a second."""
    words = 0
    for line in lines:
        await trio.sleep(0.1)
        if "\0" in line:
            raise ValueError("this is no text")
        words += len(line.split())
    return words


class Processor(histrio.Actor[Process], states=File):
    """Answers when it is over, one way or another; then it is ready for the next file."""

    @histrio.handler(Process)
    async def process(self, m: Process) -> str:
        result = self.states.add(File.processing_file(m.name, m.lines))
        if isinstance(result, histrio.Canceled):
            return f"refused, {result.reason}"
        outcome = await self.outcome()
        self.states.remove(File.processing_file, File.exception)  # as far as they are there
        return outcome

    async def outcome(self) -> str:
        """Wait for whatever comes first; what loses is cancelled."""
        over = histrio.either(self.states.when(File.file_processed), self.states.when_error())
        match await histrio.either(over, self.io.clock.sleep(PATIENCE_S)):
            case Right():
                return "it takes too long"
            case Left(Right()):
                return f"failed, {self.states.error}"
            case Left():
                return f"done, {self.words} words"

    @File.processing_file.may_enter
    def has_lines(self, t: Transition[Process]) -> bool:
        """Is asked before anything has changed."""
        return bool(t.args.lines)

    @File.processing_file.entered
    async def count(self, t: Transition[Process]) -> None:
        """The task of the state: it runs beside the handlers. What it raises becomes `exception`."""
        words = await self.io(count_words, t.args.lines)
        self.states.add(File.file_processed(words))

    @File.file_processed.entered
    def keep(self, t: Transition[Processed]) -> None:
        """Part of the transition, so whoever waits for the state finds the words."""
        self.words = t.args.words

    @File.exception.entered
    def take(self, t: Transition[None]) -> None:
        """Without it an error would fail the actor. Here `process` takes care of it."""

    @any_state.entered
    def show(self, t: Transition[object]) -> None:
        """Told last in each transition."""
        if t.moved:
            print(f"  {', '.join(self.states.names) or 'nothing'}")


async def main(system: histrio.System) -> None:
    """Four files, of which only the first is any good."""
    processor = await system.spawn(Processor, name="processor")
    for name, lines in {
        "good.txt": ["a state is a scope", "an odd tick means active"],
        "empty.txt": [],
        "picture.png": ["PNG", "\0\0"],
        "endless.txt": ["and so on"] * 1000,
    }.items():
        print(name)
        print(f"  {await processor.ask(Process(name, lines))}")


if __name__ == "__main__":
    histrio.run(main)
