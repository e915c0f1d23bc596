"""The first SIGINT or SIGTERM stops in order, the second kills, and the third is the operating system's."""

# Design note
# -----------
# Handlers of `signal`, not `trio.open_signal_receiver`: a handler that never awaits keeps Trio's loop, and nobody
# would read the receiver. Python runs a signal handler all the same, so a person at the terminal sees that the signal
# was heard, and the third one always ends the process. Within a handler nothing but `os.write` is safe to write with.

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Generator
from types import FrameType
from typing import Final, final

import trio

__all__ = ["Stopping"]

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@final
class Stopping:
    """What signals have asked of this process.

    Attributes:
        last: the last signal that came; None if none has.
    """

    def __init__(self, stop: Callable[[str], None], kill: Callable[[], None]) -> None:
        self.last: signal.Signals | None = None
        self._token: Final = trio.lowlevel.current_trio_token()
        self._stop: Final = stop
        self._kill: Final = kill

    @contextlib.contextmanager
    def heeded(self) -> Generator[None]:
        """Heed signals in this block; after it they mean what they meant before. For the main thread only."""
        before = {number: signal.signal(number, self._heed) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heed(self, number: int, _frame: FrameType | None) -> None:
        first = self.last is None
        self.last = signal.Signals(number)
        if first:
            _write(f"{self.last.name}: what was accepted is finished; a second signal kills")
            self._token.run_sync_soon(self._stop, self.last.name)
        else:
            for each in SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            _write(f"{self.last.name} again: killed; a third signal ends the process on the spot")
            self._token.run_sync_soon(self._kill)


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"histrio: {text}\n".encode())
