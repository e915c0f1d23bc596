"""Connections of a simulated network: bytes arrive in order and whole, or the connection breaks (D4).

Invariant: a byte is in exactly one place: with the sender, on the line, in the inbox of the receiver, or lost with the
connection.
"""

# Design note
# -----------
# What real TCP does and programs get wrong is here: a segment may come in two parts; who closes with bytes unread
# resets the connection, and the peer may lose what it was sent; a peer that loses its power says nothing, so whoever
# only reads waits for ever (there is no keepalive, as by default), and whoever sends to it once it is back is reset.
#
# An acknowledgement is no packet: what arrives is acknowledged at once if the way back is whole, else when it is. That
# halves the steps, and a program cannot tell. What makes room in the sender's window is a packet, since that lets a
# program go on: half a window at a time, so there is always some on its way while the sender has none.
#
# A connection gives up when it is owed an answer over a way that is cut, for `timeout_s` together. Its alarm exists
# only then; else every run with a connection would have a deadline, and the clock one more choice at every step.

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from operator import index
from typing import Final, final

import attrs
import trio
from trio.lowlevel import ParkingLot

from histrio_kernel.simulation.alarms import alarm
from histrio_kernel.simulation.links import Life, Line, Links

__all__ = ("OneAtATime", "SimStream", "Tcp")

SEGMENT_MAX: Final = 16_384
"""Bytes of one segment."""


@attrs.frozen
class Tcp:
    """How the connections of one run are.

    Attributes:
        links: what they go over.
        timeout_s: how long they wait for an answer over a way that is cut.
        window: how many bytes may be on their way or unread, in each direction.
    """

    links: Links
    timeout_s: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    window: int = attrs.field(default=65_536, validator=attrs.validators.ge(1))


@final
class OneAtATime:
    """Something that one task may do at a time."""

    __slots__ = ("_what", "held")

    def __init__(self, what: str) -> None:
        self._what: Final = what
        self.held = False

    @contextmanager
    def __call__(self) -> Generator[None]:
        """Do it.

        Raises:
            trio.BusyResourceError: another task does it.
        """
        if self.held:
            raise trio.BusyResourceError(f"another task is {self._what} already")
        self.held = True
        try:
            yield
        finally:
            self.held = False


@final
class SimStream(trio.abc.HalfCloseableStream):
    """One end of a connection; a `Stream` of Trio as well as of the driver.

    Args:
        tcp: how it behaves.
        life: of the host that it is on.
        peer_host: the host of the other end.
        name: of the connection, the same at both ends.
    """

    def __init__(self, tcp: Tcp, life: Life, peer_host: str, name: str) -> None:
        self.host: Final = life.host
        self.peer_host: Final = peer_host
        self.name: Final = name
        self._tcp: Final = tcp
        self._life: Final = life
        self._line: Final = Line(tcp.links, life.host, peer_host, keeps=True)
        self._peer: SimStream | None = None
        self._inbox: Final = bytearray()
        self._readers: Final = ParkingLot()
        self._writers: Final = ParkingLot()
        self._sending: Final = OneAtATime(f"sending to {peer_host}")
        self._receiving: Final = OneAtATime(f"receiving from {peer_host}")
        self._established = False
        self._peer_ended = False
        self._ended = False
        self._closed = False
        self._broken: OSError | None = None
        self._room = tcp.window  # bytes that the peer takes still
        self._read = 0  # bytes whose room the peer has not been told of
        self._on_the_way = 0  # packets that the peer will acknowledge
        self._owed = False  # whether something has arrived, and its acknowledgement has not come back
        self._alarm: trio.CancelScope | None = None
        tcp.links.watch(self, self._links_changed)

    def __repr__(self) -> str:
        return f"<SimStream {self.name}, the end of {self.host}>"

    # -- for users ---------------------------------------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of *data*; waits while the peer's window is full.

        Raises:
            trio.BrokenResourceError: the peer has reset the connection, or has not answered for too long.
            trio.BusyResourceError: another task sends.
            trio.ClosedResourceError: this end is closed, or its sending side is.
        """
        with self._sending():
            rest = memoryview(bytes(data))
            await trio.lowlevel.checkpoint()
            self._check_sender()
            while rest:
                await self._wait_for_room()
                rest = rest[self._send_segment(rest) :]

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the peer's window has room, or the connection is broken."""
        with self._sending():
            await trio.lowlevel.checkpoint()
            await self._wait_for_room()

    async def send_eof(self) -> None:
        """End this side; the peer's goes on. A second time it does nothing."""
        with self._sending():
            await trio.lowlevel.checkpoint()
            if self._closed or not self._ended:
                self._check_sender()
                self._end()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes, at least one; none when the peer has ended its side.

        Raises:
            trio.BrokenResourceError: the peer has reset the connection, or has not answered for too long.
            trio.BusyResourceError: another task receives.
            trio.ClosedResourceError: this end is closed.
        """
        most = self._tcp.window if max_bytes is None else index(max_bytes)
        if most < 1:
            raise ValueError(f"max_bytes is {max_bytes}; it must be at least 1")
        with self._receiving():
            await trio.lowlevel.checkpoint()
            while not self._may_receive():
                await self._readers.park()
            return self._take(most)

    async def aclose(self) -> None:
        """Close this end: what was sent arrives still. With bytes unread, the connection is reset instead."""
        self.close()
        await trio.lowlevel.checkpoint()

    # -- a connection begins and ends ----------------------------------------------------------------------------------

    def dial(self, knock: Callable[[SimStream], None]) -> None:
        """Ask the peer for a connection: `knock` is called with this end where it arrives."""
        self._launch(f"{self.name}: {self.host} connects", partial(knock, self))

    async def wait_until_established(self) -> None:
        """Wait for the peer's answer; `OSError` if it is no, or does not come."""
        while not self._established:
            self._life.check()
            if self._broken is not None:
                raise self._broken
            await self._readers.park()

    def join(self, peer: SimStream) -> None:
        """This end answers one that has knocked."""
        self._peer, peer._peer = peer, self
        self._established = True
        self._launch(f"{self.name}: {self.host} answers", peer._answer_came)

    def refuse(self, text: str) -> None:
        """Answer somebody who has knocked that nobody is here."""
        line = Line(self._tcp.links, self.peer_host, self.host, keeps=True)
        error = OSError(errno.ECONNREFUSED, text)
        line.put(f"{self.name}: {self.peer_host} refuses", partial(self._reset_came, error))

    def close(self, *, reset: bool = False) -> None:
        """Close this end at once; what was sent arrives still, unless the connection is reset."""
        if self._closed:
            return
        self._closed = True
        if self._life.cut is None and self._broken is None:
            if reset or self._inbox or not self._established:
                self._reset_peer()
            elif not self._ended:
                self._end()
        self._wake()
        self._forget_if_over()

    # -- sending -------------------------------------------------------------------------------------------------------

    def _check_sender(self) -> None:
        self._life.check()
        if self._closed or self._ended:
            raise trio.ClosedResourceError(f"{self.name}: {self.host} has ended its side")
        self._check_whole()

    def _check_whole(self) -> None:
        if self._broken is not None:
            raise trio.BrokenResourceError(self._broken.strerror) from self._broken

    async def _wait_for_room(self) -> None:
        self._check_sender()
        while not self._room:
            self._watch()
            await self._writers.park()
            self._check_sender()

    def _send_segment(self, rest: memoryview) -> int:
        """Send as much as there is room for, in one part or two; how much that is."""
        size = min(len(rest), self._room, SEGMENT_MAX)
        self._room -= size
        cut = self._cut(size)
        for part in (rest[:cut], rest[cut:size]):
            if part:
                what = f"{self.name}: {len(part)} bytes from {self.host}"
                self._launch(what, partial(self._other.take_bytes, bytes(part)))
        return size

    def _cut(self, size: int) -> int:
        """Where a segment is split: nowhere, after its first byte, in the middle, or before its last."""
        places = [size, *dict.fromkeys((1, size // 2, size - 1))] if size > 1 else [size]
        if not self._tcp.links.faults.split:
            return size
        return places[self._tcp.links.simulation.decide(len(places), f"{self.name}: bytes come in two parts")]

    def _end(self) -> None:
        self._ended = True
        self._launch(f"{self.name}: {self.host} ends", self._other.take_end)

    def _launch(self, label: str, deliver: Callable[[], None]) -> None:
        """Send what the peer will acknowledge."""
        self._on_the_way += 1
        delay_s = self._tcp.links.delay(self.host, self.peer_host, label)
        self._line.put(label, partial(self._arrived, deliver), delay_s=delay_s)
        self._watch()

    def _arrived(self, deliver: Callable[[], None]) -> None:
        self._on_the_way -= 1
        self._owed = not self._tcp.links.is_open(self.peer_host, self.host)
        deliver()
        self._forget_if_over()

    @property
    def _other(self) -> SimStream:
        assert self._peer is not None, "established first"
        return self._peer

    # -- receiving -----------------------------------------------------------------------------------------------------

    def _may_receive(self) -> bool:
        """Whether there is an answer for who receives; raises if that is an error."""
        self._life.check()
        if self._closed:
            raise trio.ClosedResourceError(f"{self.name}: {self.host} has closed it")
        if not self._inbox:
            self._check_whole()
        return bool(self._inbox) or self._peer_ended

    def _take(self, most: int) -> bytes:
        data = bytes(self._inbox[:most])
        del self._inbox[:most]
        self._read += len(data)
        if self._read * 2 >= self._tcp.window and not self._peer_ended and self._broken is None:
            what = f"{self.name}: {self.host} has room for more"
            self._line.put(what, partial(self._other.take_room, self._read))
            self._read = 0
        return data

    # -- what comes over the line; in no task --------------------------------------------------------------------------

    def _answer_came(self) -> None:
        self._established = not self._closed
        self._readers.unpark_all()

    def take_bytes(self, data: bytes) -> None:
        """Bytes have come."""
        if self._life.cut is not None or self._closed or self._broken is not None:
            self._reset_peer()
        else:
            self._inbox.extend(data)
            self._readers.unpark_all()

    def take_end(self) -> None:
        """The peer will send no more."""
        if self._life.cut is not None:
            self._reset_peer()
        self._peer_ended = True
        self._readers.unpark_all()

    def take_room(self, size: int) -> None:
        """The peer has read so many bytes."""
        self._room += size
        self._writers.unpark_all()

    def _reset_peer(self) -> None:
        """Tell the peer that there is no connection any more; nothing else that was sent arrives."""
        self._drop_line()
        if self._peer is not None:
            error = OSError(errno.ECONNRESET, f"{self.name}: {self.host} has reset the connection")
            self._line.put(f"{self.name}: {self.host} resets", partial(self._peer._reset_came, error))

    def _reset_came(self, error: OSError) -> None:
        if self._life.cut is None:
            self._break(error)

    # -- a connection that gets no answer ------------------------------------------------------------------------------

    def _is_whole(self) -> bool:
        links = self._tcp.links
        return links.is_open(self.host, self.peer_host) and links.is_open(self.peer_host, self.host)

    def _links_changed(self) -> None:
        if self._life.cut is not None:
            self._drop_line()
            self._wake()
            self._forget_if_over()
        elif self._is_whole():
            self._owed = False
            self._disarm()
            self._forget_if_over()
        else:
            self._watch()

    def _watch(self) -> None:
        """Begin to lose patience, if an answer is owed that cannot come."""
        if self._alarm is None and self._broken is None and self._waits() and not self._is_whole():
            at = self._tcp.links.simulation.clock.now + self._tcp.timeout_s
            self._alarm = alarm(at, f"{self.name}: {self.host} waits for an answer", self._give_up)

    def _waits(self) -> bool:
        """Whether the peer owes an answer; a full window is asked about as long as somebody has more to send."""
        return bool(self._on_the_way) or self._owed or (self._sending.held and not self._room)

    def _give_up(self) -> None:
        self._alarm = None
        if not self._waits():
            return
        text = f"{self.name}: {self.peer_host} has not answered {self.host} for {self._tcp.timeout_s:g} s"
        self._break(OSError(errno.ETIMEDOUT, text))

    def _break(self, error: OSError) -> None:
        if self._broken is None:
            self._broken = error
        self._drop_line()
        self._wake()
        self._forget_if_over()

    def _drop_line(self) -> None:
        self._line.clear()
        self._on_the_way, self._owed = 0, False

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _wake(self) -> None:
        self._readers.unpark_all()
        self._writers.unpark_all()

    def _forget_if_over(self) -> None:
        """Look at the links no more, once nothing that happens to them makes a difference."""
        sent = self._closed and not self._on_the_way and not self._owed
        if sent or self._broken is not None or self._life.cut is not None:
            self._disarm()
            self._tcp.links.unwatch(self)
