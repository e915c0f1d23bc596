"""What the turn of one actor promises (A1, A2, A6, A12), as a model of some fifty lines that is told what happens.

It is told of each event at the moment when it happens, and refuses those that may not happen now. When every task of
the program is blocked it is asked whether that is right: whoever may run must not be waiting.
"""

from collections import deque
from typing import Final


class TurnModel:
    """One actor. Handlers have the numbers of their messages; visitors of the turn have numbers of their own."""

    def __init__(self, *, serial: bool, in_flight_max: int, inbox_max: int) -> None:
        self.serial: Final = serial
        self.in_flight_max: Final = in_flight_max
        self.inbox_max: Final = inbox_max
        self.holder: int | None = None
        self.pending: list[int] = []  # not yet taken, oldest first: the inbox, and behind it the senders' line
        self.caught: set[int] = set()  # by a select that waited for it
        self.waiting: set[int] = set()
        self.ready: deque[int] = deque()
        self.let_in: set[int] = set()  # of `ready`: the room for whose message came with the last that was taken
        self.selecting: int | None = None
        self.dead = False

    def offered(self, message: int) -> None:
        """A message is in the inbox, or its sender stands in line."""
        if message not in self.caught:
            self.pending.append(message)

    def gone(self, message: int) -> None:
        """A message is withdrawn, refused, or taken by a select."""
        if message in self.pending:
            self.pending.remove(message)

    def begins(self, message: int) -> None:
        """The handler of a message starts."""
        assert self.holder is None, f"{self.holder} holds the turn"
        assert self.let_in.issuperset(self.ready), f"the waits of {list(self.ready)} are over, and they come first"
        assert self.selecting is None, f"{self.selecting} waits in a select"
        assert not self.dead, "the actor has been killed"
        assert len(self.waiting) < self.in_flight_max, "too many handlers are waiting"
        assert self.pending[:1] == [message], "it is not the oldest message"
        self.pending.remove(message)
        self.holder = message

    def runs(self, who: int) -> None:
        """User code of a handler or visitor runs."""
        assert self.holder == who, f"{self.holder} holds the turn"

    def waits(self, who: int, *, selects: bool) -> None:
        """It has to wait for something of Histrio's."""
        self.runs(who)
        self.let_in = set()
        if not self.serial:
            self.holder = None
        self.waiting.add(who)
        if selects:
            assert self.selecting is None, f"{self.selecting} waits in a select"
            self.selecting = who

    def ended(self, who: int, *, let_in: bool = False) -> None:
        """That wait is over: ended, failed or cancelled; or its message has left the senders' line for the inbox.

        That happens when a message is taken, whose handler then begins.
        """
        self.waiting.remove(who)
        self.let_in = {*self.let_in, who} if let_in else set()
        if self.selecting == who:
            self.selecting = None
        if not self.serial:
            self.ready.append(who)

    def lines_up(self, visitor: int) -> None:
        """A visitor wants the turn, which is not free."""
        self.ready.append(visitor)

    def enters(self, visitor: int) -> None:
        """A visitor gets the turn without having waited."""
        assert self.holder is None, f"{self.holder} holds the turn"
        assert not self.ready, f"{list(self.ready)} come first"
        self.holder = visitor

    def resumes(self, who: int) -> None:
        """It goes on after a wait, or after having stood in line."""
        self.let_in.discard(who)
        if self.serial and who not in self.ready:
            self.runs(who)
            return
        assert self.holder is None, f"{self.holder} holds the turn"
        assert self.ready, "its wait is not over"
        assert self.ready[0] == who, f"{self.ready[0]} comes first"
        self.holder = self.ready.popleft()

    def returns(self, who: int) -> None:
        """User code of a handler or visitor is over."""
        self.runs(who)
        self.let_in = set()
        self.holder = None

    def rests(self, *, blocked: set[int], told: set[int], standing: set[int], dead: bool) -> None:
        """Every task is blocked: those *blocked* in plain awaits with the turn, and the senders of those *standing*.

        Those *told*, unlike asks, have a sender who stands in line as long as there is no room.
        """
        if not dead:
            assert standing & set(self.pending) == told & set(self.pending[self.inbox_max :]), "the wrong senders wait"
        if self.holder is not None:
            assert self.holder in blocked | self.waiting, f"{self.holder} has the turn, and does not go on"
            return
        assert not self.ready, f"{list(self.ready)} could go on, and nobody has the turn"
        shut = self.dead or dead or self.selecting is not None or len(self.waiting) >= self.in_flight_max
        assert shut or not self.pending, f"{self.pending} could be handled, and nobody has the turn"
