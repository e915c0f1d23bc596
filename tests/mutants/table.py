"""Ways to get the turn wrong: each is one change of the kernel that some test must notice.

A mutant that no test kills is a promise that no test keeps. `old` stands exactly once in its file; where the kernel
has been rewritten, the mutant is rewritten too.
"""

from typing import Final

import attrs

TURN: Final = "tests/actors/test_turn.py"
BOUNDS: Final = "tests/actors/test_turn_bounds.py"
VISITS: Final = "tests/actors/test_turn_visits.py"
COST: Final = "tests/actors/test_turn_cost.py"
WATCHDOG: Final = "tests/actors/test_turn_watchdog.py"
NATIVE: Final = "tests/actors/test_turn_a4.py"
CANCELLED: Final = "tests/actors/test_turn_cancelled.py"
MODEL: Final = "tests/kernel/test_turn_model.py"


@attrs.frozen
class Mutant:
    """One wrong change: in which file of the kernel, what stands there, what instead, why that is wrong, who sees it."""

    name: str
    file: str
    old: str
    new: str
    why: str
    killed_by: str


MUTANTS: Final = (
    # -- turn: who comes next --------------------------------------------------------------------------------------
    Mutant(
        "last-ready-first",
        "turn.py",
        "self._grant(self.ready.popleft())",
        "self._grant(self.ready.pop())",
        "handlers resume in the order in which their waits ended (A2)",
        TURN,
    ),
    Mutant(
        "ready-overtakes",
        "turn.py",
        "self.ready.append(worker)",
        "self.ready.appendleft(worker)",
        "handlers resume in the order in which their waits ended (A2)",
        MODEL,
    ),
    Mutant(
        "mail-before-ready",
        "handling.py",
        "if turn.ready or turn.gate & SHUT or not queue:",
        "if turn.gate & SHUT or not queue:",
        "a wait that is over comes before new messages (A2)",
        TURN,
    ),
    Mutant(
        "mail-starts-a-second",
        "turn.py",
        "        if self.free:\n            assert not self.ready\n",
        "        if True:\n",
        "mail that comes while a handler runs must not start another (A1)",
        CANCELLED,
    ),
    Mutant(
        "resumes-beside-the-holder",
        "turn.py",
        "        if self.free:  # so nobody else is ready\n",
        "        if True:\n",
        "a handler whose wait is over waits for the turn (A1)",
        MODEL,
    ),
    Mutant(
        "keeps-the-turn-while-it-waits",
        "turn.py",
        "        future._attach(self)\n        turn.release()\n",
        "        future._attach(self)\n",
        "what a handler awaits from Histrio gives the turn away (A2)",
        TURN,
    ),
    Mutant(
        "never-hungry",
        "turn.py",
        "            self.inbox.hungry = not self.gate & SHUT\n",
        "            self.inbox.hungry = False\n",
        "mail that comes while the turn is free has to wake somebody",
        MODEL,
    ),
    # -- turn: the bound -------------------------------------------------------------------------------------------
    Mutant(
        "one-too-many",
        "turn.py",
        "        if turn.suspended + 1 >= turn.in_flight_max:\n            self._refuse_cycle(future)",
        "        if turn.suspended >= turn.in_flight_max:\n            self._refuse_cycle(future)",
        "`in_flight_max` handlers may wait, and not one more (A6)",
        MODEL,
    ),
    Mutant(
        "full-for-ever",
        "turn.py",
        "                self.gate &= ~FULL\n",
        "                pass\n",
        "when a handler goes on, the next message is taken again (A6)",
        BOUNDS,
    ),
    Mutant(
        "reopened-at-the-bound",
        "turn.py",
        "            if self.gate & FULL and self.suspended < self.in_flight_max:\n",
        "            if self.gate & FULL:\n",
        "a visitor that waits may be one more than the bound; when it goes on the bound still holds (A6, A17)",
        VISITS,
    ),
    Mutant(
        "visitors-count-as-handlers",
        "turn.py",
        "        if not worker.enters:  # a visitor",
        "        if True:  # a visitor",
        "a visitor that stands in line is no handler in flight (A6)",
        VISITS,
    ),
    Mutant(
        "ready-ones-are-in-the-cycle",
        "turn.py",
        "        if self.ready:\n            return False\n",
        "",
        "who has only to get the turn is in no cycle (A6)",
        BOUNDS,
    ),
    Mutant(
        "any-is-a-cycle",
        "turn.py",
        "        return all(one._waits_for_mail(self.inbox, in_hand) for one in futures)",
        "        return any(one._waits_for_mail(self.inbox, in_hand) for one in futures)",
        "as long as one of them can go on there is no cycle (A6)",
        BOUNDS,
    ),
    Mutant(
        "only-untaken-asks-are-a-cycle",
        "turn.py",
        "for w in (caller, *others) if w.asked is not None]",
        "for w in (caller,) if w.asked is not None]",
        "a recursion deeper than the bound waits for ever (A6)",
        BOUNDS,
    ),
    Mutant(
        "refused-and-delivered",
        "turn.py",
        "            future.cancel()  # refused is not delivered\n",
        "",
        "a tell that raised AskCycle was not delivered (A8)",
        BOUNDS,
    ),
    # -- turn: cancellation ----------------------------------------------------------------------------------------
    Mutant(
        "cancelled-without-the-turn",
        "turn.py",
        "                self.error = capture(raise_cancel)\n                self.turn.make_ready(self)\n        return Abort.FAILED",
        "                self.turn.suspended -= 1\n                self.state = RUNNING\n                return Abort.SUCCEEDED\n        return Abort.FAILED",
        "`except` and `finally` of a cancelled handler run with the turn (A4)",
        NATIVE,
    ),
    Mutant(
        "cancelled-when-ready",
        "turn.py",
        "                self.turn.make_ready(self)\n        return Abort.FAILED",
        "                self.turn.make_ready(self)\n        elif self.state is READY:\n            self.error = capture(raise_cancel)\n        return Abort.FAILED",
        "what completed before the cancel is delivered (A4)",
        MODEL,
    ),
    Mutant(
        "cancelled-and-not-told",
        "turn.py",
        "                self.error = capture(raise_cancel)\n                self.turn.make_ready(self)\n",
        "                self.turn.make_ready(self)\n",
        "the wait of a cancelled handler raises Cancelled",
        CANCELLED,
    ),
    Mutant(
        "value-after-cancel-is-lost",
        "turn.py",
        "        if self.raise_cancel is not None and future._state == CANCELLED:\n",
        "        if self.raise_cancel is not None:\n",
        "an operation that completed after all is delivered (F5)",
        CANCELLED,
    ),
    Mutant(
        "idle-workers-do-not-see-the-end",
        "turn.py",
        "        self.turn.owner.cancelled()\n",
        "",
        "after a cancellation from outside no worker may be started: its nursery is cancelled",
        CANCELLED,
    ),
    Mutant(
        "takes-the-turn-along",
        "turn.py",
        "        if had_turn:\n            self.turn.release()\n",
        "",
        "a worker that ends passes the turn on: the others have to unwind (A10)",
        VISITS,
    ),
    Mutant(
        "stops-with-handlers-in-flight",
        "turn.py",
        "            if self.tells_quiet and not self.suspended:\n",
        "            if self.tells_quiet:\n",
        "an actor has drained when its waiting handlers have ended too",
        BOUNDS,
    ),
    Mutant(
        "the-host-retires",
        "turn.py",
        "        spares = [worker for worker in self.idle if not worker.is_host]\n        self.idle[:] = [worker for worker in self.idle if worker.is_host]\n",
        "        spares = list(self.idle)\n        self.idle.clear()\n",
        "spare workers retire, the actor's own task does not (A5)",
        COST,
    ),
    # -- handling --------------------------------------------------------------------------------------------------
    Mutant(
        "nobody-is-let-in",
        "handling.py",
        "        if inbox.line:\n            inbox.admit()\n",
        "",
        "who stands in the senders' line moves in when a message is taken (A8)",
        TURN,
    ),
    Mutant(
        "never-yields",
        "handling.py",
        "        if not batch:\n",
        "        if batch < -(10**9):\n",
        "an actor lets other tasks run every 64 messages (A5)",
        COST,
    ),
    Mutant(
        "context-leaks",
        "handling.py",
        "            await _leave_context(worker)\n        batch",
        "            pass\n        batch",
        "what a handler sets in its context ends with it (A4)",
        NATIVE,
    ),
    Mutant(
        "withdrawn-and-handled",
        "handling.py",
        "if turn.gate or (kind is Ask and entry._state):",
        "if turn.gate:",
        "an ask that was withdrawn is not handled (F8)",
        "tests/actors/test_asks.py",
    ),
    Mutant(
        "select-leaves-the-gate-open",
        "handling.py",
        "        turn.close_gate(SELECTING)\n",
        "",
        "while a select waits no new message starts a handler (A12)",
        MODEL,
    ),
    Mutant(
        "first-select-opens-for-the-second",
        "handling.py",
        "            if inbox.selection is None:  # else",
        "            if True:  # else",
        "a select that began before the handler of the one before resumed keeps new messages out (A12)",
        VISITS,
    ),
    Mutant(
        "answers-before-its-operations-end",
        "handling.py",
        "            if future._state == PENDING:\n                await Over(future)\n",
        "            pass\n",
        "a handler ends as a nursery does (F4)",
        "tests/actors/test_handler_end.py",
    ),
    # -- operations ------------------------------------------------------------------------------------------------
    Mutant(
        "does-not-wait-for-the-cancelled-operation",
        "io.py",
        "        self._request_cancel()\n        return False\n",
        "        self._request_cancel()\n        self._detach(waiter)\n        return True\n",
        "a cancelled await of an operation ends when the operation has ended (F5)",
        NATIVE,
    ),
    Mutant(
        "keeps-its-place",
        "io.py",
        "        if not operation._nested:\n            self.running -= 1\n",
        "        pass\n",
        "the place of an operation is free when it has ended (E1)",
        CANCELLED,
    ),
    Mutant(
        "last-queued-first",
        "io.py",
        "self.queue.popitem(last=False)[0]",
        "self.queue.popitem(last=True)[0]",
        "operations that wait for a place get it in order (E1)",
        "tests/actors/test_io.py",
    ),
    Mutant(
        "stale-context",
        "io.py",
        "            if self.task.context is not operation._context and",
        "            if False and",
        "an operation runs in a copy of the context of its maker (A4)",
        NATIVE,
    ),
    Mutant(
        "scope-of-the-cancelled-one",
        "io.py",
        "                    io_task.scope = trio.CancelScope()\n",
        "",
        "an operation that was cancelled must not cancel the next one on its task",
        CANCELLED,
    ),
    # -- futures, asks, the inbox ----------------------------------------------------------------------------------
    Mutant(
        "told-backwards",
        "futures.py",
        "                for one in waiter:\n",
        "                for one in reversed(waiter):\n",
        "waiters are told in the order in which they came (A2)",
        TURN,
    ),
    Mutant(
        "never-paced",
        "futures.py",
        "            if pace.left <= 0:\n                pace.restart()\n                yield from",
        "            if False:\n                pace.restart()\n                yield from",
        "every 64th await of what is complete lets others run (A2)",
        TURN,
    ),
    Mutant(
        "always-paced",
        "futures.py",
        "            if pace.left <= 0:\n                pace.restart()\n                yield from",
        "            if True:\n                pace.restart()\n                yield from",
        "an await of what is complete returns at once, 63 times of 64 (A2)",
        TURN,
    ),
    Mutant(
        "abandoned-by-one-is-abandoned",
        "asks.py",
        "        if last:\n            self._request_cancel()\n",
        "        self._request_cancel()\n",
        "an ask is withdrawn when its last awaiter has left (F8)",
        "tests/actors/test_asks.py",
    ),
    Mutant(
        "begun-and-withdrawn",
        "asks.py",
        "        if not self.begun:\n            self.inbox.withdraw(self)\n",
        "        self.inbox.withdraw(self)\n",
        "an ask that has begun has no place in the inbox to give back",
        CANCELLED,
    ),
    Mutant(
        "last-in-line-first",
        "inbox.py",
        "entry, _ = line.popitem(last=False)",
        "entry, _ = line.popitem(last=True)",
        "senders stand in line (A8)",
        "tests/kernel/test_inbox.py",
    ),
    Mutant(
        "room-for-one-more",
        "inbox.py",
        "while line and len(self.queue) - self.withdrawn < self.policy.inbox_max:",
        "while line and len(self.queue) - self.withdrawn <= self.policy.inbox_max:",
        "an inbox holds `inbox_max` messages (A11)",
        "tests/kernel/test_inbox.py",
    ),
    Mutant(
        "room-of-the-withdrawn-is-lost",
        "inbox.py",
        "        if self.closed is None:\n            self.admit()\n",
        "        pass\n",
        "a withdrawn ask makes room for who stands in line",
        "tests/actors/test_asks.py",
    ),
    Mutant(
        "tombstones-count-for-ever",
        "inbox.py",
        "                self.withdrawn -= 1\n                return NO_ENTRY\n",
        "                return NO_ENTRY\n",
        "the room of a withdrawn ask is given once",
        "tests/kernel/test_inbox_model.py",
    ),
    Mutant(
        "cancelled-and-delivered",
        "inbox.py",
        "            self.inbox.line.pop(self, None)\n",
        "            pass\n",
        "cancellation of `tell` is atomic: delivered, or Cancelled (A8)",
        "tests/kernel/test_inbox.py",
    ),
    # -- visitors --------------------------------------------------------------------------------------------------
    Mutant(
        "visitor-walks-in",
        "visiting.py",
        "        if turn.free:\n            turn.take()\n        else:\n",
        "        if True:\n            turn.take()\n        else:\n",
        "a visitor waits for the turn (A17)",
        MODEL,
    ),
    Mutant(
        "visitor-cannot-leave-the-line",
        "visiting.py",
        "        if worker is None or ready is None or worker not in ready:\n",
        "        if True:\n",
        "who waits for its own visitor can be cancelled",
        VISITS,
    ),
    Mutant(
        "visitor-is-not-forgotten",
        "turn.py",
        "        if self.visits_from is None:\n",
        "        if True:\n",
        "after its visit a task is what it was before",
        VISITS,
    ),
    # -- the actor's nursery ---------------------------------------------------------------------------------------
    Mutant(
        "workers-inherit",
        "incarnation.py",
        "        self.base.run(functools.partial(self.nursery.start_soon, self._work, name=self.path))",
        "        self.nursery.start_soon(self._work, name=self.path)",
        "a worker that a handler starts does not begin in that handler's context (A4)",
        NATIVE,
    ),
)
