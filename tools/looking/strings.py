"""Strings of which is known what should be found in them: JSON lines with a text and what it holds."""

import argparse
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rlhf.records.json_values import is_object, parsed

Judged = Callable[[Path], Iterator[str]]


def main(arguments: Sequence[str], root: Path, about: str, key: str, files: Sequence[Path], judged: Judged) -> int:
    """Print what a rule makes of the strings of each file, by default of `files`; returns the exit code."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help=f"JSON lines with text and {key}")
    for path in parser.parse_args(arguments).files or files:
        print("\n".join([f"{path}", *judged(root / path)]))
    return 0


class Line(NamedTuple):
    """A text, what it holds, and the name of the group that it is counted in."""

    text: str
    held: str | None
    group: str


def read(path: Path, key: str, known: Collection[str | None]) -> Iterator[Line]:
    """Yield the lines of a file; what a text holds stands under `key`, its group under `group`, or is that.

    Raises ValueError naming the line where `known` does not have it.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        row = parsed(line, f"{path}: line {number}", "line")
        if not is_object(row) or not isinstance(row.get("text"), str) or row.get(key) not in known:
            names = ", ".join(sorted(filter(None, known)))
            raise ValueError(f"{path}: line {number}: expected text, and as {key} one of {names}, got {line:.200}")
        held = row.get(key)
        yield Line(row["text"], held, str(row.get("group", held)))
