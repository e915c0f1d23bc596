"""`histrio journal ...`: what is in a journal, whether it is whole, and how it becomes smaller."""

from __future__ import annotations

import argparse
import base64
import difflib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import attrs

from histrio.cli.command import TOOL_EXITS, Command, Refused, say
from histrio.cli.compacting import compact
from histrio.cli.journal_file import Row, reading, rows
from histrio.cli.numbers import days
from histrio.cli.printing import columns, print_lines, when
from histrio.cli.verifying import faults
from histrio_kernel.errors import HistrioError
from histrio_kernel.journal.codec import shown
from histrio_kernel.journal.errors import JournalDamaged
from histrio_kernel.journal.tables import Tables
from histrio_kernel.signals import Kind

__all__ = ["JOURNAL", "add_journal_argument", "check_path", "usable"]

_DESCRIPTION: Final = """\
Look into the journal of durable actors, in an SQLite file. All of these but compact only read, so they may be used while a
program has the journal open; they need none of its code."""

_HEAD: Final = ("path", "behaviour", "version", "state", "incarnation", "records", "bytes", "last seq")
_NUMBERS: Final = frozenset({2, 4, 5, 6, 7})
_RECORD_HEAD: Final = ("seq", "at (UTC)", "incarnation", "kind", "key", "what")
_RECORD_NUMBERS: Final = frozenset({0, 2})
_DAY_S: Final = 86_400
_WORDS_MAX: Final = 10_000
"""Characters of one payload that `export` writes in words; the payload itself is whole."""


@attrs.frozen
class _Part:
    """One of the commands below `histrio journal`."""

    name: str
    about: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_journal_argument(parser: argparse.ArgumentParser) -> None:
    """Which journal."""
    parser.add_argument("journal", metavar="DB", type=Path, help="the SQLite file of the journal")


def usable(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A journal that is damaged as a failure of the command, and one that cannot be used as a refusal, each in one line."""

    def run_it(given: argparse.Namespace) -> int:
        try:
            return run(given)
        except JournalDamaged as error:
            say(str(error))
            return 1
        except OSError as error:
            raise Refused(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
        except HistrioError as error:
            raise Refused(str(error)) from error

    return run_it


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(metavar="command", required=True)
    for part in _PARTS:
        each = parts.add_parser(
            part.name,
            help=part.about,
            description=part.about[:1].upper() + part.about[1:],
            epilog=TOOL_EXITS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_journal_argument(each)
        part.add_arguments(each)
        each.set_defaults(part=part)


def _run(given: argparse.Namespace) -> int:
    part: _Part = given.part
    return usable(part.run)(given)


# -- ls ----------------------------------------------------------------------------------------------------------------


def _ls(given: argparse.Namespace) -> int:
    with reading(given.journal) as connection:
        actors = Tables(connection).actors()
    cells = (
        (row.path, row.behaviour, f"{row.version}", row.state, f"{row.incarnation}", f"{row.records}", f"{row.bytes}",
         f"{row.last_seq}")
        for row in actors
    )  # fmt: skip
    print_lines(columns([_HEAD, *cells], _NUMBERS))
    return 0


# -- show --------------------------------------------------------------------------------------------------------------


def _add_show(parser: argparse.ArgumentParser) -> None:
    kinds = ", ".join(kind.value for kind in Kind)
    parser.add_argument("path", metavar="PATH", help="of the actor, such as /shop/order#1")
    parser.add_argument("--since", metavar="SEQ", type=int, default=1, help="from this record on")
    parser.add_argument(
        "--kind", metavar="K", type=_kind, action="append", help=f"only records of this kind; may be repeated: {kinds}"
    )


def _kind(text: str) -> str:
    try:
        return Kind(text.lower()).value
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no kind of record; kinds are {', '.join(k.value for k in Kind)}"
        ) from None


def _show(given: argparse.Namespace) -> int:
    with reading(given.journal) as connection:
        check_path(connection, given.path)
        found = [row for row in rows(connection, given.path, given.since) if not given.kind or row.kind in given.kind]
    cells = ((f"{row.seq}", when(row.at), f"{row.incarnation}", row.kind, row.key, _words(row)) for row in found)
    print_lines(columns([_RECORD_HEAD, *cells], _RECORD_NUMBERS))
    return 0


def check_path(connection: sqlite3.Connection, path: str) -> None:
    """Refuse the path of no actor."""
    paths = [row.path for row in Tables(connection).actors()]
    if path not in paths:
        close = difflib.get_close_matches(path, paths, n=1)
        raise Refused(f"the journal has no actor {path}" + (f"; did you mean {close[0]}?" if close else ""))


def _words(row: Row) -> str:
    """The payload in words; that of a damaged record, with a warning."""
    words = shown(row.payload) if row.payload else ""
    return words if row.is_whole else f"DAMAGED {words}".rstrip()


# -- verify ------------------------------------------------------------------------------------------------------------


def _verify(given: argparse.Namespace) -> int:
    with reading(given.journal) as connection:
        found = list(faults(connection))
        count = len(Tables(connection).actors())
    print_lines(found)
    say(
        f"{given.journal}: {count} actors, {len(found)} faults"
        if found
        else f"{given.journal}: {count} actors, no fault"
    )
    return 1 if found else 0


# -- compact -----------------------------------------------------------------------------------------------------------


def _add_compact(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-days", metavar="N", type=days, default=0.0, help="keep what is of the last N days (default: 0)"
    )


def _compact(given: argparse.Namespace) -> int:
    done = compact(given.journal, time.time() - given.keep_days * _DAY_S)
    print_lines(f"removed {path}" for path in done.removed)
    for path, why in done.kept.items():
        say(f"kept {path}: {why}")
    say(
        f"{given.journal}: {len(done.removed)} actors and {done.dead_letters} dead letters removed; "
        f"{done.before:,} bytes before, {done.after:,} now"
    )
    return 0


# -- export ------------------------------------------------------------------------------------------------------------


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--path", metavar="GLOB", default="*", help="only actors with such a path, as '/shop/*'")


def _export(given: argparse.Namespace) -> int:
    with reading(given.journal) as connection:
        print_lines(_exported(connection, given.path))
    return 0


def _exported(connection: sqlite3.Connection, pattern: str) -> Iterator[str]:
    for row in rows(connection):
        if fnmatchcase(row.path, pattern):
            line = attrs.asdict(row, filter=attrs.filters.exclude("is_typed"))
            line["payload"] = base64.b64encode(row.payload).decode()
            line["digest"] = row.digest.hex()
            line["words"] = shown(row.payload, _WORDS_MAX) if row.payload else ""
            line["is_whole"] = row.is_whole
            yield json.dumps(line)


def _add_nothing(_: argparse.ArgumentParser) -> None:
    """It needs the journal only."""


_PARTS: Final = (
    _Part("ls", "list the actors", _add_nothing, _ls),
    _Part("show", "show the records of one actor in words", _add_show, _show),
    _Part("verify", "tell what is wrong with the journal, a line for each fault", _add_nothing, _verify),
    _Part("compact", "remove ended actors and dead letters, and make the file smaller", _add_compact, _compact),
    _Part("export", "write every record as a line of JSON", _add_export, _export),
)

JOURNAL: Final = Command(
    name="journal",
    about="look into the journal of durable actors",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
    exits=TOOL_EXITS,
)
