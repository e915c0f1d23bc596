"""The programs of chronoflow's README, as we have them: each prints the same every time, and nothing on stderr."""

import pytest
from tests.effort import count
from tests.examples.test_examples import run


def test_greeter() -> None:
    """A process of two rounds greets two, tells what happened to it in signals, and refuses the third."""
    assert run("examples.chronoflow.greeter").splitlines() == [
        "greeting: no. 1, good day to Ada",
        "greeting: no. 2, good day to Grace",
        "signal 1: start",
        "signal 2: resume",
        "signal 3: receive",
        "signal 4: send",
        "signal 5: receive",
        "signal 6: send",
        "signal 7: control",
        "signal 8: stop",
        "too late: /greeter has ended: stopped (its run() returned); it takes no more messages",
    ]


def test_echo() -> None:
    """Five rounds of a word between two, one each virtual second; then all is done, and one echo was not heard."""
    rounds = [
        f"{second} s: {path} has 'hello' from {other}, {second + 1}"
        for second in range(5)
        for path, other in (("/left", "/right"), ("/right", "/left"))
    ]

    assert run("examples.chronoflow.echo").splitlines() == [
        *rounds,
        "done",
        "the last 'hello' to /left was not heard",
    ]


def test_lookahead() -> None:
    """The client selects the answers from the last to the first; asks give them in any order without that."""
    assert run("examples.chronoflow.lookahead").splitlines() == [
        "Answer(number=102, text='cannot stop')",
        "Answer(number=101, text='0 s')",
        "Answer(number=100, text='0 s')",
        "102 cannot stop",
        "101 0 s",
        "100 0 s",
    ]


def test_family() -> None:
    """S4: three children hear what their parent hears and does not read; the parent joins them from the last."""
    assert run("examples.chronoflow.family").splitlines() == [
        "the parent has heard one",
        "/parent/cid has heard one, two, three",
        "/parent/ben has heard one, two, three",
        "/parent/ann has heard one, two, three",
        "nobody is left for four",
        "/parent has not read two",
        "/parent has not read three",
    ]


def test_too_early() -> None:
    """What is sent to nobody is refused with the way out; what comes while an actor starts is heard."""
    not_started, unbound, *rest = run("examples.chronoflow.too_early").splitlines()

    assert not_started.startswith("NotStarted: Listener.ref was used before the actor had a place in a system.")
    assert not_started.endswith("actors begin by `system.spawn(...)`")
    assert unbound.startswith("Unbound: the ref to listener belongs to no system: it stands for the child 'listener'")
    assert rest == [
        "the listener has started",
        "the listener hears 'while it starts'",
        "the listener hears 'in time'",
    ]


@pytest.mark.parametrize("name", ["greeter", "echo", "lookahead", "family", "too_early"])
@pytest.mark.slow
def test_each_prints_the_same_every_time(name: str) -> None:
    """Trio runs tasks in an order of chance; what these programs print does not depend on it."""
    assert len({run(f"examples.chronoflow.{name}") for _ in range(count("same_every_time"))}) == 1
