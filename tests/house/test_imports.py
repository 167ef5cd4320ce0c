"""What a stage's start does not load: libraries that it may never need, or needs only once its params are read."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
STAGES = sorted(path.stem for path in (REPO / "stages").glob("[!_]*.py"))
MODELS = {"transformers.modeling_utils", "torch._dynamo", "torch.distributed.tensor", "sympy", "accelerate"}
OTHERS = {"sklearn", "scipy", "pandas", "mlflow", "datasets", "pyarrow", "joblib", "datasketch"}
WITHOUT_TENSORS = ["stages.collect_prompts", "tools.ablate"]


def loaded(module: str) -> set[str]:
    """Return the modules that a fresh process holds when it has imported this one."""
    script = f"import sys, {module}; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


@pytest.mark.process
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_starts_without_models_and_without_what_only_some_steps_need(stage):
    drawn = set() if stage == "evaluate" else {"matplotlib"}  # it always draws
    assert not (MODELS | OTHERS | drawn) & loaded(f"stages.{stage}")


@pytest.mark.process
@pytest.mark.parametrize("module", WITHOUT_TENSORS)
def test_what_computes_no_tensor_starts_without_torch(module):
    assert not {"torch", "transformers", "tokenizers"} & loaded(module)
