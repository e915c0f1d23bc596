"""J3, J7: a past is done again to be looked at: nothing is stored, nothing begins, and each record has its state."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import attrs
import pytest
import trio
from tests.durable.worlds import OUTSIDE, double, in_virtual_time, open_world, until_cut

import histrio
from histrio.durable import DurableActor, DurableTree, NonDeterminism
from histrio.durable.dry import Replayed, TookTooLong, Waiting, replay
from histrio.durable.errors import UnknownBehaviour
from histrio_kernel.errors import ActorStopped
from histrio_kernel.journal.errors import Undecodable
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind


@attrs.frozen
class Do(histrio.Request[object]):
    """Have one of the programs below run."""

    program: str
    number: int = 1


Program = Callable[["Doer", int], Awaitable[object]]


class Doer(DurableActor[Do], behaviour="dry.doer"):
    """Does what today's program of that name says."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    @histrio.handler(Do)
    async def do(self, do: Do) -> object:
        return await PROGRAMS[do.program](self, do.number)


async def two(doer: Doer, number: int) -> object:
    """Two effects, and a step before, between and after them."""
    doer.steps.append("began")
    first = await doer.io(double, number)
    doer.steps.append(f"first {first}")
    second = await doer.io(double, number + 1)
    doer.steps.append(f"second {second}")
    return second


async def other(doer: Doer, number: int) -> object:
    """The second effect is another one."""
    await doer.io(double, number)
    return await doer.io(double, number + 7)


async def race(doer: Doer, number: int) -> object:
    """Three things, of which one comes in time."""
    both = histrio.both(doer.io(double, number), doer.io(double, 50 + number))
    with suppress(ValueError):
        try:
            await histrio.either(both, doer.sleep(10_000))
        finally:
            doer.steps.append("cleaned up")
    return None


async def child(doer: Doer, number: int) -> object:
    """A child that is there already when its first step is not."""
    ref = await doer.spawn(Doer, name=f"child{number}")
    await doer.ref.tell(Do("two", 5))
    doer.steps.append(ref.path)
    return None


async def ends(doer: Doer, number: int) -> object:
    """The end, with a result."""
    doer.finish(number)
    return None


async def fails(doer: Doer, number: int) -> object:
    """A step that never happened."""
    doer.steps.append("never")
    raise KeyError(number)


async def changes(doer: Doer, number: int) -> object:
    """A transaction, whose outcome begins a step that stores nothing."""
    later = doer.sleep(0.1)
    doer.steps.append("asked")
    found = await doer.transact(count, number)
    doer.steps.append(f"found {found}")
    await later
    return found


async def patched(doer: Doer, number: int) -> object:
    """The same by newer code."""
    later = doer.sleep(0.1)
    found = await doer.transact(count, number)
    doer.steps.append("new" if doer.patched("newer") else "old")
    await later
    return found


async def hangs(doer: Doer, number: int) -> object:
    """Waits for what nobody recorded."""
    await trio.sleep_forever()
    return number


def count(connection: sqlite3.Connection, number: int) -> int:
    """The number, by way of a database."""
    (found,) = connection.execute("SELECT ?", (number,)).fetchone()
    return int(found)


PROGRAMS: dict[str, Program] = {}
ALL: dict[str, Program] = {
    each.__name__: each for each in (two, other, race, child, ends, fails, changes, patched, hangs)
}


@pytest.fixture(autouse=True)
def _programs() -> None:
    """Each test begins with the programs as they are above."""
    PROGRAMS.clear()
    PROGRAMS.update(ALL)


async def ask_all(tree: DurableTree, asks: Sequence[Do]) -> None:
    """Have these done, one after the other; what fails, fails."""
    doer = await tree.spawn(Doer, name="doer")
    for ask in asks:
        with suppress(Exception):
            await doer.ask(ask)


def done(*asks: Do) -> Stored:
    """What a journal holds when all of that is done."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            await ask_all(tree, asks)
            await trio.sleep(1)

    with suppress(histrio.HistrioError):
        in_virtual_time(main)
    return stored


def cut(commits: int, *asks: Do) -> Stored:
    """What it holds after so many commits."""
    stored = Stored()
    in_virtual_time(partial(until_cut, stored, commits, lambda tree: ask_all(tree, asks)))
    return stored


def again(records: Sequence[Record], at: int | None = None) -> Replayed:
    """See `replay`."""
    return in_virtual_time(partial(replay, records, at))


def steps(seen: Replayed) -> str:
    """What the actor noted."""
    assert seen.error is None, seen.error
    return dict(seen.attributes)["steps"]


EVERYTHING = (Do("two"), Do("fails"), Do("changes", 3), Do("child"), Do("race", 2), Do("two", 7))


def test_nothing_is_stored_and_nothing_begins() -> None:
    """J3: replay ends where the past does: the journal is as it was, and no effect has run."""
    stored = done(*EVERYTHING)
    records, effects = list(stored.read("/doer", 0)), dict(OUTSIDE.done)

    seen = again(records)

    assert (seen.error, seen.path, seen.behaviour, seen.seq) == (None, "/doer", "dry.doer", records[-1].seq)
    assert steps(seen).startswith("['began', 'first 2', 'second None', 'asked', 'found 3', '/doer/child1', ")
    assert "never" not in steps(seen)
    assert stored.read("/doer", 0) == records
    assert dict(OUTSIDE.done) == effects


def test_the_object_is_the_one_that_lives() -> None:
    """J3: what is shown is what the actor has in a tree that is opened on the same journal."""
    stored = done(*EVERYTHING)
    seen = again(stored.read("/doer", 0))

    async def main() -> object:
        async with open_world(stored) as tree:
            life = tree._hosts["/doer"].life
            assert life is not None
            return vars(life.behaviour)["steps"]

    assert steps(seen) == repr(in_virtual_time(main))


def test_each_record_has_its_state() -> None:
    """J7: at a record the state is that after its step, and the next step's is another."""
    records = done(Do("two")).read("/doer", 0)
    kinds = [(record.seq, record.kind) for record in records]
    assert kinds == [
        (1, Kind.START),
        (2, Kind.RECEIVE),
        (3, Kind.USE),
        (4, Kind.RESOLVED),
        (5, Kind.USE),
        (6, Kind.RESOLVED),
        (7, Kind.SEND),
    ]

    found = {at: again(records, at) for at, _ in kinds}

    began, first, second = "['began']", "['began', 'first 2']", "['began', 'first 2', 'second None']"
    assert [steps(found[at]) for at in range(1, 8)] == ["[]", began, began, first, first, second, second]
    assert [found[at].seq for at in range(1, 8)] == [1, 3, 3, 5, 5, 7, 7]
    assert [found[at].waiting for at in range(1, 8)] == [
        (),
        *[(Waiting("Do(program='two', number=1)", 2, ("2.1 double",)),)] * 2,
        *[(Waiting("Do(program='two', number=1)", 2, ("2.2 double",)),)] * 2,
        (),
        (),
    ]


def test_every_record_of_every_past_can_be_looked_at() -> None:
    """J3, J7: wherever it is cut, by a crash or by who asks, the past is done again without an error."""
    whole = done(*EVERYTHING)
    looked = 0
    for path in whole.actors:
        records = whole.read(path, 0)
        for record in records:
            assert again(records, record.seq).error is None, record
            looked += 1
    for commits in range(1, 12):
        stored = cut(commits, *EVERYTHING)
        for path in stored.actors:
            assert again(stored.read(path, 0)).error is None, (commits, path)
            looked += 1
    assert looked > 50


def test_what_differs_is_told_as_recovery_tells_it() -> None:
    """J3: the same error, of the same record, that would put the actor in quarantine."""
    stored = done(Do("two"))
    PROGRAMS["two"] = other

    async def main() -> object:
        async with open_world(stored) as tree:
            host = tree._hosts["/doer"]
            assert host.quarantine is not None
            return host.quarantine.__cause__

    told: list[object] = []
    with suppress(histrio.HistrioError):

        async def note() -> None:
            told.append(await main())

        in_virtual_time(note)
    seen = again(stored.read("/doer", 0))

    assert isinstance(seen.error, NonDeterminism)
    assert str(seen.error) == str(told[0])
    assert (seen.error.seq, seen.attributes, seen.waiting) == (5, (), ())
    assert again(stored.read("/doer", 0), 3).error is None


def test_whoever_waits_for_many_says_for_which() -> None:
    """J7: of combined futures those are named that have no outcome yet; clean-up has not run."""
    records = done(Do("race", 2)).read("/doer", 0)
    at = next(record.seq for record in records if record.kind is Kind.RESOLVED)

    first, later = again(records, at - 1), again(records, at)

    assert first.waiting[0].on[:2] == ("2.1 double", "2.2 double")
    assert later.waiting[0].on[0] == "2.2 double"
    assert first.waiting[0].on[2] == later.waiting[0].on[1]
    assert later.waiting[0].on[1].startswith("2.3 time ")
    assert steps(later) == "[]"


def test_a_handler_is_known_after_a_crash() -> None:
    """J7: a handler is told by what it handles, also behind steps that never happened."""
    records = done(Do("fails"), Do("two", 3), Do("fails"), Do("race", 2)).read("/doer", 0)
    at = next(record.seq for record in records if record.kind is Kind.TIMER)

    (waiting,) = again(records, at).waiting

    assert waiting.handler == "Do(program='race', number=2)"
    assert records[waiting.since - 1].kind is Kind.RECEIVE


def test_a_child_without_a_step_of_its_own_has_begun() -> None:
    """J3: a parent stores how its child begins; what the child does then is new, and is not stored here."""
    for commits in range(1, 12):
        stored = cut(commits, Do("child"))
        if [record.kind for record in stored.read("/doer/child1", 0)] == [Kind.START]:
            break
    else:
        pytest.fail("no commit left a child alone")

    seen = again(stored.read("/doer/child1", 0))

    assert (seen.seq, steps(seen)) == (1, "[]")
    assert len(stored.read("/doer/child1", 0)) == 1


def test_a_past_that_is_cut_short_is_past_all_the_same() -> None:
    """J7: `patched` is no where the past went on without, also if the last record that is looked at is a transaction's."""
    records = done(Do("changes"), Do("two")).read("/doer", 0)
    at = next(record.seq for record in records if record.kind is Kind.RESOLVED)
    assert records[at].kind is Kind.RESOLVED  # the step stores nothing
    PROGRAMS["changes"] = patched

    assert steps(again(records, at)) == "['old']"
    assert "'old'" in steps(again(records))


def test_an_actor_that_has_ended_has_a_result() -> None:
    """J3: its end is part of its past; then nothing waits."""
    records = done(Do("ends", 9)).read("/doer", 0)

    seen = again(records)

    assert (seen.result, seen.waiting, seen.error) == ("Value(9)", (), None)
    assert again(records, 1).result is None


def test_a_handler_that_hangs_is_given_up() -> None:
    """J7: what waits for something that is not recorded would hang in recovery, too; it is an error here."""
    records = done(Do("two")).read("/doer", 0)
    PROGRAMS["two"] = hangs

    seen = again(records)

    assert isinstance(seen.error, TookTooLong)
    assert str(seen.error).startswith("/doer: a handler has not come back within 60 s.")


def test_who_is_cancelled_stays_so() -> None:
    """The time limit of somebody else is no error of the actor."""
    records = done(Do("two")).read("/doer", 0)
    PROGRAMS["two"] = hangs

    async def main() -> bool:
        with trio.move_on_after(1) as scope:
            await replay(records)
        return scope.cancelled_caught

    assert in_virtual_time(main)


class Fragile(DurableActor[Do], behaviour="dry.fragile"):
    """Has every sort of attribute, and a class that may be of another age."""

    __slots__ = ("__dict__", "__private", "empty", "filled")
    age = "of the class"
    broken: Exception | None = None

    def __init__(self, filled: object) -> None:
        if Fragile.broken is not None:
            raise Fragile.broken
        self.filled = filled
        self.__private = 1
        self.free = BadRepr()

    async def started(self) -> None:
        with suppress(ActorStopped):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.tell_myself)

    async def tell_myself(self) -> None:
        """From a task that is no handler's: that goes to nobody."""
        assert self.__private == 1
        with suppress(ActorStopped):
            await self.ref.tell(Do("two"))


@attrs.frozen
class BadRepr:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def fragile() -> Sequence[Record]:
    """The past of one."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            await tree.spawn(Fragile, (1, "two"), name="fragile")

    in_virtual_time(main)
    return stored.read("/fragile", 0)


def test_attributes_are_those_of_the_object() -> None:
    """J7: its dictionary and its slots, private ones too; not the class's, not ours, none that is empty."""
    assert again(fragile()[:1]).attributes == (
        ("free", "<BadRepr, whose repr raised RuntimeError: no>"),
        ("_Fragile__private", "1"),
        ("filled", "(1, 'two')"),
    )


@pytest.mark.parametrize("error", [KeyError("gone"), TypeError("takes no arguments")])
def test_a_class_that_cannot_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """J3: what the constructor raises is told as it is, in no group."""
    records = fragile()
    monkeypatch.setattr(Fragile, "broken", error)

    assert again(records).error is error


def test_a_behaviour_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """J3: so is one that no class has, and a value that cannot be read."""
    records = fragile()
    monkeypatch.setattr("histrio.durable.behaviours._NAMES", {})
    assert isinstance(again(records).error, UnknownBehaviour)

    broken = Record("/fragile", 1, 1, Kind.START, "", b"\x00", 0.0)
    assert isinstance(again([broken]).error, Undecodable)


@pytest.mark.parametrize(
    ("at", "said"),
    [(0, "/fragile has records 1 to 1, and none of number 0"), (2, "none of number 2")],
)
def test_a_record_that_is_not_there_is_refused(at: int, said: str) -> None:
    """J7: it is named, and so are those that are there."""
    with pytest.raises(ValueError, match=said):
        again(fragile()[:1], at)
    with pytest.raises(ValueError, match="without records"):
        again([])
