"""What a machine does, in lines of text, as much of it as is asked for."""

# Design note
# -----------
# The levels are the original's. A line is made only if its level is asked for, so a quiet log costs a comparison for each
# step. Arguments may hold what must not stand in a log, so none are shown but those that are named; each is cut.

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, Final, TypeAlias

from histrio_kernel.machine.around.explaining import explain_move
from histrio_kernel.machine.around.watcher import Watcher, label_of
from histrio_kernel.machine.core.handlers import Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.results import Canceled
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.source import Source
from histrio_kernel.machine.core.transition import Arguments, Transition
from histrio_kernel.machine.core.variables import K

__all__ = ["ArgsMapper", "LogLevel", "MachineLog", "allowed", "changes_of"]

SHOWN_MAX: Final = 20
"""Characters of one argument in a line."""

ArgsMapper: TypeAlias = Callable[[object], Mapping[str, str]]
"""What is shown of the arguments of a mutation, by name."""


class LogLevel(enum.IntEnum):
    """How much of a machine's life is told. Each level tells what those before it tell, too."""

    NOTHING = 0
    EXTERNAL = 1
    """What the program says by `MachineLog.say`."""
    CHANGES = 2
    """Which states came and left, and errors."""
    OPERATIONS = 3
    """Which mutations were asked for, with what, and from where."""
    DECISIONS = 4
    """Auto states, what implied or removed what, and why something was refused, or by whom it was vetoed."""
    EVERYTHING = 5
    """Every handler, and what is queued."""


_LOGGING: Final = {LogLevel.EXTERNAL: logging.INFO, LogLevel.CHANGES: logging.INFO}


class MachineLog(Watcher[K]):
    """Tells what a machine does, line by line. Submachines inherit it.

    Args:
        machine: whose.
        to: a logger, or a function that takes a line.
        level: how much; it may be changed at any time.
        args: the names of the arguments that may be shown, or a function that makes the text for them.

    Examples:
        >>> machine = Machine(Schema.from_data({"wet": {"remove": ["dry"]}, "dry": {"auto": True}}), "weather")
        >>> log = MachineLog(machine, print, LogLevel.DECISIONS)
        >>> _ = machine.add("dry")
        weather [add] dry
        weather [state] +dry
        >>> _ = machine.add("wet")
        weather [add] wet
        weather [decided] dry: removed by wet
        weather [state] +wet -dry
        >>> _ = machine.add("dry")
        weather [add] dry
        weather [refused] add dry: wet removes dry
    """

    inherited: ClassVar[bool] = True

    def __init__(
        self,
        machine: Machine[K],
        to: logging.Logger | Callable[[str], object],
        level: LogLevel = LogLevel.CHANGES,
        args: Iterable[str] | ArgsMapper = (),
    ) -> None:
        self._to: Final = to
        self.level = level
        """How much is told from now on."""
        self._args: Final[ArgsMapper] = args if callable(args) else allowed(args)
        self._label: Final = label_of(machine)
        self._heirs: Final[list[MachineLog]] = []
        super().__init__(machine)

    def inherited_by(self, machine: Machine) -> None:
        """A log of the submachine begins, to the same place."""
        self._heirs.append(MachineLog(machine, self._to, self.level, self._args))

    def close(self) -> None:
        """Tell no more, nor of submachines that inherited it."""
        super().close()
        for heir in self._heirs:
            heir.close()

    def say(self, text: str) -> None:
        """A line of the program's own."""
        self._tell(LogLevel.EXTERNAL, "say", text)

    def _tell(self, level: LogLevel, kind: str, text: str = "", *, is_error: bool = False) -> None:
        """One line, if its level is asked for."""
        if level > self.level or self._is_closed:
            return
        line = f"{self._label} [{kind}]{' ' if text else ''}{text}"
        if isinstance(self._to, logging.Logger):
            self._to.log(logging.WARNING if is_error else _LOGGING.get(level, logging.DEBUG), "%s", line)
        else:
            self._to(line)

    # -- as a tracer -------------------------------------------------------------------------------------------------------

    def queued(self, mutation: Mutation) -> None:
        """It waits, unless it runs at once."""
        if self.level >= LogLevel.EVERYTHING and mutation.ticket is not None:
            self._tell(
                LogLevel.EVERYTHING, "queued", f"{mutation.op.name} {self.machine.schema.spell(mutation.called)}"
            )

    def init(self, transition: Transition) -> None:
        """What is asked for."""
        if transition.cause is not None:
            self._tell(LogLevel.CHANGES, "error", _short_error(transition.cause), is_error=True)
        if self.level < LogLevel.OPERATIONS:
            return
        names = transition.schema.spell(transition.called)
        if transition.is_auto:
            self._tell(LogLevel.DECISIONS, "auto", names)
        else:
            kind = f"can {transition.op.name}" if transition.dry else transition.op.name
            self._tell(
                LogLevel.OPERATIONS, kind, f"{names}{self._spell_args(transition)}{_spell_source(transition.source)}"
            )

    def handler(self, transition: Transition, slot: Slot, binding: int) -> None:
        """Who is called."""
        if self.level >= LogLevel.EVERYTHING:
            owner = None if self.machine.more is None else self.machine.more.owners[binding]
            whose = f"binding {binding}" if owner is None else type(owner).__qualname__
            self._tell(LogLevel.EVERYTHING, "handler", f"{slot} of {whose}")

    def finals(self, transition: Transition) -> None:
        """What has changed, and what decided it."""
        if not transition.moved:
            return
        if self.level >= LogLevel.DECISIONS:
            for line in explain_move(transition.move, self.machine.automaton.resolver).lines():
                self._tell(LogLevel.DECISIONS, "decided", line)
        if self.level >= LogLevel.CHANGES:
            self._tell(LogLevel.CHANGES, "state:auto" if transition.is_auto else "state", changes_of(transition))

    def end(self, transition: Transition) -> None:
        """What went otherwise than was asked for."""
        what = f"{transition.op.name} {transition.schema.spell(transition.called)}"
        if transition.rolled_back:
            self._tell(LogLevel.CHANGES, "rolled back", transition.schema.spell(transition.rolled_back))
        if transition.error is not None:
            self._tell(LogLevel.CHANGES, "error", f"{_short_error(transition.error)} in {what}", is_error=True)
        elif isinstance(transition.result, Canceled):
            self._refused(transition, transition.result, what)
        elif transition.is_auto:
            self._let_go(transition)

    def queue_end(self) -> None:
        """Nothing waits."""
        self._tell(LogLevel.EVERYTHING, "queue end")

    def schema_changed(self, old: Schema, new: Schema) -> None:
        """Which states are new, and which are gone."""
        new_ones = [f"+{name}" for name in new.names if name not in old.definitions]
        gone = [f"-{name}" for name in old.names if name not in new.definitions]
        self._tell(LogLevel.CHANGES, "schema", " ".join([*new_ones, *gone]))

    def disposed(self) -> None:
        """It takes no more mutations."""
        self._tell(LogLevel.CHANGES, "disposed")

    def _refused(self, transition: Transition, result: Canceled, what: str) -> None:
        """Why nothing came of it, and by whom."""
        if self.level < LogLevel.DECISIONS:
            return
        if transition.move.refusal is None:
            self._tell(LogLevel.DECISIONS, "canceled", f"{what}: {result.reason}")
            return
        found = explain_move(transition.move, self.machine.automaton.resolver)
        causes = dict.fromkeys(found.because(state) for state in found.missing)
        self._tell(LogLevel.DECISIONS, "refused", f"{what}: {'; '.join(causes) or result.reason}")

    def _let_go(self, transition: Transition) -> None:
        """The auto states that were called and did not come."""
        gone = [state for state in transition.called if state not in transition.target]
        if not gone or self.level < LogLevel.DECISIONS:
            return
        found = explain_move(transition.move, self.machine.automaton.resolver)
        for state in gone:
            why = found.because(state) if state in found.missing else "vetoed"
            self._tell(LogLevel.DECISIONS, "let go", f"{transition.schema.names[state]}: {why}")

    def _spell_args(self, transition: Transition) -> str:
        """The arguments that may be shown."""
        args = transition.mutation.args
        if args is None:
            return ""
        shown = ", ".join(f"{name}={text}" for name, text in self._args(args).items())
        return f" ({shown})" if shown else ""


def changes_of(transition: Transition) -> str:
    """The states that have come and left, as `+wet -dry`; a Multi that was called again has come."""
    names = transition.schema.names
    entered = [f"+{names[state]}" for state in transition.enters]
    left = [f"-{names[state]}" for state in transition.exits]
    return " ".join([*entered, *left])


def allowed(names: Iterable[str]) -> ArgsMapper:
    """Shows the arguments of these names, each cut to 20 characters; of objects the attributes, of dicts the items.

    Examples:
        >>> allowed(["url", "n"])({"url": "https://example.org/index.html", "n": 3, "password": "secret"})
        {'url': "'https://example....", 'n': '3'}
    """
    if isinstance(names, str):
        raise TypeError(f"args takes names of arguments, not one text: write [{names!r}]")
    shown = tuple(names)
    return lambda args: {name: _short(value) for name, value in _values(args, shown)}


def _values(args: object, names: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """The values of these names, where there are any."""
    if isinstance(args, Arguments):
        for each in args.values():
            yield from _values(each, names)
    elif isinstance(args, Mapping):
        yield from ((name, args[name]) for name in names if name in args)
    else:
        yield from ((name, getattr(args, name)) for name in names if hasattr(args, name))


def _short(value: object) -> str:
    """A value on one line, in few characters; also one whose repr raises."""
    try:
        text = repr(value).replace("\n", "\\n")
    except Exception as error:
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 3]}..."


def _short_error(error: BaseException) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {error}".replace("\n", "\\n")


def _spell_source(source: Source | None) -> str:
    """Where a mutation came from."""
    return "" if source is None else f" from {source.machine or 'machine'}/{source.transition}"
