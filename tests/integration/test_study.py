"""The laboratory on the tiny pipeline: a cell runs on what the cache has, is measured, and is not run again."""

import json
import shutil

import pytest
from ruamel.yaml import YAML

from tests.integration.conftest import run

SETTINGS = {"test_prompts": 6, "probes": 3, "paraphrases": 3, "best_of_n": [1, 2], "best_of_n_prompts": 3}


@pytest.fixture
def copy(copy):
    """A copy of the finished pipeline with a study of two cells."""
    shutil.copy(copy / "presets/tiny.yaml", copy / "presets/laptop.yaml")
    seed = YAML(typ="safe").load(copy / "presets/tiny.yaml")["seed"]
    kl = {"seed": seed, "change": {"ppo.kl_coef": 0.3}, "targets": ["ppo@r1"], "measures": ["policy", "curve"]}
    answers = {"collect_comparisons.labelers.noise": 0.4}
    noise = {"seed": seed, "change": answers, "targets": ["reward_model@r1"], "measures": ["reward_model"]}
    content = {
        "settings": SETTINGS,
        "chains": {},
        "cells": {"kl": kl, "noise": noise},
        "encoders": {},
        "forms_cells": {},
    }
    whole = YAML(typ="safe").load(copy / "study/params.yaml")
    content |= {name: whole[name] for name in ("encoder", "forms", "stories")}
    with open(copy / "study/params.yaml", "w") as file:
        YAML().dump(content, file)
    return copy


def test_cells_run_what_they_change_and_nothing_before_it(copy):
    told = run(copy, "python", "-m", "study.cell", "kl")
    assert "Running stage 'ppo@r1'" in told
    assert "Running stage 'reward_model@r1'" not in told
    found = json.loads((copy / "metrics/study/cells/kl.json").read_text())
    assert len(found["policy"]["prompts"]) == len(found["policy"]["sampled"]["gold"]) == SETTINGS["test_prompts"]
    assert {"kl", "gold", "score"} <= found["curve"][0].keys()
    assert not (copy / ".study/kl").exists()
    told = run(copy, "python", "-m", "study.cell", "noise")
    assert "Running stage 'collect_comparisons@r1'" in told
    assert "Running stage 'sft'" not in told
    found = json.loads((copy / "metrics/study/cells/noise.json").read_text())["reward_model"]
    assert all(right <= pairs for right, pairs in found["validation"]["labelers"])
    assert found["training"]["prompts"] > 0


def test_a_cell_that_has_run_is_not_run_again(copy):
    run(copy, "python", "-m", "tests.code_deps")
    first = run(copy, "dvc", "repro", "study/dvc.yaml:cell@kl")
    assert "Running stage 'study/dvc.yaml:cell@kl'" in first
    assert "didn't change, skipping" in run(copy, "dvc", "repro", "study/dvc.yaml:cell@kl")
