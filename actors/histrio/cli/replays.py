"""`histrio replay-check` and `histrio inspect`: pasts from a journal done again by the code of a module, and nothing else."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Final

import trio

from histrio.cli.command import TOOL_EXITS, Command, Refused, say
from histrio.cli.journal_file import reading
from histrio.cli.journals import add_journal_argument, check_path, usable
from histrio.cli.numbers import positive_seconds
from histrio.cli.printing import in_a_line, print_lines
from histrio.cli.target import find_in, import_named
from histrio.durable.behaviours import name_of
from histrio.durable.dry import SECONDS_MAX, Replayed, replay
from histrio_kernel.journal.cursor import NonDeterminism
from histrio_kernel.journal.errors import JournalDamaged
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.tables import Tables

__all__ = ["INSPECT", "REPLAY_CHECK"]

_CHECK: Final = """\
Import the module, and do again what each living actor of the journal has done. Nothing is written, and no effect begins: what
is asked is whether the code of today does the same. Use it before a deploy, on a copy or on the journal itself."""

_INSPECT: Final = """\
Import the module of its class, do again what one actor has done, up to the step with that record, and show what it is then: its
attributes, and the handlers that wait. Nothing is written, and no effect begins."""


def _add_seconds_max(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds-max",
        metavar="S",
        type=positive_seconds,
        default=SECONDS_MAX,
        help="so long the past of one actor may take to be done again (default: %(default)g)",
    )


def _imported(module: str) -> ModuleType:
    """Make its classes known; what it prints goes to stderr, for stdout is ours."""
    with contextlib.redirect_stdout(sys.stderr):
        return import_named(module)


def _done_again(tables: Tables, records: Sequence[Record], at: int | None, seconds_max: float) -> Replayed:
    """What has become of it; what the actor prints goes to stderr, too.

    Raises:
        KeyboardInterrupt: somebody has had enough, also if Trio has that in a group.
    """
    with contextlib.redirect_stdout(sys.stderr):
        try:
            return trio.run(partial(replay, records, at, seconds_max, identity=tables.identity()))
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is None:
                raise
            raise KeyboardInterrupt from None


# -- replay-check ------------------------------------------------------------------------------------------------------


def _add_check(parser: argparse.ArgumentParser) -> None:
    about = "a module that defines or imports the classes of the actors, or one of these classes"
    parser.add_argument("code", metavar="MODULE[:ACTOR]", help=about)
    add_journal_argument(parser)
    _add_seconds_max(parser)


def _check(given: argparse.Namespace) -> int:
    module, _, actor = given.code.partition(":")
    imported = _imported(module)
    if actor and not _is_behaviour(found := find_in(imported, actor, _is_behaviour)):
        raise Refused(f"{given.code} is no class of durable actors (a subclass of DurableActor), it is {found!r}")
    checks = _Checks(given)
    print_lines(checks.lines())
    say(f"{given.journal}: {checks.count} living actors; {checks.wrong or 'none'} of them would be quarantined")
    return 1 if checks.wrong else 0


def _is_behaviour(value: object) -> bool:
    try:
        return bool(name_of(value))
    except TypeError:
        return False


class _Checks:
    """The living actors of a journal, one after the other."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.count = self.wrong = 0
        self._given: Final = given

    def lines(self) -> Iterator[str]:
        """A line for each."""
        with reading(self._given.journal) as connection:
            tables = Tables(connection)
            for row in tables.actors():
                if row.state != "ended":
                    self.count += 1
                    yield self._line(tables, row.path)

    def _line(self, tables: Tables, path: str) -> str:
        error: Exception | None
        records: Sequence[Record] = ()
        try:
            records = tables.read(path, 0)
            error = _done_again(tables, records, None, self._given.seconds_max).error
        except (JournalDamaged, ValueError) as damage:
            error = damage
        if error is None:
            return in_a_line(f"ok       {path}: {len(records)} records")
        self.wrong += 1
        return in_a_line(f"{'differs' if isinstance(error, NonDeterminism) else 'fails  '}  {_told(path, error)}")


def _told(path: str, error: Exception) -> str:
    text = str(error)
    return text if text.startswith(path) else f"{path}: {type(error).__name__}: {text}"


# -- inspect -----------------------------------------------------------------------------------------------------------


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    add_journal_argument(parser)
    parser.add_argument("path", metavar="PATH", help="of the actor, such as /shop/order#1")
    parser.add_argument("--at", metavar="SEQ", type=int, help="the number of a record (default: of the last one)")
    about = "a module that defines or imports its class (default: where that was, by the journal)"
    parser.add_argument("--code", metavar="MODULE", help=about)
    _add_seconds_max(parser)


def _inspect(given: argparse.Namespace) -> int:
    with reading(given.journal) as connection:
        check_path(connection, given.path)
        tables = Tables(connection)
        records = tables.read(given.path, 0)
        _import_class_of(tables, given)
        try:
            seen = _done_again(tables, records, given.at, given.seconds_max)
        except ValueError as error:
            raise Refused(str(error)) from error
    if seen.error is not None:
        say(in_a_line(_told(seen.path, seen.error)))
        return 1
    print_lines(map(in_a_line, _seen(seen, records[-1].seq)))
    return 0


def _import_class_of(tables: Tables, given: argparse.Namespace) -> None:
    """Import the module that is given, or else the one where the class of the actor was."""
    row = tables.row(given.path)
    module = "" if row is None else row.code.partition(":")[0]
    if given.code is not None:
        _imported(given.code)
    elif module in ("", "__main__"):
        raise Refused(
            f"the journal does not say in which module the class of {given.path} is; name it by --code MODULE"
        )
    else:
        try:
            _imported(module)
        except Refused as refused:
            hint = f"if the class of {given.path} is elsewhere now, name its module by --code MODULE"
            raise Refused(f"{refused}; {hint}") from None


def _seen(seen: Replayed, last: int) -> Iterator[str]:
    yield f"{seen.path} ({seen.behaviour}) after record {seen.seq} of {last}"
    yield "attributes:" if seen.attributes else "attributes: none"
    for name, value in seen.attributes:
        yield f"  {name} = {value}"
    if seen.result is not None:
        yield f"ended: {seen.result}"
        return
    yield "waits:" if seen.waiting else "waits: for messages"
    for each in seen.waiting:
        yield f"  {each.handler} (record {each.since}): {', '.join(each.on)}"


REPLAY_CHECK: Final = Command(
    name="replay-check",
    about="see whether the code of today does what a journal says that it did",
    description=_CHECK,
    add_arguments=_add_check,
    run=usable(_check),
    exits=TOOL_EXITS,
)

INSPECT: Final = Command(
    name="inspect",
    about="show what a durable actor was at a record of its journal",
    description=_INSPECT,
    add_arguments=_add_inspect,
    run=usable(_inspect),
    exits=TOOL_EXITS,
)
