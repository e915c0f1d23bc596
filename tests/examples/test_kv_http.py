"""The service on HTTP: what each request is answered with, and that no client can do it harm."""

import errno
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import h11
import httpx
import pytest
import trio
import trio.testing
from examples.kv_service.client import Client, Reply
from examples.kv_service.data import spawn_store
from examples.kv_service.messages import Health, Read, Status, Write
from hypothesis import given
from hypothesis import strategies as st
from tests.examples.serving import front_of, service
from tests.examples.test_kv_store import LOG, Gated, fail_from_now
from tests.kernel.planted import Planted

import histrio
from histrio_kernel.real import RealDisk, RealDriver

KIB_64 = 64 * 1024
COMMAND_LINE = 'expected Write "key" 1 or Read "key"'


@asynccontextmanager
async def serving(calls: Planted | None = None) -> AsyncGenerator[Client]:
    """A client of a service in this process, on a disk in memory."""
    async with (
        RealDriver(disk=RealDisk(calls or Planted())) as driver,
        histrio.open_system(driver=driver) as system,
        front_of(system, await spawn_store(system, LOG)) as client,
    ):
        yield client


async def test_the_wire() -> None:
    """Write answers Ok, Read answers Result and the value, or Result Nothing."""
    async with serving() as client:
        assert await client.command('Write "x" 1') == Reply(200, "Ok")
        assert await client.command('Read "x"') == Reply(200, "Result 1")
        assert await client.command('Read "y"') == Reply(200, "Result Nothing")
        assert await client.command('Write "x" -2') == Reply(200, "Ok")
        assert await client.command('Read "\\u0078"\n') == Reply(200, "Result -2")


async def test_a_body_of_64_kib_may_be_one_number() -> None:
    """The longest value that a body can carry is written and read back."""
    digits = "9" * (KIB_64 - len('Write "x" '))
    async with serving() as client:
        assert await client.command(f'Write "x" {digits}') == Reply(200, "Ok")
        assert await client.command('Read "x"') == Reply(200, f"Result {digits}")


async def test_a_body_of_64_kib_may_be_one_key() -> None:
    """The longest key that a body can carry is found again."""
    key = json.dumps("k" * (KIB_64 - len('Write "" 1')))
    async with serving() as client:
        assert await client.command(f"Write {key} 1") == Reply(200, "Ok")
        assert await client.command(f"Read {key}") == Reply(200, "Result 1")


async def test_the_pages() -> None:
    """GET /tree draws the actors, /health tells how the store is, / tells what can be asked."""
    async with serving() as client:
        await client.command('Write "x" 1')
        tree = await client.request("GET", "/tree")
        health = await client.request("GET", "/health")
        usage = await client.request("GET", "/")

    assert tree.status == health.status == usage.status == 200
    assert "├─ log  LogFile  running" in tree.text
    assert "└─ store  Store  running" in tree.text
    assert "└─ front  Front  running" in tree.text
    assert health.text.splitlines()[:2] == ["ok", "keys 1"]
    assert 'Write "key" 1' in usage.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("POST", "/nowhere", 404), ("PUT", "/", 405), ("POST", "/tree", 405)],
)
async def test_other_requests(method: str, path: str, status: int) -> None:
    """What is not there is 404, what is not meant so is 405, also with a body that nobody wants."""
    async with serving() as client:
        assert (await client.request(method, path, b"x" * KIB_64)).status == status
        assert (await client.command('Read "x"')).status == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", COMMAND_LINE),
        ("Drop", COMMAND_LINE),
        ('Read "x" 1', "nothing after the key"),
        ('Write "x"', "whole number"),
    ],
)
async def test_a_malformed_command_is_400(body: str, expected: str) -> None:
    """What is no command is answered 400, with one line that says what was expected."""
    async with serving() as client:
        reply = await client.command(body)

    assert reply.status == 400
    assert expected in reply.text
    assert len(reply.text.splitlines()) == 1


async def test_a_body_over_64_kib_is_413() -> None:
    """One byte too many is refused, and the service goes on."""
    async with serving() as client:
        reply = await client.request("POST", "/", b'Read "' + b"x" * (KIB_64 - 5))
        assert reply == Reply(413, "expected a body of at most 65536 bytes")
        assert (await client.command('Read "x"')).status == 200


async def endless(stream: trio.SocketStream) -> None:
    """Send chunks until the other side has closed."""
    await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    while True:
        await stream.send_all(chunk)


async def answer_on(stream: trio.SocketStream) -> Reply:
    """The first answer on a raw connection; informational ones do not count."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Transfer-Encoding", "chunked")]))
    status, body = 0, b""
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some(4096))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
    return Reply(status, body.decode().strip())


async def test_a_body_without_end_is_413() -> None:
    """Who sends chunks for ever gets the answer while still sending, and is cut off. Real time: 2 s of lingering."""
    async with serving() as client, await trio.open_tcp_stream("127.0.0.1", client.port) as stream:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_broken, stream)
            reply = await answer_on(stream)
        assert (await client.command('Read "x"')).status == 200

    assert reply == Reply(413, "expected a body of at most 65536 bytes")


async def _until_broken(stream: trio.SocketStream) -> None:
    with pytest.raises(trio.BrokenResourceError):
        await endless(stream)


class Busy(histrio.Actor[Write | Read | Status]):
    """Takes one message and is never done with it."""

    inbox_max = 1

    def __init__(self, free: trio.Event) -> None:
        self.free = free

    async def receive(self, message: Write | Read | Status) -> Health | None:
        await self.free.wait()
        return Health(0, 0, None) if isinstance(message, Status) else None


@pytest.mark.parametrize(("method", "path", "body"), [("POST", "/", 'Read "x"'), ("POST", "/", 'Write "x" 1')])
async def test_a_full_inbox_is_503(method: str, path: str, body: str) -> None:
    """When the store's inbox is full the client is told when to come again, and nothing waits."""
    free = trio.Event()
    async with histrio.open_system() as system:
        store = await system.spawn(Busy, free, name="store")
        async with front_of(system, store) as client, trio.open_nursery() as nursery:
            await store.tell(Status())
            await trio.testing.wait_all_tasks_blocked()
            await store.tell(Status())
            async with httpx.AsyncClient() as other:
                reply = await other.request(method, f"http://127.0.0.1:{client.port}{path}", content=body)
            health = await client.request("GET", "/health")
            free.set()
            nursery.start_soon(client.command, body)

    assert reply.status_code == health.status == 503
    assert reply.headers["Retry-After"] == "1"
    assert len(reply.text.splitlines()) == 1
    assert "/store" in reply.text


async def test_a_full_disk_is_507_and_reads_go_on() -> None:
    """When the disk is full nothing is acknowledged and 507 says why; reads and /health go on."""
    calls = Planted()
    async with serving(calls) as client:
        await client.command('Write "x" 1')
        fail_from_now(calls, "pwrite", 1_000, errno.ENOSPC)
        refused = [await client.command('Write "x" 2') for _ in range(3)]
        read = await client.command('Read "x"')
        health = await client.request("GET", "/health")

    assert {reply.status for reply in refused} == {507}
    assert all("No space left on device" in reply.text and len(reply.text.splitlines()) == 1 for reply in refused)
    assert read == Reply(200, "Result 1")
    assert health.status == 200
    assert health.text.startswith("reads only: ")


async def test_a_stopped_store_is_503() -> None:
    """When the store has ended and the front has not, the client is told to come again."""
    async with histrio.open_system() as system:
        store = await system.spawn(Busy, trio.Event(), name="store")
        async with front_of(system, store) as client:
            store.control.kill()
            reply = await client.command('Read "x"')

    assert reply.status == 503


async def send_raw(port: int, data: bytes) -> None:
    """Send bytes and close at once."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(data)


async def test_a_write_whose_client_goes_away_is_carried_out() -> None:
    """A write that has come whole is durable and visible although its client has gone before the answer."""
    calls = Gated()
    async with serving(calls) as client:
        calls.gate.clear()
        await send_raw(client.port, b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nWrite "x" 1')
        await trio.testing.wait_all_tasks_blocked(0.05)
        calls.gate.set()
        await client.command('Write "y" 2')
        assert await client.command('Read "x"') == Reply(200, "Result 1")


async def test_a_write_that_has_not_come_whole_is_not_carried_out() -> None:
    """Of a request whose client goes away in the middle of the body nothing happens."""
    async with serving() as client:
        await send_raw(client.port, b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nWrite "x" 1')
        await trio.testing.wait_all_tasks_blocked(0.05)
        await client.command('Write "y" 2')
        assert await client.command('Read "x"') == Reply(200, "Result Nothing")


async def test_stopping_finishes_the_requests_that_are_here() -> None:
    """A write that waits for the disk when the system is stopped is answered; then nobody listens any more."""
    calls = Gated()
    replies: list[Reply] = []

    async def write(client: Client) -> None:
        replies.append(await client.command('Write "x" 1'))

    async with trio.open_nursery() as nursery, serving(calls) as client:
        await client.request("GET", "/health")
        calls.gate.clear()
        nursery.start_soon(write, other := Client("127.0.0.1", client.port))
        await trio.testing.wait_all_tasks_blocked(0.05)
        calls.gate.set()
    with pytest.raises(OSError, match="connect"):
        await other.command('Read "x"')

    assert replies == [Reply(200, "Ok")]


REQUEST_PARTS = st.sampled_from(
    [
        *(b"POST ", b"GET ", b"PRI ", b"/", b"*", b"/tree", b" HTTP/1.1", b" HTTP/2.0", b"\r\n", b"\r\n\r\n", b"\0"),
        *(b"Host: x\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n"),
        *(
            b"HTTP2-Settings: AAAA\r\n",
            b"Expect: 100-continue\r\n",
            b"Sec-WebSocket-Version: 13\r\n",
            b"5\r\nhello\r\n",
        ),
        *(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\0\0\0\4\0\0\0\0\0",
            b"0\r\n\r\n",
            b'Read "x"',
            b"\xff",
            b"x" * 20_000,
        ),
    ]
)


def test_no_bytes_harm_the_service(tmp_path: Path) -> None:
    """Whatever a client sends and however it leaves, the next client is answered."""
    with service(tmp_path / "data") as kv:

        @given(st.lists(REQUEST_PARTS | st.binary(max_size=20), max_size=12).map(b"".join))
        def any_bytes(data: bytes) -> None:
            async def main() -> None:
                await send_raw(kv.port, data)
                async with kv.client() as client:
                    assert await client.command('Read "x"') == Reply(200, "Result Nothing")

            trio.run(main)

        any_bytes()
        assert kv.process.poll() is None
        assert kv.said() == ""
