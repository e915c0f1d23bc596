"""S4: copies where there is no room, where somebody selects, where signals are heard, or where a type is not taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from tests.actors.hearing import (
    Do,
    Hearing,
    Leader,
    Mail,
    Tiny,
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
from histrio import DROP_NEW, DROP_OLD, LATEST, REFUSE, Kind, Signal

# -- the child has no room ---------------------------------------------------------------------------------------------


class TinyRefusing(Tiny):
    overflow = REFUSE


class TinyNew(Tiny):
    overflow = DROP_NEW


class TinyOld(Tiny):
    overflow = DROP_OLD


class TinyLatest(Tiny):
    overflow = LATEST(lambda m: m.text if isinstance(m, Word) else "do")


@pytest.mark.parametrize(
    ("kind", "heard", "dropped"),
    [
        (Tiny, "ab", "aba"),
        (TinyRefusing, "ab", "aba"),
        (TinyNew, "ab", "aba"),
        (TinyOld, "ba", "aba"),
        (TinyLatest, "ab", "aba"),
    ],
)
@pytest.mark.parametrize("listening", [False, True])
async def test_a_copy_without_room_is_dropped(
    kind: type[Hearing], heard: str, dropped: str, *, listening: bool
) -> None:
    """S4: by the child's policy, or at all; DROP tells of it, it is counted, and neither parent nor sender notices."""
    signals: list[Signal] = []
    words: list[str] = []
    mine: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        child = await child_of(parent, kind, words)
        await child.control.pause()
        if listening:
            system.listen(signals.append)
        with trio.fail_after(1):
            await tell_all(parent, "ababa")
        await settle()
        inbox = cell_of(system, child).inbox
        assert (len(inbox), inbox.standing, inbox.dropped) == (2, 0, 3)
        child.control.resume()
        await settle()

        assert "".join(words) == heard
        assert "".join(mine) == "ababa"
        assert system.dead_letters.count == 0
        drops = [one.detail for one in signals if one.kind is Kind.DROP and one.path == child.path]
        assert drops == ([Word(text) for text in dropped] if listening else [])


async def test_a_copy_without_room_of_what_waited() -> None:
    """S4: a child whose inbox is smaller than what the parent has not read gets as much as it has room for."""
    heard: list[str] = []

    class Slow(Tiny):
        async def started(self) -> None:
            await trio.lowlevel.checkpoint()

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        await parent.control.pause()
        await parent.tell(spawning(Slow, heard, "slow"))
        await tell_all(parent, "abcd")
        parent.control.resume()
        await settle()
        (node,) = system.tree().children[0].children

        assert heard == list("ab")
        assert node.dropped == 2


# -- the parent has no room --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "mine", "theirs"),
    [
        (REFUSE, "ab", "ab"),
        (DROP_NEW, "ab", "ab"),
        (DROP_OLD, "cd", "abcd"),
        (LATEST(lambda m: m.text if isinstance(m, Word) else "do"), "ab", "abab"),
    ],
)
async def test_what_the_parent_does_not_receive_is_not_copied(policy: Any, mine: str, theirs: str) -> None:
    """S4: what is refused or dropped as it comes is not received; what is dropped or replaced later was."""
    heard: list[str] = []
    kept: list[str] = []
    words = "abab" if policy not in (REFUSE, DROP_NEW, DROP_OLD) else "abcd"

    class Parent(TinyLeader):
        overflow = policy

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent, kept)
        await child_of(parent, Hearing, heard)
        await parent.control.pause()
        for word in words:
            try:
                parent.tell_nowait(Word(word))
            except histrio.InboxFull:
                continue
        parent.control.resume()
        await settle()

        assert ("".join(kept), "".join(heard)) == (mine, theirs)


async def test_who_gives_up_in_line_sends_nothing(autojump_clock: MockClock) -> None:
    """S4: a sender who gives up in the line of the parent has sent nothing to the child either."""
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(TinyLeader)
        await child_of(parent, Hearing, heard)
        await parent.control.pause()
        await tell_all(parent, "ab")
        with trio.move_on_after(1):
            await parent.tell(Word("c"))
        parent.control.resume()
        await settle()

        assert heard == list("ab")


# -- select and filter -------------------------------------------------------------------------------------------------


def _is(*texts: str) -> Callable[[Mail], bool]:
    return lambda m: isinstance(m, Word) and m.text in texts


async def test_while_the_parent_selects() -> None:
    """S4: a message that goes straight to the parent's select is copied like one that has to wait."""
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        await child_of(parent, Hearing, heard)
        selected = parent.ask(Do(lambda actor: actor.select(_is("b", "x"))))
        await settle()
        await tell_all(parent, "abc")

        assert await selected == Word("b")
        await settle()
        assert heard == list("abc")


async def test_while_the_parent_filters() -> None:
    """S4: what the parent filters out it has received, whether it came before the filter began or later."""
    heard: list[str] = []
    mine: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        await child_of(parent, Hearing, heard)
        await parent.control.pause()
        filtered = parent.ask(Do(lambda actor: actor.filter(_is("d"))))
        await tell_all(parent, "ab")
        parent.control.resume()
        await settle()
        await tell_all(parent, "cde")

        assert await filtered == Word("d")
        await settle()
        assert mine == ["e"]
        assert heard == list("abcde")


async def test_while_the_child_selects() -> None:
    """S4: a copy goes to a select or a filter of the child like any message."""
    got: list[object] = []

    class Choosy(Hearing):
        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            self.heard.append(m.text)
            if m.text == "select":
                got.append(await self.select(_is("b")))
            elif m.text == "filter":
                got.append(await self.filter(_is("d")))
            return ""

    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        await child_of(parent, Choosy, heard)
        for text in ("select", "a", "b", "filter", "c", "d", "e"):
            await parent.ask(Word(text))
            await settle()

        assert got == [Word("b"), Word("d")]
        assert heard == ["select", "a", "filter", "e"]


async def test_a_select_that_copies_cannot_meet() -> None:
    """S4: copies fill the child's inbox like other mail, and a select that waits there is told so."""

    class Choosy(Tiny):
        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            self.heard.append(m.text)
            if m.text == "go":
                with pytest.raises(histrio.SelectStalled):
                    await self.select(_is("never"))
                self.heard.append("stalled")
            return ""

    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        await child_of(parent, Choosy, heard)
        for text in ("go", "a", "b"):
            await parent.ask(Word(text))
            await settle()

        assert heard == ["go", "stalled", "a", "b"]


# -- signals -----------------------------------------------------------------------------------------------------------


async def test_while_signals_are_heard() -> None:
    """S4, J1: attaching and detaching a reader changes nothing; RECEIVE tells of parent and child each."""
    signals: list[Signal] = []
    heard: list[str] = []
    mine: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        child = await child_of(parent, Hearing, heard)
        await tell_all(parent, "a")
        detach = system.listen(signals.append)
        await tell_all(parent, "b")
        await parent.ask(Word("c"))
        await settle()
        detach()
        await tell_all(parent, "d")
        await settle()

        assert (mine, heard) == (list("abcd"), list("abcd"))
        received = [(one.path, one.detail) for one in signals if one.kind is Kind.RECEIVE]
        for path in (parent.path, child.path):
            assert [detail for at, detail in received if at == path] == [Word("a"), Word("b"), Word("c")]


async def test_a_reader_that_sends() -> None:
    """S4: a reader of signals may send to the parent while a copy is being made; nothing is lost or doubled."""
    mine: list[str] = []
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        child = await child_of(parent, Tiny, heard)
        await child.control.pause()

        def echo(signal: Signal) -> None:
            if signal.kind is Kind.DROP and signal.path == child.path and len(mine) < 100:
                detach()
                parent.tell_nowait(Word("echo"))

        detach = system.listen(echo)
        await tell_all(parent, "abc")
        child.control.resume()
        await settle()

        assert sorted(mine) == ["a", "b", "c", "echo"]
        assert heard == ["a", "b"]


# -- what the child does not take --------------------------------------------------------------------------------------


async def test_what_the_child_does_not_take() -> None:
    """S4: a copy that the child does not take harms nobody: it is dropped, and the child hears the rest."""
    heard: list[int] = []

    class Counter(histrio.Actor[int]):
        async def receive(self, message: int) -> None:
            heard.append(message)

    class Parent(histrio.Actor[int | str]):
        async def started(self) -> None:
            await self.spawn(Counter, name="counter", copy_inbox=True)

        async def receive(self, message: int | str) -> str:
            return f"got {message}"

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent)
        await parent.tell(1)
        await parent.tell("two")
        await parent.tell(3)
        await settle()

        assert heard == [1, 3]
        assert [node.phase for node in system.tree().walk()] == ["running"] * 3
        assert system.dead_letters.count == 0
