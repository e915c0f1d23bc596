"""Where messages wait for an actor, in order, bounded; and where senders wait when it is full.

Only this file adds to the queue; the turn takes from it. Everybody who stands in line is told, once: moved in,
refused, or withdrawn.
"""

# Design note
# -----------
# Not a Trio memory channel (DESIGN A11): a task that waits in its `receive` takes a message out before the actor may
# run it, which spoils pausing, the in-flight bound, `LATEST` and `select`; and it costs half the speed.
#
# `limit` is what makes `tell` cheap: the fast path compares one length with one number. Whatever is unusual (closed,
# a select is waiting, signals are heard, conflation) sets `limit` to -1, and the slow path sorts it out.
#
# `hungry` means: the turn is free and may be used, so whoever adds mail kicks the taker. The taker is set once, when
# both exist; an inbox without one is a queue that somebody polls.
#
# A withdrawn ask stays in the queue as a tombstone, counted in `withdrawn`: removing it from the middle would make
# cancelling slow. Room is counted without the tombstones, and they are swept out when they are many.

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, Final, Protocol, final

from trio.lowlevel import enable_ki_protection

from histrio_kernel.asks import Ask, Post
from histrio_kernel.entries import NO_ENTRY, Slot, ask_of, message_of, withdrawn
from histrio_kernel.errors import ActorStopped, InboxFull, MessageDropped, Reason, SelectStalled, shown
from histrio_kernel.futures import CANCELLED, ERROR, PENDING, VALUE, Future, Waiter
from histrio_kernel.overflow import Latest, Overflow, Policy
from histrio_kernel.signals import Kind

__all__ = ["Inbox", "Selection", "Standing", "Taker", "Verdict"]


@final
class Standing(Future[None]):
    """A `tell` that stands in the senders' line of a full inbox."""

    __slots__ = ("inbox", "message")

    def __init__(self, inbox: Inbox, message: object) -> None:
        super().__init__(inbox.engine)
        self.inbox: Final = inbox
        self.message = message

    def _abandon(self, waiter: Waiter) -> bool:
        self._detach(waiter)
        self._leave_line()
        return True

    def _request_cancel(self) -> None:
        self._leave_line()
        self._settle(CANCELLED, None)

    def _leave_line(self) -> None:
        if self.inbox.line is not None:
            self.inbox.line.pop(self, None)

    def _waits_for_mail(self, inbox: object, in_hand: Collection[object]) -> bool:
        return self.inbox is inbox

    def _about(self) -> str:
        return f"tell to {self.inbox.path}"


@final
class Selection(Future[object]):
    """A handler that waits for one particular message (A12). Settled with the entry that matched."""

    __slots__ = ("drops", "inbox", "match", "stalls")

    def __init__(self, inbox: Inbox, match: Callable[[object], bool], *, drops: bool, stalls: bool = True) -> None:
        super().__init__(inbox.engine)
        self.inbox: Final = inbox
        self.match: Final = match
        self.drops: Final = drops
        self.stalls: Final = stalls  # it waits for mail and nothing else

    def _abandon(self, waiter: Waiter) -> bool:
        self._detach(waiter)
        self.inbox.end_selection(CANCELLED, None)
        return True

    def _about(self) -> str:
        return f"select in {self.inbox.path}"


_NEVER_USED: Final[deque[object]] = deque(maxlen=0)


class Taker(Protocol):
    """Whoever takes messages out of an inbox."""

    def kick(self) -> None:
        """There is mail."""
        ...


@final
class _Nobody:
    """The taker of an inbox that nobody reads yet."""

    def kick(self) -> None:
        """There is mail, and it waits."""


_NOBODY: Final = _Nobody()


class Verdict(enum.Enum):
    """What became of an offered entry."""

    TAKEN = 1
    DROPPED = 2
    FULL = 3


@final
class Inbox:
    """A bounded queue of messages and asks, and the line of those who wait for room in it.

    Invariants: `len(queue) - withdrawn <= inbox_max`, except for what its own actor tells itself first, unstashes or
    is given again; the line is
    empty unless the queue is full; nobody joins the line of a closed inbox, and `refuse_line` or `finish` tells those
    who stand in it.
    """

    __slots__ = (
        "closed",
        "copies",
        "dropped",
        "engine",
        "hungry",
        "incarnation",
        "limit",
        "line",
        "path",
        "policy",
        "queue",
        "replies_dropped",
        "selection",
        "slots",
        "taker",
        "withdrawn",
    )

    def __init__(self, engine: Post, path: str, policy: Policy) -> None:
        self.engine: Final[Post] = engine
        self.path: Final = path
        self.policy: Final = policy
        self.taker: Taker = _NOBODY
        self.queue: deque[object] = _NEVER_USED
        self.line: OrderedDict[Standing | Ask[Any], None] | None = None
        self.hungry = False
        self.incarnation = 1
        """Of the actor that reads it; known here too, because an inbox is what a ref keeps of an actor that has ended."""
        self.withdrawn = 0
        self.dropped = 0
        self.replies_dropped = 0
        self.closed: Reason | None = None
        self.selection: Selection | None = None
        self.slots: dict[Hashable, Slot] | None = None
        self.copies: list[tuple[Inbox, Callable[[object], bool]]] | None = None
        self.limit = -1  # the queue is not made yet

    def __len__(self) -> int:
        """How many messages wait, withdrawn asks not counted."""
        return len(self.queue) - self.withdrawn

    @property
    def standing(self) -> int:
        """How many senders wait for room."""
        return len(self.line) if self.line else 0

    def open_queue(self) -> deque[object]:
        """The queue, which is made when it is first needed: it is a fifth of an actor that was never used."""
        if self.queue is _NEVER_USED:
            self.queue = deque()
            self.set_limit()
        return self.queue

    def drop_queue(self) -> None:
        """Nobody has used the actor lately: an empty queue need not be kept."""
        if not self.queue:
            self.queue = _NEVER_USED
            self.set_limit()

    def set_limit(self) -> None:
        """Choose between the fast path and the slow one; called whenever something unusual begins or ends."""
        unusual = (
            self.closed is not None
            or self.queue is _NEVER_USED
            or self.selection is not None
            or self.engine.signals.heard
            or self.copies is not None
            or isinstance(self.policy.overflow, Latest)
        )
        self.limit = -1 if unusual else self.policy.inbox_max

    # -- sending -------------------------------------------------------------------------------------------------

    async def send(self, message: object) -> None:
        """Deliver `message`, waiting in line while there is no room. Cancellation is atomic.

        Raises:
            ActorStopped: the inbox is closed, or was closed while this stood in line; not delivered.
            InboxFull: full, and the policy is `REFUSE`; not delivered.
        """
        if self.offer(message) is not Verdict.FULL:
            return
        if self.policy.overflow is Overflow.REFUSE:
            raise self._full()
        standing = Standing(self, message)
        self.line_up(standing)
        await standing

    def send_nowait(self, message: object) -> None:
        """Deliver `message` now.

        Raises:
            ActorStopped: the inbox is closed; not delivered.
            InboxFull: there is no room and the policy drops nothing; not delivered.
        """
        if self.offer(message) is Verdict.FULL:
            raise self._full()

    def ask(self, message: object, *, wait: bool) -> Ask[Any]:
        """Deliver `message` as an ask, or let it stand in line; whatever is wrong is the outcome of the future."""
        ask: Ask[Any] = Ask(self, message)
        if self.closed is not None:
            ask.fail(self.stopped())
            return ask
        if self.offer(ask) is Verdict.FULL:
            if not wait:
                raise self._full()
            if self.policy.overflow is Overflow.REFUSE or self.standing >= self.policy.waiting_max:
                ask.fail(self._full())
            else:
                self.line_up(ask)
        return ask

    @enable_ki_protection
    def offer(self, entry: object) -> Verdict:
        """Take `entry` in if there is room or the policy makes some.

        Raises:
            ActorStopped: the inbox is closed.
        """
        if self.closed is not None:
            raise self.stopped()
        verdict = self._offer(entry)
        if self.copies is not None and verdict is Verdict.TAKEN:
            self._copy(message_of(entry))
        return verdict

    def _offer(self, entry: object) -> Verdict:
        selection = self.selection
        if selection is not None:
            verdict = self._select(selection, entry)
            if verdict is not None:
                return verdict
        if isinstance(self.policy.overflow, Latest) and self._conflate(self.policy.overflow, entry):
            return Verdict.TAKEN
        if not self.has_room():
            return self._overflow(entry)
        self._append(entry)
        self._stall_if_full()
        return Verdict.TAKEN

    def copy_to(self, other: Inbox, takes: Callable[[object], bool]) -> None:
        """`other` gets a copy of what waits here now, and of what comes in from now on, of messages that it takes."""
        self.copies = [*(self.copies or ()), (other, takes)]
        self.set_limit()
        for entry in tuple(self.queue):
            if not withdrawn(entry):
                _copy_to(other, takes, message_of(entry))

    def _copy(self, message: object) -> None:
        self.copies = [(other, takes) for other, takes in self.copies or () if other.closed is None] or None
        for other, takes in self.copies or ():
            _copy_to(other, takes, message)
        if self.copies is None:
            self.set_limit()

    def has_room(self) -> bool:
        """Whether one more message fits and nobody stands before it."""
        room = self.policy.inbox_max - len(self.queue) + self.withdrawn
        return room > 0 and not self.line

    def put_first(self, message: object) -> None:
        """Put `message` ahead of all others, also when there is no room (`tell_first`)."""
        if self.copies is not None:
            self._copy(message)
        if self.selection is not None and self._select(self.selection, message) is not None:
            return
        self.open_queue().appendleft(message)
        if self.hungry:
            self.taker.kick()

    def put_back(self, entries: Sequence[object]) -> None:
        """Put what was taken ahead of all others again, in this order, also when there is no room."""
        if entries:
            self.open_queue().extendleft(reversed(entries))
            if self.hungry:
                self.taker.kick()

    def take_out(self, entry: object) -> None:
        """Take this very entry out, wherever it stands, if it is there."""
        for place, one in enumerate(self.queue):
            if one is entry:
                del self.queue[place]
                return

    def _append(self, entry: object) -> None:
        if isinstance(self.policy.overflow, Latest):
            key = self.policy.overflow.key(message_of(entry))
            entry = Slot(key, entry)
            self.slots = self.slots if self.slots is not None else {}
            self.slots[key] = entry
        self.open_queue().append(entry)
        if self.withdrawn > self.policy.inbox_max:
            self._sweep()
        if self.hungry:
            self.taker.kick()

    def _overflow(self, entry: object) -> Verdict:
        self._tell_of(Kind.BACKOFF, entry)
        overflow = self.policy.overflow
        if overflow is Overflow.DROP_NEW:
            self.drop(entry)
            return Verdict.DROPPED
        if overflow is Overflow.DROP_OLD:
            self._sweep()
            full = len(self.queue) >= self.policy.inbox_max
            oldest = self.queue.popleft() if full else NO_ENTRY
            self._append(entry)
            if full:
                self.drop(oldest)  # after the queue is as it will be: who hears of it may send
            return Verdict.TAKEN
        return Verdict.FULL

    def _conflate(self, latest: Latest, entry: object) -> bool:
        """Put `entry` in the place of a queued one of its key, if there is one."""
        key = latest.key(message_of(entry))
        slot = self.slots.get(key) if self.slots else None
        if slot is None:
            return False
        self._outdate(latest, key)
        older, slot.entry = slot.entry, entry
        self.drop(older)
        return True

    def _outdate(self, latest: Latest, key: Hashable) -> None:
        """Those of this key who stand in line have been overtaken by a later message: they are delivered, and dropped."""
        for entry in [one for one in self.line or () if latest.key(one.message) == key]:
            assert self.line is not None
            del self.line[entry]
            if isinstance(entry, Standing):
                self.drop(entry.message)
                entry._settle(VALUE, None)
            else:
                self.drop(entry)

    def drop(self, entry: object) -> None:
        """`entry` will never be handled, by policy: count it, tell of it, answer its asker."""
        self.dropped += 1
        self._tell_of(Kind.DROP, entry)
        if isinstance(entry, Ask):
            entry.fail(MessageDropped(f"{self.path} dropped {shown(entry.message)} by its overflow policy or a filter"))

    def _full(self) -> InboxFull:
        return InboxFull.at(self.path, len(self), self.standing)

    def _tell_of(self, kind: Kind, entry: object) -> None:
        if self.engine.signals.heard:
            self.engine.signals.emit(self.path, kind, message_of(entry))

    # -- the line ------------------------------------------------------------------------------------------------

    def line_up(self, entry: Standing | Ask[Any]) -> None:
        """Let `entry` stand in line until there is room: then its message is read, and it is told at once."""
        if self.line is None:
            self.line = OrderedDict()
        elif isinstance(self.policy.overflow, Latest):
            self._outdate(self.policy.overflow, self.policy.overflow.key(entry.message))
        self.line[entry] = None

    @enable_ki_protection
    def admit(self) -> None:
        """Move those who stand in line into the queue, in order, as far as there is room."""
        line = self.line
        while line and len(self.queue) - self.withdrawn < self.policy.inbox_max:
            entry, _ = line.popitem(last=False)
            message = entry.message if isinstance(entry, Standing) else entry
            if not (isinstance(self.policy.overflow, Latest) and self._conflate(self.policy.overflow, message)):
                self._append(message)
            if self.copies is not None:
                self._copy(message_of(entry.message))
            if isinstance(entry, Standing):
                entry._settle(VALUE, None)

    @enable_ki_protection
    def withdraw(self, ask: Ask[Any]) -> None:
        """A queued or standing `ask` is not wanted any more."""
        self._tell_of(Kind.DROP, ask)
        if self.line is not None and ask in self.line:
            del self.line[ask]
            return
        self.withdrawn += 1
        if isinstance(self.policy.overflow, Latest) and self.slots:
            slot = self.slots.get(self.policy.overflow.key(ask.message))
            if slot is not None and slot.entry is ask:
                self._forget_slot(slot)  # nobody may take the place of a tombstone
        if self.closed is None:
            self.admit()

    def _sweep(self) -> None:
        """Take the tombstones of withdrawn asks out."""
        if self.withdrawn:
            entries = list(self.queue)
            self.queue.clear()
            self.queue.extend(entry for entry in entries if not withdrawn(entry))
            for entry in entries:
                if type(entry) is Slot and withdrawn(entry):
                    self._forget_slot(entry)
            self.withdrawn = 0

    # -- taking --------------------------------------------------------------------------------------------------

    def open_entry(self, entry: object) -> object:
        """What was just taken from the queue, out of its slot; `NO_ENTRY` if it had been withdrawn."""
        if type(entry) is Slot:
            self._forget_slot(entry)
            entry = entry.entry
        ask = ask_of(entry)
        if ask is not None:
            if ask._state != PENDING:
                self.withdrawn -= 1
                return NO_ENTRY
            ask.begun = True
        return entry

    def _forget_slot(self, slot: Slot) -> None:
        if self.slots is not None and self.slots.get(slot.key) is slot:
            del self.slots[slot.key]

    def find(self, match: Callable[[object], bool], *, drops: bool) -> object:
        """Take the first entry out whose message matches, or `NO_ENTRY`; with *drops*, those before it are dropped."""
        while True:
            index, entry = self._place_of(match)
            if drops:
                self._drop_first(index)
                index = 0
            if entry is not NO_ENTRY:
                del self.queue[index]
                entry = self.open_entry(entry)
            if self.line:
                self.admit()
            if entry is not NO_ENTRY or not drops or not self.queue:
                return entry

    def _place_of(self, match: Callable[[object], bool]) -> tuple[int, object]:
        for place, entry in enumerate(self.queue):
            if not withdrawn(entry) and match(message_of(entry)):
                return place, entry
        return len(self.queue), NO_ENTRY

    def _drop_first(self, count: int) -> None:
        for _ in range(count):
            skipped = self.open_entry(self.queue.popleft())
            if skipped is not NO_ENTRY:
                self.drop(skipped)

    # -- select --------------------------------------------------------------------------------------------------

    def begin_selection(self, selection: Selection) -> None:
        """From now on, what comes in is shown to `selection` first.

        Raises:
            SelectStalled: the inbox is full of other mail already.
        """
        assert self.selection is None
        self.selection = selection
        self.set_limit()
        self._stall_if_full()

    def end_selection(self, state: int, result: object) -> None:
        """The selection is over, with this outcome; a cancelled one tells nobody."""
        selection = self.selection
        if selection is not None:
            self.selection = None
            self.set_limit()
            if selection._state == PENDING:
                selection._settle(state, result)

    def _select(self, selection: Selection, entry: object) -> Verdict | None:
        """Show a new entry to the selection; None if it is to be queued."""
        try:
            matches = selection.match(message_of(entry))
        except Exception as error:
            self.end_selection(ERROR, error)
            return None
        if matches:
            ask = ask_of(entry)
            if ask is not None:
                ask.begun = True
            self.end_selection(VALUE, entry)
            return Verdict.TAKEN
        if selection.drops:
            if self.copies is not None:  # it has come in, though nobody here handles it
                self._copy(message_of(entry))
            self.drop(entry)
            return Verdict.DROPPED
        return None

    def _stall_if_full(self) -> None:
        """End a selection that nothing can come in for any more; `DROP_OLD` always makes room."""
        selection = self.selection
        if selection is None or not selection.stalls:
            return
        if self.has_room() or self.policy.overflow is Overflow.DROP_OLD:
            return
        text = f"{self.path}: select waits, and its inbox is full with {len(self)} other messages; nothing can come in."
        self.end_selection(ERROR, SelectStalled(text + " Handle or filter them first, or raise inbox_max"))

    # -- the end -------------------------------------------------------------------------------------------------

    @enable_ki_protection
    def close(self, reason: Reason) -> None:
        """Take nothing in any more."""
        if self.closed is None:
            self.closed = reason
            self.set_limit()

    @enable_ki_protection
    def reopen(self) -> None:
        """There is another incarnation: take messages in again, and let those in who stand in line."""
        self.closed = None
        self.set_limit()
        self.admit()

    @enable_ki_protection
    def refuse_line(self) -> None:
        """Tell those who stand in line that they will not be let in."""
        while self.line:  # who is told may cancel another, which has to find itself in the line
            entry, _ = self.line.popitem(last=False)
            if isinstance(entry, Ask):
                entry.fail(self.stopped())
            else:
                entry._settle(ERROR, self.stopped())
        self.line = None

    @enable_ki_protection
    def finish(self, reason: Reason) -> None:
        """The actor has ended: answer every queued ask; what was only told becomes a dead letter (A10)."""
        self.close(reason)
        self.closed = reason
        self.refuse_line()
        while self.queue:
            entry = self.open_entry(self.queue.popleft())
            if isinstance(entry, Ask):
                entry.fail(self.stopped())
            elif entry is not NO_ENTRY:
                self.engine.dead_letter(self.path, message_of(entry), f"never handled: {reason}")

    def stopped(self) -> ActorStopped:
        """The error of somebody who comes too late."""
        assert self.closed is not None
        return ActorStopped(self.path, self.closed, "it takes no more messages")


def _copy_to(other: Inbox, takes: Callable[[object], bool], message: object) -> None:
    """Nobody waits for a copy to fit: one too many is dropped."""
    if other.closed is None and takes(message) and other.offer(message) is Verdict.FULL:
        other.drop(message)
