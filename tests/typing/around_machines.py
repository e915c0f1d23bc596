"""What type checkers know of what is around machines: states of each machine where states are taken; never executed."""

from typing import assert_type

from histrio import Machine, Result, Retry
from histrio_kernel.machine.around.conditions import Condition
from histrio_kernel.machine.around.groups import MachineGroup
from histrio_kernel.machine.around.history import History
from histrio_kernel.machine.around.pipes import Pipe, pipe, pipe_all, pipe_errors, pipe_many
from histrio_kernel.machine.around.records import Activation
from histrio_kernel.machine.around.retrying import until_accepted
from histrio_kernel.machine.core.machine import Machine as CoreMachine
from histrio_kernel.machine.states.mixins import Basic, Connected

line, service = Machine(Connected), Machine(Basic)
plain: CoreMachine[str] = CoreMachine(Basic.schema())


def pipes_take_states_of_both_ends() -> None:
    """M10: objects and names, of machines that take them; and nothing else."""
    assert_type(pipe(line, Connected.connected, service, Basic.ready), Pipe)
    pipe(line, Connected.connected, service, "ready", flat=True, args=lambda transition: transition.args)
    pipe_many(line, service, (Connected.connected, Basic.ready), (Connected.start, "start"))
    pipe_many(line, plain, (Connected.connected, "ready"))
    pipe_all(line, service, [Basic.start, Basic.ready])
    pipe_errors(line, service, Basic.err_network)
    pipe(plain, "start", line, Basic.start)
    pipe(plain, 3, line)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    pipe(line, Connected.connected, plain, Basic.ready)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]


def histories_answer_with_what_they_found() -> None:
    """M10: questions take states of the machine."""
    history = History(line, lambda: 0.0, states=[Connected.start, Connected.connected])
    assert_type(history.active_between(Connected.start, 0, 1), bool)
    assert_type(history.last_active("start"), Activation | None)
    history.active_between(3, 0, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def questions_are_asked_of_any_machine() -> None:
    """M4: a condition is combined with conditions, and answered with a bool."""
    usable = Condition.all(Connected.connected) & ~Condition.any("err_network")
    assert_type(usable(line), bool)
    assert_type(usable(plain), bool)
    usable & True  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    group = MachineGroup([line, service])
    assert_type(group.all(Basic.start), bool)


async def a_retry_returns_a_result() -> None:
    """M5: the policy is a `Retry`, and the mutation gets the machine with its own methods."""
    assert_type(await until_accepted(line, lambda machine: machine.add(Connected.connecting), Retry()), Result)
