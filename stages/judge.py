"""set-aside rankings → judge: a reward model of another seed or backbone that never saw the proxy's data."""

import random
from collections.abc import Sequence
from pathlib import Path

from rlhf.params.base import load
from rlhf.params.reward_model import JudgeInputs
from rlhf.preferences import preference_training
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.runs import launch
from rlhf.training.context import open_stage

STAGE = "judge"
HELD_OUT_SHARE = 0.2  # of the set-aside prompts: they measure the judge, which is trained on the others


def main(root: Path = Path(".")) -> None:
    params = load(root, JudgeInputs)
    file = root / "data/collect_comparisons" / params.judge.round / "comparisons.judge.jsonl"
    inputs = {"training": [file, *preference_training.inputs(root, params.judge)]}
    with open_stage(root, STAGE, params, inputs, f"its {params.judge.backbone} backbone") as context:
        training, held_out = halves(records.read(file, Comparison))
        preference_training.fit(training, held_out, params.judge, context)


def halves(comparisons: Sequence[Comparison]) -> tuple[list[Comparison], list[Comparison]]:
    """Return (training, held-out) comparisons. Raises ValueError where there are too few to do both."""
    if len(comparisons) < records.FOR_A_JUDGE:
        raise ValueError(
            f"the judge needs at least {records.FOR_A_JUDGE} comparisons set aside for it, got {len(comparisons)}: "
            "raise collect_prompts.shares.judge, or collect_answers.max_judge_prompts; where people rank, prompts that "
            "all of them skip are none"
        )
    order = sorted(comparisons, key=lambda comparison: comparison["id"])
    random.Random(0).shuffle(order)
    cut = max(2, round(len(order) * HELD_OUT_SHARE))
    return order[cut:], order[:cut]


if __name__ == "__main__":
    launch.run(STAGE, main)
