"""D4: connections of a simulated network behave as real ones do, or break as real ones do."""

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

import pytest
import trio
from tests.effort import count
from tests.simulation.places import ALL_FAULTS, Pair, Place, both, run
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

from histrio_kernel.driver import Listener, Net, Stream
from histrio_kernel.real import RealNet
from histrio_kernel.simulation.choices import Fifo, Walk
from histrio_kernel.simulation.net_faults import NetFaults
from histrio_kernel.simulation.strategies.random_walk import RandomWalk

# -- like a real network ------------------------------------------------------------------------------------------------

Program: TypeAlias = Callable[[Net], Awaitable[None]]


def real(program: Program) -> None:
    """Run a program over sockets."""
    trio.run(program, RealNet())


def simulated(program: Program) -> None:
    """Run a program over a simulated network, on one host, first in, first out."""
    run(lambda place: program(place.net("a")))


def by_chance(program: Program) -> None:
    """Run a program over a simulated network, in drawn orders, with faults."""
    for seed in range(count("schedules")):
        run(lambda place: program(place.net("a")), RandomWalk(seed), ALL_FAULTS)


@pytest.fixture(params=[real, simulated, by_chance])
def over(request: pytest.FixtureRequest) -> Callable[[Program], None]:
    """Runs a program over one of the networks."""
    run_over: Callable[[Program], None] = request.param
    return run_over


async def connection(net: Net, listener: Listener) -> tuple[Stream, Stream]:
    """A connection to that listener: who connects, and who accepts."""
    accepted: list[Stream] = []

    async def accept() -> None:
        accepted.append(await listener.accept())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        client = await net.connect(*listener.address)
    return client, accepted[0]


async def all_of(stream: Stream) -> bytes:
    """All that comes until the peer ends."""
    parts: list[bytes] = []
    while part := await stream.receive_some():
        parts.append(bytes(part))
    return b"".join(parts)


def test_bytes_go_both_ways(over: Callable[[Program], None]) -> None:
    """D4: each side gets what the other sends, and sees its end; then the listener is closed."""

    async def program(net: Net) -> None:
        (listener,) = await net.listen("127.0.0.1", 0)
        assert listener.address[0] == "127.0.0.1"
        assert listener.address[1] > 0
        client, server = await connection(net, listener)
        await client.send_all(b"ping")
        await client.send_eof()
        assert await all_of(server) == b"ping"
        await server.send_all(bytearray(b"po"))
        await server.send_all(memoryview(b"ng"))
        await server.aclose()
        assert await all_of(client) == b"pong"
        await client.aclose()
        await listener.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    over(program)


def test_a_port_in_use_is_named(over: Callable[[Program], None]) -> None:
    """D4, E2: listening where another listens says where, and the port is free again when that one is closed."""

    async def program(net: Net) -> None:
        (listener,) = await net.listen("127.0.0.1", 0)
        port = listener.address[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use") as caught:
            await net.listen("127.0.0.1", port)
        assert caught.value.errno == errno.EADDRINUSE
        await listener.aclose()
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
            await net.connect("127.0.0.1", port)
        (again,) = await net.listen("127.0.0.1", port)
        assert again.address == ("127.0.0.1", port)
        await again.aclose()

    over(program)


def test_a_listener_is_a_listener_of_trio(over: Callable[[Program], None]) -> None:
    """D4, E2: trio.serve_listeners takes what listen returned."""

    async def echo(stream: trio.abc.HalfCloseableStream) -> None:
        await stream.send_all(await all_of(stream))
        await stream.aclose()

    async def program(net: Net) -> None:
        (listener,) = await net.listen("127.0.0.1", 0)
        assert isinstance(listener, trio.abc.Listener)
        async with trio.open_nursery() as nursery:
            listeners = [cast("trio.abc.Listener[trio.abc.HalfCloseableStream]", listener)]
            nursery.start_soon(trio.serve_listeners, echo, listeners)
            for _ in range(3):
                client = await net.connect(*listener.address)
                await client.send_all(b"echo")
                await client.send_eof()
                assert await all_of(client) == b"echo"
                await client.aclose()
            nursery.cancel_scope.cancel()

    over(program)


def test_what_is_closed_raises(over: Callable[[Program], None]) -> None:
    """D4: a closed end refuses all, also whoever waits in it; a second close does nothing."""

    async def wait(stream: Stream) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()

    async def program(net: Net) -> None:
        (listener,) = await net.listen("127.0.0.1", 0)
        client, server = await connection(net, listener)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, client)
            await wait_all_tasks_blocked()
            await client.aclose()
        await client.aclose()
        await wait(client)
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await client.send_eof()
        assert await all_of(server) == b""
        await server.aclose()
        await listener.aclose()

    over(program)


def test_who_closes_with_bytes_unread_resets(over: Callable[[Program], None]) -> None:
    """D4: the peer of who closes without having read everything finds the connection broken."""

    async def program(net: Net) -> None:
        (listener,) = await net.listen("127.0.0.1", 0)
        client, server = await connection(net, listener)
        await client.send_all(b"xy")
        assert await server.receive_some(1) == b"x"
        with trio.move_on_after(0.1):
            await trio.sleep_forever()  # a split segment's other part arrives
        await server.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"z")
        await client.aclose()
        await listener.aclose()

    over(program)


# -- Trio's own check ---------------------------------------------------------------------------------------------------


def check_streams(walk: Walk, faults: NetFaults | None = None) -> None:
    """What Trio asks of every stream, asked of a simulated one."""

    async def main(place: Place) -> None:
        async def clogged() -> Pair:
            client, server = await place.pair()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send_all, bytes(100_000))
                nursery.start_soon(server.send_all, bytes(100_000))
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            return client, server

        await check_half_closeable_stream(place.pair, clogged)

    run(main, walk, faults, window=4_096)


def test_streams_are_what_trio_asks_for() -> None:
    """D4: a connection passes Trio's own check of a half-closeable stream."""
    check_streams(Fifo())


@pytest.mark.parametrize("seed", range(3))
def test_streams_are_what_trio_asks_for_in_any_order(seed: int) -> None:
    """D4: it passes that check in drawn orders, and when segments are late or come in two."""
    check_streams(RandomWalk(seed), NetFaults(delay_max_s=1.0))


# -- names --------------------------------------------------------------------------------------------------------------


def test_hosts_are_called_by_their_names() -> None:
    """D4: a listener at the host's name is for all, one at a loopback address for its own host; each knows its address."""

    async def main(place: Place) -> None:
        a, b = place.net("a"), place.net("b")
        (public,) = await b.listen("b", 80)
        (private,) = await b.listen("localhost", 81)
        (every,) = await b.listen("0.0.0.0", 82)
        assert (public.address, private.address, every.address) == (("b", 80), ("127.0.0.1", 81), ("b", 82))
        for listener in (public, private, every):
            await both(listener, b.connect("127.0.0.1", listener.address[1]))
        await both(public, a.connect(*public.address))
        await both(every, a.connect("b", 82))
        with pytest.raises(ConnectionRefusedError, match="cannot connect to b:81: nobody listens there"):
            await a.connect("b", 81)
        with pytest.raises(ConnectionRefusedError, match=r"cannot connect to 127\.0\.0\.1:80"):
            await a.connect("127.0.0.1", 80)

    run(main)


def test_names_that_are_wrong() -> None:
    """D4: a name that no host has, a name that is not the own one, and a port that is none are told."""

    async def main(place: Place) -> None:
        a = place.net("a")
        with pytest.raises(
            socket.gaierror, match="cannot connect to c:80: no host is called 'c' in this simulation, but a, b"
        ):
            await a.connect("c", 80)
        with pytest.raises(socket.gaierror, match="cannot listen on c port 80: no host"):
            await a.listen("c", 80)
        with pytest.raises(OSError, match="cannot listen on b port 80: ") as caught:
            await a.listen("b", 80)
        assert caught.value.errno == errno.EADDRNOTAVAIL
        with pytest.raises(OverflowError, match="port must be 0-65535, not 65536"):
            await a.connect("b", 65_536)

    run(main)


def test_port_0_is_another_port_each_time() -> None:
    """D4: the ports that are chosen are free, and the same in every run."""

    async def main(place: Place) -> list[int]:
        net = place.net("a")
        await net.listen("a", 49_153)
        ports = [(await net.listen("a", 0))[0].address[1] for _ in range(3)]
        assert ports == [49_152, 49_154, 49_155]
        return ports

    run(main)


# -- one at a time ------------------------------------------------------------------------------------------------------


def test_a_listener_that_is_closed_resets_who_waits() -> None:
    """D4: who has connected and was not accepted finds the connection broken."""

    async def main(place: Place) -> None:
        (listener,) = await place.net("b").listen("b", 80)
        client = await place.net("a").connect("b", 80)
        await listener.aclose()
        with pytest.raises(trio.BrokenResourceError, match="b has reset the connection"):
            await client.receive_some()
        assert not place.links.watchers

    run(main)


def test_one_task_at_a_time() -> None:
    """D4: a second task that sends, receives or accepts is refused."""

    async def main(place: Place) -> None:
        (listener,) = await place.net("b").listen("b", 81)
        client, _ = await place.pair()
        for operation in (client.receive_some, listener.accept, lambda: client.send_all(bytes(1_000))):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(operation)
                await trio.sleep(1)
                with pytest.raises(trio.BusyResourceError, match="another task is"):
                    await operation()
                nursery.cancel_scope.cancel()

    run(main, window=10)
