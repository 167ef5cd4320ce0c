"""A JSON file read value by value, so that a list of any length takes the memory of its longest one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from rlhf.collection.bounded import Bound, blocks
from rlhf.records.json_values import after_space, first_value

NEAR_THE_END = 16  # characters: an error as near to the end of what was read may be none once more is read


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

    def take(self, character: str) -> None:
        """Go on behind the next character. Raises ValueError if it is another."""
        if self.next_character() != character:
            self.refuse("Expecting ',' delimiter")
        self._start += 1

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
