"""The service as a process: how it starts, how it refuses to, and how signals end it."""

import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import trio
from examples.kv_service.client import Client, Reply
from examples.kv_service.place import Place
from tests.examples.serving import Service, refused, service

# Real time and real signals, because a process is what is tested.


def test_it_says_where_it_is_and_ends_with_0(tmp_path: Path) -> None:
    """DATA is made if it is not there; SIGTERM ends the service in order, with exit code 0 and not a word."""
    data = tmp_path / "not" / "there"
    data.parent.mkdir()
    with service(data) as kv:
        assert (data / "kv.log").exists()
        assert kv.end(signal.SIGTERM) == 0
        assert kv.said() == ""


def test_the_names_of_new_directories_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E3: a log is as durable as the directories that lead to it, so each of them that is made is synced."""
    synced: list[int] = []

    def fsync(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    data = tmp_path / "a" / "b"
    for _ in range(2):
        with Place.taken({"PORT": "0", "DATA": str(data)}) as place:
            assert place.log == data / "kv.log"

    assert synced == [each.stat().st_ino for each in (tmp_path / "a", tmp_path, tmp_path / "a")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_under_load_loses_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """What was acknowledged before the service was stopped under load is there when it is started again."""
    acknowledged: dict[str, int] = {}

    async def write(client: Client, key: str) -> None:
        async with client:
            for value in range(10_000):
                try:
                    reply = await client.command(f'Write "{key}" {value}')
                except OSError:
                    return
                assert reply == Reply(200, "Ok")
                acknowledged[key] = value

    async def stopped_under_load(kv: Service) -> int:
        async with trio.open_nursery() as nursery:
            for name in range(16):
                nursery.start_soon(write, kv.client(), f"key {name}")
            await trio.sleep(0.3)
            began = time.monotonic()
            code = await trio.to_thread.run_sync(kv.end, number)
            assert time.monotonic() - began < 8, "it waited for clients that had nothing to ask any more"
            return code

    async def values(kv: Service) -> dict[str, int]:
        async with kv.client() as client:
            return {key: int((await client.command(f'Read "{key}"')).text.split()[1]) for key in acknowledged}

    with service(tmp_path / "data") as kv:
        assert trio.run(stopped_under_load, kv) == 0
    assert len(acknowledged) == 16
    with service(tmp_path / "data") as kv:
        found = trio.run(values, kv)

    assert all(found[key] >= acknowledged[key] for key in acknowledged)


def may_grow_to(kv: Service, size: int) -> None:
    """Change how long a file of the service may become."""
    _, hard = resource.prlimit(kv.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(kv.process.pid, resource.RLIMIT_FSIZE, (size, hard))


async def write_until(kv: Service, status: int) -> int:
    """Count up until a write is answered with that status; the value that was acknowledged last, which can be read."""
    acknowledged, reply = 0, Reply(0, "")
    async with kv.client() as client:
        for value in range(1, 1_000):
            reply = await client.command(f'Write "x" {value}')
            acknowledged = value if reply.status == 200 else acknowledged
            if reply.status == status:
                break
            await trio.sleep(0 if reply.status == 200 else 0.05)
    assert reply.status == status
    assert await read_x(kv) == Reply(200, f"Result {acknowledged}")
    return acknowledged


async def read_x(kv: Service) -> Reply:
    """What "x" is bound to."""
    async with kv.client() as client:
        return await client.command('Read "x"')


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process can be changed on Linux only")
def test_a_full_disk_refuses_writes_until_there_is_room(tmp_path: Path) -> None:
    """A file that may not grow is 507 and nothing acknowledged; reads go on; when it may, writes are taken again.

    Real time: the service tries once a second.
    """
    with service(tmp_path / "data") as kv:
        may_grow_to(kv, 4096)
        before = trio.run(write_until, kv, 507)
        may_grow_to(kv, 1_000_000)
        after = trio.run(write_until, kv, 200)
        assert kv.end(signal.SIGTERM) == 0
        assert kv.said() == ""
    with service(tmp_path / "data") as kv:
        assert trio.run(read_x, kv) == Reply(200, f"Result {after}")
    assert before > 50


def unfinished(kv: Service) -> socket.socket:
    """A connection with a request that has not come whole: it holds up an end in order for some seconds."""
    connection = socket.create_connection(("127.0.0.1", kv.port))
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nRead")
    return connection


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_now(number: signal.Signals, tmp_path: Path) -> None:
    """While the first signal lets a slow request finish, the second ends the process on the spot."""
    with service(tmp_path / "data") as kv, unfinished(kv) as connection:
        assert trio.run(_is_healthy, kv)  # so the request before is here, too
        kv.process.send_signal(number)
        wait_until_nobody_listens(kv)
        assert kv.process.poll() is None
        assert connection.fileno() >= 0
        assert kv.end(number) == 128 + number  # an end in order would be 0


async def _is_healthy(kv: Service) -> bool:
    async with kv.client() as client:
        return (await client.request("GET", "/health")).status == 200


def wait_until_nobody_listens(kv: Service) -> None:
    """The first step of an end in order."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", kv.port)).close()
        except OSError:
            return
        time.sleep(0.01)
    raise AssertionError("it still listens")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="ends such connections on Linux only")
def test_a_client_that_takes_no_answers_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Who asks and asks and never reads is cut off, and SIGTERM ends the service all the same."""
    with service(tmp_path / "data") as kv, socket.create_connection(("127.0.0.1", kv.port)) as connection:
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.sendall(b"GET /tree HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000_000)

        assert kv.end(signal.SIGTERM) == 0


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    """One line and exit code 2, and the data directory is not touched."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        end = refused(tmp_path / "data", port=port)

    assert (end.code, end.out) == (2, "")
    assert end.errors == (
        f"kv_service: cannot listen at 127.0.0.1:{port}: Address already in use;"
        " stop whoever uses it, or set PORT to another port\n"
    )
    assert not (tmp_path / "data").exists()


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    """One line and exit code 2; the service that owns the directory goes on, and when it is killed gives it back."""
    data = tmp_path / "data"
    with service(data) as kv:
        end = refused(data)
        assert trio.run(_is_healthy, kv)
        owner = kv.process.pid
    with service(data) as kv:
        assert trio.run(_is_healthy, kv)

    assert (end.code, end.out) == (2, "")
    assert end.errors == (
        f"kv_service: {data} belongs to another running service (process {owner});"
        " stop that one, or set DATA to another directory\n"
    )


@pytest.mark.parametrize("port", ["http", "-1", "65536", "1" * 5_000, "¹"])
def test_a_port_that_is_none_is_refused(port: str, tmp_path: Path) -> None:
    """One line that names PORT, and exit code 2."""
    end = refused(tmp_path / "data", environment={"PORT": port})

    assert (end.code, end.out) == (2, "")
    assert len(end.errors.splitlines()) == 1
    assert end.errors.startswith("kv_service: PORT is ")


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """One line that names it, and exit code 2; the file is left as it is."""
    data = tmp_path / "data"
    data.write_text("something of mine")
    end = refused(data)

    assert (end.code, end.out) == (2, "")
    assert len(end.errors.splitlines()) == 1
    assert str(data) in end.errors
    assert data.read_text() == "something of mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_log_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """One line that names the file, and exit code 2."""
    with service(tmp_path / "data") as kv:
        kv.end(signal.SIGTERM)
    (tmp_path / "data" / "kv.log").chmod(0)
    end = refused(tmp_path / "data")

    assert (end.code, len(end.errors.splitlines())) == (2, 1)
    assert "kv.log" in end.errors


def test_the_constant_server_answers_as_a_read_is_answered(tmp_path: Path) -> None:
    """The yardstick of the benchmarks is the same server: same bytes for the same request, and nothing kept."""
    with service(tmp_path / "data", "examples.kv_service.constant") as yardstick:
        assert trio.run(read_x, yardstick) == Reply(200, "Result 1")
