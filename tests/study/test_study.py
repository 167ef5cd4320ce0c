"""The laboratory: cells are whole pipelines, effects are paired and pooled within seeds, intervals give verdicts."""

import csv
import json
import shutil

import numpy as np
import pytest

from rlhf.evaluation.statistics import Interval
from rlhf.params.base import ParamsError, read_yaml
from study import cell, cells, claims, effects, pages, params, results, tables, workspace
from tests import toys
from tools import check

SEEDS = (17, 18)


def policy(rng, gold: float, loss: float = 1.0, kl: float = 1.0) -> dict:
    """Return what a cell has of a policy whose mean gold is about `gold`."""
    scores = np.clip(rng.normal(gold, 0.1, 60), 0, 1).round(4).tolist()
    columns = {
        "gold": scores,
        "strict": scores,
        "reward_model": scores,
        "num_tokens": [9] * 60,
        "no_fact_right": [0] * 60,
    }
    probes = {"loss": rng.normal(loss, 0.01, 20).tolist(), "cloze": [0.5] * 20, "closed_qa": 0.5, "few_shot": 0.5}
    sampled = {**columns, "kl": [kl] * 60}
    return {"prompts": [f"p{i}" for i in range(60)], "sampled": sampled, "greedy": columns, "probes": probes}


def write(root, name: str, content: dict) -> None:
    path = root / cells.FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for seed in SEEDS:
        write(tmp_path, f"seed_{seed}", {"policies": {"sft": policy(rng, 0.5), "ppo": policy(rng, 0.6, loss=1.4)}})
    return tmp_path


def test_a_difference_is_paired_by_prompt_and_pooled_within_seeds(root):
    effect = effects.Difference(
        kind="difference", column="gold", first="seed_{seed}/ppo", second="seed_{seed}/sft", seeds=[*SEEDS]
    )
    found = effect.measured(root)
    assert effect.cells() == ["seed_17", "seed_18"]
    assert found.low < 0.1 < found.high
    assert found.low > 0
    own = [effect.model_copy(update={"seeds": [seed]}).measured(root) for seed in SEEDS]
    assert found.mean == pytest.approx(np.mean([one.mean for one in own]))
    assert found.high - found.low < min(one.high - one.low for one in own)


def test_a_column_is_of_the_decoding_the_policy_and_the_probe_that_are_named(tmp_path):
    def measured(offset: float) -> dict:
        sampled, greedy = {"gold": [offset, 0.1], "kl": [0.2, 0.3]}, {"gold": [0.4, offset]}
        probes = {"loss": [offset, 2.0], "cloze": [0.5, offset]}
        return {"prompts": ["a", "b"], "sampled": sampled, "greedy": greedy, "probes": probes}

    write(tmp_path, "seed_17", {"policies": {"sft": measured(0.7), "ppo": measured(0.8)}})
    write(tmp_path, "kl_0_17", {"policy": measured(0.9)})
    for name, offset in {"seed_17/sft": 0.7, "seed_17/ppo": 0.8, "kl_0_17": 0.9}.items():
        place = cells.Place.of(name)
        assert cells.column(tmp_path, place, "sampled", "gold") == {"a": offset, "b": 0.1}
        assert cells.column(tmp_path, place, "greedy", "gold") == {"a": 0.4, "b": offset}
        assert cells.column(tmp_path, place, "greedy", "loss") == {"0": offset, "1": 2.0}
        assert cells.column(tmp_path, place, "sampled", "cloze") == {"0": 0.5, "1": offset}
    pair = {"first": "seed_17/ppo", "second": "seed_17/sft"}
    gap = {
        decoding: effects.Difference(kind="difference", column="gold", decoding=decoding, **pair).gaps(
            tmp_path, decoding, "gold"
        )
        for decoding in ("sampled", "greedy")
    }
    assert [one.tolist() for one in gap["sampled"]] == [pytest.approx([0.1, 0.0])]
    assert [one.tolist() for one in gap["greedy"]] == [pytest.approx([0.0, 0.1])]
    rates = [effects.WinRate(kind="win_rate", decoding=name, **pair).measured(tmp_path).mean for name in gap]
    assert rates == [0.25, 0.25]


def test_the_order_of_prompts_changes_nothing_and_strangers_are_refused():
    first, second = {"a": 1.0, "b": 0.5}, {"b": 0.25, "a": 0.5, "c": 9.0}
    assert cells.differences(first, second).tolist() == [0.5, 0.25]
    with pytest.raises(ValueError, match="share no prompt"):
        cells.differences(first, {"z": 1.0})


def test_accuracies_are_compared_on_the_same_comparisons(tmp_path):
    for name, right in (("good", 9), ("bad", 5)):
        part = {"comparisons": ["a", "b"], "labelers": [[right, 10], [right, 10]], "gold": [[1, 2], [1, 2]]}
        write(tmp_path, name, {"reward_model": {"validation": part, "training": {"accuracy": right / 10 + 0.1}}})
    found = effects.Accuracy(kind="accuracy", first="good", second="bad").measured(tmp_path)
    assert found == pytest.approx((0.4, 0.4, 0.4))
    gap = effects.Overfit(kind="overfit", first="good", second="bad").measured(tmp_path)
    assert gap.mean == pytest.approx(0.0, abs=1e-9)  # both over-fit by a tenth


def test_a_cell_that_has_not_run_is_named_with_its_command(tmp_path):
    with pytest.raises(cells.Missing, match=r"dvc repro study/dvc\.yaml:cell@kl_0_17"):
        cells.read(tmp_path, "kl_0_17")


@pytest.mark.parametrize(
    ("interval", "expected", "verdict"),
    [
        ((0.1, 0.05, 0.15), "positive", "confirmed"),
        ((0.1, -0.05, 0.25), "positive", "inconclusive"),
        ((0.0, -0.01, 0.01), "positive", "not confirmed"),
        ((-0.1, -0.2, -0.05), "positive", "not confirmed"),
        ((-0.1, -0.2, -0.05), "negative", "confirmed"),
        ((0.1, 0.05, 0.15), "negative", "not confirmed"),
        ((0.0, -0.01, 0.01), "none", "confirmed"),
        ((0.1, 0.05, 0.15), "none", "not confirmed"),
        ((0.0, -0.05, 0.05), "none", "inconclusive"),
        ((0.75, 0.73, 0.77), [0.72, 0.78], "confirmed"),
        ((0.75, 0.70, 0.77), [0.72, 0.78], "inconclusive"),
        ((0.85, 0.84, 0.86), [0.72, 0.78], "not confirmed"),
    ],
)
def test_a_verdict_is_what_the_interval_says(interval, expected, verdict):
    assert claims.verdict(Interval(*interval), expected, 0.02) == verdict


def test_the_table_is_built_from_what_is_on_disk_and_nothing_else(root):
    content = read_yaml(toys.REPO / claims.FILE)["claims"]
    ours = [dict(one) for one in content if one["effect"].get("second") == "seed_{seed}/sft"][:1]
    ours[0]["effect"] = {**ours[0]["effect"], "seeds": [*SEEDS]}
    (root / claims.FILE).write_text(json.dumps({"claims": ours}))
    assert claims.main([], root) == 0
    first = list(csv.DictReader((root / claims.OUT).open()))
    assert [*first[0]] == list(claims.COLUMNS)
    assert first[0]["verdict"] == "confirmed"
    assert [row.verdict for row in claims.stored(root)] == ["confirmed"]
    assert f"({float(first[0]['low']):+.4f} to" in claims.markdown(claims.stored(root))
    rng = np.random.default_rng(1)
    for seed in SEEDS:  # the measurements turn round, so does the table
        write(root, f"seed_{seed}", {"policies": {"sft": policy(rng, 0.6), "ppo": policy(rng, 0.5)}})
    assert claims.main([], root) == 0
    second = list(csv.DictReader((root / claims.OUT).open()))
    assert float(second[0]["effect"]) < 0 < float(first[0]["effect"])
    assert second[0]["verdict"] == "not confirmed"


def test_every_claim_names_cells_that_the_study_has():
    study = params.load(toys.REPO)
    listed = claims.read(toys.REPO)
    assert len(listed) >= 15
    assert {name for claim in listed for name in claim.effect.cells()} <= study.everything.keys()


def test_every_cell_is_a_valid_pipeline():
    study = params.load(toys.REPO)
    for name, one in study.everything.items():
        found = check.mistakes_in(cell.content(toys.REPO, one), toys.REPO)
        assert [line for line in found if "study/encoder" not in line] == [], name  # that is made when it is needed


def test_a_mistake_in_a_cell_is_named_before_anything_is_written(tmp_path):
    content = read_yaml(toys.REPO / cell.PRESET)
    content["ppo"]["kl_coef"] = -1.0
    with pytest.raises(ParamsError, match=r"study cell 'odd': ppo\.kl_coef"):
        workspace.prepare(tmp_path, "odd", content)
    assert not (tmp_path / workspace.FOLDER / "odd").exists()


def test_a_mistake_in_the_studys_file_names_that_file(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / params.FILE).write_text("settings: {}\ncells: {}\n")
    with pytest.raises(ParamsError, match=r"study/params\.yaml: settings\.test_prompts: missing"):
        params.load(tmp_path)


def test_errors_of_seeds_add_in_squares():
    found = results.together([Interval(0.7, 0.6, 0.8), Interval(0.9, 0.8, 1.0)])
    assert found == pytest.approx((0.8, 0.8 - 0.1 / 2**0.5, 0.8 + 0.1 / 2**0.5))


def test_fits_of_the_laboratory_find_the_form_and_its_peak():
    distance = np.linspace(0.1, 4, 40)
    found = results.fitted(np.stack([distance, distance * (0.3 - 0.3 * np.log(distance))], axis=1), "rl")
    assert found["alpha_interval"][0] <= 0.3 <= found["alpha_interval"][1] + 1e-9
    assert found["peak_kl"] == pytest.approx(1.0)
    assert found["peak_passed"]


def gain(distance: float) -> float:
    """Return Gao's form with its highest gain at a distance of 1."""
    return distance * 0.3 * (1 - np.log(distance)) if distance else 0.0


def chain(rng) -> dict:
    """Return what a whole chain's cell has, in small."""
    rate = {"mean": 0.7, "low": 0.65, "high": 0.75}
    evaluation = {
        "evaluate": {"win_rate": dict.fromkeys(tables.HEADLINES, rate)},
        "reward_model": dict.fromkeys(tables.REWARD_MODEL.values(), 0.75),
    }
    best = {f"best_of_{n}": policy(rng, 0.5 + 0.02 * n, kl=0.2 * n) for n in (1, 2, 4)}
    limits = {
        "gold": dict.fromkeys(("false_premise", "unknown", "clarify", "harmful", "look_alike"), [0.5, 1.0]),
        "paraphrase_spread": [0.0, 0.2], "words": [3, 4], "phrases": {"have a nice": 0.9},
    }  # fmt: skip
    part = {"comparisons": ["a"], "labelers": [[6, 10]], "gold": [[8, 10]]}
    training = {"accuracy": 0.8, "pairs": 10, "prompts": 5}
    return {
        "evaluation": evaluation,
        "without_criterion": {"facts": {"sampled": rate, "greedy": rate}},
        "policies": {"base": policy(rng, 0.4), "sft": policy(rng, 0.5), "ppo": policy(rng, 0.6), **best},
        "limits": dict.fromkeys(("base", "sft", "ppo"), limits),
        "reward_model": {"validation": part, "judge": part, "training": training},
        "curve": [{"kl": 0.1 * i, "score": 0.1 * i, "gold": 0.5 + gain((0.1 * i) ** 0.5)} for i in range(40)],
    }


def test_results_say_what_the_cells_say_and_which_are_missing(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for seed in SEEDS:
        write(tmp_path, f"seed_{seed}", chain(rng))
    one = {"seed": 17, "change": {}, "targets": ["evaluate"], "measures": ["evaluation"]}
    settings = {"test_prompts": 60, "probes": 20, "best_of_n": [1, 2, 4], "best_of_n_prompts": 60, "paraphrases": 2}
    kl = {**one, "change": {"ppo.kl_coef": 0.3}, "measures": ["curve"]}
    chains = {f"seed_{seed}": {**one, "seed": seed} for seed in SEEDS}
    content = {"settings": settings, "chains": chains, "cells": {"kl_03": kl}, "encoders": {}}
    content["encoder"] = read_yaml(toys.REPO / params.FILE)["encoder"]
    (tmp_path / "study").mkdir()
    (tmp_path / params.FILE).write_text(json.dumps(content))
    assert results.main(tmp_path) == 0
    assert "kl_03" in capsys.readouterr().err
    found = json.loads((tmp_path / results.SEEDS).read_text())
    assert [one["seed"] for one in found["per_seed"]] == [*SEEDS]
    assert found["evaluate"]["win_rate"]["ppo_vs_sft"]["mean"] == pytest.approx(0.7)
    assert found["reward_model"].keys() == tables.REWARD_MODEL.keys()
    laboratory = json.loads((tmp_path / results.LABORATORY).read_text())
    assert {row["policy"] for row in laboratory["frontier"]} >= {"ppo", "best_of_4"}
    for fit in laboratory["overoptimisation"]["ppo"]:  # of the gain over the first iteration, whose gold is 0.5
        assert [fit[name] for name in ("alpha", "beta", "peak_kl")] == pytest.approx([0.3, 0.3, 1.0], rel=1e-3)
        assert fit["peak_passed"]
        assert fit["farthest_kl"] == pytest.approx(3.9)
    for fit in laboratory["overoptimisation"]["best_of_n"]:  # of the gain over one answer: 0.02 for each one more
        assert [(point["n"], point["kl"]) for point in fit["points"]] == [(n, 0.2 * n) for n in (1, 2, 4)]
        gains = [point["gold"] - fit["points"][0]["gold"] for point in fit["points"]]
        distance = np.sqrt([0.2, 0.4, 0.8])
        assert distance * (fit["alpha"] - fit["beta"] * distance) == pytest.approx(gains, abs=0.02)
    assert sorted(path.stem for path in (tmp_path / results.PLOTS).glob("*.svg"))[0] == "frontier"
    shutil.copy(toys.REPO / claims.FILE, tmp_path)
    (tmp_path / claims.OUT).write_text(claims.table([]))
    pages.main(tmp_path)
    written = {path.name: path.read_text() for path in (tmp_path / pages.FOLDER).glob("*.md")}
    assert "| PPO against SFT, sampled | 70% (66 to 74%) | 70% (65 to 75%) |" in written["seeds.md"]
    assert any(
        line.startswith("| best of 4 |") and line.endswith("| 17 |") for line in written["laboratory.md"].split("\n")
    )
    assert all(text.startswith("*Written by `python -m study.pages`") for text in written.values())
