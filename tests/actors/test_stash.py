"""S3, S8: messages that a handler puts by until it can handle them: bounded, in order, and not lost at a restart."""

import attrs
import pytest
import trio
from tests.actors.supervision.crew import ending_of, settle, when_up
from trio.testing import MockClock

import histrio
from histrio import Ref


@attrs.frozen
class Open(histrio.Request[int]):
    """Take up what was put by; the answer is how much that was."""


@attrs.frozen
class Knock(histrio.Request[str]):
    """Answered when the door is open; "fail" fails then."""

    who: str


@attrs.frozen
class Break(histrio.Request[None]):
    """Fail."""


class Door(histrio.Actor[Open | Knock | Break]):
    """Puts by who knocks until it is open."""

    stash_max = 3

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.is_open = False

    @histrio.handler(Open)
    async def open(self, m: Open) -> int:
        self.is_open = True
        return self.unstash()

    @histrio.handler(Knock)
    async def knock(self, m: Knock) -> str:
        life = self.ref.control.inspect().incarnation
        if not self.is_open:
            self.log.append(f"{m.who} waits in {life}")
            self.stash(m)
            return "never answered"
        self.log.append(f"{m.who} comes in in {life}")
        if m.who == "fail":
            raise ValueError("fell over the doorstep")
        return f"welcome, {m.who}"

    @histrio.handler(Break)
    async def break_down(self, m: Break) -> None:
        raise ValueError("broken")


class Again(Door):
    redeliver_max = 1


async def supervise(system: histrio.System, log: list[str], kind: type[Door] = Door) -> Ref[Open | Knock | Break]:
    """A door under a supervisor."""
    spec = histrio.child("door", kind, log)
    return (await system.spawn(histrio.child("sup", histrio.Supervisor, spec))).child(spec)


async def test_what_was_put_by_is_handled_later_in_order() -> None:
    """S8: before what came after it; asks are answered then, and not before."""
    log: list[str] = []
    async with histrio.open_system() as system:
        door = await system.spawn(Door, log)
        asked = [door.ask(Knock("ann")), door.ask(Knock("bob"))]
        await door.tell(Knock("cid"))
        await settle()
        assert [one.is_done for one in asked] == [False, False]
        opened = door.ask(Open())
        late = door.ask(Knock("dan"))
        assert await opened == 3
        assert [await one for one in (*asked, late)] == ["welcome, ann", "welcome, bob", "welcome, dan"]

    assert log == [
        *("ann waits in 1", "bob waits in 1", "cid waits in 1"),
        *("ann comes in in 1", "bob comes in in 1", "cid comes in in 1", "dan comes in in 1"),
    ]


async def test_so_much_may_be_put_by() -> None:
    """S8: one more raises `StashFull`, which says how many there are and what to do; nothing changes."""
    log: list[str] = []

    async def life(system: histrio.System) -> None:
        door = await system.spawn(Door, log, name="door")
        for who in "abc":
            await door.tell(Knock(who))
        with trio.CancelScope(shield=True), pytest.raises(histrio.ActorFailed) as raised:
            await door.ask(Knock("d"))
        assert isinstance(raised.value.__cause__, histrio.StashFull)
        assert "/door: 3 messages are put by, and stash_max is 3" in str(raised.value.__cause__)

    with pytest.raises(histrio.SystemFailed):
        async with histrio.open_system() as system:
            await life(system)


async def test_an_actor_without_a_stash_says_so() -> None:
    """S8: `stash_max` is 0 unless the class says otherwise."""

    class Stashless(Door):
        stash_max = 0

    async with histrio.open_system() as system:
        door = await supervise(system, [], Stashless)
        with pytest.raises(histrio.ActorFailed, match="/sup/door has no stash: set stash_max on") as raised:
            await door.ask(Knock("a"))
        assert isinstance(raised.value.__cause__, histrio.StashFull)


async def test_only_the_message_in_hand_can_be_put_by() -> None:
    """S8: not another one, not an equal one, not from elsewhere; putting it by twice is once."""
    log: list[str] = []
    seen: list[str] = []

    class Odd(Door):
        @histrio.handler(Knock)
        async def knock(self, m: Knock) -> str:
            for message in (Knock(m.who), Open()):
                try:
                    self.stash(message)
                except ValueError as error:
                    seen.append(str(error))
            self.stash(m)
            self.stash(m)
            return m.who

    async with histrio.open_system() as system:
        odd = await system.spawn(Odd, log, name="odd")
        await odd.tell(Knock("a"))
        assert await odd.ask(Open()) == 1
        assert odd.control.inspect().stashed == 1  # it has put it by again
        assert seen[:2] == ["/odd: stash() takes the very message that the calling handler was given"] * 2


async def test_a_stash_survives_restarts() -> None:
    """S3: what was put by is nobody's failure; askers get their answer from the next incarnation."""
    log: list[str] = []
    async with histrio.open_system() as system:
        door = await supervise(system, log)
        asked = door.ask(Knock("ann"))
        await door.tell(Knock("bob"))
        with pytest.raises(histrio.ActorFailed):
            await door.ask(Break())
        await when_up(door, 2)
        assert door.control.inspect().stashed == 2
        door.control.kill()
        await when_up(door, 3)
        assert await door.ask(Open()) == 2
        assert await asked == "welcome, ann"
        assert len(system.dead_letters) == 0

    assert log == ["ann waits in 1", "bob waits in 1", "ann comes in in 3", "bob comes in in 3"]


async def test_a_handler_that_fails_after_it_has_put_its_message_by() -> None:
    """S3: the message is put by, so its asker is not told of the failure; it is answered by the next incarnation."""

    class Clumsy(Door):
        @histrio.handler(Knock)
        async def knock(self, m: Knock) -> str:
            answer = await super().knock(m)
            if answer == "never answered" and self.ref.control.inspect().incarnation == 1:
                raise ValueError("clumsy")
            return answer

    async with histrio.open_system() as system:
        door = await supervise(system, [], Clumsy)
        asked = door.ask(Knock("ann"))
        await when_up(door, 2)
        assert not asked.is_done
        assert await door.ask(Open()) == 1
        assert await asked == "welcome, ann"
        assert len(system.dead_letters) == 0


@pytest.mark.parametrize("how", ["stop", "kill", "fail"])
async def test_what_is_put_by_at_the_end_is_answered(how: str) -> None:
    """A10, S3: asks by `ActorStopped`; what was told is a dead letter that says that it was put by."""
    log: list[str] = []
    letters: list[str] = []
    ends: list[str] = []

    async def life(system: histrio.System) -> None:
        door = await system.spawn(Door, log, name="door")
        asked = door.ask(Knock("ann"))
        await door.tell(Knock("bob"))
        await settle()
        with trio.CancelScope(shield=True):
            if how == "fail":
                await ending_of(door.ask(Break()))
            else:
                await (door.control.stop() if how == "stop" else door.control.kill())
            await door.monitor()
            ends.append(await ending_of(asked))
        letters.extend(letter.why for letter in system.dead_letters if letter.message == Knock("bob"))

    try:
        async with histrio.open_system() as system:
            await life(system)
    except histrio.SystemFailed:
        assert how == "fail"
    assert len(ends) == 1
    assert ends[0].startswith("Actor")
    (why,) = letters
    assert why.startswith("put by and never handled")


async def test_an_ask_that_nobody_waits_for_any_more_is_not_taken_up(autojump_clock: MockClock) -> None:
    """F8: its asker was cancelled while it was put by: it is not handled, nor counted."""
    log: list[str] = []
    async with histrio.open_system() as system:
        door = await system.spawn(Door, log)
        with trio.move_on_after(1):
            await door.ask(Knock("ann"))
        await door.tell(Knock("bob"))
        assert await door.ask(Open()) == 1

    assert log == ["ann waits in 1", "bob waits in 1", "bob comes in in 1"]


async def test_what_is_taken_up_and_fails_is_delivered_again() -> None:
    """S3: as any message in hand, as often as `redeliver_max` says, and then it is a dead letter."""
    log: list[str] = []

    class Opened(Again):
        async def started(self) -> None:
            self.is_open = self.ref.control.inspect().incarnation > 1

    async with histrio.open_system() as system:
        door = await supervise(system, log, Opened)
        for who in ("fail", "bob"):
            await door.tell(Knock(who))
        assert await door.ask(Open()) == 2
        await when_up(door, 3)
        await settle()
        assert [letter.message for letter in system.dead_letters] == [Knock("fail")]

    assert log[2:] == ["fail comes in in 1", "fail comes in in 2", "bob comes in in 3"]


async def test_a_message_that_was_put_by_keeps_count_of_its_deliveries() -> None:
    """S3: one that fails each time is not delivered for ever because it is put by in between."""
    log: list[str] = []

    class Stubborn(Again):
        """Puts by in each life, takes up, and fails."""

        @histrio.handler(Knock)
        async def knock(self, m: Knock) -> str:
            answer = await super().knock(m)
            if not self.is_open:
                self.is_open = True
                self.unstash()
            return answer

    async with histrio.open_system() as system:
        spec = histrio.child("door", Stubborn, log)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, spec, restarts_max=10))
        await sup.child(spec).tell(Knock("fail"))
        await settle()
        assert sup.child(spec).control.inspect().incarnation == 3
        assert [letter.message for letter in system.dead_letters] == [Knock("fail")]


async def test_unstash_may_pass_the_bound_of_the_inbox() -> None:
    """A11: what comes back was accepted before; senders wait until there is room again."""

    class Small(Door):
        inbox_max = 1

    log: list[str] = []
    async with histrio.open_system() as system:
        door = await system.spawn(Small, log)
        for who in "abc":
            await door.tell(Knock(who))
            await settle()
        opened = door.ask(Open())
        with trio.fail_after(5):
            await door.tell(Knock("d"))
        assert await opened == 3
        await settle()

    assert [line[0] for line in log] == [*"abc", *"abcd"]


async def test_taking_up_nothing_is_nothing() -> None:
    """S8: also in an actor that has no stash."""
    log: list[str] = []

    class Stashless(Door):
        stash_max = 0

    async with histrio.open_system() as system:
        for kind in (Door, Stashless):
            door = await system.spawn(kind, log)
            assert [await door.ask(Open()) for _ in range(2)] == [0, 0]
            assert await door.ask(Knock("ann")) == "welcome, ann"


async def test_a_handler_may_put_by_and_take_up_in_one() -> None:
    """S8: its own message comes again, as the first; it is answered then, once."""
    log: list[str] = []

    class Dizzy(Door):
        @histrio.handler(Knock)
        async def knock(self, m: Knock) -> str:
            if not self.is_open:
                self.is_open = True
                self.stash(m)
                assert self.unstash() == 1
                return "not yet"
            return await super().knock(m)

    async with histrio.open_system() as system:
        door = await system.spawn(Dizzy, log)
        assert await door.ask(Knock("ann")) == "welcome, ann"


@pytest.mark.parametrize("takes_up", [True, False])
async def test_a_handler_that_refuses_what_it_has_put_by(takes_up: bool) -> None:
    """A9, S8: a `Refusal` answers the asker, and the message is not put by any more; the actor lives on."""
    log: list[str] = []

    class Moody(Door):
        @histrio.handler(Knock)
        async def knock(self, m: Knock) -> str:
            log.append(m.who)
            if self.is_open:
                return "welcome"
            self.stash(m)
            if takes_up:
                self.unstash()
                self.is_open = True
            raise histrio.Refusal("go away")

    async with histrio.open_system() as system:
        door = await supervise(system, [], Moody)
        with pytest.raises(histrio.Refusal, match="go away"):
            await door.ask(Knock("ann"))
        await settle()
        assert door.control.inspect().incarnation == 1
        assert await door.ask(Open()) == 0

    assert log == ["ann"]


async def test_a_select_may_not_be_put_by() -> None:
    """S8: what was taken besides is not the message that the handler was given."""
    log: list[str] = []
    errors: list[str] = []

    class Selecting(Door):
        @histrio.handler(Open)
        async def open(self, m: Open) -> int:
            other = await self.select(Knock)
            try:
                self.stash(other)
            except ValueError as error:
                errors.append(str(error))
            return 0

    async with histrio.open_system() as system:
        door = await system.spawn(Selecting, log)
        opened = door.ask(Open())
        await door.tell(Knock("ann"))
        assert await opened == 0

    assert len(errors) == 1
