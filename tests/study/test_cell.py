"""One cell: what it changes becomes a workspace's params, its stages run, and what was measured is committed."""

import json

import pytest

from rlhf.params.base import read_yaml
from study import cell, measure, params, workspace
from tests import toys
from tools import cell_code

CELL = {"seed": 18, "change": {"ppo.kl_coef": 0.3}, "targets": ["ppo@r1"], "measures": ["policy", "curve"]}
NOISE = {"collect_comparisons.labelers.noise": 0.4}


@pytest.fixture
def root(tmp_path):
    """A repository with a study of three cells and the tiny preset in place of the laptop's."""
    content = read_yaml(toys.REPO / params.FILE)
    others = {
        "noise": CELL | {"change": NOISE, "targets": ["reward_model@r1"], "measures": ["reward_model"]},
        "noisy_policy": CELL | {"change": NOISE},
        "epochs": CELL | {"change": {"reward_model.epochs": 2}, "measures": ["reward_model"]},
    }
    content |= {"chains": {}, "cells": {"kl": CELL, **others}, "encoders": {}, "forms_cells": {}}
    (tmp_path / "study").mkdir()
    (tmp_path / params.FILE).write_text(json.dumps(content))
    (tmp_path / "presets").mkdir()
    (tmp_path / params.PRESET).write_bytes((toys.REPO / "presets/tiny.yaml").read_bytes())
    return tmp_path


@pytest.fixture
def steps(root, monkeypatch) -> list:
    """What the cell asks for, in its order; nothing of it is done but laying out params."""
    done = []

    def prepare(place, name, content):
        folder = place / workspace.FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        toys.write_params(folder, content)
        done.append(("prepare", name, content))
        return folder

    def of_workspace(finished, wanted):
        done.append(("measure", finished, wanted))
        return {name: [1, 2] for name in wanted}

    monkeypatch.setattr(cell_code, "sums", lambda listing, place: {f"rlhf/{listing}/a.py": "0" * 32})
    monkeypatch.setattr(workspace, "prepare", prepare)
    monkeypatch.setattr(workspace, "reproduce", lambda folder, targets: done.append(("run", folder.name, targets)))
    monkeypatch.setattr(measure, "of_workspace", of_workspace)
    return done


def test_a_cell_is_prepared_run_measured_written_and_cleared_away(root, steps):
    assert cell.main(["kl"], root) == 0
    prepared, ran, measured = steps
    preset = read_yaml(root / params.PRESET)
    assert prepared == ("prepare", "kl", preset | {"seed": 18, "ppo": preset["ppo"] | {"kl_coef": 0.3}})
    assert ran == ("run", "kl", ["ppo@r1"])
    finished = measured[1]
    assert finished.folder == root / ".study/kl"
    assert finished.held_out == root / ".study/kl/data/collect_comparisons/r1"
    assert (finished.params.seed, finished.settings) == (18, params.load(root).settings)
    assert measured[2] == ["policy", "curve"]
    written = (root / cell.OUT / "kl.json").read_text()
    assert written.startswith('{"policy":[1,2],"curve":[1,2],"made_with":{"change":{"ppo.kl_coef":0.3},"params":{')
    assert written.endswith("}\n")
    kept = json.loads(written)["made_with"]["params"]
    assert kept["ppo"] == preset["ppo"] | {"kl_coef": 0.3}
    assert json.loads(written)["made_with"]["code"] == cell_code.parts({"rlhf/cell/a.py": "0" * 32})
    assert "tracking" not in kept
    assert not (root / ".study/kl").exists()


def test_reward_models_on_other_comparisons_are_held_against_those_of_the_unchanged_cell(root, steps):
    cell.main(["noise"], root)
    preset = read_yaml(root / params.PRESET)
    assert [step[:2] for step in steps[:4]] == [
        ("prepare", "noise"), ("run", "noise"), ("prepare", "shared_18"), ("run", "shared_18"),
    ]  # fmt: skip
    assert steps[2][2] == preset | {"seed": 18}
    assert steps[3][2] == ["collect_comparisons@r1"]
    assert steps[4][1].held_out == root / ".study/shared_18/data/collect_comparisons/r1"


def test_reward_models_on_other_answers_too(root, steps):
    content = json.loads((root / params.FILE).read_text())
    content["cells"]["noise"]["change"] = {"collect_answers.min_responses": 2}
    (root / params.FILE).write_text(json.dumps(content))
    cell.main(["noise"], root)
    assert [step[:2] for step in steps[2:4]] == [("prepare", "shared_18"), ("run", "shared_18")]


@pytest.mark.parametrize("name", ["noisy_policy", "epochs"])
def test_other_cells_are_measured_on_their_own_comparisons(root, steps, name):
    cell.main([name], root)
    assert [step[0] for step in steps] == ["prepare", "run", "measure"]
    assert steps[2][1].held_out == root / f".study/{name}/data/collect_comparisons/r1"


def test_an_unknown_cell_is_named_with_those_there_are(root, steps, capsys):
    assert cell.main(["kl_9"], root) == 2
    assert "no cell 'kl_9'; it has kl, noise, noisy_policy, epochs" in capsys.readouterr().err
    assert steps == []
