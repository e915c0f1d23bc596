"""From `module:Actor`, as somebody typed it, to something that can be spawned; or one line that says why not."""

# Design note
# -----------
# Whatever can be known to be wrong is found here, before a system is opened: so a misspelled name is a line and exit
# code 2, and a traceback on the terminal is always the user's own.

import difflib
import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import cast

import attrs

from histrio.actor import Actor
from histrio.cli.command import Refused

__all__ = ["Target", "find_in", "import_named", "load"]


@attrs.frozen
class Target:
    """An actor class, or a partial of one, that needs no further arguments."""

    make: Callable[[], Actor[object]]
    name: str
    """What the actor is called unless somebody gives it another name: the class's name in small letters."""


def load(spelled: str) -> Target:
    """Import the module of `module:Actor`, with the current directory first on the path, and find the actor in it.

    Raises:
        Refused: there is no such module, no such actor in it, or it needs arguments.
    """
    module_name, _, path = spelled.partition(":")
    if not module_name or not path:
        raise Refused(f"{spelled!r} names no actor: write module:Actor, for example shop.store:Store")
    found = find_in(import_named(module_name), path, lambda value: _class_of(value) is not None)
    kind = _class_of(found)
    if kind is None:
        raise Refused(f"{spelled} is no actor class (a subclass of histrio.Actor), it is {_what(found)}")
    make = cast(Callable[[], Actor[object]], found)
    _check_arguments(spelled, make)
    return Target(make, kind.__name__.strip("_").lower() or "actor")


def import_named(name: str) -> ModuleType:
    """Import a module, with the current directory first on the path.

    Raises:
        Refused: there is none, or it cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise Refused(f"there is no module {error.name!r} in {here} or among the installed packages") from None
        traceback.print_exc()
        raise Refused(f"the module {name!r} cannot be imported: {type(error).__name__}: {error}") from None


def find_in(module: ModuleType, path: str, is_meant: Callable[[object], bool]) -> object:
    """The attribute at a dotted *path* in *module*.

    Raises:
        Refused: there is none; it names the one that *is meant*, if its name is close, or all of those.
    """
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise Refused(f"the module {module.__name__!r} has no {path!r}{_hint(module, path, is_meant)}") from None
    return found


def _hint(module: ModuleType, path: str, is_meant: Callable[[object], bool]) -> str:
    """What may have been meant."""
    actors = [name for name, value in vars(module).items() if is_meant(value) and _is_of(module, value)]
    close = difflib.get_close_matches(path, actors, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; its actors are {', '.join(actors)}" if actors else "; it has no actors at all"


def _is_of(module: ModuleType, value: object) -> bool:
    return not isinstance(value, type) or value.__module__ == module.__name__


def _class_of(found: object) -> type[Actor[object]] | None:
    """The actor class in a class, a partial, or a generic alias; None if there is none."""
    while isinstance(found, functools.partial):
        found = cast("functools.partial[object]", found).func
    found = getattr(found, "__origin__", found)
    if isinstance(found, type) and issubclass(found, Actor) and found is not Actor:
        return cast(type[Actor[object]], found)
    return None


def _what(found: object) -> str:
    if isinstance(found, type):
        return "the base class itself" if found is Actor else f"the class {found.__qualname__}"
    return f"an instance of {type(found).__qualname__}"


def _check_arguments(spelled: str, make: Callable[[], Actor[object]]) -> None:
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise Refused(
            f"{spelled} needs arguments ({error}): write `actor = functools.partial({spelled.partition(':')[2]}, ...)`"
            f" in the module and run {spelled.partition(':')[0]}:actor"
        ) from None
    except ValueError:
        return  # written in C, and silent about its arguments
