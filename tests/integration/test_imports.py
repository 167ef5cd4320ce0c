"""What a stage's start does not load: libraries that it may never need, or needs only once its params are read."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
STAGES = sorted(path.stem for path in (REPO / "stages").glob("[!_]*.py"))
MODELS = {"transformers.modeling_utils", "torch._dynamo", "torch.distributed.tensor", "sympy", "accelerate"}
OTHERS = {"sklearn", "scipy", "pandas", "mlflow", "datasets", "pyarrow", "joblib"}
WITHOUT_TENSORS = ["stages.collect_prompts", "tools.ablate"]
# Loads what is others' and costs seconds once, then each module in a fork that has nothing of ours yet.
EACH_IN_A_FORK = """
import os, sys
import psutil, pydantic.main, ruamel.yaml, safetensors, torch, transformers.dynamic_module_utils
assert not [name for name in sys.modules if name.split(".")[0] in ("rlhf", "stages", "tools")]
for module in sys.argv[1:]:
    child = os.fork()
    if not child:
        __import__(module)
        print(module, *sys.modules, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{module} cannot be imported")
"""


def loaded(module: str) -> set[str]:
    """Return the modules that a fresh process holds when it has imported this one."""
    script = f"import sys, {module}; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


@pytest.fixture(scope="module")
def loaded_by_stage() -> dict[str, set[str]]:
    """The modules that a process holds when it has imported each stage, and torch, and nothing else of ours."""
    command = [sys.executable, "-c", EACH_IN_A_FORK, *(f"stages.{stage}" for stage in STAGES)]
    answer = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    lines = [line.split() for line in answer.stdout.splitlines()]
    return {module.removeprefix("stages."): set(modules) for module, *modules in lines}


@pytest.mark.process
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_starts_without_models_and_without_what_only_some_steps_need(stage, loaded_by_stage):
    drawn = set() if stage == "evaluate" else {"matplotlib"}  # it always draws
    assert f"stages.{stage}" in loaded_by_stage[stage]
    assert not (MODELS | OTHERS | drawn) & loaded_by_stage[stage]


@pytest.mark.process
@pytest.mark.parametrize("module", WITHOUT_TENSORS)
def test_what_computes_no_tensor_starts_without_torch(module):
    assert not {"torch", "transformers", "tokenizers"} & loaded(module)
