"""A piece of code on a page is looked up: each name in it exists, and each call fits what it calls.

Names lead from `histrio`, `trio` or one of the stand-ins below, attribute by attribute, along the annotations of what
is called. What stands for something of the reader's own is not looked into.
"""

# This is no type checker. The programs of the pages are checked by two real ones; here are single words and calls, of
# tables, which are no programs.

import ast
import builtins
import contextvars
import inspect
import keyword
import re
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Final, cast

import attrs
import trio
from tests.docs_programs import ROOT

import histrio
from histrio_kernel.errors import HistrioError

PROSE: Final = frozenset({"histrio tree", "/kv/store"})
"""What is in code style and no Python: a command, a path in a tree."""

EXAMPLES: Final = frozenset(
    re.findall(
        r"\w+",
        "a b data error exported f fetch front futures handlers job key m main message other path phase reader refs result spec"
        " state states store tracer url value work x Args Read Reply Store Worker Write",
    )
)
"""Names that stand for something of the reader's own."""


class Job(histrio.States):
    """Stands for the reader's own states."""

    running = histrio.State()


STAND_INS: Final[dict[str, object]] = {
    "histrio": histrio,
    "trio": trio,
    "ContextVar": contextvars.ContextVar,
    "S": histrio.State,
    "canceled": histrio.Canceled,
    "child": histrio.Child,
    "down": histrio.Down,
    "future": histrio.Future,
    "machine": histrio.Machine,
    "promise": histrio.Promise,
    "queued": histrio.Queued,
    "reason": histrio.Reason,
    "ref": histrio.Ref,
    "self": histrio.Process,  # an actor that has a little more
    "supervisor": histrio.Ref,
    "system": histrio.System,
    "t": histrio.Transition,
}
"""Names that stand for a module, or for an object of this class."""

KEYWORDS_OF: Final = (histrio.Supervisor, histrio.DynamicSupervisor, histrio.open_system)
"""A parameter of one of these may be named alone."""


@attrs.frozen
class Anything:
    """Something of which nothing is known: all that is done with it is right."""


@attrs.frozen
class Instance:
    """An object of a class."""

    kind: type


@attrs.frozen
class Attribute:
    """What a class has under a name; `owner` is None for what a module has."""

    owner: type | None
    value: object


class Unknown(LookupError):
    """A name leads nowhere, or a call does not fit."""


def errors_with(name: str) -> list[type]:
    """The errors that have such an attribute: `error` stands for any of them."""
    found = (value for value in vars(histrio).values() if isinstance(value, type) and issubclass(value, HistrioError))
    return [kind for kind in found if has(kind, name)]


def has(kind: type, name: str) -> bool:
    """Whether objects of that class have the attribute: on the class, as a field, or set by its `__init__`."""
    if hasattr(kind, name) or any(name in inspect.get_annotations(base) for base in kind.__mro__):
        return True
    inits = (cast(object, base.__dict__.get("__init__")) for base in kind.__mro__ if not attrs.has(base))
    return any(f"self.{name}: Final = " in inspect.getsource(init) for init in inits if inspect.isfunction(init))


def attribute(of: object, name: str) -> object:
    """What stands under `name` in a module, in an object of a class, or in a class itself."""
    if isinstance(of, Anything):
        return of
    if isinstance(of, ModuleType):
        if not hasattr(of, name):
            raise Unknown(f"{of.__name__} has no {name}")
        return Attribute(None, getattr(of, name))
    kind = of.kind if isinstance(of, Instance) else of.value if isinstance(of, Attribute) else None
    if not isinstance(kind, type) and type(kind).__module__.startswith("histrio"):
        kind = type(kind)  # `any_state`, or a state of a class: an object that a module or a class has
    if not isinstance(kind, type):
        return Anything()
    if not has(kind, name):
        raise Unknown(f"{kind.__qualname__} has no {name}")
    value = inspect.getattr_static(kind, name, None)
    if isinstance(value, property):
        return of_type(value.fget)
    return Attribute(kind, getattr(kind, name, None))


def of_type(function: object) -> object:
    """What a function gives, by its annotation."""
    function = function.__func__ if inspect.ismethod(function) else function
    if not inspect.isfunction(function) or not function.__module__.startswith("histrio"):
        return Anything()
    hint = typing.get_type_hints(function).get("return")
    kind = typing.get_origin(hint) or hint
    return Instance(kind) if isinstance(kind, type) and kind.__module__.startswith("histrio") else Anything()


def called(node: ast.Call, scope: frozenset[str]) -> object:
    """The outcome of a call, after a look whether its arguments fit."""
    callee = resolve(node.func, scope)
    arguments = [resolve(arg.value if isinstance(arg, ast.Starred) else arg, scope) for arg in node.args]
    for each in node.keywords:
        resolve(each.value, scope)
    if isinstance(callee, Anything):
        return callee
    if isinstance(callee, Instance):
        callee = Attribute(callee.kind, callee.kind.__call__)
    assert isinstance(callee, Attribute)
    names = [each.arg for each in node.keywords if each.arg is not None]
    rest = "positional" if any(isinstance(arg, ast.Starred) for arg in node.args) else ""
    made = callee.value
    if made is histrio.child and len(arguments) > 1 and isinstance(arguments[1], Attribute):
        fits(Attribute(None, arguments[1].value), len(arguments) - 2, names, rest)
    elif callable(made) and getattr(made, "__module__", "").startswith("histrio"):
        fits(callee, len(arguments), names, rest)
    return Instance(made) if isinstance(made, type) else of_type(made)


def fits(callee: Attribute, count: int, names: list[str], rest: str) -> None:
    """Refuse a call whose arguments its callee does not take."""
    function = callee.value
    assert callable(function)
    is_method = callee.owner is not None and inspect.isfunction(function)
    arguments = [None] * (count + is_method)
    try:
        signature = inspect.signature(function)
    except ValueError:  # a class that takes what Exception takes
        return
    try:
        bind = signature.bind_partial if rest else signature.bind
        bind(*arguments, **dict.fromkeys(names))
    except TypeError as error:
        raise Unknown(f"{getattr(function, '__qualname__', function)}{signature}: {error}") from None


def named(name: str, scope: frozenset[str]) -> object:
    """What a name alone stands for."""
    if name in scope or name in EXAMPLES or keyword.iskeyword(name) or hasattr(builtins, name):
        return Anything()
    if name == Job.__name__:
        return Attribute(None, Job)
    if name in STAND_INS:
        value = STAND_INS[name]
        return value if isinstance(value, ModuleType) else Instance(typing.cast(type, value))
    for kind in (histrio.Process, histrio.Supervisor):
        if has(kind, name):
            return Attribute(kind, getattr(kind, name))
    if hasattr(histrio, name):
        return Attribute(None, getattr(histrio, name))
    if any(name in inspect.signature(function).parameters for function in KEYWORDS_OF):
        return Anything()
    raise Unknown(f"nothing is called {name}")


def resolve(node: ast.expr, scope: frozenset[str]) -> object:
    """What an expression is, as far as that is known."""
    match node:
        case ast.Name(id=name):
            return named(name, scope)
        case ast.Attribute(value=ast.Name(id="error"), attr=name):
            if not errors_with(name):
                raise Unknown(f"no error has a {name}")
            return Anything()
        case ast.Attribute(value=value, attr=name):
            return attribute(resolve(value, scope), name)
        case ast.Call():
            return called(node, scope)
        case ast.Await(value=value):
            resolve(value, scope)
            return Anything()
        case ast.Subscript(value=value, slice=inner):
            resolve(inner, scope)
            return resolve(value, scope)
        case _:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    resolve(child, scope)
            return Anything()


def look_up(code: str) -> None:
    """Look up every name in a piece of code.

    Raises:
        Unknown: one of them leads nowhere.

    """
    if code in PROSE or keyword.iskeyword(code) or ("/" in code and (ROOT / code).is_file()):
        return
    tree = ast.parse(code.removeprefix("@"))
    for statement in tree.body:
        scope: frozenset[str] = frozenset()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            hook = Attribute(histrio.Process, getattr(histrio.Process, statement.name, None))
            if hook.value is None:
                raise Unknown(f"an actor has no {statement.name}")
            fits(hook, len(statement.args.args) - 1, [], "")
        for node in expressions(statement):
            resolve(node, scope)


def expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    """The outermost expressions of a statement, and of those in it."""
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, ast.expr):
            yield node
        elif isinstance(node, ast.stmt):
            yield from expressions(node)
        elif isinstance(node, ast.withitem):
            yield node.context_expr
