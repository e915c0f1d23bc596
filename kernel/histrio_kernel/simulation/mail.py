"""Messages between the hosts of a simulated run: for refs that lead to another node (D4).

Invariant: a message is handled at most once, and what arrives is a copy: two hosts share no object.
"""

# Design note
# -----------
# Whoever asks waits without a deadline as long as the question or its answer is on its way or being handled: only when
# one of them is lost, late, or its handler's host has crashed, does `timeout_s` begin. So a run without faults has no
# deadline for each question, and a question that is merely slow to answer fails only if the asker says so.
#
# Copies are made when a message is sent, so what does not pickle, or does not come out again, is the sender's error and
# raised where it can be mended.

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias, TypeVar, final

import trio
from outcome import Error, Outcome, Value
from trio.lowlevel import ParkingLot

from histrio_kernel.simulation.errors import PowerCut, Unreachable
from histrio_kernel.simulation.links import Life, Links

__all__ = ("Handler", "Mail", "Post", "Reply", "copied")

T = TypeVar("T")

Handler: TypeAlias = Callable[[str, object, "Reply | None"], None]
"""Takes what comes to a host: who sent it, the message, and what to answer with (None: no answer is waited for).

It is called in no task, so it must only hand the message on; what it raises ends the run.
"""


@final
class _Letter:
    """A message on its way; its copies on the line are this one object."""

    __slots__ = ("handled", "message", "question", "src")

    def __init__(self, src: str, message: object, question: _Question | None) -> None:
        self.src: Final = src
        self.message: Final = message
        self.question: Final = question
        self.handled = False


@final
class _Question:
    """Somebody who waits for an answer."""

    __slots__ = ("asker", "handler", "outcome", "scope", "timeout_s", "waits")

    def __init__(self, asker: Life, timeout_s: float) -> None:
        self.asker: Final = asker
        self.timeout_s: Final = timeout_s
        self.scope: Final = trio.CancelScope()
        self.waits: Final = ParkingLot()
        self.handler: Life | None = None
        self.outcome: Outcome[object] | None = None

    def answer(self, outcome: Outcome[object]) -> None:
        """The answer is here; the first one counts."""
        if self.outcome is None:
            self.outcome = outcome
            self.waits.unpark_all()

    def troubled(self) -> None:
        """No answer may come, so there is a deadline from now on."""
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + self.timeout_s)

    def links_changed(self) -> None:
        """A host may have crashed."""
        if self.asker.cut is not None:
            self.answer(Error(PowerCut(*self.asker.cut.args)))
        elif self.handler is not None and self.handler.cut is not None:
            self.troubled()


@final
class Reply:
    """Answers one question, once; what else is said is lost, and so is all that is said after the host has crashed."""

    __slots__ = ("_given", "_mail", "_me", "_question")

    def __init__(self, mail: Mail, me: Life, question: _Question) -> None:
        self._mail: Final = mail
        self._me: Final = me
        self._question: Final = question
        self._given = False

    def value(self, value: object) -> None:
        """This is the answer. If it does not pickle, the asker gets the `TypeError` that says so."""
        self._send(value, is_error=False)

    def error(self, error: Exception) -> None:
        """This is what the asker gets raised."""
        self._send(error, is_error=True)

    def _send(self, what: object, *, is_error: bool) -> None:
        if self._given or self._me.cut is not None:
            return
        self._given = True
        src, asker = self._me.host, self._question.asker.host
        outcome = _outcome(what, src, asker, is_error=is_error)
        self._mail.links.send(src, asker, outcome, self._question.answer, self._question.troubled)


@final
class Mail:
    """The messages of one run.

    Args:
        links: what they go over.
        timeout_s: how long a question waits for its answer once something has gone wrong.
    """

    __slots__ = ("_handlers", "links", "timeout_s")

    def __init__(self, links: Links, *, timeout_s: float = 10.0) -> None:
        self.links: Final = links
        self.timeout_s: Final = timeout_s
        self._handlers: Final[dict[str, tuple[Life, Handler]]] = {}

    def at(self, host: str) -> Post:
        """What one host does with messages, until it crashes; this gives power to a host that has none."""
        return Post(self, self.links.boot(host))

    def take(self, life: Life, handler: Handler) -> None:
        """From now on what comes to that host is given to that handler."""
        self._handlers[life.host] = (life, handler)

    def send(self, src: str, dst: str, message: object, question: _Question | None) -> None:
        """Send a message that is a copy already."""
        letter = _Letter(src, message, question)
        deliver = partial(self._deliver, dst)
        if question is None:
            self.links.send(src, dst, letter, deliver)
        else:
            self.links.send(src, dst, letter, deliver, question.troubled)

    def _deliver(self, dst: str, letter: _Letter) -> None:
        life, handler = self._handlers.get(dst, (None, None))
        question = letter.question
        if life is None or handler is None or life.cut is not None:
            if question is not None:
                question.troubled()
        elif not letter.handled:
            letter.handled = True
            if question is not None:
                question.handler = life
            handler(letter.src, letter.message, None if question is None else Reply(self, life, question))


@final
class Post:
    """What one host does with messages.

    Args:
        mail: of the run.
        life: of the host.
    """

    __slots__ = ("_life", "_mail")

    def __init__(self, mail: Mail, life: Life) -> None:
        self._mail: Final = mail
        self._life: Final = life

    @property
    def host(self) -> str:
        """Whose it is."""
        return self._life.host

    def receive(self, handler: Handler) -> None:
        """Give what comes to this host to *handler*; before there is one, it is lost."""
        self._life.check()
        self._mail.take(self._life, handler)

    def post(self, dst: str, message: object) -> None:
        """Send a message, which arrives once or never. Does not wait.

        Raises:
            TypeError: it does not pickle.
            PowerCut: the own host has crashed.
        """
        self._life.check()
        self._mail.send(self.host, dst, copied(message, self.host, dst, _copy), None)

    async def request(self, dst: str, message: object, *, timeout_s: float | None = None) -> object:
        """Send a message and wait for its answer. Cancelled, it may be handled still.

        Args:
            dst: the host that it is for.
            message: what is sent.
            timeout_s: how long to wait once something has gone wrong; default: what the mail says.

        Raises:
            Unreachable: the message or its answer is lost, or late.
            TypeError: the message or its answer does not pickle.
            PowerCut: the own host has crashed.
            Exception: what the other side has answered with.
        """
        self._life.check()
        sent = copied(message, self.host, dst, _copy)
        await trio.lowlevel.checkpoint_if_cancelled()
        question = _Question(self._life, self._mail.timeout_s if timeout_s is None else timeout_s)
        self._mail.links.watch(question, question.links_changed)
        try:
            with question.scope:
                self._mail.send(self.host, dst, sent, question)
                await question.waits.park()
        finally:
            self._mail.links.unwatch(question)
        if question.outcome is None:
            raise Unreachable(_unreachable(self.host, dst, question.timeout_s))
        return question.outcome.unwrap()


def _unreachable(src: str, dst: str, timeout_s: float) -> str:
    return (
        f"{dst} has not answered {src}, which waited {timeout_s:g} s after something had gone wrong: the message or its "
        "answer was lost or late, or the host has crashed. It may have been handled or not, so send again only what "
        "may be done twice"
    )


def _copy(message: object) -> object:
    """By way of a pickle."""
    return pickle.loads(pickle.dumps(message))


def copied(message: object, src: str, dst: str, copy: Callable[[object], T]) -> T:
    """What *copy* makes of *message*: something that shares nothing with it.

    Raises:
        TypeError: it does not pickle.
    """
    try:
        return copy(message)
    except Exception as error:
        name = f"{type(message).__module__}.{type(message).__qualname__}"
        raise TypeError(
            f"a {name} cannot go from {src} to {dst}, because it does not pickle: {type(error).__name__}: {error}. "
            "Between nodes messages are copied; send plain data: attrs classes of a module, numbers, text, tuples"
        ) from error


def _outcome(what: object, src: str, dst: str, *, is_error: bool) -> Outcome[object]:
    """A copy of an answer, or the error that says why there is none."""
    try:
        given = copied(what, src, dst, _copy)
    except TypeError as error:
        return Error(error)
    return Error(given) if is_error and isinstance(given, BaseException) else Value(given)
