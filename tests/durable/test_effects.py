"""J4, J6: effects have a key that stays, ids in the order of creation, and a mode for when the process dies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

import attrs
import pytest
import trio
from tests.conftest import Show
from tests.durable.worlds import hear_reports, in_a_handler, in_virtual_time, open_world, told, until_cut
from tests.effort import count

import histrio
from histrio.durable import DurableActor, DurableTree, EffectUncertain, Mode, this_effect
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind


@attrs.frozen
class Order(histrio.Request[object]):
    """Do something; `what` is the name of a method."""

    what: str


CALLS: list[tuple[str, int, object]] = []
DELAYS: dict[str, float] = {}
PAUSES: dict[int, float] = {}


async def call(what: str) -> str:
    """The world does something, in a time of its own."""
    effect = this_effect()
    CALLS.append((effect.key, effect.attempt, effect.progress))
    effect.heartbeat(f"{what} half done")
    await trio.sleep(DELAYS.get(what, 1))
    return f"{what} done"


async def look(key: str) -> str:
    """Whether that has happened."""
    CALLS.append((key, 0, None))
    return "found out"


class Shop(DurableActor[Order], behaviour="shop"):
    """Takes orders."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @histrio.handler(Order)
    async def order(self, order: Order) -> object:
        doings: dict[str, Callable[[], Awaitable[object]]] = {
            "three": self.three,
            "once": lambda: self.io(call, "a", mode=Mode.AT_MOST_ONCE),
            "asked": lambda: self.io(call, "a", mode=Mode.AT_MOST_ONCE, reconcile=look),
            "again": lambda: self.io(call, "a"),
        }
        do = doings[order.what]
        try:
            self.log.append(str(await do()))
        except EffectUncertain as error:
            self.log.append(type(error).__name__)
        return self.log

    async def three(self) -> object:
        """Together, in the order of the code."""
        made = [self.io(call, name) for name in "abc"]
        first = await histrio.any_of(*made, keep=True)
        return first.index, await histrio.all_of(*made)


def is_answered(stored: Stored) -> bool:
    """Whether the shop has answered somebody outside."""
    return any(each.key == "?!" for each in stored.read("/shop", 0))


async def order_it(tree: DurableTree, what: str, stored: Stored) -> object:
    """Order, or wait for the answer of what was ordered before."""
    shop = await tree.spawn(Shop, name="shop")
    if not any(each.kind is Kind.RECEIVE for each in stored.read("/shop", 0)):
        return await shop.ask(Order(what))
    while not is_answered(stored):  # noqa: ASYNC110 - what is stored has no event
        await trio.sleep(1)
    return None


def run(stored: Stored, what: str) -> object:
    """To the end."""

    async def main() -> object:
        async with open_world(stored) as tree:
            return await order_it(tree, what, stored)

    return in_virtual_time(main)


def cut(stored: Stored, what: str, commits: int) -> None:
    """Until the power is cut."""
    in_virtual_time(partial(until_cut, stored, commits, partial(order_it, what=what, stored=stored)))


def test_beats_are_not_counted() -> None:
    """J4: ids are the same however often an effect has said how far it is: an attempt that is begun again says it again."""
    CALLS.clear()

    async def main() -> None:
        async with open_world(Stored()) as tree:
            shop = await tree.spawn(Shop, name="shop")
            for _ in range(2):
                await shop.ask(Order("again"))

    in_virtual_time(main)
    assert [key.rpartition("/")[2] for key, _, _ in CALLS] == ["2.1", "6.1"]


def test_ids_are_in_the_order_of_creation_whatever_ends_first(show: Show) -> None:
    """J4: three effects together with drawn delays: their ids are those of the code, and each past can be done again."""
    orders: set[tuple[str, ...]] = set()
    for seed in range(count("durable_seeds")):
        random = Random(seed)
        DELAYS.update({name: random.random() for name in "abc"})
        stored = Stored()
        run(stored, "three")
        lines = told(stored, "/shop")
        assert [line.split()[:3] for line in lines if line.startswith("USE")] == [
            ["USE", f"2.{number}", "('call',"] for number in (1, 2, 3)
        ]
        orders.add(tuple(line.split()[1] for line in lines if line.startswith("RESOLVED")))
        CALLS.clear()
        run(stored, "three")  # it is done again, and compared
        assert CALLS == []
    DELAYS.clear()
    show(f"J4: {len(orders)} orders of completion of three effects, each done again")
    assert len(orders) >= min(6, count("durable_seeds") // 4)


def test_at_least_once_has_the_same_key() -> None:
    """J6: cut while it runs, an effect is begun again, with its key, a higher attempt, and how far it was."""
    stored = Stored()
    CALLS.clear()
    cut(stored, "again", 3)
    run(stored, "again")

    key = f"{stored.identity}/shop/2.1"
    assert [(key, 1, None), (key, 2, "a half done")] == CALLS


async def upload() -> str:
    """Sends two parts a second; one attempt is silent at one of them."""
    effect = this_effect()
    begin = 0 if effect.progress is None else effect.progress
    assert isinstance(begin, int)
    CALLS.append((effect.key.rpartition("/")[2], effect.attempt, begin))
    for part in range(begin, 6):
        await trio.sleep(PAUSES.pop(part, 0.5))
        effect.heartbeat(part + 1)
    return "sent"


class Uploading(DurableActor[Order], behaviour="uploading"):
    """Has something uploaded, which may be silent for a second."""

    @histrio.handler(Order)
    async def order(self, order: Order) -> object:
        retry = histrio.Retry(first_s=10) if order.what == "retry" else None
        try:
            return await self.io(upload, retry=retry, heartbeat_s=1)
        except trio.TooSlowError as error:
            return str(error)


def uploaded(how: str) -> tuple[object, float]:
    """What came of it, and when."""
    CALLS.clear()
    PAUSES.update({3: 600})

    async def main() -> tuple[object, float]:
        async with open_world(Stored()) as tree:
            answer = await (await tree.spawn(Uploading, name="u")).ask(Order(how))
            return answer, trio.current_time()

    return in_virtual_time(main)


def test_an_effect_that_falls_silent_is_ended() -> None:
    """J7: it may take as long as it likes while it says how far it is; a second of silence is its end, and the text says why."""
    answer, at = uploaded("once")

    assert answer == (
        "/u: upload has said nothing for 1 s, so this attempt of it was ended: have it call "
        "this_effect().heartbeat(...) more often, or give a longer heartbeat_s"
    )
    assert at == pytest.approx(2.5)
    assert CALLS == [("2.1", 1, 0)]


def test_the_next_attempt_knows_how_far_it_was() -> None:
    """J7: with a retry it goes on from the last heartbeat, in the same process, too."""
    answer, at = uploaded("retry")

    assert answer == "sent"
    assert at == pytest.approx(2.5 + 10 + 1.5)
    assert CALLS == [("2.1", 1, 0), ("2.1", 1, 3)]


@pytest.mark.parametrize("heartbeat_s", [0, -1, float("nan")])
def test_a_silence_that_is_no_time_is_refused(heartbeat_s: float) -> None:
    """J7: at the call; nothing has begun."""

    def do(actor: DurableActor[str]) -> None:
        with pytest.raises(ValueError, match=rf"/w: heartbeat_s={heartbeat_s!r} leaves an effect no time"):
            actor.io(call, "a", heartbeat_s=heartbeat_s)

    CALLS.clear()
    in_a_handler(do)
    assert CALLS == []


def test_no_two_journals_have_one_key_or_one_chance() -> None:
    """J6: the same actor with the same past in another journal asks the world under other keys, and draws other ids."""

    class Drawing(DurableActor[Order], behaviour="drawing"):
        @histrio.handler(Order)
        async def order(self, order: Order) -> object:
            return str(self.uuid()), self.random.random()

    async def draw() -> object:
        async with open_world(stored) as tree:
            return await (await tree.spawn(Drawing, name="d")).ask(Order("draw"))

    CALLS.clear()
    drawn: set[object] = set()
    for _ in range(3):
        stored = Stored()
        run(stored, "again")
        drawn.add(in_virtual_time(draw))
    assert len({key for key, _, _ in CALLS}) == 3
    assert len(drawn) == 3


@pytest.mark.parametrize(("what", "result"), [("once", "EffectUncertain"), ("asked", "found out")])
def test_at_most_once_is_not_begun_again(what: str, result: str) -> None:
    """J6: cut while it runs, nobody knows whether it happened: it is asked for, by its key, or the handler is told."""
    stored = Stored()
    CALLS.clear()
    cut(stored, what, 3)
    run(stored, what)

    assert [each for each in CALLS if each[1]] == [(f"{stored.identity}/shop/2.1", 1, None)]
    assert result in told(stored, "/shop")[-1]


def test_an_effect_without_a_name_is_refused() -> None:
    """J6: a lambda has no name that will be the same tomorrow."""

    class Nameless(DurableActor[str], behaviour="nameless"):
        async def receive(self, message: str) -> object:
            with pytest.raises(ValueError, match=r"self.io\(..., name='charge'\)"):
                self.io(lambda: call("x"))
            await self.io(lambda: call("x"), name="nap")
            return None

    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            await (await tree.spawn(Nameless, name="n")).tell("go")
            await trio.sleep(5)

    in_virtual_time(main)
    assert "USE 2.1 ('nap'" in told(stored, "/n")[2]


@pytest.mark.parametrize("after_s", [1, 50])
def test_a_timer_fires_after_a_downtime(after_s: float) -> None:
    """J7: a time is a time of day: what came due while nobody ran fires at once, the rest when it is time."""

    class Sleeper(DurableActor[str], behaviour="sleeper"):
        async def receive(self, message: str) -> None:
            await self.sleep(after_s)
            self.finish(message)

    stored = Stored()

    async def begin() -> None:
        async with open_world(stored) as tree:
            await (await tree.spawn(Sleeper, name="s")).tell("awake")
            await trio.sleep(0.5)

    async def later() -> float:
        began = trio.current_time()
        async with open_world(stored) as tree:
            assert await tree.ref("/s").join() == "awake"
        return trio.current_time() - began

    in_virtual_time(begin)
    assert in_virtual_time(later) == pytest.approx(after_s - 0.5, abs=0.6)


def test_either_with_a_durable_timer_is_a_timeout() -> None:
    """F2, J4: who was first is in the journal, so the past has the same winner."""

    class Impatient(DurableActor[str], behaviour="impatient"):
        async def receive(self, message: str) -> None:
            winner = await histrio.either(self.io(call, "slow"), self.sleep(2))
            self.finish(type(winner).__name__)

    DELAYS["slow"] = 10
    stored = Stored()

    async def main() -> object:
        async with open_world(stored) as tree:
            ref = await tree.spawn(Impatient, name="i")
            await ref.tell("go")
            return await ref.join()

    assert in_virtual_time(main) == "Right"
    DELAYS.clear()


def test_what_is_not_recorded_is_refused() -> None:
    """J3: an ordinary future, a cancel scope that strikes, and a task of one's own are told apart, and how to do it."""
    errors: list[str] = []

    class Careless(DurableActor[str], behaviour="careless"):
        restarts_max = 10

        async def receive(self, message: str) -> object:
            if message == "future":
                await outsider[0].ask(Order("hello"))
            elif message == "scope":
                with trio.move_on_after(1):
                    await self.sleep(10)
            else:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.in_a_task)
            return None

        async def in_a_task(self) -> None:
            self.sleep(1)

    class Outsider(histrio.Actor[Order]):
        async def receive(self, message: Order) -> object:
            return message

    outsider: list[histrio.Ref[Order]] = []

    async def main() -> None:
        async with open_world(Stored()) as tree:
            hear_reports(tree, lambda error: errors.append(repr(error.__cause__)))
            outsider.append(await tree.system.spawn(Outsider))
            ref = await tree.spawn(Careless, name="c")
            for word in ("future", "scope", "task"):
                await ref.tell(word)
                await trio.sleep(20)

    in_virtual_time(main)
    assert len(errors) == 3
    assert "self.io(ref.ask, message)" in errors[0]
    assert "a cancel scope struck a wait" in errors[1]
    assert "the task that calls is none" in errors[2]
