"""Somebody looks after the turns from time to time: who holds one for long is named, and spare tasks are let go.

The watchdog sleeps only while some turn was taken lately. In an idle system it has no timer, so a virtual clock stands
still.
"""

# Design note
# -----------
# Timing every message would cost every message. So this samples: a turn that is held by the same call of the same
# handler at two looks, `held_turn_s` apart, is reported once. The call is recognised by the identity of its coroutine.
# (perpetuo and python-trio issue 591 ask for the same on the level of the event loop.)

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine
from typing import Final, cast, final

import attrs
import trio

from histrio_kernel.engine import Engine
from histrio_kernel.errors import HeldTurn
from histrio_kernel.futures import PENDING
from histrio_kernel.handling import call_hook, serve
from histrio_kernel.inbox import Inbox, Selection
from histrio_kernel.turn import Turn, Worker

__all__ = ["Watchdog"]

_OURS: Final = frozenset({"histrio", "histrio_kernel"})
_LOOPS: Final = (serve.__code__, call_hook.__code__)


@attrs.define
class _Hold:
    """A turn that was held at the last look: by which call, and since when it has been seen."""

    call: object
    waited_for: object
    """What the call gave the turn away for last: after the next such wait it is another hold, by the same call."""
    since: float
    reported: bool = False


@final
class Watchdog:
    """Looks at every turn that was taken since the last look, each `held_turn_s / 2` seconds."""

    def __init__(self, engine: Engine, held_turn_s: float, on_awake: Callable[[], None] | None = None) -> None:
        self._engine: Final = engine
        self._held_turn_s: Final = held_turn_s
        self._on_awake: Final = on_awake
        self._holds: dict[Turn, _Hold] = {}
        self._listen()  # now: a turn may be taken before `run` runs for the first time

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            if not self._engine.awake:
                await self._doze()
            await self._engine.driver.clock.sleep(self._held_turn_s / 2)
            self.look()

    async def _doze(self) -> None:
        self._listen()
        await self._woken.wait()

    def _listen(self) -> None:
        self._woken = trio.Event()
        self._engine.on_awake = self._wake

    def _wake(self) -> None:
        """The first of all turns has been taken. This is called in the task of who took it."""
        self._engine.on_awake = None
        self._woken.set()
        if self._on_awake is not None:
            self._on_awake()

    def look(self) -> None:
        """Look once at every turn that is awake."""
        for turn in tuple(self._engine.awake):
            assert isinstance(turn, Turn)
            worker = None if turn.holds_long else turn.holder()
            call = None if worker is None else _call_of(worker)
            if turn.free or turn.holds_long:
                self._let_go(turn)
            elif worker is None or call is None:
                self._holds.pop(turn, None)  # it is between two calls
            else:
                self._look_at(turn, worker, call)

    def _let_go(self, turn: Turn) -> None:
        """Nobody holds it: it need not be watched until it is taken again."""
        self._holds.pop(turn, None)
        self._engine.awake.pop(turn, None)
        turn.watched = False
        turn.owner.retire_spares()

    def _look_at(self, turn: Turn, worker: Worker, call: object) -> None:
        now = self._engine.now()
        hold = self._holds.get(turn)
        waited_for = None if turn.serial else worker.future
        if hold is None or hold.call is not call or hold.waited_for is not waited_for:
            self._holds[turn] = _Hold(call, waited_for, now)
        elif not hold.reported and now - hold.since >= self._held_turn_s:
            hold.reported = True
            self._engine.report(HeldTurn(self._text(turn, worker, now - hold.since)))

    def _text(self, turn: Turn, worker: Worker, seconds: float) -> str:
        names, where = _describe(worker)
        waits = len(turn.inbox) + len(turn.ready or ())
        text = f"{turn.inbox.path}: {names} has held the turn for {seconds:.1f} s, at {where}; {waits} wait for it."
        cycle = self._cycle(turn)
        if cycle:
            return f"{text} They wait for each other: {' -> '.join(cycle)}. None of them can ever go on"
        return f"{text} To let the actor go on meanwhile, await self.io(...) instead of the call itself"

    def _cycle(self, turn: Turn) -> list[str]:
        """The paths of serial actors that wait for each other, from `turn` back to itself; empty if there is none."""
        by_inbox = {other.inbox: other for other in self._engine.awake if isinstance(other, Turn)}
        seen: list[Turn] = []
        current: Turn | None = turn
        while current is not None and current not in seen:
            seen.append(current)
            inbox = _waits_for(current)
            current = by_inbox.get(inbox) if inbox is not None else None
        if current is not turn:
            return []
        return [member.inbox.path for member in (*seen, turn)]


def _waits_for(turn: Turn) -> Inbox | None:
    """The inbox that the holder of a serial turn waits for."""
    worker = turn.holder()
    future = worker.future if worker is not None and turn.serial else None
    if future is None or future._state != PENDING:
        return None
    inbox = getattr(future, "inbox", None)
    return inbox if isinstance(inbox, Inbox) and not isinstance(future, Selection) else None


def _coroutines(worker: Worker) -> list[types.CoroutineType[object, object, object]]:
    """The coroutines of a worker's task, outermost first."""
    chain: list[types.CoroutineType[object, object, object]] = []
    current: object = cast(Coroutine[object, object, object], worker.task.coro)
    while isinstance(current, types.CoroutineType):
        chain.append(cast("types.CoroutineType[object, object, object]", current))
        current = chain[-1].cr_await
    return chain


def _inside(worker: Worker) -> list[types.CoroutineType[object, object, object]]:
    """The coroutines of the call that a worker is in: the handler's and what it awaits."""
    chain = _coroutines(worker)
    if worker.is_visitor:
        return chain
    loops = [index for index, coroutine in enumerate(chain) if coroutine.cr_code in _LOOPS]
    return chain[loops[-1] + 1 :] if loops else []


def _call_of(worker: Worker) -> object | None:
    if worker.is_visitor:
        return worker
    inside = _inside(worker)
    return inside[0] if inside else None


def _describe(worker: Worker) -> tuple[str, str]:
    """The handler's name, and the place in it where it waits."""
    inside = _inside(worker)
    users = [c for c in inside if c.cr_frame and _package_of(c.cr_frame) not in _OURS] or inside
    if not users or users[0].cr_frame is None:
        return "somebody", "an unknown place"
    frame = users[0].cr_frame
    return users[0].__qualname__, f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _package_of(frame: types.FrameType) -> str:
    return str(frame.f_globals["__name__"]).partition(".")[0]
