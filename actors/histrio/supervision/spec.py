"""A child of a supervisor is data: what to make, under which name, and what becomes of it when it ends (S1)."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from typing import Final, Generic, Never, ParamSpec, TypeVar, cast, final

import attrs

from histrio.kinds import Lives, settings_of
from histrio.ref import Ref, Unplaced
from histrio_kernel.settings import Settings

__all__ = [
    "ALL_SIGNIFICANT",
    "ANY_SIGNIFICANT",
    "NEVER",
    "ONE_FOR_ALL",
    "ONE_FOR_ONE",
    "PERMANENT",
    "REST_FOR_ONE",
    "TEMPORARY",
    "TRANSIENT",
    "AutoShutdown",
    "Backoff",
    "Child",
    "Restart",
    "Strategy",
    "child",
]

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
P = ParamSpec("P")


class Restart(enum.Enum):
    """Whether a child that has ended is started again."""

    PERMANENT = "permanent"
    """Always, also when it was stopped or killed on request."""
    TRANSIENT = "transient"
    """When it failed or was killed; not when it stopped as asked, or its `run()` returned."""
    TEMPORARY = "temporary"
    """Never; and then its supervisor forgets it."""


class Strategy(enum.Enum):
    """Which children are started again together with one that has ended."""

    ONE_FOR_ONE = "one_for_one"
    """Only that one."""
    ONE_FOR_ALL = "one_for_all"
    """All: the others are halted from right to left, then all are started from left to right."""
    REST_FOR_ONE = "rest_for_one"
    """That one and those to the right of it, which may depend on it."""


class AutoShutdown(enum.Enum):
    """Whether a supervisor stops when significant children have ended by themselves and are not started again."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    """When one has."""
    ALL_SIGNIFICANT = "all_significant"
    """When the last one has."""


PERMANENT: Final = Restart.PERMANENT
TRANSIENT: Final = Restart.TRANSIENT
TEMPORARY: Final = Restart.TEMPORARY
ONE_FOR_ONE: Final = Strategy.ONE_FOR_ONE
ONE_FOR_ALL: Final = Strategy.ONE_FOR_ALL
REST_FOR_ONE: Final = Strategy.REST_FOR_ONE
NEVER: Final = AutoShutdown.NEVER
ANY_SIGNIFICANT: Final = AutoShutdown.ANY_SIGNIFICANT
ALL_SIGNIFICANT: Final = AutoShutdown.ALL_SIGNIFICANT


def _between(least: float, most: float) -> Callable[[object, attrs.Attribute[float], object], None]:
    """Refuse what is no number in that range."""

    def check(_: object, field: attrs.Attribute[float], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            allowed = f"a number from {least} to {most}" if most < math.inf else f"a number, {least} or more"
            raise ValueError(f"Backoff: {field.name} is {value!r}; allowed: {allowed}")

    return check


@attrs.frozen(kw_only=True)
class Backoff:
    """How long a supervisor waits before it starts a child again. Times in seconds of the system's clock.

    The pause before the nth restart in a row is `first_s * factor**(n - 1)`, at most `max_s`, times a random number
    between `1 - jitter` and 1, so that what failed together does not come back together. A child that has been up for
    `reset_s` begins a new row.

    Examples:
        >>> Backoff(first_s=0.1, max_s=1).pause_s(1), Backoff(first_s=0.1, max_s=1).pause_s(9)
        (0.1, 1.0)
    """

    first_s: float = attrs.field(default=0.1, validator=_between(0, math.inf))
    factor: float = attrs.field(default=2.0, validator=_between(1, math.inf))
    max_s: float = attrs.field(default=30.0, validator=_between(0, math.inf))
    jitter: float = attrs.field(default=0.0, validator=_between(0, 1))
    reset_s: float = attrs.field(default=60.0, validator=_between(0, math.inf))

    def pause_s(self, in_a_row: int, chance: float = 0.0) -> float:
        """The pause before that restart in a row; `chance` is a random number from 0 to 1."""
        if self.first_s == 0:
            return 0.0
        try:
            full = self.first_s * self.factor ** (in_a_row - 1)
        except OverflowError:
            full = math.inf
        return min(full, self.max_s) * (1 - self.jitter * chance)


@final
@attrs.frozen(kw_only=True, eq=False)
class Child(Generic[M_contra]):
    """What a supervisor needs to start a child, again and again. Made by `child`.

    Attributes:
        name: its name below the supervisor; None: its class and a number.
        restart: whether it is started again when it has ended.
        shutdown_s: seconds that its stop may take; None: what its class says.
        start_s: seconds that its `started()` may take; None: what its class says.
        significant: whether its end may be the end of the supervisor, see `AutoShutdown`.
        ref: stands for its address in the arguments of a sibling to the right.
    """

    name: str | None
    restart: Restart = Restart.PERMANENT
    shutdown_s: float | None = None
    start_s: float | None = None
    significant: bool = False
    ref: Ref[M_contra]
    _make: Callable[..., Lives[M_contra]] = attrs.field(alias="make")
    _args: tuple[object, ...] = attrs.field(alias="args")
    _keywords: Mapping[str, object] = attrs.field(alias="keywords")
    _settings: Settings = attrs.field(alias="settings")

    def with_(
        self,
        *,
        restart: Restart | None = None,
        shutdown_s: float | None = None,
        start_s: float | None = None,
        significant: bool | None = None,
    ) -> Child[M_contra]:
        """The same child with other rules; what is not given stays as it is.

        Raises:
            ValueError: one of them is not what it must be; names the child, the field and what is allowed.
        """
        changed = attrs.evolve(
            self,
            restart=self.restart if restart is None else restart,
            shutdown_s=self.shutdown_s if shutdown_s is None else shutdown_s,
            start_s=self.start_s if start_s is None else start_s,
            significant=self.significant if significant is None else significant,
        )
        for field in ("restart", "shutdown_s", "start_s", "significant"):
            _check(f"child {self.label!r}", field, cast(object, getattr(changed, field)))
        if changed.significant and changed.restart is Restart.PERMANENT:
            raise ValueError(
                f"child {self.label!r}: significant is True and restart is PERMANENT; a child that is always started"
                " again never ends by itself. Allowed with significant: TRANSIENT, TEMPORARY"
            )
        return changed

    @property
    def label(self) -> str:
        """What it is called in texts."""
        return self.name or self._settings.stem

    @property
    def settings(self) -> Settings:
        """What its class and its spec say about how it runs."""
        own = self._settings
        if self.shutdown_s is None and self.start_s is None:
            return own  # one object for all actors of the class
        return attrs.evolve(
            own,
            shutdown_s=own.shutdown_s if self.shutdown_s is None else self.shutdown_s,
            start_s=own.start_s if self.start_s is None else self.start_s,
        )

    def __call__(self) -> Lives[M_contra]:
        """A fresh actor."""
        return self._make(*self._args, **self._keywords)

    def beside(self, siblings: Mapping[int, Ref[object]]) -> Child[M_contra]:
        """The same child, with the refs of its siblings where its arguments stand for them; its own children's too."""
        if not self.sibling_refs:
            return self
        args = tuple(_beside(value, siblings) for value in self._args)
        keywords = {name: _beside(value, siblings) for name, value in self._keywords.items()}
        return attrs.evolve(self, args=args, keywords=keywords)

    @property
    def sibling_refs(self) -> tuple[Ref[object], ...]:
        """Those of its arguments, and of its own children's, that stand for the ref of a sibling."""
        given = (*self._args, *self._keywords.values())
        refs = [cast("Ref[object]", value) for value in given if isinstance(value, Ref)]
        children = [cast("Child[Never]", value) for value in given if isinstance(value, Child)]
        own = {id(one.ref) for one in children}
        below = [ref for one in children for ref in one.sibling_refs if id(ref) not in own]
        return (*(ref for ref in refs if ref.is_placeholder), *below)

    def __repr__(self) -> str:
        """Name it and its class."""
        return f"<Child {self.label!r}: {self._settings.kind.__qualname__}, {self.restart.value}>"


def _beside(value: object, siblings: Mapping[int, Ref[object]]) -> object:
    if isinstance(value, Child):
        return cast("Child[Never]", value).beside(siblings)
    return siblings.get(id(value), value)


def child(name: str | None, cls: Callable[P, Lives[M]], /, *args: P.args, **kwargs: P.kwargs) -> Child[M]:
    """A child for a supervisor: `child("store", Store, path, size=3).with_(restart=histrio.TRANSIENT)`.

    Each incarnation is made by calling *cls* with these very arguments, so what it is given should be data. The
    arguments are checked against the class by type checkers.

    Raises:
        ValueError: *cls* is no actor class, or *name* is no name.

    Examples:
        >>> import histrio
        >>> class Store(histrio.Actor[str]):
        ...     def __init__(self, size: int) -> None:
        ...         self.size = size
        >>> child("store", Store, size=3)
        <Child 'store': Store, permanent>
    """
    settings = settings_of(cls, f"child({name!r}, ...)")
    given = cast(object, name)
    if given is not None and (not isinstance(given, str) or not given or "/" in given or "#" in given):
        raise ValueError(f"{name!r} is no name for a child: a name is not empty and has no '/' or '#'")
    why = f"belongs to no system: it stands for the child {name or settings.stem!r} in the arguments of a sibling to the right of it"
    path = name or settings.stem
    ref: Ref[M] = Ref("", path, None, Unplaced(path, why))
    return Child(name=name, ref=ref, make=cls, args=args, keywords=kwargs, settings=settings)


def _check(what: str, field: str, value: object) -> None:
    """Refuse a rule that is not what it must be."""
    if field == "restart" and not isinstance(value, Restart):
        allowed = "PERMANENT, TRANSIENT, TEMPORARY"
    elif field == "significant" and type(value) is not bool:
        allowed = "True, False"
    elif (
        field.endswith("_s")
        and value is not None
        and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0)
    ):
        allowed = "a number of seconds, 0 or more"
    else:
        return
    raise ValueError(f"{what}: {field} is {value!r}; allowed: {allowed}")
