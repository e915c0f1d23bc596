"""D3, D6: a simulated test is a test like any other for pytest, whatever other plugins there are."""

import subprocess
import sys
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from histrio.testing import World, explore, sim_test
from histrio.testing.workload import sim_given

INI: Final = "[pytest]\ntrio_mode = true\naddopts = -p no:cacheprovider\n"

PASSING: Final = """
import pytest
import trio
from histrio.testing import World, sim_test

EVENTS = []


@pytest.fixture
def number():
    EVENTS.append("made")
    yield 7
    EVENTS.append("unmade")


@pytest.fixture(scope="module", params=["a", "b"])
def letter(request):
    return request.param


@sim_test(schedules=5)
async def test_plain(world):
    await trio.sleep(3600)


@pytest.mark.parametrize("times", [1, 2, 3])
@sim_test(schedules=5)
async def test_parametrized(world, number, times):
    EVENTS.append("run")
    assert number * times in (7, 14, 21)


@sim_test(schedules=5)
async def test_of_a_fixture_with_parameters(letter, world, tmp_path, monkeypatch):
    assert letter in "ab"
    assert tmp_path.is_dir()


class TestClass:
    word = "class"

    @pytest.fixture
    def own(self):
        return self.word

    @sim_test(schedules=5)
    async def test_method(self, world, own):
        assert self.word == own

    @pytest.mark.parametrize("times", [1, 2])
    @sim_test(schedules=5)
    async def test_parametrized_method(self, world: World, times: int) -> None:
        assert times


@pytest.mark.skip(reason="not now")
@sim_test(schedules=5)
async def test_skipped(world):
    assert False


@pytest.mark.xfail(strict=True, raises=ZeroDivisionError)
@sim_test(schedules=5)
async def test_that_fails_as_expected(world):
    1 / 0


async def test_of_pytest_trio(autojump_clock):
    await trio.sleep(3600)


@pytest.mark.anyio
@sim_test(schedules=5)
async def test_that_anyio_leaves_alone(world):
    await trio.sleep(3600)


def test_fixtures_are_made_once_for_a_test():
    assert EVENTS.count("made") == EVENTS.count("unmade") == 3
    assert EVENTS.count("run") == 3 * (5 + 1), "each schedule once, and the first one twice"
"""

FAILING: Final = """
import trio
from histrio.testing import sim_test


@sim_test()
async def test_lost_update(world):
    count = 0

    async def add():
        nonlocal count
        before = count
        await trio.lowlevel.checkpoint()
        count = before + 1

    async def add_later():
        for _ in range(STEPS):
            await trio.lowlevel.checkpoint()
        await add()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(add, name="ann")
        nursery.start_soon(add_later, name="ben")
    assert count == 2
"""

COUNTED: Final = """
import trio
from histrio.testing import sim_test

RUNS = []


@sim_test(schedules=5)
async def test_simulated(world):
    RUNS.append(world)
    async with trio.open_nursery() as nursery:
        for name in "abcde":  # so that there are more schedules than anybody asks for
            nursery.start_soon(trio.sleep, 0, name=name)


def test_runs():
    print("runs:", len(RUNS))
"""


@pytest.mark.parametrize("without", [(), ("-p", "no:trio"), ("-p", "no:anyio")], ids=["all", "no trio", "no anyio"])
def test_it_is_a_plain_test_beside_other_plugins(pytester: pytest.Pytester, without: tuple[str, ...]) -> None:
    """D6: fixtures, classes, parameters and marks work; pytest-trio and anyio take their own tests and not ours."""
    ini, text = INI, PASSING
    if "no:trio" in without:
        ini, text = (
            INI.replace("trio_mode = true\n", ""),
            text.replace("async def test_of_pytest_trio", "async def not_a_test"),
        )
    if "no:anyio" in without:
        ini += "markers = anyio\n"
    pytester.makeini(ini)
    pytester.makepyfile(text)

    result = pytester.runpytest_subprocess("-W", "error", "--strict-markers", *without)

    result.assert_outcomes(passed=12 - ("no:trio" in without), skipped=1, xfailed=1)


def test_a_failure_shows_its_schedule_and_a_token_that_replays_it(pytester: pytest.Pytester) -> None:
    """D3: what failed, who went on before whom, and the command that runs this one schedule."""
    pytester.makeini(INI)
    pytester.makepyfile(FAILING.replace("STEPS", "3"))
    found = pytester.runpytest_subprocess("-W", "error")
    found.assert_outcomes(failed=1)
    text = found.stdout.str()
    assert "assert 1 == 2" in text
    assert "first in, first out, except:" in text
    assert "ann goes on only when nobody else can" in text or "ben goes on before ann" in text
    token = text.partition("--sim-replay=")[2].split()[0]

    again = pytester.runpytest_subprocess("-W", "error", f"--sim-replay={token}")
    again.assert_outcomes(failed=1)
    assert "assert 1 == 2" in again.stdout.str()

    fifo = pytester.runpytest_subprocess("-W", "error", "--sim-schedules=1")
    fifo.assert_outcomes(passed=1)


def test_a_token_that_is_none_is_refused_in_the_test(pytester: pytest.Pytester) -> None:
    """D3: with what to do."""
    pytester.makeini(INI)
    pytester.makepyfile(FAILING.replace("STEPS", "3"))

    result = pytester.runpytest_subprocess("--sim-replay=sim1.abc")

    result.assert_outcomes(failed=1)
    assert "Copy it again, whole" in result.stdout.str()


@pytest.mark.parametrize(
    ("option", "runs"), [((), 5 + 1), (("--sim-schedules=2",), 2 + 1), (("--sim-schedules=60",), 60 + 2)]
)
def test_the_number_of_schedules_can_be_asked_for(
    pytester: pytest.Pytester, option: tuple[str, ...], runs: int
) -> None:
    """D3: fewer while one works on it, more at night; one run in fifty is made twice."""
    pytester.makeini(INI)
    pytester.makepyfile(COUNTED)

    result = pytester.runpytest_subprocess("-s", *option)

    result.assert_outcomes(passed=2)
    assert f"runs: {runs}" in result.stdout.str()


def test_no_schedules_is_refused(pytester: pytest.Pytester) -> None:
    """D3: a test that tries nothing would pass."""
    result = pytester.runpytest_subprocess("--sim-schedules=0")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--sim-schedules is 0; it must be 1 or more" in result.stderr.str()


def test_the_plugin_imports_nothing_but_pytest() -> None:
    """D6: who has no simulated test does not pay for it."""
    program = (
        "import sys, pytest; before = set(sys.modules); import histrio_pytest; print(sorted({*sys.modules} - before))"
    )

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "['histrio_pytest']"


def test_a_run_without_simulations_does_not_load_the_simulator(pytester: pytest.Pytester) -> None:
    """D6: nor Histrio, nor Trio, though the plugin is there and knows its options."""
    pytester.makepyfile(
        """
        import sys

        def test_what_is_loaded(pytestconfig):
            assert pytestconfig.getoption("--sim-schedules") == 3
            assert not {"trio", "histrio", "histrio_kernel", "histrio.testing", "hypothesis"} & set(sys.modules)
        """
    )

    result = pytester.runpytest_subprocess(
        "-p", "no:trio", "-p", "no:anyio", "-p", "no:hypothesispytest", "--sim-schedules=3"
    )

    result.assert_outcomes(passed=1)


# -- in this process ----------------------------------------------------------------------------------------------------


def test_what_is_no_simulated_test_is_refused() -> None:
    """The error tells how it is to look."""
    with pytest.raises(TypeError, match=r"is not async: a simulated test is `async def plain\(world\)"):

        @sim_test()  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        def plain(world: World) -> None:
            """It is not async."""

    with pytest.raises(TypeError, match="has no parameter `world`"):

        @sim_test()
        async def worldless() -> None:
            """It has no world."""


def test_it_can_be_called() -> None:
    """D3: it is a function; what it raises has the report as a note."""

    @sim_test(schedules=5)
    async def fails(world: World) -> None:
        """It does."""
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        fails()
    assert fails.__name__ == "fails"
    assert fails.__doc__ == "It does."
    assert any("--sim-replay=sim1." in note for note in caught.value.__notes__)


# -- with Hypothesis ----------------------------------------------------------------------------------------------------

FEW: Final = settings(max_examples=20, database=None, deadline=None)


def test_hypothesis_shrinks_the_workload_and_the_simulator_the_schedule() -> None:
    """D6: the least example that fails in some schedule, and the shortest of its schedules."""
    drawn: list[list[int]] = []

    @sim_given(schedules=3, settings=FEW, numbers=st.lists(st.integers(0, 100)))
    async def sums(world: World, numbers: list[int]) -> None:
        drawn.append(numbers)
        assert sum(numbers) < 10

    with pytest.raises(AssertionError) as caught:
        sums()
    assert drawn[-1] == [10]
    assert any("numbers=[10]" in note for note in caught.value.__notes__)
    assert any("first in, first out fails already" in note for note in caught.value.__notes__)


def test_each_example_has_schedules_of_its_own() -> None:
    """D6: they come from the example, so the same example has the same ones."""
    worlds: dict[int, list[str]] = {}

    @sim_given(schedules=4, settings=FEW, number=st.integers(0, 50))
    async def draws(world: World, number: int) -> None:
        worlds.setdefault(number, []).append(str(world.simulation.seed))

    draws()
    first = {number: list(seeds) for number, seeds in worlds.items()}
    draws()

    assert len({tuple(seeds) for seeds in first.values()}) == len(first) > 1
    assert all(seeds[: len(first[number])] == first[number] for number, seeds in worlds.items() if number in first)


def test_a_fixture_has_no_say_in_the_schedules() -> None:
    """D6: one that prints as its address would give others in each process."""
    seeds: dict[object, dict[int, int]] = {}

    @sim_given(schedules=1, settings=settings(FEW, derandomize=True), number=st.integers(0, 50))
    async def draws(world: World, fixture: object, number: int) -> None:
        seeds.setdefault(fixture, {})[number] = world.simulation.seed

    one, other = object(), object()
    draws(fixture=one)
    draws(fixture=other)

    assert seeds[one] == seeds[other]


def test_drawn_tests_take_fixtures_and_live_in_classes(pytester: pytest.Pytester) -> None:
    """D6: what Hypothesis draws, and what pytest makes, in one test."""
    pytester.makeini(INI)
    pytester.makepyfile(
        """
        import pytest
        from hypothesis import settings, strategies as st
        from histrio.testing.workload import sim_given

        FEW = settings(max_examples=5, database=None, deadline=None)


        @pytest.fixture(scope="module")
        def ten():
            return 10


        @pytest.mark.parametrize("times", [1, 2])
        @sim_given(schedules=2, settings=FEW, number=st.integers(0, 5))
        async def test_drawn(world, ten, number, times):
            assert number < ten * times


        class TestClass:
            @sim_given(schedules=2, settings=FEW, number=st.integers(0, 5))
            async def test_drawn_method(self, world, ten, number):
                assert number < ten
        """
    )

    result = pytester.runpytest_subprocess("-W", "error")

    result.assert_outcomes(passed=3)


def test_the_token_of_a_drawn_test_replays_its_example(pytester: pytest.Pytester) -> None:
    """D3, D6: the example is drawn again from Hypothesis's database, and only it is run, along that schedule."""
    pytester.makeini(INI)
    pytester.makepyfile(
        """
        import trio
        from hypothesis import settings, strategies as st
        from histrio.testing.workload import sim_given

        RUNS = []


        @sim_given(schedules=30, settings=settings(deadline=None), times=st.integers(1, 9))
        async def test_lost_update(world, times):
            RUNS.append(times)
            count = 0

            async def add():
                nonlocal count
                before = count
                await trio.lowlevel.checkpoint()
                count = before + 1

            async with trio.open_nursery() as nursery:
                for number in range(times):
                    nursery.start_soon(add, name=f"adder {number}")
            assert count == times, f"{times} came to {count}"


        def test_runs():
            print("examples:", sorted(set(RUNS)))
        """
    )
    found = pytester.runpytest_subprocess("-s")
    found.assert_outcomes(failed=1, passed=1)
    assert "2 came to 1" in found.stdout.str()
    token = found.stdout.str().partition("--sim-replay=")[2].split()[0]

    again = pytester.runpytest_subprocess("-s", f"--sim-replay={token}")
    again.assert_outcomes(failed=1, passed=1)
    assert "2 came to 1" in again.stdout.str()
    assert "examples: [2]" in again.stdout.str()

    other = pytester.runpytest_subprocess("--sim-replay=sim1." + "A" * 3)
    other.assert_outcomes(failed=1, passed=1)


def test_a_token_of_another_example_is_refused(pytester: pytest.Pytester) -> None:
    """D3: a replay that ran nothing would pass."""
    pytester.makeini(INI)
    pytester.makepyfile(
        """
        import histrio.testing
        from hypothesis import settings, strategies as st
        from histrio.testing.workload import sim_given


        @sim_given(settings=settings(max_examples=5, database=None), number=st.integers(0, 50))
        async def test_drawn(world, number):
            pass
        """
    )

    async def fails(world: World) -> None:
        raise ValueError

    token = explore(fails).token
    result = pytester.runpytest_subprocess(f"--sim-replay={token}")

    result.assert_outcomes(failed=1)
    assert "no example that Hypothesis drew for test_drawn is the one of" in result.stdout.str()
