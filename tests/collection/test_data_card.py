"""The data card and its numbers, whole, of a few hand-made records."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from rlhf.collection import data_card
from rlhf.collection.batches.work import Sample
from rlhf.collection.table.contents import Contents, contents
from rlhf.params.base import parse
from rlhf.params.collect_prompts import HubSource, WorldSource
from tests.collect_prompts_section import section, source, typed, typed_source
from tests.collect_prompts_table import Table

HOLDS = Contents(
    records={"documents.train": 2, "demonstrations.train": 2, "comparisons.train": 1, "prompts.ppo": 4},
    users={"demonstrations.train": 1, "comparisons.train": 0, "prompts.ppo": 3},
    prompts=6,
    languages={"en": 5, "zh": 1},
    categories={"open_qa": 2, "Generation": 2, "my | own": 1, "generation": 1},
    characters={
        "prompt": {"p5": 1, "p50": 2, "p95": 7, "max": 7},
        "demonstration": {"p5": 1, "p50": 1, "p95": 5, "max": 5},
        "comparison_response": {"p5": 2, "p50": 3, "p95": 4, "max": 4},
        "document": {"p5": 10, "p50": 10, "p95": 30, "max": 30},
    },
)
NOTHING = Contents({}, {}, 0, {}, {}, {})
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
    assert data_card.render(HOLDS, READ, DROPS, SOURCES) == CARD


def test_the_metrics_count_what_the_card_counts():
    assert data_card.numbers(HOLDS, READ, DROPS) == {
        "read": 1203, "kept": 1186, "dropped": {"too_long": 4, "empty": 4, "exact_duplicate": 9},
        "sources": {"given": {"read": 1200, "kept": 1183}, "other": {"read": 3, "kept": 3}},
        "records": HOLDS.records, "characters": HOLDS.characters,
        "prompts": 6, "languages": {"en": 5, "zh": 1}, "users": {"prompts.ppo": 3},
    }  # fmt: skip


def test_the_screen_hears_of_each_source_and_of_drops_by_their_number():
    assert list(data_card.screen_lines(READ, DROPS)) == [
        "given: read 1200, kept 1183; dropped: exact_duplicate 9, empty 4, too_long 4", "other: read 3, kept 3",
    ]  # fmt: skip


def test_categories_beyond_thirty_of_ones_own_are_added_up():
    holds = NOTHING._replace(categories={f"own {number:02}": 1 + (number == 32) for number in range(33)})
    found = data_card.categories(holds)
    assert [row["category"] for row in found[10:13]] == ["own 32", "own 00", "own 01"]
    assert sum(row["share"] for row in found) == pytest.approx(100)
    assert found[10] == {"category": "own 32", "share": 100 * 2 / 34, "paper_share": 0.0}
    text = data_card.render(holds, READ, DROPS, [])
    assert "| own 28 | 2.9 |  |\n| 3 more | 8.8 |  |\n" in text
    assert "own 29" not in text


def test_without_prompts_nothing_is_divided_by_zero():
    text = data_card.render(NOTHING._replace(records={"documents.train": 2}), READ, DROPS, [])
    assert "| generation | 0.0 | 45.6 |" in text


def test_samples_of_what_was_dropped_are_shown_by_reason_with_what_they_are_near_to():
    samples = {"near_duplicate": [Sample(1, "a-7", "Name | a tree", "Name a tree.")], "empty": [Sample(2, "a-1", "")]}
    text = data_card.render(NOTHING, READ, DROPS, [], samples=samples)
    assert text.endswith(
        "| reason | row | begins | near to |\n| --- | --- | --- | --- |\n| empty | a-1 |  |  |\n"
        "| near_duplicate | a-7 | Name \\| a tree | Name a tree. |\n"
    )


@pytest.mark.parametrize(("held_out", "is_said"), [(0, False), (1, True), (19, True), (20, False)])
def test_few_documents_for_validation_are_said(held_out, is_said):
    lines = list(data_card.document_lines(NOTHING._replace(records={"documents.validation": held_out})))
    assert len(lines) == is_said
    assert all(line.startswith(f"WARNING: {held_out} documents are held out for validation") for line in lines)


def record(number, content, **more):
    usual = {"kind": "prompt", "id": f"given-{number}", "messages": [{"role": "user", "content": content}]}
    answers = {key: more.pop(key) for key in ("response", "responses", "labels") if key in more}
    described = {"category": "open_qa", "language": "en", "user": None, "source": "given"}
    return usual | answers | described | more


def test_what_files_hold_is_counted_in_their_records():
    """Each prompt counts once for languages, categories and lengths, in however many files it stands."""
    records = [
        record(1, "four", kind="demonstration", response="12345", user="u"),
        record(2, "five5", kind="demonstration", response="1", user="u", category="chat"),
        record(3, "seven77", kind="comparison", responses=["12", "1234", "123"], labels=[], language="zh"),
        record(4, "a", user="v", category="rare"),
        record(5, "bb", task={"kind": "x"}),
    ]
    table = Table({"given": records}, typed(section([source("given", "unread.jsonl")])).collect_prompts)
    files = {
        "demonstrations.train": [0, 1], "comparisons.train": [2], "prompts.judge": [4], "prompts.ppo": [0, 3],
    }  # fmt: skip
    rows = {name: np.array(found) for name, found in files.items()}
    held = contents(table.gathered, rows, {"documents.train": np.empty(0, np.int64)}, {"open_qa", "chat"})
    table.close()
    assert held == Contents(
        records={"documents.train": 0, **{name: len(found) for name, found in files.items()}},
        users={"demonstrations.train": 1, "comparisons.train": 0, "prompts.judge": 0, "prompts.ppo": 2},
        prompts=5,
        languages={"en": 4, "zh": 1},
        categories={"chat": 1, "open_qa": 3, "other": 1},
        characters={
            "prompt": {"p5": 1, "p50": 4, "p95": 7, "max": 7},
            "demonstration": {"p5": 1, "p50": 1, "p95": 5, "max": 5},
            "comparison_response": {"p5": 2, "p50": 3, "p95": 4, "max": 4},
        },
        judge_has_tasks=True,
    )
