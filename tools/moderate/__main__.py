"""Judges texts by the moderator: which would be blocked, of what category, and how sure that is.

    python -m tools.moderate FILE                             rows in, rows with "verdict" out, as JSON lines
    python -m tools.moderate -                                the same of standard input, a text a line
    python -m tools.moderate FILE --folder data/moderation    another moderator's folder

FILE is JSONL, JSON, CSV or Parquet, packed or not; a row has `text`, `prompt` or `messages` (the last turn is judged).
A .txt file has a text a line. --out: to a file. Where each row has `category`, the name of a harm or null for harmless,
the rates of errors are said as well.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rlhf import moderation
from rlhf.evaluation import statistics
from rlhf.moderation import Verdict, own_files
from rlhf.params.base import ParamsError
from rlhf.runtime.files import write_text
from rlhf.secrets import guard
from tools.looking import piped

DEFAULT = Path("data/moderation")
COVERAGE = 0.95  # of the intervals


class Asked(NamedTuple):
    """A row of a file, and its text."""

    row: dict[str, Any]
    text: str


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Judge a file; returns the exit code: 2 for mistakes, which are said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="a file, or - for standard input")
    parser.add_argument("--folder", type=Path, help="a moderator's folder; else data/moderation")
    parser.add_argument("--out", type=Path, help="where the rows are written; else they are printed")
    chosen = parser.parse_args(arguments)
    guard.install()
    try:
        asked = list(_of_lines(sys.stdin.read()) if chosen.file == "-" else read(Path(chosen.file)))
        opened = moderation.opened(chosen.folder or root / DEFAULT, root=root)
        verdicts = opened.judge([one.text for one in asked])
    except (ParamsError, ValueError, OSError) as error:
        guard.say(str(error))
        return 2
    lines = [
        json.dumps({**one.row, "verdict": verdict._asdict()}, ensure_ascii=False)
        for one, verdict in zip(asked, verdicts, strict=True)
    ]
    if chosen.out:
        write_text(chosen.out, "".join(f"{line}\n" for line in lines))
    else:
        print("\n".join(lines))
    for line in rates(asked, verdicts):
        guard.say(line)
    return 0


def read(file: Path) -> Iterator[Asked]:
    """Yield the rows of a file. Raises ValueError naming file and line of one without a text."""
    if file.suffix == ".txt":
        yield from _of_lines(file.read_text(encoding="utf-8"))
        return
    for row in own_files.rows_of(file):
        yield Asked(row.fields, own_files.text_in(row.fields, row.where))


def _of_lines(text: str) -> Iterator[Asked]:
    return (Asked({"text": line}, line) for line in text.splitlines() if line.strip())


def rates(asked: list[Asked], verdicts: list[Verdict]) -> Iterator[str]:
    """Yield misses and false alarms where every row says whether it is harmful."""
    if not all("category" in one.row for one in asked):
        return
    pairs = list(zip(asked, verdicts, strict=True))
    for name, harmful in (("misses", True), ("false alarms", False)):
        found = [
            float(verdict.blocked is not harmful)
            for one, verdict in pairs
            if (one.row["category"] not in (None, "")) is harmful
        ]
        if found:
            share = statistics.share_interval(found, COVERAGE)
            yield f"{name}: {share.mean:.1%} ({share.low:.1%} to {share.high:.1%}) of {len(found)} texts"


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
