"""What must not happen inside a simulation: a way to the real world that goes past the driver.

Python itself tells of such calls (`sys.addaudithook`); what it does not tell of is wrapped while simulations run.
"""

# Design note
# -----------
# An audit hook cannot be taken away again, so one is installed with the first simulation, and looks whether the thread
# that calls is inside of one. It sees sockets and processes however they come about, also in libraries that know nothing
# of Trio. Signal handlers are set, and in Python 3.11 threads are begun, without Python's telling.
#
# What a library does for the program is told by the program's own line: that of its own files, not of an installed package.

from __future__ import annotations

import _thread
import importlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from histrio_kernel.simulation.errors import EscapedSimulation
from histrio_kernel.simulation.shared_change import swapped

__all__ = [
    "A_PROCESS",
    "A_THREAD",
    "INSTEAD",
    "NOT_THE_PROGRAM",
    "call_site",
    "escaped",
    "line_of_error",
    "line_of_program",
    "no_escape",
    "package_of",
]

A_THREAD: Final = ("a real thread", "self.io.thread(fn)")
A_PROCESS: Final = ("a real process", "self.io.process(fn), or a fake given by world.replace")
_THE_RESOLVER: Final = ("the real resolver", "self.io.net.connect with the name of a node")
_A_SIGNAL: Final = ("a signal handler", "a message, or an event of the test")

INSTEAD: Final = {
    "socket.__new__": ("a real socket", "self.io.net"),
    "socket.getaddrinfo": _THE_RESOLVER,
    "socket.getnameinfo": _THE_RESOLVER,
    "socket.gethostbyname": _THE_RESOLVER,
    "socket.gethostbyaddr": _THE_RESOLVER,
    "_thread.start_new_thread": A_THREAD,
    "_thread.start_joinable_thread": A_THREAD,
    "subprocess.Popen": A_PROCESS,
    "os.posix_spawn": A_PROCESS,
    "os.fork": A_PROCESS,
    "os.forkpty": A_PROCESS,
    "os.exec": A_PROCESS,
    "os.system": A_PROCESS,
    "os.kill": ("a real signal", "a message"),
    "time.sleep": ("real time", "await self.io.clock.sleep(seconds)"),
}
"""What Python calls such a thing; what it is; and what to use instead."""

_HERE: Final = threading.local()
NOT_THE_PROGRAM: Final = frozenset({"histrio_kernel", "histrio", "trio", "outcome"}) | sys.stdlib_module_names
"""Packages whose code is not the program's."""
_INSTALLED: Final = ("site-packages", "dist-packages")


Frames = Sequence[tuple[FrameType, int]]
"""Frames and their lines, the innermost first."""


def line_of_program(frames: Frames) -> str:
    """The innermost line that is neither ours, Trio's nor Python's, and better none of an installed package."""
    theirs = [each for each in frames if package_of(each[0]) not in NOT_THE_PROGRAM]
    own = (each for each in theirs if not any(part in each[0].f_code.co_filename for part in _INSTALLED))
    for frame, line in (*own, *theirs, *frames):
        return f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
    return ""


def call_site() -> str:
    """The line of the program that is being run."""
    return line_of_program([*traceback.walk_stack(None)])


def line_of_error(error: BaseException) -> str:
    """The line of the program that raised it."""
    return line_of_program([*traceback.walk_tb(error.__traceback__)][::-1])


def package_of(frame: FrameType) -> str:
    """The package that a frame's code is of; empty for that of the program's own script."""
    name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return "" if name == "__main__" else name


def escaped(what: str, instead: str) -> EscapedSimulation | None:
    """The error for a call that reaches the real world now; None if no simulation runs in this thread.

    The simulation ends with it, whoever catches it on its way.
    """
    tell: Callable[[EscapedSimulation], None] | None = getattr(_HERE, "tell", None)
    if tell is None:
        return None
    error = EscapedSimulation(
        f"{what} inside of a simulation, at {call_site()}: it can be neither chosen nor repeated. Use {instead}"
    )
    tell(error)
    return error


def _hook(event: str, _: object) -> None:
    if event in INSTEAD and (error := escaped(*INSTEAD[event])) is not None:
        raise error


def _no_signal(real: Callable[..., object]) -> Callable[..., object]:
    def set_handler(*args: object) -> object:
        error = escaped(*_A_SIGNAL)
        if error is not None:
            raise error
        return real(*args)

    return set_handler


def _no_thread(real: Callable[..., object]) -> Callable[..., object]:
    def start(*args: object, **named: object) -> object:
        error = escaped(*A_THREAD)
        if error is not None:
            raise error
        return real(*args, **named)

    return start


# `signal.signal` calls it, and so does who has imported that by name.
_WAYS_OUT: Final = swapped(
    (importlib.import_module("_signal"), signal.signal.__name__, _no_signal),
    (threading.Thread, "start", _no_thread),
    (_thread, "start_new_thread", _no_thread),
)
_hooked: Final[list[bool]] = []


@contextmanager
def no_escape(tell: Callable[[EscapedSimulation], Any]) -> Generator[None]:
    """Inside the block a way to the real world raises, and is told, in this thread and no other."""
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    with _WAYS_OUT:
        _HERE.tell = tell
        try:
            yield
        finally:
            _HERE.tell = None
