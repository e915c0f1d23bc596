"""The log: one actor that owns the file, and answers an append when the record is safe from a power cut."""

# Design note
# -----------
# `await self.io(log.append, ...)` gives the turn away: while one append waits for the disk, the actor takes further
# messages, and the appends that come meanwhile share the next fsync (group commit). So throughput grows with the number
# of writers although each waits for its own fsync. Appends end in the order of the file, and so are answered in it.
#
# What the disk does wrong is one of two things.
#
# It is *full*. That is nobody's fault, nothing is in doubt, and starting again would not help: appends are refused, and
# what only reads goes on. Each `reopen_s` one append opens the file again, which cuts off what was never synced. Then
# it must hold as many records as were acknowledged; else somebody has changed it behind our back, and appending to it
# would hide that until the next start.
#
# It is *broken*: all other errors. Then nobody knows what this actor knows of the file, and it fails, as actors do. Its
# supervisor starts it again, which opens the file again; and the store, too, which reads it again.
#
# The log only grows, and is read as a whole at the start. What it would take to shorten it (write what is in memory to
# a second log, and rename it over the first) is left out of this example.

import errno
import math
from pathlib import Path
from typing import ClassVar, Final

import trio

import histrio
from examples.kv_service.messages import (
    Append,
    LogHealth,
    LogMessage,
    LogStatus,
    Recover,
    Recovered,
    Unavailable,
    WriteRefused,
)
from histrio import Log
from histrio_kernel.log import LOG_PAYLOAD_BYTES_MAX, LogError, LogFormat

__all__ = ("LogFile",)

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LogFile(histrio.Actor[LogMessage]):
    """Records, durable in the log at *path*, which is made if it is not there.

    Args:
        path: the log; this actor must be the only one that appends to it.
        reopen_s: seconds after which a full log is opened again, to see whether there is room now.

    """

    in_flight_max: ClassVar[int] = 1024  # appends that wait for the disk at once

    def __init__(self, path: Path, reopen_s: float = 1.0) -> None:
        self.path: Final = path
        self.reopen_s: Final = reopen_s
        self.synced = 0  # records that are known to be in the file
        self.handed_out = False  # what the file held when it was opened
        self.failure: Exception | None = None  # why it takes no appends
        self.reopen_at = -math.inf  # the reading of the clock from which on an append may open it again

    async def started(self) -> None:
        """Open the log.

        Raises:
            LogError: it is damaged, or no log.
            OSError: it cannot be opened.

        """
        await self._open()

    async def stopped(self, reason: histrio.Reason) -> None:
        """Close the log."""
        await self.log.close()

    @histrio.handler(Append)
    async def append(self, m: Append) -> None:
        if len(m.payload) > LOG_PAYLOAD_BYTES_MAX:
            raise WriteRefused(f"key and value take {len(m.payload)} bytes, and {LOG_PAYLOAD_BYTES_MAX} is the most")
        if self.failure is not None:
            await self._reopen()
        log = self.log
        try:
            await self.io(log.append, m.payload)
        except histrio.DiskFailed as error:
            if error.errno not in FULL:
                raise
            if log is self.log:  # and not one that has been opened meanwhile
                self._refuse_from_now(error)
            raise _refused(error) from error
        except trio.ClosedResourceError as error:  # a store that has been started again since had asked for it
            raise Unavailable("not written: the log has been read again since") from error
        if log is self.log:
            self.synced += 1

    @histrio.handler(Recover)
    async def recover(self, m: Recover) -> Recovered:
        if self.handed_out:
            await self.log.close()  # after the appends that are under way; what comes later is refused
            await self._open()
        self.handed_out = True
        return Recovered(self.path, self.log.take_recovered())

    @histrio.handler(LogStatus)
    async def status(self, m: LogStatus) -> LogHealth:
        return LogHealth(self.log.size, None if self.failure is None else str(self.failure))

    async def _open(self) -> None:
        self.log = await Log.open(self.io.disk, self.path)
        self.synced, self.failure = self.log.recovery.records, None

    def _refuse_from_now(self, error: Exception) -> None:
        self.failure = error
        self.reopen_at = self.io.clock.now() + self.reopen_s

    async def _reopen(self) -> None:
        """Open the log again, to see whether there is room now.

        Raises:
            OSError: the disk is broken, too.
            WriteRefused: it is too early, another append is at it, the disk is still full, or this is not the log any
                more that it was.

        """
        assert self.failure is not None
        if self.io.clock.now() < self.reopen_at:
            raise _refused(self.failure) from self.failure
        self.reopen_at = math.inf  # one at a time
        acknowledged = self.synced
        try:
            await self._open()
        except (OSError, LogError) as error:
            if isinstance(error, OSError) and error.errno not in FULL:
                raise
            self._refuse_from_now(error)
            raise _refused(error) from error
        self.log.take_recovered()  # the store has it
        if self.synced != acknowledged:
            text = f"it holds {self.synced} records, and {acknowledged} were acknowledged; who has changed it?"
            self.synced = acknowledged
            self._refuse_from_now(LogFormat(self.path, 0, text))
            raise _refused(self.failure)


def _refused(error: Exception) -> WriteRefused:
    return WriteRefused(f"not written: {error}")
