"""The command `histrio`. Each of its commands is one file; this one reads the arguments and hands them over."""

import argparse
from collections.abc import Sequence
from typing import Final

from histrio import __version__
from histrio.cli.command import EXITS, Command, Refused, say
from histrio.cli.journals import JOURNAL
from histrio.cli.record import RECORD
from histrio.cli.replays import INSPECT, REPLAY_CHECK
from histrio.cli.run import RUN
from histrio.cli.signals import SIGNALS
from histrio.cli.tree import TREE

__all__ = ["COMMANDS", "main"]

COMMANDS: Final[tuple[Command, ...]] = (RUN, TREE, RECORD, SIGNALS, JOURNAL, REPLAY_CHECK, INSPECT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what *arguments* say (default: those of the process) and return the exit code.

    Raises:
        SystemExit: `--help` or `--version` was asked for (0), or the arguments cannot be read (2).
    """
    given = _parser().parse_args(arguments)
    command: Command = given.command
    try:
        return command.run(given)
    except Refused as refused:
        say(str(refused))
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="histrio",
        description="Run actors, and look into what they have done.",
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"histrio {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    for command in COMMANDS:
        each = commands.add_parser(
            command.name,
            help=command.about,
            description=command.description,
            epilog=command.exits,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(each)
        each.set_defaults(command=command)
    return parser
