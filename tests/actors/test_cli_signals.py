"""`histrio record` and `histrio signals`: what a run leaves behind, and how it is shown."""

from __future__ import annotations

import contextlib
import io
import json
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from histrio.cli import main

SHOP = """
    import attrs
    import histrio


    @attrs.frozen
    class Sell:
        what: str


    class Store(histrio.Actor[Sell]):
        async def receive(self, message: Sell) -> None:
            if message.what == "nothing":
                raise ValueError("no such thing")


    class Shop(histrio.Actor[str]):
        async def started(self) -> None:
            await self.ref.tell("open")

        async def receive(self, message: str) -> None:
            store = await self.spawn(Store, name="store")
            await store.tell(Sell("bread"))
            self.ref.control.stop()


    class Fails(histrio.Actor[Sell]):
        async def started(self) -> None:
            await self.ref.tell(Sell("nothing"))

        receive = Store.receive
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a module of actors, which is the current one."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "shop", raising=False)  # that of another file's tests, in the same process
    yield tmp_path
    sys.modules.pop("shop", None)


def histrio(shop: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`histrio ...` to its end."""
    command = [sys.executable, "-m", "histrio.cli", *arguments]
    return subprocess.run(command, cwd=shop, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the shop has done, in a process of its own."""
    directory = tmp_path_factory.mktemp("shop")
    (directory / "shop.py").write_text(textwrap.dedent(SHOP), encoding="utf-8")
    done = histrio(directory, "record", "run.signals", "shop:Shop")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    count = len(shown(directory / "run.signals"))
    assert done.stderr.splitlines()[-1] == f"histrio: {count} signals are in run.signals"
    return (directory / "run.signals").read_bytes()


@pytest.fixture
def recording(recorded: bytes, tmp_path: Path) -> Path:
    """That, in a file for one test, where there is none of the classes."""
    (tmp_path / "run.signals").write_bytes(recorded)
    return tmp_path / "run.signals"


def shown(path: Path, *arguments: str) -> list[str]:
    """The lines of `histrio signals`, without their times."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(["signals", str(path), *arguments])
    assert (code, err.getvalue()) == (0, "")
    return [re.sub(r"^\d\d:\d\d:\d\d\.\d{6}  ", "", line) for line in out.getvalue().splitlines()]


def test_a_run_is_recorded_and_shown(recording: Path) -> None:
    """J1: from the first spawn to the last stop, a line each, with its handler and what it follows from."""
    lines = shown(recording)

    assert lines[:6] == [
        "/  1  SPAWN  '/shop'",
        "/shop  1  SEND  ('/shop', 'open')",
        "/shop  2  START    from /:1",
        "/shop  3  RECEIVE  'open'  from /shop:1",
        "/shop  4  SPAWN  '/shop/store'  in 3",
        "/shop/store  1  START    from /shop:4",
    ]
    sends = [line.split("  ")[1] for line in lines if "SEND  ('/shop/store'" in line]
    assert [f"/shop/store  3  RECEIVE  Sell(what='bread')  from /shop:{number}" in lines for number in sends] == [True]
    assert "STOP  Reason(end=End.STOPPED, why='it was asked to'" in lines[-1]


def test_some_of_the_signals(recording: Path) -> None:
    """J1: of some actors, of some kinds, from some number on; all three together."""
    everything = shown(recording)

    assert shown(recording, "--path", "/shop/*") == [each for each in everything if each.startswith("/shop/store")]
    kinds = shown(recording, "--kind", "spawn", "--kind", "START")
    assert [each.split("  ")[2] for each in kinds] == ["SPAWN", "START", "SPAWN", "START"]
    assert shown(recording, "--since", "3", "--path", "/shop", "--kind", "receive") == [everything[3]]


def test_signals_as_json(recording: Path) -> None:
    """J1: for programs, an object a line."""
    lines = [json.loads(line) for line in shown(recording, "--json", "--kind", "receive", "--path", "/shop/store")]

    assert len(lines) == 1
    assert lines[0].pop("at") > 1_700_000_000
    assert lines[0].pop("cause").startswith("/shop:")
    assert lines[0] == {
        "path": "/shop/store",
        "incarnation": 1,
        "seq": 3,
        "kind": "RECEIVE",
        "key": "",
        "what": "Sell(what='bread')",
        "scope": 0,
    }


def test_a_failure_is_recorded(shop: Path) -> None:
    """J1: the exit code is that of `histrio run`, and the crash is in the file, with the handler that it was in."""
    done = histrio(shop, "record", "f", "shop:Fails")

    assert done.returncode == 1
    assert shown(shop / "f", "--kind", "crash") == ["/fails  4  CRASH  ValueError('no such thing')  in 3"]


def test_a_file_is_followed(recording: Path) -> None:
    """J1: `--follow` shows what is added, until SIGINT."""
    whole = recording.read_bytes()
    recording.write_bytes(whole[:-1])
    command = [sys.executable, "-m", "histrio.cli", "signals", str(recording), "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        before = len(shown(recording))
        for _ in range(before):
            process.stdout.readline()
        recording.write_bytes(whole)
        assert "/shop" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
    assert process.returncode == 130


def test_nobody_reads_on(recording: Path) -> None:
    """J1: `histrio signals FILE | head -1` ends without a word."""
    command = f"{sys.executable} -m histrio.cli signals {recording} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)

    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("record", "shop.py", "shop:Shop"), "shop.py is there already: name another file, or remove it"),
        (("record", "no/where", "shop:Shop"), "no/where cannot be written"),
        (("signals", "nothing"), "nothing cannot be read"),
        (("signals", "shop.py"), "shop.py is no recording of signals"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: tuple[str, ...], text: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """J1: exit code 2 and one line that says why; nothing was started, and no file was touched."""
    before = (shop / "shop.py").read_bytes()

    assert main(arguments) == 2
    assert text in capsys.readouterr().err
    assert (shop / "shop.py").read_bytes() == before


def test_a_kind_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    """J1: the kinds that there are are named."""
    with pytest.raises(SystemExit):
        main(["signals", "f", "--kind", "explode"])
    assert "there are START, RECEIVE, SPAWN" in capsys.readouterr().err
