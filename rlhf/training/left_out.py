"""Rivals that params leave out (`train: false`): the stage's folder says so, and whoever looks for a policy sees it."""

from collections.abc import Mapping
from pathlib import Path

from rlhf.runtime import outputs
from rlhf.runtime.files import new_folder, write_text
from rlhf.training.context import StageContext

SAID = "README.md"


def write(context: StageContext, metrics: Mapping[str, int]) -> None:
    """Write what the stages behind this one and DVC expect of it, with nothing in it."""
    why = f"not trained, for {context.stage}.train is false"
    context.run.say(why)
    with new_folder(context.out) as folder:
        write_text(folder / SAID, f"# No policy\n\nIt is {why}.\n")
    outputs.write_curve(context.root, context.name, [{"step": 0, "loss": ""}])
    outputs.write_metrics(context.root, context.name, metrics)
    context.run.log_metrics(metrics)


def is_left_out(folder: Path) -> bool:
    """Return whether a stage's folder says that no policy was trained; one that is missing or broken says nothing."""
    return (folder / SAID).is_file() and not (folder / "config.json").is_file()
