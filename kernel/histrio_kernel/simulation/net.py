"""The network of a simulated world: names of hosts, ports, and connections between them (D4)."""

# Design note
# -----------
# A listener on the loopback address is reached from its own host only, as in reality: that a server listens on
# "127.0.0.1" and is looked for from elsewhere is a mistake that is made. The queue of connections that wait to be
# accepted has no bound.

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from functools import partial
from typing import Final, final

import trio
from trio.lowlevel import ParkingLot

from histrio_kernel.simulation.links import Life, Links
from histrio_kernel.simulation.streams import OneAtATime, SimStream, Tcp

__all__ = ("Network", "SimListener", "SimNet")

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
EVERYWHERE: Final = ("0.0.0.0", "::", "")
_FIRST_PORT: Final = 49_152
"""The first port that port 0 stands for."""
_LAST_PORT: Final = 65_535


@final
class SimListener(trio.abc.Listener[SimStream]):
    """A `Listener`; a Trio listener as well, so `trio.serve_listeners` takes it.

    Args:
        network: that it is in.
        life: of its host.
        address: where it listens.
        loopback: whether only its own host reaches it.
    """

    def __init__(self, network: Network, life: Life, address: tuple[str, int], *, loopback: bool) -> None:
        self.address: Final[tuple[str, int]] = address
        self.loopback: Final = loopback
        self.life: Final = life
        self._network: Final = network
        self._waiting: Final[deque[SimStream]] = deque()
        self._lot: Final = ParkingLot()
        self._accepting: Final = OneAtATime("accepting")
        self._closed = False
        network.links.watch(self, self._links_changed)

    def __repr__(self) -> str:
        return f"<SimListener {self.address[0]} port {self.address[1]}>"

    async def accept(self) -> SimStream:
        """The next connection; `trio.ClosedResourceError` once this is closed. Cancellation loses none."""
        with self._accepting():
            await trio.lowlevel.checkpoint()
            while not self._may_accept():
                await self._lot.park()
            return self._waiting.popleft()

    async def aclose(self) -> None:
        """Stop listening; who has not been accepted is reset. It is closed afterwards also if this is cancelled."""
        if not self._closed:
            self._closed = True
            self._network.unbind(self)
            for stream in self._waiting:
                stream.close(reset=True)
            self._waiting.clear()
            self._lot.unpark_all()
        await trio.lowlevel.checkpoint()

    def offer(self, stream: SimStream) -> None:
        """Somebody has connected."""
        self._waiting.append(stream)
        self._lot.unpark_all()

    def _may_accept(self) -> bool:
        self.life.check()
        if self._closed:
            raise trio.ClosedResourceError(f"nobody listens on {self.address[0]} port {self.address[1]} any more")
        return bool(self._waiting)

    def _links_changed(self) -> None:
        if self.life.cut is not None:
            self._network.unbind(self)
            self._lot.unpark_all()


@final
class Network:
    """The connections of one run.

    Args:
        links: what they go over.
        timeout_s: how long a connection waits for an answer over a way that is cut.
        window: how many bytes may be on their way or unread, in each direction of a connection.

    Attributes:
        links: where a test cuts and heals, crashes and restarts.
    """

    def __init__(self, links: Links, *, timeout_s: float = 10.0, window: int = 65_536) -> None:
        self.links: Final = links
        self.tcp: Final = Tcp(links, timeout_s, window)
        self._bound: Final[dict[tuple[str, int], SimListener]] = {}
        self._next_port: Final[dict[str, int]] = {}
        self._connections = 0

    def net(self, host: str) -> SimNet:
        """The network as one host sees it, until that host crashes; this gives power to a host that has none."""
        return SimNet(self, self.links.boot(host))

    def bind(self, life: Life, host: str, port: int) -> SimListener:
        """Listen at a port of a host; 0: at one that is free."""
        loopback = host in LOOPBACK
        chosen = port or self._free_port(life.host)
        if (life.host, chosen) in self._bound or not chosen:
            raise OSError(errno.EADDRINUSE, _cannot_listen(host, port, errno.EADDRINUSE))
        address = ("127.0.0.1" if loopback else life.host, chosen)
        listener = self._bound[life.host, chosen] = SimListener(self, life, address, loopback=loopback)
        return listener

    def unbind(self, listener: SimListener) -> None:
        """Nobody listens there any more."""
        self.links.unwatch(listener)
        key = (listener.life.host, listener.address[1])
        if self._bound.get(key) is listener:
            del self._bound[key]

    def stream(self, life: Life, host: str, port: int) -> SimStream:
        """The near end of a connection that begins."""
        self._connections += 1
        return SimStream(self.tcp, life, host, f"connection {self._connections}, {life.host} to {host}:{port}")

    def knock(self, where: str, port: int, client: SimStream) -> None:
        """Somebody asks for a connection; called where that arrives. *where* is what the asker calls it."""
        host = client.peer_host
        listener = self._bound.get((host, port))
        if listener is None or (listener.loopback and client.host != host):
            client.refuse(f"cannot connect to {where}: nobody listens there")
            return
        server = SimStream(self.tcp, listener.life, client.host, client.name)
        server.join(client)
        listener.offer(server)

    def _free_port(self, host: str) -> int:
        """A port that nobody listens at and that was not chosen before; 0 if there is none."""
        first = self._next_port.get(host, _FIRST_PORT)
        free = next((port for port in range(first, _LAST_PORT + 1) if (host, port) not in self._bound), 0)
        self._next_port[host] = free + 1 if free else _LAST_PORT + 1
        return free


@final
class SimNet:
    """A `Net`: the network as one host sees it. Hosts are called by their names; "localhost" is the own one.

    Args:
        network: of the run.
        life: of the host.
    """

    __slots__ = ("_life", "_network")

    def __init__(self, network: Network, life: Life) -> None:
        self._network: Final = network
        self._life: Final = life

    async def connect(self, host: str, port: int, /) -> SimStream:
        """A connection to *port* of *host*.

        Raises:
            ConnectionRefusedError: nobody listens there.
            TimeoutError: the host has not answered.
            socket.gaierror: no host has that name.
            PowerCut: the own host has crashed.
        """
        _check_port(port)
        await trio.lowlevel.checkpoint()
        self._life.check()
        client = self._network.stream(self._life, self._resolve(host, port), port)
        client.dial(partial(self._network.knock, f"{host}:{port}", port))
        try:
            await client.wait_until_established()
        except BaseException:
            client.close(reset=True)
            raise
        return client

    async def listen(self, host: str, port: int, /) -> tuple[SimListener, ...]:
        """One listener, at *port* of the own host: at its name for all, at a loopback address for itself.

        Raises:
            OSError: it names *host* and *port*; its `errno` is `EADDRINUSE` if somebody listens there already,
                `EADDRNOTAVAIL` if that is the name of another host.
            PowerCut: the own host has crashed.
        """
        _check_port(port)
        await trio.lowlevel.checkpoint()
        self._life.check()
        if host not in (self._life.host, *LOOPBACK, *EVERYWHERE):
            if host not in self._network.links.hosts:
                raise self._no_such_host(f"cannot listen on {host} port {port}", host)
            raise OSError(errno.EADDRNOTAVAIL, _cannot_listen(host, port, errno.EADDRNOTAVAIL))
        return (self._network.bind(self._life, host, port),)

    def _resolve(self, host: str, port: int) -> str:
        if host in (*LOOPBACK, *EVERYWHERE):
            return self._life.host
        if host not in self._network.links.hosts:
            raise self._no_such_host(f"cannot connect to {host}:{port}", host)
        return host

    def _no_such_host(self, what: str, host: str) -> socket.gaierror:
        hosts = ", ".join(self._network.links.hosts)
        return socket.gaierror(socket.EAI_NONAME, f"{what}: no host is called {host!r} in this simulation, but {hosts}")


def _check_port(port: int) -> None:
    if not 0 <= port <= _LAST_PORT:
        raise OverflowError(f"port must be 0-{_LAST_PORT}, not {port}")


def _cannot_listen(host: str, port: int, number: int) -> str:
    return f"cannot listen on {host} port {port}: {os.strerror(number)}"
