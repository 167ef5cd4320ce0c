"""A JSON file read value by value, so that a list of any length takes the memory of its longest one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from rlhf.collection.bounded import Bound, blocks
from rlhf.records.json_values import after_space, first_value

NEAR_THE_END = 16  # characters: an error as near to the end of what was read may be none once more is read

UNTOLD = 3  # characters: a number may go on behind "1", "1." and "1e+"


class JsonText:
    """What of a file is not yet taken, and where that begins."""

    def __init__(self, path: Path, bound: Bound) -> None:
        self._path, self._bound = path, bound
        self._blocks: Iterator[str] = blocks(path)
        self._text, self._start = "", 0  # what was read last, and how much of it is taken
        self._line, self._column = 1, 0  # of the first character of `_text`: its line, and characters before it there

    def next_character(self) -> str:
        """Return the next one that is no white space; "" at the end of the file."""
        self._start = after_space(self._text, self._start)
        while self._start == len(self._text) and self._read_more():
            self._start = after_space(self._text, self._start)
        return self._text[self._start : self._start + 1]

    def line(self) -> int:
        """Return the number of the line up to which the file is taken."""
        return self._line + self._text.count("\n", 0, self._start)

    def take(self, character: str, otherwise: str = "Expecting ',' delimiter") -> None:
        """Go on behind the next character. Raises ValueError saying `otherwise` if it is another."""
        if self.next_character() != character:
            self.refuse(otherwise)
        self._start += 1

    def items(self, name: Callable[[int], str]) -> Iterator[tuple[str, Any]]:
        """Take a list; yields for each value, from number 1 on, its name in messages and itself."""
        self.take("[")
        number = 0
        while number == 0 or self.next_character() == ",":
            if number:
                self.take(",")
            elif self.next_character() == "]":
                break
            number += 1
            yield name(number), self.value(name(number))
        self.take("]")

    def keys(self, where: str) -> Iterator[str]:
        """Take an object; yields its keys, and whoever asks for the next one must have taken the value of the last."""
        self.take("{")
        is_first = True
        while is_first or self.next_character() == ",":
            if not is_first:
                self.take(",")
            elif self.next_character() == "}":
                break
            is_first = False
            if self.next_character() != '"':
                self.refuse("Expecting property name enclosed in double quotes")
            key = self.value(where)
            self.take(":", "Expecting ':' delimiter")
            self.next_character()
            yield key
        self.take("}")

    def value(self, where: str) -> Any:
        """Return the next value, called `where` in messages. Raises ValueError for one that is broken or too long."""
        while True:
            try:
                value, end = first_value(self._text, self._start, where)
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated") or error.pos > len(self._text) - NEAR_THE_END
                self._bound.check(len(self._text) - self._start if unfinished else 0, where)
                if not (unfinished and self._read_more()):
                    self._fail(error)
            else:
                self._bound.check(end - self._start, where)
                if isinstance(value, int | float) and len(self._text) - end < UNTOLD and self._read_more():
                    continue
                self._start = end
                return value

    def refuse(self, message: str) -> NoReturn:
        """Raise ValueError for what comes next, naming line and column."""
        self._fail(json.JSONDecodeError(message, self._text, self._start))

    def _fail(self, error: json.JSONDecodeError) -> NoReturn:
        line = self._line + error.lineno - 1
        column = error.colno + (self._column if error.lineno == 1 else 0)
        raise ValueError(f"{self._path}: line {line}, column {column}: not valid JSON: {error.msg}") from None

    def _read_more(self) -> bool:
        """Read as much again as there is, at least a block; returns whether there was any."""
        taken, rest, parts = self._text[: self._start], self._text[self._start :], list[str]()
        for block in self._blocks:
            parts.append(block)
            if sum(map(len, parts)) >= max(len(rest), 1):
                break
        if not any(parts):
            return False
        lines = taken.count("\n")
        self._line += lines
        self._column = len(taken) - taken.rfind("\n") - 1 if lines else self._column + len(taken)
        self._text, self._start = "".join([rest, *parts]), 0
        return True
