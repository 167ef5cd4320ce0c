"""The command: a run's policies as a table, the cells' table, and what it refuses."""

import csv
import json

import pytest

from rlhf.params.base import read_yaml
from study import params
from study.forms import __main__ as command
from study.forms import answering, table
from study.forms.tasks import TASKS
from tests import toys
from tests.study import small

FEW = {
    "training": 9, "test": 4, "stories": 3, "few_shots": 2, "shown_sets": 1, "epochs": 1, "batch_size": 3,
    "learning_rate": 1e-3, "lm_coef": 0.5,
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """A repository with a study of few examples, and a cell of it that has run."""
    small.lay_out(tmp_path)
    content = read_yaml(tmp_path / params.FILE)
    one = {"seed": 17, "change": {}, "targets": ["sft"], "measures": ["forms"]}
    content |= {"forms": FEW, "forms_cells": {"forms_17": one, "forms_18": one | {"seed": 18}}}
    (tmp_path / params.FILE).write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def run(tmp_path):
    """A folder where the pipeline has run as far as pretraining."""
    folder = tmp_path / "run"
    tokenizer = toys.tokenizer()
    toys.save(folder / "data/pretrain", toys.policy(tokenizer, max_position_embeddings=300), tokenizer)
    (folder / "params.yaml").write_bytes((toys.REPO / "presets/tiny.yaml").read_bytes())
    return folder


def read(file) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as lines:
        return [*csv.DictReader(lines)]


def test_a_run_is_measured_under_all_conditions_that_fit(root, run, capsys):
    assert command.main(["--run", str(run), "--out", str(root / "out.csv")], root) == 0
    rows = read(root / "out.csv")
    assert {row["policy"] for row in rows} == {"base"}
    assert {row["task"] for row in rows} == {*TASKS, answering.TASK}
    inference = {row["condition"] for row in rows if row["task"] == "inference"}
    assert inference >= {"head_probe", "head_tuned", "prefix_zero_sum", "cloze_zero_calibrated"}
    for row in rows:
        assert float(row["low"]) <= float(row["right"]) <= float(row["high"])
        assert row["examples"] == ("3" if row["task"] == "arithmetic" else "4")
    assert {row["task"]: float(row["chance"]) for row in rows} == {
        "inference": 0.3333, "similarity": 0.5, "questions": 0.3333, "sentiment": 0.5, "arithmetic": 0.0,
    }  # fmt: skip
    told = capsys.readouterr().out
    assert "left_out" in told and "unended" in told
    assert "| head and backbone |" in told


def test_the_same_run_as_json_says_which_examples_are_right(root, run):
    assert command.main(["--run", str(run), "--out", str(root / "out.json")], root) == 0
    found = json.loads((root / "out.json").read_text())[str(run)]
    right = found["policies"]["base"]["sentiment"]["head_probe"]
    assert len(right) == len(found["tasks"]["sentiment"]["clusters"]) == 4
    assert set(right) <= {0, 1}


def test_the_cells_table_names_those_that_have_not_run(root, capsys):
    about = {"one": {"clusters": ["a", "a", "b"], "chance": 0.5, "majority": [1, 0, 0]}}
    own = {"base": {"one": {"prefix_zero_calibrated": [1, 1, 0]}}}
    content = {"tasks": about, "policies": own, "left_out": {}, "refused": {}, "unended": {}}
    small.write(root, "forms_17", {"forms": content})
    assert command.main([], root) == 0
    (row,) = read(root / command.OUT)
    assert [row["cell"], row["right"], row["clusters"], row["majority"]] == ["forms_17", "0.6667", "2", "0.3333"]
    assert "left out: forms_18" in capsys.readouterr().err


def test_a_folder_without_a_policy_and_arguments_alone_are_refused(root, run, capsys):
    (run / "data/pretrain/config.json").unlink()
    assert command.main(["--run", str(run), "--out", str(root / "out.csv")], root) == 2
    assert "expected a policy in pretrain, sft" in capsys.readouterr().err
    assert not (root / "out.csv").exists()
    (run / "params.yaml").unlink()
    assert command.main(["--run", str(run), "--out", str(root / "out.csv")], root) == 2
    assert "params.yaml" in capsys.readouterr().err
    for arguments in (["--run", str(run)], ["--out", "x.csv"], ["--run", str(run), "--out", "x.txt"]):
        with pytest.raises(SystemExit):
            command.main(arguments, root)


def test_an_interval_knows_clusters_and_never_is_a_point():
    alone = table.interval([1, 0] * 20, [str(number) for number in range(40)])
    clustered = table.interval([1, 0] * 20, ["a", "b"] * 20)
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)
    none = table.interval([0] * 20, ["a", "b", "c", "d"] * 5)
    assert none.low == 0.0 and 0.4 < none.high < 0.6  # four subjects exclude little
