"""D5: whether clients were told what one client at a time could have been told."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from itertools import chain, combinations, permutations
from random import Random

import attrs
import pytest
from tests.conftest import Show
from tests.effort import count

from histrio.testing.counterexamples import counterexample
from histrio.testing.history import Call, History, Operation
from histrio.testing.linearizability import NotLinearizable, check_linearizable, is_linearizable, lost_writes
from histrio.testing.models import (
    Add,
    CompareAndSwap,
    Counter,
    Get,
    Model,
    Pop,
    Push,
    Queue,
    Read,
    Register,
    Write,
    model,
)

Cell = Read | Write | CompareAndSwap


def by_brute_force(operations: Sequence[Operation[Cell]], of: Model[Cell]) -> bool:
    """Whether some order is right: all orders of all that returned, with every part of what did not."""
    returned = [each for each in operations if each.ended is not None]
    open_ones = [each for each in operations if each.ended is None]
    parts = chain.from_iterable(combinations(open_ones, size) for size in range(len(open_ones) + 1))
    return any(_explains(order, of) for part in parts for order in permutations([*returned, *part]))


def _explains(order: Sequence[Operation[Cell]], of: Model[Cell]) -> bool:
    for at, one in enumerate(order):
        if any(later.ended is not None and later.ended < one.began for later in order[at + 1 :]):
            return False
    state: Hashable = of.initial
    for one in order:
        state, result = of.step(state, one.what)
        if one.ended is not None and result != one.result:
            return False
    return True


def drawn(random: Random) -> list[Operation[Cell]]:
    """A history of at most six calls of three clients on one cell; the results are right, or drawn."""
    history: History[Cell] = History()
    open_calls: list[tuple[Call[Cell], Cell]] = []
    state: Hashable = 0
    register = Register(0)
    left = random.randrange(1, 7)
    while left or open_calls:
        if left and (not open_calls or (len(open_calls) < 3 and random.random() < 0.5)):
            ways: tuple[Cell, ...] = (
                Read(),
                Write(random.randrange(3)),
                CompareAndSwap(random.randrange(3), random.randrange(3)),
            )
            what = random.choice(ways)
            open_calls.append((history.begin(f"client {left}", what), what))
            left -= 1
            continue
        call, what = open_calls.pop(random.randrange(len(open_calls)))
        state, result = register.step(state, what)
        if random.random() < 0.15:
            continue  # it never returns
        if isinstance(what, Read) and random.random() < 0.3:
            result = random.randrange(3)
        call.returned(result)
    return list(history.operations)


def test_the_checker_agrees_with_brute_force(show: Show) -> None:
    """D5: on random histories of at most six calls, some of them open, the verdict is that of trying all orders."""
    random, verdicts = Random(20), {True: 0, False: 0}
    for _ in range(count("random_histories")):
        operations = drawn(random)
        expected = by_brute_force(operations, Register(0))
        assert is_linearizable(operations, Register(0)) is expected, operations
        verdicts[expected] += 1

    show(f"D5: {verdicts[True]:,} random histories that can be explained and {verdicts[False]:,} that cannot")
    assert min(verdicts.values()) > count("random_histories") // 20


def test_a_counterexample_is_drawn() -> None:
    """D5: the text names the clients, draws what overlapped, says what would have been right, and what does not matter."""
    history: History[Cell] = History()
    first = history.begin("ann", Write(1), key="x")
    first.returned()
    second = history.begin("ben", Write(2), key="x")
    read = history.begin("cid", Read(), key="x")
    read.returned(None)
    second.returned()
    history.begin("dan", Read(), key="x").returned(2)

    with pytest.raises(NotLinearizable) as raised:
        check_linearizable(history, Register())

    assert str(raised.value).splitlines() == [
        "no order of these 2 operations of 'x' explains what the clients were told:",
        "  ├───┤              ann: Write(value=1) -> None",
        "          ├───┤      cid: Read() -> None",
        "the longest order that is right: ann: Write(value=1) -> None",
        "then the state is 1, and next would have to be one of:",
        "  cid: Read() -> None, which would have returned 1",
        "left out, for it does not matter whether and when they happened: ben: Write(value=2) -> ?",
    ]


def test_what_explains_the_mistake_makes_others_superfluous() -> None:
    """D5: a write that returned is shown, and then nobody needs to be told of the read that saw it."""
    history: History[Cell] = History()
    history.begin("ann", CompareAndSwap(0, 2)).returned(True)
    history.begin("ben", Read()).returned(2)
    history.begin("cid", Read()).returned(0)

    found = counterexample(list(history.operations), Register(0))

    assert found is not None
    assert [each.client for each in found.operations] == ["ann", "cid"]


def test_a_counterexample_is_wrong_and_small(show: Show) -> None:
    """D5: what is shown of a random history cannot be explained by itself. Each call in it is needed for that, or explains
    another one, such as the write of what was read.
    """
    random, sizes, shown = Random(21), 0, 0
    for _ in range(count("random_histories") // 10):
        operations = drawn(random)
        found = counterexample(operations, Register(0))
        assert (found is None) is is_linearizable(operations, Register(0))
        if found is None:
            continue
        assert not explained_from(found.first, found.operations)
        for each in found.operations:
            others = [one for one in found.operations if one is not each]
            is_needed = explained_from(found.first, [*others, *map(forgotten, [each, *found.left_out])])
            explains = longest(found.first, others) < longest(found.first, found.operations) - (each.ended is not None)
            assert is_needed or explains, f"{each} is superfluous: {found.told(None, Register(0))}"
        sizes, shown = sizes + len(operations), shown + len(found.operations)

    show(f"D5: counterexamples of {sizes:,} operations show {shown:,} of them")
    assert 0 < shown < sizes


def forgotten(operation: Operation[Cell]) -> Operation[Cell]:
    """The same, of which nobody knows whether it happened."""
    return attrs.evolve(operation, ended=None, result=None)


def longest(state: Hashable, operations: Sequence[Operation[Cell]]) -> int:
    """How many of those that returned are in the longest beginning of an order that is right; by brute force."""
    found = 0
    for each in operations:
        others = [one for one in operations if one is not each]
        after, result = Register(0).step(state, each.what)
        is_next = not any(one.ended is not None and one.ended < each.began for one in others)
        if is_next and (each.ended is None or result == each.result):
            found = max(found, (each.ended is not None) + longest(after, others))
    return found


def explained_from(first: Hashable, operations: Sequence[Operation[Cell]]) -> bool:
    """Whether some order is right that begins with that state; by brute force."""
    assert isinstance(first, int)
    return by_brute_force(operations, Register(first))


def test_calls_that_never_returned_do_not_make_the_search_long() -> None:
    """D5: 300 calls of which every tenth never returned are explained, and refused, soon (real time: 20 s)."""
    began = time.monotonic()
    random, history, value = Random(22), History[Cell](), 0
    for number in range(300):
        if number % 10 == 9:
            history.begin(f"client {number}", Write(random.randrange(1_000, 1_010)))
        elif number % 2:
            history.begin("ann", Write(number)).returned()
            value = number
        else:
            history.begin("ben", Read()).returned(value or None)
    check_linearizable(history, Register())

    history.begin("ben", Read()).returned(-1)
    with pytest.raises(NotLinearizable, match="this operation") as raised:
        check_linearizable(history, Register())
    assert "before: " in str(raised.value) or "left out" in str(raised.value)
    assert time.monotonic() - began < 20


def test_keys_do_not_concern_each_other() -> None:
    """D5: the histories of two objects are checked apart: what one was told explains nothing of the other."""
    history: History[Cell] = History()
    history.begin("ann", Write(1), key="x").returned()
    history.begin("ben", Read(), key="y").returned(None)
    check_linearizable(history, Register())

    history.begin("ben", Read(), key="y").returned(1)
    with pytest.raises(NotLinearizable, match="of 'y'"):
        check_linearizable(history, Register())


def test_what_never_returned_may_have_happened() -> None:
    """D5: a write of which nobody heard explains a later read, and its absence explains another."""
    for seen in (None, 1):
        history: History[Cell] = History()
        history.begin("ann", Write(1))
        history.begin("ben", Read()).returned(seen)
        check_linearizable(history, Register())


def test_what_failed_has_not_happened() -> None:
    """D5: a call that certainly failed explains nothing."""
    history: History[Cell] = History()
    history.begin("ann", Write(1)).failed()
    history.begin("ben", Read()).returned(1)

    with pytest.raises(NotLinearizable):
        check_linearizable(history, Register())


def test_other_models() -> None:
    """D5: a counter, a queue, and one of your own."""
    counter: History[Add | Get] = History()
    counter.begin("ann", Add(2)).returned()
    counter.begin("ben", Get()).returned(2)
    check_linearizable(counter, Counter())

    queue: History[Push | Pop] = History()
    queue.begin("ann", Push(1)).returned()
    queue.begin("ann", Push(2)).returned()
    queue.begin("ben", Pop()).returned(2)
    with pytest.raises(NotLinearizable, match=r"Pop\(\) -> 2, which would have returned 1"):
        check_linearizable(queue, Queue())

    def maximum(state: Hashable, operation: int) -> tuple[Hashable, object]:
        assert isinstance(state, int)
        return max(state, operation), max(state, operation)

    own: History[int] = History()
    own.begin("ann", 3).returned(3)
    own.begin("ann", 2).returned(3)
    check_linearizable(own, model(0, maximum))


def test_long_histories_are_quick() -> None:
    """D5: two thousand calls one after the other, and twelve at once, take no time to speak of (real time: 20 s)."""
    began = time.monotonic()
    history: History[Cell] = History()
    for number in range(1_000):
        history.begin("ann", Write(number)).returned()
        history.begin("ben", Read()).returned(number)
    check_linearizable(history, Register())

    wide: History[Add | Get] = History()
    for call in [wide.begin(f"client {number}", Add()) for number in range(12)]:
        call.returned()
    wide.begin("ann", Get()).returned(12)
    check_linearizable(wide, Counter())

    assert time.monotonic() - began < 20


async def test_a_history_records_calls() -> None:
    """D5: what returns is told, what raises has not happened, and what is unknown stays open."""
    history: History[str] = History()

    async def answer() -> int:
        return 1

    async def fail() -> int:
        raise ValueError("no")

    assert await history.record("ann", "ask", answer) == 1
    with pytest.raises(ValueError, match="no"):
        await history.record("ann", "fail", fail)
    with pytest.raises(ValueError, match="no"):
        await history.record("ann", "unknown", fail, unknown=(ValueError,))

    assert [str(one) for one in history.operations] == ["ann: 'ask' -> 1", "ann: 'unknown' -> ?"]


def test_lost_writes() -> None:
    """D5: acknowledged means durable: the last acknowledged value of a key, or one that came after it, is there."""
    acknowledged = [("x", 1), ("y", 1), ("x", 2)]

    assert lost_writes(acknowledged, {"x": 2, "y": 1}) == []
    assert lost_writes(acknowledged, {"x": 3, "y": 1}, unacknowledged=[("x", 3)]) == []
    assert lost_writes(acknowledged, {"x": 1}) == [
        "'x' was acknowledged as 2, and 1 was found",
        "'y' was acknowledged as 1, and nothing was found",
    ]
