"""D4: what a partition or a crash does to connections, and what it must not do."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.simulation.places import ALL_FAULTS, Place, both, run

from histrio_kernel.simulation.choices import Fifo, Walk
from histrio_kernel.simulation.errors import PowerCut
from histrio_kernel.simulation.mail import Mail
from histrio_kernel.simulation.net_faults import NetFaults
from histrio_kernel.simulation.strategies.random_walk import RandomWalk
from histrio_kernel.simulation.streams import SimStream

# -- drawn programs -----------------------------------------------------------------------------------------------------


@attrs.frozen
class Cut:
    """A cut between "a" and "b": in which direction (0: both), for how long, and how long it is whole then."""

    way: int
    cut_s: float
    whole_s: float


@attrs.define
class Talk:
    """What one end sends and gets."""

    sizes: list[int]
    most: int
    got: bytearray = attrs.field(factory=bytearray)
    is_complete: bool = False
    is_broken: bool = False

    @property
    def data(self) -> bytes:
        """All that it sends."""
        return bytes(at % 251 for at in range(sum(self.sizes)))

    async def speak(self, stream: SimStream) -> None:
        """Send all, in pieces, and end."""
        rest = deque(self.data)
        try:
            for size in self.sizes:
                await stream.send_all(bytes(rest.popleft() for _ in range(size)))
            await stream.send_eof()
        except trio.BrokenResourceError:
            self.is_broken = True

    async def listen(self, stream: SimStream) -> None:
        """Take all that comes."""
        try:
            while part := await stream.receive_some(self.most):
                assert len(part) <= self.most
                self.got += part
            self.is_complete = True
        except trio.BrokenResourceError:
            self.is_broken = True


async def nemesis(place: Place, cuts: list[Cut]) -> None:
    """Cut and heal."""
    for cut in cuts:
        if cut.way:
            place.links.partition(*(("a", "b") if cut.way == 1 else ("b", "a")), one_way=True)
        else:
            place.links.partition("a", "b")
        await trio.sleep(cut.cut_s)
        place.links.heal()
        await trio.sleep(cut.whole_s)


async def talk(place: Place, ends: dict[str, Talk], cuts: list[Cut]) -> None:
    """Both ends speak and listen at once, while the network is cut and heals; an hour later it is over."""
    a, b = await place.pair()
    with trio.move_on_after(3_600):
        async with trio.open_nursery() as nursery:
            for stream in (a, b):
                nursery.start_soon(ends[stream.host].speak, stream)
                nursery.start_soon(ends[stream.host].listen, stream)
            nursery.start_soon(nemesis, place, cuts)
    await a.aclose()
    await b.aclose()


talks = st.builds(Talk, st.lists(st.integers(0, 200), max_size=6), st.sampled_from([1, 7, 64, 1000]))
cuts_of = st.lists(
    st.builds(Cut, st.integers(0, 2), st.sampled_from([1.0, 5.0, 20.0]), st.sampled_from([0.0, 1.0, 30.0])), max_size=4
)
walks = st.one_of(st.none(), st.integers(0, 2**32))


@settings(max_examples=count("net_examples"))
@given(a=talks, b=talks, cuts=cuts_of, seed=walks, delay_max_s=st.sampled_from([0.0, 2.0]))
def test_bytes_arrive_in_order_or_not_at_all(
    a: Talk, b: Talk, cuts: list[Cut], seed: int | None, delay_max_s: float
) -> None:
    """D4: each end gets the first bytes that the other has sent; all, once it sees the end; and nothing breaks without
    a cut that is as long as the connection's patience.
    """
    walk: Walk = Fifo() if seed is None else RandomWalk(seed)
    faults = attrs.evolve(ALL_FAULTS, delay_max_s=delay_max_s)

    run(lambda place: talk(place, {"a": a, "b": b}, cuts), walk, faults, window=100)

    for one, other in ((a, b), (b, a)):
        assert other.data.startswith(one.got)
        assert not one.is_complete or one.got == other.data
        if seed is None and all(cut.cut_s < 10 for cut in cuts):
            assert one.is_complete
    if not cuts:
        assert not a.is_broken
        assert not b.is_broken


@settings(max_examples=count("net_examples"))
@given(a=talks, b=talks, cuts=cuts_of, seed=st.integers(0, 2**32))
def test_one_tape_one_run(a: Talk, b: Talk, cuts: list[Cut], seed: int) -> None:
    """D4: connections add nothing to a run that its walk does not choose."""
    runs = [
        run(
            lambda place: talk(place, {"a": attrs.evolve(a), "b": attrs.evolve(b)}, cuts),
            RandomWalk(seed),
            ALL_FAULTS,
            window=100,
        )
        for _ in range(2)
    ]

    assert runs[0].trace == runs[1].trace


async def a_day(place: Place) -> None:
    """Something of everything: connections, messages, cuts of sets of hosts, a crash."""
    for host in ("c", "d", "e"):
        place.links.boot(host)
    mail = Mail(place.links)
    for host in place.links.hosts:
        mail.at(host).receive(lambda src, message, reply: None)
    client, server = await place.pair()
    for at, group in enumerate([{"a", "c", "e"}, {"b", "d"}, {"e", "d", "c", "b", "a"}]):
        for host in place.links.hosts:
            mail.at("a").post(host, at)
        place.links.partition(group)
        await client.send_all(bytes(at + 2))
        await trio.sleep(1)
        place.links.heal()
        await server.receive_some()
    place.links.crash("b")
    place.links.restart("b")
    await client.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await client.receive_some()


def hash_of_a_day(seed: int) -> str:
    """What stands for the trace of one run."""
    return run(a_day, RandomWalk(seed), ALL_FAULTS).trace_hash


def test_one_tape_one_run_in_any_process() -> None:
    """D1, D4: the network's part of a run does not depend on the process, nor on how it hashes names."""
    call = f"from {__name__} import hash_of_a_day; print(hash_of_a_day(7))"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", call],
            env={**os.environ, "PYTHONHASHSEED": str(number)},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for number in range(count("same_every_time"))
    }

    assert hashes == {hash_of_a_day(7)}


# -- windows ------------------------------------------------------------------------------------------------------------


def test_a_slow_reader_makes_the_sender_wait() -> None:
    """D4: so many bytes are on their way or unread as the window holds, and no more."""

    async def main(place: Place) -> None:
        client, server = await place.pair()
        with trio.move_on_after(5) as scope:
            await client.send_all(bytes(1_000))
        assert scope.cancelled_caught
        await client.aclose()
        got = 0
        while part := await server.receive_some(30):
            got += len(part)
        assert got == 100

    for seed in range(20):
        run(main, RandomWalk(seed), window=100)


# -- cuts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("one_way", [True, False])
def test_a_cut_breaks_who_is_owed_an_answer(groups: tuple[str, str], *, one_way: bool) -> None:
    """D4: after its patience the sender's end is broken, though only the acknowledgement could not come; a peer that
    only reads does not know, and learns of it when it sends.
    """

    async def main(place: Place) -> None:
        client, server = await place.pair()
        place.links.partition(*groups, one_way=one_way)
        await client.send_all(b"x")
        assert trio.current_time() == 0
        with pytest.raises(trio.BrokenResourceError, match="b has not answered a for 10 s"):
            await client.receive_some()
        assert trio.current_time() == 10
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"y")
        place.links.heal()
        await server.send_all(b"z")
        arrives = one_way and groups == ("b", "a")
        if arrives:
            assert await server.receive_some() == b"x"
        with pytest.raises(trio.BrokenResourceError, match="a has reset the connection"):
            await server.receive_some()

    run(main)


def test_a_sender_that_waits_for_room_breaks_too() -> None:
    """D4: a full window is asked about, so a cut is found out also when all that was sent has arrived."""

    async def main(place: Place) -> None:
        client, _ = await place.pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_too_much, client)
            await trio.sleep(5)
            place.links.partition("a", "b")
        assert trio.current_time() == 15

    run(main, window=10)


async def send_too_much(stream: SimStream) -> None:
    """Until it breaks."""
    with pytest.raises(trio.BrokenResourceError, match="has not answered"):
        await stream.send_all(bytes(1_000))


def test_a_short_cut_loses_nothing() -> None:
    """D4: what was sent before and during a cut arrives when it is healed, and the patience begins anew."""

    async def main(place: Place) -> None:
        client, server = await place.pair()
        for word in (b"one", b"two", b"three"):
            place.links.partition("a", "b")
            await client.send_all(word)
            await trio.sleep(9)
            place.links.heal()
            assert await server.receive_some() == word
        await server.aclose()
        assert await client.receive_some() == b""

    run(main)


def test_an_idle_connection_outlives_a_cut() -> None:
    """D4: who sends nothing does not learn of a cut, and nothing keeps the clock busy."""

    async def main(place: Place) -> None:
        client, server = await place.pair()
        place.links.partition("a", "b")
        await trio.sleep(3_600)
        place.links.heal()
        await client.send_all(b"still here")
        assert await server.receive_some() == b"still here"

    run(main)


def test_a_connection_over_a_cut_times_out() -> None:
    """D4: connecting over a cut is a TimeoutError after the patience; if the cut heals before, it succeeds."""

    async def main(place: Place) -> None:
        (listener,) = await place.net("b").listen("b", 80)
        place.links.partition("a", "b")
        with pytest.raises(TimeoutError, match="b has not answered a for 10 s"):
            await place.net("a").connect("b", 80)
        assert trio.current_time() == 10
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heal_after, place, 9)
            await both(listener, place.net("a").connect("b", 80))
        assert trio.current_time() == 19

    run(main)


async def heal_after(place: Place, seconds: float) -> None:
    """The network is whole again so many seconds from now."""
    await trio.sleep(seconds)
    place.links.heal()


async def connect(place: Place) -> None:
    """Connect, and forget it."""
    stream = await place.net("a").connect("b", 80)
    await stream.aclose()


async def cancel(scope: trio.CancelScope) -> None:
    """Cancel it at some step."""
    await trio.lowlevel.checkpoint()
    scope.cancel()


def test_who_gives_up_connecting_leaves_nothing() -> None:
    """D4: whenever its asker is cancelled, a connection is never there, or its other end is told; none is left over."""
    outcomes: set[str] = set()

    async def main(place: Place) -> None:
        (listener,) = await place.net("b").listen("b", 80)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel, nursery.cancel_scope)
            nursery.start_soon(connect, place)
        with trio.move_on_after(5) as waited:
            stream = await listener.accept()
            outcomes.add(await how_it_ended(stream))
        if waited.cancelled_caught:
            outcomes.add("never there")
        await listener.aclose()
        await place.quiet()
        assert not place.links.watchers

    for seed in range(200):
        run(main, RandomWalk(seed), NetFaults(delay_max_s=1.0))

    assert outcomes == {"never there", "reset", "ended"}


async def how_it_ended(stream: SimStream) -> str:
    """What whoever has accepted sees."""
    try:
        assert await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return "reset"
    finally:
        await stream.aclose()
    return "ended"


# -- crashes ------------------------------------------------------------------------------------------------------------


def test_a_host_without_power_reaches_nothing() -> None:
    """D4: all that its programs do in the network raises PowerCut, also what was waiting, and closing does nothing."""

    async def main(place: Place) -> None:
        net = place.net("a")
        (listener,) = await net.listen("a", 80)
        stream, peer = await place.pair()
        async with trio.open_nursery() as nursery:
            for wait in (listener.accept, stream.receive_some, lambda: stream.send_all(bytes(1_000))):
                nursery.start_soon(expect_power_cut, wait)
            await trio.sleep(1)
            place.links.crash("a")
        for operation in (lambda: net.connect("b", 80), lambda: net.listen("a", 81), stream.send_eof):
            await expect_power_cut(operation)
        await stream.aclose()
        await listener.aclose()
        place.links.restart("a")
        await expect_power_cut(lambda: net.connect("b", 80))
        assert len(await peer.receive_some()) <= 10, "what had arrived before is there"

    run(main, window=10)


async def expect_power_cut(operation: Callable[[], Awaitable[object]]) -> None:
    """It raises that."""
    with pytest.raises(PowerCut, match="a has no power"):
        await operation()


def test_a_peer_learns_of_a_crash_when_it_sends() -> None:
    """D4: while the host is down what it is sent waits; once it is back, the connection is reset."""

    async def main(place: Place) -> None:
        client, server = await place.pair()
        place.links.crash("b")
        with trio.move_on_after(100) as scope:
            await client.receive_some()
        assert scope.cancelled_caught
        await client.send_all(b"x")
        await trio.sleep(5)
        place.links.restart("b")
        with pytest.raises(trio.BrokenResourceError, match="b has reset the connection"):
            await client.receive_some()
        await server.aclose()
        assert not place.links.watchers

    run(main)


def test_a_host_that_stays_down_is_given_up() -> None:
    """D4: who sends to a host without power is broken after its patience; who connects to it times out."""

    async def main(place: Place) -> None:
        client, _ = await place.pair()
        place.links.crash("b")
        await client.send_all(b"x")
        with pytest.raises(trio.BrokenResourceError, match="b has not answered a for 10 s"):
            await client.receive_some()
        with pytest.raises(TimeoutError, match="b has not answered"):
            await place.net("a").connect("b", 80)

    run(main)


def test_ports_are_free_after_a_crash() -> None:
    """D4: nobody listens on a host that was started again, until somebody does."""

    async def main(place: Place) -> None:
        await place.net("b").listen("b", 80)
        place.links.crash("b")
        place.links.restart("b")
        with pytest.raises(ConnectionRefusedError):
            await place.net("a").connect("b", 80)
        (listener,) = await place.net("b").listen("b", 80)
        await both(listener, place.net("a").connect("b", 80))

    run(main)
