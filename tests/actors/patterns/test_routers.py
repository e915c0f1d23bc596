"""S8: a router is used like a ref, shares work as it says, and skips those that have ended."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.patterns.people import PERSON, Name, Person, Say, Small, end, settle, spawn_people
from tests.kernel.works import under_all_schedules

import histrio
from histrio import Broadcast, ConsistentHash, LeastInbox, NoRoutee, Ref, RoundRobin, Router
from histrio_kernel.bounds import bound

People = Ref[Say | Name]
Choosing = Callable[[Iterable[People] | histrio.Group[Say | Name]], Router[Say | Name]]


def by_word(message: Say | Name) -> str:
    """What a message is about."""
    return message.word if isinstance(message, Say) else ""


def hashing(routees: Iterable[People] | histrio.Group[Say | Name]) -> Router[Say | Name]:
    """By the word."""
    return ConsistentHash(routees, by_word)


CHOOSING: Final = pytest.mark.parametrize(
    "make", [RoundRobin, LeastInbox, hashing], ids=["round robin", "least inbox", "consistent hash"]
)


async def who(router: Router[Say | Name], times: int) -> list[str]:
    """Who answers."""
    return [await router.ask(Name()) for _ in range(times)]


# -- all that choose one -----------------------------------------------------------------------------------------------


@CHOOSING
async def test_a_router_is_used_like_a_ref(make: Choosing) -> None:
    """S8: `tell`, `tell_nowait`, `ask` and `ask_nowait` each reach one actor."""
    async with histrio.open_system() as system:
        heard: list[str] = []
        router = make([await system.spawn(Person, heard, name=name) for name in "ab"])
        await router.tell(Say("one"))
        router.tell_nowait(Say("two"))
        answers = [await router.ask(Name()), await router.ask_nowait(Name())]
        await settle()

        assert sorted(heard) == ["one", "two"]
        assert set(answers) <= {"/a", "/b"}
        with pytest.raises(TypeError, match=r"takes Say \| Name, not str"):
            await router.tell(cast(Any, "word"))


@CHOOSING
async def test_those_that_have_ended_are_skipped(make: Choosing) -> None:
    """S8: whoever has ended or is stopping gets nothing; when nobody is left that is an error that says what to do."""
    async with histrio.open_system() as system:
        a, b, c = await spawn_people(system, "abc")
        router = make([a, b, c])
        await end(a)
        assert router.refs == (b, c)
        assert set(await who(router, 6)) <= {"/b", "/c"}
        b.control.stop()
        assert await who(router, 3) == ["/c"] * 3
        await end(c)
        assert not router.refs
        for use in (
            lambda: router.tell_nowait(Say("x")),
            lambda: router.ask(Name()),
            lambda: router.ask_nowait(Name()),
        ):
            with pytest.raises(NoRoutee, match=r"have ended or are stopping, /c was the last; nothing was delivered"):
                use()
        with pytest.raises(NoRoutee, match=r"system.registry.group\(KEY\)"):
            await router.tell(Say("x"))


@CHOOSING
async def test_a_router_follows_a_key(make: Choosing) -> None:
    """S8: over a group of the registry those that are registered later take part, and those that end leave."""
    async with histrio.open_system() as system:
        group = system.registry.group(PERSON)
        router = make(group)
        with pytest.raises(NoRoutee, match=r"Key\[Say \| Name\]\('person'\): nobody is registered under it at present"):
            router.tell_nowait(Say("x"))
        a, b = await spawn_people(system, "ab")
        system.registry.register(PERSON, a)
        assert await who(router, 2) == ["/a", "/a"]
        system.registry.register(PERSON, b)
        await end(a)
        assert await who(router, 2) == ["/b", "/b"]
        b.control.stop()
        with pytest.raises(NoRoutee, match="all of them are stopping"):
            router.tell_nowait(Say("x"))


@CHOOSING
async def test_a_message_goes_to_another_one_if_the_chosen_stops(
    make: Choosing, autojump_clock: trio.testing.MockClock
) -> None:
    """S8: a `tell` that waits for room at an actor which then stops is delivered to one of the others, once."""
    async with histrio.open_system() as system:
        heard: dict[str, list[str]] = {name: [] for name in "ab"}
        refs = {name: await system.spawn(Small, heard[name], name=name) for name in heard}
        router = make(list(refs.values()))
        for ref in refs.values():
            await ref.control.pause()
            for word in "12":
                await ref.tell(Say(word))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(router.tell, Say("moved"))
            await settle()
            (chosen,) = [name for name, ref in refs.items() if ref._inbox.standing]
            await end(refs[chosen])
            (other,) = set(refs) - {chosen}
            refs[other].control.resume()
        await settle()

        assert heard == {chosen: [], other: ["1", "2", "moved"]}


@CHOOSING
async def test_who_tells_and_is_ended_is_not_told_to_go_on(make: Choosing) -> None:
    """S8, A4: a handler whose own actor is killed while it waits for a router's actor ends."""

    class Teller(histrio.Actor[Name]):
        async def receive(self, message: Name) -> None:
            try:
                await router.tell(Say("never"))
            finally:
                ended.append("ended")

    ended: list[str] = []
    async with histrio.open_system() as system:
        small = await system.spawn(Small, heard := list[str](), name="small")
        await small.control.pause()
        for word in "12":
            await small.tell(Say(word))
        router = make([small])
        teller = await system.spawn(Teller)
        await teller.tell(Name())
        await settle()
        await end(cast(Any, teller))
        assert ended == ["ended"]
        small.control.resume()
        await settle()

        assert heard == ["1", "2"]


async def test_what_no_router_can_route_to_is_refused() -> None:
    """S8: no routees, things that are no refs, and refs that are not bound are errors when the router is made."""
    with pytest.raises(ValueError, match="a router over no actors"):
        RoundRobin([])
    with pytest.raises(TypeError, match="a router routes to refs, got 'a'"):
        Broadcast(cast(Any, ["a"]))
    async with histrio.open_system() as system:
        a, b = await spawn_people(system, "ab")
        assert repr(RoundRobin([a, b])) == "<RoundRobin over /a, /b>"
        assert repr(Broadcast(system.registry.group(PERSON))) == "<Broadcast over Key[Say | Name]('person')>"


# -- each way of choosing ----------------------------------------------------------------------------------------------


async def test_round_robin_goes_round() -> None:
    """S8: each in turn, also when one of them has ended; one that is named twice gets twice as much."""
    async with histrio.open_system() as system:
        a, b, c = await spawn_people(system, "abc")
        router = RoundRobin([a, b, c])
        assert await who(router, 4) == ["/a", "/b", "/c", "/a"]
        await end(b)
        assert await who(router, 4) == ["/c", "/a", "/c", "/a"]
        assert Counter(await who(RoundRobin([a, a, c]), 6)) == {"/a": 4, "/c": 2}


async def test_least_inbox_finds_the_idle() -> None:
    """S8: the one with the fewest waiting messages is chosen, senders in its line counted; among equals, in turn."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        a, b, c = [await system.spawn(Small, name=name) for name in "abc"]
        router = LeastInbox([a, b, c])
        assert await who(router, 4) == ["/a", "/b", "/c", "/a"]
        for ref, waiting in ((a, 2), (b, 1)):
            await ref.control.pause()
            for _ in range(waiting):
                ref.tell_nowait(Say("x"))
        assert await who(router, 3) == ["/c"] * 3
        await c.control.pause()
        for _ in range(3):
            nursery.start_soon(c.tell, Say("x"))
        await settle()
        router.tell_nowait(Say("to b"))
        with pytest.raises(histrio.InboxFull, match=r"/a: 2 messages wait"):
            router.tell_nowait(Say("nowhere"))
        for ref in (a, b, c):
            ref.control.resume()


KEYS: Final = [f"key {number}" for number in range(2000)]


def owners(refs: list[People]) -> dict[str, str]:
    """Who has each key."""
    router = ConsistentHash(refs, by_word)
    return {key: router._pick(Say(key)).path for key in KEYS}


async def test_keys_stay_where_they_are() -> None:
    """S8: a key has one actor; of n, one that joins takes about an nth of the keys, one that leaves moves only its own."""
    async with histrio.open_system() as system:
        people = await spawn_people(system, "abcdefghij")
        before, after = owners(people[:9]), owners(people)
        moved = {key for key in KEYS if before[key] != after[key]}

        assert {after[key] for key in moved} == {"/j"}
        assert moved == {key for key in KEYS if after[key] == "/j"}
        assert len(KEYS) / 20 < len(moved) < len(KEYS) / 6
        assert owners(people[::-1]) == after  # the order in which they are given means nothing
        shares = Counter(after.values())
        assert min(shares.values()) > len(KEYS) / 20
        assert max(shares.values()) < len(KEYS) / 6


async def test_keys_of_one_that_ends_go_to_the_others() -> None:
    """S8: who ends loses its keys to many others, and comes back to them under the same path."""
    async with histrio.open_system() as system:
        people = await spawn_people(system, "abcde")
        for ref in people:
            system.registry.register(PERSON, ref)
        router = ConsistentHash(system.registry.group(PERSON), by_word)
        before = {key: router._pick(Say(key)).path for key in KEYS}
        await end(people[2])
        between = {key: router._pick(Say(key)).path for key in KEYS}
        moved = {key for key in KEYS if before[key] != between[key]}
        assert moved == {key for key in KEYS if before[key] == "/c"}
        assert {between[key] for key in moved} == {"/a", "/b", "/d", "/e"}
        system.registry.register(PERSON, (await spawn_people(system, "c"))[0])

        assert {key: router._pick(Say(key)).path for key in KEYS} == before


@given(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), st.data())
def test_any_coming_or_going_moves_only_what_it_must(names: list[str], data: st.DataObject) -> None:
    """S8: whoever else is there, a key changes its actor only from the one that leaves, or to the one that joins."""
    keys = data.draw(st.lists(st.text(max_size=4), max_size=20))

    async def program() -> None:
        async with histrio.open_system() as system:
            people = dict(zip("abcdef", await spawn_people(system, "abcdef"), strict=True))
            joins = data.draw(st.sampled_from("abcdef"))
            here = [people[name] for name in names if name != joins]
            if not here:
                return
            without, joined = ConsistentHash(here, by_word), ConsistentHash([*here, people[joins]], by_word)
            for key in keys:
                owner = joined._pick(Say(key))
                assert owner in (people[joins], without._pick(Say(key)))

    trio.run(program)


OWNERS_PROGRAM: Final = """
import histrio

class Person(histrio.Actor[str]): ...

async def main(system):
    people = [await system.spawn(Person, name=name) for name in "abc"]
    router = histrio.ConsistentHash(people, lambda word: word)
    print(*(router._pick(f"key {number}").path for number in range(50)))

histrio.run(main)
"""


def test_keys_have_the_same_owner_in_every_process() -> None:
    """S8, D1: which actor has a key does not depend on the seed of Python's hashes."""

    def run(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", OWNERS_PROGRAM]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    assert run("1") == run("2") != ""


async def test_keys_are_words_bytes_or_numbers() -> None:
    """S8: keys of the three kinds are different keys; others are refused, because their hash changes from run to run."""

    @attrs.frozen
    class About(Say):
        key: object = None

    async with histrio.open_system() as system:
        people = await spawn_people(system, "abcdefgh")
        router = ConsistentHash(people, lambda message: cast(Any, message).key)
        picks = {kind: [router._pick(About("", kind(n))) for n in range(30)] for kind in (str, int, bytes)}
        assert len({tuple(each) for each in picks.values()}) == 3
        with pytest.raises(TypeError, match=r"the key of .* is \(1, 2\), which is no str, bytes or int"):
            router.tell_nowait(About("", (1, 2)))


# -- broadcast ---------------------------------------------------------------------------------------------------------


async def test_broadcast_reaches_all() -> None:
    """S8: each message goes to all that live; an ask gives all answers, in the order of the group."""
    async with histrio.open_system() as system:
        heard: dict[str, list[str]] = {name: [] for name in "abc"}
        refs = [await system.spawn(Person, heard[name], name=name) for name in heard]
        router = Broadcast(refs)
        await router.tell(Say("one"))
        await settle()
        await end(refs[1])
        router.tell_nowait(Say("two"))

        assert await router.ask(Name()) == ("/a", "/c")
        assert heard == {"a": ["one", "two"], "b": ["one"], "c": ["one", "two"]}
        for ref in refs:
            await end(ref)
        assert not router.refs
        for use in (lambda: router.tell_nowait(Say("x")), lambda: router.ask(Name())):
            with pytest.raises(NoRoutee):
                use()
        with pytest.raises(NoRoutee):
            await router.tell(Say("x"))


async def test_broadcast_waits_for_the_full_ones_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """S8: those with room get the message first; without waiting it is refused, and nobody got it."""
    async with histrio.open_system() as system:
        heard: dict[str, list[str]] = {name: [] for name in "abc"}
        a, b, c = [await system.spawn(Small, heard[name], name=name) for name in heard]
        for ref in (a, b):
            await ref.control.pause()
            for word in "12":
                await ref.tell(Say(word))
        router = Broadcast([c, a, b])
        with pytest.raises(histrio.InboxFull, match="/a: 2 messages wait"):
            router.tell_nowait(Say("refused"))
        with trio.move_on_after(1) as scope:
            await router.tell(Say("cancelled"))
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(router.tell, Say("3"))
            await settle()
            assert (a._inbox.standing, b._inbox.standing) == (1, 1)
            b.control.resume()
            await end(a)

        await settle()
        assert heard == {"a": [], "b": ["1", "2", "3"], "c": ["cancelled", "3"]}


async def test_broadcasting_is_a_checkpoint_as_telling_is() -> None:
    """S8, A8: each message counts, so that who broadcasts to many lets others run."""
    async with histrio.open_system() as system:
        router = Broadcast(await spawn_people(system, "abcd"))
        system.engine.pace.restart()
        for _ in range(bound("pace_max") // 4 - 1):
            with trio.testing.assert_no_checkpoints():
                await router.tell(Say("x"))
        with trio.testing.assert_checkpoints():
            await router.tell(Say("x"))


async def test_a_broadcast_that_somebody_does_not_take_reaches_nobody() -> None:
    """S8, A16: the types of all are checked before anybody gets the message."""

    class Words(histrio.Actor[str]):
        pass

    async with histrio.open_system() as system:
        heard: list[str] = []
        refs = [await system.spawn(Person, heard), cast(People, await system.spawn(Words, name="words"))]
        for use in (Broadcast(refs).tell_nowait, Broadcast(refs).ask):
            with pytest.raises(TypeError, match="/words: it takes str, not Name; nothing was delivered"):
                use(Name())
        with pytest.raises(TypeError):
            await Broadcast(refs).tell(Say("x"))
        await settle()

        assert heard == []


def test_one_order_for_all_that_are_reached() -> None:
    """S8: two senders that broadcast at one moment are heard in one order by everybody, in every schedule."""

    async def program() -> list[list[str]]:
        heard: list[list[str]] = [[], [], []]

        async def resume(ref: People, after_s: float) -> None:
            await trio.sleep(after_s)
            ref.control.resume()

        async with histrio.open_system() as system, trio.open_nursery() as nursery:
            refs = [await system.spawn(Small, mine) for mine in heard]
            for number, ref in enumerate(refs):
                await ref.control.pause()
                nursery.start_soon(resume, ref, 1 + number % 2)
            for word in "abcd":
                nursery.start_soon(Broadcast(refs).tell, Say(word))
        return heard

    for heard in under_all_schedules(program):
        assert heard[0] == heard[1] == heard[2]
        assert sorted(heard[0]) == [*"abcd"]
