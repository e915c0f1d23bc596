"""Hosts that work on files and have their faults, for `file_pipeline.py`."""

from typing import Final, TypeAlias

import attrs
import trio

import histrio


@attrs.frozen
class Step(histrio.Request[None]):
    """Do one step with a file; refused when it fails."""

    name: str
    file: str


@attrs.frozen
class Remove(histrio.Request[None]):
    """Remove what lies here of a file."""

    file: str


Order: TypeAlias = Step | Remove


class Host(histrio.Actor[Order]):
    """Works on files on its disk. It refuses so many steps at first; from the step *dies_at* nobody hears of it again."""

    def __init__(self, refuses: int = 0, dies_at: str = "") -> None:
        self.refuses = refuses
        self.dies_at: Final = dies_at
        self.disk: Final[set[str]] = set()

    @histrio.handler(Step)
    async def step(self, m: Step) -> None:
        await self.io.clock.sleep(0.1)
        if m.name == self.dies_at:
            self.ref.control.kill()
            await trio.sleep_forever()  # not for long
        if self.refuses:
            self.refuses -= 1
            print(f"  {self.ref.path} refuses to {m.name}")
            raise histrio.Refusal(f"{self.ref.path} cannot {m.name} {m.file}")
        self.disk.add(m.file)
        print(f"  {self.ref.path}: {m.name}")

    @histrio.handler(Remove)
    async def remove(self, m: Remove) -> None:
        self.disk.discard(m.file)
        print(f"  {self.ref.path}: removed")
