"""A column of categories holds names, few enough for tables and plots that lie in git."""

import pytest

from rlhf.collection import data_card
from rlhf.collection.prompt_sets import Entry, with_named_categories
from tests.collect_prompts_section import section, source, typed


@pytest.fixture(scope="module")
def origin():
    return typed(section([source("a", "unread.jsonl")])).collect_prompts.sources[0]


def named(origin, categories):
    """Return the categories that entries get, and how many were changed."""
    entries = [Entry({"id": str(n), "category": text}, origin, "") for n, text in enumerate(categories)]
    found, changed = with_named_categories(entries)
    assert [entry.record["id"] for entry in found] == [entry.record["id"] for entry in entries]
    assert [entry.record["category"] for entry in entries] == list(categories), "the records that came are as they were"
    return [entry.record["category"] for entry in found], changed


def test_names_stay_as_they_are(origin):
    names = ["open_qa", "Brainstorming", "写作", "unknown", "closed QA, medicine", "C++", "a = b", "Q&A", "k-12"]
    assert named(origin, names) == (names, {"no_name": 0, "rare": 0})


@pytest.mark.parametrize(
    "text",
    [
        "", "x" * 41, "anna.berg@mail.example.org", "call 415-555-2671", "two\u0007bells", "a word " * 30,
        "=1+1", "@a", "+1", " -1", "a</script>b", "<b", "left\u202eright",
    ],
)  # fmt: skip
def test_what_is_no_name_is_unknown(origin, text):
    found, changed = named(origin, ["chat", text, "chat"])
    assert found == ["chat", "unknown", "chat"]
    assert changed == {"no_name": 1, "rare": 0}


def test_lines_of_a_name_are_one(origin):
    assert named(origin, ["open\n qa"])[0] == ["open qa"]


def test_of_very_many_the_most_frequent_stay(origin):
    categories = [f"name {n}" for n in range(100) for _ in range(1 + (n >= 40))]
    found, changed = named(origin, categories)
    assert set(found) == {*(f"name {n}" for n in range(40, 100)), "other"}
    assert found.count("other") == changed["rare"] == 40


def test_the_screen_says_how_many():
    assert list(data_card.category_lines({"no_name": 0, "rare": 0})) == []
    first, second = data_card.category_lines({"no_name": 3, "rare": 5})
    assert first.startswith("categories: 3 rows have one that is no name")
    assert second == "categories: 5 rows have one that is not among the 60 most frequent: other"
