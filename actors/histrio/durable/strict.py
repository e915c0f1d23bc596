"""A strict tree looks at what its handlers call: time, chance, files and sockets that no journal knows of are refused."""

# Design note
# -----------
# Python tells a profiler of each call of a function that is written in C, whatever it is called where it is called from:
# `from time import time` hides nothing. So while a handler runs, and only then, such a profiler looks at what its code calls,
# itself or by the standard library. What Histrio calls for it is none of its business.
#
# Nor is what finalizers do, and whoever else is called when garbage is collected, which Python does wherever it likes.
#
# It costs a multiple of what a handler does, so it is for tests, and for a look before a deploy. What it cannot see is a value
# that differs without a call: a global, the order of a set, `id()`.

from __future__ import annotations

import _posixsubprocess
import _socket
import _thread
import builtins
import datetime as dt
import gc
import os
import random
import sys
import time
import types
from collections.abc import Awaitable, Callable, Generator
from types import FrameType
from typing import Any, Final, cast, final

import trio

from histrio.durable.errors import NotRecorded
from histrio.waiting.scopes import chain
from histrio_kernel.simulation.escapes import NOT_THE_PROGRAM, call_site, line_of_program, package_of

__all__ = ["looked_at"]

_TIME: Final = "self.now()"
_CHANCE: Final = "self.random, or self.uuid()"
_OUTSIDE: Final = "self.io(function)"

_REFUSED: Final[dict[object, str]] = {
    **{
        getattr(time, name): _TIME
        for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time")
    },
    time.sleep: "await self.sleep(seconds)",
    os.urandom: _CHANCE,
    os.getpid: _OUTSIDE,
    os.open: _OUTSIDE,
    os.listdir: _OUTSIDE,
    os.scandir: _OUTSIDE,
    os.system: _OUTSIDE,  # pyright: ignore[reportDeprecated]
    os.posix_spawn: _OUTSIDE,
    _posixsubprocess.fork_exec: _OUTSIDE,
    builtins.open: _OUTSIDE,
    builtins.input: _OUTSIDE,
    _thread.start_new_thread: _OUTSIDE,
    _socket.getaddrinfo: _OUTSIDE,
    _socket.gethostbyname: _OUTSIDE,
}

_NOW: Final = frozenset({"now", "utcnow", "today"})
_GLOBAL_RANDOM: Final = cast("random.Random", cast(Any, random)._inst)
_OURS: Final = frozenset({"histrio", "histrio_kernel"})
_FRAMES: Final = ("cr_frame", "gi_frame", "ag_frame")


@types.coroutine
def looked_at(
    path: str,
    body: Callable[[], Awaitable[object]],
    is_recorded: Callable[[], bool],
    refuse: Callable[[NotRecorded], None],
) -> Generator[Any, Any, object]:
    """Run the handler `body`, and look at each of its calls and waits.

    Args:
        path: of the actor.
        body: begins it.
        is_recorded: says whether it waits for what is recorded.
        refuse: is told of any other wait. It is not ended, for nobody but Trio may end a wait of Trio's.

    Raises:
        NotRecorded: in the handler, where it calls what could not be called again.
    """
    running = cast("types.CoroutineType[Any, Any, object]", body())
    resume = _sending(running, None)
    profiler = _Profiler(path)
    while True:
        before = sys.getprofile()
        gc.callbacks.insert(0, profiler.collects)
        gc.callbacks.append(profiler.has_collected)  # behind those of others
        sys.setprofile(profiler)
        try:
            request = resume()
        except StopIteration as end:
            return cast(object, end.value)
        finally:
            sys.setprofile(before)
            gc.callbacks.remove(profiler.collects)
            gc.callbacks.remove(profiler.has_collected)
        if not is_recorded() and (plain := _plain_wait(running)) is not None:
            refuse(
                NotRecorded(
                    f"{path} waits for {plain}, which no journal knows of: after a crash it would be waited for again, and "
                    f"all else of this actor waits meanwhile. Use await {_OUTSIDE}, or await self.sleep(seconds)"
                )
            )
        try:
            answer = yield request
        except BaseException as error:
            resume = _throwing(running, error)
        else:
            resume = _sending(running, answer)


def _sending(running: types.CoroutineType[Any, Any, object], answer: object) -> Callable[[], Any]:
    return lambda: running.send(answer)


def _throwing(running: types.CoroutineType[Any, Any, object], error: BaseException) -> Callable[[], Any]:
    return lambda: running.throw(error)


@final
class _Profiler:
    """What Python calls while a handler of that actor runs."""

    def __init__(self, path: str) -> None:
        self._path: Final = path
        self._collects = False

    def collects(self, phase: str, _: object) -> None:
        """Python begins to collect garbage, or has ended."""
        self._collects = True

    def has_collected(self, phase: str, _: object) -> None:
        """So has Python, and all who are told of it have been."""
        self._collects = phase == "start"

    def __call__(self, frame: FrameType, event: str, what: object) -> None:
        """Something is called."""
        if not self._collects:
            _look(self._path, frame, event, what)


def _look(path: str, frame: FrameType, event: str, what: object) -> None:
    """Look at a call, or a return.

    Raises:
        NotRecorded: in the code that makes the call.
    """
    if event == "c_call":
        instead, caller = _instead_of(what), frame
        name = f"{getattr(what, '__module__', None) or ''}.{getattr(what, '__qualname__', what)}".lstrip(".")
    elif event == "call" and frame.f_code is trio.current_time.__code__ and frame.f_back is not None:
        instead, caller, name = _TIME, frame.f_back, "trio.current_time"
    else:
        return
    if instead is not None and not _is_ours(caller):
        raise NotRecorded(
            f"{path}: a durable handler calls {name}, at {call_site()}: when this step is done again it comes out "
            f"differently. Use {instead}"
        )


def _instead_of(what: object) -> str | None:
    """What to use instead of that function; None if it may be called."""
    owner: object = getattr(what, "__self__", None)
    if owner is _GLOBAL_RANDOM:
        return _CHANCE
    if isinstance(owner, _socket.socket):
        return _OUTSIDE
    if isinstance(owner, type) and issubclass(owner, dt.date) and getattr(what, "__name__", "") in _NOW:
        return _TIME
    return _REFUSED.get(what)


def _is_ours(frame: FrameType | None) -> bool:
    """Whether Histrio or Trio makes that call, or has the standard library make it."""
    while frame is not None and package_of(frame) in sys.stdlib_module_names:
        frame = frame.f_back
    return frame is not None and package_of(frame) in NOT_THE_PROGRAM


def _plain_wait(running: object) -> str | None:
    """What the handler awaits that is none of Histrio's, and where; None if it is."""
    awaited_ones = map(_frame_of, chain(running))
    frames = [frame for frame in awaited_ones if frame is not None]
    program = max(at for at, frame in enumerate(frames) if at == 0 or package_of(frame) not in NOT_THE_PROGRAM)
    if program + 1 < len(frames) and package_of(frames[program + 1]) in _OURS:
        return None
    awaited = frames[min(program + 1, len(frames) - 1)]
    where = line_of_program([(frame, frame.f_lineno) for frame in reversed(frames)])
    return f"{package_of(awaited) or '__main__'}: {awaited.f_code.co_qualname}, at {where}"


def _frame_of(awaitable: object) -> FrameType | None:
    found = (getattr(awaitable, name, None) for name in _FRAMES)
    return cast("FrameType | None", next((frame for frame in found if frame is not None), None))
