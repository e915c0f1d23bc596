"""Trees of supervised actors do what the model of OTP's rules says, for drawn trees and whatever happens to them."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import pytest
from hypothesis import assume, given, note, settings
from tests.actors.supervision.lives import Entry, Prediction
from tests.actors.supervision.model import predict
from tests.actors.supervision.programs import GRAINS_PER_S, Program, Sup, Worker, programs
from tests.actors.supervision.promises import broken_promises
from tests.actors.supervision.world import play
from tests.conftest import Show
from tests.effort import count

REPLIES = {
    "ok": ["ok"],
    "not found": ["NoSuchChild"],
    "running": ["ChildRunning"],
    "failed": ["ChildNotStarted"],
    "stopped": ["stopped", "ActorStopped", "ActorFailed", "ChildNotStarted"],
}


def ordered(log: list[Entry], program: Program) -> list[Entry]:
    """The log as far as its order is promised: those who are cancelled together end in any order.

    What else ends at one instant writes something before it is gone. The handling of messages is compared by actor.
    """
    unseen: set[str] = (
        set() if program.heard else {path for path, spec in program.places().items() if isinstance(spec, Sup)}
    )
    seen = [entry for entry in log if entry.path not in unseen and entry.what.split()[0] not in ("handles", "done")]
    groups = groupby(seen, lambda entry: (entry.at, entry.what == "gone"))
    return [one for (_, gone), group in groups for one in (sorted(group, key=str) if gone else group)]


def shown(log: list[Entry]) -> Iterator[str]:
    """Lines for a reader."""
    for entry in log:
        yield f"{entry.at / GRAINS_PER_S:12.6f} {entry.path} #{entry.incarnation} {entry.what}"


def told_difference(expected: list[Entry], found: list[Entry]) -> str:
    """Both logs up to where they part, and a little further."""
    same = next(
        (n for n, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), min(len(expected), len(found))
    )
    lines = [*shown(expected[:same]), "-------- the model goes on:", *shown(expected[same : same + 8])]
    return "\n".join([*lines, "-------- and Histrio:", *shown(found[same : same + 8])])


def agrees(expected: str, found: str) -> bool:
    """Whether a message met that fate. Who waited may be told of the end by its cause, or without."""
    return found == expected or (expected in ("ended", "stopped") and found in ("stopped", "failed"))


def compare(program: Program, expected: Prediction, found: Prediction) -> None:
    """All that is promised of a program of distinct times."""
    logs = ordered(expected.log, program), ordered(found.log, program)
    assert logs[0] == logs[1], told_difference(*logs)
    for path, spec in program.places().items():
        logs = [one for one in expected.log if one.path == path], [one for one in found.log if one.path == path]
        if isinstance(spec, Worker):
            assert logs[0] == logs[1], told_difference(*logs)
    assert expected.ended_by == found.ended_by
    assert expected.fates.keys() == found.fates.keys()
    wrong = {n: (fate, found.fates[n]) for n, fate in expected.fates.items() if not agrees(fate, found.fates[n])}
    assert not wrong, f"messages whose fate is another (the model's, Histrio's): {wrong}"
    assert expected.replies.keys() == found.replies.keys()
    wrong = {
        n: (said, found.replies[n]) for n, said in expected.replies.items() if found.replies[n] not in REPLIES[said]
    }
    assert not wrong, f"commands whose reply is another (the model's, Histrio's): {wrong}"
    assert not program.heard or sorted(expected.escalations) == sorted(found.escalations)


@pytest.mark.alarm(300 + count("supervision_examples") / 5)
def test_trees_do_what_the_model_of_otp_says(show: Show) -> None:
    """S1, S2, S3, S9: Who starts and stops when and in which order, who restarts, what escalates, what is handled by whom."""
    seen: Counter[str] = Counter()

    @settings(max_examples=count("supervision_examples"))
    @given(programs())
    def drawn(program: Program) -> None:
        expected = predict(program)
        assume(not expected.ambiguous)
        world = play(program)
        compare(program, expected, world.outcome)
        assert broken_promises(program, world.outcome) == []
        seen.update(entry.what.split()[0] for entry in expected.log)
        seen.update(restarts=sum(one.what == "starting" and one.incarnation > 1 for one in expected.log))
        seen.update(programs=1, escalations=len(expected.escalations), messages=len(expected.fates))

    drawn()
    show(
        f"S1-S3: {seen['programs']:,} drawn trees as the model of OTP says: {seen['starting']:,} starts, {seen['restarts']:,}"
        f" restarts, {seen['escalations']:,} escalations, {seen['messages']:,} messages with the right fate"
    )


@pytest.mark.alarm(300 + count("supervision_examples") / 5)
def test_what_happens_at_one_instant_keeps_the_promises() -> None:
    """S1, S2, S3: In whatever order Trio runs what happens together, no promise is broken."""

    @settings(max_examples=count("supervision_examples"))
    @given(programs(distinct=False))
    def drawn(program: Program) -> None:
        world = play(program)
        note("\n".join(shown(world.outcome.log)))
        assert broken_promises(program, world.outcome) == []

    drawn()
