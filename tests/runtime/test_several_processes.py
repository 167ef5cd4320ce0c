"""Several processes: when they are started, how batches are cut for them, and what all but the first leave alone."""

import os
import sys

import pytest

from rlhf.models import loading
from rlhf.runs import launch
from rlhf.runtime import files, parallel
from rlhf.training import supervised
from tests import toys, two_updates


@pytest.mark.parametrize(
    ("processes", "environment", "expected"),
    [
        (1, {}, ["r1"]),
        (3, {}, [["--nproc_per_node=3", "--standalone", "-m", "stages.ppo", "r1"]]),
        (3, {"WORLD_SIZE": "2"}, ["r1"]),
        (
            1,
            {launch.ELSEWHERE: "first:29500"},
            [["torch.distributed.run", "--nproc_per_node=1", "-m", "stages.ppo", "r1"]],
        ),
    ],
)
def test_processes_are_started_where_params_yaml_wants_several_and_none_were_started(
    root, monkeypatch, processes, environment, expected
):
    toys.set_param(root, "runtime.processes", processes)
    monkeypatch.chdir(root)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["ppo.py", "r1"])
    monkeypatch.setattr(os, "execv", lambda program, command: begun.append(command[-5:]))
    begun: list = []
    launch.run_round("ppo", lambda _root, name: begun.append(name) if not begun else None)
    assert begun == expected


def test_a_batch_is_cut_for_every_worker_of_every_process(monkeypatch):
    monkeypatch.setattr(parallel.distributed, "count", lambda: 3)
    parallel.set_workers(2)
    assert [parallel.part_size(12, most) for most in (100, 1)] == [2, 1]


def test_all_but_the_first_process_write_nothing(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with files.new_folder(tmp_path / "model") as new:
        loading.save(toys.policy(tokenizer), tokenizer, new)
        files.write_json(new / "records.json", {})
    files.write_text(tmp_path / "text", "text")
    assert list(tmp_path.iterdir()) == []


def test_an_accelerate_that_starts_one_process_for_several_is_refused(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setattr(sys, "argv", ["sft.py"])
    with pytest.raises(SystemExit):
        launch.run("sft", lambda: None)
    assert "replace --cpu by --multi_gpu" in capsys.readouterr().err


def test_dropout_in_several_processes_is_refused(tokenizer, monkeypatch):
    monkeypatch.setattr(supervised.distributed, "count", lambda: 2)
    content = toys.shrunken_params()["sft"] | {"dropout": 0.1}
    chosen = two_updates.parse(
        supervised.Supervised, {key: content.get(key) for key in supervised.Supervised.model_fields}, ""
    )
    with pytest.raises(ValueError, match="dropout draws from one generator"):
        next(supervised.train(toys.policy(tokenizer), supervised.Data([], []), chosen, two_updates.RUNTIME, seed=1))
