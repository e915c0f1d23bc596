"""M7, M8: a task that raises is an error of its state, whatever that state may be called again for."""

import pytest
import trio
from trio.testing import MockClock

from histrio import Handlers, Machine, State, States, Transition


class Failing(Handlers):
    """The task of each state raises."""

    def __init__(self) -> None:
        self.runs: int = 0


@pytest.mark.parametrize("times", [1, 3])
async def test_a_multi_whose_task_raises_is_not_begun_again(times: int, autojump_clock: MockClock) -> None:
    """M7: the error calls `exception`, and not the Multi once more, which would be an activation with a task."""

    class Work(States):
        job = State(multi=True)

    class Jobs(Failing, states=Work):
        @Work.job.entered
        async def work(self, t: Transition[None]) -> None:
            self.runs += 1
            raise ValueError(self.runs)

    jobs = Jobs()
    async with Machine(Work) as machine:
        machine.bind(jobs)
        for number in range(1, times + 1):
            machine.add(Work.job)
            await trio.sleep(1)
            assert (jobs.runs, machine.tick(Work.job), str(machine.error)) == (number, 2 * number - 1, str(number))


async def test_exception_may_remove_the_state_whose_task_raised(autojump_clock: MockClock) -> None:
    """M8: a schema in which `exception` ends the work has its `exception`, and the work is over."""

    class Work(States):
        job = State()
        exception = State(multi="keep", remove=[job])

    class Jobs(Failing, states=Work):
        @Work.job.entered
        async def work(self, t: Transition[None]) -> None:
            raise ValueError("no such job")

    async with Machine(Work) as machine:
        machine.bind(Jobs())
        machine.add(Work.job)
        with trio.fail_after(1):
            await machine.when_error()

        assert machine.names == ("exception",)
        assert str(machine.error) == "no such job"


async def test_another_state_is_called_with_its_error(autojump_clock: MockClock) -> None:
    """M7: of a state that may stay, the error calls the state and `exception`."""

    class Work(States):
        job = State()

    class Jobs(Failing, states=Work):
        @Work.job.entered
        async def work(self, t: Transition[None]) -> None:
            raise ValueError("no such job")

    async with Machine(Work) as machine:
        machine.bind(Jobs())
        machine.add(Work.job)
        failed = await machine.when_error()

        assert failed is not None
        assert [failed.schema.names[state] for state in failed.called] == ["job", "exception"]
