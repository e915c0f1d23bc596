"""Where the turn is not given away: serial actors, and the bound of handlers in flight; and waits without end."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.actors.doer import Do, Doer, DoerOfOne, Note, SerialDoer, through_the_door
from tests.inside import actor_of, assert_at_rest
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


class DoerOfTwo(Doer):
    in_flight_max = 2


class DoerOfThree(Doer):
    in_flight_max = 3


async def test_a_serial_actor_keeps_the_turn_across_all_waits(autojump_clock: MockClock) -> None:
    """A6: While a handler of a serial actor waits, the next message is not taken."""
    async with histrio.open_system() as system:
        doer = await system.spawn(SerialDoer)
        await doer.tell(Do(through_the_door))
        await wait_all_tasks_blocked()
        await doer.tell(Note())
        await trio.sleep(1)

        actor_of(system, Doer, doer).door.set(None)
        await assert_at_rest(system, doer)

        assert actor_of(system, Doer, doer).seen == ["waits", "goes on", "note"]


@pytest.mark.parametrize(("kind", "in_flight"), [(DoerOfOne, 1), (DoerOfTwo, 2)])
async def test_at_the_bound_no_message_is_taken(autojump_clock: MockClock, kind: type[Doer], in_flight: int) -> None:
    """A6: `in_flight_max` handlers may wait at once; the next message is taken when one of them goes on."""
    async with histrio.open_system() as system:
        doer = await system.spawn(kind)
        for _ in range(in_flight):
            await doer.tell(Do(through_the_door))
        answer = doer.ask(Note())
        await trio.sleep(1)
        before = list(actor_of(system, Doer, doer).seen)

        actor_of(system, Doer, doer).door.set(None)
        await answer

        assert before == ["waits"] * in_flight
        assert actor_of(system, Doer, doer).seen == [*before, *["goes on"] * in_flight, "note"]


async def ask_self(actor: Doer) -> object:
    """Ask one's own actor."""
    return await actor.ref.ask(Note())


async def ask_self_through_both(actor: Doer) -> object:
    """The same, hidden in a combinator."""
    return await histrio.both(actor.ref.ask(Note()), actor.io(trio.sleep, 1))


async def tell_self_until_full(actor: Doer) -> None:
    """Tell one's own actor more than its inbox holds."""
    for _ in range(3):
        await actor.ref.tell(Note())


@pytest.mark.parametrize("kind", [SerialDoer, DoerOfOne])
@pytest.mark.parametrize("wait", [ask_self, ask_self_through_both, tell_self_until_full])
async def test_an_await_that_can_never_end_is_refused(
    autojump_clock: MockClock, kind: type[Doer], wait: Callable[[Doer], Awaitable[object]]
) -> None:
    """A6: Who would wait for a message that its own actor cannot take any more gets `AskCycle`; the actor lives on."""

    async def refused(actor: Doer) -> None:
        with pytest.raises(histrio.AskCycle, match=actor.ref.path):
            await wait(actor)

    async with histrio.open_system() as system:
        doer = await system.spawn(kind)
        await doer.ask(Do(refused))

        assert await doer.ask(Note()) >= 1
        await assert_at_rest(system, doer)


async def test_all_who_wait_at_the_bound_for_their_own_actor_are_a_cycle(autojump_clock: MockClock) -> None:
    """A6: The last handler that could have gone on gets `AskCycle` when it asks its own actor too; then all go on."""
    outcomes: list[object] = []

    async def ask(actor: Doer) -> None:
        try:
            outcomes.append(await actor.ref.ask(Note()))
        except histrio.AskCycle as error:
            outcomes.append(type(error))

    async with histrio.open_system() as system:
        doer = await system.spawn(DoerOfTwo)
        await histrio.both(doer.ask(Do(ask)), doer.ask(Do(ask)))

        assert outcomes == [histrio.AskCycle, 1]
        await assert_at_rest(system, doer)


async def test_a_recursion_deeper_than_the_bound_is_a_cycle(autojump_clock: MockClock) -> None:
    """A6: Handlers that wait for answers of handlers that wait for answers: the one that fills the bound is refused."""

    def descend(depth: int) -> Callable[[Doer], Awaitable[object]]:
        async def step(actor: Doer) -> object:
            try:
                return depth and await actor.ref.ask(Do(descend(depth - 1)))
            except histrio.AskCycle:
                return "refused"

        return step

    async with histrio.open_system() as system:
        doer = await system.spawn(DoerOfThree)

        assert await doer.ask(Do(descend(2))) == 0
        with trio.fail_after(10):
            assert await doer.ask(Do(descend(5))) == "refused"
        await assert_at_rest(system, doer)


async def test_what_somebody_can_end_is_no_cycle(autojump_clock: MockClock) -> None:
    """A6: At the bound an ask to oneself may wait as long as another handler can go on without it."""

    async def read(actor: Doer) -> None:
        await actor.io(trio.sleep, 1)

    async with histrio.open_system() as system:
        doer = await system.spawn(DoerOfTwo)

        _, answer = await histrio.both(doer.ask(Do(read)), doer.ask(Do(ask_self)))

        assert answer == 1


async def test_who_is_about_to_go_on_is_in_no_cycle(autojump_clock: MockClock) -> None:
    """A6: At the bound an ask to oneself may wait if the other handlers have only to get the turn to go on."""

    async def give_way(actor: Doer) -> None:
        await actor.door

    async def open_and_ask(actor: Doer) -> object:
        actor.door.set(None)
        return await actor.ref.ask(Note())

    async with histrio.open_system() as system:
        doer = await system.spawn(DoerOfTwo)

        _, answer = await histrio.both(doer.ask(Do(give_way)), doer.ask(Do(open_and_ask)))

        assert answer == 1


async def test_either_of_an_ask_to_oneself_and_something_else_is_no_cycle(autojump_clock: MockClock) -> None:
    """A6: `either` ends with the operation, so it may hold an ask that cannot be answered."""

    async def whatever_is_first(actor: Doer) -> object:
        return await histrio.either(actor.ref.ask(Note()), actor.io(trio.sleep, 1))

    async with histrio.open_system() as system:
        doer = await system.spawn(SerialDoer)

        assert await doer.ask(Do(whatever_is_first)) == histrio.Right(None)


async def test_a_tell_that_is_refused_as_a_cycle_is_not_delivered(autojump_clock: MockClock) -> None:
    """A6, A8: Who got `AskCycle` from `tell` has not delivered; those before are handled, once and in order."""

    async def tell_many(actor: Doer) -> None:
        for number in range(4):
            try:
                await actor.ref.tell(Note(str(number)))
            except histrio.AskCycle:
                actor.seen.append(f"not {number}")

    async with histrio.open_system() as system:
        doer = await system.spawn(DoerOfOne)
        await doer.ask(Do(tell_many))
        await assert_at_rest(system, doer)

        assert actor_of(system, Doer, doer).seen == ["not 2", "not 3", "0", "1"]


async def test_an_actor_that_stops_waits_for_its_handlers_in_flight(autojump_clock: MockClock) -> None:
    """A6: With intake closed and the inbox empty, handlers that wait still go on and return before the actor winds up."""
    seen: list[str] = []

    class Ending(Doer):
        async def stopped(self, reason: histrio.Reason) -> None:
            seen.extend([*self.seen, "stopped"])

    async def read(actor: Doer) -> None:
        await actor.io(trio.sleep, 1)
        actor.seen.append("read")

    async with histrio.open_system() as system:
        doer = await system.spawn(Ending)
        answer = doer.ask(Do(read))
        await wait_all_tasks_blocked()
        doer.control.stop()
        await answer
        await doer.join()

    assert seen == ["read", "stopped"]
