"""Trials and rows of tuning in small: two of each method."""

import json
from pathlib import Path

from study.tuning import rows, trials

PPO = {"plain": {"ppo.lam": 1.0}, "longer": {"ppo.lam": 1.0, "ppo.iterations": 3}}
FEEDME = {"first": {"feedme.epochs": 2}, "all_best": {"feedme": {"learn": "all_best"}}}
REJECTION = {"four": {"rejection.n": 4}, "five": {"rejection.n": 5}}
DPO = {"low": {"dpo.beta": 0.05}, "high": {"dpo.beta": 0.3}}


def write_trials(root: Path, **changes: dict) -> None:
    methods = {"ppo": PPO, "feedme": FEEDME, "rejection": REJECTION, "dpo": DPO} | changes
    content = {
        method: {name: {"change": change, "why": "It may help."} for name, change in own.items()}
        for method, own in methods.items()
    }
    (root / trials.FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / trials.FILE).write_text(json.dumps(content))


def row(trial: str, seed: int, score: float, seconds: float, **more) -> dict:
    change = trials.written(trials.Trial(change=PPO.get(trial, {"ppo.lam": 0.5}), why="x"))
    found = dict.fromkeys(rows.COLUMNS, 0.5) | {"method": "ppo", "trial": trial, "seed": seed, "change": change}
    found |= {"score": score, "score_error": 0.02, "processor_seconds": seconds}
    return found | {"params": "p", "inputs": "i", "code": "c", "commit": "abc"} | more
