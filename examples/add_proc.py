"""A process adds 6 and 4: once driven FREE, by one nudge, and once in STEP, a nudge for each advance."""

import enum
from typing import Final

import histrio


class Stage(enum.Enum):
    """Where the addition is."""

    BEGIN = "begin"
    END = "end"


class AddProc(histrio.Process[Stage, int]):
    """Computes the sum, and is done with it."""

    def __init__(self, left: int, right: int) -> None:
        self.left: Final = left
        self.right: Final = right
        self.sum = 0

    async def advance(self) -> histrio.Next[Stage, int]:
        match self.state:
            case Stage.BEGIN:
                self.sum = self.left + self.right
                print(f"  {self.left} + {self.right} = {self.sum}")
                return self.to(Stage.END)
            case Stage.END:
                return histrio.Done(self.sum)


class AddProcSteps(AddProc):
    """The same, driven step by step."""

    drive = histrio.Drive.STEP


async def main(system: histrio.System) -> None:
    """Run it both ways."""
    print("FREE: one nudge, and it runs to its end")
    free = await system.spawn(AddProc, 6, 4)
    free.control.try_nudge()
    print(f"  the result is {await free.join(int)}")

    print("STEP: it advances once for each nudge")
    steps = await system.spawn(AddProcSteps, 6, 4)
    stages = steps.control.watch_states(Stage)
    print(f"  it is at its {(await stages.next()).value}")
    steps.control.try_nudge()
    print(f"  it is at its {(await stages.next()).value}")
    steps.control.try_nudge()
    print(f"  the result is {await steps.join(int)}")


if __name__ == "__main__":
    histrio.run(main)
