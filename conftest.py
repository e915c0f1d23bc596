"""Every example runs: in README.md, in the pages of docs/, and in the docstrings of both packages.

A page is one program from top to bottom, run in an empty directory of its own, unless `<!-- clear-namespace -->`
begins a new one. The examples in a module's docstrings see the module's names.
"""

# The markers of a page: a fence of "python" is a program and runs; a fence whose text is an include ("--8<--") shows
# a file of examples/, which has tests of its own; what is not a program is a fence of another language ("text",
# "console"). `<!-- skip: next -->` is for a program that would serve for ever. That all of them pass both type
# checkers is the work of tests/docs_programs.py.

import doctest
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, chdir
from functools import partial
from typing import Any

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.document import PythonDocStringDocument
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import ClearNamespaceParser, PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser
from sybil.typing import Evaluator

pytest_plugins = ["tests.alarm", "pytester"]

INCLUDE = "--8<--"
PACKAGES = ("kernel/histrio_kernel", "actors/histrio")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

_directory = ExitStack()


def _enter_directory(_namespace: dict[str, Any]) -> None:
    """Programs write files; theirs go to a directory that ends with the page."""
    _directory.enter_context(chdir(_directory.enter_context(tempfile.TemporaryDirectory(prefix="histrio-page-"))))


def _leave_directory(_namespace: dict[str, Any]) -> None:
    _directory.close()


class ProgramParser(PythonCodeBlockParser):
    """Python fences, each run as a main program would be; includes are left out."""

    def __call__(self, document: Document) -> Iterable[Region]:
        """The programs of a page, or of a docstring."""
        for region in super().__call__(document):
            assert region.evaluator is not None
            if not str(region.parsed).lstrip().startswith(INCLUDE):
                region.evaluator = partial(_run_as_main, region.evaluator)
                yield region


def _run_as_main(run: Evaluator, example: Example) -> str | None:
    example.namespace.setdefault("__name__", "__main__")
    return run(example)


pages = Sybil(
    parsers=[ClearNamespaceParser(), SkipParser(), ProgramParser(doctest_optionflags=OPTIONS)],
    patterns=["*.md"],
    setup=_enter_directory,
    teardown=_leave_directory,
)
docstrings = Sybil(
    parsers=[DocTestParser(optionflags=OPTIONS), ProgramParser(doctest_optionflags=OPTIONS)],
    patterns=[f"{root}/{depth}*.py" for root in PACKAGES for depth in ("", "*/", "*/*/")],
    document_types={".py": PythonDocStringDocument},
    setup=_enter_directory,
    teardown=_leave_directory,
)
# Sybil looks for the frame of the example in each failure. A warning that became an error after it (a coroutine never
# awaited, a file never closed) has no such frame, and the search would end all of pytest.
SybilItem._traceback_filter = pytest.Item._traceback_filter  # type: ignore[method-assign]

pytest_collect_file = (pages + docstrings).pytest()
