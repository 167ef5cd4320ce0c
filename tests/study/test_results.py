"""What cells say together, on hand-made cells: each row is of its cell, its seed and its policy."""

import json

import numpy as np
import pytest

from rlhf.evaluation.statistics import Interval
from study import cells, names, params, results, tables
from study.params import Cell, Study


@pytest.fixture
def study() -> Study:
    """A study of two seeds' chains and a cell, of which answers were drawn four at a time at most."""
    one = {"change": {}, "targets": ["evaluate"], "measures": ["policies"]}
    content = {
        "settings": {"test_prompts": 9, "probes": 9, "best_of_n": [1, 2, 4], "best_of_n_prompts": 9, "paraphrases": 9},
        "encoder": {
            "seed": 17, "layers": 1, "width": 8, "heads": 1, "context": 16, "vocab_size": 100, "steps": 1,
            "batch_size": 1, "row_tokens": 8, "learning_rate": 0.1,
        },
        "chains": {"seed_17": one | {"seed": 17}, "seed_18": one | {"seed": 18}},
        "cells": {"kl_03": one | {"seed": 18, "change": {"ppo.kl_coef": 0.3}}},
        "forms": {
            "training": 9, "test": 9, "stories": 9, "few_shots": 2, "shown_sets": 1, "epochs": 1, "batch_size": 3,
            "learning_rate": 0.1, "lm_coef": 0.5,
        },
        "stories": {"seed": 1, "documents": 9, "demonstrations": 9},
        "encoders": {},
        "forms_cells": {"forms": one | {"seed": 18, "measures": ["forms"]}},
    }  # fmt: skip
    return params.parse(Study, content, "")


def answered(gold: list[float], score: list[float], kl: list[float] | None) -> dict:
    return {"sampled": {"gold": gold, "reward_model": score} | ({"kl": kl} if kl else {})}


def test_the_frontier_holds_every_policy_whose_distance_was_measured(study):
    policies = {"sft": answered([0.5], [0.0], None), "ppo": answered([0.5, 0.7], [0.25, 0.75], [2.0, 4.0])}
    (row,) = results.frontier("seed_17", {"policies": policies}, study)
    gold = row.pop("gold")
    assert row == {"cell": "seed_17", "seed": 17, "policy": "ppo", "kl": 3.0, "reward_model": 0.5}
    assert gold["mean"] == pytest.approx(0.6)
    assert (gold["low"], gold["high"]) == (0.5, 0.7)
    (alone,) = results.frontier("kl_03", {"policy": policies["ppo"]}, study)
    assert (alone["cell"], alone["seed"], alone["policy"]) == ("kl_03", 18, "ppo")


def test_the_tax_is_of_every_policy_that_was_probed(study):
    probed = answered([0.5, 0.7], [0.0, 0.0], None) | {
        "probes": {"loss": [1.0, 2.0], "cloze": [0.25, 0.75], "closed_qa": 0.1, "few_shot": 0.2}
    }  # fmt: skip
    rows = list(results.tax("seed_18", {"policies": {"sft": answered([1.0], [0.0], None), "base": probed}}, study))
    assert [(row["cell"], row["seed"], row["policy"]) for row in rows] == [("seed_18", 18, "base")]
    assert (rows[0]["closed_qa"], rows[0]["few_shot"]) == (0.1, 0.2)
    assert [rows[0][name]["mean"] for name in ("loss", "cloze", "gold")] == pytest.approx([1.5, 0.5, 0.6])


def test_a_reward_models_row_has_the_accuracy_of_each_part_by_each_judge(tmp_path, study):
    part = {"comparisons": ["a", "b"], "labelers": [[1, 2], [3, 4]], "gold": [[1, 1], [0, 1]]}
    other = {"comparisons": ["c"], "labelers": [[1, 10]], "gold": [[9, 10]]}
    training = {"accuracy": 0.9, "pairs": 10, "prompts": 5}
    path = tmp_path / cells.FOLDER / "kl_03.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"reward_model": {"validation": part, "judge": other, "training": training}}))
    row = results.reward_model_row(tmp_path, "kl_03", study)
    assert (row.pop("cell"), row.pop("seed"), row.pop("training")) == ("kl_03", 18, training)
    assert {name: one["mean"] for name, one in row.items()} == pytest.approx(
        {"validation_labelers": 4 / 6, "validation_gold": 0.5, "judge_labelers": 0.1, "judge_gold": 0.9}
    )


def rising(distance: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    return distance * (alpha - beta * np.log(np.maximum(distance, 1e-12)))


def test_ppos_fit_is_of_the_gain_over_the_first_iteration_at_the_root_of_kl(study):
    distance = np.linspace(0, 3, 31)
    gold = 0.4 + rising(distance, 0.2, 0.2)
    curve = [
        {"step": step, "kl": kl, "gold": value, "score": 2 * value, "completion_tokens": 9}
        for step, (kl, value) in enumerate(zip(distance**2, gold, strict=True))
    ]
    curve[0]["kl"] = -1e-9  # sampled KL may be a little below 0
    there = {"seed_17": {"curve": curve}, "kl_03": {"curve": curve}, "seed_18": {}}
    usual, changed = results.ppo_fits(there, study)
    assert (usual["cell"], usual["seed"], usual["kl_coef"]) == ("seed_17", 17, "default")
    assert (changed["cell"], changed["seed"], changed["kl_coef"]) == ("kl_03", 18, 0.3)
    for found in (usual, changed):
        assert [found[name] for name in ("alpha", "beta", "r_squared")] == pytest.approx([0.2, 0.2, 1.0])
        assert [found["peak_kl"], found["farthest_kl"]] == pytest.approx([1.0, 9.0])
        assert found["peak_passed"] is True
        assert found["points"][3] == {name: curve[3][name] for name in ("kl", "score", "gold")}
        assert len(found["points"]) == len(curve)


def test_best_of_ns_fit_is_of_the_gain_over_one_answer_prompt_by_prompt(study):
    """Gains of d (0.5 - 0.2 d) over d = 0, 1, 2 at n = 1, 2, 4, whatever each prompt's first answer was worth."""
    start = np.array([0.1, 0.3, 0.5])
    policies = {
        f"best_of_{n}": answered((start + gain).tolist(), [float(n)] * 3, [kl] * 3)
        for n, kl, gain in ((1, 0.0, 0.0), (2, 1.0, 0.3), (4, 4.0, 0.2))
    }
    policies["best_of_8"] = answered([9.0] * 3, [9.0] * 3, [9.0] * 3)  # the settings do not name it
    with pytest.raises(ValueError, match="three points"):
        results.best_of_n_fits({"seed_17": {"policies": policies}}, study)
    study = study.model_copy(update={"settings": study.settings.model_copy(update={"best_of_n": [1, 2, 4, 8]})})
    policies["best_of_8"] = answered((start - 0.3).tolist(), [8.0] * 3, [9.0] * 3)
    (found,) = results.best_of_n_fits({"seed_17": {"policies": policies}, "kl_03": {}}, study)
    assert (found["cell"], found["seed"]) == ("seed_17", 17)
    assert [found["alpha"], found["beta"], found["r_squared"]] == pytest.approx([0.5, 0.2, 1.0])
    assert found["alpha_interval"] == pytest.approx([0.5, 0.5])
    assert found["beta_interval"] == pytest.approx([0.2, 0.2])
    assert found["peak_kl"] == pytest.approx((0.5 / (2 * 0.2)) ** 2)
    assert found["peak_kl_interval"] == pytest.approx([1.5625, 1.5625])
    assert found["farthest_kl"] == pytest.approx(9.0)
    assert found["points"] == [
        {"n": n, "kl": kl, "gold": pytest.approx(0.3 + gain), "score": float(n)}
        for n, kl, gain in ((1, 0.0, 0.0), (2, 1.0, 0.3), (4, 4.0, 0.2), (8, 9.0, -0.3))
    ]


def test_a_fits_intervals_cover_95_percent_of_its_numbers_error():
    """Of a straight gain with noise: the bounds are about two standard errors of alpha from it."""
    rng = np.random.default_rng(0)
    distance = np.linspace(0.2, 3, 200)
    gain = rising(distance, 0.3, 0.1) + rng.normal(0, 0.05, 200)
    found = results.fitted(np.stack([distance, gain], axis=1), "rl")
    features = np.stack([distance, -distance * np.log(distance)], axis=1)
    error = np.sqrt(np.linalg.inv(features.T @ features) * 0.05**2).diagonal()
    for place, name in enumerate(("alpha", "beta")):
        low, high = found[f"{name}_interval"]
        assert high - low == pytest.approx(2 * 1.96 * error[place], rel=0.2)
        assert low < found[name] < high
    assert found["peak_passed"] is False
    assert found["peak_kl"] == pytest.approx(np.exp(2 * (found["alpha"] / found["beta"] - 1)))
    assert found["peak_kl_interval"][0] < found["peak_kl"] < found["peak_kl_interval"][1]


def test_a_peak_that_is_never_reached_is_shown_as_a_million_nats():
    distance = np.linspace(0.2, 3, 20)
    found = results.fitted(np.stack([distance, 0.3 * distance], axis=1), "rl")
    assert found["peak_kl"] == 1e6
    assert found["peak_passed"] is False


def rates(mean: float) -> dict:
    rate = {"mean": mean, "low": mean - 0.03, "high": mean + 0.04}
    return {group: dict.fromkeys(named, rate) for group, named in names.RATES.items()}


def test_headlines_are_means_of_the_seeds_and_their_errors_add_in_squares(study):
    chains = {
        f"seed_{seed}": {
            "evaluation": {
                "evaluate": rates(mean),
                "reward_model": {name: mean + 0.01 * place for place, name in enumerate(tables.REWARD_MODEL.values())},
            },
            "without_criterion": {"facts": mean},
        }
        for seed, mean in ((17, 0.6), (18, 0.8))
    }
    found = results.seeds(chains, study)
    for group, name in (("win_rate", "ppo_vs_sft"), ("controlled", "ppo_vs_dpo_greedy")):
        rate = found["evaluate"][group][name]
        assert rate == pytest.approx({"mean": 0.7, "low": 0.7 - 0.03 / 2**0.5, "high": 0.7 + 0.04 / 2**0.5})
    means = [0.7 + 0.01 * place for place in range(len(tables.REWARD_MODEL))]
    assert list(found["reward_model"].values()) == pytest.approx(means)
    assert list(found["reward_model"]) == list(tables.REWARD_MODEL)
    assert [one["seed"] for one in found["per_seed"]] == [17, 18]
    assert found["averaged"] == [17, 18]
    alone = results.seeds(chains, study, {"seed_17": "made with other params"})
    assert [one["seed"] for one in alone["per_seed"]] == [17, 18]
    assert alone["averaged"] == [18]
    own = alone["per_seed"][1]["controlled"]
    assert {name: one["mean"] for name, one in alone["evaluate"]["controlled"].items()} == pytest.approx(
        {name: one["mean"] for name, one in own.items()}
    )
    assert results.seeds(chains, study, ["seed_17", "seed_18"])["averaged"] == [17, 18]  # better than none
    assert {group: found["per_seed"][1][group] for group in names.RATES} == rates(0.8)
    del chains["seed_18"]["evaluation"]["evaluate"]["controlled"]["ppo_vs_dpo"]  # a rival that a seed lacks
    fewer = results.seeds(chains, study)["evaluate"]["controlled"]
    assert "ppo_vs_dpo" not in fewer and "ppo_vs_sft" in fewer
    del chains["seed_17"]["evaluation"]["evaluate"]["controlled"]  # of an older cell
    assert results.seeds(chains, study)["evaluate"]["controlled"] == {}
    assert found["per_seed"][0]["without_criterion"] == {"facts": 0.6}
    assert list(found["per_seed"][0]["reward_model"].values()) == pytest.approx([mean - 0.1 for mean in means])
    assert "not seeds" in found["interval"]
    assert results.together([Interval(0.5, 0.4, 0.6)]) == pytest.approx((0.5, 0.4, 0.6))


def test_where_no_seed_has_run_nothing_is_written(tmp_path, study, monkeypatch, capsys):
    monkeypatch.setattr(params, "load", lambda root: study)
    assert results.main(tmp_path) == 2
    told = capsys.readouterr().err
    assert "without 4 cells that have not run: seed_17, seed_18, kl_03, forms" in told
    assert "no seed has run: dvc repro study/dvc.yaml:chain@seed_17" in told
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_the_study_is_said_and_ends_it(tmp_path, capsys):
    (tmp_path / "study").mkdir()
    (tmp_path / params.FILE).write_text("cells: {}\n")
    assert results.main(tmp_path) == 2
    assert "study/params.yaml: settings: missing" in capsys.readouterr().err


def test_a_cells_policies_are_those_of_a_chain_or_its_one():
    assert [*results.policies({"policies": {"sft": {"a": 1}}})] == [("sft", {"a": 1})]
    assert [*results.policies({"policy": {"a": 1}})] == [("ppo", {"a": 1})]
    assert [*results.policies({"policies": {"ppo": {}}, "policy": {"b": 2}})] == [("ppo", {}), ("ppo", {"b": 2})]
    assert [*results.policies({})] == []


def test_all_cells_of_a_study_are_chains_cells_encoders_and_forms(study):
    assert list(study.everything) == ["seed_17", "seed_18", "kl_03", "forms"]
    assert all(isinstance(cell, Cell) for cell in study.everything.values())
