"""Two processes give the tokens, losses and weights of one, to the last bit the same in both, and end together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf.runs import sessions
from stages import reward_model
from tests import toys, two_updates
from tests.test_reward_model import prepared

ACCELERATE = [
    sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
    "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
]  # fmt: skip


TOLERANCE = 1e-5


LOOPS = ["pretrain, AdamW", "pretrain, Muon", "sft", "reward model", "ppo", "sampling", "unused"]


def started(command: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess:
    """Run a command in `folder`, with this repository's modules."""
    environment = os.environ | {"PYTHONPATH": str(toys.REPO), "OMP_NUM_THREADS": "1", "HF_HOME": str(folder)} | more
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    return toys.save(tmp_path_factory.mktemp("several") / "model", toys.reward_model(tokenizer), tokenizer)


@pytest.fixture(scope="module")
def alone(folder):
    """What one process finds."""
    torch.set_num_threads(1)
    return two_updates.everything(folder)


@pytest.fixture(scope="module")
def launched(folder, tokenizer):
    """How `accelerate launch` of two processes ended, in the environment that DVC would give it."""
    toys.set_param(prepared(toys.root(folder / "repository"), tokenizer), "runtime.processes", 2)
    return started([*ACCELERATE, "-m", "tests.two_updates", str(folder)], folder, DVC_STAGE="ppo@r1")


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker each", "two workers each"])
def two(request, folder, launched):
    """What each of two processes found before the second broke down."""
    files = [folder / f"{number}.pt" for number in (0, 1)]
    assert all(file.exists() for file in files), launched.stderr
    return [torch.load(file, weights_only=False)[request.param] for file in files]


def assert_close(found, expected) -> None:
    torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", LOOPS)
def test_two_processes_find_what_one_finds(alone, two, name):
    assert_close(two[0][name], alone[name])


@pytest.mark.parametrize("name", LOOPS)
def test_both_processes_end_with_the_same_bits(two, name):
    torch.testing.assert_close(two[0][name], two[1][name], rtol=0, atol=0)


def test_the_tokens_are_those_of_one_process_and_not_all_of_one_length(alone, two):
    for (ids, mask), (wanted, _) in zip(two[0]["ppo"]["tokens"], alone["ppo"]["tokens"], strict=True):
        assert torch.equal(ids, wanted)
        assert len(set(mask.sum(dim=1).tolist())) > 2
    assert two[0]["sampling"]["tokens"] == alone["sampling"]["tokens"]


def test_a_loss_that_is_not_finite_in_one_process_stops_all_alike(alone, two):
    assert [found["no update"] for found in two] == [alone["no update"]] * 2 == ["the loss became nan"] * 2


def test_the_dvc_command_above_the_launcher_is_found(two):
    assert {found["dvc"] for found in two} == {sessions.own_process()}


def test_where_one_process_breaks_down_the_others_end_too(launched):
    """Without an end they would wait half an hour for one another, longer than the launch is given here."""
    assert launched.returncode != 0
    assert "this part broke down" in launched.stderr


def test_a_stage_in_several_processes_writes_once_what_it_writes_in_one(launched, folder, root, tokenizer):
    reward_model.main(prepared(root, tokenizer), "r1")
    other = folder / "repository"
    assert launched.stdout.count("finished after") == 1
    for place in ("data", "metrics"):
        assert toys.file_bytes(other / place).keys() == toys.file_bytes(root / place).keys()
    one, both = (load_file(place / "data/reward_model/r1/model.safetensors") for place in (root, other))
    assert_close(both, one)
    one, both = (json.loads((place / "metrics/reward_model/r1.json").read_text()) for place in (root, other))
    assert_close(both, one)


STAGE = """
import os, sys
from rlhf.runs import launch
def main(root, name):
    told = [os.environ[key] for key in ("RANK", "WORLD_SIZE", "OMP_NUM_THREADS")]
    (root / f"process_{told[0]}").write_text(" ".join([*told, *sys.argv[1:], name]))
if __name__ == "__main__":
    launch.run_round("reward_model", main)
"""


def test_a_stage_starts_the_processes_of_params_yaml(root):
    """The process that becomes their launcher imports nothing of the stage; they run it as `python -m` does."""
    toys.set_param(root, "runtime.processes", 2)
    for name, text in {"__init__": "", "reward_model": STAGE}.items():
        (root / "stages").mkdir(exist_ok=True)
        (root / f"stages/{name}.py").write_text(text)
    begin = "from rlhf.runs import launch; launch.run_round('reward_model', lambda *_: print('alone'))"
    done = started([sys.executable, "-c", begin, "r1"], root)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    told = {file.name: file.read_text() for file in root.glob("process_*")}
    assert told == {f"process_{rank}": f"{rank} 2 1 r1 r1" for rank in (0, 1)}
