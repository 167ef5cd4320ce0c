"""What the reader makes of the examples of formats: read as they are, read once the source says more, or refused."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.known import Reading
from rlhf.collection.readers import Row
from rlhf.collection.sources import rows
from rlhf.params.collect_prompts import TableSource
from tests.collect_prompts_section import typed_source
from tests.collection.file_examples import Kind
from tests.collection.format_examples import Example

USES = {
    "document": "documents", "demonstration": "demonstrations", "comparison": "comparisons", "prompt": "prompts",
}  # fmt: skip


class Read(NamedTuple):
    """What a source's rows became."""

    records: list[dict[str, Any]]
    drops: dict[str, int]
    form: str | None
    error: str


class Verdict(NamedTuple):
    read: str  # as_is, mapping or refused; or what is wrong
    form: str | None
    error: str  # what is said where the source does not say more


def source_for(example: Example, **changes: Any) -> TableSource:
    """Return the source that a user of these rows would write."""
    use = example.use or list(dict.fromkeys(USES[record["kind"]] for record in example.records)) or ["comparisons"]
    return typed_source(**({"use": use, "splits": [] if use == ["documents"] else SPLITS[use[0]]} | changes))


SPLITS = {"documents": ["sft"], "demonstrations": ["sft"], "comparisons": ["reward_model"], "prompts": ["ppo"]}


def compact(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a record its rows decide."""
    found = {name: record[name] for name in ("kind", "text", "messages", "response", "responses") if name in record}
    return found | ({"ranks": [label["ranks"] for label in record["labels"]]} if "labels" in record else {})


def read(given: list[dict[str, Any]], source: TableSource) -> Read:
    """Return what the reader makes of rows, through the door that the stage uses."""
    return read_rows((Row(fields, f"a.jsonl: line {number}") for number, fields in enumerate(given, start=1)), source)


def read_rows(numbered: Iterator[Row], source: TableSource) -> Read:
    """Return what the reader makes of rows that know where they stand."""
    found: list[dict[str, Any]] = []
    form, count = None, 0
    try:
        reading = Reading(numbered, source)
        form = reading.form.name if reading.form else None
        for row in reading.rows:
            count += 1
            try:
                found.append(compact(reading.record(row, count)))
            except Dropped:
                continue
        reading.check(count)
    except ValueError as error:
        return Read([], {}, form, str(error))
    return Read(found, dict(reading.drops), form, "")


def verdict(example: Example) -> Verdict:
    """Return how an example is read."""
    plain = read(example.rows, source_for(example))
    right = example.records, example.drops
    if not plain.error:
        return Verdict("as_is" if (plain.records, plain.drops) == right else f"wrong: {plain}", plain.form, "")
    if example.said is None:
        return Verdict("refused" if not example.records else f"wrong: {plain}", plain.form, plain.error)
    told = read(example.rows, source_for(example, **example.said))
    is_right = not told.error and (told.records, told.drops) == right
    return Verdict("mapping" if is_right else f"wrong: {told}", told.form, plain.error)


def file_verdict(kind: Kind, folder: Path) -> Verdict:
    """Return how a kind of file is read that is written to a folder."""
    path = folder / kind.name
    kind.write(path)
    source = typed_source(paths=[str(path)], use=["comparisons"], splits=["reward_model"])
    found = read_rows(rows(source, folder, ""), source)
    if found.error:
        return Verdict("refused" if not kind.records else f"wrong: {found}", found.form, found.error)
    return Verdict("as_is" if (found.records, found.drops) == (kind.records, {}) else f"wrong: {found}", found.form, "")
