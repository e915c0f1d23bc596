"""An actor on one machine that stands for an actor on another: what it is told goes over the simulated network."""

# Design note
# -----------
# A ref must be a ref, whoever is behind it (A13): so the way to another machine is an actor of this one, and its ref is
# what the machine's actors are given. It knows an address, not an actor: one that lives at that path again after its
# machine was restarted is reached again.

from __future__ import annotations

from typing import Final, cast

from histrio.actor import Actor
from histrio.messages import Envelope, Request
from histrio.ref import Ref
from histrio.system import System
from histrio_kernel.errors import ActorFailed, ActorStopped, Refusal
from histrio_kernel.simulation.errors import Unreachable
from histrio_kernel.simulation.mail import Handler, Post, Reply, copied

__all__ = ["Far", "mailbox"]

_Letter = tuple[str, object]
"""The path of the actor that it is for, and the message."""


class Far(Actor[object]):
    """Stands for the actor at a path of another machine: a tell arrives at most once, an ask may be `Unreachable`."""

    def __init__(self, post: Post, there: str, path: str) -> None:
        self._post: Final = post
        self._there: Final = there
        self._path: Final = path

    async def run(self) -> None:
        """Pass everything on, in order."""
        while True:
            envelope = await self.receive_next()
            if envelope.is_ask:
                self.background(self._ask, envelope)
            else:
                self._post.post(self._there, self._letter(envelope.message))

    def _letter(self, message: object) -> _Letter:
        return self._path, copied(message, self._post.host, self._there)

    async def _ask(self, envelope: Envelope[object]) -> None:
        try:
            value = await self._post.request(self._there, self._letter(envelope.message))
        except Exception as error:  # whatever it is, the asker should know, and this actor has others to serve
            envelope.fail(error)
        else:
            envelope.reply(value)


def mailbox(system: System, host: str) -> Handler:
    """What a machine does with what comes to it: each message goes to the actor at its path."""

    def receive(_: str, message: object, reply: Reply | None) -> None:
        path, what = cast(_Letter, message)
        ref = system.ref_at(path)
        if ref is None:
            if reply is not None:
                reply.error(Unreachable(f"no actor lives at {path} of {host}"))
        elif reply is None:
            system.engine.nursery.start_soon(_tell, ref, what, name=f"histrio mail for {path}")
        else:
            system.engine.nursery.start_soon(_ask, ref, what, reply, name=f"histrio mail for {path}")

    return receive


async def _tell(ref: Ref[object], message: object) -> None:
    try:
        await ref.tell(message)
    except (ActorStopped, TypeError):
        return  # who sent it does not wait to hear


async def _ask(ref: Ref[object], message: object, reply: Reply) -> None:
    try:
        reply.value(await cast(Ref[Request[object]], ref).ask(cast(Request[object], message)))
    except Refusal as refusal:
        reply.error(refusal)
    except (ActorFailed, ActorStopped, TypeError) as error:
        reply.error(Unreachable(f"{ref.path}: {type(error).__name__}: {error}"))
