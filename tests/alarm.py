"""No test runs for ever: each has a real process alarm.

`@pytest.mark.alarm(seconds)` changes the 120 seconds of a test; in a run that tries more it has longer.
"""

# Why not a Trio timeout: it asks the program under test to cancel itself, and a wait whose abort refuses cancellation,
# or a handler that spins, never answers. Why not `autojump_clock`: a program that is stuck does not move the clock.
#
# Two steps. First a signal raises in the main thread: the test fails, with the stack of what it was doing and where
# each of Trio's tasks was waiting. If that struck Trio between two of its steps no other test can run in this process,
# and the run ends there. A program that cannot even be interrupted (a call into C, a swallowed error) is ended a
# little later, with all of pytest, by `faulthandler`'s own thread, which writes the stacks of all threads to the
# terminal.

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Final, Protocol, cast

import pytest
import trio

from tests.effort import Effort, effort

ALARM_S: Final = {Effort.QUICK: 120.0, Effort.PROVE: 1_800.0, Effort.NIGHTLY: 20_000.0}
LAST_WORD_S: Final = 30.0  # from the alarm to the end of the process
STACK_MAX: Final = 12  # frames; those before are pytest's

_terminal = pytest.StashKey[int]()  # a file descriptor that pytest's capture does not take


class Capture(Protocol):
    """What is used here of pytest's capture manager, which has no public type."""

    def global_and_fixture_disabled(self) -> AbstractContextManager[None]:
        """What is written inside goes to the terminal."""
        ...


def pytest_configure(config: pytest.Config) -> None:
    """Keep a way to the terminal for the last word."""
    capture = cast("Capture | None", config.pluginmanager.getplugin("capturemanager"))
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        config.stash[_terminal] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the descriptor back."""
    if _terminal in config.stash:  # not if another plugin refused its settings before ours were read
        os.close(config.stash[_terminal])
        del config.stash[_terminal]


def alarm_s(item: pytest.Item) -> float:
    """The seconds of that test, from its nearest marker."""
    mark = item.get_closest_marker("alarm")
    if mark is None:
        return ALARM_S[effort()]
    (seconds,) = mark.args
    assert seconds > 0, f"{item.nodeid}: an alarm needs a time, not {seconds!r}"
    return float(seconds)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """The last word: the process ends if the test, or what sets it up, cannot be interrupted."""
    faulthandler.dump_traceback_later(alarm_s(item) + LAST_WORD_S, exit=True, file=item.config.stash[_terminal])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def tasks_of_trio() -> Iterator[str]:
    """Where each task of the Trio run in this thread is waiting, parents first; nothing if there is no run."""
    root = trio.lowlevel.current_root_task() if trio.lowlevel.in_trio_run() else None
    tasks = [root] if root else []
    for task in tasks:
        yield f"task {task.name}"
        for frame, line in task.iter_await_frames():
            yield f'    "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """The alarm: the test fails and tells what it was doing."""
    seconds = alarm_s(item)

    def ring(_signal: int, frame: FrameType | None) -> None:
        # It is printed, not only raised: what is stuck may swallow the error.
        stack = traceback.format_stack(frame)[-STACK_MAX:]
        print(f"the alarm of {seconds:g} s rang in:", *stack, *tasks_of_trio(), sep="\n", file=sys.stderr)
        pytest.fail(f"the test took longer than {seconds:g} real seconds; what it was doing is in its stderr")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if trio.lowlevel.in_trio_run():
            item.session.shouldfail = f"{item.nodeid} was stopped between two steps of Trio, which cannot run again"
