"""A laboratory in small: a preset of a few keys, and cells that say what they were made with."""

import json
from pathlib import Path
from typing import Any

from rlhf.params.base import read_yaml
from study import cells, params
from study.evidence import laboratory, made_with
from study.evidence.laboratory import Laboratory
from tests import toys
from tools import cell_code

PRESET = {
    "seed": 17, "tracking": {"uri": None}, "checkpoints": {"every_seconds": 30.0}, "reward_model": {"epochs": 2},
    "ppo": {"iterations": 20, "kl_coef": 0.1},
}  # fmt: skip
EFFECT = {  # of a claim: a number of one seed
    "kind": "number", "cell": "seed_{seed}", "path": "evaluate.win_rate.ppo_vs_sft.mean", "minus": None, "seeds": [17],
}  # fmt: skip
CHAINS = {f"seed_{seed}": {"seed": seed} for seed in (17, 18, 19)}


def lay_out(
    root: Path,
    others: dict[str, dict[str, Any]] | None = None,
    chains: dict[str, Any] = CHAINS,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write a study of these cells, which run as far as PPO and measure nothing, where they do not say more."""

    def cell(own: dict[str, Any]) -> dict[str, Any]:
        return {"change": {}, "targets": ["ppo@r1"], "measures": []} | own

    content = {name: read_yaml(toys.REPO / params.FILE)[name] for name in ("settings", "encoder", "forms", "stories")}
    content["settings"] = settings or content["settings"]
    content["chains"] = {name: cell(own) | {"targets": ["evaluate"]} for name, own in chains.items()}
    content |= {"cells": {name: cell(own) for name, own in (others or {}).items()}, "encoders": {}, "forms_cells": {}}
    for file, written in ((params.FILE, content), (params.PRESET, PRESET)):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(json.dumps(written))


def write(root: Path, name: str, content: dict[str, Any], code: dict[str, str] | None = None) -> None:
    """Write a cell as one that was made with the params that it has now, by `code`, {part: sum}."""
    cell = params.load(root).everything[name]
    record = made_with.record(cell, params.content(params.preset(root), cell), code or {})
    path = root / cells.FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"made_with": record} | content))


def list_code(root: Path, **listings: dict[str, str]) -> None:
    """Write the listings of the code that there is now, each {file: md5}."""
    for name, content in listings.items():
        path = root / cell_code.path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def read(root: Path) -> Laboratory:
    return laboratory.of(root, params.load(root))
