"""What was trained is read from what the stages wrote: the last round's files, and the data card."""

import json
from collections import Counter

from rlhf.collection import data_card
from rlhf.collection.table.contents import Contents
from rlhf.evaluation import history
from rlhf.params.collect_prompts import FileSource


def card(licence: str | None, path: str = "real/a.txt") -> str:
    source = FileSource(
        name="books", kind="file", use=["documents"], splits=[], columns=None, language=None, category=None,
        limit=None, licence=licence, paths=[path], format="text",
    )  # fmt: skip
    contents = Contents({"documents.train": 1}, {}, 0, {}, {}, {})
    return data_card.render(contents, {"books": 5}, {"books": Counter(dropped=2)}, [source])


def test_sources_and_licences_are_those_of_the_data_card():
    assert history.sources(card("CC BY | 4.0")) == [
        {
            "source": "books",
            "from": "real/a.txt",
            "use": "documents",
            "licence": "CC BY | 4.0",
            "read": "5",
            "kept": "3",
        }
    ]
    assert history.sources(card(None))[0]["licence"] == ""


def test_a_table_may_be_written_without_spaces():
    text = card("MIT").replace(" |", "|").replace("| ", "|")
    assert history.sources(text) == history.sources(card("MIT"))


def test_the_last_rounds_figures_and_curves_are_read(tmp_path):
    for stage in history.WITHOUT_ROUND:
        put(tmp_path, stage, json.dumps({stage: {"own": stage}}), "step,loss\n1,0.5\n")
    for stage in history.OF_A_ROUND:
        for number, name in enumerate(("r1", "r2"), start=1):
            put(
                tmp_path,
                f"{stage}/{name}",
                json.dumps({stage: {name: {"own": name}}}),
                f"step,kl,gold\n{number},0.25,\n",
            )
    (tmp_path / "data/collect_prompts").mkdir(parents=True)
    (tmp_path / "data/collect_prompts/data_card.md").write_text(card("MIT"))
    found = history.read(tmp_path, "r2", 17)
    assert found.metrics["ppo"] == found.metrics["reward_model"] == {"own": "r2"}
    assert found.metrics["pretrain"] == {"own": "pretrain"}
    assert found.curves["ppo"] == [{"step": 2.0, "kl": 0.25}]  # an empty cell is no figure
    assert history.column(found.curves["sft"], "loss") == ([1.0], [0.5])
    assert (found.seed, found.round, found.sources[0]["licence"]) == (17, "r2", "MIT")


def put(root, name: str, metrics: str, curve: str) -> None:
    for path, text in ((root / f"metrics/{name}.json", metrics), (root / f"metrics/plots/{name}.csv", curve)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
