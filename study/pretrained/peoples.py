"""Reward models on people's comparisons: on the pretrained backbone, on one trained from scratch, and TF-IDF's.

All three learn from the same comparisons and are measured on the same held-out ones.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.params import overlays
from rlhf.params.base import read_yaml
from study import workspace

SCRATCH = Path("presets/real_en.yaml")
SPLITS = ["reward_model", "judge", "validation"]
SECTIONS = {  # what both learn from, and how long a row may be
    "collect_comparisons.max_prompts": 0,
    "collect_comparisons.max_judge_prompts": 0,
    "collect_comparisons.labelers": None,
    "collect_prompts.cleaning.near_duplicates": None,
    "reward_model.max_tokens": 320,
    "reward_model.too_long": "cut",
    "reward_model.backbone": "base",
    "reward_model.epochs": 1,
}
SHARES = {"sft": 0.05, "reward_model": 0.72, "judge": 0.02, "ppo": 0.03, "validation": 0.17, "test": 0.01}


def accuracies(
    root: Path, content: Mapping[str, Any], comparisons: Sequence[Path], texts: Sequence[Path], limit: int
) -> dict[str, Any]:
    """Return held-out accuracy of both reward models and of TF-IDF; `limit`: comparisons that are read of each file.

    texts: what the model from scratch is pretrained on. Raises ParamsError for files that cannot be read.
    """
    found = {}
    for name, base, documents in (
        ("peoples_pretrained", content, []),
        ("peoples_scratch", read_yaml(root / SCRATCH), texts),
    ):
        change = SECTIONS | {"collect_prompts.sources": sources(content, comparisons, documents, limit)}
        change |= {"collect_prompts.shares": SHARES}
        folder = workspace.prepare(root, name, overlays.laid_over(base, change))
        workspace.reproduce(folder, ["reward_model@r1"])
        found[name] = json.loads((folder / "metrics/reward_model/r1.json").read_text(encoding="utf-8"))
    pretrained, scratch = (figures["reward_model"]["r1"] for figures in found.values())
    assert pretrained["pairs"] == scratch["pairs"]
    return {
        "accuracy": pretrained["accuracy"],
        "scratch_accuracy": scratch["accuracy"],
        "tfidf_accuracy": pretrained["tfidf_accuracy"],
        "pairs": pretrained["pairs"],
        "training_comparisons": pretrained["training_prompts"],
        "by_source": {name: part["accuracy"] for name, part in pretrained["by_category"].items()},
        "files": [path.name for path in comparisons],
    }


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
