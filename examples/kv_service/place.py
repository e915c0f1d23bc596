"""Where the service lives: a port and a data directory that nobody else uses, or one line that says why not."""

# Design note
# -----------
# The socket is bound and listens before anything else is touched, so a second service that is started by mistake ends
# here. Clients that come while the log is read wait in the socket's queue.
#
# Each connection inherits the options of the socket. One of them ends a connection whose client takes no answers any
# more: Hypercorn sends under a shield, so such a client would hold up the end of the service for ever.
#
# The directory is owned by whoever has a lock on a file in it. The operating system gives the lock back when the
# process ends, in whatever way; what is written in the file is only for people.

import contextlib
import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final, Self

import attrs

__all__ = ("NoPlace", "Place", "listen_at")

HOST: Final = "127.0.0.1"
BACKLOG: Final = 1024
STUCK_S: Final = 4.0  # seconds after which a client that reads nothing of what was sent to it is gone


class NoPlace(Exception):
    """The service cannot live there; the text is one line that says why, and what to do."""


@attrs.frozen
class Place:
    """A socket that listens, and a directory that is locked."""

    listener: socket.socket
    data: Path
    lock: IO[str]

    @classmethod
    def taken(cls, environment: Mapping[str, str]) -> Self:
        """Take the place that PORT (default 8080; 0: any free one) and DATA (default ./data) name.

        Raises:
            NoPlace: PORT is no port or in use, or DATA is no directory, not writable or in use.

        """
        listener = listen_at(environment)
        try:
            data = Path(environment.get("DATA") or "data").absolute()
            return cls(listener, data, _lock(data))
        except BaseException:
            listener.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give both back."""
        self.listener.close()
        self.lock.close()

    @property
    def log(self) -> Path:
        """The file of the store."""
        return self.data / "kv.log"


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65_535):
        raise NoPlace(f"PORT is {text!r}; set it to a number from 0 to 65535")
    return int(text)


def listen_at(environment: Mapping[str, str]) -> socket.socket:
    """A socket that listens at PORT.

    Raises:
        NoPlace: PORT is no port, or in use.

    """
    port = _port(environment.get("PORT") or "8080")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # take over from one that has just ended
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # of Linux
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STUCK_S * 1000))
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        hint = "stop whoever uses it, or set PORT to another port"
        raise NoPlace(f"cannot listen at {HOST}:{port}: {error.strerror}; {hint}") from error
    return listener


def _make_durably(directory: Path) -> None:
    """Make *directory* if it is not there; its name survives a power cut, or what is kept in it would not."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for each in missing or [directory]:  # an old one, too: who made it may have died before this step
        with contextlib.suppress(PermissionError):  # of an old one whose parent is not ours to read
            parent = os.open(each.parent, os.O_RDONLY)
            os.fsync(parent)
            os.close(parent)


def _lock(data: Path) -> IO[str]:
    """Make the directory *data* ours."""
    try:
        _make_durably(data)
        lock = open(data / "lock", "a+", encoding="ascii")  # noqa: SIM115 - it is held until the process ends
    except OSError as error:
        raise NoPlace(f"cannot use {data} for data: {error.strerror}; set DATA to a directory to write to") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with lock:
            lock.seek(0)
            owner = lock.read(20).strip() or "unknown"
        text = f"{data} belongs to another running service (process {owner})"
        raise NoPlace(f"{text}; stop that one, or set DATA to another directory") from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
