"""S4: with `copy_inbox` a child receives what its parent receives from then on, and what the parent has not read yet."""

from __future__ import annotations

import functools
import gc
from collections.abc import Awaitable, Callable
from typing import Any, cast

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.inside import cell_of
from trio.testing import MockClock

import histrio
from histrio import DROP_NEW, DROP_OLD, LATEST, REFUSE, Kind, Ref, Signal
from histrio_kernel.inbox import Inbox


@attrs.frozen
class Word(histrio.Request[str]):
    """Heard, and answered with who heard it."""

    text: str


@attrs.frozen
class Do(histrio.Request[object]):
    """Have the actor do something; it is not written down."""

    what: Callable[[Hearing], Awaitable[object]]


Mail = Word | Do


class Hearing(histrio.Actor[Mail]):
    """Writes down the words that it hears. As a child it hears copies of its parent's orders too, and follows none."""

    def __init__(self, heard: list[str] | None = None, *, follows: bool = False) -> None:
        self.heard = heard if heard is not None else []
        self.follows = follows

    @histrio.handler(Word)
    async def hear(self, m: Word) -> str:
        self.heard.append(m.text)
        return self.ref.path

    @histrio.handler(Do)
    async def do(self, m: Do) -> object:
        return await m.what(self) if self.follows else None


class Leader(Hearing):
    """A parent: it does what it is told to."""

    def __init__(self, heard: list[str] | None = None) -> None:
        super().__init__(heard, follows=True)


class Tiny(Hearing):
    inbox_max = 2


class TinyLeader(Leader):
    inbox_max = 2


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


def spawning(kind: type[Hearing], heard: list[str], name: str | None = None) -> Do:
    """An order to spawn such a child with copies, which hears into a list of the test."""

    async def spawn(parent: Hearing) -> Ref[Mail]:
        return await parent.spawn(kind, heard, name=name, copy_inbox=True)

    return Do(spawn)


async def child_of(parent: Ref[Mail], kind: type[Hearing], heard: list[str], name: str | None = None) -> Ref[Mail]:
    """Have `parent` spawn a child with copies."""
    return cast("Ref[Mail]", await parent.ask(spawning(kind, heard, name)))


async def tell_all(ref: Ref[Word], words: str) -> None:
    """Tell each letter."""
    for word in words:
        await ref.tell(Word(word))


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


async def test_a_child_may_be_given_what_its_parent_has_no_room_for() -> None:
    """S4: a sender who gives up in the line of the parent has sent nothing to the child either."""
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(TinyLeader)
        await child_of(parent, Hearing, heard)
        await parent.control.pause()
        await tell_all(parent, "ab")
        with trio.move_on_after(0.01):  # real time: the inbox stays full, however long this is
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


# -- ends and restarts -------------------------------------------------------------------------------------------------


def inboxes() -> int:
    """How many inboxes anybody still has."""
    gc.collect()
    return sum(isinstance(one, Inbox) for one in gc.get_objects())


@pytest.mark.parametrize("how", ["stop", "kill", "finish"])
async def test_a_child_that_has_ended_gets_nothing(how: str, autojump_clock: MockClock) -> None:
    """S4: the parent goes on, nothing is lost but what was the child's, and nobody keeps its inbox."""
    mine: list[str] = []
    heard: list[str] = []

    class Finishing(Hearing):
        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            self.heard.append(m.text)
            if m.text == "b":
                self.finish()
            return ""

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        before = inboxes()
        child = await child_of(parent, Finishing if how == "finish" else Hearing, heard)
        await tell_all(parent, "ab")
        await settle()
        if how != "finish":
            await getattr(child.control, how)()
        await settle()
        assert child.control.is_done
        assert inboxes() == before + 1
        del child
        await tell_all(parent, "cd")
        await trio.sleep(2)  # until the watchdog has let it go, too

        assert (mine, heard) == (list("abcd"), list("ab"))
        assert inboxes() == before
        assert cell_of(system, parent).inbox.copies is None
        assert system.dead_letters.count == 0


async def test_a_child_that_is_stopping_gets_nothing(autojump_clock: MockClock) -> None:
    """S4: from the moment its intake is closed no copy is made, and the parent's mail goes on."""
    heard: list[str] = []

    class Lingering(Hearing):
        async def stopped(self, reason: histrio.Reason) -> None:
            await trio.sleep(2)

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        child = await child_of(parent, Lingering, heard)
        ended = child.control.stop()
        assert await parent.ask(Word("a")) == parent.path
        await ended

        assert heard == []


async def test_the_parent_ends_first_in_order() -> None:
    """S4: what the parent had accepted, the child has too, and both handle it before they end."""
    mine: list[str] = []
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        await child_of(parent, Hearing, heard)
        await tell_all(parent, "abc")
        await parent.control.stop()

        assert (mine, heard) == (list("abc"), list("abc"))


async def test_a_restart_of_the_parent(autojump_clock: MockClock) -> None:
    """S4: children end with the incarnation; the next one's child gets what its parent has not read yet, then the rest."""
    heard: list[tuple[int, str]] = []
    mine: list[tuple[int, str]] = []
    made: list[histrio.Actor[Word]] = []

    class Listener(histrio.Actor[Word]):
        def __init__(self, number: int) -> None:
            self.number = number

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            heard.append((self.number, m.text))
            return ""

    class Parent(histrio.Actor[Word]):
        async def started(self) -> None:
            made.append(self)
            self.number = len(made)
            await self.spawn(Listener, self.number, copy_inbox=True)

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            mine.append((self.number, m.text))
            if m.text == "fail":
                await self.io.clock.sleep(1)
                raise ValueError("told to fail")
            if m.text == "hold":
                await trio.sleep(1)
            return ""

    async with histrio.open_system() as system:
        spec = histrio.child("parent", Parent)
        supervisor = await system.spawn(histrio.Supervisor, spec)
        parent = supervisor.child(spec)
        for text in ("a", "fail", "hold", "b", "c"):
            await parent.tell(Word(text))
        await trio.sleep(10)
        await parent.tell(Word("d"))
        await settle()

    assert mine == [(1, "a"), (1, "fail"), (1, "hold"), (2, "b"), (2, "c"), (2, "d")]
    assert heard == [
        (1, "a"), (1, "fail"), (1, "hold"), (1, "b"), (1, "c"), (2, "b"), (2, "c"), (2, "d"),
    ]  # fmt: skip


async def test_a_redelivered_message_is_copied_once(autojump_clock: MockClock) -> None:
    """S4, S3: what a restart delivers again was copied when it came; the child of the new incarnation gets it as unread."""
    heard: list[tuple[int, str]] = []
    made: list[object] = []

    class Listener(histrio.Actor[Word]):
        def __init__(self, number: int) -> None:
            self.number = number

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            heard.append((self.number, m.text))
            return ""

    class Parent(histrio.Actor[Word]):
        redeliver_max = 1

        async def started(self) -> None:
            made.append(self)
            await self.spawn(Listener, len(made), copy_inbox=True)

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            if len(made) == 1:
                await self.io.clock.sleep(1)
                raise ValueError("the first time it fails")
            return ""

    async with histrio.open_system() as system:
        spec = histrio.child("parent", Parent)
        supervisor = await system.spawn(histrio.Supervisor, spec)
        await supervisor.child(spec).tell(Word("a"))
        await trio.sleep(10)

    assert heard == [(1, "a"), (2, "a")]


# -- nested ------------------------------------------------------------------------------------------------------------


async def test_copies_of_copies() -> None:
    """S4: a grandchild hears what its parent hears, copies too, also what waited when it was spawned."""
    child_heard: list[str] = []
    grand_heard: list[str] = []

    class Middle(Hearing):
        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            self.heard.append(m.text)
            if m.text == "b":
                await self.spawn(Hearing, grand_heard, copy_inbox=True)
            return ""

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        child = await child_of(parent, Middle, child_heard)
        await child.control.pause()
        await tell_all(parent, "abc")
        child.control.resume()
        await settle()
        await tell_all(parent, "d")
        await child.tell(Word("only below"))
        await settle()

        assert child_heard == ["a", "b", "c", "d", "only below"]
        assert grand_heard == ["c", "d", "only below"]


async def test_deep_and_wide() -> None:
    """S4: a tree of three levels, three children each: everybody hears everything once."""
    heard: dict[str, list[str]] = {}

    class Branching(histrio.Actor[Word]):
        def __init__(self, levels: int) -> None:
            self.levels = levels

        async def started(self) -> None:
            heard[self.ref.path] = []
            if self.levels:
                for _ in range(3):
                    await self.spawn(Branching, self.levels - 1, copy_inbox=True)

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            heard[self.ref.path].append(m.text)
            return ""

    async with histrio.open_system() as system:
        top = await system.spawn(Branching, 3)
        await tell_all(top, "abc")
        await settle()

    assert len(heard) == 1 + 3 + 9 + 27
    assert all(words == list("abc") for words in heard.values())


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


# -- drawn -------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Tell:
    """Tell the parent a word, by one of the ways."""

    ask: bool


@attrs.frozen
class Spawn:
    """Tell the parent to spawn one more child."""


@attrs.frozen
class Read:
    """Let the parent read so many messages."""

    count: int


@attrs.frozen
class End:
    """Kill one of the children."""

    which: int


ops = st.lists(
    st.one_of(
        st.builds(Tell, st.booleans()),
        st.just(Spawn()),
        st.builds(Read, st.integers(1, 3)),
        st.builds(End, st.integers(0, 5)),
    ),
    max_size=30,
)


def expected(program: list[object]) -> list[list[int]]:
    """What each child hears, by a parent that is a list."""
    queue: list[int | None] = []
    heard: list[list[int]] = []
    alive: list[bool] = []
    number = 0

    def copy(item: int | None, to: list[int]) -> None:
        if item is not None:
            to.append(item)

    def read(count: int) -> None:
        for _ in range(min(count, len(queue))):
            if queue.pop(0) is None:
                heard.append([])
                alive.append(True)
                for item in queue:
                    copy(item, heard[-1])

    for op in program:
        if isinstance(op, Tell | Spawn):
            item = None
            if isinstance(op, Tell):
                item, number = number, number + 1
            queue.append(item)
            for child, lives in zip(heard, alive, strict=True):
                if lives:
                    copy(item, child)
        elif isinstance(op, Read):
            read(op.count)
        elif isinstance(op, End) and op.which < len(alive):
            alive[op.which] = False
    read(len(queue))
    return heard


async def play(program: list[object]) -> list[list[int]]:
    """The same with actors."""
    lists: list[list[str]] = []
    refs: list[Ref[Mail]] = []

    async def spawn(parent: Hearing) -> None:
        lists.append([])
        refs.append(await parent.spawn(Hearing, lists[-1], copy_inbox=True))

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        await parent.control.pause()
        answers: list[histrio.Future[str]] = []
        number = 0
        for op in program:
            if isinstance(op, Tell):
                word, number = Word(str(number)), number + 1
                if op.ask:
                    answers.append(parent.ask(word))
                else:
                    parent.tell_nowait(word)
            elif isinstance(op, Spawn):
                parent.tell_nowait(Do(spawn))
            elif isinstance(op, Read):
                count = min(op.count, system.tree().children[0].queued)
                if count:
                    await parent.control.step(count)
            elif isinstance(op, End) and op.which < len(refs):
                await settle()  # it has handled what it had
                await refs[op.which].control.kill()
        parent.control.resume()
        await settle()
        assert [await answer for answer in answers] == [parent.path] * len(answers)
    return [[int(text) for text in heard] for heard in lists]


@given(ops)
def test_drawn_programs(program: list[object]) -> None:
    """S4: for drawn orders of sending, spawning, reading and ending, each child hears what a list of lists says."""
    assert trio.run(play, program) == expected(program)


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
