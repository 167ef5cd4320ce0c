"""The few figures by which runs are compared, under names that a person reads: they stand first in MLflow."""

from collections.abc import Mapping
from typing import Any

WIN_RATES = {
    "PPO beats SFT sampled": "ppo_vs_sft",
    "PPO beats SFT greedy": "ppo_vs_sft_greedy",
    "PPO beats SFT best temperature": "ppo_vs_sft_best_temperature",
    "PPO beats SFT length controlled": "ppo_vs_sft_length_controlled",
    "PPO beats FeedME sampled": "ppo_vs_feedme",
    "PPO beats FeedME greedy": "ppo_vs_feedme_greedy",
    "strict PPO beats SFT greedy": "strict_ppo_vs_sft_greedy",
}
OTHERS = {
    "gold SFT sampled": ("gold", "sft_sampled"),
    "gold PPO sampled": ("gold", "ppo_sampled"),
    "gold PPO greedy": ("gold", "ppo_greedy"),
    "tokens SFT sampled": ("num_tokens", "sft_sampled"),
    "tokens PPO sampled": ("num_tokens", "ppo_sampled"),
    "KL of PPO from SFT nats an answer": ("kl_per_answer", "ppo"),
}


BOUNDS = ("low", "high")  # of a win rate's interval, behind its name


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return those of the content of metrics/evaluate.json that decide: a win rate's mean, and its bounds beside it.

    What was not measured, such as gold on a user's own prompts, is left out.
    """
    found = {}
    for name, key in WIN_RATES.items():
        rate = metrics["win_rate"].get(key)
        if rate:
            found |= {name: rate["mean"]} | {f"{name} {bound}": rate[bound] for bound in BOUNDS}
    others = {name: metrics.get(group, {}).get(key) for name, (group, key) in OTHERS.items()}
    return found | {name: value for name, value in others.items() if value is not None}


def columns(figures: Mapping[str, float]) -> list[str]:
    """Return the names of those that a table of runs has room for: all but the bounds."""
    return [name for name in figures if not name.endswith(BOUNDS)]
