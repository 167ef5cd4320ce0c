"""The few figures by which runs are compared, under names that a person reads: they stand first in MLflow."""

from collections.abc import Mapping
from typing import Any

# MLflow sorts names, and shows those with one beginning before a stroke as a group
WIN_RATES = {
    "0 PPO beats SFT/sampled": "ppo_vs_sft",
    "0 PPO beats SFT/greedy": "ppo_vs_sft_greedy",
    "0 PPO beats SFT/best temperature": "ppo_vs_sft_best_temperature",
    "0 PPO beats SFT/length controlled": "ppo_vs_sft_length_controlled",
    "0 PPO beats SFT/strict greedy": "strict_ppo_vs_sft_greedy",
    "1 PPO beats FeedME/sampled": "ppo_vs_feedme",
    "1 PPO beats FeedME/greedy": "ppo_vs_feedme_greedy",
}
OTHERS = {
    "2 gold/SFT sampled": ("gold", "sft_sampled"),
    "2 gold/PPO sampled": ("gold", "ppo_sampled"),
    "2 gold/PPO greedy": ("gold", "ppo_greedy"),
    "3 tokens/SFT sampled": ("num_tokens", "sft_sampled"),
    "3 tokens/PPO sampled": ("num_tokens", "ppo_sampled"),
    "4 KL/PPO from SFT nats an answer": ("kl_per_answer", "ppo"),
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
