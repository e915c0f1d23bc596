"""How a worker handles messages, one after the other, while it has the turn.

A handler that never waits costs no task, no nursery and no scheduling round: the loop drains the inbox and lets other
tasks run every `batch_max` messages, turn kept (A5).
"""

# Design note
# -----------
# `serve` is the hot loop; whatever is rare (an ask's bookkeeping, a slot, heard signals, errors, a context that the
# handler changed) lies in a function of its own behind one test.
#
# A handler ends as a nursery does (F4): what it made with `self.io` and did not await is waited for before the reply
# is sent, or cancelled first if the handler raised; and an error among them is the handler's.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from gc import get_referents
from typing import Any, Final, TypeVar, cast, final

import trio
from trio.lowlevel import cancel_shielded_checkpoint, checkpoint, enable_ki_protection

from histrio_kernel.account import Account
from histrio_kernel.asks import Ask
from histrio_kernel.bounds import bound
from histrio_kernel.contexts import contents_of, same_values
from histrio_kernel.entries import NO_ENTRY, ask_of, message_of
from histrio_kernel.errors import Busy, NoMoreMail, Refusal, told
from histrio_kernel.futures import PENDING, VALUE, Future
from histrio_kernel.gate import (
    BY_HAND,
    EXITING,
    HALTED,
    HEARD,
    KILLED,
    PAUSED,
    SELECTING,
    SHUT,
    Tracked,
)
from histrio_kernel.inbox import Selection
from histrio_kernel.interrupt import Interrupt, Interrupted
from histrio_kernel.over import Over
from histrio_kernel.parking import again
from histrio_kernel.signals import Kind
from histrio_kernel.turn import Worker

__all__ = ["begin_delivery", "call_hook", "finish_delivery", "select", "serve"]

T = TypeVar("T")


@enable_ki_protection
async def serve(worker: Worker) -> None:
    """Handle messages while there are any, park, go on; return when this worker is not needed any more."""
    turn = worker.turn
    inbox = turn.inbox
    queue: Any = inbox.open_queue()
    take: Any = queue.popleft
    handlers = turn.handlers
    handler_of = handlers.get
    actor = turn.actor
    base = turn.owner.base
    base_is_empty = not len(base)  # then one comparison of sizes tells all
    contents = None if base_is_empty else contents_of(base)  # else almost always one of identities
    batch_max = batch = bound("batch_max")
    entry: Any
    while True:
        if turn.ready or turn.gate & SHUT or not queue:
            entry = queue = take = None  # a parked worker keeps nothing alive, not even the queue
            if turn.gate & (KILLED | EXITING):
                return
            worker.park()
            turn.release()
            if worker.is_parked():  # else the turn came back at once, to wind down
                turn.idle.append(worker)
                await again(worker.request)
            if worker.is_gone() or turn.gate & (KILLED | EXITING):
                return  # not needed any more
            queue = inbox.queue or inbox.open_queue()
            take = queue.popleft
            batch = batch_max
            continue
        entry = take()
        if inbox.line:
            inbox.admit()
        kind = entry.__class__
        try:
            if turn.gate or (kind is Ask and entry._state):
                await _handle_entry(worker, entry)
            elif kind is Ask:  # as `_handle_entry` has it; here it costs a quarter less
                entry.begun = True
                worker.asked = entry
                message = entry.message
                value = await handlers[message.__class__](actor, message)
                if worker.made is not None and not worker.forget_made():
                    await _end_made(worker, None)
                worker.asked = None
                if entry._state:
                    inbox.replies_dropped += 1
                elif entry._waiter is None:  # it is awaited later
                    entry._state = VALUE
                    entry._result = value
                else:
                    entry._settle(VALUE, value)
                message = value = None
            else:
                handler = handler_of(kind)
                if handler is None:
                    await _handle_entry(worker, entry)
                else:
                    await handler(actor, entry)
                    if worker.made is not None and not worker.forget_made():
                        await _end_made(worker, None)
        except BaseException as error:
            lives = await _handle_error(worker, entry, error)
            if turn.gate & HEARD:
                turn.engine.signals.handled()
            if not lives:
                return
        if (
            copy_context() != base
            if base_is_empty
            else get_referents(copy_context())[0] is not contents and not same_values(copy_context(), base)
        ):
            await _leave_context(worker)
        batch -= 1
        if not batch:
            batch = batch_max
            await checkpoint()


async def _handle_entry(worker: Worker, entry: object, *, told: bool = False) -> None:
    """An ask, a slot, or any message while signals are heard; *told*: it is opened, and signals have told of it."""
    turn = worker.turn
    opened = entry if told else turn.inbox.open_entry(entry)
    if opened is NO_ENTRY:
        return
    ask = ask_of(opened)
    message = message_of(opened)
    if turn.engine.signals.heard and not told:
        with turn.engine.signals.receiving(turn.inbox.path, message):
            await _handle_entry(worker, opened, told=True)
        return
    account = turn.account
    if account is not None:
        message = begin_delivery(worker, account, opened)
    worker.asked = ask
    handler = turn.handlers[message.__class__] if turn.behaviour is None else turn.behaviour
    value = await handler(turn.actor, message)
    if worker.made is not None and not worker.forget_made():
        await _end_made(worker, None)
    if account is not None and not finish_delivery(worker, account):
        worker.asked = None
    elif ask is not None:
        worker.asked = None
        ask.reply(value)


def begin_delivery(worker: Worker, account: Account, entry: object) -> object:
    """The message is accounted for until its handler has ended."""
    worker.delivery = delivery = account.begin(entry)
    if account.steps is not None:
        worker.turn.owner.step_taken()
    return message_of(delivery.entry)


def finish_delivery(worker: Worker, account: Account) -> bool:
    """The handler has ended well; whether its asker is to be answered now."""
    delivery, worker.delivery = worker.delivery, None
    assert delivery is not None
    return account.finish(delivery)


async def _handle_error(worker: Worker, entry: object, error: BaseException) -> bool:
    """What follows from what a handler raised. True if the actor lives on (A9)."""
    taken = _taken_by(worker)
    if worker.made is not None:
        try:
            await _end_made(worker, error)
        except BaseException as worse:
            error = worse
    ask, worker.asked = worker.asked, None
    delivery, worker.delivery = worker.delivery, None
    turn = worker.turn
    if isinstance(error, Refusal):
        if delivery is not None and turn.account is not None:
            turn.account.refuse(delivery)
        if ask is not None:
            ask.fail(error)
        else:
            turn.engine.dead_letter(turn.inbox.path, message_of(entry), f"refused: {told(error)}")
        return True
    if delivery is not None:
        entry = NO_ENTRY  # whether it is delivered again, its account decides
        if delivery.stashed:
            ask = None
    try:
        return turn.owner.handler_raised(error, ask, entry)
    finally:
        if delivery is not None:
            delivery.why = turn.owner.why_lost(error)
        _bury(worker, taken)


async def _leave_context(worker: Worker) -> None:
    """What a handler set in its context ends with it; a task enters another one only by being rescheduled."""
    worker.task.context = worker.turn.owner.base.copy()
    await cancel_shielded_checkpoint()


@enable_ki_protection
async def call_hook(worker: Worker, hook: Callable[[], Awaitable[T]]) -> T:
    """Run `started()`, `stopped()` or `run()` as a handler without a message, and give what it returns.

    Raises:
        BaseException: whatever the hook or a future that it made raised.
    """
    try:
        value = await hook()
        if worker.made is not None and not worker.forget_made():
            await _end_made(worker, None)
    except BaseException as error:
        taken = _taken_by(worker)
        try:
            if worker.made is not None:
                await _end_made(worker, error)
        finally:
            _bury(worker, taken)
        raise
    if not same_values(copy_context(), worker.turn.owner.base):
        await _leave_context(worker)
    return value


# -- what a handler made -----------------------------------------------------------------------------------------------


async def _end_made(worker: Worker, error: BaseException | None) -> None:
    """See the end of all futures that the handler made; after an `error` they are cancelled first.

    Raises:
        Exception: the error that nobody awaited, bare; or a group, that of the handler first.
    """
    made, worker.made = worker.made, None
    tracked = made if isinstance(made, list) else [cast(Tracked, made)]
    futures = cast(list[Future[object]], tracked)
    if error is not None:
        for future in futures:
            future.cancel()
    try:
        for future in futures:
            if future._state == PENDING:
                await Over(future)
    except BaseException as interruption:  # the actor is being cancelled
        for one in tracked:
            one.hand_over()
        if error is None or isinstance(error, trio.Cancelled):
            raise
        raise BaseExceptionGroup(f"{worker.turn.inbox.path}: ended while it failed", [interruption, error]) from None
    lost = [one.lost_error() for one in tracked]
    errors = [one for one in lost if one is not None]
    if not errors:
        return
    if error is None and len(errors) == 1:
        raise errors[0]
    if error is not None:
        errors.insert(0, error)
    raise BaseExceptionGroup(f"{worker.turn.inbox.path}: operations that the handler did not await failed", errors)


# -- selective receive -------------------------------------------------------------------------------------------------


def _take_in_hand(worker: Worker, entry: object) -> None:
    """What was taken is in hand until the handler has ended, or `run` asks for the next message."""
    turn = worker.turn
    if turn.gate & BY_HAND:
        begin_delivery(worker, turn.owner.open_account(), entry)
    elif worker.delivery is not None and turn.account is not None:
        taken = worker.delivery.taken = worker.delivery.taken or []
        taken.append(turn.account.begin(entry))
    elif ask_of(entry) is None:
        worker.track(_Taken(entry))


@final
class _Taken:
    """A told message that a handler has taken by `select`: if the handler fails, it has not been handled (A10)."""

    __slots__ = ("_state", "entry")

    is_done = False  # or it would be forgotten before the handler has ended

    def __init__(self, entry: object) -> None:
        self._state = VALUE
        self.entry: Final = entry

    def lost_error(self) -> BaseException | None:
        """There is none."""
        return None

    def hand_over(self) -> None:
        """The handler was ended before it could see to it."""

    def cancel(self) -> None:
        """It has ended already."""


def _taken_by(worker: Worker) -> list[object]:
    """The told messages that its handler has taken and that no account knows of."""
    made = worker.made if isinstance(worker.made, list) else [worker.made]
    return [one.entry for one in made if isinstance(one, _Taken)]


def _bury(worker: Worker, taken: list[object]) -> None:
    """The handler that took these has raised."""
    turn = worker.turn
    for entry in taken:
        why = "it was taken by select, and the handler that took it raised"
        turn.engine.dead_letter(turn.inbox.path, message_of(entry), why)


async def select(
    worker: Worker, match: Callable[[object], bool], *, drops: bool, interrupt: Interrupt | None = None
) -> object:
    """Take the first entry whose message matches, waiting for it with the turn given away (A12).

    Raises:
        Busy: another select of this actor waits.
        Interrupted: nothing matched, and *interrupt* is set.
        SelectStalled: the inbox is full of other mail.
        trio.EndOfChannel: intake is closed, and nothing that waits matches.
    """
    turn = worker.turn
    inbox = turn.inbox
    if turn.gate & BY_HAND and turn.gate & PAUSED:
        await turn.owner.boundary()
    if turn.gate & BY_HAND and worker.delivery is not None and turn.account is not None:
        finish_delivery(worker, turn.account)  # who asks for the next message has handled the last one
    if turn.gate & HALTED:
        raise NoMoreMail
    if inbox.selection is not None:
        raise Busy(f"{inbox.path}: another handler waits in select, filter or receive_next; only one can at a time")
    entry = inbox.find(match, drops=drops)
    if entry is NO_ENTRY:
        if inbox.closed is not None:
            raise NoMoreMail
        if interrupt is not None and interrupt.is_set:
            raise Interrupted
        selection = Selection(inbox, match, drops=drops, stalls=interrupt is None)
        if interrupt is not None:
            interrupt.guards(selection)
        inbox.begin_selection(selection)
        turn.close_gate(SELECTING)
        try:
            entry = await selection
        finally:
            if inbox.selection is None:  # else another handler has begun one since ours was over
                turn.gate &= ~SELECTING
    ask = ask_of(entry)
    if ask is not None:
        turn.owe(ask)
    _take_in_hand(worker, entry)
    if turn.engine.signals.heard:
        turn.engine.signals.emit(inbox.path, Kind.RECEIVE, message_of(entry))
    return entry
