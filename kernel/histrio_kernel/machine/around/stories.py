"""A transition as a story: what was asked for, what decided it, who was called in which order, what came of it."""

# Design note
# -----------
# A transition knows which handlers its move would call. Which it did call is known to who watched: a veto ends the
# asking, an error the telling. So a story can be had of any transition (`Story.of`), and an exact one from a `Stories`.

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import attrs

from histrio_kernel.machine.around.explaining import Explanation, explain_move
from histrio_kernel.machine.around.watcher import Watcher, label_of
from histrio_kernel.machine.core.handlers import NEGOTIATING, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.variables import K

__all__ = ["STORIES_MAX", "Stories", "Story"]

STORIES_MAX: Final = 100


@attrs.frozen(eq=False)
class Story:
    """One transition, for a reader."""

    transition: Transition
    calls: tuple[Slot, ...]
    """The handlers that were called, in order; without a watcher, those that the relations would have called."""
    machine: str = "machine"

    @classmethod
    def of(cls, transition: Transition, machine: str = "machine") -> Story:
        """The story of a transition that nobody watched."""
        move = transition.move
        asked = [step.slot for step, _, _ in move.asks]
        was_told = transition.moved or (transition.result is EXECUTED and not transition.dry)
        told = [step.slot for step, _, _ in move.tells] if was_told else []
        return cls(transition, (*asked, *told), machine)

    @property
    def asked(self) -> tuple[Slot, ...]:
        """The negotiating handlers."""
        return tuple(slot for slot in self.calls if slot.kind in NEGOTIATING)

    @property
    def told(self) -> tuple[Slot, ...]:
        """The final handlers."""
        return tuple(slot for slot in self.calls if slot.kind not in NEGOTIATING)

    @property
    def title(self) -> str:
        """What was asked for, as in `add wet` or `auto dry`."""
        transition = self.transition
        op = "auto" if transition.is_auto else transition.op.name
        names = transition.schema.spell(transition.called)
        return f"{'can ' if transition.dry else ''}{op}{' ' if names else ''}{names}"

    @property
    def caller(self) -> str:
        """Where it came from."""
        if self.transition.is_auto:
            return self.machine
        source = self.transition.source
        return "caller" if source is None else f"{source.machine or 'machine'}/{source.transition}"

    @property
    def why(self) -> Explanation:
        """What the relations decided."""
        return explain_move(self.transition.move)

    @property
    def decided(self) -> tuple[str, ...]:
        """What the relations decided, in words; of a refusal the outcome tells it."""
        return () if self.transition.move.refusal is not None else self.why.lines()

    @property
    def outcome(self) -> str:
        """Its result, with the chain of causes if the relations refused it."""
        transition = self.transition
        if transition.move.refusal is None:
            return "running" if transition.result is None else repr(transition.result)
        why = self.why
        causes = dict.fromkeys(filter(None, (why.because(state) for state in why.missing)))
        return f"refused: {'; '.join(causes) or transition.move.refusal.reason}"


class Stories(Watcher[K]):
    """Keeps the stories of the last transitions of a machine, with the handlers that were really called.

    Examples:
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> machine = Machine(Schema.from_data({"wet": {}, "dry": {"auto": True, "remove": ["wet"]}}))
        >>> stories = Stories(machine)
        >>> _ = machine.add("wet")
        >>> [(story.title, story.outcome) for story in stories]
        [('add wet', 'EXECUTED'), ('auto dry', 'EXECUTED')]
    """

    def __init__(self, machine: Machine[K], stories_max: int = STORIES_MAX) -> None:
        if stories_max < 1:
            raise ValueError(f"stories_max is {stories_max}: at least one story is kept")
        self._kept: Final[deque[Story]] = deque(maxlen=stories_max)
        self._calls: list[Slot] = []
        super().__init__(machine)

    def __iter__(self) -> Iterator[Story]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def last(self) -> Story | None:
        """The latest, None before the first."""
        return self._kept[-1] if self._kept else None

    def init(self, transition: Transition) -> None:
        """It begins."""
        self._calls = []

    def handler(self, transition: Transition, slot: Slot, binding: int) -> None:
        """A handler is called."""
        self._calls.append(slot)

    def end(self, transition: Transition) -> None:
        """It is over."""
        self._kept.append(Story(transition, tuple(self._calls), label_of(self.machine)))
