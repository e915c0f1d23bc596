"""What a combinator may be given, and what it says to anything else."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Final, NoReturn, cast

from histrio_kernel.bounds import bound
from histrio_kernel.futures import Future

__all__ = ["check_cleanup", "futures_of"]

_NESTING_MAX: Final = bound("nesting_max")


def futures_of(name: str, given: tuple[object, ...]) -> tuple[Future[object], ...]:
    """The arguments, if all are futures; else an error that shows the right call."""
    for argument in given:
        if not isinstance(argument, Future):
            _refuse(name, given)
        if argument._depth >= _NESTING_MAX:
            raise ValueError(f"{name}() would be nested more than {_NESTING_MAX} deep; use all_of(*futures), or any_of")
    return cast("tuple[Future[object], ...]", given)


def _refuse(name: str, given: tuple[object, ...]) -> NoReturn:
    wrong = [argument for argument in given if not isinstance(argument, Future)]
    for argument in wrong:
        if isinstance(argument, Coroutine):
            cast(Coroutine[object, object, object], argument).close()  # it is reported here, not as never awaited
    raise TypeError(_wrong_operand(name, wrong[0]))


def _wrong_operand(name: str, argument: object) -> str:
    if isinstance(argument, Coroutine):
        coroutine = cast(Coroutine[object, object, object], argument)
        called = getattr(coroutine, "__name__", "fetch")
        return (
            f"{name}() takes futures, which have started; {called}(...) is a coroutine, which has not.\n"
            f"  incorrect!  await {name}({called}(x), other)\n"
            f"  correct!    await {name}(self.io({called}, x), other)"
        )
    return (
        f"{name}() takes futures, got {argument!r} of type {type(argument).__name__}.\n"
        f"  correct!    await {name}(ref.ask(message), self.io(fetch, x))"
    )


def check_cleanup(name: str, given: object) -> None:
    """Raise `ValueError` unless *given* is a time that one can wait."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        raise ValueError(f"{name}(): cleanup_s is {given!r}; it must be a number of seconds, 0 or more")
