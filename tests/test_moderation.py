"""The stage `moderation`: examples in, a moderator and its error rates out."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest

from rlhf import moderation as opening
from stages import moderation
from tests import notebook, toys

OWN = [{"text": f"wug the {word} number {n}", "category": "theft" if word == "dax" else None, "user": f"user {n}"}
       for word in ("dax", "fep") for n in range(40)]  # fmt: skip


def small(root: Path, **classifier) -> Path:
    """Make the stage quick: one frame an act, few features."""
    for name, value in (
        {"phrasings": 1, "combined": 10, "world_prompts": 80, "max_features": 4000} | classifier
    ).items():
        toys.set_param(root, f"moderation.classifier.{name}", value)
    return root


def with_own(root: Path) -> Path:
    (root / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in OWN))
    toys.set_param(root, "moderation.files", ["own.jsonl"])
    return small(root)


def figures(root: Path) -> dict:
    return json.loads((root / "metrics/moderation.json").read_text())


def test_run_twice_it_writes_the_same_bytes_and_a_moderator_that_opens(root, tmp_path):
    small(root)
    again = tmp_path / "elsewhere"
    shutil.copytree(root, again)
    for place in (root, again):
        moderation.main(place)
    written = toys.file_bytes(root / "data/moderation") | toys.file_bytes(root / "metrics")
    assert written == toys.file_bytes(again / "data/moderation") | toys.file_bytes(again / "metrics")
    assert {*written} == {"moderator.json", "vocabulary.txt", "weights.safetensors", "test.jsonl", "moderation.json"}
    opened = opening.opened(root / "data/moderation")
    rows = [json.loads(line) for line in (root / "data/moderation/test.jsonl").read_text().splitlines()]
    verdicts = opened.judge([row["text"] for row in rows])
    assert [verdict.blocked for verdict in verdicts] == [row["blocked"] for row in rows]
    assert [verdict.category for verdict in verdicts] == [row["named"] for row in rows]


def test_its_figures_are_both_rates_with_intervals_by_language_and_what_rivals_reach(root):
    moderation.main(small(root))
    content = figures(root)
    found = content["moderation"]
    assert {name: content[name] for name in ("misses", "false_alarms")} == {
        name: found[name] for name in ("misses", "false_alarms")
    }
    for name in ("misses", "false_alarms"):
        for rate in (found[name], found[name]["en"], found[name]["zh"]):
            assert 0 <= rate["low"] <= rate["mean"] <= rate["high"] <= 1
            assert rate["low"] < rate["high"]
    assert {"look_alikes", "plain"} <= found["false_alarms"].keys()
    assert set(found["misses_by_category"]) == set(toys.shrunken_params()["moderation"]["categories"])
    rivals = {name: (one["misses"]["mean"], one["false_alarms"]["mean"]) for name, one in found["rivals"].items()}
    assert (rivals["always"], rivals["never"]) == ((0.0, 1.0), (1.0, 0.0))
    assert 0 < rivals["keywords"][0] < 1
    assert 0 < rivals["keywords"][1] < 1


def test_what_was_learned_is_better_than_a_coin_on_requests_that_nothing_before_resembles(root):
    moderation.main(small(root, phrasings=6, combined=100, max_features=30000))
    found = figures(root)["moderation"]
    assert found["misses"]["mean"] + found["false_alarms"]["mean"] < 0.8
    assert found["false_alarms"]["plain"]["mean"] < found["false_alarms"]["look_alikes"]["mean"]


def test_fewer_misses_that_are_allowed_are_more_false_alarms(root):
    rates = []
    for allowed in (0.02, 0.4):
        toys.set_param(small(root), "moderation.max_miss_rate", allowed)
        moderation.main(root)
        found = figures(root)["moderation"]
        for language in ("en", "zh"):
            assert found["validation"]["misses"][language]["mean"] <= allowed
        rates.append((found["misses"]["mean"], found["false_alarms"]["mean"]))
    assert rates[0][0] < rates[1][0]
    assert rates[0][1] > rates[1][1]


def test_own_examples_are_learned_and_tested_apart(root, capsys):
    moderation.main(with_own(root))
    found = figures(root)["moderation"]
    assert found["own"]["misses"]["mean"] < 0.5
    assert found["own"]["false_alarms"]["mean"] < 0.5
    assert found["texts"]["own"] == len(OWN)
    assert "own examples: 80 (train" in capsys.readouterr().out
    verdicts = opening.opened(root / "data/moderation").judge(["wug the dax number 7", "wug the fep number 7"])
    assert verdicts[0].probability > verdicts[1].probability
    rows = (root / "data/moderation/test.jsonl").read_text()
    assert "wug" not in rows, "the test set is the same for everybody"


def test_what_it_reads_is_an_input_of_its_run(root, recorder, files_read):
    with_own(root)
    toys.set_param(root, "tracking.enabled", True)
    (root / "data/own").mkdir()
    shutil.move(root / "own.jsonl", root / "data/own/own.jsonl")
    toys.set_param(root, "moderation.files", ["data/own/*.jsonl"])
    moderation.main(root)
    notebook.check_inputs(root, "moderation", recorder, files_read)
    found = figures(root)["moderation"]
    assert recorder.final["moderation.misses.mean"] == pytest.approx(found["misses"]["mean"], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phrasings", 2),
        ("combined", 0),
        ("world_prompts", 0),
        ("window_words", 4),
        ("inverse_regularisation", 0.1),
        ("min_texts", 60),
    ],
)
def test_each_param_of_the_classifier_changes_what_is_made(root, tmp_path, name, value):
    moderation.main(small(root))
    before = toys.file_bytes(root / "data/moderation")
    moderation.main(small(root, **{name: value}))
    assert toys.file_bytes(root / "data/moderation") != before


def test_the_seed_draws_other_prompts_of_the_world(root):
    moderation.main(small(root))
    before = (root / "data/moderation/vocabulary.txt").read_text()
    toys.set_param(root, "seed", 99)
    moderation.main(root)
    assert (root / "data/moderation/vocabulary.txt").read_text() != before


def test_a_narrower_interval_is_one_of_less_coverage(root):
    widths = []
    for coverage in (0.95, 0.6):
        toys.set_param(small(root), "moderation.coverage", coverage)
        moderation.main(root)
        found = figures(root)["moderation"]["misses"]
        widths.append(found["high"] - found["low"])
    assert widths[0] > widths[1]


def test_an_adopted_classifier_gets_its_threshold_and_its_rates_here(root, tokenizer):
    import torch
    import transformers

    torch.manual_seed(3)
    config = toys.config(tokenizer, "llama", num_labels=2, id2label={0: "fine", 1: "grim"}, initializer_range=0.3)
    model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    toys.save(root / "models/grim", model.eval(), tokenizer)
    labels = {"fine": None, "grim": "violence"}
    adopted = {"kind": "adopted", "path": "models/grim", "labels": labels, "probabilities": "softmax"}
    toys.set_param(root, "moderation.classifier", adopted)
    moderation.main(root)
    found = figures(root)["moderation"]
    assert found["texts"]["training"] == 0
    assert found["validation"]["misses"]["en"]["mean"] <= 0.2
    assert {file.name for file in (root / "data/moderation").iterdir()} == {"moderator.json", "test.jsonl"}
    (verdict,) = opening.opened(root / "data/moderation").judge(["Say red."])
    assert verdict.by_category["violence"] == verdict.probability


REAL = "MODERATION_DATA"  # a folder with these files, of rows with a prompt
HARMLESS, MIXED = ("demos_belle_zh", "prompts_cvalues_zh"), "prompts_xstest_en"  # XSTest's rows have a label, too


def real_rows(folder: Path) -> list[dict]:
    rows = []
    for name in (*HARMLESS, MIXED):
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            given = [json.loads(line) for line in lines]
        rows += [
            {"text": row["prompt"], "category": "violence" if row.get("label") == "unsafe" else None} for row in given
        ]
    return rows


def test_on_real_requests_own_examples_help(root):
    """Three in five of people's prompts are learned; of the others far fewer are blocked without need than before."""
    folder = os.environ.get(REAL)
    if not folder:
        pytest.skip(f"{REAL} names no folder of real prompts: docs/moderation.md")
    rows = real_rows(Path(folder))
    moderation.main(root)
    harmless = [row["text"] for row in rows if row["category"] is None]
    blocked = [verdict.blocked for verdict in opening.opened(root / "data/moderation").judge(harmless)]
    (root / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    toys.set_param(root, "moderation.files", ["own.jsonl"])
    moderation.main(root)
    own = figures(root)["moderation"]["own"]
    assert own["false_alarms"]["high"] < 0.7 * sum(blocked) / len(blocked)
    assert own["misses"]["mean"] < 0.4
