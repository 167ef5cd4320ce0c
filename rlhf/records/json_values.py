"""Values read from files, told apart so that the type checker knows what they hold: anything."""

import json
import re
import sys
from typing import Any, TypeGuard

DECODER = json.JSONDecoder()
SPACE = re.compile(r"[ \t\n\r]*")  # JSON's
HALF = re.compile(r"\\u[dD][89a-fA-F]")  # how JSON writes half of a character: two halves are one


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a list."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is what JSON calls an object; its keys are text."""
    return isinstance(value, dict)


def parsed(text: str, where: str, unit: str = "column") -> Any:
    """Return the value that a JSON text holds. Raises ValueError naming `where`, the column and what is wrong."""
    try:
        value, end = first_value(text, 0, where)
        if text[end:].strip():
            raise json.JSONDecodeError("Extra data", text, end)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}, {unit} {error.colno}: not valid JSON: {error.msg}") from None
    return value


def first_value(text: str, start: int, where: str) -> tuple[Any, int]:
    """Return the JSON value that begins at or after `start`, and where it ends.

    Raises JSONDecodeError for what is not JSON, and ValueError naming `where` for JSON that cannot be taken.
    """
    try:
        value, end = DECODER.raw_decode(text, after_space(text, start))
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError(f"{where}: lists or objects too deep within one another; flatten them") from None
    except ValueError:  # a limit of Python's
        digits = sys.get_int_max_str_digits()
        raise ValueError(f"{where}: a number of more than {digits} digits; mend it, or write it as text") from None
    if HALF.search(text, start, end):
        check_characters(value, where)
    return value, end


def after_space(text: str, start: int) -> int:
    """Return where JSON's white space from `start` on ends."""
    space = SPACE.match(text, start)
    return space.end() if space else start


def check_characters(value: Any, where: str) -> None:
    """Raise ValueError for half of a character, which no file can hold."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if is_list(one):
            waiting += one
        elif is_object(one):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, str):
            try:
                one.encode()
            except UnicodeEncodeError as error:
                half = f"\\u{ord(one[error.start]):04x}"
                raise ValueError(f"{where}: {half} is half of a character; write both halves, or neither") from None
