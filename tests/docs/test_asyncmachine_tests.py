"""The pages about the original: no test of theirs is missing, each test of ours exists, each difference is shown."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from tests.docs.generated import DOCS
from tests.docs_programs import ROOT

PAGE: Final = DOCS / "reference" / "asyncmachine-tests.md"
DIFFERENCES: Final = DOCS / "explanation" / "asyncmachine-differences.md"
ROW: Final = re.compile(r"^\| (?P<name>[^|]+) \| (?P<what>[^|]+) \| (?P<here>[^|]+) \|$")
NODE: Final = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<test>test_\w+)`")
NO: Final = "does not apply: "

TESTS: Final = frozenset(
    re.findall(
        r"\w+",
        """
        ExampleNew ExampleNewCommon TestSingleStateActive TestMultipleStatesActive TestExposeAllStateNames TestStateSet
        TestStateAdd TestStateRemove TestPanicWhenStateIsUnknown TestGetStateRelations TestGetRelationsBetweenStates
        TestSingleToSingleStateTransition TestSingleToMultiStateTransition TestMultiToMultiStateTransition
        TestMultiToSingleStateTransition TestTransitionToActiveState TestAfterRelationWhenEntering
        TestAfterRelationWhenExiting TestRequireOrder TestRemoveRelation TestRemoveRelationSimultaneous
        TestRemoveRelationCrossBlocking TestAddRelation TestRequireRelation TestRequireRelationWhenRequiredIsntActive
        TestRemoveMultiImplied TestQueue TestNegotiationCancel TestAutoStates TestAutoStatesHeartbeat TestPartialAutoStates
        TestPartialAutoStatesByStateState TestPartialAutoStatesByEnter TestPartialAutoStatesBySelfHandler
        TestNegotiationRemove TestHandlerStateInfo TestGetters TestSwitch TestDispose TestDisposeForce TestLogArgs
        TestHandlerArgs TestEvMutations TestEval TestEvalNested TestEvalNestedHandlers TestBreakpoints
        TestHandlerStateState TestHandlerNegotiationStateState TestAnonHandlers TestSelfHandlersCancellable
        TestSelfHandlersOrder TestDoubleHandlers TestSelfHandlersForAllNoChangeStates
        TestRegressionRemoveCrossBlockedByImplied TestRegressionImpliedBlockByBeingRemoved TestWhen TestWhen2
        TestWhenActive TestWhenDups TestWhenNot TestWhenNot2 TestWhenNotActive TestPartialNegotiationPanic
        TestPartialFinalPanic TestStateCtx TestStateCtxBasic TestQueueCheckable TestPartialAuto TestTime TestWhenCtx
        TestWhenArgs TestWhenTime TestChanReuse TestNewCommon TestNewCommonLessCommon TestTracers TestQueueLimit
        TestSubmachines TestSetStates TestIs TestNot TestAny TestClock TestInspect TestNilCtx TestWhenQueueEnds
        TestWhenQueue TestGetRelationsBetween TestString TestNestedMutation TestVerifyStates TestHas TestLogger TestIsClock
        TestIsTime TestAnyEnterHandler TestExportImport TestHandlerTimeout TestHandlerDeadline TestBindTracer
        TestUnbindHandlers TestCountActive TestAddErr TestToggle TestOpts TestDisposedNoOp TestGroups TestCanAdd
        TestWhenQuery TestWithOpts TestResultString TestMutationTypeString TestStepTypeString TestRelationString
        TestLogLevelString TestNewArgsMapper TestParseStruct TestSMerge TestIsActiveTick TestStatesFile TestTimeMethods
        TestEnv TestAMerge TestStateUtils
        """,
    )
)
"""The tests of its package."""


def rows() -> list[re.Match[str]]:
    """The rows of all tables, without their heads."""
    found: list[re.Match[str]] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and "| what it pins |" not in line and not line.startswith("| ---"):
            row = ROW.match(line)
            assert row is not None, f"a cell is empty, or there are not three: {line}"
            found.append(row)
    return found


@cache
def functions_of(file: Path) -> frozenset[str]:
    """The test functions of a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_test_of_theirs_is_missing() -> None:
    """Each has one row, and there are no others of such a name."""
    names = [row["name"].strip("`") for row in rows() if row["name"].startswith("`")]

    assert sorted(names) == sorted(TESTS)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"].strip("`"))
def test_each_row_names_a_test_or_says_why_not(row: re.Match[str]) -> None:
    """The test exists; or the row says why it does not apply."""
    here = row["here"]
    found = list(NODE.finditer(here))

    assert bool(found) != here.startswith(NO), here
    assert here.startswith(NO) or NODE.fullmatch(here), here
    assert len(here) > len(NO) + 10
    for node in found:
        assert node["test"] in functions_of(ROOT / node["file"]), node[0]


CORRECTIONS: Final = (
    "Add is followed to the end",
    "An active Multi brings nothing back",
    "A dry run of a Multi asks the relations",
    "A duplicate is one of the last only",
    "After holds between any two states",
    "The order is the order of the class",
    "No extra ticks, and nobody is left half in",
    "Who waits is not forgotten",
    "A vetoed auto state stays out",
    "A remove from a handler is done at once only if nothing could undo it",
    "A timeout says so",
    "An error of the error handling does not hang",
    "An error in an auto transition is no veto, and no loop",
)
"""What M3 corrects, by the headings of the page."""


@pytest.mark.parametrize("heading", CORRECTIONS)
def test_each_correction_has_an_example(heading: str) -> None:
    """M3: "A docs page lists each with an example": and the example runs, as all programs of the pages do."""
    _, _, rest = DIFFERENCES.read_text(encoding="utf-8").partition(f"\n### {heading}\n")
    section = rest.partition("\n##")[0]

    assert "Here" in section, "what is so here"
    assert "There" in section or "original" in section, "what is so there"
    assert "```python\n" in section
    assert ">>> " in section or "assert " in section


def test_what_is_kept_on_purpose_is_said() -> None:
    """M2: orphans: a state that Require drops leaves what it brought."""
    text = DIFFERENCES.read_text(encoding="utf-8")

    assert "## What is kept on purpose" in text
    assert "A state that Require drops leaves what it brought." in text
