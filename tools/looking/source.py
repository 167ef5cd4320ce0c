"""How a file, a folder or a data set of the hub would be read, before anything runs.

    python -m tools.looking.source real/pairs.jsonl             a file; several, or a pattern in quotes
    python -m tools.looking.source Anthropic/hh-rlhf            a data set of the hub (downloads it)
    python -m tools.looking.source ranked                       a source of params.yaml, as it stands there

Says the format, what each column is taken for and which nobody reads, what the first rows become and how many are
dropped for which reason, and the entry to paste below collect_prompts.sources. Cleaning comes later: `collect_prompts`
counts what it drops. Writes nothing.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.known import Reading
from rlhf.collection.sources import rows
from rlhf.params.base import Params, ParamsError, load, parse, shown
from rlhf.params.collect_prompts import (
    CollectPrompts,
    FileSource,
    HubSource,
    TableSource,
    Use,
)
from rlhf.secrets import guard
from rlhf.secrets.masking import masked
from tools.looking import piped

ROWS = 1000  # that are read
SHOWN = 3  # records
LONGEST = 160  # characters of a text that is shown
USES: dict[str, Use] = {
    "document": "documents", "demonstration": "demonstrations", "comparison": "comparisons", "prompt": "prompts",
}  # fmt: skip


class LookInputs(Params):
    collect_prompts: CollectPrompts


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Print how a source is read; returns the exit code: 1 where it cannot be, 2 for a broken params.yaml."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="+", help="paths, an id of the hub, or the name of a source in params.yaml")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"how many rows are read (default: {ROWS})")
    parser.add_argument("--form", help="the format's name, where two could explain the rows")
    chosen = parser.parse_args(arguments)
    guard.install()
    try:
        source = _named(root, chosen.source) or _guessed(root, chosen.source, chosen.form)
    except ParamsError as error:
        guard.say(str(error))
        return 2
    try:
        lines = [*looked(source, root, chosen.rows)]
    except (ValueError, OSError) as error:
        guard.say(str(error))
        return 1
    print(masked("\n".join(lines)))
    return 0


def _named(root: Path, words: Sequence[str]) -> FileSource | HubSource | None:
    """Return the source of params.yaml of that name; None where there is none."""
    if len(words) != 1 or not (root / "params.yaml").exists() or (root / words[0]).exists():
        return None
    sources = load(root, LookInputs).collect_prompts.sources
    return next((one for one in sources if one.name == words[0] and isinstance(one, TableSource)), None)


def _guessed(root: Path, words: Sequence[str], form: str | None) -> FileSource | HubSource:
    """Return a source of these files, or of that data set, which takes in whatever its rows hold."""
    first = Path(words[0])
    name = "".join(letter if letter.isalnum() else "_" for letter in first.name.partition(".")[0].lower()) or "mine"
    common: dict[str, Any] = {"name": name, "use": [*USES.values()], "form": form, "max_broken": 1.0}
    is_on_hub = len(words) == 1 and words[0].count("/") == 1 and not (root / words[0]).exists() and "*" not in words[0]
    if is_on_hub:
        return parse(HubSource, common | {"kind": "hub", "id": words[0]}, "source")
    return parse(FileSource, common | {"kind": "file", "paths": [*words]}, "source")


def looked(source: FileSource | HubSource, root: Path, most: int) -> Iterator[str]:
    """Yield how a source's first rows are read. Raises ValueError for data that cannot be read."""
    reading = Reading(rows(source, root, ""), source)
    found: list[Any] = []
    reasons, first = Counter[str](), dict[str, str]()
    count = 0
    for row in islice(reading.rows, most):
        try:
            found.append(reading.record(row, count))
        except Dropped as dropped:
            reasons[str(dropped)] += 1
            first.setdefault(str(dropped), row.where)
        count += 1
    read_as = f"{reading.form.name}: {reading.form.says}" if reading.form else "our own columns"
    yield f"{count} rows read{' (there may be more)' if count == most else ''}, as {read_as}"
    for column, meaning in reading.meanings().items():
        yield f"  {column:<24}{meaning}"
    yield from (f"  {count:>6} {kind}s" for kind, count in reading.kinds.most_common())
    for reason, number in reasons.most_common():
        yield f"  {number:>6} dropped: {reason}, first at {first[reason]}"
    yield from reading.notices(count)
    for record in found[:SHOWN]:
        yield ""
        yield from _shown(record)
    yield ""
    yield from _entry(source, reading.kinds)


def _shown(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield a record as people read it."""
    yield f"{record['kind']}" + "".join(
        f", {name} {record[name]}"
        for name in ("language", "category", "user")
        if record.get(name) not in (None, "unknown")
    )
    for turn in record.get("messages", []):
        yield f"  {turn['role']:<10} {_short(turn['content'])}"
    if "text" in record:
        yield f"  {_short(record['text'])}"
    if "response" in record:
        yield f"  answer     {_short(record['response'])}"
    for number, response in enumerate(record.get("responses", [])):
        places = ", ".join(_judged(label, number) for label in record["labels"])
        yield f"  {places:<10} {_short(response)}"


def _judged(label: Mapping[str, Any], number: int) -> str:
    score = f" ({label['scores'][number]:g})" if label["scores"] is not None else ""
    return f"rank {label['ranks'][number]}{score}"


def _short(text: str) -> str:
    return shown(text[:LONGEST]).strip("'\"") + ("..." if len(text) > LONGEST else "")


def _entry(source: TableSource, kinds: Mapping[str, int]) -> Iterator[str]:
    """Yield the entry of params.yaml that takes in what was found; what it leaves out has its default."""
    use = [name for kind, name in USES.items() if kinds.get(kind)]
    if {"demonstration", "comparison"} & {*kinds} and "prompts" not in use:
        use.append("prompts")
    keys = ("paths", "id", "subset", "folder", "split", "revision", "form", "columns", "scale", "limit")
    given = {key: value for key in keys if (value := getattr(source, key, None)) is not None and value != "train"}
    yield "to paste below collect_prompts.sources (docs/data.md has the keys that are left out):"
    for number, (key, value) in enumerate({"name": source.name, **given, "use": use}.items()):
        text = ", ".join(value) if key == "use" else json.dumps(value, ensure_ascii=False)
        yield f"    {'- ' if number == 0 else '  '}{key}: {f'[{text}]' if key == 'use' else text}"


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
