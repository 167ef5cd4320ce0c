"""What cells cost before they run: planned operations at measured rates, and what cells share counted once."""

import json
import os

import pytest

from rlhf.params.base import ParamsError, read_yaml
from study import cells, params
from study.costs import measured, steps
from study.costs.__main__ import lines, main
from tests import toys
from tests.study import small

ONE = {"seed": 17, "change": {}, "targets": ["ppo@r1"], "measures": ["policy"]}
KEPT = {
    "per_flop": {"pretrain": 1e-9, "sft": 1e-9, "collect_answers": 1e-9, "reward_model": 1e-9, "ppo": 1e-9},
    "each": {"collect_prompts": 10.0, "collect_comparisons": 5.0}, "measuring": {"policy": 4.0}, "machine": "a desk",
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """The tiny preset in the laptop's place, and four cells: the default, another KL, another seed, two rounds."""
    content = read_yaml(toys.REPO / params.FILE)
    two = {
        "r1": {"policy": "sft", "earlier": "collect_prompts"},
        "r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"},
    }
    content |= {
        "chains": {}, "encoders": {}, "forms_cells": {},
        "cells": {
            "plain": ONE, "kl": ONE | {"change": {"ppo.kl_coef": 0.3}}, "other": ONE | {"seed": 18},
            "long": ONE | {"change": {"ppo.iterations": 8}},
            "rounds": ONE | {"change": {"rounds": two}, "targets": ["ppo@r2"]},
        },
    }  # fmt: skip
    for file, written in ((params.FILE, json.dumps(content)), (measured.FILE, json.dumps(KEPT))):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(written)
    (tmp_path / "presets").mkdir()
    (tmp_path / params.PRESET).write_bytes((toys.REPO / "presets/tiny.yaml").read_bytes())
    (tmp_path / "dvc.yaml").write_bytes((toys.REPO / "dvc.yaml").read_bytes())
    return tmp_path


def told(root, *names) -> list[str]:
    return [*lines(root, params.load(root), names)]


def test_a_cell_needs_the_stages_before_its_last_and_no_others(root):
    needed = steps.steps(root, params.load(root).everything["plain"])
    assert [step.stage for step in needed] == [
        "collect_prompts", "pretrain", "sft", "collect_answers", "collect_comparisons", "reward_model", "ppo",
    ]  # fmt: skip


def test_cells_share_the_stages_whose_params_and_whose_sources_params_are_equal(root):
    study = params.load(root)
    plain, kl, other = (
        {step.stage: step.made_of for step in steps.steps(root, study.everything[name])}
        for name in ("plain", "kl", "other")
    )
    assert {stage for stage in plain if plain[stage] == kl[stage]} == plain.keys() - {"ppo"}
    assert {stage for stage in plain if plain[stage] == other[stage]} == set()


def test_a_cell_after_another_costs_what_it_alone_makes(root):
    both = told(root, "plain", "kl")
    assert "collect_prompts 10 s" in both[0]
    assert "measuring 4 s" in both[0]
    assert both[1].startswith("kl: ")
    assert "collect_prompts" not in both[1]
    assert "ppo" in both[1]
    assert both[2].startswith("2 cells, ")
    alone = told(root, "kl")
    assert "collect_prompts 10 s" in alone[0]
    assert alone[-1] == "  measured on a desk; what is in DVC's cache takes no time"
    small.write(root, "plain", {"policy": {}})
    assert told(root, "kl")[0] == both[1]


def test_what_has_run_is_not_asked_for_again_and_more_work_costs_more(root):
    small.write(root, "plain", {"policy": {}})
    found = told(root)
    assert [line.partition(":")[0] for line in found[:4]] == ["kl", "other", "long", "rounds"]
    assert found[4].startswith("4 cells, ")
    assert found[4].endswith("; 1 have run already")
    study = params.load(root)
    plain, long = (steps.operations(root, study.everything[name])["ppo"] for name in ("plain", "long"))
    now = params.content(params.preset(root), study.everything["plain"])["ppo"]["iterations"]
    assert long / plain == pytest.approx(8 / now, rel=0.05)


def test_each_round_costs_its_own_stages(root):
    names = [step.stage for step in steps.steps(root, params.load(root).everything["rounds"])]
    assert names.count("ppo") == names.count("collect_answers") == 2
    assert names.count("sft") == 1


def test_what_was_not_measured_is_named(root):
    (root / measured.FILE).write_text(json.dumps(KEPT | {"per_flop": {"pretrain": 1e-9}, "measuring": {}}))
    assert "not counted, for nothing was measured of it: sft, collect_answers, reward_model, ppo, measuring" in told(
        root, "kl"
    )


def test_an_unknown_cell_and_a_missing_measurement_are_errors(root):
    with pytest.raises(ParamsError, match="no cell 'none'; it has plain, kl"):
        main(["none"], root)
    (root / measured.FILE).unlink()
    with pytest.raises(ParamsError, match="costs.json: it is not there"):
        main(["kl"], root)
    with pytest.raises(ParamsError, match="no cell has run here"):
        main([measured.MEASURE], root)


def test_rates_come_from_the_runs_of_cells_that_ended(root):
    """Of two runs of a stage the median counts; one that failed, and one of another pipeline, do not."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.create_experiment("study")

    def run(name, seconds, parent=None, status="FINISHED"):
        tags = {"mlflow.runName": name} | ({"mlflow.parentRunId": parent} if parent else {})
        made = client.create_run(experiment, start_time=1_000_000, tags=tags)
        client.set_terminated(made.info.run_id, status, end_time=1_000_000 + int(1000 * seconds))
        return made.info.run_id

    own, others = run("kl @abc1234", 300), run("params.yaml @abc1234", 300)
    for parent, stage, seconds in (
        (own, "sft", 20),
        (own, "sft", 40),
        (own, "collect_prompts", 7),
        (others, "sft", 900),
    ):
        run(stage, seconds, parent)
    run("sft", 5000, own, "FAILED")
    small.write(root, "kl", {"policy": {}})
    os.utime(root / cells.FOLDER / "kl.json", (1306.0, 1306.0))
    main([measured.MEASURE], root)
    kept = measured.read(root)
    flops = steps.operations(root, params.load(root).everything["kl"])["sft"]
    assert kept.per_flop == {"sft": pytest.approx(30 / flops, rel=1e-3)}
    assert (kept.each, kept.measuring) == ({"collect_prompts": 7.0}, {"policy": 6.0})
    assert kept.machine.endswith("cores")
