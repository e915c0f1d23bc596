"""J1: a reader that is gone leaves nothing behind: the same instructions are executed as if there never had been one."""

# Instructions and not times: what a few per cent are cannot be seen in a time on a machine that others use, too.

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import trio.testing
from tests.kernel.hearing import Do, Worker

import histrio

TraceFunction = Callable[[FrameType, str, Any], Any]


class Instructions:
    """Counts the instructions of Histrio's own code; what C does is not seen."""

    def __init__(self) -> None:
        self.count = 0

    def trace(self, frame: FrameType, event: str, _: object) -> TraceFunction | None:
        """For `sys.settrace`."""
        if event == "call":
            if "histrio" not in frame.f_code.co_filename:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            self.count += 1
        return self.trace


async def instructions(*, was_heard: bool) -> int:
    """Of telling and asking, in a system that nobody listens to."""
    seen = Instructions()
    async with histrio.open_system() as system:
        worker = await system.spawn(Worker, name="worker")
        detach = system.listen(lambda signal: None) if was_heard else None
        for what in ("nothing", "tell", "ask", "io", "switch"):
            await worker.ask(Do(what))
        if detach is not None:
            detach()
        await trio.testing.wait_all_tasks_blocked()
        before = sys.gettrace()
        sys.settrace(seen.trace)
        try:
            for _ in range(20):
                await worker.tell(Do("nothing"))
                await worker.ask(Do("nothing"))
        finally:
            sys.settrace(before)
    return seen.count


async def test_a_reader_that_is_gone_costs_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """J1: after the last reader has gone, telling and asking execute what they do where there never was one."""
    never, no_more = await instructions(was_heard=False), await instructions(was_heard=True)

    assert never > 1_000
    assert no_more == never
