"""What tools.check says on paper a stage holds, beside what a process of it held at most."""

import json
import subprocess
import sys

import pytest

from rlhf.records import records
from tests import toys
from tools import check
from tools.planning import whole

PEAK = """
import json, re, sys
from pathlib import Path
from stages import {stage}
{stage}.main(Path(sys.argv[1]), *sys.argv[2:])
print("PEAK", re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
WORDS = " ".join(toys.WORDS * 40)
LOW, HIGH = 0.75, 1.25  # of the measured peak; rows are as long here as the params allow


def prepared(root, changes: dict):
    """Give the root a model of 13 million weights, whose activations are of the size of its state, and long rows."""
    content = toys.read_yaml(root / "params.yaml")
    shape = {"shape": "desktop", "vocab_size": 340, "previous_token_heads": 0, "tokens": 512}
    content["pretrain"] |= shape
    content["collect_prompts"]["comparisons"] |= {"max_responses": 4}
    content["collect_answers"] |= {"max_responses": 4}
    for name in ("sft", "reward_model"):
        content[name] |= {"max_tokens": 256, "batch_size": 16, "micro_batch_rows": 16, "epochs": 1}
    content["sft"]["packing"] = False
    content["reward_model"] |= {"batch_size": 4, "too_long": "cut", "likelihood_coef": 0.0}
    for key, value in changes.items():
        toys.put(content, key, value)
    toys.write_params(root, content)
    source = root / "data/collect_prompts"
    demonstrations = [record | {"response": " ".join(WORDS.split()[:220])} for record in toys.demonstrations(17)[:-1]]
    records.write(source / "demonstrations.train.jsonl", demonstrations)
    comparisons = toys.comparisons(8)
    for record in comparisons:
        record["responses"] = [f"{number} {WORDS}" for number in range(3)]
    for name in ("train", "validation"):
        records.write(root / f"data/collect_comparisons/r1/comparisons.{name}.jsonl", comparisons)
    return root


def peak(root, stage: str, *arguments: str) -> float:
    command = [sys.executable, "-c", PEAK.format(stage=stage), str(root), *arguments]
    said = subprocess.run(command, cwd=toys.REPO, capture_output=True, text=True, check=True).stdout
    return float(said.rsplit("PEAK ", 1)[1]) * 1024


SETTINGS = {
    "float32": {},
    "bfloat16": {"runtime.dtype": "bfloat16"},
    "activations again": {"runtime.gradient_checkpointing": True},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_paper_is_near_the_measured_peaks(root, name, capsys):
    prepared(root, SETTINGS[name])
    peak(root, "pretrain")
    params = check.whole(toys.read_yaml(root / "params.yaml"))
    plan = whole.of_params(params, root, look=False).held
    paper = {stage: held.standing + held.passing for stage, held in plan.items()}  # all rows alike: no heap is wasted
    found = {"sft": peak(root, "sft"), "reward_model": peak(root, "reward_model", "r1")}
    with capsys.disabled():
        print(
            name,
            json.dumps({stage: [round(paper[stage] / 1e6), round(held / 1e6)] for stage, held in found.items()}),
        )
    for stage, held in found.items():
        assert LOW < paper[stage] / held < HIGH, stage
