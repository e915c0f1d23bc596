"""A client of the service: one connection that is opened when it is needed and kept; one command at a time."""

from typing import Final

import attrs
import h11
import trio

__all__ = ("Client", "Reply")

READ_BYTES: int = 64 * 1024


@attrs.frozen
class Reply:
    """What the service answered: the HTTP status, and the text without its line end."""

    status: int
    text: str


class Client:
    """Talks to the service at *host* and *port*. `async with Client(...) as client` closes it at the end."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self.port: Final = port
        self._stream: trio.SocketStream | None = None
        self._http = h11.Connection(h11.CLIENT)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection, if there is one; the next command opens another."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with trio.move_on_after(0):
                await stream.aclose()

    async def command(self, text: str) -> Reply:
        """Send a command of the wire and wait for its answer; `POST /`.

        Raises:
            OSError: the service is not there, or the connection broke; the command may or may not have been carried
                out. Cancelled, the same holds.

        """
        return await self.request("POST", "/", text.encode())

    async def request(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Make any request; see `command`."""
        try:
            stream = self._stream or await self._connect()
            await stream.send_all(self._encode(method, path, body))
            reply = await self._receive(stream)
        except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
            await self.aclose()
            raise ConnectionError(f"the connection to {self._host}:{self.port} broke: {error}") from error
        except BaseException:
            await self.aclose()
            raise
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            await self.aclose()
        return reply

    async def _connect(self) -> trio.SocketStream:
        self._http = h11.Connection(h11.CLIENT)
        self._stream = await trio.open_tcp_stream(self._host, self.port)
        return self._stream

    def _encode(self, method: str, path: str, body: bytes) -> bytes:
        headers = [("Host", f"{self._host}:{self.port}"), ("Content-Length", str(len(body)))]
        events = (h11.Request(method=method, target=path, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        return b"".join([self._http.send(event) or b"" for event in events])

    async def _receive(self, stream: trio.SocketStream) -> Reply:
        status, body = 0, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await stream.receive_some(READ_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Reply(status, body.decode().removesuffix("\n"))
