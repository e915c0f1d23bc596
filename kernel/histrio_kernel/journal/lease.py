"""Who owns a journal: one row that says which process, and until when; whoever takes it over counts its epoch up.

A write is right if it finds its own epoch in the transaction that it is part of. Clocks decide only who may ask.
"""

# Design note
# -----------
# The fence is the epoch, not the time: a process that was frozen for longer than its lease finds another epoch when it
# wakes up, in the transaction in which it would write, and writes nothing. So a wrong clock can make an owner lose its
# journal, or keep others waiting, and nothing worse.
#
# The time is the wall clock's, and never a driver's: the owner and who waits for its lease are two processes, perhaps
# of two machines, and the wall clock is the only one that they share. (An SQLite journal is not for simulations, which
# have no other process; there the logged one is used.)
#
# An owner that has died need not be waited for, if that is certain: it ran under the same boot of the same kernel, in the
# same space of process numbers, and there its number is free, belongs to a process that began at another time, or to one
# that is dead and not yet buried. Two containers on one machine see one boot and other numbers, hence their space.

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, final

import attrs

from histrio_kernel.journal.errors import JournalInUse, LeaseLost

__all__ = ["Lease", "Owner", "take"]

_PROC: Final = Path("/proc")
_DEAD: Final = frozenset({"Z", "X", "x"})
_STATE_AT, _STARTED_AT = 0, 19  # in what follows the name in /proc/PID/stat
_OPEN: Final[set[str]] = set()
"""Tokens of the leases that this process has and uses. One that is not here is left over from a journal that failed."""


@attrs.frozen
class Owner:
    """A process that owns a journal, or did.

    Attributes:
        epoch: how often the journal has been taken so far.
        host: the name of its machine; `boot`, which boot of it, and which space of process numbers; empty if unknown.
        pid: its number, and `started`, when it began, in ticks since that boot.
        token: of this lease, of which one process may have several.
        expires: until when it is the owner, in seconds since 1970.
    """

    epoch: int
    host: str
    boot: str
    pid: int
    started: str
    token: str
    expires: float

    def __str__(self) -> str:
        until = datetime.fromtimestamp(self.expires, UTC).isoformat(sep=" ", timespec="seconds")
        return f"process {self.pid} on {self.host}, until {until}"

    def is_gone(self) -> bool:
        """Whether it certainly does not use the journal any more, whatever its lease says."""
        if not self.token:
            return True
        if not self.boot or self.boot != _this_boot():
            return False
        if (self.pid, self.started) == (os.getpid(), _began(os.getpid())):
            return self.token not in _OPEN
        return _began(self.pid) != self.started


def _this_boot() -> str:
    """This boot and space of process numbers; empty where there is no telling."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    """When a process began; empty if there is none, or it is dead."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # its name, in brackets, may have anything in it
    return "" if fields[_STATE_AT] in _DEAD else fields[_STARTED_AT]


def take(connection: sqlite3.Connection, path: Path, lease_s: float) -> Lease:
    """Become the owner of a journal.

    Raises:
        JournalInUse: another process is, or this one already.
    """
    now = time.time()
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = _read(connection)
        if before.expires > now and not before.is_gone():
            who = "this process already" if before.token in _OPEN else str(before)
            raise JournalInUse(
                f"{path} belongs to {who}. It is free as soon as its owner closes it, or has not renewed its lease until then"
            )
        owner = Owner(
            before.epoch + 1, os.uname().nodename, _this_boot(), os.getpid(), _began(os.getpid()),
            secrets.token_hex(8), now + lease_s,
        )  # fmt: skip
        connection.execute(
            "UPDATE owner SET epoch = ?, host = ?, boot = ?, pid = ?, started = ?, token = ?, expires = ?",
            attrs.astuple(owner),
        )
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    _OPEN.add(owner.token)
    return Lease(path, owner, lease_s)


def _read(connection: sqlite3.Connection) -> Owner:
    row = connection.execute("SELECT epoch, host, boot, pid, started, token, expires FROM owner").fetchone()
    return Owner(*row)


@final
class Lease:
    """That this process owns a journal. Used by the one thread that writes to it.

    Attributes:
        renewed: the time of day when it was renewed last, as it is stored.
    """

    def __init__(self, path: Path, owner: Owner, lease_s: float) -> None:
        self._path: Final = path
        self._owner: Final = owner
        self._lease_s: Final = lease_s
        self.renewed = owner.expires - lease_s

    @property
    def epoch(self) -> int:
        """Which owner this is, counted from the first."""
        return self._owner.epoch

    @property
    def every_s(self) -> float:
        """How often it is to be renewed: a third of it, so that one renewal may come late."""
        return self._lease_s / 3

    @property
    def is_due(self) -> bool:
        """Whether it is time to renew it; also if the clock was set back."""
        return not 0 <= time.time() - self.renewed < self.every_s

    def hold(self, connection: sqlite3.Connection) -> float:
        """Look whether this is the owner still, in the transaction that is open, and renew the lease in it if that is due.

        What it returns is when it was renewed last, once that transaction is committed; the caller keeps it as `renewed`.

        Raises:
            LeaseLost: somebody else is.
        """
        now = _read(connection)
        if (now.epoch, now.token) != (self._owner.epoch, self._owner.token):
            raise LeaseLost(
                f"{self._path} belongs to {now} now. This process had it and did not renew its lease of"
                f" {self._lease_s:g} s in time, so it was taken for dead. Nothing was written. Stop, and start again when"
                " the other one has ended"
            )
        if not self.is_due:
            return self.renewed
        renewed = time.time()
        connection.execute("UPDATE owner SET expires = ?", (renewed + self._lease_s,))
        return renewed

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Let another process have it at once, if it is still ours; in a transaction of its own."""
        connection.execute(
            "UPDATE owner SET token = '', expires = 0 WHERE epoch = ? AND token = ?", (self.epoch, self._owner.token)
        )

    def forget(self) -> None:
        """This process does not use it any more, whether it could give it back or not."""
        _OPEN.discard(self._owner.token)
