"""M6: each kind of wait comes true when it should, tells in which transition, and is not asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
import trio
from tests.machine.shell.lab import Letters, Page, assert_idle, is_listening, now, waits_of
from trio.testing import MockClock

from histrio_kernel.futures import Future
from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.errors import Disposed
from histrio_kernel.machine.shell.machine import Machine

A, B, C = Letters.a, Letters.b, Letters.c

Make = Callable[[Machine], "Future[Transition | None]"]
Deed = Callable[[Machine], object]

# What is waited for, what comes first and does not make it true, and what does.
WAITS: Final[dict[str, tuple[Make, Deed, Deed]]] = {
    "when": (lambda m: m.when(A), lambda m: m.add(B), lambda m: m.add(A)),
    "when several": (lambda m: m.when(A, B), lambda m: m.toggle(A), lambda m: m.add(A, B)),
    "when nothing is left": (lambda m: m.when_not(C), lambda m: m.add(A), lambda m: m.remove(C)),
    "when none of several": (lambda m: m.when_not(C, A), lambda m: m.toggle(A), lambda m: m.set(B)),
    "when a tick": (lambda m: m.when_time({A: 3}), lambda m: m.toggle(A), lambda m: (m.remove(A), m.add(A))),
    "when ticks": (lambda m: m.when_time({A: 1, B: 1}), lambda m: m.add(A), lambda m: m.add(B)),
    "when so many ticks": (lambda m: m.when_ticks(C), lambda m: m.remove(C), lambda m: m.add(C)),
    "when arguments": (
        lambda m: m.when_args(Letters.page, url="x"),
        lambda m: m.add(Letters.page(url="y")),
        lambda m: (m.remove(Letters.page), m.add(Letters.page(url="x"))),
    ),
    "when arguments match": (
        lambda m: m.when_args(Letters.page, at_level_two, url="x"),
        lambda m: m.add(Letters.page(url="x", level=1)),
        lambda m: (m.remove(Letters.page), m.add(Letters.page(url="x", level=2))),
    ),
    "when error": (lambda m: m.when_error(), lambda m: m.add(A), lambda m: m.fail(ValueError("x"))),
    "when a question": (lambda m: m.when_query(lambda: m.tick(A) == 2), lambda m: m.add(A), lambda m: m.remove(A)),
}


def at_level_two(page: Page) -> bool:
    """Whether it is."""
    return page.level == 2


def with_c() -> Machine:
    """A machine in which C is active."""
    machine = Machine(Letters)
    machine.add(C)
    return machine


@pytest.mark.parametrize("kind", WAITS)
async def test_a_wait_tells_the_transition_in_which_it_came_true(kind: str, autojump_clock: MockClock) -> None:
    """M6: not before, then at once; its value is that transition, and it holds nothing any more."""
    make, before, then = WAITS[kind]
    machine = with_c()
    wait = make(machine)

    before(machine)
    assert not wait.is_done
    assert waits_of(machine) == 1
    last = machine._more().transitions
    then(machine)

    transition = now(wait)
    assert isinstance(transition, Transition)
    assert last < transition.number == machine._more().transitions
    assert transition.moved
    assert_idle(machine)


@pytest.mark.parametrize("kind", [kind for kind in WAITS if "arguments" not in kind])
async def test_what_is_true_already_is_not_waited_for(kind: str, autojump_clock: MockClock) -> None:
    """M6: the value is None then, and the machine need not tell of its transitions."""
    make, before, then = WAITS[kind]
    machine = with_c()
    if kind == "when so many ticks":
        make = partial_ticks
    before(machine)
    then(machine)

    assert now(make(machine)) is None
    assert_idle(machine)


def partial_ticks(machine: Machine) -> Future[Transition | None]:
    """Of no ticks."""
    return machine.when_ticks(C, 0)


async def test_arguments_belong_to_the_moment(autojump_clock: MockClock) -> None:
    """M6: a state that has entered with such arguments before does not count."""
    machine = Machine(Letters)
    machine.add(Letters.page(url="x"))

    wait = machine.when_args(Letters.page, url="x")

    assert not wait.is_done
    wait.cancel()
    assert_idle(machine)


async def test_arguments_of_a_call_again_count(autojump_clock: MockClock) -> None:
    """M6: a state without Multi that is called again does not enter, so its arguments are nobody's."""
    machine = Machine(Letters)
    machine.add(Letters.page(url="x"))
    wait = machine.when_args(Letters.page, url="y")

    machine.add(Letters.page(url="y"))

    assert not wait.is_done
    wait.cancel()


async def test_a_wait_is_a_level(autojump_clock: MockClock) -> None:
    """M6: what is waited for must be true when the transition is over, with all states at once."""
    machine = Machine(Letters)
    both = machine.when(A, B)

    machine.add(A)
    machine.remove(A)
    machine.add(B)
    assert not both.is_done
    machine.add(A)

    assert both.is_done


async def test_each_of_several_waiters_gets_the_same(autojump_clock: MockClock) -> None:
    """M6, F1: a wait can be awaited by several tasks, and again when it is over."""
    machine = Machine(Letters)
    wait = machine.when(A)
    got: list[Transition | None] = []

    async def look() -> None:
        got.append(await wait)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        machine.add(A)
    got.append(await wait)

    assert len(got) == 4
    assert len(set(map(id, got))) == 1


async def test_a_question_is_asked_once_for_each_transition_that_moved_a_clock(autojump_clock: MockClock) -> None:
    """M6: not for one that was refused or changed nothing."""
    machine = Machine(Letters)
    asked: list[int] = []

    def ask() -> bool:
        asked.append(machine._more().transitions)
        return False

    wait = machine.when_query(ask)
    machine.add(A)
    machine.add(A)
    machine.add(Letters.again)
    machine.add(Letters.again)
    machine.remove(A)
    machine.add(Letters.higher)
    machine.can_add(B)

    assert asked == [0, 1, 3, 4, 5]
    wait.cancel()
    assert_idle(machine)


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_a_question_raises_is_raised_in_who_waits(at_once: bool, autojump_clock: MockClock) -> None:
    """M6: and the machine, and the other waits, go on."""
    machine = Machine(Letters)
    if at_once:
        machine.add(A)

    def ask() -> bool:
        return 1 // (1 - machine.tick(A)) > 1

    first, wait, last = machine.when(B), machine.when_query(ask), machine.when(A, B)
    if at_once:
        assert wait.is_done
    machine.add(A, B)

    with pytest.raises(ZeroDivisionError):
        await wait
    assert (first.is_done, last.is_done) == (True, True)
    assert machine.error is None
    assert_idle(machine)


async def test_what_a_match_raises_is_raised_in_who_waits(autojump_clock: MockClock) -> None:
    """M6: the same of the function of `when_args`."""
    machine = Machine(Letters)

    def match(page: Page) -> bool:
        raise ValueError(page.url)

    wait = machine.when_args(Letters.page, match)
    machine.add(Letters.page(url="x"))

    with pytest.raises(ValueError, match="x"):
        await wait
    assert machine.error is None
    assert_idle(machine)


@pytest.mark.parametrize("kind", WAITS)
async def test_disposal_fails_what_waits(kind: str, autojump_clock: MockClock) -> None:
    """M6: nobody is left waiting, nor begins to wait for what cannot come."""
    make, _, _ = WAITS[kind]
    machine = with_c()
    wait, gone = make(machine), machine.when_disposed()

    machine.dispose()
    with pytest.raises(Disposed):
        await wait
    with pytest.raises(Disposed):
        await make(machine)

    assert now(gone) is None
    assert now(machine.when_disposed()) is None
    assert_idle(machine)


async def test_a_state_that_is_none_is_refused_where_it_is_written(autojump_clock: MockClock) -> None:
    """M6: with the nearest name; and what a state's arguments do not have."""
    machine = Machine(Letters)

    with pytest.raises(UnknownState, match="higher"):
        machine.when("hihger")
    with pytest.raises(TypeError, match="did you mean 'level'"):
        machine.when_args(Letters.page, levle=1)
    with pytest.raises(TypeError, match="has no argument 'url'"):
        machine.when_args(A, url="x")

    assert_idle(machine)


async def test_a_machine_listens_only_while_somebody_waits(autojump_clock: MockClock) -> None:
    """M6: a wait that is over costs nothing from then on."""
    machine = Machine(Letters)
    machine.add(A)
    assert not is_listening(machine)
    first, second = machine.when(B), machine.when(B, C)
    assert is_listening(machine)

    machine.add(B)
    assert first.is_done
    assert is_listening(machine)
    second.cancel()

    assert_idle(machine)


async def test_a_wait_says_what_it_is_for(autojump_clock: MockClock) -> None:
    """M6: its repr, which stands in the errors too."""
    machine = Machine(Letters)
    waits = (machine.when(A, B), machine.when_not(A), machine.when_time({A: 3}), machine.when_error())

    assert [repr(wait) for wait in waits] == [
        "<Active when a, b pending>",
        "<Inactive when not a value>",
        "<Ticks when a have ticked pending>",
        "<Active when exception pending>",
    ]
    machine.dispose()
    with pytest.raises(Disposed, match="what was waited for will not come: <Active when a, b"):
        await waits[0]
