"""S8: an actor that handles its messages otherwise from the next one on: `become`."""

from typing import Any

import attrs
import pytest
import trio
from tests.actors.supervision.crew import ending_of, settle, when_up
from trio.testing import MockClock

import histrio
from histrio import Ref


@attrs.frozen
class Become(histrio.Request[str]):
    """Be "angry", "calm" or as the class says (""); the answer is said in the old mood."""

    mood: str


@attrs.frozen
class Ask(histrio.Request[str]):
    """How are you."""

    what: str = "hello"


Message = Become | Ask


class Moody(histrio.Actor[Message]):
    """Has moods."""

    redeliver_max = 1

    @histrio.handler(Become)
    async def change(self, m: Become) -> str:
        self.turn_to(m.mood)
        return "was neutral"

    @histrio.handler(Ask)
    async def answer(self, m: Ask) -> str:
        return f"{m.what}, I am neutral"

    def turn_to(self, mood: str) -> None:
        """Be so from the next message on."""
        self.become({"angry": self.angry, "calm": self.calm}.get(mood))

    async def angry(self, message: Message) -> str:
        if isinstance(message, Become):
            self.turn_to(message.mood)
            return "was angry"
        if message.what == "fail":
            raise ValueError("furious")
        if message.what == "refuse":
            raise histrio.Refusal("not now")
        return f"{message.what.upper()}!"

    async def calm(self, message: Message) -> str:
        if isinstance(message, Become):
            self.turn_to(message.mood)
            return "was calm"
        await self.io(trio.sleep, 5)
        return f"{message.what}..."


async def test_the_next_message_is_handled_otherwise() -> None:
    """S8: the present one is answered as it began; `become(None)` is the class's own way again."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Moody)
        told = [
            await ref.ask(Ask()),
            await ref.ask(Become("angry")),
            await ref.ask(Ask()),
            await ref.ask(Become("")),
            await ref.ask(Ask()),
        ]

    assert told == ["hello, I am neutral", "was neutral", "HELLO!", "was angry", "hello, I am neutral"]


async def test_messages_that_wait_are_handled_in_the_new_way() -> None:
    """S8: what was in the inbox when it became another one, too."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Moody)
        asked = [ref.ask(message) for message in (Ask(), Become("angry"), Ask(), Ask("bye"), Become("angry"))]
        answers = [await one for one in asked]

    assert answers == ["hello, I am neutral", "was neutral", "HELLO!", "BYE!", "was angry"]


async def test_handlers_in_flight_go_on_in_the_old_way(autojump_clock: MockClock) -> None:
    """S8, A2: a new way begins with the messages that are taken after it."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Moody)
        await ref.ask(Become("calm"))
        slow = ref.ask(Ask())
        await settle()
        assert await ref.ask(Become("angry")) == "was calm"
        assert await ref.ask(Ask()) == "HELLO!"
        assert await slow == "hello..."


async def test_a_restart_begins_with_the_classs_own_way() -> None:
    """S3: state is fresh, and so is the behaviour; a message that is delivered again is handled in it."""
    async with histrio.open_system() as system:
        spec = histrio.child("a", Moody)
        ref = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        await ref.ask(Become("angry"))
        assert await ending_of(ref.ask(Ask("fail"))) == "ActorFailed by ValueError"
        await when_up(ref, 2)
        assert await ref.ask(Ask()) == "hello, I am neutral"
        await ref.ask(Become("angry"))
        await ref.tell(Ask("fail"))
        await when_up(ref, 3)
        await settle()
        assert len(system.dead_letters) == 0


async def test_refusals_and_failures_are_as_in_any_handler() -> None:
    """A9, S8: a `Refusal` answers the asker; another error is the actor's failure."""

    async def life(system: histrio.System) -> None:
        ref = await system.spawn(Moody)
        await ref.ask(Become("angry"))
        with pytest.raises(histrio.Refusal, match="not now"):
            await ref.ask(Ask("refuse"))
        with trio.CancelScope(shield=True), pytest.raises(histrio.ActorFailed):
            await ref.ask(Ask("fail"))

    with pytest.raises(histrio.SystemFailed):
        async with histrio.open_system() as system:
            await life(system)


async def test_it_may_become_another_one_in_started() -> None:
    """S8, S2: before the first message."""

    class Born(Moody):
        async def started(self) -> None:
            self.turn_to("angry")

    async with histrio.open_system() as system:
        ref = await system.spawn(Born)
        assert await ref.ask(Ask()) == "HELLO!"


async def test_becoming_and_putting_by_go_together() -> None:
    """S8: the usual pair: put by what cannot be handled in this mood, take it up in the next one."""

    class Busy(histrio.Actor[Message]):
        stash_max = 10

        async def receive(self, message: Message) -> str:
            if isinstance(message, Become):
                self.become(self.ready)
                return f"{self.unstash()} waited"
            self.stash(message)
            return "never answered"

        async def ready(self, message: Message) -> str:
            if isinstance(message, Become):
                self.become(None)
                return "busy again"
            return f"ready for {message.what}"

    async with histrio.open_system() as system:
        ref = await system.spawn(Busy)
        asked = [ref.ask(Ask(f"{number}")) for number in range(3)]
        assert await ref.ask(Become("ready")) == "3 waited"
        assert [await one for one in asked] == [f"ready for {number}" for number in range(3)]
        assert await ref.ask(Become("")) == "busy again"
        late = ref.ask(Ask("late"))
        await settle()
        assert not late.is_done
        await ref.ask(Become("ready"))
        assert await late == "ready for late"


async def test_receive_itself_can_be_come_back_to() -> None:
    """S8: any async method of one message will do, the actor's own `receive` too."""

    class Plain(histrio.Actor[Message]):
        async def receive(self, message: Message) -> str:
            if isinstance(message, Become):
                self.become(self.other)
            return "plain"

        async def other(self, message: Message) -> str:
            if isinstance(message, Become):
                self.become(self.receive)
            return "other"

    async with histrio.open_system() as system:
        ref = await system.spawn(Plain)
        messages: list[Message] = [Ask(), Become("other"), Ask(), Become("plain"), Ask()]
        assert [await ref.ask(message) for message in messages] == ["plain", "plain", "other", "other", "plain"]


def plain(message: Message) -> str:
    """A function that is not async."""
    return repr(message)


@pytest.mark.parametrize("given", [3, "angry", len, plain])
async def test_what_is_no_async_function_is_refused(given: object) -> None:
    """S8: at once, with the path and what was given; the actor goes on as it was, if it catches that."""
    errors: list[str] = []

    class Wrong(Moody):
        @histrio.handler(Become)
        async def change(self, m: Become) -> str:
            become: Any = self.become
            try:
                become(given)
            except TypeError as error:
                errors.append(str(error))
            return "still neutral"

    async with histrio.open_system() as system:
        ref = await system.spawn(Wrong, name="wrong")
        assert await ref.ask(Become("")) == "still neutral"
        assert await ref.ask(Ask()) == "hello, I am neutral"

    assert errors == [f"/wrong: become() takes an async function of one message, or None, got {given!r}"]


async def test_types_of_messages_are_still_checked() -> None:
    """A16, S8: the actor takes what it declares, in whatever mood."""
    async with histrio.open_system() as system:
        ref: Ref[Any] = await system.spawn(Moody, name="moody")
        await ref.ask(Become("angry"))
        with pytest.raises(TypeError, match=r"/moody: it takes Become \| Ask, not int"):
            ref.tell_nowait(3)


async def test_a_step_and_a_pause_hold_in_any_mood() -> None:
    """S6, S8: control does not care how a message is handled."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Moody)
        await ref.ask(Become("angry"))
        await ref.control.pause()
        asked = [ref.ask(Ask(f"{number}")) for number in range(2)]
        await ref.control.step()
        assert [one.is_done for one in asked] == [True, False]
        ref.control.resume()
        assert [await one for one in asked] == ["0!", "1!"]
