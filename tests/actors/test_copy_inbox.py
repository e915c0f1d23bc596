"""S4: with `copy_inbox` a child receives what its parent receives from then on, and what the parent has not read yet."""

from __future__ import annotations

import functools

import pytest
import trio
from tests.actors.hearing import (
    Do,
    Hearing,
    Leader,
    TinyLeader,
    Word,
    child_of,
    settle,
    spawning,
    tell_all,
)
from tests.inside import cell_of
from trio.testing import MockClock

import histrio

# -- what is read and what is not --------------------------------------------------------------------------------------


async def test_what_comes_from_then_on() -> None:
    """S4: nothing that the parent has read before, and everything that comes later, in order; the parent hears it too."""
    mine: list[str] = []
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        await tell_all(parent, "ab")
        await settle()
        await child_of(parent, Hearing, heard)
        await tell_all(parent, "cde")
        parent.tell_nowait(Word("f"))
        await parent.channel().send(Word("g"))
        await settle()

        assert mine == list("abcdefg")
        assert heard == list("cdefg")


async def test_what_the_parent_has_not_read_yet() -> None:
    """S4: what waits in the parent's inbox when it spawns is copied, before what comes later; what is in hand is not."""
    mine: list[str] = []
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        await parent.control.pause()
        await tell_all(parent, "ab")
        await parent.tell(spawning(Hearing, heard))
        await tell_all(parent, "cd")
        parent.control.resume()
        await settle()
        await tell_all(parent, "e")
        await settle()

        assert mine == list("abcde")
        assert heard == list("cde")


async def test_each_child_from_its_own_spawn() -> None:
    """S4: siblings that are spawned later have less to hear; each hears everything once."""
    heard: dict[str, list[str]] = {name: [] for name in "xyz"}
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        await parent.control.pause()
        for name, words in zip("xyz", ("ab", "cd", "ef"), strict=True):
            await parent.tell(spawning(Hearing, heard[name], name))
            await tell_all(parent, words)
        parent.control.resume()
        await settle()

        assert {name: "".join(words) for name, words in heard.items()} == {"x": "abcdef", "y": "cdef", "z": "ef"}


async def test_what_comes_while_the_child_starts(autojump_clock: MockClock) -> None:
    """S4: "from then on" begins with the call: what the parent reads while the child starts, the child hears too."""
    mine: list[str] = []
    heard: list[str] = []

    class Slow(Hearing):
        async def started(self) -> None:
            await self.io.clock.sleep(5)

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        await parent.control.pause()
        await parent.tell(spawning(Slow, heard))
        await tell_all(parent, "ab")  # not read when it spawns, and read before the child has started
        parent.control.resume()
        await trio.sleep(1)
        await tell_all(parent, "cd")
        await settle()
        assert (mine, heard) == (list("abcd"), [])
        await trio.sleep(10)
        await tell_all(parent, "e")
        await settle()

        assert mine == list("abcde")
        assert heard == list("abcde")


async def test_a_child_that_does_not_start_leaves_nothing(autojump_clock: MockClock) -> None:
    """S4: when `spawn` fails or is cancelled, nobody gets copies, and nothing becomes of those that were made."""

    class Failing(Hearing):
        async def started(self) -> None:
            await self.io.clock.sleep(1)
            raise ValueError("no")

    async def fail(parent: Hearing) -> None:
        with pytest.raises(histrio.ActorFailed):
            await parent.spawn(Failing, copy_inbox=True)

    async def give_up(parent: Hearing) -> None:
        with trio.move_on_after(0.5):
            await parent.spawn(Failing, copy_inbox=True)

    mine: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        for what in (fail, give_up):
            done = parent.ask(Do(what))
            await trio.sleep(0.25)
            await tell_all(parent, "a")
            await done
            await tell_all(parent, "b")
            await settle()
            assert not cell_of(system, parent).inbox.copies

        assert mine == list("abab")


async def test_who_stands_in_line_is_copied_when_let_in() -> None:
    """S4: what waits outside of a full inbox is copied when it comes in, once, whether it is told or asked."""
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(TinyLeader)
        await parent.control.pause()
        async with trio.open_nursery() as nursery:
            await parent.tell(spawning(Hearing, heard))
            await parent.tell(Word("a"))
            nursery.start_soon(parent.tell, Word("b"))
            await settle()
            answer = parent.ask(Word("c"))
            nursery.start_soon(parent.tell, Word("d"))
            await settle()
            parent.control.resume()
            assert await answer == parent.path
        await settle()

        assert heard == list("abcd")


async def test_a_paused_parent_does_not_hold_the_child_back() -> None:
    """S4: the child gets what its parent receives, not what it reads."""
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        await child_of(parent, Hearing, heard)
        await parent.control.pause()
        await tell_all(parent, "ab")
        await settle()

        assert heard == list("ab")


async def test_a_serial_parent() -> None:
    """S4: it holds its turn while the child starts, and misses nothing."""
    mine: list[str] = []
    heard: list[str] = []

    class Serial(Leader):
        serial = True

    async with histrio.open_system() as system:
        parent = await system.spawn(Serial, mine)
        await parent.control.pause()
        await parent.tell(spawning(Hearing, heard))
        await tell_all(parent, "ab")
        parent.control.resume()
        await tell_all(parent, "cd")
        await settle()

        assert (mine, heard) == (list("abcd"), list("abcd"))


async def test_what_it_tells_itself_first() -> None:
    """S4: what the parent puts ahead of its mail is mail of the parent, and copied once, as it comes."""
    mine: list[str] = []
    heard: list[str] = []

    async def first(parent: Hearing) -> None:
        parent.tell_first(Word("0"))
        await parent.spawn(Hearing, heard, copy_inbox=True)
        parent.tell_first(Word("1"))

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        await parent.ask(Do(first))
        await settle()

        assert mine == ["1", "0"]
        assert heard == ["0", "1"]


async def test_what_was_put_by_is_read() -> None:
    """S4: what the parent has stashed it has read, so a later child does not get it; an earlier one gets it once."""
    early: list[str] = []
    late: list[str] = []

    class Stashing(Leader):
        stash_max = 8
        puts_by = True

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            if self.puts_by:
                self.stash(m)
            else:
                self.heard.append(m.text)
            return self.ref.path

    async def unstash(parent: Hearing) -> None:
        assert isinstance(parent, Stashing)
        parent.puts_by = False
        parent.unstash()

    mine: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Stashing, mine)
        await child_of(parent, Hearing, early)
        await tell_all(parent, "ab")
        await settle()
        await child_of(parent, Hearing, late)
        await parent.ask(Do(unstash))
        await tell_all(parent, "c")
        await settle()

        assert mine == list("abc")
        assert early == list("abc")
        assert late == ["c"]


def test_partials_and_specs() -> None:
    """S4: copies are made however the child is given."""

    async def main(system: histrio.System) -> None:
        heard: list[str] = []

        async def spawn_both(parent: Hearing) -> None:
            await parent.spawn(functools.partial(Hearing, heard=heard), copy_inbox=True)
            await parent.spawn(histrio.child("named", Hearing, heard), copy_inbox=True)

        parent = await system.spawn(Leader)
        await parent.ask(Do(spawn_both))
        await tell_all(parent, "ab")
        await settle()
        assert sorted(heard) == list("aabb")

    histrio.run(main)


# -- asks --------------------------------------------------------------------------------------------------------------


async def test_an_ask_is_copied_as_a_tell() -> None:
    """S4: only the parent answers; what the child returns, refuses or puts by is nobody's."""
    envelopes: list[tuple[str, bool]] = []

    class Hand(Hearing):
        async def run(self) -> None:
            while True:
                envelope = await self.receive_next()
                if isinstance(envelope.message, Word):
                    envelopes.append((envelope.message.text, envelope.is_ask))
                    envelope.reply("never")

    class Refusing(Hearing):
        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            raise histrio.Refusal("not for me")

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        await child_of(parent, Hand, [])
        refusing = await child_of(parent, Refusing, [])
        assert await parent.ask(Word("a")) == parent.path
        assert await parent.ask_nowait(Word("b")) == parent.path
        await parent.tell(Word("c"))
        await settle()

        assert envelopes == [("a", False), ("b", False), ("c", False)]
        assert [(letter.path, letter.message) for letter in system.dead_letters] == [
            (refusing.path, Word(text)) for text in "abc"
        ]


async def test_withdrawn_asks() -> None:
    """S4: an ask that was withdrawn before the child came is not copied; one withdrawn later has been."""
    mine: list[str] = []
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        await parent.control.pause()
        await parent.tell(spawning(Hearing, heard))
        before = parent.ask(Word("before"))
        waiting = parent.ask(Word("waiting"))
        before.cancel()
        parent.control.resume()
        assert await waiting == parent.path
        await parent.control.pause()
        parent.ask(Word("after")).cancel()
        parent.control.resume()
        await settle()

        assert mine == ["waiting"]
        assert heard == ["waiting", "after"]
