"""set-aside rankings → judge: a reward model of another seed or backbone that never saw the proxy's data."""

import random
from pathlib import Path

from rlhf.models import placement
from rlhf.params.base import load
from rlhf.params.reward_model import JudgeInputs
from rlhf.preferences import reward_stage
from rlhf.records import records
from rlhf.runs import checkpoints, launch, tracking
from rlhf.runtime import failures, outputs, seeds

STAGE = "judge"
HELD_OUT_SHARE = 0.2  # of the set-aside prompts: they measure the judge, which is trained on the others


def main(root: Path = Path(".")) -> None:
    params = load(root, JudgeInputs)
    placement.prepare(params.runtime, params.seed)
    out = root / "data" / STAGE
    file = root / "data/collect_comparisons" / params.judge.round / "comparisons.judge.jsonl"
    states = checkpoints.opened(root, STAGE, params, [file, reward_stage.backbone_of(root, params.judge)])
    with (
        failures.explained(STAGE, f"its {params.judge.backbone} backbone"),
        tracking.stage_run(root, STAGE, states=states) as run,
    ):
        run.log_inputs([file], context="training")
        training, held_out = halves(records.read(file))
        seed = seeds.derive(params.seed, STAGE)
        metrics, curve, bins = reward_stage.fit(
            root, out, training, held_out, params.judge, params.runtime, seed, states, run
        )
        outputs.write_curve(root, STAGE, outputs.thinned(curve))
        outputs.write_curve(root, STAGE, bins, round="calibration")
        outputs.write_metrics(root, STAGE, metrics)
        run.log_metrics(metrics)
        run.log_checkpoint(out)


def halves(comparisons: list[dict]) -> tuple[list[dict], list[dict]]:
    """Return (training, held-out) comparisons. Raises ValueError where there are too few to do both."""
    if len(comparisons) < 10:
        raise ValueError(
            f"the judge needs at least 10 comparisons set aside for it, got {len(comparisons)}: raise "
            "collect_prompts.shares.judge, or collect_comparisons.max_judge_prompts"
        )
    order = sorted(comparisons, key=lambda comparison: comparison["id"])
    random.Random(0).shuffle(order)
    cut = max(2, round(len(order) * HELD_OUT_SHARE))
    return order[cut:], order[:cut]


if __name__ == "__main__":
    launch.run(STAGE, main)
