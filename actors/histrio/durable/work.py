"""An effect that a durable actor wants: what to call, how often at most or at least, and how it is attempted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, final

import attrs
import trio

from histrio.durable.effects import THIS_EFFECT, Effect, Mode
from histrio_kernel.io import Retry

__all__ = ["Attempts", "EffectOf"]


@final
@attrs.frozen
class EffectOf:
    """What `self.io` was given."""

    afn: Callable[..., Awaitable[object]]
    args: tuple[object, ...]
    mode: Mode
    reconcile: Callable[[str], Awaitable[object]] | None
    retry: Retry | None
    timeout_s: float | None
    heartbeat_s: float | None


@final
class Attempts:
    """A call of it is one attempt; each knows how far the one before has come.

    Args:
        call: the attempt itself, without arguments.
        about: the actor and the effect, in words.
        effect: what the first attempt knows of itself.
        heartbeat_s: so long it may be silent; None: as long as it likes.
        beat: records what it says.
    """

    def __init__(
        self,
        call: Callable[[], Awaitable[object]],
        about: str,
        effect: Effect,
        heartbeat_s: float | None,
        beat: Callable[[object], None],
    ) -> None:
        self._call: Final = call
        self._about: Final = about
        self._effect = effect
        self._silence_s: Final = float("inf") if heartbeat_s is None else heartbeat_s
        self._beat: Final = beat
        self._silence = trio.CancelScope()

    def __repr__(self) -> str:
        """What it is called where operations are shown."""
        return self._about

    async def __call__(self) -> object:
        """One attempt.

        Raises:
            trio.TooSlowError: it was silent for too long.
        """
        THIS_EFFECT.set(attrs.evolve(self._effect, beat=self._heard))
        with trio.move_on_after(self._silence_s) as self._silence:
            return await self._call()
        raise trio.TooSlowError(
            f"{self._about} has said nothing for {self._silence_s:g} s, so this attempt of it was ended: have it call "
            "this_effect().heartbeat(...) more often, or give a longer heartbeat_s"
        )

    def _heard(self, progress: object) -> None:
        self._beat(progress)
        self._effect = attrs.evolve(self._effect, progress=progress)
        self._silence.deadline = trio.current_time() + self._silence_s
