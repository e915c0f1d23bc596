"""Children, supervisors and what is asked of them, as type checkers see it; never executed."""

import functools
from typing import Generic, TypeVar, assert_type

import attrs

import histrio
from histrio.messages import ChildRequest

T = TypeVar("T")


@attrs.frozen
class Read(histrio.Request[int | None]):
    key: str


@attrs.frozen
class Write(histrio.Request[None]):
    key: str
    value: int


@attrs.frozen
class Put(histrio.Request[bool], Generic[T]):
    value: T


class Store(histrio.Actor[Write | Read]):
    def __init__(self, path: str, *, size: int = 1) -> None:
        self.path = path
        self.size = size


class Front(histrio.Actor[str]):
    def __init__(self, store: histrio.Ref[Read], name: str = "") -> None:
        self.store = store


class Bare(histrio.Actor[bytes]):
    pass


@attrs.define
class Attrs(histrio.Actor[bytes]):
    size: int
    name: str = ""


class Box(histrio.Actor[Put[T]], Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value


def a_child_is_typed_by_its_class() -> None:
    """S1: `child(...)` knows the messages that the child takes; `with_` keeps that."""
    store = histrio.child("store", Store, "path", size=3)
    assert_type(store, histrio.Child[Write | Read])
    assert_type(store.ref, histrio.Ref[Write | Read])
    assert_type(store.with_(restart=histrio.TRANSIENT, shutdown_s=5), histrio.Child[Write | Read])
    assert_type(histrio.child(None, Bare), histrio.Child[bytes])
    assert_type(histrio.child("attrs", Attrs, 3, name="x"), histrio.Child[bytes])
    assert_type(histrio.child("partial", functools.partial(Store, size=3), "path"), histrio.Child[Write | Read])
    assert_type(histrio.child("box", Box[int], 3), histrio.Child[Put[int]])
    assert_type(histrio.child("sup", histrio.Supervisor, store), histrio.Child[ChildRequest])
    assert_type(histrio.child("dyn", histrio.DynamicSupervisor, children_max=3), histrio.Child[ChildRequest])


def a_child_is_given_what_its_class_takes() -> None:
    """S1: positions and keywords are checked against `__init__`, as in a call of the class."""
    histrio.child("store", Store)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    histrio.child("store", Store, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.child("store", Store, "path", 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    histrio.child("store", Store, "path", sizes=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    histrio.child("store", Store, "path", size="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.child("attrs", Attrs, "3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.child("bare", Bare, 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    histrio.child("box", Box[int], "3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def what_is_no_actor_is_no_child() -> None:
    """S1: a class that is no actor, a function, an instance."""
    histrio.child("int", int, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    histrio.child("function", len, "")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.child(3, Bare)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_rule_is_one_of_those_there_are() -> None:
    """S1: words, not strings; numbers where numbers are meant."""
    bare = histrio.child("bare", Bare)
    bare.with_(restart="permanent")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare.with_(shutdown_s="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare.with_(restarts=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    histrio.Supervisor(bare, strategy="one_for_one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.Supervisor(bare, strategy=histrio.PERMANENT)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.Supervisor(bare, restarts_max=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.Supervisor(bare, backoff=0.1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.Supervisor(Bare)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.DynamicSupervisor(bare)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
    histrio.child("sup", histrio.Supervisor, Bare)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.child("sup", histrio.Supervisor, bare, strategy=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_sibling_is_given_a_ref_of_the_right_kind() -> None:
    """S1, A13: the placeholder is a ref like the one that it stands for; a wider one serves for a narrower."""
    store, bare = histrio.child("store", Store, "path"), histrio.child("bare", Bare)
    histrio.child("front", Front, store.ref, name="x")
    histrio.child("front", Front, bare.ref)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.child("front", Front, store)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_system_spawns_children_and_supervisors(system: histrio.System) -> None:
    """S1: the ref takes what the actor takes."""
    store, bare = histrio.child("store", Store, "path"), histrio.child("bare", Bare)
    assert_type(await system.spawn(store), histrio.Ref[Write | Read])
    assert_type(await system.spawn(histrio.Supervisor), histrio.Ref[ChildRequest])
    assert_type(await system.spawn(histrio.Supervisor, store, bare), histrio.Ref[ChildRequest])
    assert_type(await system.spawn(histrio.DynamicSupervisor), histrio.Ref[ChildRequest])
    sup = await system.spawn(histrio.child("sup", histrio.Supervisor, store, strategy=histrio.ONE_FOR_ALL))
    assert_type(sup, histrio.Ref[ChildRequest])


async def a_child_is_found_by_its_spec(sup: histrio.Ref[ChildRequest]) -> None:
    """S1: `sup.child(spec)` is typed as the spec is."""
    store, bare = histrio.child("store", Store, "path"), histrio.child("bare", Bare)
    assert_type(sup.child(store), histrio.Ref[Write | Read])
    assert_type(sup.child(bare), histrio.Ref[bytes])
    assert_type(await sup.child(store).ask(Read("x")), int | None)
    await sup.child(bare).tell(Read("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sup.child("store")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sup.child(Store)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def requests_are_typed(sup: histrio.Ref[ChildRequest]) -> None:
    """S1: `start_child` and `restart_child` give the ref of the child; the others give nothing."""
    store = histrio.child("store", Store, "path")
    assert_type(await sup.start_child(store), histrio.Ref[Write | Read])
    assert_type(sup.start_child(store), histrio.Future[histrio.Ref[Write | Read]])
    assert_type(await sup.restart_child(store), histrio.Ref[Write | Read])
    await sup.terminate_child(store)
    await sup.terminate_child("store")
    await sup.terminate_child(sup.child(store))
    await sup.delete_child("store")
    await sup.start_child(Store)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await sup.terminate_child(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await sup.delete_child(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def only_supervisors_have_children(store: histrio.Ref[Write | Read], anything: histrio.Ref[object]) -> None:
    """S1: a ref of another actor does not take these requests; one that takes all messages does, for all it knows."""
    bare = histrio.child("bare", Bare)
    store.child(bare)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await store.start_child(bare)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await store.terminate_child("x")  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert_type(anything.child(bare), histrio.Ref[bytes])


class Mine(histrio.Supervisor):
    async def started(self) -> None:
        """S1: a subclass has the same, with types, from inside."""
        await super().started()
        store = histrio.child("store", Store, "path")
        assert_type(self.child(store), histrio.Ref[Write | Read])
        assert_type(await self.start_child(store), histrio.Ref[Write | Read])
        assert_type(await self.restart_child(store), histrio.Ref[Write | Read])
        assert_type(self.which_children(), tuple[histrio.Supervised, ...])
        assert_type(self.ref, histrio.Ref[ChildRequest])
        self.child("store")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Parent(histrio.Actor[str]):
    async def receive(self, message: str) -> None:
        """S1, S4: an actor spawns children of its own by the same spec, and supervisors below itself."""
        assert_type(await self.spawn(histrio.child("store", Store, "path")), histrio.Ref[Write | Read])
        assert_type(await self.spawn(histrio.Supervisor, histrio.child("bare", Bare)), histrio.Ref[ChildRequest])
        await self.spawn(histrio.Supervisor, Bare)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def ends_are_typed(ref: histrio.Ref[Write | Read]) -> None:
    """S5, S6: results, ends and phases."""
    assert_type(await ref.join(), object)
    assert_type(await ref.join(int), int)
    assert_type(await ref.monitor(), histrio.Down)
    assert_type(ref.watch(), histrio.Feed[histrio.Phase])
    async for phase in ref.watch(latest=True):
        assert_type(phase, histrio.Phase)
    assert_type(await ref.control.stop(grace_s=1), histrio.Phase)
    assert_type(await ref.control.kill("why"), histrio.Phase)
    assert_type(ref.control.status(), histrio.Phase)
    assert_type(ref.control.is_done, bool)
    assert_type(ref.control.inspect(), histrio.Inspection)
    await ref.control.pause()
    await ref.control.step(3)
    ref.control.step("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ref.join(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


class Stashing(histrio.Actor[Write | Read]):
    async def receive(self, message: Write | Read) -> int | None:
        """S8: `stash` and `become` take the actor's messages."""
        self.stash(message)
        assert_type(self.unstash(), int)
        self.become(self.other)
        self.become(None)
        self.become(self.wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.stash("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return None

    async def other(self, message: Write | Read) -> int | None:
        return None

    async def wrong(self, message: str) -> None:
        pass


def read_by(child: histrio.Child[Read]) -> histrio.Ref[Read]:
    """A function that wants less than the store takes."""
    return child.ref


def refs_are_told_apart(store: histrio.Child[Write | Read]) -> None:
    """A13: a `Child[Write | Read]` serves as a `Child[Read]`, as its ref does; not as one that takes more."""
    assert_type(read_by(store), histrio.Ref[Read])
    wide: histrio.Child[Write | Read | str] = store  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    wide.with_(shutdown_s=1)
