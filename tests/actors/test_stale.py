"""After a wait the state may have moved: `unchanged` and `touch` tell a handler so (A7)."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.actors.lab import Do, Lab, run_in_system
from tests.kernel.works import Boom, answer, fail
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


class Account(Lab):
    """Some fields to watch."""

    def __init__(self) -> None:
        super().__init__()
        self.balance = 100
        self.owner = "ann"
        self.entries: list[int] = []


Change = Callable[[Account], None]


async def change(account: histrio.Ref[Do[object]], what: Change) -> None:
    """Have another handler do it."""

    async def handler(lab: Lab) -> None:
        assert isinstance(lab, Account)
        what(lab)

    await account.ask(Do(handler))


def guarded(*names: str, wait: Callable[[Account], Awaitable[object]] | None = None) -> Do[object]:
    """A handler that waits a second (or as given) under a guard."""

    async def handler(lab: Lab) -> object:
        assert isinstance(lab, Account)
        with lab.unchanged(*names):
            return await (lab.io(trio.sleep, 1) if wait is None else wait(lab))

    return Do(handler)


async def watched(names: tuple[str, ...], what: Change) -> tuple[str, ...] | None:
    """The names that a guarded handler is told of, if *what* happens while it waits; it refuses when it is stale."""
    told: list[tuple[str, ...]] = []

    async def handler(lab: Lab) -> None:
        try:
            await guarded(*names).function(lab)
        except histrio.StaleState as error:
            told.append(error.names)

    async with histrio.open_system() as system:
        account = await system.spawn(Account)
        asked = account.ask(Do(handler))
        await wait_all_tasks_blocked()
        await change(account, what)
        await asked
    return told[0] if told else None


def deposit(account: Account) -> None:
    """Moves the balance."""
    account.balance += 1


def rename(account: Account) -> None:
    """Moves the owner."""
    account.owner = "bob"


def both(account: Account) -> None:
    """Moves both."""
    deposit(account)
    rename(account)


def touch(account: Account) -> None:
    """Changes in place, and says so."""
    account.entries.append(1)
    account.touch("entries")


def append(account: Account) -> None:
    """Changes in place, and says nothing."""
    account.entries.append(1)


def there_and_back(account: Account) -> None:
    """Ends with the very object that was there."""
    old = account.entries
    account.entries = []
    account.entries = old


def same_value(account: Account) -> None:
    """Ends with an equal object, which is another."""
    account.entries = list(account.entries)


@pytest.mark.parametrize(
    ("names", "what", "told"),
    [
        (("balance",), deposit, ("balance",)),
        (("owner",), deposit, None),
        (("owner", "balance"), both, ("owner", "balance")),
        (("balance", "owner"), both, ("balance", "owner")),
        (("balance", "owner"), rename, ("owner",)),
        ((), both, None),
        (("entries",), touch, ("entries",)),
        (("balance",), touch, None),
        (("entries",), append, None),
        (("entries",), there_and_back, None),
        (("entries",), same_value, ("entries",)),
        (("balance", "balance"), deposit, ("balance",)),
    ],
)
async def test_what_moves(
    names: tuple[str, ...], what: Change, told: tuple[str, ...] | None, autojump_clock: MockClock
) -> None:
    """A7: a named attribute has moved if it is another object, or was touched; others and changes in place do not count."""
    assert await watched(names, what) == told


async def test_the_error_names_path_and_fields(autojump_clock: MockClock) -> None:
    """A7: StaleState says whose state moved, which fields, and what to do."""
    error = histrio.StaleState("/account", ("balance", "owner"))

    assert str(error) == "/account: balance, owner changed while this handler waited; read again and decide anew"


async def test_an_uncaught_one_fails_the_actor(autojump_clock: MockClock) -> None:
    """A7: StaleState is no Refusal: a handler that does not catch it fails its actor."""

    async def program(system: histrio.System) -> None:
        account = await system.spawn(Account)
        asked = account.ask(guarded("balance"))
        await wait_all_tasks_blocked()
        await change(account, deposit)
        await asked

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    assert isinstance(raised.value.failures[0].__cause__, histrio.StaleState)


async def test_only_waits_inside_the_block_are_guarded(autojump_clock: MockClock) -> None:
    """A7: what moved before the block, or moves after it, is nobody's concern; the block may be entered again."""

    async def handler(lab: Lab) -> str:
        assert isinstance(lab, Account)
        for _ in range(2):
            with lab.unchanged("balance"):
                await lab.io(answer, 1)
            await lab.io(trio.sleep, 1)  # the other changes it now
        with lab.unchanged("balance"):
            await lab.io(answer, 1)
        return "calm"

    async with histrio.open_system() as system:
        account = await system.spawn(Account)
        asked = account.ask(Do(handler))
        await trio.sleep(0.5)
        await change(account, deposit)
        await trio.sleep(1)
        await change(account, deposit)

        assert await asked == "calm"


async def test_an_await_that_does_not_wait_is_not_checked(autojump_clock: MockClock) -> None:
    """A7: an await of what is complete does not give the turn away, so it is no place where something moved."""

    async def handler(lab: Lab) -> str:
        assert isinstance(lab, Account)
        done = lab.io(answer, 1)
        await done
        with lab.unchanged("balance"):
            lab.balance += 1
            await done
        return "calm"

    async with histrio.open_system() as system:
        assert await (await system.spawn(Account)).ask(Do(handler)) == "calm"


async def test_an_error_of_the_wait_goes_first(autojump_clock: MockClock) -> None:
    """A7: when the wait itself fails, its error is raised, whatever has moved."""

    async def handler(lab: Lab) -> str:
        assert isinstance(lab, Account)

        async def late() -> None:
            await trio.sleep(1)
            raise Boom("of the wait")

        with pytest.raises(Boom, match="of the wait"), lab.unchanged("balance"):
            await lab.io(late)
        return "caught"

    async with histrio.open_system() as system:
        account = await system.spawn(Account)
        asked = account.ask(Do(handler))
        await wait_all_tasks_blocked()
        await change(account, deposit)

        assert await asked == "caught"


async def test_a_cancelled_wait_goes_first(autojump_clock: MockClock) -> None:
    """A7: a timeout inside or around the block is a timeout, whatever has moved."""

    async def handler(lab: Lab) -> list[bool]:
        assert isinstance(lab, Account)
        with trio.move_on_after(1) as around, lab.unchanged("balance"):
            await lab.io(trio.sleep, 5)
        return [around.cancelled_caught]

    async with histrio.open_system() as system:
        account = await system.spawn(Account)
        asked = account.ask(Do(handler))
        await wait_all_tasks_blocked()
        await change(account, deposit)

        assert await asked == [True]


async def test_guards_nest(autojump_clock: MockClock) -> None:
    """A7: of nested blocks each watches its own names, since its own beginning."""

    async def handler(lab: Lab) -> list[tuple[str, ...]]:
        assert isinstance(lab, Account)
        told: list[tuple[str, ...]] = []
        with lab.unchanged("owner"):
            await lab.io(trio.sleep, 1)  # the balance moves
            try:
                with lab.unchanged("balance"):
                    await lab.io(trio.sleep, 1)  # both move
            except histrio.StaleState as error:
                told.append(error.names)
            try:
                await lab.io(trio.sleep, 1)
            except histrio.StaleState as error:
                told.append(error.names)
        return told

    async with histrio.open_system() as system:
        account = await system.spawn(Account)
        asked = account.ask(Do(handler))
        await trio.sleep(0.5)
        await change(account, deposit)
        await trio.sleep(1)
        await change(account, both)

        assert await asked == [("owner", "balance"), ("owner",)]


async def test_every_kind_of_wait_is_checked(autojump_clock: MockClock) -> None:
    """A7: asks, combinators, promises, doors and joins are waits like any other."""
    stale: list[int] = []
    async with histrio.open_system() as system:
        account, other = await system.spawn(Account), await system.spawn(Lab)

        async def slow(_: Lab) -> None:
            await trio.sleep(1)

        async def slow_start(lab: Lab) -> object:
            class Slow(Lab):
                async def started(self) -> None:
                    await trio.sleep(1)

            return await lab.spawn(Slow)

        waits: list[Callable[[Account], Awaitable[object]]] = [
            lambda lab: other.ask(Do(slow)),
            lambda lab: histrio.both(lab.io(trio.sleep, 1), lab.io(trio.sleep, 1)),
            lambda lab: histrio.either(lab.io(trio.sleep, 1), lab.io(trio.sleep, 2)),
            lambda lab: lab.io.clock.sleep(1),
            slow_start,
        ]
        for number, wait in enumerate(waits):

            async def handler(
                lab: Lab, number: int = number, wait: Callable[[Account], Awaitable[object]] = wait
            ) -> None:
                try:
                    await guarded("balance", wait=wait).function(lab)
                except histrio.StaleState:
                    stale.append(number)

            asked = account.ask(Do(handler))
            await trio.sleep(0.5)
            await change(account, deposit)
            await asked

    assert stale == [0, 1, 2, 3, 4]


async def test_a_guard_is_for_handlers(autojump_clock: MockClock) -> None:
    """A7: a task that is no handler has no waits to guard, and is told so."""
    labs: list[Lab] = []

    async def handler(lab: Lab) -> None:
        labs.append(lab)

    async with histrio.open_system() as system:
        await (await system.spawn(Account)).ask(Do(handler))
        with pytest.raises(histrio.NotStarted, match="guards the waits of a handler"), labs[0].unchanged("seen"):
            pass


async def test_an_unknown_name_is_refused(autojump_clock: MockClock) -> None:
    """A7: a name that the actor does not have is an AttributeError when the block is entered."""

    async def handler(lab: Lab) -> None:
        with pytest.raises(AttributeError, match="balanse"), lab.unchanged("balanse"):
            pass

    async with histrio.open_system() as system:
        await (await system.spawn(Account)).ask(Do(handler))


async def test_a_handler_is_not_told_of_what_others_guard(autojump_clock: MockClock) -> None:
    """A7: guards belong to one handler; others that wait at the same time are not disturbed."""
    async with histrio.open_system() as system:
        account = await system.spawn(Account)

        async def plain(lab: Lab) -> str:
            await lab.io(trio.sleep, 1)
            return "calm"

        async def refusing(lab: Lab) -> None:
            try:
                await guarded("balance").function(lab)
            except histrio.StaleState as error:
                raise histrio.Refusal("stale") from error

        calm, stale = account.ask(Do(plain)), account.ask(Do(refusing))
        await wait_all_tasks_blocked()
        await change(account, deposit)

        assert await calm == "calm"
        with pytest.raises(histrio.Refusal, match="stale"):
            await stale


async def test_the_operations_error_is_seen_though_the_state_moved(autojump_clock: MockClock) -> None:
    """A7: StaleState raised at the end of a wait leaves nothing that the handler's end would tell again."""

    async def handler(lab: Lab) -> str:
        assert isinstance(lab, Account)
        future = lab.io(trio.sleep, 1)
        with pytest.raises(histrio.StaleState), lab.unchanged("balance"):
            await future
        with pytest.raises(Boom):
            await lab.io(fail, Boom("x"))
        return "went on"

    async with histrio.open_system() as system:
        account = await system.spawn(Account)
        asked = account.ask(Do(handler))
        await wait_all_tasks_blocked()
        await change(account, deposit)

        assert await asked == "went on"
