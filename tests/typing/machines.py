"""What type checkers know of machines: arguments of states, handlers, waits, scopes and an actor's own; never executed."""

from typing import assert_type

import attrs

import histrio
from histrio import Handlers, Machine, State, States, Transition, any_state, exclusive, group


@attrs.frozen
class Page:
    url: str
    tries: int = 3


@attrs.frozen
class Data:
    data: bytes


class Download(States):
    """M10: a state knows the class of its arguments."""

    fetching = State(Page)
    fetched = State(Data, auto=False, require=["idle"], tags=["done"])
    idle = State(auto=True, multi="keep")
    made = State(str)
    exclusive(idle, fetching, fetched)
    busy = group(fetching, fetched)


class Two(Download):
    """M10: subclasses and prefixed copies keep the types."""

    other = Download.prefixed("other_")
    ready = State(require=[Download.idle, other.idle])


def states_know_their_arguments() -> None:
    """M10: calling a state is calling the class of its arguments."""
    assert_type(Download.fetching(url="u", tries=1), histrio.Called[Page])
    assert_type(Download.fetching("u"), histrio.Called[Page])
    assert_type(Download.fetched(data=b"").args, Data)
    assert_type(Download.idle(), histrio.Called[None])
    assert_type(Two.fetching("u"), histrio.Called[Page])
    assert_type(Two.other.fetching("u"), histrio.Called[Page])
    assert_type(Download.made("text"), histrio.Called[str])
    assert_type(States.exception(), histrio.Called[None])

    Download.fetching()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Download.fetching(uri="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Download.fetching(url=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Download.fetching("u", 3, 4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Download.idle(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Two.other.fetched(data="text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Download.fetchd()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def schemas_refuse_what_is_no_state() -> None:
    """M10: relations take states and names; flags are what they are."""
    State(require=[Download.idle, "fetching"])
    State(Page, multi=True, auto=True, quiet=True, until_done=True)
    State(require=Download.idle)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    State(add=[3])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    State(multi="kept")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    State(requires=[])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    State(Page("u"))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    exclusive(Download.idle, "fetching")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    group("fetching")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Watching(Handlers, states=Download):
    """M1: a handler gets the arguments of its state."""

    @Download.fetching.may_enter
    def has_room(self, t: Transition[Page]) -> bool:
        assert_type(t.args, Page)
        assert_type(Download.fetching.args_in(t), Page | None)
        assert_type(Download.fetched.args_in(t), Data | None)
        return t.args.tries > 0

    @Download.idle.may_exit
    def may_leave(self, t: Transition[None]) -> None:
        assert_type(t.dry, bool)

    @Download.fetched.stays
    def may_stay(self, t: Transition[Data]) -> bool | None:
        assert_type(t.args.data, bytes)
        return None

    @Download.idle.beside(Download.fetching)
    def near(self, t: Transition[object]) -> bool:
        assert_type(t.args, object)
        return True

    @any_state.may_enter
    def ask(self, t: Transition[object]) -> bool:
        return True

    @any_state.entered
    def tell(self, t: Transition[object]) -> None: ...

    @Download.fetched.entered
    def keep(self, t: Transition[Data]) -> None:
        assert_type(t.args, Data)

    @Download.fetching.entered
    async def fetch(self, t: Transition[Page]) -> None:
        assert_type(t.args, Page)

    @Download.fetched.exited(deadline_s=3)
    async def clean(self, t: Transition[Data]) -> None: ...


class WrongHandlers(Handlers, states=Download):
    """M1: other arguments, another answer or a coroutine that should answer do not type-check."""

    @Download.fetching.may_enter  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def other_arguments(self, t: Transition[Data]) -> bool:
        return True

    @Download.fetching.may_exit  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def other_answer(self, t: Transition[Page]) -> str:
        return "yes"

    @Download.fetching.stays  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def slow(self, t: Transition[Page]) -> bool:
        return True

    @any_state.entered  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def slow_for_all(self, t: Transition[object]) -> None: ...

    @Download.fetching.entered(deadline_s=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def quick(self, t: Transition[Page]) -> None: ...

    @Download.fetching.beside("idle")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def by_name(self, t: Transition[object]) -> bool:
        return True


def mutations_have_results() -> None:
    """M5: a mutation gives a result of three kinds; states are named by objects, with arguments, or by text."""
    machine = Machine(Download, name="one")
    assert_type(machine.add(Download.fetching("u"), Download.idle, "fetched"), histrio.Result)
    assert_type(machine.toggle(Download.idle), histrio.Result)
    assert_type(machine.can_add(Download.idle), histrio.Result)
    result = machine.set("idle")
    if result:
        assert_type(result.__class__.__name__, str)
    if isinstance(result, histrio.Queued):
        assert_type(result.ticket, histrio.Ticket)
    if isinstance(result, histrio.Canceled):
        assert_type(result.reason, str)
        assert_type(result.error, BaseException | None)
    assert_type(machine.fail(ValueError(), Download.fetching("u")), histrio.Result)
    assert_type(machine.tick(Download.idle), int)
    assert_type(machine.time, tuple[int, ...])
    assert_type(machine.any(*Download.busy), bool)
    assert_type(machine.error, BaseException | None)
    assert_type(machine.was({Download.idle: 3, "fetching": 2}), bool)

    machine.add(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    machine.add(Download)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    machine.fail("broken")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    machine.fail(KeyboardInterrupt())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Machine("Download")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def waits_are_futures(machine: Machine) -> None:
    """M6: each wait is a future of the transition in which it came true; they compose."""
    assert_type(machine.when(Download.idle, "fetching"), histrio.Future[Transition | None])
    assert_type(await machine.when_not(Download.idle), Transition | None)
    assert_type(await machine.when_time({Download.idle: 3}), Transition | None)
    assert_type(await machine.when_ticks(Download.idle, 2), Transition | None)
    assert_type(await machine.when_args(Download.fetching, url="u"), Transition | None)
    assert_type(await machine.when_args(Download.fetching, is_patient), Transition | None)
    assert_type(await machine.when_args(Download.fetching, lambda page: page.tries > 3), Transition | None)
    assert_type(await machine.when_error(), Transition | None)
    assert_type(await machine.when_query(lambda: Download.idle in machine), Transition | None)
    assert_type(await machine.when_queue_ends(), Transition | None)
    assert_type(await machine.when_disposed(), Transition | None)
    assert_type(
        await histrio.either(machine.when(Download.fetched), machine.when_error()),
        histrio.Left[Transition | None] | histrio.Right[Transition | None],
    )
    with machine.scope(Download.idle) as scope:
        assert_type(scope, histrio.StateScope)
        assert_type(scope.ended, bool)

    machine.when(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    machine.when_query(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    machine.when_ticks(Download.idle, "two")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def is_patient(page: Page) -> bool:
    """A predicate of arguments."""
    return page.tries > 3


class Downloader(histrio.Actor[Page], states=Download):
    """The example of the design: an actor with a machine."""

    @Download.fetching.may_enter
    def has_room(self, t: Transition[Page]) -> bool:
        return t.args.tries > 0

    @Download.fetching.entered
    async def fetch(self, t: Transition[Page]) -> None:
        data = await self.io(download, t.args.url)
        assert_type(data, bytes)
        self.states.add(Download.fetched(data=data))

    @histrio.handler(Page)
    async def page(self, m: Page) -> None:
        self.states.add(Download.fetching(m.url))
        assert_type(await self.states.when(Download.fetched), Transition | None)

    async def more(self, m: Page) -> None:
        """M7: work may belong to a state."""
        assert_type(self.io(download, m.url, within=Download.fetching), histrio.Future[bytes])
        self.states.add(Download.fetching(3))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def download(url: str) -> bytes:
    """An operation."""
    return url.encode()
