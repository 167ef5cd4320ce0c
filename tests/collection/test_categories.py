"""A column of categories holds names, few enough for tables and plots that lie in git."""

import json

import numpy as np
import pytest

from rlhf.collection.sets.arranging import Writer
from rlhf.collection.table import categories
from stages import collect_prompts
from tests.collect_prompts_section import section, source, typed
from tests.collect_prompts_table import Table


def named(texts):
    """Return the categories that rows get, and how many were changed."""
    params = typed(section([source("a", "unread.jsonl")], cleaning={"near_duplicates": None})).collect_prompts
    rows = [
        {"kind": "prompt", "id": f"a-{n}", "messages": [{"role": "user", "content": str(n)}], "category": text}
        | {"language": "en", "user": None, "source": "a"}
        for n, text in enumerate(texts)
    ]
    table = Table({"a": rows}, params)
    every = np.arange(len(rows))
    kept, changed = collect_prompts.named_categories(table.gathered, every)
    path = table.spill.folder / "written"
    Writer(table.gathered, table.spill, kept).write(path, "all", every)
    written = path.read_text()
    table.close()
    records = [json.loads(line) for line in written.splitlines()]
    assert written == "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return [record["category"] for record in records], changed


def test_names_stay_as_they_are():
    names = ["open_qa", "Brainstorming", "写作", "unknown", "closed QA, medicine", "C++", "a = b", "Q&A", "k-12"]
    assert named(names) == (names, {"no_name": 0, "rare": 0})


@pytest.mark.parametrize(
    "text",
    [
        "", "x" * 41, "anna.berg@mail.example.org", "call 415-555-2671", "two\u0007bells", "a word " * 30,
        "=1+1", "@a", "+1", " -1", "a</script>b", "<b", "left\u202eright",
    ],
)  # fmt: skip
def test_what_is_no_name_is_unknown(text):
    found, changed = named(["chat", text, "chat"])
    assert found == ["chat", "unknown", "chat"]
    assert changed == {"no_name": 1, "rare": 0}


def test_lines_of_a_name_are_one():
    assert named(["open\n qa"])[0] == ["open qa"]


def test_of_very_many_the_most_frequent_stay():
    names = [f"name {n}" for n in range(100) for _ in range(1 + (n >= 40))]
    found, changed = named(names)
    assert set(found) == {*(f"name {n}" for n in range(40, 100)), "other"}
    assert found.count("other") == changed["rare"] == 40


def test_the_screen_says_how_many():
    assert list(categories.lines({"no_name": 0, "rare": 0})) == []
    first, second = categories.lines({"no_name": 3, "rare": 5})
    assert first.startswith("categories: 3 rows have one that is no name")
    assert second == "categories: 5 rows have one that is not among the 60 most frequent: other"
