"""The store: one actor that keeps all keys and values in memory, and every write in a log before anybody hears of it."""

# Design note
# -----------
# The order is: append, apply, answer. The append returns when the record is synced, so an answered write survives a
# power cut; it is applied afterwards, so no reader ever sees a value that a power cut could take back.
#
# `await self.io(log.append, ...)` gives the turn away: while one write waits for the disk, the actor takes further
# messages. Reads are answered from memory at once, and the writes that come meanwhile share the next fsync (group
# commit), so throughput grows with the number of writers although each waits for its own fsync.
#
# Writes of one key are applied in the order in which the log has them: appends end in that order, and handlers whose
# waits are over get their turn in the order in which the waits ended. So memory is always what a restart would read.
#
# When the disk fails, nothing of that group is acknowledged, and the log refuses appends until it is opened again,
# which cuts off what was never synced. Reads go on. Each `reopen_s` one write tries to open it; the others are refused
# at once, because opening reads the whole log. Opened again, it must hold as many records as were acknowledged: else
# somebody has changed the file behind our back, and appending to it would hide that until the next restart.
#
# The log only grows, and is read as a whole at the start. What it would take to shorten it (write what is in memory to
# a second log, and rename it over the first) is left out of this example.
#
# A log that cannot be opened at the start fails the actor: a store that does not know what it holds must not answer.

import math
from pathlib import Path
from typing import ClassVar, Final

import histrio
from examples.kv_service import wire
from examples.kv_service.messages import Health, Read, Status, Write, WriteRefused
from histrio import Log
from histrio_kernel.log import LOG_PAYLOAD_BYTES_MAX, LogError, LogFormat

__all__ = ("Store",)


class Store(histrio.Actor[Write | Read | Status]):
    """Keys and values, durable in the log at *path*, which is made if it is not there.

    Args:
        path: the log; this actor must be the only one that appends to it.
        reopen_s: seconds after a failure of the disk before the log is opened again.

    """

    in_flight_max: ClassVar[int] = 1024  # writes that wait for the disk at once; at the bound reads wait, too

    def __init__(self, path: Path, reopen_s: float = 1.0) -> None:
        self.path: Final = path
        self.reopen_s: Final = reopen_s
        self.values: Final[dict[str, int]] = {}
        self.acknowledged = 0  # records in the log that are known to be synced
        self.failure: Exception | None = None  # why the log takes no appends
        self.reopen_at = -math.inf  # the reading of the clock from which on one write may open it again

    async def started(self) -> None:
        """Read the log.

        Raises:
            LogError: it is damaged, or no log of this store.
            OSError: it cannot be opened.

        """
        self.log = await Log.open(self.io.disk, self.path)
        for number, payload in enumerate(self.log.take_recovered(), start=1):
            self._apply(_recovered(self.path, number, payload))

    async def stopped(self, reason: histrio.Reason) -> None:
        """Close the log."""
        await self.log.close()

    @histrio.handler(Write)
    async def write(self, m: Write) -> None:
        payload = wire.show(m).encode()
        if len(payload) > LOG_PAYLOAD_BYTES_MAX:
            raise WriteRefused(f"key and value take {len(payload)} bytes, and {LOG_PAYLOAD_BYTES_MAX} is the most")
        log = self.log if self.failure is None else await self._reopened()
        try:
            await self.io(log.append, payload)
        except histrio.DiskFailed as error:
            if log is self.log:  # and not one that another write has opened meanwhile
                self._close_for_writes(error)
            raise _refused(error) from error
        self._apply(m)

    @histrio.handler(Read)
    async def read(self, m: Read) -> int | None:
        return self.values.get(m.key)

    @histrio.handler(Status)
    async def status(self, m: Status) -> Health:
        return Health(len(self.values), self.log.size, None if self.failure is None else str(self.failure))

    def _apply(self, write: Write) -> None:
        """`write` is synced: from here on readers see it."""
        self.values[write.key] = write.value
        self.acknowledged += 1

    def _close_for_writes(self, error: Exception) -> None:
        self.failure = error
        self.reopen_at = self.io.clock.now() + self.reopen_s

    async def _reopened(self) -> Log:
        """The log, opened again after a failure.

        Raises:
            WriteRefused: it is too early, another write is at it, or the disk still fails.

        """
        assert self.failure is not None
        if self.io.clock.now() < self.reopen_at:
            raise _refused(self.failure) from self.failure
        self.reopen_at = math.inf  # one at a time
        try:
            log = await self.io(Log.open, self.io.disk, self.path)
        except (OSError, LogError) as error:
            self._close_for_writes(error)
            raise _refused(error) from error
        found = log.recovery.records
        if found != self.acknowledged:
            text = f"it holds {found} records, and {self.acknowledged} were acknowledged; who has changed it?"
            self._close_for_writes(LogFormat(self.path, 0, text))
            raise _refused(self.failure) from None
        log.take_recovered()  # memory has them
        self.log, self.failure = log, None
        return log


def _recovered(path: Path, number: int, payload: bytes) -> Write:
    """The write that is the record *number* of the log."""
    try:
        command = wire.parse(payload)
    except wire.Malformed as error:
        raise LogFormat(path, 0, f"record {number} was not written by this store: {error}") from None
    if isinstance(command, Read):
        raise LogFormat(path, 0, f"record {number} was not written by this store: it is a Read")
    return command


def _refused(error: Exception) -> WriteRefused:
    return WriteRefused(f"not written: {error}")
