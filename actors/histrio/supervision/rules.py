"""By which rules a supervisor looks after its children: checked when they are given, and never changed."""

from __future__ import annotations

from typing import cast

import attrs

from histrio.supervision.spec import AutoShutdown, Backoff, Strategy

__all__ = ["Rules"]


@attrs.frozen(kw_only=True)
class Rules:
    """How a supervisor decides.

    `children_max` bounds a dynamic one, which also *forgets* a child as soon as it has ended for good.
    """

    strategy: Strategy
    restarts_max: int
    window_s: float
    backoff: Backoff | None
    auto_shutdown: AutoShutdown
    children_max: int | None = None
    forgets: bool = False

    def check(self, what: str) -> None:
        """Refuse what is no rule.

        Raises:
            ValueError: names the supervisor class, the field, its value and what is allowed.
        """
        for field, right, allowed in (
            ("strategy", isinstance(cast(object, self.strategy), Strategy), "ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE"),
            ("restarts_max", _is_count(self.restarts_max), "a whole number, 0 or more"),
            ("window_s", _is_seconds(self.window_s), "a number of seconds, more than 0"),
            ("backoff", isinstance(cast(object, self.backoff), Backoff | None), "a Backoff(...), or None: at once"),
            (
                "auto_shutdown",
                isinstance(cast(object, self.auto_shutdown), AutoShutdown),
                "NEVER, ANY_SIGNIFICANT, ALL_SIGNIFICANT",
            ),
            ("children_max", self.children_max is None or _is_count(self.children_max), "a whole number, or None"),
        ):
            if not right:
                raise ValueError(f"{what}: {field} is {getattr(self, field)!r}; allowed: {allowed}")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
