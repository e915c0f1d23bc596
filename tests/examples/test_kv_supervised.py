"""The service as a supervised tree: what fails comes back from the log, and meanwhile HTTP answers 503."""

# Real time, because real sockets and processes are tested; the backoff of the service begins with 0.1 s.

import errno
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import attrs
import httpx
import pytest
import trio
from examples.kv_service.client import Client, Reply
from examples.kv_service.front import Address, Front
from examples.kv_service.log import LogFile
from examples.kv_service.messages import Write
from examples.kv_service.place import Place
from examples.kv_service.service import FRONT, served_at
from examples.kv_service.store import Store
from examples.kv_service.wire import parse
from tests.conftest import Show
from tests.effort import count
from tests.examples.kv_load import Load
from tests.examples.serving import ENDS_S, Service, service

import histrio
from histrio_kernel.log_format import scan
from histrio_kernel.real import RealDisk, RealDriver
from histrio_kernel.real.syscalls import Syscalls

M = TypeVar("M")

FAILING = "tests.examples.failing_service"
STORE_PATH, LOG_PATH = "/kv/data/store", "/kv/data/log"
BACK_S = 10.0  # seconds after which a service that should have come back has not
ANSWER_S = 10.0  # and a request that should have been answered hangs


class Faulty(Syscalls):
    """Real calls, of which the next so many of a name fail; and no file is opened while `shut` is."""

    def __init__(self) -> None:
        self.ahead = Counter[str]()
        self.shut = threading.Lock()
        self._lock = threading.Lock()

    def _enter(self, name: str) -> None:
        with self._lock:
            if self.ahead[name] > 0:
                self.ahead[name] -= 1
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    def open(self, path: str, flags: int) -> int:
        self._enter("open")
        with self.shut:
            return super().open(path, flags)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        self._enter("pwrite")
        return super().pwrite(fd, data, offset)

    def fsync(self, fd: int) -> None:
        self._enter("fsync")
        super().fsync(fd)


@attrs.frozen
class Served:
    """The service in this process."""

    system: histrio.System
    calls: Faulty
    place: Place
    port: int

    def client(self) -> Client:
        """One more client of it."""
        return Client("127.0.0.1", self.port)

    def node(self, path: str) -> histrio.Node:
        """What is to be seen of one of its actors."""
        return next(node for node in self.system.tree().walk() if node.path == path)

    async def is_away(self) -> None:
        """Wait until it answers 503."""
        async with self.client() as client:
            await until(client, 503)

    async def starts_again(self, path: str) -> None:
        """Wait until one of its actors is in its second incarnation, which may still be starting."""
        ref = self.system.find(LogFile, path)
        assert ref is not None
        with trio.fail_after(BACK_S):
            async for phase in ref.watch():
                if phase is histrio.Phase.STARTING:
                    return

    async def is_back(self) -> None:
        """Wait until it is well."""
        async with self.client() as client:
            await until(client, 200)


async def until(client: Client, status: int) -> Reply:
    """Wait until /health answers so."""
    with trio.fail_after(BACK_S):
        while (reply := await client.request("GET", "/health")).status != status:  # noqa: ASYNC110 - HTTP tells nobody
            await trio.sleep(0.005)
    return reply


@asynccontextmanager
async def served(data: Path) -> AsyncGenerator[Served]:
    """The service in this process, on real files and a real socket."""
    calls = Faulty()
    with Place.taken({"PORT": "0", "DATA": str(data)}) as place:
        async with RealDriver(disk=RealDisk(calls)) as driver, histrio.open_system("kv", driver=driver) as system:
            await system.spawn(served_at(place))
            front = system.find(Front, FRONT)
            assert front is not None
            url = await front.ask(Address())
            yield Served(system, calls, place, int(url.rpartition(":")[2]))


def logged(path: Path) -> dict[str, list[int]]:
    """The values that the log holds, by key, in order."""
    found: dict[str, list[int]] = {}
    for payload in scan(path, path.read_bytes()).payloads:
        command = parse(payload)
        assert isinstance(command, Write)
        found.setdefault(command.key, []).append(command.value)
    return found


def check_log(load: Load, path: Path) -> None:
    """The log holds every acknowledged write, each key's in order."""
    found = logged(path)
    for key, values in load.acknowledged.items():
        assert found[key] == sorted(found[key])
        assert values <= set(found[key]), key


def eio(name: str) -> Callable[[Served], None]:
    """The next such call of the disk fails."""

    def strike(kv: Served) -> None:
        kv.calls.ahead[name] = 1

    return strike


def kill(kind: type[histrio.Actor[M]], path: str) -> Callable[[Served], None]:
    """The actor there is killed."""

    def strike(kv: Served) -> None:
        ref = kv.system.find(kind, path)
        assert ref is not None
        ref.control.kill("by a test")

    return strike


FAULTS = {
    "EIO of a write": eio("pwrite"),
    "EIO of a sync": eio("fsync"),
    "the log is killed": kill(LogFile, LOG_PATH),
    "the store is killed": kill(Store, STORE_PATH),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_it_comes_back_under_load(fault: str, tmp_path: Path, show: Show) -> None:
    """64 writers and 8 readers meet a fault three times: Ok, a right value, or 503; and no connection breaks.

    Afterwards every acknowledged write is there, and HTTP was never started again.
    """
    chance = random.Random(fault)
    load = Load(ANSWER_S, pause_s=lambda: 0, retry_s=0.01)
    async with served(tmp_path / "data") as kv, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(kv.client()) for _ in range(count("kv_writers") + 8)]
        asks = [client.command for client in clients]
        async with load.running(asks[8:], asks[:8], chance.choice):
            for _ in range(3):
                await load.until_acknowledged(100)
                FAULTS[fault](kv)
                await kv.is_away()
                await kv.is_back()
        await load.check_all(asks[0])
        store, front = kv.node(STORE_PATH), kv.node(FRONT)
    check_log(load, kv.place.log)

    assert (store.incarnation, front.incarnation) == (4, 1)
    assert load.away > 0
    show(
        f"kv service, {fault}, 3 times under load: {load.total:,} writes acknowledged and there, {load.away} times 503"
    )


async def test_while_it_is_away_it_says_so(tmp_path: Path) -> None:
    """Every page is answered while the log cannot be opened: 503 with Retry-After and one line; /tree draws what is
    started again. Then the store is there again, with what was acknowledged.
    """
    async with served(tmp_path / "data") as kv, kv.client() as client, httpx.AsyncClient() as other:
        url = f"http://127.0.0.1:{kv.port}"
        await client.command('Write "x" 1')
        with kv.calls.shut:
            kv.calls.ahead["fsync"] = 1
            assert (await client.command('Write "x" 2')).status == 503
            await until(client, 503)
            await kv.starts_again(LOG_PATH)
            tree = await client.request("GET", "/tree")
            replies = [await other.get(f"{url}/health")]
            replies += [await other.post(url, content=body) for body in ('Read "x"', 'Write "x" 3')]
            malformed = await other.post(url, content="Read x")
        await until(client, 200)
        found = await client.command('Read "x"')

    assert tree.status == 200
    assert "log  LogFile  starting (" in tree.text.replace("  (", " (")
    assert "last failure: DiskFailed" in tree.text
    assert "front  Front  running" in tree.text
    assert {reply.status_code for reply in replies} == {503}
    assert {reply.headers["Retry-After"] for reply in replies} == {"1"}
    assert {len(reply.text.splitlines()) for reply in replies} == {1}
    assert all("started again" in reply.text for reply in replies)
    assert malformed.status_code == 400
    assert found == Reply(200, "Result 1")


async def test_the_port_stays_open_when_http_is_started_again(tmp_path: Path) -> None:
    """A front that is killed comes back at the same port; who comes meanwhile waits, and the store is not touched."""
    async with served(tmp_path / "data") as kv:
        async with kv.client() as client:
            await client.command('Write "x" 1')
        kill(Front, FRONT)(kv)
        async with kv.client() as client:
            with trio.fail_after(BACK_S):
                found = await client.command('Read "x"')
        front, store = kv.node(FRONT), kv.node(STORE_PATH)

    assert found == Reply(200, "Result 1")
    assert (front.incarnation, store.incarnation) == (2, 1)


async def test_data_that_is_given_up_once_is_made_anew(tmp_path: Path) -> None:
    """When the data's supervisor ends, another one takes its place, and the same HTTP serves from the new store."""
    async with served(tmp_path / "data") as kv, kv.client() as client:
        await client.command('Write "x" 1')
        kill(histrio.Supervisor, "/kv/data")(kv)
        await until(client, 200)
        found = await client.command('Read "x"')
        nodes = [kv.node(path) for path in ("/kv/data", STORE_PATH, FRONT)]

    assert found == Reply(200, "Result 1")
    assert [node.incarnation for node in nodes] == [2, 1, 1]


async def test_the_tree_names_every_actor(tmp_path: Path) -> None:
    """What is drawn at /tree is what the design says."""
    async with served(tmp_path / "data") as kv, kv.client() as client:
        drawn = (await client.request("GET", "/tree")).text

    assert [line.partition("running")[0] for line in drawn.splitlines()[1:]] == [
        "└─ kv  Supervisor  ",
        "   ├─ data  Supervisor  ",
        "   │  ├─ log  LogFile  ",
        "   │  └─ store  Store  ",
        "   └─ front  Front  ",
    ]


# -- the process -------------------------------------------------------------------------------------------------------


async def with_clients(kv: Service, load: Load, strike: Callable[[], Awaitable[None]]) -> None:
    """Put the service under load, and strike when it has acknowledged a hundred writes."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(kv.client()) for _ in range(count("kv_writers") + 4)]
        asks = [client.command for client in clients]
        async with load.running(asks[4:], asks[:4], random.Random(0).choice):
            await load.until_acknowledged(100)
            await strike()


async def wait_for(kv: Service, status: int) -> None:
    """Wait until /health answers so."""
    async with kv.client() as client:
        await until(client, status)


async def check_service(kv: Service, load: Load) -> None:
    """Every acknowledged write is there."""
    async with kv.client() as client:
        await load.check_all(client.command)


def test_a_disk_that_is_mended_in_time(tmp_path: Path) -> None:
    """The process goes on; its log tells of each failure; SIGTERM still ends it in order, with exit code 0."""
    data = tmp_path / "data"
    load = Load(ANSWER_S, pause_s=lambda: 0, retry_s=0.01)

    async def strike() -> None:
        (data / "broken").touch()
        await wait_for(kv, 503)
        (data / "broken").unlink()
        await wait_for(kv, 200)

    with service(data, FAILING) as kv:
        trio.run(with_clients, kv, load, strike)
        trio.run(check_service, kv, load)
        assert kv.end(signal.SIGTERM) == 0
        said = kv.said()
    check_log(load, data / "kv.log")

    assert load.away > 0
    assert "kv_service: WARNING: ActorFailed: /kv/data/log has ended: failed: DiskFailed: [Errno 5] " in said


REASONS = (
    "ActorFailed: /kv has ended: failed: TooManyRestarts: /kv: its children ended 2 times",
    "TooManyRestarts: /kv: ",
    "ActorFailed: /kv/data has ended: failed: ",
    "ActorFailed: /kv/data/log has ended: failed: ",
    "DiskFailed: [Errno 5] ",
    "OSError: [Errno 5] Input/output error",
)


def test_a_disk_that_stays_broken_ends_the_process(tmp_path: Path, show: Show) -> None:
    """When all budgets are used up it ends with exit code 1, and tells the whole chain of reasons, one for each line.

    Whoever starts it again, on a disk that works, finds every acknowledged write.
    """
    data = tmp_path / "data"
    load = Load(ANSWER_S, pause_s=lambda: 0, retry_s=0.1, may_end=True)
    began = time.monotonic()

    async def strike() -> None:
        (data / "broken").touch()

    with service(data, FAILING) as kv:
        trio.run(with_clients, kv, load, strike)
        code = kv.process.wait(ENDS_S)
        seconds = time.monotonic() - began
        lines = [line for line in kv.said().splitlines() if "WARNING" not in line]
    with service(data) as kv:
        trio.run(check_service, kv, load)
    check_log(load, data / "kv.log")

    assert code == 1
    assert len(lines) == len(REASONS)
    assert all(line.startswith(f"kv_service: {reason}") for line, reason in zip(lines, REASONS, strict=True))
    show(f"kv service, a disk that stays broken: it gave up after {seconds:.1f} s, {load.total:,} writes are there")


def test_a_signal_ends_it_also_while_it_is_away(tmp_path: Path) -> None:
    """SIGTERM in a backoff: the restart is called off, exit code 0."""
    data = tmp_path / "data"

    async def break_it() -> None:
        (data / "broken").touch()
        async with kv.client() as client:
            assert (await client.command('Write "x" 1')).status == 503
        await trio.sleep(0.3)  # so that the pause has become long enough to be met

    with service(data, FAILING) as kv:
        trio.run(break_it)
        assert kv.end(signal.SIGTERM) == 0
