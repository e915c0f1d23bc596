"""J2, J3, J6: what cannot be stored or done again is refused at once, in words, and costs nobody anything."""

from __future__ import annotations

from typing import cast

import attrs
import pytest
from tests.durable.worlds import double, hear_reports, in_virtual_time, open_world

import histrio
from histrio.durable import DurableActor, DurableRef, Mode
from histrio_kernel.journal.errors import Unencodable
from histrio_kernel.journal.stored import Stored


@attrs.frozen
class Try(histrio.Request[str]):
    """Try what the word says; the reply is what one is told."""

    word: str
    extra: object = None


class Outsider(histrio.Actor[str]):
    """No durable one."""

    async def receive(self, message: str) -> None:
        """Nothing."""


OUTSIDERS: list[histrio.Ref[str]] = []


class Trying(DurableActor[Try], behaviour="trying"):
    """Wants what it must not."""

    @histrio.handler(Try)
    async def do(self, message: Try) -> str:
        match message.word:
            case "ordinary ref":
                with pytest.raises(Unencodable) as caught:
                    self.io(double, cast(int, OUTSIDERS[0]))
            case "retry once":
                with pytest.raises(ValueError, match="at most once") as once:
                    self.io(double, 1, mode=Mode.AT_MOST_ONCE, retry=histrio.Retry(attempts_max=2))
                return str(once.value)
            case "not declared":
                other = cast("DurableRef[object]", await self.spawn(Deaf))
                with pytest.raises(histrio.Refusal) as refused:
                    await other.ask(Try("hello"))
                return str(refused.value)
            case _:
                return "done"
        return str(caught.value)


class Deaf(DurableActor[int], behaviour="deaf"):
    """Takes numbers."""

    @histrio.handler(int)
    async def hear(self, number: int) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("ordinary ref", "<Ref /outsider#1> leads to an actor of this process"),
        ("retry once", "/trying: what may happen at most once cannot be tried again: leave out retry, or mode"),
        ("not declared", "Deaf refuses Try(word='hello', extra=None): it takes int, not Try"),
    ],
)
def test_the_handler_is_told(word: str, text: str) -> None:
    """J3, J6: an ordinary ref, which leads nowhere tomorrow; a retry of what happens once; a message nobody declared."""

    async def main() -> str:
        async with open_world(Stored()) as tree:
            OUTSIDERS[:] = [await tree.system.spawn(Outsider)]
            trying = await tree.spawn(Trying, name="trying")
            return await trying.ask(Try(word))

    assert text in in_virtual_time(main)


def test_a_message_from_outside_that_cannot_be_stored() -> None:
    """J2: whoever asks has the error; a tell is reported; the actor goes on, and its journal knows nothing of it."""
    stored = Stored()
    reports: list[histrio.HistrioError] = []

    async def main() -> None:
        async with open_world(stored) as tree:
            hear_reports(tree, reports.append)
            trying = await tree.spawn(Trying, name="trying")
            with pytest.raises(Unencodable, match="extra"):
                await trying.ask(Try("anything", extra=object()))
            await trying.tell(Try("anything", extra=object()))
            assert await trying.ask(Try("anything")) == "done"

    in_virtual_time(main)
    assert [type(each) for each in reports] == [Unencodable]
    assert len(stored.read("/trying", 0)) == 3, "its beginning, the last message, and the answer"
