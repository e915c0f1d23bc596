"""The text of the wire and of the log: commands to messages and back, answers to text. Pure functions.

```text
command = "Write" key value | "Read" key            answer = "Ok" | "Result" (value | "Nothing")
key     = a string as JSON writes it                value  = a whole number in decimal, of any size
```

Words are separated by white space. What is written down can be read back: `parse(show(command)) == command`.
"""

# Design note
# -----------
# One pattern takes what is right, at the speed of the regular expression engine; what it does not take is looked at
# again, slowly, to say what was expected instead. Its loops are possessive, so no input makes it go back.
#
# A JSON string can name half of a surrogate pair ("\ud800"), which is a str and no UTF-8. `show` writes all that is not
# ASCII as escapes, so such a key, too, survives the log.

import json
import re
from typing import Final, NoReturn

from examples.kv_service.decimals import digits_of, number_of
from examples.kv_service.messages import Read, Write

__all__ = ("Malformed", "parse", "show", "show_result")

SHOWN_MAX: Final = 40  # characters of a malformed command that an error quotes

_STRING: Final = r'"(?:[^"\\]|\\.)*+"'
_COMMAND: Final = re.compile(rf"\s*+(?:Read\s++({_STRING})|Write\s++({_STRING})\s++(-?)([0-9]++))\s*+", re.ASCII)
_VERB: Final = re.compile(r"\s*+(Read|Write)(?=\s|$)\s*+", re.ASCII)
_KEY: Final = re.compile(rf"({_STRING})(\s*+)", re.ASCII)
_VALUE: Final = re.compile(r"-?[0-9]++(?=\s|$)\s*+", re.ASCII)


class Malformed(ValueError):
    """What came is no command; the text is one line that says what was expected and what was there instead."""


def parse(text: bytes) -> Write | Read:
    r"""The command that `text` is.

    Raises:
        Malformed: it is none.

    >>> parse(b'Write "x" 1')
    Write(key='x', value=1)
    """
    try:
        line = text.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"expected UTF-8 text, found the byte {text[error.start]:#04x} at {error.start}") from None
    match = _COMMAND.fullmatch(line)
    if match is None:
        _explain(line)
    read, write, sign, digits = match.groups()
    if read is not None:
        return Read(_string(read))
    number = number_of(digits)
    return Write(_string(write), -number if sign else number)


def show(command: Write | Read) -> str:
    r"""The text of `command`, in ASCII.

    >>> show(Write("ä", -1))
    'Write "\\u00e4" -1'
    """
    key = json.dumps(command.key)
    return f"Read {key}" if isinstance(command, Read) else f"Write {key} {_show_number(command.value)}"


def show_result(value: int | None) -> str:
    """The answer to a Read.

    >>> show_result(None)
    'Result Nothing'
    """
    return "Result Nothing" if value is None else f"Result {_show_number(value)}"


def _show_number(number: int) -> str:
    return f"-{digits_of(-number)}" if number < 0 else digits_of(number)


def _string(quoted: str) -> str:
    """The str that a JSON string stands for."""
    try:
        return str(json.loads(quoted))
    except json.JSONDecodeError as error:
        raise Malformed(f"expected a JSON string as the key, and {_quote(quoted)} is none at {error.pos}") from None


def _explain(line: str) -> NoReturn:
    """Say what was expected at the first place where `line` is no command."""
    verb = _VERB.match(line)
    if verb is None:
        raise Malformed(f'expected Write "key" 1 or Read "key", found {_quote(line)}')
    key = _KEY.match(line, verb.end())
    if key is None:
        raise Malformed(
            f'expected a JSON string such as "key" after {verb[1]}, in double quotes, found {_quote(line[verb.end() :])}'
        )
    rest = line[key.end() :]
    if verb[1] == "Read":
        raise Malformed(f"expected nothing after the key of a Read, found {_quote(rest)}")
    value = _VALUE.match(rest) if key[2] else None
    if value is None:
        raise Malformed(f"expected white space and a whole number such as 1 after the key, found {_quote(rest)}")
    raise Malformed(f"expected nothing after the value of a Write, found {_quote(rest[value.end() :])}")


def _quote(text: str) -> str:
    """The beginning of `text`, in one line of ASCII."""
    return f"{text[:SHOWN_MAX]!a}{'...' if len(text) > SHOWN_MAX else ''}" if text.strip() else "nothing"
