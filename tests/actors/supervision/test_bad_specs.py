"""What bad input gets: refused where it is written, with the field, the value and what is allowed; nothing has begun."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Final

import pytest
import trio
from tests.actors.supervision.crew import Do, Say, Worker, ending_of, leaving, settle, worker
from trio.testing import MockClock

import histrio
from histrio import Phase

a, b = worker("a", []), worker("b", [])

# Type checkers refuse nearly all of this too, see tests/typing/supervision.py. Here the checks of those who have none.
Supervisor: Final[Any] = histrio.Supervisor
DynamicSupervisor: Final[Any] = histrio.DynamicSupervisor
Backoff: Final[Any] = histrio.Backoff
child: Final[Any] = histrio.child
with_: Final[Any] = a.with_


class Mine(histrio.Supervisor):
    pass


class Sized(histrio.Actor[Say]):
    def __init__(self, size: int, *, name: str = "") -> None:
        self.size = size


STRATEGIES: Final = "ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE"
SHUTDOWNS: Final = "NEVER, ANY_SIGNIFICANT, ALL_SIGNIFICANT"
COUNT: Final = "a whole number, 0 or more"

RULES: Final[list[tuple[str, Callable[[], object], str]]] = [
    *(
        (f"strategy {value!r}", functools.partial(Supervisor, a, strategy=value), f"strategy is {value!r}; allowed: {STRATEGIES}")
        for value in ("one_for_one", "ONE_FOR_ALL", 1, None, histrio.PERMANENT)
    ),
    *(
        (f"restarts_max {value!r}", functools.partial(Supervisor, a, restarts_max=value), f"restarts_max is {value!r}; allowed: {COUNT}")
        for value in (-1, 1.5, "3", None, True, math.inf)
    ),
    *(
        (f"window_s {value!r}", functools.partial(Supervisor, a, window_s=value), f"window_s is {value!r}; allowed: a number of seconds, more than 0")
        for value in (-1, 0, "5", None, math.nan, True)
    ),
    *(
        (f"backoff {value!r}", functools.partial(Supervisor, a, backoff=value), f"backoff is {value!r}; allowed: a Backoff(...), or None")
        for value in (1, "exponential", histrio.Backoff)
    ),
    *(
        (f"auto_shutdown {value!r}", functools.partial(Supervisor, a, auto_shutdown=value), f"auto_shutdown is {value!r}; allowed: {SHUTDOWNS}")
        for value in ("any_significant", True, None)
    ),
    *(
        (f"children_max {value!r}", functools.partial(DynamicSupervisor, children_max=value), f"children_max is {value!r}; allowed: a whole number, or None")
        for value in (-1, 2.5, "many", False)
    ),
    ("dynamic restarts_max", lambda: DynamicSupervisor(restarts_max=-3), f"restarts_max is -3; allowed: {COUNT}"),
    ("dynamic window_s", lambda: DynamicSupervisor(window_s=0), "window_s is 0; allowed: a number of seconds, more than 0"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "text"), [case[1:] for case in RULES], ids=[case[0] for case in RULES])
def test_a_rule_that_is_none_is_refused(make: Callable[[], object], text: str) -> None:
    """Bad input: the class, the field, the value and what is allowed, in one sentence."""
    with pytest.raises(ValueError) as raised:
        make()
    assert text in str(raised.value)
    assert str(raised.value).startswith(("Supervisor: ", "DynamicSupervisor: "))


BACKOFFS: Final = [
    *(("first_s", value) for value in (-1, math.nan, "x", None, True)),
    *(("factor", value) for value in (0.5, -2, math.nan, "2", None)),
    *(("max_s", value) for value in (-1, math.nan, "x", None)),
    *(("jitter", value) for value in (-0.1, 1.5, math.nan, "x", None, True)),
    *(("reset_s", value) for value in (-1, math.nan, "x", None)),
]


@pytest.mark.parametrize(("field", "value"), BACKOFFS)
def test_a_backoff_that_is_none_is_refused(field: str, value: object) -> None:
    """Bad input: with the field and the value, whatever it is."""
    with pytest.raises(ValueError) as raised:
        Backoff(**{field: value})
    assert f"{field} is {value!r}; allowed: " in str(raised.value)


def not_an_actor(size: int) -> None:
    """A function."""


KINDS: Final[list[object]] = [
    int,
    str,
    not_an_actor,
    functools.partial(not_an_actor, 1),
    None,
    "Worker",
    3,
    Worker("x", []),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: repr(kind)[:20])
def test_a_child_that_is_no_actor_is_refused(kind: object) -> None:
    """Bad input: it is shown; of an instance it is said what to give instead."""
    with pytest.raises(ValueError, match=r"child\('x', \.\.\.\) takes an actor class") as raised:
        child("x", kind)
    if isinstance(kind, Worker):
        assert "not an instance" in str(raised.value)
    else:
        assert repr(kind) in str(raised.value)


@pytest.mark.parametrize("name", ["", "a/b", "/a", "a#1", "#", 3, b"a", Worker])
def test_a_name_that_is_none_is_refused(name: object) -> None:
    """Bad input: it says what a name is."""
    with pytest.raises(ValueError) as raised:
        child(name, Worker, "x", [])
    assert f"{name!r} is no name for a child: a name is not empty and has no '/' or '#'" in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        *(("restart", value, "PERMANENT, TRANSIENT, TEMPORARY") for value in ("permanent", True, 1)),
        *(("shutdown_s", value, "a number of seconds, 0 or more") for value in (-1, "5", math.nan, True)),
        *(("start_s", value, "a number of seconds, 0 or more") for value in (-1, "5", math.nan, True)),
        *(("significant", value, "True, False") for value in (1, "yes")),
    ],
)
def test_a_childs_rule_that_is_none_is_refused(field: str, value: object, allowed: str) -> None:
    """Bad input: at `with_`, with the child's name."""
    with pytest.raises(ValueError) as raised:
        with_(**{field: value})
    assert str(raised.value) == f"child 'a': {field} is {value!r}; allowed: {allowed}"


def test_a_permanent_child_cannot_be_significant() -> None:
    """Bad input: it never ends by itself; also if the restart type is changed later."""
    with pytest.raises(ValueError, match="child 'a': significant is True and restart is PERMANENT"):
        a.with_(significant=True)
    significant = a.with_(restart=histrio.TRANSIENT, significant=True)
    with pytest.raises(ValueError, match="Allowed with significant: TRANSIENT, TEMPORARY"):
        significant.with_(restart=histrio.PERMANENT)


def test_significant_means_nothing_without_auto_shutdown() -> None:
    """Bad input: the child is named, and the two rules that go with it."""
    significant = a.with_(restart=histrio.TRANSIENT, significant=True)
    with pytest.raises(ValueError, match="child 'a' is significant, and auto_shutdown is NEVER") as raised:
        Supervisor(b, significant)
    assert "ANY_SIGNIFICANT, ALL_SIGNIFICANT" in str(raised.value)


@pytest.mark.parametrize("value", [Worker, Worker("x", []), "a", None, (a, b)], ids=lambda value: repr(value)[:20])
def test_what_is_no_child_is_refused(value: object) -> None:
    """Bad input: with its place among the arguments."""
    with pytest.raises(ValueError) as raised:
        Supervisor(a, value)
    assert f"Supervisor: child 1 is {value!r}; allowed: what child(name, cls, ...) makes" in str(raised.value)


def test_two_children_of_one_name_are_refused() -> None:
    """Bad input: also if they are one and the same; children without a name get each its own."""
    for other in (a, worker("a", []), a.with_(restart=histrio.TEMPORARY)):
        with pytest.raises(ValueError, match="Mine: two children are called 'a'; the names of siblings differ"):
            Mine(a, b, other)
    nameless = histrio.child(None, Worker, "x", [])
    Mine(nameless, nameless)


def test_a_sibling_must_stand_to_the_left() -> None:
    """Bad input: its ref is not known yet when it is needed; nor is that of another supervisor's child."""
    front = histrio.child("front", Worker, "front", [])
    for children in ((child("b", Sized, front.ref), front), (child("b", Sized, size=front.ref),)):
        with pytest.raises(
            ValueError, match=r"Supervisor: child 'b' is given the ref of 'front', which is no child before it"
        ):
            Supervisor(*children)


def test_a_child_cannot_be_given_its_own_ref() -> None:
    """Bad input: it has `self.ref`; a spec that was changed is another one only in its rules."""
    with pytest.raises(ValueError, match="which is no child before it"):
        Supervisor(a, child("b", Sized, b.ref))
    Supervisor(a.with_(shutdown_s=1), child("c", Sized, a.ref))


@pytest.mark.parametrize(("args", "keywords"), [((), {}), ((1, 2), {}), ((), {"sizes": 1}), ((1,), {"size": 2})])
async def test_arguments_that_the_class_does_not_take(args: tuple[object, ...], keywords: dict[str, object]) -> None:
    """Bad input: at `child(...)` or when it is first made: the `TypeError` names what is wrong, and nothing lives."""

    async def life(system: histrio.System) -> None:
        await system.spawn(histrio.child("sup", histrio.Supervisor, child("x", Sized, *args, **keywords)))

    error = await leaving(life)
    text = ""
    while error is not None:
        text, error = f"{type(error).__name__}: {error}", error.__cause__
    assert text.startswith("TypeError: ")
    assert "argument" in text


async def test_bad_rules_of_a_supervisor_that_is_spawned() -> None:
    """Bad input: `spawn` raises it as it is, and the system goes on."""
    async with histrio.open_system() as system:
        for bad in (child("sup", histrio.Supervisor, a, restarts_max=-1), child("sup", histrio.Supervisor, a, a)):
            with pytest.raises(ValueError, match="Supervisor: "):
                await system.spawn(bad)
        assert system.tree().children == ()


@pytest.mark.parametrize("given", [Worker, "a", None, 3])
async def test_start_child_takes_a_child(given: object) -> None:
    """Bad input: it is a `Refusal`, so the supervisor and its children live on."""
    async with histrio.open_system() as system:
        for sup in (await system.spawn(histrio.Supervisor, a), await system.spawn(histrio.DynamicSupervisor)):
            anything: Any = sup
            with pytest.raises(histrio.Refusal, match=r"start_child takes what child\(\.\.\.\) makes, got "):
                await anything.start_child(given)
            assert sup.control.status() is Phase.RUNNING


async def test_a_late_child_is_checked_as_the_others_are() -> None:
    """Bad input: a ref of no sibling, a significance that means nothing: refused, and the supervisor lives on."""
    stranger = worker("stranger", [])
    bad: list[Any] = [
        child("x", Sized, stranger.ref),
        worker("x", []).with_(restart=histrio.TEMPORARY, significant=True),
    ]
    async with histrio.open_system() as system:
        for sup in (await system.spawn(histrio.Supervisor, a), await system.spawn(histrio.DynamicSupervisor)):
            for spec in bad:
                with pytest.raises(histrio.Refusal, match="'x' is"):
                    await sup.start_child(spec)
            assert await (await sup.start_child(worker("x", []))).ask(Say("hello")) == "x1"


async def test_a_tree_that_is_too_deep_is_refused() -> None:
    """Bad input: a supervisor below a hundred others is not made; what was made above it is taken back."""
    spec: histrio.Child[Any] = a
    for _ in range(105):
        spec = histrio.child("s", histrio.Supervisor, spec)

    async def life(system: histrio.System) -> None:
        with pytest.raises(histrio.ActorFailed, match="100 levels deep"):
            await system.spawn(spec)
        assert system.tree().children == ()

    assert await leaving(life) is None


# -- control -----------------------------------------------------------------------------------------------------------


async def test_resume_of_a_running_actor_and_stop_of_a_stopped_one_do_nothing() -> None:
    """Bad input, S6: no error, however often."""
    async with histrio.open_system() as system:
        ref = await system.spawn(worker("a", []))
        for _ in range(2):
            ref.control.resume()
        assert await ref.ask(Say("hello")) == "a1"
        assert [await ref.control.stop() for _ in range(3)] == [Phase.STOPPED] * 3
        assert await ref.control.kill() is Phase.STOPPED
        assert ref.control.is_done
        assert not ref.control.is_paused


@pytest.mark.parametrize("name", ["pause", "resume", "step", "status", "inspect"])
@pytest.mark.parametrize("end", ["stop", "kill", "fail"])
async def test_control_of_a_dead_ref_tells_why_it_is_dead(name: str, end: str) -> None:
    """Bad input, S6: `ActorStopped` with the reason it ended."""
    async with histrio.open_system() as system:
        a = worker("a", []).with_(restart=histrio.TEMPORARY)
        ref = (await system.spawn(histrio.Supervisor, a)).child(a)
        if end == "fail":
            await ref.tell(Say("fail"))
        else:
            getattr(ref.control, end)(why="for a test")
        await ref.monitor()
        with pytest.raises(histrio.ActorStopped) as raised:
            getattr(ref.control, name)()
        told = {"stop": "stopped (for a test)", "kill": "killed (for a test)", "fail": "failed: ValueError: a failed"}
        assert str(raised.value) == f"/supervisor#1/a has ended: {told[end]}"


@pytest.mark.parametrize("count", [0, -1, 1.5, "1", None, True])
async def test_a_number_of_steps_is_a_whole_number(count: object) -> None:
    """Bad input, S6: nothing changes."""
    async with histrio.open_system() as system:
        ref = await system.spawn(worker("a", []))
        step: Any = ref.control.step
        with pytest.raises(ValueError, match="it must be a whole number, 1 or more") as raised:
            step(count)
        assert f"/a: step({count!r})" in str(raised.value)
        assert await ref.ask(Say("hello")) == "a1"


@pytest.mark.parametrize("grace", [-1, math.nan, "5", True])
async def test_a_grace_is_a_number_of_seconds(grace: object) -> None:
    """Bad input, S6: the actor goes on."""
    async with histrio.open_system() as system:
        ref = await system.spawn(worker("a", []))
        stop: Any = ref.control.stop
        with pytest.raises(ValueError, match="it must be a number of seconds, 0 or more") as raised:
            stop(grace_s=grace)
        assert f"grace_s is {grace!r}" in str(raised.value)
        assert ref.control.status() is Phase.RUNNING


async def test_an_ask_to_itself_in_a_serial_actor_is_refused_at_once(autojump_clock: MockClock) -> None:
    """Bad input, A6: `AskCycle`, not a deadlock; under a supervisor it is a failure like any other."""

    class Serial(Worker):
        serial = True

    async def ask_itself(actor: Worker) -> object:
        return await actor.ref.ask(Say("hello"))

    async with histrio.open_system() as system:
        spec = worker("a", [], kind=Serial)
        ref = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        with trio.fail_after(1):
            assert await ending_of(ref.ask(Do(ask_itself))) == "ActorFailed by AskCycle"
        assert await ref.ask(Say("hello")) == "a2"
        assert trio.current_time() == 0


async def test_what_is_asked_of_the_wrong_kind_of_actor() -> None:
    """Bad input, A16: supervising requests to a worker, a worker's messages to a supervisor: `TypeError`, with both."""
    async with histrio.open_system() as system:
        sup: Any = await system.spawn(histrio.Supervisor, a)
        ref: Any = sup.child(a)
        with pytest.raises(TypeError, match=r"/supervisor#1/a: it takes Do \| Say, not StartChild"):
            await ref.start_child(b)
        with pytest.raises(TypeError, match=r"/supervisor#1: it takes .*, not Say"):
            await sup.ask(Say("hello"))
        await settle()
        assert sup.control.status() is Phase.RUNNING


def test_supervisors_may_not_be_given_what_they_do_not_take() -> None:
    """Bad input: a rule that there is not is Python's own `TypeError`, with its name."""
    with pytest.raises(TypeError, match="restart_max"):
        Supervisor(a, restart_max=3)
    with pytest.raises(TypeError, match="takes 1 positional argument"):
        DynamicSupervisor(a)
    assert "children_max" not in inspect.signature(histrio.Supervisor.__init__).parameters
