"""A8, A11: an inbox beside two plain lists: whatever is sent, taken and withdrawn, both do the same."""

# It needs no actor: Hypothesis sends, takes and withdraws as it likes, and the model has nothing that must be quick.

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count

import histrio
from histrio import DROP_NEW, DROP_OLD, LATEST, REFUSE, WAIT
from histrio_kernel.asks import Ask
from histrio_kernel.entries import NO_ENTRY
from histrio_kernel.errors import ActorStopped
from histrio_kernel.futures import Pace, Telling
from histrio_kernel.inbox import Inbox
from histrio_kernel.overflow import Latest, Overflow, Policy
from histrio_kernel.signals import Signals


@attrs.frozen
class Note(histrio.Request[int]):
    number: int
    key: str = ""


def key_of(message: object) -> str:
    """The key by which the newest is kept."""
    assert isinstance(message, Note)
    return message.key


@attrs.define(eq=False)
class Item:
    """One message of the model; `state` is what its asker knows."""

    number: int
    key: str
    asked: bool
    state: str = "pending"


class Model:
    """Two lists: what is in, and who stands in line. What is withdrawn is gone from either."""

    def __init__(self, inbox_max: int, waiting_max: int, overflow: str) -> None:
        self.inbox_max: Final = inbox_max
        self.waiting_max: Final = waiting_max
        self.overflow: Final = overflow
        self.queue: list[Item] = []
        self.line: list[Item] = []
        self.dropped = 0

    def send(self, item: Item, *, wait: bool) -> None:
        """What becomes of one more message."""
        if self.took_a_place(item):
            return
        if len(self.queue) < self.inbox_max and not self.line:
            self.queue.append(item)
        elif self.overflow == "drop_new":
            self.drop(item)
        elif self.overflow == "drop_old":
            self.drop(self.queue.pop(0))
            self.queue.append(item)
        elif self.overflow == "refuse" or not wait or len(self.line) >= self.waiting_max:
            item.state = "full"
        else:
            self.overtake(item)
            self.line.append(item)

    def took_a_place(self, item: Item) -> bool:
        """Under LATEST: whether one of its key is in, whose place it takes."""
        same = [index for index, other in enumerate(self.queue) if other.key == item.key]
        if self.overflow != "latest" or not same:
            return False
        (index,) = same
        self.drop(self.queue[index])
        self.queue[index] = item
        self.overtake(item)
        return True

    def overtake(self, item: Item) -> None:
        """Under LATEST: of its key nobody else stands in line any more."""
        if self.overflow == "latest":
            for other in [other for other in self.line if other.key == item.key]:
                self.line.remove(other)
                self.drop(other)

    def drop(self, item: Item) -> None:
        """It will never be handled."""
        self.dropped += 1
        item.state = "dropped"

    def admit(self) -> None:
        """Who stands in line comes in as there is room."""
        while self.line and len(self.queue) < self.inbox_max:
            self.queue.append(self.line.pop(0))

    def take(self) -> int | None:
        """The number of the message that is handled next."""
        if not self.queue:
            return None
        item = self.queue.pop(0)
        item.state = "answered"
        self.admit()
        return item.number

    def withdraw(self, item: Item) -> None:
        """Its asker does not want it any more."""
        if item.state == "pending":
            item.state = "withdrawn"
            for place in (self.queue, self.line):
                if item in place:
                    place.remove(item)
            self.admit()


class Post:
    """A system in which nobody listens."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.telling: Telling = deque()
        self.signals = Signals(lambda _: None, lambda _: None)

    def now(self) -> float:
        return 0.0

    def ended(self) -> ActorStopped | None:
        return None

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        raise AssertionError

    def report(self, error: histrio.HistrioError) -> None:
        raise AssertionError(error)

    def dead_letter(self, path: str, message: object, why: str) -> None:
        assert "nobody awaited its answer" in why


OVERFLOWS: Final[dict[str, Overflow | Latest]] = {
    "wait": WAIT,
    "refuse": REFUSE,
    "drop_new": DROP_NEW,
    "drop_old": DROP_OLD,
    "latest": LATEST(key_of),
}


class Real:
    """The inbox under test, taken from as a worker takes from it."""

    def __init__(self, inbox_max: int, waiting_max: int, overflow: str) -> None:
        self.inbox: Final = Inbox(Post(), "/x", Policy(inbox_max, waiting_max, OVERFLOWS[overflow]))
        self.asks: Final[dict[int, Ask[object]]] = {}

    def send(self, item: Item, *, wait: bool) -> bool:
        """Send it; False if it was refused at once."""
        note = Note(item.number, item.key)
        try:
            if item.asked:
                self.asks[item.number] = self.inbox.ask(note, wait=wait)
            else:
                self.inbox.send_nowait(note)
        except histrio.InboxFull:
            return False
        return True

    def take(self) -> int | None:
        """The number of the message that is handled next."""
        while self.inbox.queue:
            entry = self.inbox.queue.popleft()
            self.inbox.admit()
            opened = self.inbox.open_entry(entry)
            if opened is not NO_ENTRY:
                message = opened.message if isinstance(opened, Ask) else opened
                assert isinstance(message, Note)
                if isinstance(opened, Ask):
                    opened.reply(None)
                return message.number
        return None

    def state(self, number: int) -> str:
        """What the asker of that message knows."""
        ask = self.asks[number]
        text = repr(ask)
        if "pending" in text or "cancelled" in text:
            return "pending" if "pending" in text else "withdrawn"
        if "value" in text:
            return "answered"
        return "full" if isinstance(ask._error(), histrio.InboxFull) else "dropped"


CALLS: Final = ("tell_nowait", "tell_nowait", "ask", "ask", "ask", "ask", "ask_nowait", "take", "withdraw", "withdraw")
calls: Final = st.tuples(st.sampled_from(CALLS), st.sampled_from("abc"), st.integers(0, 30))


@pytest.mark.parametrize("overflow", OVERFLOWS)
@settings(max_examples=count("inbox_examples"))
@given(
    inbox_max=st.integers(1, 3),
    waiting_max=st.sampled_from([1, 3, 20]),
    program=st.lists(calls, max_size=40),
)
def test_whatever_is_sent_taken_and_withdrawn(
    overflow: str, inbox_max: int, waiting_max: int, program: list[tuple[str, str, int]]
) -> None:
    """A8, A11: in every policy the inbox does what two plain lists do: order, outcomes, counts, bounds."""
    model, real = Model(inbox_max, waiting_max, overflow), Real(inbox_max, waiting_max, overflow)
    items: list[Item] = []
    for number, (call, key, which) in enumerate(program):
        if call == "take":
            assert real.take() == model.take()
        elif call == "withdraw":
            asked = [item for item in items if item.number in real.asks]
            if asked:
                item = asked[which % len(asked)]
                real.asks[item.number].cancel()
                model.withdraw(item)
        else:
            item = Item(number, key, asked=call != "tell_nowait")
            items.append(item)
            model.send(item, wait=call == "ask")
            taken = real.send(item, wait=call == "ask")
            assert taken == (item.state != "full" or call == "ask")
        assert (len(real.inbox), real.inbox.standing) == (len(model.queue), len(model.line))
        assert real.inbox.dropped == model.dropped
        assert [real.state(item.number) for item in items if item.number in real.asks] == [
            item.state for item in items if item.number in real.asks
        ]
    while model.queue:
        assert real.take() == model.take()
    assert real.take() is None
