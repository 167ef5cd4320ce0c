"""Models in shards among two and three processes give what one process gives; kills and other numbers of processes too.

Gradients are compared before they are clipped, and once the step is plain gradient descent: a mean in place of a sum
would show, which AdamW hides.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch
import transformers
from safetensors.torch import load_file

from rlhf.params.base import read_yaml
from rlhf.records import records
from rlhf.runtime import parallel
from tests import sharded_resume, sharded_stages, sharded_updates, toys

TOLERANCE = 1e-5
NUMBERS = [
    "pretrain, AdamW", "pretrain, Muon", "sft", "sft, packed", "sft, SGD", "sft, activations again", "sft, LoRA",
    "sft, transformers' forward", "reward model", "ppo", "whole",
]  # fmt: skip
SECONDS = 180  # in which a launch must end; a process that waits for a dead one would wait half an hour
LORA = {"rank": 3, "alpha": 4.0, "dropout": 0.0, "target_modules": "all-linear", "save": "merged"}


def launched(processes: int, *words: object) -> subprocess.CompletedProcess:
    """Run a module of this repository in so many processes."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *torchrun, "-m", *map(str, words)]
    return subprocess.run(
        command, cwd=toys.REPO, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def assert_close(found, expected) -> None:
    torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    return toys.save(tmp_path_factory.mktemp("sharded") / "model", toys.reward_model(tokenizer), tokenizer)


@pytest.fixture(scope="module")
def alone(folder):
    """What one process finds."""
    return sharded_updates.everything(folder)


@pytest.fixture(scope="module", params=[2, 3])
def several(request, folder):
    """What each of several processes found."""
    done = launched(request.param, "tests.sharded_updates", folder)
    assert done.returncode == 0, done.stderr
    files = [folder / f"{request.param}.{number}.pt" for number in range(request.param)]
    return [torch.load(file, weights_only=False) for file in files]


def test_losses_gradients_norms_weights_and_tokens_are_those_of_one_process(alone, several):
    for name in NUMBERS:
        for found in several:
            assert_close(found[name], alone[name])
    assert all(len(alone[name]["gradients"]) == 2 for name in NUMBERS if "sft" in name and "SGD" not in name)


def test_all_processes_end_with_the_same_bits(several):
    for other in several[1:]:
        for name in NUMBERS:
            torch.testing.assert_close(other[name], several[0][name], rtol=0, atol=0)


def test_a_loss_that_is_not_a_number_stops_all_alike(several):
    assert [found["refused"] for found in several] == [["the loss became nan"]] * len(several)


def test_the_tied_head_comes_once(alone, tokenizer):
    plain = toys.policy(tokenizer, "gpt2")
    assert set(plain.state_dict()) - set(alone["whole"]["weights"]) == {"lm_head.weight"}
    assert set(alone["whole"]["merged"]) == set(alone["whole"]["weights"])


@pytest.mark.parametrize("name", ["one", "several"])
def test_folders_are_plain_and_from_pretrained_reads_them(several, folder, tokenizer, name):
    place = folder / f"{len(several)} processes" / name
    assert len([*place.glob("*.safetensors")]) == 1 if name == "one" else len([*place.glob("*.safetensors")]) > 2
    read = transformers.AutoModelForCausalLM.from_pretrained(place)
    for weight, expected in zip(read.parameters(), toys.policy(tokenizer).parameters(), strict=True):
        assert torch.equal(weight, expected)
    told = json.loads((place / "config.json").read_text())
    plain = folder / "plain"
    toys.policy(tokenizer).save_pretrained(plain)
    assert told == json.loads((plain / "config.json").read_text())


def prepared(root: Path, tokenizer, **changes) -> Path:
    """Give a root what all stages read, and params by which rounding moves no weight much."""
    toys.root(root)
    source = root / "data/collect_comparisons/r1"
    for name, count in (("train", 8), ("validation", 4), ("judge", 12)):
        records.write(source / f"comparisons.{name}.jsonl", toys.comparisons(count))
    toys.save(root / "data/pretrain", toys.policy(tokenizer, seed=9, spread=0.1), tokenizer)
    toys.save(root / "data/sft", toys.ending_policy(tokenizer), tokenizer)
    content = read_yaml(root / "params.yaml")
    for section in ("sft", "feedme", "rejection", "dpo", "reward_model", "judge"):
        content[section]["optimisation"]["adam_eps"] = 1e-2
    for kind in ("policy", "value"):
        content["ppo"][f"{kind}_optimisation"]["adam_eps"] = 1e-2
    content["pretrain"]["optimisation"]["adam_eps"] = 1e-2
    content["pretrain"]["muon_momentum"] = None
    fixed = {"reward_model.likelihood_coef": 0.0, "judge.likelihood_coef": 0.0, "checkpoints.every_seconds": 0.0}
    for path, value in (fixed | changes).items():
        toys.put(content, path, value)
    toys.write_params(root, content)
    return root


def in_shards(root: Path, to: Path, processes: int) -> Path:
    """Copy a root, to be run by so many processes with models in shards."""
    shutil.copytree(root, to)
    content = read_yaml(to / "params.yaml")
    content["runtime"] |= {"sharding": "fsdp2", "processes": processes}
    toys.write_params(to, content)
    return to


KINDS = {
    "whole": {"reward_model.pooling": "last"},  # a plain folder, with shift and gain folded into its weights
    "adapters": {
        "sft.lora": LORA, "judge.lora": LORA, "dpo.lora": LORA, "reward_model.lora": LORA | {"save": "adapter"},
        "ppo.lora": LORA | {"save": "adapter"}, "ppo.share_backbone": True,
    },
}  # fmt: skip


@pytest.mark.parametrize(("kind", "processes"), [("whole", 3), ("adapters", 2)])
def test_every_stage_that_trains_writes_what_it_writes_in_one_process(tmp_path, tokenizer, kind, processes):
    root = prepared(tmp_path / "one", tokenizer, **KINDS[kind], **{"checkpoints.every_seconds": 1e9})
    before = ["feedme", "judge", "dpo", "reward_model", "rejection", "ppo"]
    sharded_stages.run(root, before)
    other = in_shards(root, tmp_path / "several", processes)  # each stage reads what one process wrote before it
    sharded_stages.run(root, ["sft", "pretrain"])
    done = launched(processes, "tests.sharded_stages", other, *reversed(before), "sft", "pretrain")
    assert done.returncode == 0, done.stderr
    for place in ("data", "metrics"):
        assert toys.file_bytes(other / place).keys() == toys.file_bytes(root / place).keys()
    for file in root.rglob("data/**/*.safetensors"):
        torch.testing.assert_close(load_file(other / file.relative_to(root)), load_file(file), rtol=1e-4, atol=1e-5)
    for file in root.glob("metrics/**/*.json"):
        found, expected = (json.loads((place / file.relative_to(root)).read_text()) for place in (other, root))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


NAME = re.compile(r"\d{8}(\.partial)?")


def states(root: Path) -> list[str]:
    """Return the names of states, half ones too; the folder around them has a sum for a name, which may begin alike."""
    return sorted(folder.name for folder in root.glob(f".checkpoints/**/{'[0-9]' * 8}*") if NAME.fullmatch(folder.name))


@pytest.mark.parametrize(
    ("stage", "killed", "then", "at"), [("ppo", 2, 3, 6), ("sft", 3, 1, 3), ("reward_model", 2, 2, 2)]
)
def test_after_a_kill_in_the_middle_of_an_update_another_number_of_processes_goes_on(
    tmp_path, tokenizer, stage, killed, then, at
):
    more = {"ppo.ema_decay": 0.5, "ppo.ptx_coef": 1.0, "ppo.iterations": 4, "reward_model.epochs": 2}
    root = prepared(tmp_path / "one", tokenizer, **more)
    if stage == "ppo":
        sharded_stages.run(root, ["reward_model"])
    other = in_shards(root, tmp_path / "several", killed)
    sharded_resume.run(root, stage)
    done = launched(killed, "tests.sharded_resume", other, stage, at)
    assert done.returncode != 0
    kept = states(other)
    assert kept, done.stderr
    (next(other.glob(".checkpoints/**/whole.json")).parents[1] / f"{99:08d}.partial").mkdir()  # as a kill amid a save
    if then == 1:
        parallel.walk_in_step(False)
        sharded_resume.run(other, stage)
    else:
        done = launched(then, "tests.sharded_resume", other, stage, 0)
        assert done.returncode == 0, done.stderr
    computed, whole = (int((place / "updates").read_text()) for place in (other, root))
    assert 0 < computed < whole
    assert not states(other)
    for file in root.rglob(f"data/{stage}/**/*.safetensors"):
        assert_close(load_file(other / file.relative_to(root)), load_file(file))


def started(command: list[str], root: Path) -> subprocess.Popen:
    """Start a command in a root, with this repository's modules and programs."""
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PYTHONPATH": str(toys.REPO), "PATH": programs, "DVC_SITE_CACHE_DIR": str(root.parent / "site")}
    environment = os.environ | own | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def documented(word: str) -> list[str]:
    """Return the commands of docs/running.md that hold a word."""
    blocks = (toys.REPO / "docs/running.md").read_text().split("```")[1::2]
    lines = [line for block in blocks for line in block.splitlines() if word in line]
    return [line.partition("   #")[0].strip() for line in lines]


def as_on_this_machine(command: str, port: int) -> str:
    """Return a command with this machine in place of the first of several, and one process in place of eight."""
    here = {"first:29500": f"127.0.0.1:{port}", "--nproc_per_node 8": "--nproc_per_node 1", "python": sys.executable}
    for word, own in (here | {"torchrun": f"{sys.executable} -m torch.distributed.run"}).items():
        command = command.replace(word, own)
    return command


@pytest.mark.parametrize("word", ["PET_RDZV_ENDPOINT", "--rdzv-endpoint"])
def test_two_machines_run_a_stage_by_the_documented_command(tmp_path, tokenizer, word):
    """Both "machines" are this one, with one process each."""
    root = prepared(tmp_path / "one", tokenizer)
    other = in_shards(root, tmp_path / "several", 1)
    sharded_stages.run(root, ["sft"])
    (command,) = documented(word)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        command = as_on_this_machine(command, free.getsockname()[1])
    both = [started(["bash", "-c", command], other) for _ in range(2)]
    told = [process.communicate(timeout=SECONDS)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum(text.count("finished after") for text in told) == 1
    assert_close(load_file(other / "data/sft/model.safetensors"), load_file(root / "data/sft/model.safetensors"))


DVC = """
stages:
  sft:
    cmd: python -m stages.sft
    deps: [data/pretrain, data/collect_prompts]
    params: [runtime, sft, seed]
    outs: [data/sft]
    metrics: [metrics/sft.json: {cache: false}]
"""


def test_dvc_repro_goes_on_after_the_kill_of_one_process(tmp_path, tokenizer):
    """The launcher, which is the stage for DVC, ends with an error soon after; nothing is left of the others."""
    root = in_shards(prepared(tmp_path / "one", tokenizer, **{"sft.epochs": 15}), tmp_path / "several", 2)
    shutil.rmtree(root / "data/sft")
    (root / "dvc.yaml").write_text(DVC)
    run = partial(started, root=root)
    assert run(["dvc", "init", "--no-scm", "--quiet"]).wait() == 0
    process = run(["dvc", "repro", "--no-run-cache"])
    while process.poll() is None and len(states(root)) < 2:
        time.sleep(0.05)
    workers = [child for child in psutil.Process(process.pid).children(recursive=True) if child.environ().get("RANK")]
    assert len(workers) == 2
    next(worker for worker in workers if worker.environ()["RANK"] == "1").kill()
    told, _ = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert not any(worker.is_running() for worker in workers), told
    again = run(["dvc", "repro", "--no-run-cache"])
    told, _ = again.communicate(timeout=SECONDS)
    assert again.returncode == 0, told
    assert "goes on after step" in told
    assert (root / "data/sft/model.safetensors").exists()
    assert not states(root)
