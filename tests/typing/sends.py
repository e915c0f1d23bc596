"""What `tell` and `ask` accept, and what an answer is known to be: for type checkers, never executed."""

# Each wrong line carries one comment for each checker, and both refuse a comment that silences nothing. So every wrong
# program here is seen to be refused by both.

from typing import Never, assert_type

import attrs
import trio

import histrio


@attrs.frozen
class Write(histrio.Request[None]):
    key: str
    value: int


@attrs.frozen
class Read(histrio.Request[int | None]):
    key: str


@attrs.frozen
class ReadAll(histrio.Request[dict[str, int]]):
    pass


@attrs.frozen
class Flush:
    """A plain message: it can be told and not asked."""


@attrs.frozen
class ReadTwice(Read):
    """A subtype is taken where its base is, and answered alike."""


async def an_answer_has_the_type_that_its_request_names(store: histrio.Ref[Write | Read | ReadAll]) -> None:
    """A8, A9: the reply side of the request is the type of the future."""
    assert_type(store.ask(Write("x", 1)), histrio.Future[None])
    assert_type(await store.ask(Read("x")), int | None)
    assert_type(await store.ask(ReadAll()), dict[str, int])
    assert_type(await store.ask(ReadTwice("x")), int | None)
    assert_type(store.ask_nowait(ReadAll()), histrio.Future[dict[str, int]])


async def an_answer_is_no_other_type(store: histrio.Ref[Read]) -> None:
    """A9: an answer that may be None is not an int."""
    known: int = await store.ask(Read("x"))  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    print(known)


async def a_told_message_is_one_of_those_declared(store: histrio.Ref[Write | Flush]) -> None:
    """A16: `tell` and `tell_nowait` of another type do not type-check."""
    await store.tell(Write("x", 1))
    await store.tell(Flush())
    store.tell_nowait(Flush())
    await store.tell(Read("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.tell_nowait("flush")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await store.tell(Write)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def an_asked_message_is_one_of_those_declared(store: histrio.Ref[Write | Flush]) -> None:
    """A16: `ask` and `ask_nowait` of a request that the actor does not take do not type-check."""
    await store.ask(Write("x", 1))
    await store.ask(Read("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await store.ask_nowait(ReadAll())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_plain_message_cannot_be_asked(store: histrio.Ref[Write | Flush], words: histrio.Ref[str]) -> None:
    """A9: what is no `Request` has no answer to wait for."""
    await store.ask(Flush())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.ask_nowait(Flush())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await words.ask("hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_forgotten_await_is_seen(store: histrio.Ref[Flush]) -> None:
    """A8: a `tell` that is not awaited is reported by both checkers too."""
    store.tell(Flush())  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


async def a_channel_takes_what_its_ref_takes(store: histrio.Ref[Write | Flush]) -> None:
    """A11: `channel()` is a `SendChannel` of the messages of its ref."""
    channel: trio.abc.SendChannel[Flush] = store.channel()
    await channel.send(Flush())
    await channel.send("flush")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_ref_of_more_serves_as_a_ref_of_less(store: histrio.Ref[Write | Read]) -> histrio.Ref[Read]:
    """A13: a ref is contravariant: what takes more serves where less is sent."""
    return store


def a_ref_of_a_type_serves_for_its_subtypes(reads: histrio.Ref[Read]) -> histrio.Ref[ReadTwice]:
    """A13: what takes the base takes the subtype."""
    return reads


def a_ref_of_less_does_not_serve_as_a_ref_of_more(reads: histrio.Ref[Read]) -> histrio.Ref[Write | Read]:
    """A13: the other way round does not type-check."""
    return reads  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def a_ref_of_a_subtype_does_not_serve_for_its_base(twice: histrio.Ref[ReadTwice]) -> histrio.Ref[Read]:
    """A13: nor does a ref of the subtype where the base may be sent."""
    return twice  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def refs_of_anything_can_be_kept_together(store: histrio.Ref[Write], words: histrio.Ref[str]) -> None:
    """A13: a ref of every type fits where none is told anything."""
    refs: list[histrio.Ref[Never]] = [store, words]
    print([ref.path for ref in refs])
