"""What a command is: a name, its arguments, and a function from them to an exit code."""

import argparse
import sys
from collections.abc import Callable
from typing import Final

import attrs

__all__ = ["EXITS", "TOOL_EXITS", "Command", "Refused", "say"]

EXITS: Final = """\
exit codes:
  0    the actor stopped as it was asked to, by a signal or by itself
  1    the actor failed; its error is on stderr, with its causes
  2    nothing was started: the arguments, the module or the actor are not usable
  130  killed after SIGINT: a second signal came, or --grace ran out
  143  the same after SIGTERM
"""

TOOL_EXITS: Final = """\
exit codes:
  0    it is done, and nothing was wrong
  1    something is wrong with the journal, or its actors do not do what it says
  2    nothing was done: the arguments, the file or the module are not usable
"""
"""Those of the commands that look into a journal, and run nothing."""


@attrs.frozen(kw_only=True)
class Command:
    """One command of `histrio`."""

    name: str
    about: str
    """A phrase for the list of commands."""
    description: str
    """What its own `--help` says first."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    """Does it; the value is the exit code. Raises `Refused` if nothing can be done with these arguments."""
    exits: str = EXITS
    """What its exit codes mean."""


class Refused(Exception):
    """Nothing was started; the text is one line that says why and what to write instead. Exit code 2."""


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(f"histrio: {text}", file=sys.stderr, flush=True)
