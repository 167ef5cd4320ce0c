"""ranked answers → scalar reward model, demonstrations scoring 0 on average (Ouyang et al. 2022, step 2)."""

import sys
from pathlib import Path

from rlhf.models import placement
from rlhf.params.base import load
from rlhf.params.reward_model import RewardModelInputs
from rlhf.preferences import reward_stage
from rlhf.records import records
from rlhf.runs import checkpoints, launch, tracking
from rlhf.runtime import failures, outputs, seeds

STAGE = "reward_model"


def main(root: Path = Path("."), round: str = "r1") -> None:
    params = load(root, RewardModelInputs)
    placement.prepare(params.runtime, params.seed)
    source, out = root / "data/collect_comparisons" / round, root / "data" / STAGE / round
    train_file, validation_file = source / "comparisons.train.jsonl", source / "comparisons.validation.jsonl"
    inputs = [train_file, validation_file, reward_stage.backbone_of(root, params.reward_model)]
    states = checkpoints.opened(root, STAGE, params, inputs, round)
    with (
        failures.explained(STAGE, f"its {params.reward_model.backbone} backbone"),
        tracking.stage_run(root, STAGE, round=round, states=states) as run,
    ):
        run.log_inputs([train_file], context="training")
        run.log_inputs([validation_file], context="validation")
        metrics, curve, bins = reward_stage.fit(
            root,
            out,
            records.read(train_file),
            records.read(validation_file),
            params.reward_model,
            params.runtime,
            seeds.derive(params.seed, STAGE, round),
            states,
            run,
        )
        outputs.write_curve(root, STAGE, outputs.thinned(curve), round=round)
        outputs.write_curve(root, STAGE, bins, round=f"{round}_calibration")
        outputs.write_metrics(root, STAGE, metrics, round=round)
        run.log_metrics(metrics)
        run.log_checkpoint(out)


if __name__ == "__main__":
    launch.run(STAGE, main, round=sys.argv[1])
