"""M2: why resolution came out as it did, held against the resolver."""

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.drawn import mutate, mutations, schemas

from histrio_kernel.machine.around.explaining import Explanation, Why, explain, explain_move
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.resolve import ADD, REMOVE, SET, Op, Resolver
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer

WEATHER = Schema.from_data(
    {
        "wet": {"require": ["water"]},
        "water": {"add": ["cold"]},
        "cold": {},
        "dry": {"remove": ["water"]},
        "warm": {"require": ["sun"]},
        "sun": {},
    }
)


def explained(active: str, op: Op, called: str) -> Explanation:
    """By names."""
    return explain(WEATHER, [*map(WEATHER.index, active.split())], op, [*map(WEATHER.index, called.split())])


def assert_sound(found: Explanation) -> None:
    """Each reason is one of the relations, and whatever is missing has one."""
    schema = found.schema
    for reason in found.reasons:
        relation = {
            Why.IMPLIED: schema.add[reason.by],
            Why.LACKS: schema.require[reason.state],
            Why.REMOVED: schema.removed_by[reason.state],
        }[reason.why]
        assert (reason.state if reason.why is Why.IMPLIED else reason.by) in relation
    for state in found.missing:
        assert found.because(state)
    came = set(found.target).difference(found.active, found.called)
    assert came <= {reason.state for reason in found.reasons if reason.why is Why.IMPLIED}


@settings(max_examples=count("machine_examples"))
@given(st.data())
def test_an_explanation_comes_to_what_the_resolver_says(data: st.DataObject) -> None:
    """M2: explained and resolved outcomes are the same, each reason is a relation, each refusal has a reason."""
    schema = data.draw(schemas())
    states = st.lists(st.integers(0, len(schema) - 1), unique=True, max_size=6)
    active, called, barred = data.draw(states), data.draw(states), data.draw(states)
    op = data.draw(st.sampled_from([ADD, REMOVE, SET]))

    found = explain(schema, active, op, called, frozenset(barred))

    assert found.target == Resolver(schema).resolve(active, op, called, frozenset(barred))
    if not barred:
        assert_sound(found)


class Explainer(Tracer):
    """Explains every transition and compares."""

    def __init__(self) -> None:
        self.seen = 0

    def end(self, transition: Transition) -> None:
        found = explain_move(transition.move)
        self.seen += 1
        if transition.move.refusal is None:
            assert found.target == transition.target
        else:
            assert found.missing


@settings(max_examples=count("machine_examples"))
@given(st.data())
def test_every_transition_is_explained(data: st.DataObject) -> None:
    """M2: of mutations, auto transitions and refusals of a machine, the explanation comes to what the machine did."""
    schema = data.draw(schemas())
    machine, explainer = Machine(schema), Explainer()
    machine.attach(explainer)

    for mutation in (drawn := data.draw(mutations(schema, 8))):
        mutate(machine, mutation)

    assert machine.more is not None
    assert machine.more.tracers == (explainer,), "it raised and was detached"
    assert explainer.seen >= len(drawn)


def test_reasons_are_told_in_words() -> None:
    """M2: who implied, removed or failed whom, and the chain of causes back to the first."""
    assert explained("", ADD, "water wet").lines() == ("cold: implied by water",)
    assert explained("water wet", ADD, "dry").lines() == ("water: removed by dry", "wet: requires water")
    assert explained("dry", ADD, "wet").because(WEATHER.index("wet")) == "wet requires water"
    refused = explained("dry", SET, "warm sun dry")
    assert refused.missing == ()
    assert refused.reasons == ()
    assert explained("", ADD, "dry water").missing == (WEATHER.index("water"),)
    assert (
        explained("", ADD, "dry wet water").because(WEATHER.index("wet")) == "wet requires water, and dry removes water"
    )


def test_a_multi_that_is_called_again_implies_again() -> None:
    """M2: it brings its states each time that it is called, and not when it is only active."""
    schema = Schema.from_data({"m": {"multi": True, "add": ["a"]}, "a": {}, "b": {}})
    assert explain(schema, [0], ADD, [0]).lines() == ("a: implied by m",)
    assert explain(schema, [0], ADD, [2]).lines() == ()


def test_a_circle_of_requirements_is_told_once() -> None:
    """M2: two states that require each other and cannot come are explained, and the explanation ends."""
    schema = Schema.from_data({"a": {"require": ["b"]}, "b": {"require": ["a"]}})

    assert explain(schema, [], ADD, [0]).because(0) == "a requires b"
    assert attrs.asdict(explain(schema, [], ADD, [0]))["target"] == ()
