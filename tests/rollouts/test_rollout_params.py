"""Params of rollouts: each engine's own keys, and what is missing here, named before anything runs."""

import subprocess
import sys

import pytest

from tests import toys
from tools import check

SERVER = {"engine": "vllm_server", "url": "http://127.0.0.1:8000", "concurrent_requests": 8, "bucket_mb": 1.0}
COLOCATED = {"engine": "vllm_colocated", "bucket_mb": 1.0, "memory_share": 0.3}


def mistakes(given: dict | None, stage: str | None = None) -> list[str]:
    content = toys.read_yaml(toys.REPO / "presets/tiny.yaml")
    content["ppo"]["rollouts"] = given
    return check.mistakes_in(content, toys.REPO, stage)


@pytest.mark.parametrize(
    "given",
    [
        None,
        {"engine": "own"},
        {"engine": "static", "max_weight": 2.0, "max_gap": 0.1},
        {"engine": "transformers", "bucket_mb": 64.0},
        {"engine": "transformers", "bucket_mb": 64.0, "cache_blocks": 8, "batch_tokens": 256},
        SERVER,
        SERVER | {"url": "https://host.of.ours:8000/engine/"},
    ],
)
def test_an_engine_with_its_keys_is_right(given):
    assert mistakes(given) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engine": "transformers"}, "params.yaml: ppo.rollouts: engine 'transformers' needs bucket_mb"),
        ({"engine": "vllm_server", "bucket_mb": 1.0}, "engine 'vllm_server' needs concurrent_requests, url"),
        ({"engine": "own", "bucket_mb": 1.0}, "engine 'own' has no bucket_mb: leave it out"),
        (SERVER | {"memory_share": 0.5}, "engine 'vllm_server' has no memory_share"),
        (COLOCATED | {"cache_blocks": 4}, "engine 'vllm_colocated' has no cache_blocks"),
        ({"engine": "sglang"}, "ppo.rollouts.engine: "),
        (SERVER | {"url": "127.0.0.1:8000"}, "ppo.rollouts.url: "),
        (SERVER | {"url": "http://me:secret@host"}, "ppo.rollouts.url: "),
        ({"engine": "own", "max_weight": 0.5}, "ppo.rollouts.max_weight: "),
        ({"engine": "own", "max_gap": 0.0}, "ppo.rollouts.max_gap: "),
        (COLOCATED | {"memory_share": 1.0}, "ppo.rollouts.memory_share: "),
    ],
)
def test_an_engine_with_other_keys_is_named(given, message):
    (said,) = mistakes(given)
    assert message in said


@pytest.mark.parametrize(("stage", "said"), [(None, 1), ("ppo", 1), ("sft", 0)])
def test_an_engine_that_is_not_installed_is_said_before_anything_runs(stage, said):
    found = mistakes(COLOCATED, stage)
    assert len(found) == said
    assert all("params.yaml: ppo.rollouts.engine: 'vllm_colocated' needs the package vllm" in one for one in found)


@pytest.mark.process
def test_the_check_reads_no_torch():
    code = "import sys; from rlhf.rollouts import installed; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=toys.REPO, check=False).returncode == 0
