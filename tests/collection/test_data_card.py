"""The data card and its numbers, whole, of a few hand-made records."""

from collections import Counter, defaultdict

import pytest

from rlhf.collection import data_card
from rlhf.params.base import parse
from rlhf.params.collect_prompts import HubSource, WorldSource
from tests.collect_prompts_section import typed_source


def record(number: int, content: str, **more) -> dict:
    usual = {"id": f"r{number}", "messages": [{"role": "user", "content": content}], "category": "open_qa"}
    return usual | {"language": "en", "user": None, "source": "given"} | more


FILES = {
    "documents.train": [{"text": "x" * 10, "source": "given"}, {"text": "x" * 30, "source": "given"}],
    "demonstrations.train": [record(1, "four", response="12345", user="u"), record(2, "four", response="1", user="u")],
    "comparisons.train": [record(3, "seven77", responses=["12", "1234", "123"], category="Generation", language="zh")],
    "prompts.ppo": [
        record(4, "a", user="u", category="my | own"), record(5, "bb", user="v", category="Generation"),
        record(1, "four", user="u"), record(6, "c", user="u", source="other", category="generation"),
    ],
}  # fmt: skip
READ = {"given": 1200, "other": 3}
DROPS = defaultdict(Counter, {"given": Counter(too_long=4, empty=4, exact_duplicate=9), "other": Counter()})
SOURCES = [
    typed_source(licence="MIT | or so"),
    parse(WorldSource, {
        "name": "world", "kind": "world", "seed": 7, "documents": 1, "prompts": 1, "facts": "seen", "copy_probes": 0,
        "use": ["documents", "prompts"], "splits": ["ppo"],
    }, "sources.1"),
    parse(HubSource, {
        "name": "alpaca", "kind": "hub", "id": "someone/alpaca", "split": "train", "use": ["prompts"],
        "splits": ["ppo"],
    }, "sources.2"),
]  # fmt: skip
CARD = r"""# Data card

1,203 rows read, 1,186 kept. A row that is dropped counts under its first reason.

## Sources

| source | from | use | splits | licence |
| --- | --- | --- | --- | --- |
| given | unread.jsonl | demonstrations, prompts | sft, reward_model, judge, ppo, validation, test | MIT \| or so |
| world | the embedded world, seed 7, seen facts | documents, prompts | ppo |  |
| alpaca | hub: someone/alpaca (train) | prompts | ppo |  |

## Kept and dropped

| source | read | kept | dropped by reason |
| --- | --- | --- | --- |
| given | 1200 | 1183 | exact_duplicate 9, empty 4, too_long 4 |
| other | 3 | 3 |  |

## Files

| file | records | users |
| --- | --- | --- |
| documents.train.jsonl | 2 |  |
| demonstrations.train.jsonl | 2 | 1 |
| comparisons.train.jsonl | 1 |  |
| prompts.ppo.jsonl | 4 | 3 |

## Use cases (% of prompts) beside InstructGPT's Table 1

| category | here | paper |
| --- | --- | --- |
| generation | 50.0 | 45.6 |
| open qa | 33.3 | 12.4 |
| brainstorming | 0.0 | 11.2 |
| chat | 0.0 | 8.4 |
| rewrite | 0.0 | 6.6 |
| summarization | 0.0 | 4.2 |
| classification | 0.0 | 3.5 |
| other | 0.0 | 3.5 |
| closed qa | 0.0 | 2.6 |
| extract | 0.0 | 1.9 |
| my \| own | 16.7 |  |

## Languages

| language | prompts | % |
| --- | --- | --- |
| en | 5 | 83.3 |
| zh | 1 | 16.7 |

## Lengths in characters

| text | p5 | p50 | p95 | max |
| --- | --- | --- | --- | --- |
| prompt | 1 | 2 | 7 | 7 |
| demonstration | 1 | 1 | 5 | 5 |
| comparison_response | 2 | 3 | 4 | 4 |
| document | 10 | 10 | 30 | 30 |
"""


def test_the_card_says_what_was_read_kept_and_why_not_and_what_is_in_it():
    assert data_card.render(FILES, READ, DROPS, SOURCES) == CARD


def test_the_metrics_count_what_the_card_counts():
    found = data_card.numbers(FILES, READ, DROPS)
    lengths = found.pop("characters")
    assert found == {
        "read": 1203, "kept": 1186, "dropped": {"too_long": 4, "empty": 4, "exact_duplicate": 9},
        "sources": {"given": {"read": 1200, "kept": 1183}, "other": {"read": 3, "kept": 3}},
        "records": {"documents.train": 2, "demonstrations.train": 2, "comparisons.train": 1, "prompts.ppo": 4},
        "prompts": 6, "languages": {"en": 5, "zh": 1}, "users": {"prompts.ppo": 3},
    }  # fmt: skip
    assert lengths["prompt"] == {"p5": 1, "p50": 2, "p95": 7, "max": 7}
    assert lengths["document"] == {"p5": 10, "p50": 10, "p95": 30, "max": 30}
    alone = data_card.numbers({"prompts.ppo": FILES["prompts.ppo"]}, READ, DROPS)
    assert alone["characters"].keys() == {"prompt"}


def test_the_screen_hears_of_each_source_and_of_drops_by_their_number():
    assert list(data_card.screen_lines(READ, DROPS)) == [
        "given: read 1200, kept 1183; dropped: exact_duplicate 9, empty 4, too_long 4", "other: read 3, kept 3",
    ]  # fmt: skip


def test_categories_beyond_thirty_of_ones_own_are_added_up():
    prompts = [record(number, "x", category=f"own {number:02}") for number in range(33)]
    prompts.append(record(99, "x", category="own 32"))
    found = data_card.categories({"prompts.ppo": prompts})
    assert [row["category"] for row in found[10:13]] == ["own 32", "own 00", "own 01"]
    assert sum(row["share"] for row in found) == pytest.approx(100)
    assert found[10] == {"category": "own 32", "share": 100 * 2 / 34, "paper_share": 0.0}
    text = data_card.render({"prompts.ppo": prompts}, READ, DROPS, [])
    assert "| own 28 | 2.9 |  |\n| 3 more | 8.8 |  |\n" in text
    assert "own 29" not in text


def test_without_prompts_nothing_is_divided_by_zero():
    text = data_card.render({"documents.train": FILES["documents.train"]}, READ, DROPS, [])
    assert "| generation | 0.0 | 45.6 |" in text
    assert data_card.numbers({"prompts.ppo": []}, READ, DROPS)["languages"] == {}
