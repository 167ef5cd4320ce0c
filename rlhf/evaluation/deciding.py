"""The few figures by which runs are compared, under names that a person reads: they stand first in MLflow."""

from collections.abc import Mapping
from typing import Any

# MLflow sorts names, and shows those with one beginning before a stroke as a group
CONTROLLED = {
    "0 PPO beats SFT controlled/sampled": "ppo_vs_sft",
    "0 PPO beats SFT controlled/greedy": "ppo_vs_sft_greedy",
    "0 PPO beats SFT controlled/best temperature": "ppo_vs_sft_best_temperature",
    "1 PPO beats FeedME controlled/sampled": "ppo_vs_feedme",
    "1 PPO beats FeedME controlled/greedy": "ppo_vs_feedme_greedy",
    "1 PPO beats rejection sampling controlled/sampled": "ppo_vs_rejection",
    "1 PPO beats rejection sampling controlled/greedy": "ppo_vs_rejection_greedy",
    "1 PPO beats DPO controlled/sampled": "ppo_vs_dpo",
    "1 PPO beats DPO controlled/greedy": "ppo_vs_dpo_greedy",
}
PLAIN = {
    "5 PPO beats SFT plain/sampled": "ppo_vs_sft",
    "5 PPO beats SFT plain/greedy": "ppo_vs_sft_greedy",
    "5 PPO beats SFT plain/best temperature": "ppo_vs_sft_best_temperature",
    "5 PPO beats SFT plain/length controlled": "ppo_vs_sft_length_controlled",
    "5 PPO beats SFT plain/strict greedy": "strict_ppo_vs_sft_greedy",
    "6 PPO beats FeedME plain/sampled": "ppo_vs_feedme",
    "6 PPO beats FeedME plain/greedy": "ppo_vs_feedme_greedy",
    "6 PPO beats rejection sampling plain/sampled": "ppo_vs_rejection",
    "6 PPO beats rejection sampling plain/greedy": "ppo_vs_rejection_greedy",
    "6 PPO beats DPO plain/sampled": "ppo_vs_dpo",
    "6 PPO beats DPO plain/greedy": "ppo_vs_dpo_greedy",
}
WIN_RATES = {"controlled": CONTROLLED, "win_rate": PLAIN}  # by group of metrics/evaluate.json
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
    """Return those of the content of metrics/evaluate.json that decide, in the order of their names: a win rate's mean,
    and its bounds beside it.

    What was not measured, such as gold on a user's own prompts, is left out.
    """
    found = {}
    for group, names in WIN_RATES.items():
        for name, key in names.items():
            rate = metrics.get(group, {}).get(key)
            if rate:
                found |= {name: rate["mean"]} | {f"{name} {bound}": rate[bound] for bound in BOUNDS}
    others = {name: metrics.get(group, {}).get(key) for name, (group, key) in OTHERS.items()}
    found |= {name: value for name, value in others.items() if value is not None}
    return dict(sorted(found.items(), key=lambda item: item[0][0]))  # by group, within one as above


def columns(figures: Mapping[str, float]) -> list[str]:
    """Return the names of those that a table of runs has room for: neither bounds nor plain win rates."""
    return [name for name in figures if not name.endswith(BOUNDS) and name not in PLAIN]
