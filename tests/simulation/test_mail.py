"""D4: between nodes a message is handled at most once, as a copy, and a question has an answer or is `Unreachable`."""

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast, final

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.simulation.places import ALL_FAULTS

from histrio_kernel.simulation.choices import Fifo, Walk
from histrio_kernel.simulation.errors import Deadlock, PowerCut, Unreachable
from histrio_kernel.simulation.links import Links
from histrio_kernel.simulation.mail import Mail, Reply
from histrio_kernel.simulation.net_faults import NetFaults
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.strategies.random_walk import RandomWalk

T = TypeVar("T")


@attrs.frozen
class Add:
    """A question."""

    numbers: list[int]


class Lopsided(Exception):
    """Pickles, and does not come out again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


@final
@attrs.define
class Adder:
    """Answers at "b", and keeps what it was sent."""

    seen: list[object] = attrs.field(factory=list)
    replies: list[Reply] = attrs.field(factory=list)

    def at_once(self, src: str, message: object, reply: Reply | None) -> None:
        self.seen.append(message)
        if reply is not None:
            reply.value(sum(message.numbers) if isinstance(message, Add) else message)

    def later(self, src: str, message: object, reply: Reply | None) -> None:
        self.seen.append(message)
        assert reply is not None
        self.replies.append(reply)


def run(
    main: Callable[[Mail, Adder], Awaitable[T]], walk: Walk | None = None, faults: NetFaults | None = None
) -> Ran[T]:
    """Run a program with hosts "a" and "b", and an adder that answers at "b"; what it raises is raised."""
    simulation = Simulation(Fifo() if walk is None else walk)
    links = Links(simulation, faults)

    async def program() -> T:
        mail, adder = Mail(links, timeout_s=10.0), Adder()
        mail.at("a")
        mail.at("b").receive(adder.at_once)
        return await main(mail, adder)

    ran = simulation.run(program)
    ran.outcome.unwrap()
    return ran


async def quiet(links: Links) -> None:
    """Wait until nothing is on its way."""
    while links.lines:  # noqa: ASYNC110  # the network has no event for it
        await trio.sleep(1)


# -- drawn programs -----------------------------------------------------------------------------------------------------


async def do(mail: Mail, step: str, number: int) -> None:
    """One step of a drawn program."""
    match step:
        case "post":
            mail.at("a").post("b", number)
        case "cut":
            mail.links.partition("a", "b")
        case "one way":
            mail.links.partition("b", "a", one_way=True)
        case "heal":
            mail.links.heal()
        case _:
            await trio.sleep(1)


@settings(max_examples=count("net_examples"))
@given(
    program=st.lists(st.sampled_from(["post", "post", "ask", "ask", "cut", "one way", "heal", "pause"]), max_size=15),
    seed=st.integers(0, 2**32),
    faulty=st.booleans(),
)
def test_at_most_once(program: list[str], seed: int, *, faulty: bool) -> None:
    """D4: under all faults no message is handled twice, every question ends, what is answered was handled, and without
    faults and cuts everything is.
    """
    answered: list[int] = []
    unreachable: list[int] = []
    handled: list[int] = []

    async def ask(mail: Mail, number: int) -> None:
        try:
            answered.append(cast("int", await mail.at("a").request("b", number)))
        except Unreachable:
            unreachable.append(number)

    async def main(mail: Mail, adder: Adder) -> None:
        async with trio.open_nursery() as nursery:
            for number, step in enumerate(program):
                if step == "ask":
                    nursery.start_soon(ask, mail, number)
                else:
                    await do(mail, step, number)
        await quiet(mail.links)
        handled.extend(cast("list[int]", adder.seen))

    run(main, RandomWalk(seed), ALL_FAULTS if faulty else None)

    sent = {number for number, step in enumerate(program) if step in ("post", "ask")}
    assert set(handled) <= sent
    assert max(Counter(handled).values(), default=1) == 1
    assert sorted(answered + unreachable) == [number for number, step in enumerate(program) if step == "ask"]
    assert set(answered) <= set(handled)
    if not faulty and not {"cut", "one way"} & set(program):
        assert set(handled) == sent
        assert not unreachable


# -- questions ----------------------------------------------------------------------------------------------------------


def test_a_slow_answer_is_waited_for() -> None:
    """D4: as long as nothing has gone wrong a question has no deadline of its own."""

    async def main(mail: Mail, adder: Adder) -> None:
        mail.at("b").receive(adder.later)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect, mail, Add([1, 2]), 3)
            await trio.sleep(3_600)
            adder.replies[0].value(3)

    run(main)


async def expect(mail: Mail, question: object, answer: object) -> None:
    """Ask "b"; it answers that."""
    assert await mail.at("a").request("b", question) == answer


@pytest.mark.parametrize("way", [("a", "b"), ("b", "a")])
def test_what_is_lost_is_unreachable(way: tuple[str, str]) -> None:
    """D4: if the question or the answer is lost, the asker hears so after its patience."""

    async def main(mail: Mail, adder: Adder) -> None:
        mail.links.partition(*way, one_way=True)
        with pytest.raises(Unreachable, match="b has not answered a, which waited 10 s"):
            await mail.at("a").request("b", 1)
        assert trio.current_time() == 10
        with pytest.raises(Unreachable, match="waited 2 s"):
            await mail.at("a").request("b", 2, timeout_s=2)
        assert trio.current_time() == 12
        assert adder.seen == ([1, 2] if way == ("b", "a") else [])
        assert not mail.links.watchers

    run(main)


@final
class Worst:
    """First in, first out, and every fault at its worst."""

    def pick(self, options: Sequence[int]) -> int:
        return 0

    def decide(self, ways: int) -> int:
        return ways - 1


def test_an_answer_that_is_too_late_is_lost() -> None:
    """D4: the message may be handled after the asker has given up, and that harms nobody."""

    async def main(mail: Mail, adder: Adder) -> None:
        with pytest.raises(Unreachable):
            await mail.at("a").request("b", 1)
        assert (trio.current_time(), adder.seen) == (10, [])
        await quiet(mail.links)
        assert adder.seen == [1]

    run(main, Worst(), NetFaults(delay_max_s=60.0))


def test_a_crash_of_who_handles_is_unreachable() -> None:
    """D4: a question that was being handled ends too; what the crashed host says afterwards is lost."""

    async def main(mail: Mail, adder: Adder) -> None:
        mail.at("b").receive(adder.later)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_unreachable, mail)
            await trio.sleep(5)
            mail.links.crash("b")
            mail.links.restart("b")
            adder.replies[0].value(1)
        assert trio.current_time() == 15
        with pytest.raises(Unreachable):  # nobody receives there yet
            await mail.at("a").request("b", 1)
        mail.at("b").receive(adder.at_once)
        await expect(mail, Add([1, 2]), 3)

    run(main)


async def expect_unreachable(mail: Mail) -> None:
    """Ask "b" in vain."""
    with pytest.raises(Unreachable):
        await mail.at("a").request("b", 1)


def test_a_host_without_power_sends_nothing() -> None:
    """D4: who acts for a crashed host gets PowerCut, also after the host was started again."""

    async def main(mail: Mail, adder: Adder) -> None:
        post = mail.at("a")
        mail.at("b").receive(adder.later)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_power_cut, lambda: post.request("b", 1))
            await trio.sleep(1)
            mail.links.crash("a")
        mail.links.restart("a")
        await expect_power_cut(lambda: post.request("b", 1))
        with pytest.raises(PowerCut):
            post.post("b", 2)
        with pytest.raises(PowerCut):
            post.receive(adder.later)
        await quiet(mail.links)
        assert adder.seen == [1]

    run(main)


async def expect_power_cut(operation: Callable[[], Awaitable[object]]) -> None:
    """It raises that."""
    with pytest.raises(PowerCut, match="a has no power"):
        await operation()


def test_a_question_that_nobody_answers_is_a_deadlock() -> None:
    """D4: nothing is wrong with the network, so the run says who waits."""

    async def main(mail: Mail, adder: Adder) -> None:
        mail.at("b").receive(adder.later)
        await mail.at("a").request("b", 1)

    with pytest.raises(Deadlock):
        run(main)


def test_one_answer_counts() -> None:
    """D4: a second answer is lost; an error is raised where it was asked."""

    async def main(mail: Mail, adder: Adder) -> None:
        mail.at("b").receive(adder.later)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_error, mail)
            await trio.sleep(1)
            adder.replies[0].error(KeyError("no"))
            adder.replies[0].value(1)

    run(main)


async def expect_error(mail: Mail) -> None:
    """Ask "b", which says no."""
    with pytest.raises(KeyError, match="no"):
        await mail.at("a").request("b", 1)


def test_an_answer_that_is_lost_is_not_given_again() -> None:
    """D4: a reply is good for one answer, whatever becomes of it."""

    async def main(mail: Mail, adder: Adder) -> None:
        mail.at("b").receive(adder.later)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_unreachable, mail)
            await trio.sleep(1)
            mail.links.partition("a", "b")
            adder.replies[0].value(1)
            mail.links.heal()
            adder.replies[0].value(1)

    run(main)


def test_patience_does_not_begin_anew() -> None:
    """D4: a question that is in trouble twice waits from the first time."""

    async def main(mail: Mail, adder: Adder) -> None:
        mail.at("b").receive(adder.later)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_unreachable, mail)
            await trio.sleep(5)
            assert adder.seen == [1]
            mail.links.crash("b")
        assert trio.current_time() == 10

    run(main, Worst(), NetFaults(delay_max_s=3.0))


def test_what_arrives_twice_is_handled_once() -> None:
    """D4: a message and a question whose packets are doubled are handled once each."""

    async def main(mail: Mail, adder: Adder) -> None:
        mail.at("a").post("b", "told")
        await expect(mail, "asked", "asked")
        await quiet(mail.links)
        assert adder.seen == ["told", "asked"]

    run(main, Worst(), NetFaults(duplicate=True))


@pytest.mark.parametrize("seed", range(20))
def test_a_question_may_be_cancelled(seed: int) -> None:
    """D4: whenever the asker is cancelled, nothing of the question is left."""

    async def main(mail: Mail, adder: Adder) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mail.at("a").request, "b", 1)
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await quiet(mail.links)
        assert not mail.links.watchers
        assert adder.seen in ([], [1])

    run(main, RandomWalk(seed))


# -- copies -------------------------------------------------------------------------------------------------------------


def test_messages_are_copies() -> None:
    """D4: what one host changes afterwards, the other does not see; neither in the message nor in the answer."""

    async def main(mail: Mail, adder: Adder) -> None:
        message, answer = [1], [2]
        mail.at("b").receive(adder.later)
        async with trio.open_nursery() as nursery:
            got: list[object] = []

            async def ask() -> None:
                got.append(await mail.at("a").request("b", message))

            nursery.start_soon(ask)
            await trio.sleep(1)
            message.append(3)
            adder.replies[0].value(answer)
            answer.append(4)
        assert (adder.seen, got) == ([[1]], [[2]])

    run(main)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (lambda: 1, "a builtins.function cannot go from a to b, because it does not pickle: "),
        (Lopsided("x", "y"), r"a tests\.simulation\.test_mail\.Lopsided cannot go from a to b, because it does not"),
        (threading.Lock(), r"a _thread\.lock cannot go from a to b"),
    ],
)
def test_what_does_not_pickle_is_told_where_it_is_sent(message: object, text: str) -> None:
    """D4: the sender of a message gets a TypeError that names its type; of an answer, who has asked."""

    async def main(mail: Mail, adder: Adder) -> None:
        with pytest.raises(TypeError, match=text):
            mail.at("a").post("b", message)
        with pytest.raises(TypeError, match=text):
            await mail.at("a").request("b", message)
        assert not mail.links.lines
        mail.at("b").receive(lambda src, question, reply: None if reply is None else reply.value(message))
        with pytest.raises(TypeError, match=text.replace("from a to b", "from b to a")):
            await mail.at("a").request("b", 1)

    run(main)


def test_a_host_that_is_not_there() -> None:
    """D4: a name that no host has is told to the sender."""

    async def main(mail: Mail, adder: Adder) -> None:
        with pytest.raises(ValueError, match="no host is called 'c'; there are: a, b"):
            mail.at("a").post("c", 1)

    run(main)
