"""What must not happen inside a simulation: a way to the real world that goes past the driver.

Python itself tells of such calls (`sys.addaudithook`); what it does not tell of is wrapped while a simulation runs.
"""

# Design note
# -----------
# An audit hook cannot be taken away again, so one is installed with the first simulation, and looks whether the thread
# that calls is inside of one. It sees sockets, threads and processes however they come about, also in libraries that
# know nothing of Trio. Threads and signal handlers are begun without Python's telling.

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from histrio_kernel.simulation.errors import EscapedSimulation

__all__ = ["INSTEAD", "call_site", "escaped", "no_escape"]

A_THREAD: Final = ("a real thread", "self.io.thread(fn)")

INSTEAD: Final = {
    "socket.__new__": ("a real socket", "self.io.net"),
    "socket.getaddrinfo": ("the real resolver", "self.io.net.connect with the name of a node"),
    "socket.gethostbyname": ("the real resolver", "self.io.net.connect with the name of a node"),
    "subprocess.Popen": ("a real process", "self.io.process(fn), or a fake given by world.replace"),
    "os.posix_spawn": ("a real process", "self.io.process(fn), or a fake given by world.replace"),
    "os.fork": ("a real process", "self.io.process(fn), or a fake given by world.replace"),
    "os.system": ("a real process", "self.io.process(fn), or a fake given by world.replace"),
    "time.sleep": ("real time", "await self.io.clock.sleep(seconds)"),
}
"""What Python calls such a thing; what it is; and what to use instead."""

_HERE: Final = threading.local()
_OWN: Final = ("histrio_kernel", "histrio", "trio", "outcome")


def call_site(frame: FrameType | None) -> str:
    """The line of the program that a call comes from: the innermost that is neither ours, Trio's nor Python's."""
    first = frame
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _OWN and package not in sys.stdlib_module_names:
            return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        if package == "__main__":
            return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return "an unknown place" if first is None else f"{first.f_code.co_filename}:{first.f_lineno}"


def escaped(what: str, instead: str) -> EscapedSimulation | None:
    """The error for a call that reaches the real world now; None if no simulation runs in this thread.

    The simulation ends with it, whoever catches it on its way.
    """
    tell: Callable[[EscapedSimulation], None] | None = getattr(_HERE, "tell", None)
    if tell is None:
        return None
    error = EscapedSimulation(
        f"{what} inside of a simulation, at {call_site(sys._getframe(2))}: it can be neither chosen nor repeated. "
        f"Use {instead}"
    )
    tell(error)
    return error


def _hook(event: str, _: object) -> None:
    if event in INSTEAD and (error := escaped(*INSTEAD[event])) is not None:
        raise error


_installed: list[bool] = []


@contextmanager
def no_escape(tell: Callable[[EscapedSimulation], None]) -> Generator[None]:
    """Inside the block a way to the real world raises, and is told, in this thread."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    real_signal, real_start = signal.signal, threading.Thread.start
    _HERE.tell = tell

    def no_signal(*args: object) -> object:
        error = escaped("a signal handler", "a message, or an event of the test")
        if error is not None:
            raise error
        return real_signal(*args)  # type: ignore[arg-type]  # they are those of signal.signal

    def no_start(thread: threading.Thread) -> None:
        error = escaped(*A_THREAD)
        if error is not None:
            raise error
        real_start(thread)

    signal.signal = no_signal  # type: ignore[assignment]
    threading.Thread.start = no_start  # type: ignore[method-assign]
    try:
        yield
    finally:
        signal.signal, threading.Thread.start = real_signal, real_start  # type: ignore[method-assign]
        _HERE.tell = None
