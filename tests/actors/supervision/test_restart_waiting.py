"""S3: what waits at a restart, in the inbox or in line before it, is for the next incarnation; whatever the policy."""

from collections.abc import Sequence

import attrs
import pytest
import trio
from tests.actors.supervision.crew import Do, Say, Worker, ending_of, letters, settle, takes, when_up, worker
from trio.testing import MockClock

import histrio
from histrio import Ref


@attrs.frozen
class Mail:
    """A number, with a key for LATEST."""

    number: int
    key: str = ""


class Reader(histrio.Actor[Mail]):
    """Fails by the number 0, if it has waited a second; writes everything down."""

    inbox_max = 2

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def receive(self, message: Mail) -> None:
        self.log.append(f"{message.number} in {self.ref.control.inspect().incarnation}")
        if message.number == 0:
            await trio.sleep(1)
            raise ValueError("the number is 0")


class Refusing(Reader):
    overflow = histrio.REFUSE


class DroppingNew(Reader):
    overflow = histrio.DROP_NEW


class DroppingOld(Reader):
    overflow = histrio.DROP_OLD


def key_of(message: Mail) -> str:
    """The key."""
    return message.key


class Latest(Reader):
    overflow = histrio.LATEST(key_of)


class Unlucky(Latest):
    redeliver_max = 1

    async def receive(self, message: Mail) -> None:
        life = self.ref.control.inspect().incarnation
        self.log.append(f"{message.number} in {life}")
        if life == 1:
            await trio.sleep(1)
            raise ValueError("in its first life")


BACKOFF_S = 10.0


async def spawn_reader(
    system: histrio.System, log: list[str], kind: type[Reader], *, backoff: bool = True
) -> Ref[Mail]:
    """One reader, which has the number 0 in hand: it will fail in a second, and come back 10 seconds later."""
    a = histrio.child("a", kind, log)
    rest = histrio.Backoff(first_s=BACKOFF_S) if backoff else None
    sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=rest))
    ref = sup.child(a)
    await ref.tell(Mail(0))
    await settle()
    return ref


async def tell(ref: Ref[Mail], number: int, told: list[str], key: str = "") -> None:
    """Tell it a number, and write down when that was delivered, or why not."""
    try:
        await ref.tell(Mail(number, key))
    except histrio.HistrioError as error:
        told.append(f"{number}: {type(error).__name__}")
    else:
        told.append(f"{number} at {trio.current_time():g}")


# -- in the inbox ------------------------------------------------------------------------------------------------------


async def test_what_waits_is_handled_by_the_next_incarnation_in_order(autojump_clock: MockClock) -> None:
    """S3: tells and asks, from before the failure, from while it unwinds, and from the backoff."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a = worker("a", log)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=histrio.Backoff(first_s=10)))
        ref = sup.child(a)
        await ref.tell(Do(takes(1)))
        await ref.tell(Say("fail"))
        await ref.tell(Say("before"))
        asked = [ref.ask(Say("asked before"))]
        await trio.sleep(5)
        assert ref.control.status() is histrio.Phase.RESTARTING
        await ref.tell(Say("in the backoff"))
        asked.append(ref.ask(Say("asked in the backoff")))
        assert ref.control.inspect().queued == 4

        assert [await one for one in asked] == ["a2", "a2"]
        assert trio.current_time() == 11
        assert letters(system) == ["fail"]

    assert log[3:-2] == [
        *("a2 starts", "a2 started"),
        *("a2 before", "a2 asked before", "a2 in the backoff", "a2 asked in the backoff"),
    ]


async def test_an_ask_that_nobody_waits_for_any_more_is_withdrawn_in_a_backoff(autojump_clock: MockClock) -> None:
    """F8, S3: between two incarnations too; the next one never sees it, and its place is free."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a = worker("a", log)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=histrio.Backoff(first_s=10)))
        ref = sup.child(a)
        await ref.tell(Say("fail"))
        await settle()
        asked = [ref.ask(Say("withdrawn")), ref.ask(Say("kept"))]
        with trio.move_on_after(1):
            await asked[0]
        assert ref.control.inspect().queued == 1
        assert await asked[1] == "a2"

    assert "a2 withdrawn" not in log


async def test_tell_first_in_started_comes_before_what_waits() -> None:
    """S2, S3: the next incarnation may put something before the mail that it inherits."""
    log: list[str] = []

    async def prepare(actor: Worker) -> None:
        actor.tell_first(Say("first"))

    async with histrio.open_system() as system:
        a = worker("a", log, starts=prepare)
        ref = (await system.spawn(histrio.Supervisor, a)).child(a)
        await ref.tell(Say("fail"))
        await ref.tell(Say("inherited"))
        await when_up(ref, 2)
        await settle()

    assert [line for line in log if line.startswith("a2")][2:4] == ["a2 first", "a2 inherited"]


# -- in line -----------------------------------------------------------------------------------------------------------


async def test_who_stands_in_line_is_let_in_by_the_next_incarnation(autojump_clock: MockClock) -> None:
    """S3, A8: tells and asks keep their order, before and behind the failure; nobody is refused."""
    log: list[str] = []
    told: list[str] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        ref = await spawn_reader(system, log, Reader)
        for number in range(1, 5):
            nursery.start_soon(tell, ref, number, told)
            await settle()
        await trio.sleep(5)
        assert ref.control.status() is histrio.Phase.RESTARTING
        nursery.start_soon(tell, ref, 5, told)
        await settle()
        assert told == ["1 at 0", "2 at 0"]

    assert sorted(told[2:]) == ["3 at 11", "4 at 11", "5 at 11"]
    assert log == ["0 in 1", *(f"{number} in 2" for number in range(1, 6))]


async def test_who_stands_in_line_may_leave_it_in_a_backoff(autojump_clock: MockClock) -> None:
    """A8, S3: cancelled, it is not delivered; those behind it move up."""
    log: list[str] = []
    told: list[str] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        ref = await spawn_reader(system, log, Reader)
        for number in (1, 2):
            await ref.tell(Mail(number))
        with trio.move_on_after(5):
            nursery.start_soon(tell, ref, 4, told)
            await ref.tell(Mail(3))
        assert trio.current_time() == 5

    assert told == ["4 at 11"]
    assert log == ["0 in 1", *(f"{number} in 2" for number in (1, 2, 4))]


async def test_who_stands_in_line_when_there_will_be_no_other_incarnation_is_told(autojump_clock: MockClock) -> None:
    """S3, A8: its supervisor is stopped in the backoff: then it is `ActorStopped`, with the reason; nothing was delivered."""
    told: list[str] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        ref = await spawn_reader(system, [], Reader)
        for number in range(1, 5):
            nursery.start_soon(tell, ref, number, told)
            await settle()
        await trio.sleep(5)
        await system.stop()
        await settle()
        assert letters(system) == [Mail(0), Mail(1), Mail(2)]

    assert sorted(told) == ["1 at 0", "2 at 0", "3: ActorStopped", "4: ActorStopped"]


# -- the other policies ------------------------------------------------------------------------------------------------


async def send_in_the_backoff(kind: type[Reader], mails: Sequence[Mail]) -> tuple[list[str], list[str], int]:
    """What the reader saw, which of these messages were refused, and how many dropped; all told in the backoff."""
    log: list[str] = []
    refused: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_reader(system, log, kind)
        await trio.sleep(5)
        for mail in mails:
            try:
                ref.tell_nowait(mail)
            except histrio.InboxFull:
                refused.append(f"{mail.number}")
        (node,) = [node for node in system.tree().walk() if node.path == "/sup/a"]
        await when_up(ref, 2)
        await settle()
    return log[1:], refused, node.dropped


async def test_a_full_inbox_refuses_between_two_incarnations(autojump_clock: MockClock) -> None:
    """A11, S3: REFUSE holds in a backoff as ever."""
    mails = [Mail(number) for number in range(1, 5)]
    assert await send_in_the_backoff(Refusing, mails) == (["1 in 2", "2 in 2"], ["3", "4"], 0)


async def test_a_full_inbox_drops_the_new_between_two_incarnations(autojump_clock: MockClock) -> None:
    """A11, S3: DROP_NEW holds in a backoff as ever."""
    mails = [Mail(number) for number in range(1, 5)]
    assert await send_in_the_backoff(DroppingNew, mails) == (["1 in 2", "2 in 2"], [], 2)


async def test_a_full_inbox_drops_the_old_between_two_incarnations(autojump_clock: MockClock) -> None:
    """A11, S3: DROP_OLD holds in a backoff as ever."""
    mails = [Mail(number) for number in range(1, 5)]
    assert await send_in_the_backoff(DroppingOld, mails) == (["3 in 2", "4 in 2"], [], 2)


async def test_an_inbox_conflates_between_two_incarnations(autojump_clock: MockClock) -> None:
    """A11, S3: LATEST replaces what waits by what is newer of its key, in its place, in a backoff as ever."""
    mails = [Mail(1, "a"), Mail(2, "b"), Mail(3, "a"), Mail(4, "b"), Mail(5, "a")]
    assert await send_in_the_backoff(Latest, mails) == (["5 in 2", "4 in 2"], [], 3)


async def test_what_comes_back_is_older_than_what_waits_of_its_key(autojump_clock: MockClock) -> None:
    """A11, S3: it has been taken before, so what came since does not replace it: both are handled, in their order."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_reader(system, log, Unlucky)
        await ref.tell(Mail(1))
        await trio.sleep(5)
        await ref.tell(Mail(2))
        assert ref.control.inspect().queued == 2
        await when_up(ref, 2)
        await settle()

    assert log == ["0 in 1", "0 in 2", "2 in 2"]


class Asked(histrio.Actor[Say]):
    """Has room for two."""

    inbox_max = 2

    async def receive(self, message: Say) -> str:
        if message.what == "fail":
            raise ValueError("told to fail")
        return message.what


class AskedNew(Asked):
    overflow = histrio.DROP_NEW


class AskedOld(Asked):
    overflow = histrio.DROP_OLD


@pytest.mark.parametrize(("kind", "dropped"), [(AskedNew, "three"), (AskedOld, "one")])
async def test_a_dropped_ask_is_answered_also_between_two_incarnations(
    kind: type[Asked], dropped: str, autojump_clock: MockClock
) -> None:
    """A11, S3: by `MessageDropped`, at once; the others get their answers from the next incarnation."""
    async with histrio.open_system() as system:
        a = histrio.child("a", kind)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=histrio.Backoff(first_s=10)))
        ref = sup.child(a)
        await ref.tell(Say("fail"))
        await settle()
        asked = {what: ref.ask(Say(what)) for what in ("one", "two", "three")}
        assert [what for what, one in asked.items() if one.is_done] == [dropped]
        answers = {what: await ending_of(one) for what, one in asked.items()}

    assert answers == {what: f"{what!r}" if what != dropped else "MessageDropped" for what in answers}
