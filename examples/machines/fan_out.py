"""Fan out, fan in: eight jobs, three at a time, and one result when all are done; a state for each job, and no queue.

A job that neither runs nor is done is called by the machine itself (`auto`) after each change, and may enter if there is
room. So the next begins when one is done. `collected` requires that all are done, and comes by itself, too.
"""

from typing import Final

import attrs
import trio

import histrio
from histrio import Machine, State, Transition, exclusive

AT_ONCE: Final = 3


@attrs.frozen
class Done:
    """What came of a job."""

    value: int


class Job(histrio.States):
    """One job: it waits while neither is active."""

    runs = State(auto=True)
    done = State(Done)
    exclusive(runs, done)


JOBS: Final = {f"job_{number}": Job.prefixed(f"job_{number}_") for number in range(1, 9)}
RUNS: Final = [job.runs for job in JOBS.values()]


class Work(histrio.States):
    """All jobs, and what begins and ends the whole. After the first change the machine looks for what there is to do."""

    start = State()
    vars().update(JOBS)  # as if they were written here, one by one
    collected = State(auto=True, require=[job.done for job in JOBS.values()])


@attrs.frozen
class Board:
    """Where the machine of all jobs is, and what has come of them."""

    machine: Machine
    began: float = attrs.field(factory=trio.current_time)
    results: list[int] = attrs.field(factory=list)

    def show(self, what: str) -> None:
        """A line of what happens."""
        running = sum(state in self.machine for state in RUNS)
        print(f"{trio.current_time() - self.began:.1f} s: {what}, {running} running")


def worker(board: Board, job: type[Job], number: int) -> histrio.Handlers:
    """Who does one job: squares its number, at its own pace."""

    class Worker(histrio.Handlers, states=Work):
        @job.runs.may_enter
        def has_room(self, t: Transition[None]) -> bool:
            """Each that runs has a place, and each that is to enter now and was asked before."""
            entering = [state for state in RUNS if t.schema.find(state) in t.enters]
            ahead = entering.index(job.runs)
            return sum(state in board.machine for state in RUNS) + ahead < AT_ONCE

        @job.runs.entered
        async def work(self, t: Transition[None]) -> None:
            await trio.sleep(number * 3 % 7 / 9 + number / 50)
            board.machine.add(job.done(value=number * number))

        @job.done.entered
        def keep(self, t: Transition[Done]) -> None:
            board.results.append(t.args.value)
            board.show(f"job {number} is done")

    return Worker()


async def main() -> None:
    """Let them run, and add up what came of them."""
    async with Machine(Work) as machine:
        board = Board(machine)
        for number, job in enumerate(JOBS.values(), 1):
            machine.bind(worker(board, job, number))
        machine.add(Work.start)
        await machine.when(Work.collected)
        print(f"collected: {sorted(board.results)}, {sum(board.results)} together")


if __name__ == "__main__":
    trio.run(main)
