"""The store: one actor that keeps all keys and values in memory, and has each write logged before anybody hears of it."""

# Design note
# -----------
# The order is: append, apply, answer. The log answers when the record is synced, so an answered write survives a power
# cut; it is applied afterwards, so no reader ever sees a value that a power cut could take back.
#
# `await self.log.ask(...)` gives the turn away: while writes wait for the disk, reads are answered from memory at once.
#
# Writes of one key are applied in the order in which the log has them: appends are answered in that order, and handlers
# whose waits are over get their turn in the order in which the waits ended. So memory is always what a restart would
# read; and a store that fails, or is killed, loses nothing by it but the writes that nobody was told are safe.

from pathlib import Path
from typing import ClassVar, Final

import histrio
from examples.kv_service import wire
from examples.kv_service.messages import (
    STORE,
    Append,
    Health,
    LogMessage,
    LogStatus,
    Read,
    Recover,
    Status,
    StoreMessage,
    Unavailable,
    Write,
)
from histrio_kernel.log import LogFormat

__all__ = ("Store",)


class Store(histrio.Actor[StoreMessage]):
    """Keys and values, durable in *log*, whose only client it is. It is found under the key `STORE`."""

    in_flight_max: ClassVar[int] = 1024  # writes that wait for the log at once; at the bound reads wait, too

    def __init__(self, log: histrio.Ref[LogMessage]) -> None:
        self.log: Final = log
        self.values: Final[dict[str, int]] = {}

    async def started(self) -> None:
        """Read what the log holds.

        Raises:
            LogError: it is no log of this store.

        """
        found = await self.log.ask(Recover())
        for number, payload in enumerate(found.payloads, start=1):
            self._apply(_recovered(found.path, number, payload))
        self.system.registry.register(STORE, self.ref)

    @histrio.handler(Write)
    async def write(self, m: Write) -> None:
        try:
            await self.log.ask(Append(wire.show(m).encode()))
        except histrio.ActorStopped as error:  # our supervisor starts the log again, and then this actor
            raise Unavailable("the log has failed; whether this was written is not known") from error
        self._apply(m)

    @histrio.handler(Read)
    async def read(self, m: Read) -> int | None:
        return self.values.get(m.key)

    @histrio.handler(Status)
    async def status(self, m: Status) -> Health:
        try:
            log = await self.log.ask(LogStatus())
        except histrio.ActorStopped as error:
            raise Unavailable("the log has failed") from error
        return Health(len(self.values), log.size, log.refusing)

    def _apply(self, write: Write) -> None:
        """`write` is synced: from here on readers see it."""
        self.values[write.key] = write.value


def _recovered(path: Path, number: int, payload: bytes) -> Write:
    """The write that is the record *number* of the log."""
    try:
        command = wire.parse(payload)
    except wire.Malformed as error:
        raise LogFormat(path, 0, f"record {number} was not written by this store: {error}") from None
    if isinstance(command, Read):
        raise LogFormat(path, 0, f"record {number} was not written by this store: it is a Read")
    return command
