"""Small programs without Trio, whose steps tell exactly what they touch: to search by brute force beside."""

from typing import Final, final

import attrs

from histrio_kernel.simulation.choices import Walk
from histrio_kernel.simulation.strategies.exhaustive import Exhaustive, ExhaustiveWalk

__all__ = ["Machine", "Op", "Outcome", "Program", "outcomes"]

Outcome = tuple[tuple[int, ...], ...]


@attrs.frozen
class Op:
    """One step of a process.

    Attributes:
        kind: "mix" reads a cell and writes it; "read" reads it; "post" gives a process a token; "wait" takes one, and
            blocks without; "decide" takes a decision; "cancel" takes the last process away if it has not begun.
        on: which cell, or which process.
        hidden: whether the step tells nobody what it touches.
    """

    kind: str
    on: int = 0
    hidden: bool = False


Program = tuple[tuple[Op, ...], ...]


@final
class Machine:
    """Runs a program along a walk."""

    def __init__(self, program: Program, cells: int) -> None:
        self.program: Final = program
        self.cells: Final = [1] * cells
        self.locals: Final = [0] * len(program)
        self.tokens: Final = [0] * len(program)
        self.at: Final = [0] * len(program)

    def can(self, process: int) -> bool:
        """Whether it can go on."""
        at, ops = self.at[process], self.program[process]
        return at < len(ops) and not (ops[at].kind == "wait" and not self.tokens[process])

    def step(self, process: int, walk: Walk) -> frozenset[str] | None:
        """It goes on; what that touched."""
        op = self.program[process][self.at[process]]
        self.at[process] += 1
        touched = {f"process {process}"}
        match op.kind:
            case "mix":
                self.cells[op.on] = (self.cells[op.on] * 3 + process + 1) % 1009
                self.locals[process] = (self.locals[process] * 5 + self.cells[op.on]) % 1009
                touched.add(f"cell {op.on}")
            case "read":
                self.locals[process] = (self.locals[process] * 7 + self.cells[op.on]) % 1009
                touched.add(f"cell {op.on}")
            case "post":
                to = op.on % len(self.program)
                self.tokens[to] += 1
                touched.add(f"process {to}")
            case "cancel":
                last = len(self.program) - 1
                if not self.at[last]:
                    self.at[last] = len(self.program[last])
                touched.add(f"process {last}")
            case "wait":
                self.tokens[process] -= 1
            case _:
                self.locals[process] = self.locals[process] * 2 + walk.decide(2)
        return None if op.hidden else frozenset(touched)

    def run(self, walk: Walk) -> Outcome:
        """Run until nobody can go on; what is left then."""
        while options := [process + 1 for process in range(len(self.program)) if self.can(process)]:
            identity = options[walk.pick(options)] if len(options) > 1 else options[0]
            touched = self.step(identity - 1, walk)
            if isinstance(walk, ExhaustiveWalk) and walk.told:
                walk.ran(identity, touched)
        return tuple(self.cells), tuple(self.locals), tuple(self.tokens), tuple(self.at)


def outcomes(program: Program, cells: int, *, told: bool, runs_max: int) -> tuple[frozenset[Outcome], int, bool]:
    """All that a program can come to, in how many runs, and whether that was all."""
    strategy = Exhaustive()
    found: set[Outcome] = set()
    cancelled = {len(program) for process in program for op in process if op.kind == "cancel"}
    for number in range(runs_max):
        walk = strategy.walk(number, 0)
        if walk is None:
            return frozenset(found), number, strategy.complete
        assert isinstance(walk, ExhaustiveWalk)
        walk.told = told
        walk.vanishes = cancelled.__contains__  # as a completion that may be withdrawn
        found.add(Machine(program, cells).run(walk))
    return frozenset(found), runs_max, False
