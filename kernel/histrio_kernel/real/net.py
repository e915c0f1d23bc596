"""Connections are Trio's own streams; a listener adds the address at which it can be reached."""

import socket
from typing import Final, cast, final

import trio

__all__ = ("RealListener", "RealNet")


@final
class RealListener(trio.abc.Listener[trio.SocketStream]):
    """A `Listener` on a socket; it is a Trio listener as well, so `trio.serve_listeners` takes it.

    Args:
        listener: a listener on a TCP socket.

    """

    __slots__ = ("_listener", "address")

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener: Final = listener
        name = cast("tuple[str, int]", listener.socket.getsockname()[:2])
        self.address: Final[tuple[str, int]] = name

    def __repr__(self) -> str:
        return f"<RealListener {self.address[0]} port {self.address[1]}>"

    async def accept(self) -> trio.SocketStream:
        """The next connection; `trio.ClosedResourceError` once this is closed."""
        return await self._listener.accept()

    async def aclose(self) -> None:
        """Stop listening; it is closed afterwards also if this is cancelled."""
        await self._listener.aclose()


@final
class RealNet:
    """A `Net` over the sockets of the operating system."""

    __slots__ = ()

    async def connect(self, host: str, port: int, /) -> trio.SocketStream:
        """A connection to *port* of *host*, to whichever of its addresses answers first."""
        return await trio.open_tcp_stream(host, port)

    async def listen(self, host: str, port: int, /) -> tuple[RealListener, ...]:
        """One listener for each address of *host*; port 0 lets the system choose.

        Raises:
            OSError: it cannot listen there; the text names *host* and *port*, and `__cause__` is the error as it came.

        """
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except socket.gaierror as error:
            raise socket.gaierror(error.errno, f"cannot listen on {host}: no such host ({error.strerror})") from error
        except OSError as error:
            text = f"cannot listen on {host} port {port}: {error.strerror or error}"
            raise OSError(error.errno, text) from error
        return tuple(RealListener(each) for each in listeners)
