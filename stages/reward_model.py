"""ranked answers → scalar reward model, demonstrations scoring 0 on average (Ouyang et al. 2022, step 2)."""

from pathlib import Path

from rlhf.params.base import load
from rlhf.params.reward_model import RewardModelInputs
from rlhf.preferences import preference_training
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.runs import launch
from rlhf.training.context import open_stage

STAGE = "reward_model"


def main(root: Path = Path("."), round_name: str = "r1") -> None:
    params = load(root, RewardModelInputs)
    section, source = params.reward_model, root / "data/collect_comparisons" / round_name
    train_file, validation_file = source / "comparisons.train.jsonl", source / "comparisons.validation.jsonl"
    inputs = {
        "training": [train_file, *preference_training.inputs(root, section)],
        "validation": [validation_file],
    }
    with open_stage(root, STAGE, params, inputs, f"its {section.backbone} backbone", round_name) as context:
        training, held_out = records.read(train_file, Comparison), records.read(validation_file, Comparison)
        preference_training.fit(training, held_out, section, context)


if __name__ == "__main__":
    launch.run_round(STAGE, main)
