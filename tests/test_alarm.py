"""A test that never ends is ended, and the others go on."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each starts a pytest of its own, and an alarm has to ring

ROOT = Path(__file__).resolve().parent.parent

SPINS = """
import pytest, trio

@pytest.mark.alarm(0.2)
def test_spins():
    '''A program that does not come back.'''
    while True:
        pass

@pytest.mark.alarm(0.2)
async def test_spins_in_a_task():
    '''A task that never yields.'''
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spin)

async def spin():
    while True:
        pass

async def test_goes_on():
    '''The next one finds Trio as it should be.'''
    await trio.lowlevel.checkpoint()
"""

REFUSES = """
import pytest, trio

async def forever():
    await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)

@pytest.mark.alarm(0.2)
async def test_refuses():
    '''A wait that refuses cancellation: no timeout of Trio ends it.'''
    with trio.move_on_after(0.01):
        await forever()

def test_not_run():
    '''Trio is not to be trusted any more.'''
"""

DEAF = """
import pytest, signal

@pytest.mark.alarm(0.2)
def test_deaf():
    '''A program that the signal does not reach.'''
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    while True:
        pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project that has the alarm and nothing else of ours."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\ntrio_mode = true\nmarkers =\n    alarm(seconds): as in pyproject.toml\n")
    pytester.makeconftest("pytest_plugins = ['tests.alarm']")
    return pytester


def test_an_alarm_fails_the_test_and_no_other(project: pytest.Pytester) -> None:
    """What spins fails with the stack of what it was doing; the next test runs."""
    project.makepyfile(SPINS)

    result = project.runpytest_subprocess(timeout=60)

    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["*longer than 0.2 real seconds*", "*the alarm of 0.2 s rang in:*"])


def test_a_wait_that_refuses_cancellation_ends_the_run(project: pytest.Pytester) -> None:
    """Trio struck between two steps cannot run again: the test fails, its tasks are told, and the run ends there."""
    project.makepyfile(REFUSES)

    result = project.runpytest_subprocess(timeout=60)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the alarm of 0.2 s rang in:*", "task *", "*in forever", "*cannot run again*"])


def test_what_does_not_hear_the_alarm_is_ended_with_the_process(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the alarm cannot be heard the process ends, and the stacks of its threads are on the terminal."""
    project.makeconftest("from tests import alarm\nalarm.LAST_WORD_S = 0.3\npytest_plugins = ['tests.alarm']")
    project.makepyfile(DEAF)

    result = project.runpytest_subprocess(timeout=60)

    assert result.ret == 1
    result.stderr.fnmatch_lines(["*Timeout*", "*test_deaf*"])
