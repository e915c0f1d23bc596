"""The programs of a page are found, each line where the page has it."""

from pathlib import Path

import pytest

from tests.docs_programs import ROOT, Program, fences, programs

PAGE = """\
Text.

```python
import trio
```

```text
not a program
```

    ```python
    >>> trio.__name__
    'trio'
    ```

<!-- clear-namespace -->

```python
--8<-- "examples/kv_service/__main__.py"
```

```python
x = 1
```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page in a repository of its own."""
    monkeypatch.setattr("tests.docs_programs.ROOT", tmp_path)
    path = tmp_path / "docs" / "how-to" / "a-page.md"
    path.parent.mkdir(parents=True)
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_each_line_stands_where_the_page_has_it(page: Path) -> None:
    """Line n of a program is line n of its page, prompts and answers of a session taken away."""
    first, second = programs(page)

    assert lines_of(first) == {4: "import trio", 12: "trio.__name__"}
    assert lines_of(second) == {23: "x = 1"}


def test_a_module_is_named_after_its_page(page: Path) -> None:
    """The page can be told from the module's name; a second program of a page has a number."""
    assert [program.module for program in programs(page)] == ["docs_how_to_a_page", "docs_how_to_a_page_2"]


def test_a_fence_that_is_never_closed_is_an_error() -> None:
    """What would silently not be a program is named with its line."""
    with pytest.raises(AssertionError, match="line 2"):
        list(fences("Text.\n```python\nx = 1\n"))


def test_the_root_is_the_repository() -> None:
    """Pages are looked for where README.md is."""
    assert (ROOT / "README.md").is_file()


def lines_of(program: Program) -> dict[int, str]:
    """The lines that hold code, by their number."""
    return {number: line for number, line in enumerate(program.code.splitlines(), 1) if line}
