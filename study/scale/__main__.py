"""Plans beside reality: runs presets, measures the seconds and the peak memory of their stages → metrics/scale.json.

    python -m study.scale tiny laptop gpt2      run these in workspaces, or go on where they stopped; compare
    python -m study.scale --only-compare tiny   with what was measured before
    python -m study.scale tiny --until sft      no further than a stage

Names are presets, and `gpt2`: a few iterations of PPO at GPT-2's smallest size on the tiny preset's data, all weights
trained. `pretrained` is measured where `make real` has run it, in .study/pretrained. Errors are of what was measured:
-0.1 is a plan that is a tenth too low.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.params.base import ParamsError, read_yaml
from study import workspace
from study.scale import costs, kept
from tools import presets
from tools.looking import piped
from tools.overlays import laying
from tools.planning.timing import against
from tools.planning.timing.against import Beside

PRETRAINED = "pretrained"
STAGES = (
    "collect_prompts", "pretrain", "sft", "collect_answers@r1", "collect_comparisons@r1", "reward_model@r1", "ppo@r1",
    "feedme", "rejection", "dpo", "judge", "moderation", "evaluate",
)  # fmt: skip
GPT2 = "gpt2"  # what it changes of the tiny preset
CHANGES = {
    GPT2: {
        "runtime": {"threads": 2, "workers": 1},
        "pretrain": {
            "shape": "gpt2", "vocab_size": 768, "previous_token_heads": 0, "copying_steps": 2, "tokens": 6000,
            "muon_momentum": None,
        },
        "collect_answers": {"max_prompts": 40, "max_judge_prompts": 20},
        "sft": {"batch_size": 16, "micro_batch_rows": 4},
        "reward_model": {"epochs": 1, "likelihood_coef": 0.0},
        "ppo": {"iterations": 3},
        "evaluate": {"test_prompts": 20, "validation_prompts": 10},
    }
}  # fmt: skip
LAST = {GPT2: "ppo@r1"}  # the stage after which one stops: what is behind it is of no other kind


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Run, measure and compare; returns the exit code: 2 for mistakes, 1 where a stage fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--until", choices=STAGES, metavar="STAGE", help="the last stage that is run")
    parser.add_argument("--only-compare", action="store_true", help="run nothing")
    chosen = parser.parse_args(arguments)
    try:
        for name in chosen.names:
            folder = folder_of(root, name)
            if not chosen.only_compare and name != PRETRAINED:
                folder = run(root, name, chosen.until)
            found, left = against.compared(root, folder.relative_to(root))
            for line in against.table(found, left):
                print(line)
            write(root, name, found)
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:  # the stage has said why
        print(workspace.broken_off(error), file=sys.stderr)
        return 1
    return 0


def folder_of(root: Path, name: str) -> Path:
    """Return a preset's workspace; make real has its own."""
    return root / workspace.FOLDER / (name if name == PRETRAINED else f"scale-{name}")


def content_of(root: Path, name: str) -> dict[str, Any]:
    """Return the params of a name. Raises ParamsError for one that is none."""
    preset = "tiny" if name in CHANGES else name
    content = read_yaml(presets.path_of(root, preset, "python -m study.scale"))
    return laying.laid_over(content, CHANGES[name]) if name in CHANGES else content


def run(root: Path, name: str, until: str | None = None) -> Path:
    """Run a name's stages in its workspace and measure them; return the folder."""
    folder = workspace.prepare(root, f"scale-{name}", content_of(root, name))
    last = STAGES.index(until or LAST.get(name, STAGES[-1]))
    costs.reproduce(folder, STAGES[: last + 1])
    return folder


def write(root: Path, name: str, found: Mapping[str, Beside]) -> None:
    """Add a name's errors to metrics/scale.json; what else stands there stays."""
    content = kept.read(root)
    plan = content.setdefault("plan", {})
    for kind in ("memory", "time"):
        plan.setdefault(kind, {})[name] = {stage: round(getattr(one, kind), 3) for stage, one in found.items()}
    plan.setdefault("figures", {})[name] = {
        stage: {key: round(value, 1) for key, value in one._asdict().items()} for stage, one in found.items()
    }
    kept.write(root, content)


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
