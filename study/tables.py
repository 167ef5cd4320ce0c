"""The laboratory's results as Markdown, for the README."""

from typing import Any

HEADLINES = (
    "ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_sft_best_temperature", "ppo_vs_best_of_4", "ppo_vs_feedme",
    "ppo_vs_sft_length_controlled", "strict_ppo_vs_sft_greedy", "strict_ppo_vs_feedme_greedy",
)  # fmt: skip
REWARD_MODEL = {
    "gold_agreement": "gold_accuracy", "labeler_agreement": "labelers_agreement", "heldout_accuracy": "accuracy",
    "baseline_accuracy": "tfidf_accuracy",
}  # fmt: skip


def seeds_table(found: dict[str, Any]) -> str:
    """Return the headline figures as Markdown: each seed's, and their mean."""
    own = found["per_seed"]
    lines = ["| | " + " | ".join(f"seed {one['seed']}" for one in own) + " | mean |", "| --- " * (len(own) + 2) + "|"]
    for rate in HEADLINES:
        each = [*(one["win_rate"][rate] for one in own), found["evaluate"]["win_rate"][rate]]
        lines.append(f"| `{rate}` | " + " | ".join(percent(interval) for interval in each) + " |")
    for name in REWARD_MODEL:
        each = [*(one["reward_model"][name] for one in own), found["reward_model"][name]]
        lines.append(
            f"| reward model: {name.replace('_', ' ')} | " + " | ".join(f"{value:.1%}" for value in each) + " |"
        )
    for decoding in ("sampled", "greedy"):
        least = [
            min((rates[decoding]["mean"], name) for name, rates in one["without_criterion"].items()) for one in own
        ]
        cells_ = " | ".join(f"{mean:.0%} ({name})" for mean, name in least)
        lines.append(f"| PPO against SFT, {decoding}, by gold without its most helpful criterion | {cells_} | |")
    return "\n".join(lines) + "\n"


def percent(interval: dict[str, float]) -> str:
    return f"{interval['mean']:.0%} ({interval['low'] * 100:.0f}-{interval['high'] * 100:.0f})"


def laboratory_tables(found: dict[str, Any]) -> str:
    """Return over-optimisation, frontier and tax by policy, reward models, and limits as Markdown."""

    def interval(one: dict[str, float], digits: int = 3) -> str:
        return f"{one['mean']:.{digits}f} ({one['low']:.{digits}f}-{one['high']:.{digits}f})"

    losses = {(row["cell"], row["policy"]): row for row in found["tax"]}
    lines = [
        "| policy, sampled | seed | KL, nats | gold | reward model | loss on text | closed QA | few-shot |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(found["frontier"], key=lambda row: (row["seed"], row["kl"])):
        tax_row = losses.get((row["cell"], row["policy"]))
        of_text = (
            f"{tax_row['loss']['mean']:.2f} | {tax_row['closed_qa']:.0%} | {tax_row['few_shot']:.0%}"
            if tax_row
            else " | | "
        )
        lines.append(
            f"| {row['cell']} {row['policy']} | {row['seed']} | {row['kl']:.2f} | {interval(row['gold'])} | "
            f"{row['reward_model']:.2f} | {of_text} |"
        )
    lines += [
        "",
        "| fit | seed | alpha | beta | R² | peak at a KL of, nats | farthest KL | peak passed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in ("ppo", "best_of_n"):
        for row in found["overoptimisation"][kind]:
            low, high = row["peak_kl_interval"]
            peak = f"{row['peak_kl']:.3g} ({low:.3g}-{high:.3g})" if row["peak_kl"] < 1e6 else "none"
            name = row["cell"] if kind == "ppo" else "best of n"
            lines.append(
                f"| {name} | {row['seed']} | {row['alpha']:.3f} | {row['beta']:.3f} | {row['r_squared']:.2f} | "
                f"{peak} | {row['farthest_kl']:.2f} | {'yes' if row['peak_passed'] else 'no'} |"
            )
    lines += [
        "",
        "| reward model | prompts | on its training pairs | held-out pairs, labelers | held-out pairs, gold |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in found["reward_models"]:
        training = row["training"]
        lines.append(
            f"| {row['cell']} | {training['prompts']} | {training['accuracy']:.3f} | "
            f"{interval(row['validation_labelers'])} | {interval(row['validation_gold'])} |"
        )
    kinds = ("false_premise", "unknown", "clarify", "harmful", "look_alike", "paraphrase_spread", "words")
    names = " | ".join(kind.replace("_", " ") for kind in kinds)
    lines += ["", f"| greedy | seed | {names} | commonest phrase |", "| --- " * (len(kinds) + 3) + "|"]
    for row in found["limits"]:
        phrase, share = next(iter(row["phrases"].items()))
        values = " | ".join(interval(row[kind], 1 if kind == "words" else 2) for kind in kinds)
        lines.append(f"| {row['policy']} | {row['seed']} | {values} | {phrase}: {share:.0%} |")
    return "\n".join(lines) + "\n"
