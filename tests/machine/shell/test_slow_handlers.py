"""M7: sync handlers that hold everybody up are reported, by real time: no virtual clock moves within a transition."""

import pytest

from histrio import Handlers, Machine, State, States, Transition


class Work(States):
    """One state."""

    job = State()


class Jobs(Handlers, states=Work):
    """Its handler does nothing."""

    @Work.job.entered
    def begin(self, t: Transition[None]) -> None: ...


@pytest.mark.parametrize(("slow_handler_s", "reports"), [(0.0, 1), (1_000.0, 0)])
def test_a_machine_says_from_when_on_handlers_are_slow(
    slow_handler_s: float, reports: int, caplog: pytest.LogCaptureFixture
) -> None:
    """M7: `Machine(S, slow_handler_s=...)` is the real time that the sync handlers of one transition may take."""
    machine = Machine(Work, slow_handler_s=slow_handler_s)
    machine.bind(Jobs())
    machine.add(Work.job)

    assert sum("SlowHandler" in record.getMessage() for record in caplog.records) == reports
