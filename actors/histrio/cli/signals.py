"""`histrio signals FILE`: what `histrio record` has recorded, a line for each signal."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from histrio.cli.command import TOOL_EXITS, Command, Refused
from histrio_kernel.journal.codec import shown
from histrio_kernel.journal.errors import ForeignFile, JournalDamaged, JournalTooNew
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.recording import Recording
from histrio_kernel.signals import Kind

__all__ = ["SIGNALS"]

_DESCRIPTION: Final = """\
Show the signals in FILE, the oldest first: the time, the actor, its incarnation if it is not the first, the number among
its signals, what happened, and the particulars. `in 7`: it belongs to the handler that began with number 7.
`from /front:4`: it follows from number 4 of /front."""

_PAUSE_S: Final = 0.1  # between two looks at a file that may have grown


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="what `histrio record` has written")
    parser.add_argument(
        "--path", metavar="GLOB", default="*", help="only of actors whose path matches, such as '/shop/*'"
    )
    parser.add_argument(
        "--kind", metavar="K", type=_kind, action="append", help="only of this kind; may be given several times"
    )
    parser.add_argument(
        "--since", metavar="SEQ", type=int, default=0, help="of each actor only those from this number on"
    )
    parser.add_argument("--follow", action="store_true", help="go on as long as the file grows; ends by SIGINT")
    parser.add_argument("--json", action="store_true", help="a JSON object for each signal")


def _kind(text: str) -> Kind:
    try:
        return Kind[text.upper()]
    except KeyError:
        names = ", ".join(kind.name for kind in Kind)
        raise argparse.ArgumentTypeError(f"{text!r} is no kind of signal; there are {names}") from None


def _run(given: argparse.Namespace) -> int:
    show = _as_json if given.json else _as_line
    kinds = frozenset(given.kind or Kind)
    try:
        with Recording(given.file) as recording:
            while True:
                for record in recording.more():
                    if record.kind in kinds and record.seq >= given.since and fnmatchcase(record.path, given.path):
                        _print(show, record)
                sys.stdout.flush()
                if not given.follow:
                    return 0
                time.sleep(_PAUSE_S)
    except (ForeignFile, JournalDamaged, JournalTooNew) as error:
        raise Refused(str(error)) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
        return 0
    except OSError as error:
        raise Refused(f"{given.file} cannot be read: {error}") from None


def _print(show: Callable[[Record], str], record: Record) -> None:
    print(show(record))


def _as_line(record: Record) -> str:
    when = dt.datetime.fromtimestamp(record.at).astimezone().strftime("%H:%M:%S.%f")
    who = record.path if record.incarnation == 1 else f"{record.path} ({record.incarnation})"
    what = "" if record.kind is Kind.START else _what(record)
    scope = f"  in {record.scope}" if record.scope else ""
    cause = f"  from {record.cause}" if record.cause else ""
    return f"{when}  {who}  {record.seq}  {record.kind.name}  {what}{scope}{cause}".rstrip()


def _as_json(record: Record) -> str:
    fields = {
        "at": record.at,
        "path": record.path,
        "incarnation": record.incarnation,
        "seq": record.seq,
        "kind": record.kind.name,
        "key": record.key,
        "what": _what(record),
        "scope": record.scope,
        "cause": record.cause,
    }
    return json.dumps(fields)


def _what(record: Record) -> str:
    return shown(record.payload)


SIGNALS: Final = Command(
    name="signals",
    about="show what was recorded",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
    exits=TOOL_EXITS,
)
