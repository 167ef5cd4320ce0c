"""The laboratory: cells are whole pipelines; tables and claims are made of what they measured, and of nothing else."""

import csv
import json
import shutil

import numpy as np
import pytest

from rlhf.evaluation.statistics import Interval
from rlhf.params.base import ParamsError, read_yaml
from study import cells, claims, names, pages, params, results, tables, workspace
from tests import toys
from tests.study import small
from tests.study.limits import invented
from tools import check

SEEDS = (17, 18)


def policy(rng, gold: float, loss: float = 1.0, kl: float = 1.0) -> dict:
    """Return what a cell has of a policy whose mean gold is about `gold`."""
    scores = np.clip(rng.normal(gold, 0.1, 60), 0, 1).round(4).tolist()
    columns = {
        "gold": scores,
        "strict": scores,
        "controlled": scores,
        "reward_model": scores,
        "num_tokens": [9] * 60,
        "no_fact_right": [0] * 60,
    }
    probes = {"loss": rng.normal(loss, 0.01, 20).tolist(), "cloze": [0.5] * 20, "closed_qa": 0.5, "few_shot": 0.5}
    sampled = {**columns, "kl": [kl] * 60}
    return {"prompts": [f"p{i}" for i in range(60)], "sampled": sampled, "greedy": columns, "probes": probes}


def test_a_cell_that_has_not_run_is_named_with_its_command(tmp_path):
    with pytest.raises(cells.Missing, match=r"dvc repro study/dvc\.yaml:cell@kl_0_17"):
        cells.read(tmp_path, "kl_0_17")


def test_the_table_is_built_from_what_is_on_disk_and_nothing_else(tmp_path):
    """The repository's first claim, PPO against SFT: when the measurements turn round, so does the table."""
    small.lay_out(tmp_path)
    ours = read_yaml(toys.REPO / claims.FILE)["claims"][:1]
    assert ours[0]["effect"]["second"] == "seed_{seed}/sft"
    (tmp_path / claims.FILE).write_text(json.dumps({"claims": ours}))
    found = []
    for sft, ppo in ((0.5, 0.7), (0.7, 0.5)):
        rng = np.random.default_rng(0)
        for seed in (17, 18, 19):
            small.write(tmp_path, f"seed_{seed}", {"policies": {"sft": policy(rng, sft), "ppo": policy(rng, ppo)}})
        assert claims.main([], tmp_path) == 0
        found += csv.DictReader((tmp_path / claims.OUT).open())
        assert [row.verdict for row in claims.stored(tmp_path)] == [found[-1]["verdict"]]
        assert f"({float(found[-1]['low']):+.4f} to" in claims.markdown(claims.stored(tmp_path))
    assert [*found[0]] == list(claims.COLUMNS)
    assert [row["verdict"] for row in found] == ["confirmed", "not confirmed"]
    assert float(found[1]["effect"]) < 0 < float(found[0]["effect"])


def test_every_cell_is_a_valid_pipeline():
    study, preset = params.load(toys.REPO), params.preset(toys.REPO)
    for name, one in study.everything.items():
        found = check.mistakes_in(params.content(preset, one), toys.REPO)
        made = ("study/encoder", "study/stories")  # when they are needed
        assert [line for line in found if not any(place in line for place in made)] == [], name


def test_a_mistake_in_a_cell_is_named_before_anything_is_written(tmp_path):
    content = read_yaml(toys.REPO / params.PRESET)
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
        "evaluate": {group: dict.fromkeys(named, rate) for group, named in names.RATES.items()},
        "reward_model": dict.fromkeys(tables.REWARD_MODEL.values(), 0.75),
    }
    best = {f"best_of_{n}": policy(rng, 0.5 + 0.02 * n, kl=0.2 * n) for n in (1, 2, 4)}
    part = {"comparisons": ["a"], "labelers": [[6, 10]], "gold": [[8, 10]]}
    training = {"accuracy": 0.8, "pairs": 10, "prompts": 5}
    return {
        "evaluation": evaluation,
        "without_criterion": {"facts": {"sampled": rate, "greedy": rate}},
        "policies": {"base": policy(rng, 0.4), "sft": policy(rng, 0.5), "ppo": policy(rng, 0.6), **best},
        "limits": invented.found(),
        "reward_model": {"validation": part, "judge": part, "training": training},
        "curve": [{"kl": 0.1 * i, "score": 0.1 * i, "gold": 0.5 + gain((0.1 * i) ** 0.5)} for i in range(40)],
    }


def test_results_say_what_the_cells_say_which_are_missing_and_which_stale(tmp_path, capsys):
    rng = np.random.default_rng(0)
    settings = {"test_prompts": 60, "probes": 20, "best_of_n": [1, 2, 4], "best_of_n_prompts": 60, "paraphrases": 2}
    kl, chains = {"seed": 17, "measures": ["policy"]}, {f"seed_{seed}": {"seed": seed} for seed in SEEDS}
    for change in ({"ppo.kl_coef": 0.0}, {"ppo.kl_coef": 0.0, "ppo.iterations": 40}):
        others = {"kl_03": kl | {"change": {"ppo.kl_coef": 0.3}}, "kl_0_17": kl | {"change": change}}
        small.lay_out(tmp_path, others, chains, settings)
        if "ppo.iterations" not in change:
            small.write(tmp_path, "kl_0_17", {"policy": policy(rng, 0.6)})
    for seed in SEEDS:
        small.write(tmp_path, f"seed_{seed}", chain(rng))
    small.list_code(tmp_path, chain={"rlhf/rl/gae.py": "0"})
    assert results.main(tmp_path) == 0
    told = capsys.readouterr().err
    assert "without 1 cells that have not run: kl_03" in told
    assert "stale: kl_0_17, made with ppo.iterations 20, now 40" in told
    assert "made with other code: seed_17 (rlhf/rl)" in told
    found = json.loads((tmp_path / results.SEEDS).read_text())
    assert [one["seed"] for one in found["per_seed"]] == [*SEEDS]
    assert found["evaluate"]["win_rate"]["ppo_vs_sft"]["mean"] == pytest.approx(0.7)
    assert found["reward_model"].keys() == tables.REWARD_MODEL.keys()
    laboratory = json.loads((tmp_path / results.LABORATORY).read_text())
    assert {row["policy"] for row in laboratory["frontier"]} >= {"ppo", "best_of_4"}
    assert {row["cell"] for row in laboratory["frontier"] if "stale" in row} == {"kl_0_17"}
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
    assert "| PPO against SFT, sampled, controlled | 70% (66 to 74%) | 70% (65 to 75%) |" in written["seeds.md"]
    assert any(
        line.startswith("| best of 4 (other code) |") and line.endswith("| 17 |")
        for line in written["laboratory.md"].split("\n")
    )
    assert "| seed 17 (other code) |" in written["seeds.md"]
    assert "| PPO, β = 0 (stale) |" in written["laboratory.md"]
    assert "| kl_0_17 | made with ppo.iterations 20, now 40 |" in written["laboratory.md"].replace("\\_", "_")
    assert all(text.startswith("*Written by `python -m study.pages`") for text in written.values())
