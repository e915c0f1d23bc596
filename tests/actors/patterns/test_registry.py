"""S8: actors are found by typed keys, from their registration to their final end, in one system."""

import pickle
from contextlib import suppress
from typing import cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.patterns.people import PERSON, Name, Person, Say, end, news, settle, spawn_people

import histrio
from histrio import Key, KeyTaken, Ref

Anybody = Ref[Say | Name]
OTHER = Key[Say | Name]("other")


# -- finding -----------------------------------------------------------------------------------------------------------


async def test_what_is_registered_is_found() -> None:
    """S8: `find` gives the one registered first, `find_all` all, in the order of registration."""
    async with histrio.open_system() as system:
        registry = system.registry
        assert (registry.find(PERSON), registry.find_all(PERSON)) == (None, ())
        a, b, c = await spawn_people(system, "abc")
        for ref in (b, a, c):
            registry.register(PERSON, ref)
        registry.register(OTHER, c)

        assert registry is system.registry
        assert registry.find(PERSON) is b
        assert registry.find_all(PERSON) == (b, a, c)
        assert registry.find_all(Key[Say | Name]("person")) == (b, a, c)
        assert registry.find(OTHER) is c


async def test_registering_again_changes_nothing() -> None:
    """S8: an actor that registers itself at each start keeps its place."""
    async with histrio.open_system() as system:
        a, b = await spawn_people(system, "ab")
        for ref in (a, b, a):
            system.registry.register(PERSON, ref)
        feed = system.registry.subscribe(PERSON)
        system.registry.register(PERSON, b)

        assert system.registry.find_all(PERSON) == (a, b)
        assert len(await news(feed)) == 1


async def test_unregistering_is_idempotent() -> None:
    """S8: what is unregistered is not found; what is not registered can be unregistered too."""
    async with histrio.open_system() as system:
        a, b = await spawn_people(system, "ab")
        for ref in (a, b):
            system.registry.register(PERSON, ref)
        for _ in range(2):
            system.registry.unregister(PERSON, a)
        system.registry.unregister(OTHER, a)

        assert system.registry.find_all(PERSON) == (b,)
        assert repr(system.registry) == "<Registry of 'histrio': 1 actors>"
        await end(a)  # forgotten already: its end changes nothing
        assert system.registry.find_all(PERSON) == (b,)


async def test_systems_share_no_names() -> None:
    """S8: each system has a registry of its own, and refuses the actors of others."""
    async with histrio.open_system("one") as one, histrio.open_system("two") as two:
        (ref,) = await spawn_people(one, "a")
        one.registry.register(PERSON, ref)

        assert two.registry.find(PERSON) is None
        with pytest.raises(ValueError, match=r"/a is an actor of system 'one', not of system 'two'"):
            two.registry.register(PERSON, ref)
        assert two.registry.find(PERSON) is None


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["stop", "kill", "fail"])
async def test_an_entry_ends_with_its_actor(way: str) -> None:
    """S8: in whatever way an actor ends for good, it is not found any more in the moment in which its end is told."""
    with pytest.raises(histrio.SystemFailed) if way == "fail" else trio.CancelScope():
        async with histrio.open_system() as system:
            a, b = await spawn_people(system, "ab")
            for key in (PERSON, OTHER):
                system.registry.register(key, a)
                system.registry.register(key, b)
            match way:
                case "stop":
                    a.control.stop()
                case "kill":
                    a.control.kill()
                case _:
                    a.tell_nowait(Say("fail"))
            try:
                with trio.CancelScope(shield=True):
                    await a.join()
            except histrio.ActorStopped:
                assert way != "stop"
            assert system.registry.find_all(PERSON) == system.registry.find_all(OTHER) == (b,)


async def test_another_actor_at_the_path_is_another_one() -> None:
    """S8: an entry belongs to an actor, not to a path: who is spawned there later is not registered."""
    async with histrio.open_system() as system:
        (first,) = await spawn_people(system, "a")
        system.registry.register(PERSON, first)
        await end(first)
        (second,) = await spawn_people(system, "a")
        assert second == first
        assert system.registry.find(PERSON) is None
        system.registry.register(PERSON, second)
        system.registry.unregister(PERSON, first)

        assert system.registry.find(PERSON) is second


async def test_what_has_ended_cannot_be_registered() -> None:
    """S8: registering the ref of an ended actor is an error that tells how it ended."""
    async with histrio.open_system() as system:
        (ref,) = await spawn_people(system, "a")
        ref.control.kill("no use")
        await end(ref)

        with pytest.raises(histrio.ActorStopped, match=r"/a has ended: killed \(no use\); it cannot be registered"):
            system.registry.register(PERSON, ref)
        assert system.registry.find(PERSON) is None


async def test_an_actor_can_register_itself_while_it_starts() -> None:
    """S8: `started()` may register the actor; if the start then fails, nothing of it is left."""

    class Registers(Person):
        fails = False

        async def started(self) -> None:
            self.system.registry.register(PERSON, self.ref)
            await trio.lowlevel.checkpoint()
            if self.fails:
                raise ValueError("no luck")

    class Fails(Registers):
        fails = True

    async with histrio.open_system() as system:
        ref = await system.spawn(Registers)
        with pytest.raises(histrio.ActorFailed, match="no luck"):
            await system.spawn(Fails)

        assert system.registry.find_all(PERSON) == (ref,)


async def test_an_entry_survives_restarts() -> None:
    """S8, S3: an actor that fails and is started again is still found, and nobody hears of it; its final end is heard."""

    class Registers(Person):
        async def started(self) -> None:
            self.system.registry.register(PERSON, self.ref, unique=True)

    async with histrio.open_system() as system:
        spec = histrio.child("a", Registers)
        supervisor = await system.spawn(histrio.Supervisor, spec)
        ref = supervisor.child(spec)
        feed = system.registry.subscribe(PERSON)
        for _ in range(2):
            await ref.tell(Say("fail"))
            await settle()
            assert system.registry.find(PERSON) == ref
        assert await ref.ask(Name()) == ref.path
        await supervisor.terminate_child(spec)

        assert [listing.refs for listing in await news(feed)] == [(ref,), ()]
        assert system.registry.find(PERSON) is None


@pytest.mark.parametrize("joined", [True, False])
async def test_who_hears_of_an_end_cannot_keep_the_ended(joined: bool) -> None:
    """S8: a signal reader that registers an actor in the moment of its end makes no entry that stays."""
    heard: list[str] = []
    async with histrio.open_system() as system:
        (ref,) = await spawn_people(system, "a")

        def read(signal: histrio.Signal) -> None:
            if signal.kind is histrio.Kind.STOP:
                heard.append(signal.path)
                with suppress(histrio.ActorStopped):
                    system.registry.register(PERSON, ref)

        system.listen(read)
        if joined:
            await end(ref)
        else:
            ref.control.kill()
            await settle()

        assert heard == ["/a"]
        assert system.registry.find(PERSON) is None
        assert system.reports == ()


# -- alone -------------------------------------------------------------------------------------------------------------


async def test_a_key_can_be_held_alone() -> None:
    """S8: with `unique` a key has one holder, which the error of the next one names; when it ends the key is free."""
    async with histrio.open_system() as system:
        a, b, c = await spawn_people(system, "abc")
        register = system.registry.register
        register(PERSON, a, unique=True)
        register(PERSON, a, unique=True)
        for unique in (True, False):
            with pytest.raises(
                KeyTaken, match=r"/b cannot be registered under Key\[Say \| Name\]\('person'\): /a is"
            ) as caught:
                register(PERSON, b, unique=unique)
            assert caught.value.holder is a
            assert caught.value.key == PERSON
        feed = system.registry.subscribe(PERSON)
        await end(a)
        register(PERSON, b)
        register(PERSON, c)

        assert system.registry.find_all(PERSON) == (b, c)
        assert feed.kept == 4


async def test_one_among_others_cannot_be_alone() -> None:
    """S8: `unique` is refused when another one is registered already; a refusal leaves nothing behind."""
    async with histrio.open_system() as system:
        a, b, c = await spawn_people(system, "abc")
        system.registry.register(PERSON, a)
        with pytest.raises(KeyTaken):
            system.registry.register(PERSON, b, unique=True)
        system.registry.register(PERSON, c)
        with pytest.raises(KeyTaken):
            system.registry.register(PERSON, a, unique=True)

        assert system.registry.find_all(PERSON) == (a, c)
        await end(b)


# -- types -------------------------------------------------------------------------------------------------------------


async def test_a_name_has_one_type() -> None:
    """S8: a name that is in use with one message type is refused with another; unions are equal in any order."""
    async with histrio.open_system() as system:
        (ref,) = await spawn_people(system, "a")
        registry = system.registry
        registry.register(PERSON, ref)
        wrong = Key[str]("person")
        for call in (registry.find, registry.find_all, registry.wait, registry.subscribe):
            with pytest.raises(TypeError, match=r"Key\[str\]\('person'\): this name is in use by Key\[Say \| Name\]"):
                call(wrong)
        assert registry.find(Key[Name | Say]("person")) is ref
        untyped: Key[Say | Name] = Key("person")
        assert registry.find(untyped) is ref
        await end(ref)

        assert registry.find(wrong) is None  # nobody uses the name any more
        registry.subscribe(wrong)  # a reader that is gone at once
        assert registry.find(PERSON) is None
        registry.subscribe(PERSON)


async def test_what_is_no_ref_is_refused() -> None:
    """S8: things that are not refs, refs that are not bound, and keys without a name are errors that say so."""
    async with histrio.open_system() as system:
        (ref,) = await spawn_people(system, "a")
        unbound = cast(Anybody, pickle.loads(pickle.dumps(ref)))

        with pytest.raises(TypeError, match=r"<.*Person.* is no ref; it cannot be registered"):
            system.registry.register(PERSON, cast(Anybody, Person()))
        with pytest.raises(histrio.Unbound):
            system.registry.register(PERSON, unbound)
        with pytest.raises(ValueError, match="'' is no name for a key"):
            Key[str]("")
        system.registry.register(PERSON, system.bind(unbound))
        assert system.registry.find(PERSON) == ref


def test_keys_are_values() -> None:
    """S8: keys are equal by name, hash alike, pickle, and show their type."""
    again = cast(object, pickle.loads(pickle.dumps(PERSON)))

    assert again == PERSON == Key[Name | Say]("person") != OTHER
    assert len({again, PERSON, OTHER}) == 2
    assert PERSON != "person"
    assert repr(Key[str]("word")) == repr(pickle.loads(pickle.dumps(Key[str]("word")))) == "Key[str]('word')"
    untyped: Key[str] = Key("word")
    assert repr(untyped) == "Key('word')"


# -- a model -----------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["register", "alone", "unregister", "end"]), st.sampled_from("abc"), st.booleans()),
    max_size=25,
)


@given(STEPS)
def test_any_order_of_comings_and_goings(steps: list[tuple[str, str, bool]]) -> None:
    """S8: whatever is registered, taken off and ends: lookups and feeds show the same as two plain lists would."""

    async def program() -> None:
        async with histrio.open_system() as system:
            refs = dict(zip("abc", await spawn_people(system, "abc"), strict=True))
            model: dict[Key[Say | Name], list[Anybody]] = {PERSON: [], OTHER: []}
            alone: set[Key[Say | Name]] = set()
            ended: set[str] = set()
            feeds = {key: system.registry.subscribe(key) for key in model}
            for step, name, other in steps:
                key, ref = OTHER if other else PERSON, refs[name]
                present = model[key]
                if step == "unregister":
                    system.registry.unregister(key, ref)
                    model[key] = [one for one in present if one != ref]
                elif step == "end":
                    await end(ref)
                    ended.add(name)
                    model = {each: [one for one in there if one != ref] for each, there in model.items()}
                elif name in ended:
                    with pytest.raises(histrio.ActorStopped):
                        system.registry.register(key, ref)
                elif (step == "alone" or key in alone) and set(present) - {ref}:
                    with pytest.raises(KeyTaken):
                        system.registry.register(key, ref, unique=step == "alone")
                else:
                    system.registry.register(key, ref, unique=step == "alone")
                    model[key] = present if ref in present else [*present, ref]
                    alone |= {key} if step == "alone" else set()
                alone = {each for each in alone if model[each]}
                for each, there in model.items():
                    assert system.registry.find_all(each) == tuple(there)
            for each, feed in feeds.items():
                follow: tuple[Anybody, ...] = ()
                for listing in await news(feed):
                    follow = (*(one for one in follow if one not in listing.removed), *listing.added)
                    assert listing.refs == follow
                assert follow == tuple(model[each])

    trio.run(program)
