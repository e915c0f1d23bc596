"""M6, M7: waits and scopes as the original's tests pin them; tests/machine/shell has them one promise at a time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio import EXECUTED, Disposed, Handlers, HandlerTooSlow, Machine, NotActive, Queued, State, States, Transition


class Letters(States):
    """Four states without relations, and one that can be called again."""

    a = State()
    b = State()
    c = State()
    d = State()
    m = State(multi=True)


A, B, C, D = Letters.a, Letters.b, Letters.c, Letters.d
Nothing = Transition[None]


async def add_later(machine: Machine, *states: State[[], None]) -> None:
    """One after the other, each after a while."""
    for state in states:
        await trio.sleep(1)
        machine.add(state)


async def test_a_wait_for_several_states(autojump_clock: MockClock) -> None:
    """M6: it ends when all are active at once, in the transition that brought the last."""
    machine = Machine(Letters)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(add_later, machine, A, B, C)

        transition = await machine.when(B, C)

    assert trio.current_time() == 3
    assert transition is not None
    assert transition.schema.spell(transition.called) == "c"


@pytest.mark.parametrize("gone", [False, True])
async def test_all_who_wait_for_one_thing_are_released(gone: bool, autojump_clock: MockClock) -> None:
    """M6: by the same transition."""
    machine = Machine(Letters)
    machine.set(*((A, B) if gone else ()))
    released: list[Transition | None] = []

    async def wait() -> None:
        released.append(await (machine.when_not(A, B) if gone else machine.when(A, B)))

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        for state in (A, B):
            machine.toggle(state)
            await wait_all_tasks_blocked()
            assert len(released) == (2 if state is B else 0)

    assert released[0] is released[1] is not None


async def test_what_is_so_already_is_not_waited_for() -> None:
    """M6: the future is done at once, and has no transition to tell."""
    machine = Machine(Letters)
    machine.add(A)

    for wait in (machine.when(A), machine.when_not(B, C), machine.when_time({A: 1}), machine.when()):
        assert wait.is_done
        assert await wait is None


async def test_waits_for_overlapping_states() -> None:
    """M6: each ends when its own states are there."""
    machine = Machine(Letters)
    waits = [machine.when(A), machine.when(A, B), machine.when(A), machine.when(B, A, B), machine.when(B, C)]

    machine.add(A)
    assert [wait.is_done for wait in waits] == [True, False, True, False, False]
    machine.add(B)
    assert [wait.is_done for wait in waits] == [True, True, True, True, False]
    machine.remove(B)
    machine.add(C)
    assert not waits[-1].is_done
    machine.add(B)
    assert waits[-1].is_done


async def test_a_wait_for_ticks() -> None:
    """M6: of several states at once, not earlier; a call of an active Multi counts for two."""
    machine = Machine(Letters)
    both = machine.when_time({A: 3, Letters.m: 5})
    more = machine.when_ticks(A, 2)

    machine.add(A, Letters.m)
    machine.remove(A)
    assert more.is_done
    machine.add(A)
    assert not both.is_done
    machine.add(Letters.m)
    assert not both.is_done
    machine.add(Letters.m)
    assert both.is_done
    assert machine.when_time({A: 2}).is_done


async def test_a_wait_for_a_predicate() -> None:
    """M6: it is asked after each transition that moved a clock, and ends at the tick that it names."""
    machine = Machine(Letters)
    third = machine.when_query(lambda: machine.tick(A) == 3)
    never = machine.when_query(lambda: machine.tick(A) == 2 and A in machine)

    for _ in range(4):
        machine.toggle(A)

    transition = await third
    assert transition is not None
    assert transition.number == 3
    assert not never.is_done


async def test_a_wait_that_is_given_up_leaves_nothing(autojump_clock: MockClock) -> None:
    """M6: a timeout frees its place at once, not when the machine moves the next time."""
    machine = Machine(Letters)

    for wait in (machine.when(A), machine.when_not(A), machine.when_time({A: 3}), machine.when_ticks(A)):
        if not wait.is_done:
            with trio.move_on_after(1) as scope:
                await wait
            assert scope.cancelled_caught
    assert trio.current_time() == 3
    assert machine.more is not None
    machine.add(A)
    assert machine.when(A).is_done


async def test_a_wait_for_the_end_of_the_queue() -> None:
    """M6: made within a transition, it ends when what the handlers have queued is done, too."""
    waits: list[histrio.Future[Transition | None]] = []

    class Queueing(Handlers, states=Letters):
        @A.entered
        def queue(self, t: Nothing) -> None:
            machine.add(B)
            waits.append(machine.when_queue_ends())
            assert not waits[0].is_done

    machine = Machine(Letters)
    machine.bind(Queueing())

    machine.add(A)

    assert waits[0].is_done
    assert machine.all(A, B)


async def test_the_ticket_of_the_last_of_several() -> None:
    """M5: whoever hears that it is over sees what all before it have done."""
    seen: list[tuple[str, ...]] = []

    class Queueing(Handlers, states=Letters):
        @A.entered
        def queue(self, t: Nothing) -> None:
            machine.add(B)
            machine.add(C)
            last = machine.add(D)
            assert isinstance(last, Queued)
            last.ticket.when_over(lambda result: seen.append(machine.names))

    machine = Machine(Letters)
    machine.bind(Queueing())
    machine.add(A)

    assert [set(names) for names in seen] == [{"a", "b", "c", "d"}]


async def test_a_scope_begun_in_entered_ends_with_the_state() -> None:
    """M7: also the one of a task, when its state is removed from outside."""
    ended: list[str] = []

    class Working(Handlers, states=Letters):
        @A.entered
        async def work(self, t: Nothing) -> None:
            try:
                await trio.sleep_forever()
            finally:
                ended.append("task")

    async with Machine(Letters) as machine:
        machine.bind(Working())
        machine.add(A)
        await wait_all_tasks_blocked()
        with machine.scope(A) as scope:
            machine.remove(A)
            await trio.sleep_forever()
        assert scope.ended
        await wait_all_tasks_blocked()
        assert ended == ["task"]


async def test_a_scope_of_an_inactive_state_is_refused() -> None:
    """M7: in the original it was alive, and died when the state came."""
    machine = Machine(Letters)

    with pytest.raises(NotActive, match="'a' is not active"):
        machine.scope(A)


async def test_a_handler_that_takes_too_long(autojump_clock: MockClock) -> None:
    """M7: its deadline makes an error of its state; in the original the state vanished without one."""

    class Slow(Handlers, states=Letters):
        @A.entered(deadline_s=2)
        async def slow(self, t: Nothing) -> None:
            await trio.sleep_forever()

    async with Machine(Letters) as machine:
        machine.bind(Slow())
        machine.add(A)
        await machine.when_error()

        assert trio.current_time() == 2
        assert isinstance(machine.error, HandlerTooSlow)


async def test_a_disposed_machine_does_nothing_any_more() -> None:
    """M5, M6: mutations are CANCELED and change nothing; questions are answered as before; waits say what is the matter."""
    machine = Machine(Letters)
    machine.add(A)
    waiting = machine.when(B)
    disposed = machine.when_disposed()

    machine.dispose()
    machine.dispose()

    assert machine.is_disposed
    assert await disposed is None
    assert await machine.when_disposed() is None
    for wait in (
        waiting,
        machine.when(B),
        machine.when_args(A),
        machine.when_error(),
        machine.when_query(lambda: True),
    ):
        with pytest.raises(Disposed):
            await wait
    results = [machine.add(B), machine.remove(A), machine.set(B), machine.toggle(A), machine.can_add(B)]
    results += [machine.fail(ValueError("it is reported")), machine.evolve(Letters)]
    assert EXECUTED not in results
    assert machine.names == ("a",)
    assert machine.tick(A) == 1
    with pytest.raises(Disposed):
        machine.scope(A)


async def test_leaving_the_block_disposes() -> None:
    """M7: and waits for what belongs to its states, callbacks included."""
    seen: list[str] = []

    class Cleaning(Handlers, states=Letters):
        @A.exited
        async def clean(self, t: Nothing) -> None:
            await trio.lowlevel.checkpoint()
            seen.append("cleaned")

    async with Machine(Letters) as machine:
        machine.bind(Cleaning())
        machine.add(A)

    assert machine.is_disposed
    assert seen == ["cleaned"]
