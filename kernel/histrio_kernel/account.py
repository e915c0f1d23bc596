"""What handlers have in hand, when that has to be known: for redelivery, for a stash, for single steps.

An actor without any of these has no account, and pays nothing.
"""

# Design note
# -----------
# A message is taken out of the queue when its handler begins. Whether it has been handled is known when the handler
# has ended; what is still in hand when the incarnation ends is delivered again, as often as the class allows, or is a
# dead letter. It goes back to the front, in the order in which it was taken: an actor that restarts sees its mail in
# the order in which it came (S3).
#
# The account belongs to the place, like the inbox, so the stash survives a restart.

from __future__ import annotations

from typing import Final, final

from histrio_kernel.asks import Ask
from histrio_kernel.entries import Again, ask_of, message_of
from histrio_kernel.errors import StashFull, shown
from histrio_kernel.futures import PENDING
from histrio_kernel.inbox import Inbox

__all__ = ["Account", "Delivery"]


@final
class Delivery:
    """One message in the hand of one handler."""

    __slots__ = ("entry", "put_by", "stashed", "taken", "times", "why")

    def __init__(self, entry: object, times: int) -> None:
        self.entry: Final = entry
        self.times: Final = times
        self.stashed = False
        self.put_by: object = None
        """What stands for it in the stash."""
        self.taken: list[Delivery] | None = None
        """What its handler has taken besides, by `select`."""
        self.why = "its actor ended meanwhile"
        """Why it has not been handled."""


@final
class Account:
    """The messages of one place that have been taken and not been handled yet, and those that were put by.

    Invariant: a message is in the queue, in one hand, in the stash, or done with.
    """

    __slots__ = ("_in_hand", "_inbox", "_redeliver_max", "_stash", "_stash_max", "steps")

    def __init__(self, inbox: Inbox, redeliver_max: int, stash_max: int) -> None:
        self._inbox: Final = inbox
        self._redeliver_max: Final = redeliver_max
        self._stash_max: Final = stash_max
        self._in_hand: dict[Delivery, None] = {}
        self._stash: list[object] = []
        self.steps: int | None = None
        """How many more messages may be taken before the actor pauses; None when it is not stepped."""

    @property
    def stashed(self) -> int:
        """How many messages are put by."""
        return len(self._stash)

    # -- one message ---------------------------------------------------------------------------------------------

    def begin(self, entry: object) -> Delivery:
        """A handler takes `entry` in hand."""
        times = entry.times if type(entry) is Again else 0
        delivery = Delivery(entry.entry if type(entry) is Again else entry, times)
        self._in_hand[delivery] = None
        return delivery

    def finish(self, delivery: Delivery) -> bool:
        """Its handler has ended well. False if it put the message by, so that nobody is answered now."""
        for one in (delivery, *(delivery.taken or ())):
            self._in_hand.pop(one, None)
        return not delivery.stashed

    def refuse(self, delivery: Delivery) -> None:
        """Its handler has refused it, also if it had put it by before."""
        for one in (delivery, *(delivery.taken or ())):
            self._in_hand.pop(one, None)
        if delivery.stashed:
            self._stash = [entry for entry in self._stash if entry is not delivery.put_by]
            self._inbox.take_out(delivery.put_by)  # if it was put back already

    # -- the stash -----------------------------------------------------------------------------------------------

    def stash(self, delivery: Delivery) -> None:
        """Put the message by; it is nobody's failure if the actor fails meanwhile.

        Raises:
            StashFull: `stash_max` messages are put by already; nothing changed.
        """
        if delivery.stashed:
            return
        if len(self._stash) >= self._stash_max:
            raise StashFull(
                f"{self._inbox.path}: {len(self._stash)} messages are put by, and stash_max is {self._stash_max}."
                " Unstash some first, raise stash_max on the class, or refuse the message"
            )
        delivery.stashed = True
        delivery.put_by = Again(delivery.entry, delivery.times) if delivery.times else delivery.entry
        del self._in_hand[delivery]
        self._stash.append(delivery.put_by)

    def unstash(self) -> int:
        """Put all that is put by at the front of the queue, in order, and tell how many."""
        stash, self._stash = self._stash, []
        back = [entry for entry in stash if (ask := ask_of(entry)) is None or ask._state == PENDING]
        for entry in back:
            if isinstance(entry, Ask):
                entry.begun = False
        self._inbox.put_back(back)
        return len(back)

    # -- the end -------------------------------------------------------------------------------------------------

    def redeliver(self) -> None:
        """The incarnation has ended and there will be another: what was in its hand goes back, or is a dead letter."""
        in_hand, self._in_hand = self._in_hand, {}
        back: list[object] = []
        for delivery in in_hand:
            if isinstance(delivery.entry, Ask):
                continue  # its asker has been told
            if delivery.times < self._redeliver_max:
                back.append(Again(delivery.entry, delivery.times + 1))
            else:
                self._bury(delivery, f"{delivery.why}; see redeliver_max")
        self._inbox.put_back(back)

    def bury(self, why: str) -> None:
        """The actor has ended for good: nothing of this will be handled. Asks in the stash are answered by the inbox."""
        in_hand, self._in_hand = self._in_hand, {}
        for delivery in in_hand:
            if not isinstance(delivery.entry, Ask):
                self._bury(delivery, delivery.why)
        stash, self._stash = self._stash, []
        for entry in stash:
            if isinstance(entry, Ask):
                entry.fail(self._inbox.stopped())
            else:
                self._inbox.engine.dead_letter(self._inbox.path, message_of(entry), f"put by and never handled: {why}")

    def _bury(self, delivery: Delivery, why: str) -> None:
        if delivery.times:
            why = f"{why}; delivered {delivery.times + 1} times"
        self._inbox.engine.dead_letter(self._inbox.path, delivery.entry, why)

    def __repr__(self) -> str:
        """Count what it has."""
        return f"<Account of {shown(self._inbox.path)}: {len(self._in_hand)} in hand, {len(self._stash)} put by>"
