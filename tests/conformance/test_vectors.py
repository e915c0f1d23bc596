"""The golden cases of the original, replayed; and the runner that others use for theirs."""

import json
from itertools import islice
from pathlib import Path

import pytest
from tests.conformance.run_vectors import OWN, VECTORS, cases_of, failures, main, schema_of
from tests.effort import count

from histrio_kernel.machine.core.automaton import EDGES_MAX, Automaton
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Schema


@pytest.mark.parametrize(("path", "cases"), [(OWN[0], 2740), (OWN[1], 584)], ids=["relations", "handlers"])
def test_golden_cases(path: Path, cases: int) -> None:
    """M2, M3, M5: every recorded case comes out as recorded."""
    outcomes = [failures(case, EDGES_MAX) for case in cases_of(path)]

    assert [outcome for outcome in outcomes if outcome] == []
    assert len(outcomes) == cases


@pytest.mark.parametrize("path", OWN, ids=["relations", "handlers"])
def test_golden_cases_without_memory(path: Path) -> None:
    """M11: they do so too when the automaton forgets all the time; a quick run takes some of them from everywhere."""
    share = count("golden_share")

    outcomes = [failures(case, 3) for case in islice(cases_of(path), 0, None, 100 // share)]

    assert outcomes
    assert [outcome for outcome in outcomes if outcome] == []


@pytest.mark.parametrize("edges_max", [EDGES_MAX, 3])
@pytest.mark.parametrize("number", range(3))
def test_the_script_of_the_benchmark(number: int, edges_max: int) -> None:
    """M2: the script on 20 states ends where the rules say, after one pass, two and ten."""
    script = json.loads((VECTORS / "machine-bench.json").read_text(encoding="utf-8"))
    expected = script["expect"][number]
    machine = Machine(Automaton(schema_of(script), edges_max=edges_max))
    mutate = {"add": machine.add, "remove": machine.remove, "set": machine.set, "toggle": machine.toggle}

    results = [
        bool(mutate[step["op"]](*step["states"])) for _ in range(expected["passes"]) for step in script["script"]
    ]

    assert results.count(True) == expected["executed"]
    assert results.count(False) == expected["canceled"]
    assert sorted(machine.names) == sorted(expected["active"])
    assert list(machine.time) == expected["time"]


def test_the_runner_tells_of_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """M2: a case that does not come out as recorded is shown with its difference, counted, and makes the exit code 1."""
    good = next(cases_of(OWN[0]))
    bad = json.loads(json.dumps(good))
    bad["steps"][0]["time"][0] += 1
    path = tmp_path / "two.jsonl"
    path.write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n", encoding="utf-8")

    code = main([str(path)])

    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert lines[-1] == "1 passed, 1 failed"
    assert "step 1" in lines[1]
    assert "(bare): time" in lines[1]


def test_a_schema_of_a_case_has_its_order() -> None:
    """M10: the states of a case are numbered as the case has them, with its exception and its quiet states."""
    schema = schema_of({"states": ["B", "Exception", "Heartbeat"], "schema": {"B": {}, "Heartbeat": {}}})

    assert schema.names == ("B", "Exception", "Heartbeat")
    assert schema.exception == 1
    assert schema.quiet == {2}
    assert isinstance(schema, Schema)
