"""The laboratory's results as tables, for docs/generated/ (Markdown) and the report (HTML)."""

from typing import Any

from rlhf.evaluation.report_page import Table

HEADLINES = (
    "ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_sft_best_temperature", "ppo_vs_best_of_4", "ppo_vs_feedme",
    "ppo_vs_sft_length_controlled", "strict_ppo_vs_sft_greedy", "strict_ppo_vs_feedme_greedy",
)  # fmt: skip
REWARD_MODEL = {
    "gold_agreement": "gold_accuracy", "labeler_agreement": "labelers_agreement", "heldout_accuracy": "accuracy",
    "baseline_accuracy": "tfidf_accuracy",
}  # fmt: skip
LIMITS = ("false_premise", "unknown", "clarify", "harmful", "look_alike", "paraphrase_spread", "words")


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def seeds(found: dict[str, Any]) -> Table:
    """Return the headline figures: each seed's, and their mean."""
    own, rows = found["per_seed"], []
    for rate in HEADLINES:
        each = [*(one["win_rate"][rate] for one in own), found["evaluate"]["win_rate"][rate]]
        rows.append([rate, *map(percent, each)])
    for name in REWARD_MODEL:
        each = [*(one["reward_model"][name] for one in own), found["reward_model"][name]]
        rows.append([f"reward model: {name.replace('_', ' ')}", *(f"{value:.1%}" for value in each)])
    for decoding in ("sampled", "greedy"):
        least = [
            min((rates[decoding]["mean"], name) for name, rates in one["without_criterion"].items()) for one in own
        ]
        row = f"PPO against SFT, {decoding}, by gold without its most helpful criterion"
        rows.append([row, *(f"{mean:.0%} ({name})" for mean, name in least), ""])
    return Table(["", *(f"seed {one['seed']}" for one in own), "mean"], rows, "Three seeds")


def laboratory(found: dict[str, Any]) -> list[Table]:
    """Return frontier and tax by policy, fits, reward models, limits."""
    return [frontier(found), fits(found), reward_models(found), limits(found)]


def frontier(found: dict[str, Any]) -> Table:
    tax = {(row["cell"], row["policy"]): row for row in found["tax"]}
    rows = []
    for row in sorted(found["frontier"], key=lambda row: (row["seed"], row["kl"])):
        lost = tax.get((row["cell"], row["policy"]))
        of_text = (
            [f"{lost['loss']['mean']:.2f}", f"{lost['closed_qa']:.0%}", f"{lost['few_shot']:.0%}"] if lost else [""] * 3
        )
        name = f"{row['cell']} {row['policy']}"
        rows.append(
            [name, str(row["seed"]), f"{row['kl']:.2f}", interval(row["gold"]), f"{row['reward_model']:.2f}", *of_text]
        )
    columns = ["policy, sampled", "seed", "KL, nats", "gold", "reward model", "loss on text", "closed QA", "few-shot"]
    return Table(columns, rows, "KL, gold and alignment tax")


def fits(found: dict[str, Any]) -> Table:
    rows = []
    for kind in ("ppo", "best_of_n"):
        for row in found["overoptimisation"][kind]:
            low, high = row["peak_kl_interval"]
            peak = f"{row['peak_kl']:.3g} ({low:.3g}-{high:.3g})" if row["peak_kl"] < 1e4 else "none"
            numbers = [f"{row[name]:.3f}" for name in ("alpha", "beta")]
            passed = "yes" if row["peak_passed"] else "no"
            name = row["cell"] if kind == "ppo" else "best of n"
            rows.append(
                [name, str(row["seed"]), *numbers, f"{row['r_squared']:.2f}", peak, f"{row['farthest_kl']:.2f}", passed]
            )
    columns = ["fit", "seed", "alpha", "beta", "R²", "peak at a KL of, nats", "farthest KL", "peak passed"]
    return Table(columns, rows, "Gao et al.'s forms")


def reward_models(found: dict[str, Any]) -> Table:
    rows = [
        [
            row["cell"], str(row["training"]["prompts"]), f"{row['training']['accuracy']:.3f}",
            interval(row["validation_labelers"]), interval(row["validation_gold"]),
        ]
        for row in found["reward_models"]
    ]  # fmt: skip
    columns = ["reward model", "prompts", "on its training pairs", "held-out pairs, labelers", "held-out pairs, gold"]
    return Table(columns, rows, "Reward models")


def limits(found: dict[str, Any]) -> Table:
    rows = []
    for row in found["limits"]:
        phrase, share = next(iter(row["phrases"].items()))
        values = [interval(row[kind], 1 if kind == "words" else 2) for kind in LIMITS]
        rows.append([row["policy"], str(row["seed"]), *values, f"{phrase}: {share:.0%}"])
    columns = ["greedy", "seed", *(kind.replace("_", " ") for kind in LIMITS), "commonest phrase"]
    return Table(columns, rows, "Limits")


def percent(one: dict[str, float]) -> str:
    return f"{one['mean']:.0%} ({one['low'] * 100:.0f}-{one['high'] * 100:.0f})"


def interval(one: dict[str, float], digits: int = 3) -> str:
    return f"{one['mean']:.{digits}f} ({one['low']:.{digits}f}-{one['high']:.{digits}f})"
