"""S3: what becomes of messages at a restart: those in hand have failed, those that wait are for the next incarnation."""

from collections.abc import Sequence

import attrs
import pytest
import trio
from tests.actors.supervision.crew import (
    Do,
    Job,
    Say,
    ending_of,
    fail,
    hang,
    leaving,
    letters,
    settle,
    when_up,
    worker,
)

import histrio
from histrio import Ref


@attrs.frozen
class Mail:
    """A number, and what its handler does: "wait" once, or "fail" each time."""

    number: int
    what: str = ""


class Again(histrio.Actor[Mail]):
    """Writes down what it is told, in each of its lives; has what failed delivered twice more."""

    redeliver_max = 2

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def receive(self, message: Mail) -> None:
        life = self.ref.control.inspect().incarnation
        self.log.append(f"{message.number} in {life}")
        if message.what == "fail" or (message.what == "fail first" and life == 1):
            raise ValueError(f"message {message.number}")
        if message.what == "wait" and life == 1:
            await self.io(trio.sleep_forever)


class Once(Again):
    redeliver_max = 1


class Small(Again):
    inbox_max = 2


class Serial(Again):
    serial = True


async def spawn_again(
    system: histrio.System, log: list[str], kind: type[Again] = Again, backoff_s: float = 0
) -> Ref[Mail]:
    """One of them, /sup/a."""
    a = histrio.child("a", kind, log)
    backoff = histrio.Backoff(first_s=backoff_s, factor=1) if backoff_s else None
    sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=backoff, restarts_max=10))
    return sup.child(a)


async def spawn_worker(system: histrio.System, log: list[str], *, backoff_s: float = 0) -> Ref[Job]:
    """A worker, /sup/a."""
    a = worker("a", log)
    backoff = histrio.Backoff(first_s=backoff_s, factor=1) if backoff_s else None
    sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=backoff))
    return sup.child(a)


def numbers(sequence: Sequence[int], what: str = "") -> list[Mail]:
    """One message for each number."""
    return [Mail(number, what) for number in sequence]


# -- in hand -----------------------------------------------------------------------------------------------------------


async def test_asks_in_hand_fail_with_the_actors_failure() -> None:
    """S3, A9: that of the handler that failed, and those of all that waited: `ActorFailed`, with the one cause."""
    async with histrio.open_system() as system:
        ref = await spawn_worker(system, [])
        waiting = [ref.ask(Do(hang)) for _ in range(3)]
        await settle()
        failing = ref.ask(Do(fail))
        for asked in (*waiting, failing):
            with pytest.raises(histrio.ActorFailed) as raised:
                await asked
            assert raised.value.path == "/sup/a"
            assert str(raised.value.__cause__) == "told to fail"
        assert await ref.ask(Say("hello")) == "a2"


async def test_asks_in_hand_at_a_kill_are_answered_with_the_reason() -> None:
    """S3, S6: nothing failed, so it is `ActorStopped`, and says who was killed and why."""
    async with histrio.open_system() as system:
        ref = await spawn_worker(system, [])
        asked = ref.ask(Do(hang))
        await settle()
        ref.control.kill("for a test")
        with pytest.raises(histrio.ActorStopped) as raised:
            await asked

        assert not isinstance(raised.value, histrio.ActorFailed)
        assert raised.value.reason == histrio.Reason(histrio.End.KILLED, "for a test")
        assert await ref.ask(Say("hello")) == "a2"


async def test_tells_in_hand_are_dead_letters() -> None:
    """S3: without `redeliver_max`, each with why it was not handled to its end, in the order in which they came."""
    async with histrio.open_system() as system:
        ref = await spawn_worker(system, [])
        waiting = [Do(hang) for _ in range(3)]
        for message in waiting:
            await ref.tell(message)
        await settle()
        await ref.tell(Say("fail"))
        await when_up(ref, 2)
        dead = {letter.message: letter.why for letter in system.dead_letters}

    assert dead[Say("fail")] == "its handler raised ValueError: a failed"
    assert [dead[message] for message in waiting] == ["its handler was cancelled: failed: ValueError: a failed"] * 3
    assert len(dead) == 4


async def test_tells_in_hand_are_delivered_again_before_all_others() -> None:
    """S3: several in flight come back in the order in which they had come, ahead of what waits in the inbox."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_again(system, log)
        for mail in numbers(range(1, 4), "wait"):
            await ref.tell(mail)
        await settle()
        for mail in (Mail(4, "fail first"), Mail(5), Mail(6)):
            await ref.tell(mail)
        await when_up(ref, 2)
        await settle()
        assert letters(system) == []

    assert log == [f"{n} in 1" for n in range(1, 5)] + [f"{n} in 2" for n in range(1, 7)]


async def test_a_message_is_delivered_again_as_often_as_the_class_says() -> None:
    """S3: then it is a dead letter that says how often, and the actor goes on with the next one."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_again(system, log)
        await ref.tell(Mail(1, "fail"))
        await ref.tell(Mail(2))
        await when_up(ref, 4)
        await settle()
        (letter,) = system.dead_letters

    assert log == ["1 in 1", "1 in 2", "1 in 3", "2 in 4"]
    assert letter.message == Mail(1, "fail")
    assert letter.why.startswith("its handler raised ValueError: message 1; ")
    assert "delivered 3 times" in letter.why


async def test_each_message_has_its_own_count() -> None:
    """S3: who waits beside one that fails is charged only for the lives in which it was in hand."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_again(system, log, Once)
        await ref.tell(Mail(1, "wait"))
        await settle()
        for mail in (Mail(2, "fail"), Mail(3), Mail(4, "fail"), Mail(5)):
            await ref.tell(mail)
        await when_up(ref, 5)
        await settle()
        assert letters(system) == [Mail(2, "fail"), Mail(4, "fail")]

    assert log == ["1 in 1", "2 in 1", "1 in 2", "2 in 2", "3 in 3", "4 in 3", "4 in 4", "5 in 5"]


async def test_an_ask_is_never_delivered_again() -> None:
    """S3: its asker has been told of the failure, and decides itself; only what was told comes back."""
    log: list[str] = []

    class Both(histrio.Actor[Say]):
        redeliver_max = 1

        async def receive(self, message: Say) -> str:
            life = self.ref.control.inspect().incarnation
            log.append(f"{message.what} in {life}")
            if life == 1:
                await self.io(trio.sleep_forever)
            return message.what

    async with histrio.open_system() as system:
        both = histrio.child("both", Both)
        ref = (await system.spawn(histrio.Supervisor, both)).child(both)
        await ref.tell(Say("told"))
        asked = ref.ask(Say("asked"))
        await ref.tell(Say("told too"))
        await settle()
        ref.control.kill()
        assert await ending_of(asked) == "ActorStopped"
        await when_up(ref, 2)
        await settle()

    assert log == [*("told in 1", "asked in 1", "told too in 1"), *("told in 2", "told too in 2")]


async def test_a_message_that_was_handled_does_not_come_back() -> None:
    """S3: also when its handler ended in a `Refusal`, or while others were in flight."""
    log: list[str] = []

    class Picky(Again):
        async def receive(self, message: Mail) -> None:
            await super().receive(message)
            if message.what == "refuse":
                raise histrio.Refusal("not this one")

    async with histrio.open_system() as system:
        ref = await spawn_again(system, log, Picky)
        for mail in (Mail(1, "wait"), Mail(2), Mail(3, "refuse"), Mail(4, "fail first")):
            await ref.tell(mail)
        await when_up(ref, 2)
        await settle()
        assert letters(system) == [Mail(3, "refuse")]

    assert log == ["1 in 1", "2 in 1", "3 in 1", "4 in 1", "1 in 2", "4 in 2"]


async def test_a_serial_actor_has_one_message_in_hand() -> None:
    """S3, A6: it is delivered again, alone; the others have never left the inbox."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_again(system, log, Serial)
        for mail in (Mail(1, "wait"), Mail(2), Mail(3)):
            await ref.tell(mail)
        await settle()
        ref.control.kill()
        await when_up(ref, 2)
        await settle()

    assert log == ["1 in 1", "1 in 2", "2 in 2", "3 in 2"]


async def test_redelivery_may_pass_the_bound_of_the_inbox() -> None:
    """S3, A11: what comes back was accepted before; senders find no room until it has been handled."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_again(system, log, Small, backoff_s=1)
        for mail in numbers(range(1, 5), "wait"):
            await ref.tell(mail)
            await settle()
        ref.control.kill()
        await settle()
        assert ref.control.inspect().queued == 4
        with pytest.raises(histrio.InboxFull):
            ref.tell_nowait(Mail(9))
        await settle()
        with trio.fail_after(5):
            await ref.tell(Mail(5))  # stands in line
        await settle()

    assert log == [f"{n} in 1" for n in range(1, 5)] + [f"{n} in 2" for n in range(1, 6)]


async def test_what_comes_back_waits_while_the_actor_is_paused() -> None:
    """S3, S6: redelivery is delivery: nothing is handled before it is resumed, and a step is one message."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_again(system, log)
        for mail in numbers(range(1, 4), "wait"):
            await ref.tell(mail)
        await settle()
        ref.control.pause()
        ref.control.kill()
        await settle()
        assert ref.control.is_paused
        assert ref.control.inspect().queued == 3
        await ref.control.step()
        assert log == ["1 in 1", "2 in 1", "3 in 1", "1 in 2"]
        ref.control.resume()
        await settle()

    assert log[3:] == ["1 in 2", "2 in 2", "3 in 2"]


async def test_what_would_come_back_is_a_dead_letter_if_there_is_no_next_incarnation() -> None:
    """S3, A10: the supervisor gives up: then what was in hand and what waited are dead letters, with the reason."""
    dead: dict[object, str] = {}

    async def life(system: histrio.System) -> None:
        a = histrio.child("a", Again, [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, restarts_max=0))
        ref = sup.child(a)
        await ref.tell(Mail(1, "wait"))
        await settle()
        for mail in (Mail(2, "fail"), Mail(3)):
            await ref.tell(mail)
        with trio.CancelScope(shield=True):
            await ref.monitor()
        dead.update({letter.message: letter.why for letter in system.dead_letters})

    assert isinstance(await leaving(life), histrio.SystemFailed)
    assert set(dead) == {Mail(1, "wait"), Mail(2, "fail"), Mail(3)}
    assert all("message 2" in why for why in dead.values())


async def test_what_is_delivered_again_is_the_message_itself() -> None:
    """S3, J1: for its handler, for `select`, for who listens, and as a dead letter."""
    heard: list[object] = []
    seen: list[Mail] = []

    class Seeing(Again):
        async def receive(self, message: Mail) -> None:
            seen.append(message)
            await super().receive(message)
            if message.number == 1 and len(seen) > 2:
                seen.append(await self.select(Mail))

    async with histrio.open_system() as system:
        system.listen(lambda signal: heard.append(signal.detail) if signal.kind is histrio.Kind.RECEIVE else None)
        ref = await spawn_again(system, [], Seeing)
        mails = [Mail(1, "wait"), Mail(2, "wait")]
        for mail in mails:
            await ref.tell(mail)
        await settle()
        ref.control.kill()
        await when_up(ref, 2)
        await settle()

    assert seen == heard == [*mails, *mails]


# -- in hand, because it was taken -------------------------------------------------------------------------------------


class Taking(histrio.Actor[Mail]):
    """It takes its messages itself, and fails with the second one in hand, in its first two lives."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def run(self) -> None:
        life = self.ref.control.inspect().incarnation
        while True:
            mail = (await self.receive_next()).message
            self.log.append(f"{mail.number} in {life}")
            if mail.number == 2 and life < 3:
                raise ValueError(f"message {mail.number}")


class TakingAgain(Taking):
    redeliver_max = 1


class TakingMore(Taking):
    redeliver_max = 2


@pytest.mark.parametrize(
    ("kind", "second", "third", "dead"),
    [
        (Taking, ["2 in 1"], ["3 in 2"], [Mail(2)]),
        (TakingAgain, ["2 in 1", "2 in 2"], ["3 in 3"], [Mail(2)]),
        (TakingMore, ["2 in 1", "2 in 2", "2 in 3"], ["3 in 3"], []),
    ],
)
async def test_what_a_run_has_in_hand_is_in_hand(
    kind: type[Taking], second: list[str], third: list[str], dead: list[Mail]
) -> None:
    """S3, A12: the last message that `receive_next` gave counts as in hand, till the next one is asked for."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a = histrio.child("a", kind, log)
        ref = (await system.spawn(histrio.Supervisor, a)).child(a)
        for mail in numbers(range(1, 4)):
            await ref.tell(mail)
        await settle()
        assert letters(system) == dead

    assert log == ["1 in 1", *second, *third]


class Selecting(histrio.Actor[Mail]):
    """The handler of message 1 takes message 2 besides, and fails with both in hand."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def receive(self, message: Mail) -> None:
        life = self.ref.control.inspect().incarnation
        self.log.append(f"{message.number} in {life}")
        if life == 1 and message.number == 1:
            other = await self.select(Mail)
            self.log.append(f"{other.number} in {life}")
            raise ValueError("with two in hand")


class SelectingAgain(Selecting):
    redeliver_max = 1


@pytest.mark.parametrize(
    ("kind", "rest", "dead"),
    [(Selecting, ["3 in 2"], [Mail(1), Mail(2)]), (SelectingAgain, ["1 in 2", "2 in 2", "3 in 2"], [])],
)
async def test_what_a_handler_has_selected_is_in_hand_too(
    kind: type[Selecting], rest: list[str], dead: list[Mail]
) -> None:
    """S3, A12: it was accepted and not handled to its end, as the message that the handler was given."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a = histrio.child("a", kind, log)
        ref = (await system.spawn(histrio.Supervisor, a)).child(a)
        for mail in numbers(range(1, 4)):
            await ref.tell(mail)
        await settle()
        assert letters(system) == dead

    assert log == ["1 in 1", "2 in 1", *rest]


async def test_one_that_was_stopped_takes_messages_again(autojump_clock: object) -> None:
    """S3: a stop closes the inbox for one incarnation: the next one takes messages in, and who is refused is so before."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_again(system, log, backoff_s=5)
        ref.control.stop()
        with pytest.raises(histrio.ActorStopped):
            await ref.tell(Mail(1))
        await trio.sleep(10)

        await ref.tell(Mail(2))
        await system.stop()

    assert log == ["2 in 2"]
