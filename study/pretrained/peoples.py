"""Reward models on people's comparisons: on the pretrained backbone, on one trained from scratch, and TF-IDF's.

All three learn from the same comparisons and are measured on the same held-out ones.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.params.base import ParamsError, read_yaml
from rlhf.runs import lineage
from study import workspace
from tools.overlays import laying

SCRATCH = Path("presets/real_en.yaml")
SPLITS = ["reward_model", "judge", "validation"]
SHARES = {"sft": 0.05, "reward_model": 0.72, "judge": 0.02, "ppo": 0.03, "validation": 0.17, "test": 0.01}
TRAINING = {  # of both reward models
    "collect_answers.max_prompts": 0,
    "collect_answers.max_judge_prompts": 0,
    "collect_comparisons.labelers": None,
    "reward_model.max_tokens": 320,
    "reward_model.too_long": "cut",
    "reward_model.backbone": "base",
    "reward_model.epochs": 1,
}
RECORDS = ("train", "validation")


def accuracies(
    root: Path, content: Mapping[str, Any], comparisons: Sequence[Path], texts: Sequence[Path], limit: int
) -> dict[str, Any]:
    """Return held-out accuracy of both reward models and of TF-IDF; `limit`: comparisons that are read of each file.

    texts: what the model from scratch is pretrained on. Raises ParamsError for files that cannot be read.
    """
    folders = {}
    for name, base, documents in (
        ("peoples_pretrained", content, []),
        ("peoples_scratch", read_yaml(root / SCRATCH), texts),
    ):
        read = sources(content, comparisons, documents, limit)
        collected = {**content["collect_prompts"], "sources": read, "shares": SHARES}
        folders[name] = workspace.prepare(root, name, laying.laid_over(base, TRAINING | {"collect_prompts": collected}))
        workspace.reproduce(folders[name], ["collect_prompts"])
    _refuse_other_comparisons(folders)
    found = {}
    for name, folder in folders.items():
        workspace.reproduce(folder, ["reward_model@r1"])
        metrics = json.loads((folder / "metrics/reward_model/r1.json").read_text(encoding="utf-8"))
        found[name] = metrics["reward_model"]["r1"]
    pretrained, scratch = found.values()
    return {
        "accuracy": pretrained["accuracy"],
        "scratch_accuracy": scratch["accuracy"],
        "tfidf_accuracy": pretrained["tfidf_accuracy"],
        "pairs": pretrained["pairs"],
        "training_comparisons": pretrained["training_prompts"],
        "by_source": {name: part["accuracy"] for name, part in pretrained["by_category"].items()},
        "files": [path.name for path in comparisons],
    }


def _refuse_other_comparisons(folders: Mapping[str, Path]) -> None:
    """Raise ParamsError where the two would not learn from, and be measured on, the same comparisons."""
    for name in RECORDS:
        file = f"data/collect_prompts/comparisons.{name}.jsonl"
        sums = {place: lineage.dvc_md5(folder / file) for place, folder in folders.items()}
        if len({*sums.values()}) > 1:
            raise ParamsError(f"{file}: the two presets keep other comparisons ({sums}); give them one cleaning")


def sources(
    content: Mapping[str, Any], comparisons: Sequence[Path], texts: Sequence[Path], limit: int
) -> list[dict[str, Any]]:
    """Return the preset's sources, whose demonstrations give the chat its form, with people's comparisons and texts."""
    kept = [dict(one) for one in content["collect_prompts"]["sources"]]
    ranked = [
        {
            "name": f"people_{number}",
            "kind": "file",
            "paths": [str(path.resolve())],
            "use": ["comparisons"],
            "splits": SPLITS,
            "category": path.name.split(".")[0],
            "limit": limit,
        }
        for number, path in enumerate(comparisons)
    ]
    written = [
        {"name": f"text_{number}", "kind": "file", "paths": [str(path.resolve())], "use": ["documents"], "splits": []}
        for number, path in enumerate(texts)
    ]
    return [*kept, *ranked, *written]
