"""The model of OTP's rules says what the books say."""

from typing import Any

import attrs
from tests.actors.supervision.lives import Prediction
from tests.actors.supervision.model import predict
from tests.actors.supervision.programs import (
    GRAINS_PER_S,
    AutoShutdown,
    Do,
    Op,
    Program,
    Restart,
    Spec,
    Strategy,
    Sup,
    Worker,
)

S = GRAINS_PER_S


def run(*children: Spec, does: tuple[tuple[float, Do, str], ...] = (), end: float = 100, **rules: Any) -> Prediction:
    """What comes of a supervisor /r of these children."""
    root = Sup(name="r", children=children, **rules)
    ops = tuple(Op(int(at * S), do, path, 1 if do is Do.FAIL_STARTS else S) for at, do, path in does)
    return predict(Program(root, ops, int(end * S)))


def told(prediction: Prediction, begin: float = 0, end: float = 99) -> list[str]:
    """The log between two times, in short: 'started a2 @1' is that the second incarnation of a started at 1 s."""
    log = [entry for entry in prediction.log if begin * S <= entry.at <= end * S]
    shown = [(f"{e.at / S:g}", e.path.rpartition("/")[2], e.incarnation, e.what) for e in log]
    return [f"{what} {name}{incarnation} @{at}" for at, name, incarnation, what in shown]


def starts_and_ends(prediction: Prediction, begin: float = 0, end: float = 99) -> list[str]:
    """The lines of that log that tell of starts and ends of workers."""
    return [
        line for line in told(prediction, begin, end) if line.split()[0] in ("starting", "gone") and " r1 " not in line
    ]


A, B, C = (Worker(name=name) for name in "abc")


def test_children_start_from_left_to_right_and_stop_from_right_to_left() -> None:
    """S2: Each start is waited for, and each stop."""
    one, other = (Worker(name=name, start=S, stop=2 * S, unwind=3 * S) for name in "ab")
    assert told(run(one, other, end=10), 0, 10) == [
        "starting a1 @0",
        "started a1 @1",
        "starting b1 @1",
        "started b1 @2",
        "stopping b1 @10",
    ]
    assert told(run(one, other, end=10), 11, 20)[:-1] == [
        "stopped b1 @12",
        "gone b1 @15",
        "stopping a1 @15",
        "stopped a1 @17",
        "gone a1 @20",
    ]


def test_a_failing_start_stops_those_before_it_in_reverse() -> None:
    """S2: supervisor:init_children/2."""
    broken = Worker(name="d", start_failures=1)
    prediction = run(A, B, broken, C)
    assert starts_and_ends(prediction) == [
        "starting a1 @0",
        "starting b1 @0",
        "starting d1 @0",
        "gone d1 @0",
        "gone b1 @0",
        "gone a1 @0",
    ]
    assert prediction.ended_by == "a failed start"


def test_one_for_one_restarts_the_failed_child_only() -> None:
    """S1."""
    assert told(run(A, B, C, does=((1, Do.CRASH, "/r/b"),)), 1) == [
        "handles 0 b1 @1",
        "gone b1 @1",
        "starting b2 @1",
        "started b2 @1",
    ]


def test_one_for_all_stops_the_others_from_right_to_left_and_starts_all() -> None:
    """S1."""
    prediction = run(A, B, C, does=((1, Do.KILL, "/r/b"),), strategy=Strategy.ONE_FOR_ALL)
    assert starts_and_ends(prediction, 1) == [
        *("gone b1 @1", "gone c1 @1", "gone a1 @1"),
        *("starting a2 @1", "starting b2 @1", "starting c2 @1"),
    ]


def test_rest_for_one_stops_and_starts_those_to_the_right() -> None:
    """S1."""
    prediction = run(A, B, C, does=((1, Do.BREAK, "/r/b"),), strategy=Strategy.REST_FOR_ONE)
    assert starts_and_ends(prediction, 1) == ["gone b1 @1", "gone c1 @1", "starting b2 @1", "starting c2 @1"]


def test_who_is_started_again_after_which_end() -> None:
    """S1: supervisor:do_restart/3: permanent always, transient unless normal, temporary never."""
    ends = (Do.CRASH, Do.KILL, Do.BREAK, Do.STOP, Do.FINISH)
    again = {
        restart: [
            len(starts_and_ends(run(Worker(name="a", restart=restart), does=((1, do, "/r/a"),)), 1)) == 2 for do in ends
        ]
        for restart in Restart
    }
    assert again == {
        Restart.PERMANENT: [True, True, True, True, True],
        Restart.TRANSIENT: [True, True, True, False, False],
        Restart.TEMPORARY: [False, False, False, False, False],
    }


def test_a_temporary_sibling_is_stopped_and_not_started_again() -> None:
    """S1: supervisor:terminate_children/2."""
    prediction = run(
        A, attrs.evolve(B, restart=Restart.TEMPORARY), does=((1, Do.CRASH, "/r/a"),), strategy=Strategy.ONE_FOR_ALL
    )
    assert starts_and_ends(prediction, 1) == ["gone a1 @1", "gone b1 @1", "starting a2 @1"]


def test_a_sibling_that_had_ended_normally_is_started_with_the_others() -> None:
    """S1: supervisor:start_children/2 does not ask why a child has no process."""
    does = ((1, Do.FINISH, "/r/b"), (2, Do.CRASH, "/r/a"))
    prediction = run(A, attrs.evolve(B, restart=Restart.TRANSIENT), does=does, strategy=Strategy.ONE_FOR_ALL)
    assert starts_and_ends(prediction, 1) == ["gone b1 @1", "gone a1 @2", "starting a2 @2", "starting b1 @2"]


def test_more_restarts_than_the_budget_in_the_window_escalate() -> None:
    """S1: supervisor:add_restart/1: so many within the period, its end included, are endured."""
    crashes = tuple((at, Do.CRASH, "/r/a") for at in (1, 2, 3))
    endured = run(A, B, does=crashes, restarts_max=2, window=S)
    assert (endured.escalations, endured.ended_by) == ([], "the end of the block")
    prediction = run(A, B, does=crashes, restarts_max=2, window=2 * S)
    assert prediction.escalations == [("/r", ("a", "a", "a"))]
    assert starts_and_ends(prediction, 3) == ["gone a3 @3", "gone b1 @3"]
    assert prediction.ended_by == "SystemFailed"


def test_an_escalation_is_a_failure_to_the_supervisor_above() -> None:
    """S1: which restarts the whole subtree, with budgets and places that are new."""
    inner = Sup(name="s", children=(A, B), restarts_max=0, restart=Restart.TRANSIENT)
    prediction = run(inner, C, does=((1, Do.CRASH, "/r/s/b"), (2, Do.CRASH, "/r/s/b")), restarts_max=1)
    assert prediction.escalations == [("/r/s", ("b",)), ("/r/s", ("b",)), ("/r", ("s", "s"))]
    assert starts_and_ends(prediction, 1, 1.5) == [
        "gone b1 @1",
        "gone a1 @1",
        "gone s1 @1",
        "starting a1 @1",
        "starting b1 @1",
    ]


def test_a_failing_start_in_a_restart_is_tried_again_and_counts() -> None:
    """S1: supervisor:try_again_restart/1."""
    does = ((1, Do.FAIL_STARTS, "/r/a"), (2, Do.CRASH, "/r/a"))
    assert starts_and_ends(run(A, does=does, restarts_max=2), 2) == [
        "gone a1 @2",
        "starting a2 @2",
        "gone a2 @2",
        "starting a3 @2",
    ]
    assert run(A, does=does, restarts_max=1).escalations == [("/r", ("a", "a"))]


def test_a_significant_child_that_ends_shuts_its_supervisor_down() -> None:
    """S1: supervisor:do_auto_shutdown/2."""
    one, other = (Worker(name=name, restart=Restart.TRANSIENT, significant=True) for name in "ab")
    any_of = run(one, other, C, does=((1, Do.FINISH, "/r/a"),), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    assert starts_and_ends(any_of, 1) == ["gone a1 @1", "gone c1 @1", "gone b1 @1"]
    does = ((1, Do.FINISH, "/r/a"), (2, Do.CRASH, "/r/b"), (3, Do.FINISH, "/r/b"))
    all_of = run(one, other, C, does=does, auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)
    assert starts_and_ends(all_of, 2) == ["gone b1 @2", "starting b2 @2", "gone b2 @3", "gone c1 @3"]
