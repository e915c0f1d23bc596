"""D4: what goes over the links of a simulated network arrives in order, or is lost by a fault that was asked for."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import TypeAlias, final

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count

from histrio_kernel.simulation.choices import Fifo, Walk
from histrio_kernel.simulation.errors import PowerCut
from histrio_kernel.simulation.links import Line, Links
from histrio_kernel.simulation.net_faults import NetFaults
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.strategies.random_walk import RandomWalk

HOSTS = ("a", "b", "c")
ALL_FAULTS = NetFaults(drop=True, duplicate=True, reorder=True, delay_max_s=3.0)
Link: TypeAlias = tuple[str, str]
Step: TypeAlias = tuple[str, ...]


@attrs.define
class Record:
    """What was sent over links, and what has become of it."""

    links: Links
    sent: list[tuple[Link, int]] = attrs.field(factory=list)
    arrived: list[tuple[Link, int]] = attrs.field(factory=list)
    troubled: set[int] = attrs.field(factory=set)
    lives: int = 0

    def send(self, src: str, dst: str) -> int:
        """Send the next number."""
        number = len(self.sent)
        self.sent.append(((src, dst), number))
        self.links.send(src, dst, ((src, dst), number), self.arrived.append, lambda: self.troubled.add(number))
        return number

    def on(self, src: str, dst: str) -> list[int]:
        """What has arrived on one link, in order."""
        return [number for link, number in self.arrived if link == (src, dst)]

    async def quiet(self) -> None:
        """Wait until nothing is on its way."""
        while self.links.lines:  # noqa: ASYNC110  # the network has no event for it
            await trio.sleep(1)


def run(
    main: Callable[[Record], Awaitable[None]], walk: Walk | None = None, faults: NetFaults | None = None
) -> tuple[Ran[None], Record]:
    """Run a program with links between all hosts; what it raises is raised."""
    simulation = Simulation(Fifo() if walk is None else walk)
    links = Links(simulation, faults)
    record = Record(links)

    async def program() -> None:
        for host in HOSTS:
            links.boot(host)
        await main(record)

    ran = simulation.run(program)
    ran.outcome.unwrap()
    return ran, record


# -- drawn programs -----------------------------------------------------------------------------------------------------

hosts = st.sampled_from(HOSTS)
steps = st.one_of(
    st.tuples(st.just("send"), hosts, hosts),
    st.tuples(st.just("send"), hosts, hosts),
    st.tuples(st.just("send"), hosts, hosts),
    st.tuples(st.sampled_from(["partition", "one way", "crash", "restart"]), hosts),
    st.tuples(st.sampled_from(["heal", "pause", "quiet"])),
)
drawn_faults = st.builds(
    NetFaults,
    drop=st.booleans(),
    duplicate=st.booleans(),
    reorder=st.booleans(),
    delay_max_s=st.sampled_from([0.0, 2.0]),
)


async def do(record: Record, step: Step) -> None:
    """One step of a drawn program."""
    links = record.links
    match step:
        case ("send", src, dst):
            record.send(src, dst)
        case ("partition", host):
            links.partition({host})
        case ("one way", host):
            links.partition({host}, {other for other in HOSTS if other != host}, one_way=True)
        case ("crash", host):
            links.crash(host)
        case ("restart", host):
            links.restart(host)
        case ("heal",):
            links.heal()
        case ("quiet",):
            await record.quiet()
        case _:
            await trio.lowlevel.checkpoint()


def in_order(numbers: list[int]) -> bool:
    """Whether they rise, or stay: a copy comes right behind the original."""
    return all(one <= other for one, other in pairwise(numbers))


@settings(max_examples=count("net_examples"))
@given(program=st.lists(steps, max_size=25), faults=drawn_faults, seed=st.integers(0, 2**32))
def test_what_arrives_was_sent(program: list[Step], faults: NetFaults, seed: int) -> None:
    """D4: nothing is invented, order and number change only by their faults, and what is lost is told to the sender.

    What is sent after the network has healed arrives, unless single messages may be dropped.
    """
    after: list[int] = []

    async def main(record: Record) -> None:
        for step in program:
            await do(record, step)
        record.links.heal()
        for host in HOSTS:
            record.links.restart(host)
        after.extend(record.send(src, dst) for src in HOSTS for dst in HOSTS)
        await record.quiet()

    _, record = run(main, RandomWalk(seed), faults)

    assert set(record.arrived) <= set(record.sent)
    assert max(Counter(record.arrived).values()) <= (2 if faults.duplicate else 1)
    assert faults.reorder or all(in_order(record.on(src, dst)) for src in HOSTS for dst in HOSTS)
    numbers = {number for _, number in record.arrived}
    assert record.troubled | numbers == {number for _, number in record.sent}
    assert faults.drop or numbers >= set(after)
    cuts = {"partition", "one way", "crash"} & {step[0] for step in program}
    assert cuts or faults.drop or numbers == {number for _, number in record.sent}


@settings(max_examples=count("net_examples"))
@given(program=st.lists(steps, max_size=15), seed=st.integers(0, 2**32))
def test_one_tape_one_run(program: list[Step], seed: int) -> None:
    """D4: the network adds nothing to a run that its walk does not choose."""

    async def main(record: Record) -> None:
        for step in program:
            await do(record, step)
        await record.quiet()

    first, second = (run(main, RandomWalk(seed), ALL_FAULTS) for _ in range(2))

    assert first[0].trace == second[0].trace
    assert first[1].arrived == second[1].arrived


# -- order --------------------------------------------------------------------------------------------------------------


def test_the_walk_chooses_the_order_across_links_alone() -> None:
    """D4: what goes over two links arrives in any order, what goes over one in its own."""

    async def main(record: Record) -> None:
        for src in ("a", "b"):
            record.send(src, "c")
            record.send(src, "c")
        await record.quiet()

    orders = {tuple(number for _, number in run(main, RandomWalk(seed))[1].arrived) for seed in range(200)}

    assert orders == {(0, 1, 2, 3), (0, 2, 1, 3), (0, 2, 3, 1), (2, 0, 1, 3), (2, 0, 3, 1), (2, 3, 0, 1)}


def test_no_fault_without_a_departure() -> None:
    """D4: first in, first out has no fault, whatever faults are allowed."""

    async def main(record: Record) -> None:
        for _ in range(3):
            for src, dst in (("a", "b"), ("b", "a"), ("a", "a")):
                record.send(src, dst)
        await record.quiet()

    ran, record = run(main, Fifo(), ALL_FAULTS)

    assert sorted(record.arrived) == sorted(record.sent)
    assert ran.virtual_seconds <= 1
    assert not record.troubled
    assert any(step.is_decision for step in ran.tape)


@final
class Worst:
    """First in, first out, and every fault at its worst."""

    def pick(self, options: Sequence[int]) -> int:
        return 0

    def decide(self, ways: int) -> int:
        return ways - 1


async def four(record: Record) -> None:
    """Four messages over one link."""
    for _ in range(4):
        record.send("a", "b")
    await record.quiet()


@pytest.mark.parametrize(
    ("faults", "worst", "others"),
    [
        (NetFaults(drop=True), (), {(0, 1, 3), (1, 2, 3)}),
        (NetFaults(duplicate=True), (0, 0, 1, 1, 2, 2, 3, 3), {(0, 1, 1, 2, 3)}),
        (NetFaults(reorder=True), (3, 2, 1, 0), {(0, 2, 1, 3), (0, 3, 1, 2)}),
        (NetFaults(delay_max_s=3.0), (0, 1, 2, 3), set[tuple[int, ...]]()),
    ],
)
def test_each_fault_strikes(faults: NetFaults, worst: tuple[int, ...], others: set[tuple[int, ...]]) -> None:
    """D4: each fault that is allowed is the walk's to choose, each time anew, and is that fault."""
    ran, record = run(four, Worst(), faults)
    orders = {tuple(run(four, RandomWalk(seed), faults)[1].on("a", "b")) for seed in range(100)}

    assert tuple(record.on("a", "b")) == worst
    assert orders >= {(0, 1, 2, 3), *others}
    assert (ran.virtual_seconds >= 3) == (faults.delay_max_s == 3)


def test_a_host_reaches_itself() -> None:
    """D4: no fault and no cut strikes what a host sends to itself."""

    async def main(record: Record) -> None:
        record.links.partition({"a"})
        for _ in range(5):
            record.send("a", "a")
        await record.quiet()

    for seed in range(50):
        record = run(main, RandomWalk(seed), ALL_FAULTS)[1]
        assert record.on("a", "a") == [0, 1, 2, 3, 4]
        assert not record.troubled


@final
class Script:
    """First in, first out, and decisions as given; none of the faults afterwards."""

    def __init__(self, *decisions: int) -> None:
        self.decisions = list(decisions)

    def pick(self, options: Sequence[int]) -> int:
        return 0

    def decide(self, ways: int) -> int:
        return self.decisions.pop(0) if self.decisions else 0


def test_who_overtakes_does_not_wait() -> None:
    """D4: a message that overtakes a late one arrives at once; one that does not overtake waits for it."""
    times: list[tuple[int, float]] = []

    async def main(record: Record) -> None:
        for number in range(3):
            record.links.send("a", "b", number, lambda number: times.append((number, trio.current_time())))
        await record.quiet()

    late, first, last = (3,), (0, 1), (0, 0)
    run(main, Script(*late, *first, *last), NetFaults(reorder=True, delay_max_s=3.0))

    assert times == [(1, 0.0), (0, 3.0), (2, 3.0)]


# -- cuts and crashes ---------------------------------------------------------------------------------------------------


def test_a_cut_loses_what_is_on_its_way() -> None:
    """D4: a message over a cut is lost, also if it was sent before; what is sent after the cut is healed arrives."""

    async def main(record: Record) -> None:
        before, aside = record.send("a", "b"), record.send("a", "c")
        record.links.partition({"a", "c"}, {"b"})
        during = record.send("b", "a")
        await record.quiet()
        record.links.heal()
        after = record.send("a", "b")
        await record.quiet()
        assert record.arrived == [(("a", "c"), aside), (("a", "b"), after)]
        assert record.troubled == {before, during}

    run(main)


def test_a_cut_may_be_one_way() -> None:
    """D4: nothing gets from the first group to the second, but from the second to the first."""

    async def main(record: Record) -> None:
        record.links.partition("a", "b", one_way=True)
        record.send("a", "b")
        back = record.send("b", "a")
        await record.quiet()
        assert record.arrived == [(("b", "a"), back)]

    run(main)


def test_cuts_add_up() -> None:
    """D4: a second partition leaves the first; a group alone is cut off from all others."""

    async def main(record: Record) -> None:
        record.links.partition("a", "b")
        record.links.partition({"c"})
        assert not any(record.links.is_open(src, dst) for src in HOSTS for dst in HOSTS if src != dst)
        record.links.heal()
        assert all(record.links.is_open(src, dst) for src in HOSTS for dst in HOSTS)

    run(main)


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (({"a"}, {"d"}), "no host is called 'd'; there are: a, b, c"),
        (({"a", "b"}, {"b"}), "'b' is in two groups"),
        ((), "at least one group"),
    ],
)
def test_a_partition_that_makes_no_sense(groups: tuple[set[str], ...], text: str) -> None:
    """D4: it is refused, and says why."""

    async def main(record: Record) -> None:
        with pytest.raises(ValueError, match=text):
            record.links.partition(*groups)

    run(main)


def test_a_crash_loses_what_a_host_had_sent_and_was_sent() -> None:
    """D4: nothing of it arrives, not after a restart either; then it is as good as new."""

    async def main(record: Record) -> None:
        links = record.links
        lost = {record.send("a", "b"), record.send("b", "a"), record.send("a", "a")}
        old = links.boot("a")
        links.crash("a")
        lost |= {record.send("a", "b"), record.send("b", "a")}
        assert not links.is_up("a")
        with pytest.raises(PowerCut, match="a has no power"):
            old.check()
        new = links.restart("a")
        assert new is not old
        assert links.boot("a") is new
        new.check()
        there, back = record.send("a", "b"), record.send("b", "a")
        await record.quiet()
        assert [number for _, number in record.arrived] == [there, back]
        assert record.troubled == lost

    run(main)


def test_a_line_that_keeps_waits_out_a_cut_but_not_a_crash() -> None:
    """D4: packets that are sent again until they arrive do so when the link is whole; not if who sends them is gone."""
    arrived: list[str] = []

    async def main(record: Record) -> None:
        links = record.links
        line = Line(links, "a", "b", keeps=True)
        line.put("one", lambda: arrived.append("one"))
        links.partition("a", "b")
        line.put("two", lambda: arrived.append("two"))
        await trio.sleep(1)
        assert not arrived
        links.heal()
        await record.quiet()
        links.crash("b")
        line.put("three", lambda: arrived.append("three"))
        links.restart("b")
        await record.quiet()
        links.partition("a", "b")
        line.put("four", lambda: arrived.append("four"), lost=lambda: arrived.append("lost"))
        links.crash("a")
        links.restart("a")
        links.heal()
        await record.quiet()
        assert arrived == ["one", "two", "three", "lost"]

    run(main)
