"""`histrio replay-check` and `histrio inspect`: the code of a module against the journal that an older one has written.

Each has a module and a real SQLite file, which a process of its own has written; the code changes in between, as by a deploy.
"""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from histrio.cli import main

WAIT_S = 60

SHOP = """
    import pathlib
    import sys

    import attrs
    import trio

    import histrio
    from histrio.durable import DurableActor, open_tree
    from histrio_kernel.journal.sqlite import open_sqlite

    print("imported")


    @attrs.frozen
    class Sell(histrio.Request[int]):
        title: str


    async def charge(cents):
        with pathlib.Path("charged").open("a") as file:
            file.write(f"{cents}\\n")
        if cents == 5:
            await trio.sleep_forever()
        return cents


    class Till(DurableActor[Sell], behaviour="shop.till"):
        def __init__(self, name):
            self.name = name
            self.sold = []

        @histrio.handler(Sell)
        async def sell(self, sell):
            print("selling", sell.title)
            paid = await self.io(charge, len(sell.title))
            self.sold.append(sell.title)
            return paid


    class Stall(Till, behaviour="shop.stall"):
        pass


    async def main(system):
        async with open_sqlite("shop.db") as journal, open_tree(system, journal) as tree:
            till = await tree.spawn(Till, "front", name="till")
            await tree.spawn(Stall, "market\\nplace", name="stall")
            await till.ask(Sell("Emma"))
            await till.ask(Sell("Middlemarch"))
            question = till.ask(Sell("Dracu"))
            while not pathlib.Path("charged").read_text().endswith("5\\n"):
                await trio.sleep(0.001)
            question.cancel()


    if __name__ == "__main__":
        histrio.run(main)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the module, and a journal that it has written."""
    directory = tmp_path_factory.mktemp("shop")
    (directory / "shop.py").write_text(textwrap.dedent(SHOP), encoding="utf-8")
    (directory / "run.py").write_text("import histrio, shop\nhistrio.run(shop.main)\n", encoding="utf-8")
    subprocess.run([sys.executable, "run.py"], cwd=directory, check=True, timeout=WAIT_S, capture_output=True)
    return directory


@pytest.fixture
def shop(written: Path, tmp_path: Path) -> Path:
    """A copy of that for one test."""
    for name in ("shop.py", "shop.db", "charged"):
        (tmp_path / name).write_bytes((written / name).read_bytes())
    return tmp_path


Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def tool(shop: Path) -> Tool:
    """Does `histrio ...` in that directory; nothing in it may change by that."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        before = {name: (shop / name).read_bytes() for name in ("shop.db", "charged")}
        command = [sys.executable, "-m", "histrio.cli", *arguments]
        done = subprocess.run(command, cwd=shop, capture_output=True, text=True, check=False, timeout=WAIT_S)
        assert {name: (shop / name).read_bytes() for name in before} == before
        return done

    return run


def deploy(shop: Path, old: str, new: str) -> None:
    """Change the code."""
    path = shop / "shop.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# -- replay-check --------------------------------------------------------------------------------------------------------


def test_code_that_does_the_same_is_ok(tool: Tool) -> None:
    """J7: a line for each living actor, exit code 0; no effect begins, and what the actors print is on stderr."""
    done = tool("replay-check", "shop", "shop.db")

    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["ok       /stall: 1 records", "ok       /till: 11 records"],
    )
    assert done.stderr.splitlines()[-1] == "histrio: shop.db: 2 living actors; none of them would be quarantined"
    assert "selling Emma" in done.stderr
    assert "imported" in done.stderr


def test_code_that_differs_is_named(shop: Path, tool: Tool) -> None:
    """J7: the whole error with the record, both sides, and the line of the code; the others are ok; exit code 1."""
    deploy(shop, "self.io(charge, len(sell.title))", "self.io(charge, 100 + len(sell.title))")

    done = tool("replay-check", "shop", "shop.db")
    ok, differs = done.stdout.splitlines()

    assert (done.returncode, ok) == (1, "ok       /stall: 1 records")
    assert differs.startswith(
        "differs  /till: record 3 of its journal is USE 2.1 ('charge', 'AT_LEAST_ONCE', (4,)), and its code did "
        "USE 2.1 ('charge', 'AT_LEAST_ONCE', (104,)), at "
    )
    assert "shop.py:" in differs
    assert "in sell" in differs
    assert differs.endswith("Mend the code and start again")
    assert done.stderr.splitlines()[-1] == "histrio: shop.db: 2 living actors; 1 of them would be quarantined"


def test_an_actor_may_be_named_instead_of_its_module(tool: Tool) -> None:
    """J7: as in `histrio run`; all living actors are replayed, whatever class they are of."""
    done = tool("replay-check", "shop:Till", "shop.db")

    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("class Stall(Till, behaviour", "class Booth(Till, behaviour", ["ok       /stall", "ok       /till"]),
        ('behaviour="shop.stall"', 'behaviour="shop.booth"', ["fails    /stall is a 'shop.stall'", "ok       /till"]),
        ("__init__(self, name)", "__init__(self)", ["fails    /stall: TypeError: ", "fails    /till: TypeError: "]),
        ("    title: str", "    name: str", ["ok       /stall", "fails    /till"]),
        ("self.sold.append(sell.title)", "raise OSError('no')", ["ok       /stall", "differs  /till: record 5 of"]),
        (
            "paid = await",
            "await trio.sleep_forever(); paid = await",
            ["ok       /stall", "fails    /till: a handler has"],
        ),
    ],
)
def test_whatever_would_stop_an_actor_is_a_line(shop: Path, tool: Tool, old: str, new: str, lines: list[str]) -> None:
    """J7: classes that are gone or changed, errors, waits that nobody recorded: one line for each actor."""
    deploy(shop, old, new)

    done = tool("replay-check", "shop", "shop.db", "--seconds-max", "0.5")

    assert len(done.stdout.splitlines()) == len(lines), done.stdout
    for said, line in zip(done.stdout.splitlines(), lines, strict=True):
        assert said.startswith(line)
    assert done.returncode == any(not line.startswith("ok") for line in lines)
    assert "Traceback" not in done.stderr


def test_an_interrupt_ends_it_quietly(shop: Path) -> None:
    """SIGINT while a past is done again: 130, and no traceback."""
    deploy(shop, "paid = await", "await trio.sleep_forever(); paid = await")
    command = [sys.executable, "-m", "histrio.cli", "replay-check", "shop", "shop.db"]
    with subprocess.Popen(command, cwd=shop, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "selling" in line:
                break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_S)

    assert (process.returncode, said) == (130, "")


# -- inspect -------------------------------------------------------------------------------------------------------------


def test_inspect_shows_what_an_actor_was(tool: Tool) -> None:
    """J7: its attributes as they were at that record, and the handlers that wait, each with what it waits for."""
    done = tool("inspect", "shop.db", "/till", "--at", "7")

    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "/till (shop.till) after record 7 of 11",
            "attributes:",
            "  name = 'front'",
            "  sold = ['Emma']",
            "waits:",
            "  Sell(title='Middlemarch') (record 6): 6.1 charge",
        ],
    )


def test_inspect_shows_the_newest_state_by_default(tool: Tool) -> None:
    """J7: without `--at` that is the state after the last record; a line break in a value makes no second line."""
    till, stall = (tool("inspect", "shop.db", path).stdout.splitlines() for path in ("/till", "/stall"))

    assert till[2:] == [
        "  name = 'front'",
        "  sold = ['Emma', 'Middlemarch']",
        "waits:",
        "  Sell(title='Dracu') (record 10): 10.1 charge",
    ]
    assert stall[2:] == ["  name = 'market\\nplace'", "  sold = []", "waits: for messages"]


def test_inspect_finds_the_code_or_is_told_where_it_is(shop: Path, tool: Tool) -> None:
    """J7: by the journal, which has the module that the class was in; who has moved it says where it is now."""
    (shop / "shop.py").rename(shop / "store.py")

    lost = tool("inspect", "shop.db", "/stall")
    found = tool("inspect", "shop.db", "/stall", "--code", "store")

    assert (lost.returncode, lost.stdout) == (2, "")
    assert lost.stderr.startswith("histrio: there is no module 'shop' in ")
    assert lost.stderr.endswith("; if the class of /stall is elsewhere now, name its module by --code MODULE\n")
    assert (found.returncode, found.stdout.splitlines()[0]) == (0, "/stall (shop.stall) after record 1 of 1")


def test_a_program_that_was_run_as_a_module_is_found(shop: Path, tool: Tool) -> None:
    """J7: its classes call their module `__main__`, and it has a name; that of a file has none."""
    single = """
        import histrio
        from histrio.durable import DurableActor, open_tree
        from histrio_kernel.journal.sqlite import open_sqlite

        class Only(DurableActor[int], behaviour="only"):
            pass

        async def main(system):
            async with open_sqlite("only.db") as journal, open_tree(system, journal) as tree:
                await tree.spawn(Only, name="only")

        if __name__ == "__main__":
            histrio.run(main)
    """
    (shop / "only.py").write_text(textwrap.dedent(single), encoding="utf-8")

    def ran_by(*arguments: str) -> "subprocess.CompletedProcess[str]":
        (shop / "only.db").unlink(missing_ok=True)
        subprocess.run([sys.executable, *arguments], cwd=shop, check=True, timeout=WAIT_S)
        return tool("inspect", "only.db", "/only")

    assert ran_by("-m", "only").returncode == 0
    lost = ran_by("only.py")
    assert lost.returncode == 2
    assert "does not say in which module the class of /only is; name it by --code MODULE" in lost.stderr
    assert tool("inspect", "only.db", "/only", "--code", "only").returncode == 0


def test_inspect_says_what_differs(shop: Path, tool: Tool) -> None:
    """J7: what the code does not do again has no state; before that record it has."""
    deploy(shop, "return paid", "return -paid")

    differs, before = (tool("inspect", "shop.db", "/till", "--at", at) for at in ("5", "3"))

    assert (differs.returncode, differs.stdout) == (1, "")
    assert "record 5 of its journal is SEND ?! Value(4), and its code did SEND ?! Value(-4)" in differs.stderr
    assert before.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["replay-check", "shup", "shop.db"], "there is no module 'shup' in "),
        (["replay-check", "shop:Tell", "shop.db"], "the module 'shop' has no 'Tell'; did you mean 'Till'?"),
        (["replay-check", "shop:Sell", "shop.db"], "shop:Sell is no class of durable actors (a subclass of"),
        (["replay-check", "shop", "nothing.db"], "{here}/nothing.db: there is no such journal"),
        (["inspect", "nothing.db", "/till"], "{here}/nothing.db: there is no such journal"),
        (["inspect", "shop.db", "/tell"], "the journal has no actor /tell; did you mean /till?"),
        (["inspect", "shop.db", "/till", "--at", "12"], "/till has records 1 to 11, and none of number 12"),
    ],
)
def test_what_cannot_be_used_is_one_line(shop: Path, tool: Tool, arguments: list[str], line: str) -> None:
    """It is named, exit code 2."""
    done = tool(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"histrio: {line.format(here=shop)}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay-check", "shop", "shop.db", "--seconds-max", "0"], "'0' is no number of seconds, more than 0"),
        (["inspect", "shop.db", "/till", "--at", "now"], "invalid int value: 'now'"),
        (["inspect", "shop.db"], "the following arguments are required: PATH"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """They are named, before anything is imported; exit code 2."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

    assert said in capsys.readouterr().err
