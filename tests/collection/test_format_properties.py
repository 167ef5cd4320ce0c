"""Whatever texts a format's rows hold, and however they are packed, parted and written, their records hold the same."""

import json
import re
from typing import Any

import pyarrow
from hypothesis import given
from hypothesis import strategies as st

from rlhf.collection.formats.cells import in_cell
from rlhf.collection.sources import rows
from tests.collection.format_examples import AND, BAD, EXAMPLES, FIRST, GOOD, P
from tests.collection.format_examples_further import FURTHER
from tests.collection.format_verdicts import read_rows, source_for
from tests.collection.test_files import FORMATS, PACK
from tests.searching import search

ALL = {**EXAMPLES, **FURTHER}
SHARED = "TRL preference, implicit, standard"  # what two answers begin with is the prompt's there
READ = {name: one for name, one in ALL.items() if one.records and name != SHARED}
# Texts as people write them: no marks of speakers, and no blanks round them, which transcripts lose.
TEXT = st.text("aZ0é好🙂 ,.;:?!'\"\t|\\\n{}<>#/-", min_size=1, max_size=20).map(str.strip)
OURS = (P, GOOD, BAD, FIRST, AND)  # what the examples say, and what is put in its place
TOLD_APART = "abcde"  # behind the texts: two answers of a comparison differ


def put(value: Any, texts: dict[str, str]) -> Any:
    """Return an example's value with other texts; lists in cells are lists in cells again."""
    if isinstance(value, str):
        if value.startswith("[") and value.endswith("]"):
            return json.dumps(put(in_cell(value), texts))
        return re.sub("|".join(map(re.escape, OURS)), lambda found: texts[found[0]], value)
    if isinstance(value, list):
        return [put(one, texts) for one in value]
    return {key: put(one, texts) for key, one in value.items()} if isinstance(value, dict) else value


def written(table: list[dict[str, Any]], kind: str) -> tuple[bytes, str]:
    """Return a table as a file of a kind, and its ending; as JSONL where the kind cannot hold it."""
    try:
        is_flat = all(isinstance(value, str) and value for row in table for value in row.values())
        is_table = is_flat and len({tuple(row) for row in table}) == 1
        kind = kind if is_table or not kind.endswith(("csv", "tsv", "columns.json")) else "jsonl"
        kind = "csv" if kind == "semicolons.csv" and len(table[0]) == 1 else kind  # a header without a delimiter
        return FORMATS[kind](table), kind
    except (pyarrow.ArrowException, TypeError):  # no one type for a column, or an object without keys
        return FORMATS["jsonl"](table), "jsonl"


@search(usual=150)
@given(
    name=st.sampled_from(list(READ)),
    texts=st.tuples(*[TEXT] * len(OURS)),
    kind=st.sampled_from(list(FORMATS)),
    packing=st.sampled_from(list(PACK)),
    turned=st.booleans(),
    cut=st.integers(0, 3),
)
def test_texts_files_packing_shards_and_the_order_of_columns_change_no_record(
    tmp_path_factory, name, texts, kind, packing, turned, cut
):
    one = READ[name]
    instead = {old: f"{new}{mark}" for old, new, mark in zip(OURS, texts, TOLD_APART, strict=True)}
    table = [dict(reversed(row.items())) if turned else row for row in put(one.rows, instead)]
    folder = tmp_path_factory.mktemp("files")
    for number, shard in enumerate((table[:cut], table[cut:])):
        if shard:
            content, ending = written(shard, kind)
            (folder / f"{number}.{ending}{packing}").write_bytes(PACK[packing](content))
    source = source_for(one, paths=[str(folder / "*")], **(one.said or {}))
    found = read_rows(rows(source, folder, ""), source)
    assert (found.records, found.drops, found.error) == (put(one.records, instead), one.drops, "")
