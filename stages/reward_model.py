"""ranked answers → scalar reward model, demonstrations scoring 0 on average (Ouyang et al. 2022, step 2).

Where rewards.trained is 0, adopted models and functions are the reward: none is trained, and the folder says so.
"""

from pathlib import Path

from rlhf.params.base import load
from rlhf.params.reward_model import RewardModelInputs
from rlhf.preferences import preference_training
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.runs import launch
from rlhf.runtime import outputs
from rlhf.runtime.files import new_folder, write_text
from rlhf.training.context import StageContext, open_stage

STAGE = "reward_model"
NOT_TRAINED = "not trained, for rewards.trained is 0: adopted models, functions or the length are the reward"


def main(root: Path = Path("."), round_name: str = "r1") -> None:
    params = load(root, RewardModelInputs)
    section, source = params.reward_model, root / "data/collect_comparisons" / round_name
    train_file, validation_file = source / "comparisons.train.jsonl", source / "comparisons.validation.jsonl"
    inputs = {
        "training": [train_file, *preference_training.inputs(root, section)],
        "validation": [validation_file],
    }
    with open_stage(root, STAGE, params, inputs, f"its {section.backbone} backbone", round_name) as context:
        if not params.rewards.trained:
            write_none(context)
            return
        training, held_out = records.read(train_file, Comparison), records.read(validation_file, Comparison)
        preference_training.fit(training, held_out, section, context)


def write_none(context: StageContext) -> None:
    """Write what the stages behind this one and DVC expect of it, with nothing in it."""
    context.run.say(NOT_TRAINED)
    with new_folder(context.out) as folder:
        write_text(folder / "README.md", f"# No reward model\n\nIt is {NOT_TRAINED}.\n")
    outputs.write_curve(context.root, context.name, [{"step": 0, "accuracy": ""}])
    outputs.write_curve(context.root, f"{context.name}_calibration", [{"claimed": "", "measured": ""}])
    metrics = {"training_prompts": 0, "by_category": {}}
    outputs.write_metrics(context.root, context.name, metrics)
    context.run.log_metrics(metrics)


if __name__ == "__main__":
    launch.run_round(STAGE, main)
