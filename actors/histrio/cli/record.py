"""`histrio record FILE module:Actor`: runs one actor as `histrio run` does, and writes all signals of its system to a file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final

from histrio.cli.command import Command, Refused, say
from histrio.cli.run import Service, add_actor_arguments, serve, set_up_logging
from histrio.cli.target import load
from histrio_kernel.journal.recording import Recorder

__all__ = ["RECORD"]

_DESCRIPTION: Final = """\
Run the actor as `histrio run` does, and write every signal of its system to FILE, which must not be there yet.

`histrio signals FILE` shows them, also while it runs. Signals and exit codes are those of `histrio run`."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="where to write")
    add_actor_arguments(parser)


def _run(given: argparse.Namespace) -> int:
    target = load(given.actor)
    set_up_logging()
    path: Path = given.file
    try:
        recorder = Recorder(path, time.time)
    except FileExistsError:
        raise Refused(f"{path} is there already: name another file, or remove it") from None
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error}") from None
    with recorder:
        code = serve(Service(target, given.name, given.grace, reader=recorder.hear))
    say(f"{recorder.count:,} signals are in {path}")
    return code


RECORD: Final = Command(
    name="record",
    about="run one actor, and record what happens",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
