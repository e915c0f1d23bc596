"""An actor on one machine that stands for an actor on another: what it is told goes over the simulated network."""

# Design note
# -----------
# A ref must be a ref, whoever is behind it (A13): so the way to another machine is an actor of this one, and its ref is
# what the machine's actors are given. It knows an address, not an actor: one that lives at that path again after its
# machine was restarted is reached again.
#
# A ref in a message may need such an actor where it arrives, and to spawn one may take a while. So what arrives stands in
# a line for each sender and path, one task hands it on, and the order is kept.

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, cast, final

from histrio.actor import Actor
from histrio.messages import Envelope, Request
from histrio.ref import Ref
from histrio.system import System
from histrio.testing.crossing import Address, Packed, pack, unpack
from histrio_kernel.errors import ActorFailed, ActorStopped, Refusal
from histrio_kernel.futures import Future
from histrio_kernel.simulation.errors import Unreachable
from histrio_kernel.simulation.mail import Post, Reply, copied

__all__ = ["Far", "Here", "Mailbox"]

_Letter: TypeAlias = tuple[str, Packed]
"""The path of the actor that it is for, and the message."""


class Here(Protocol):
    """A machine, as far as what goes between machines knows it."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def address_of(self, ref: Ref[Any]) -> Address:
        """Where the actor is that is reached by a ref in the end."""
        ...

    async def ref_to(self, address: Address) -> Ref[Any]:
        """The ref that its actors use for the actor at an address."""
        ...


async def _unpacked(packed: Packed, here: Here) -> object:
    """A message that has arrived, with refs that work here."""
    return unpack(packed, {address: await here.ref_to(address) for address in packed.addresses})


class Far(Actor[object]):
    """Stands for the actor at a path of another machine: a tell arrives at most once, an ask may be `Unreachable`."""

    def __init__(self, here: Here, post: Post, address: Address) -> None:
        self._here: Final = here
        self._post: Final = post
        self._there, self._path = address

    async def run(self) -> None:
        """Pass everything on, in order."""
        while True:
            envelope = await self.receive_next()
            if envelope.is_ask:
                self.background(self._ask, envelope)
            else:
                self._tell(envelope.message)

    def _tell(self, message: object) -> None:
        try:
            letter = self._letter(message)
        except TypeError as error:  # who sent it does not wait to hear, and this actor has others to serve
            self.system.engine.dead_letter(self.ref.path, message, str(error))
        else:
            self._post.post(self._there, letter)

    def _letter(self, message: object) -> _Letter:
        return self._path, copied(message, self._post.host, self._there, partial(pack, self._here.address_of))

    async def _ask(self, envelope: Envelope[object]) -> None:
        try:
            packed = await self._post.request(self._there, self._letter(envelope.message))
            value = await _unpacked(cast(Packed, packed), self._here)
        except Exception as error:  # whatever it is, the asker should know, and this actor has others to serve
            envelope.fail(error)
        else:
            envelope.reply(value)


@final
class Mailbox:
    """What a machine does with what comes to it: each message goes to the actor at its path.

    Args:
        here: the machine.
        system: what it runs.
    """

    def __init__(self, here: Here, system: System) -> None:
        self._here: Final = here
        self._system: Final = system
        self._lines: Final[dict[tuple[str, str], deque[tuple[Packed, str, Reply | None]]]] = {}

    def receive(self, src: str, message: object, reply: Reply | None) -> None:
        """Something has come."""
        path, packed = cast(_Letter, message)
        if self._system.engine.closed is not None:
            if reply is not None:
                reply.error(Unreachable(f"{self._here.name} has stopped: no actor lives at {path}"))
            return
        line = self._lines.setdefault((src, path), deque())
        line.append((packed, src, reply))
        if len(line) == 1:
            self._soon(path, self._hand_on, src, path)

    def _soon(self, path: str, afn: Any, *args: Any) -> None:
        self._system.engine.nursery.start_soon(afn, *args, name=f"histrio mail for {path}")

    async def _hand_on(self, src: str, path: str) -> None:
        line = self._lines[src, path]
        while line:
            packed, _, reply = line[0]
            try:
                await self._give(path, await _unpacked(packed, self._here), src, reply)
            except (ActorStopped, TypeError) as error:
                if reply is not None:  # else whoever has sent it does not wait to hear
                    reply.error(Unreachable(f"{path}: {type(error).__name__}: {error}"))
            line.popleft()
        del self._lines[src, path]

    async def _give(self, path: str, message: object, src: str, reply: Reply | None) -> None:
        ref = self._system.ref_at(path)
        if ref is None:
            if reply is not None:
                reply.error(Unreachable(f"no actor lives at {path} of {self._here.name}"))
        elif reply is None:
            await ref.tell(message)
        else:
            future = cast(Ref[Request[object]], ref).ask(cast(Request[object], message))
            self._soon(path, self._answer, path, future, src, reply)

    async def _answer(self, path: str, future: Future[object], asker: str, reply: Reply) -> None:
        try:
            reply.value(copied(await future, self._here.name, asker, partial(pack, self._here.address_of)))
        except Refusal as refusal:
            reply.error(refusal)
        except (ActorFailed, ActorStopped) as error:
            reply.error(Unreachable(f"{path}: {type(error).__name__}: {error}"))
        except TypeError as error:
            reply.error(error)
