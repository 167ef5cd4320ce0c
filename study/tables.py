"""The laboratory's results as tables, for docs/generated/ (Markdown) and the report (HTML)."""

from collections.abc import Collection
from typing import Any

from rlhf.evaluation.report_page import Table
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.typography import MISSING, number, percent, percent_interval
from rlhf.evaluation.typography import interval as interval_in_words
from rlhf.runtime.markdown import markdown_table
from study import names

REWARD_MODEL = {
    "gold_agreement": "gold_accuracy", "labeler_agreement": "labelers_agreement", "heldout_accuracy": "accuracy",
    "baseline_accuracy": "tfidf_accuracy",
}  # fmt: skip
MARKS = {  # of a cell: what it is called in a table, and what its reason is
    "stale": ("stale", "why its figures are stale"),
    "other_code": ("other code", "made with code of which these parts have changed since"),
}
NO_PEAK = 1e4  # nats: a fitted peak beyond is none


def as_markdown(table: Table) -> str:
    """Return a table as a paragraph of Markdown."""
    return markdown_table(table.columns, table.rows) + "\n"


def seeds(found: dict[str, Any]) -> Table:
    """Return the headline figures: their mean, and each seed's."""
    own, rows = found["per_seed"], []
    for group, named in names.RATES.items():
        kind = "controlled" if group == "controlled" else "as answered"
        for rate, called in named.items():
            if rate in found["evaluate"][group]:
                each = [found["evaluate"][group][rate], *(one[group][rate] for one in own)]
                rows.append([f"{called}, {kind}", *(percent_interval(Interval(**value)) for value in each)])
    for name, called in names.REWARD_MODEL.items():
        each = [found["reward_model"][name], *(one["reward_model"][name] for one in own)]
        rows.append([called, *(percent(value, 1) for value in each)])
    for decoding in ("sampled", "greedy"):
        least = [
            min((rates[decoding]["mean"], name) for name, rates in one["without_criterion"].items()) for one in own
        ]
        row = f"PPO against SFT, {decoding}, by gold without its most helpful criterion"
        rows.append([row, MISSING, *(f"{percent(mean)} ({name})" for mean, name in least)])
    columns = [
        _marked(f"seed {one['seed']}", [mark for mark in MARKS if str(one["seed"]) in found.get(mark, {})])
        for one in own
    ]
    averaged = found.get("averaged", [one["seed"] for one in own])
    mean = "mean" if len(averaged) == len(own) else f"mean of {' and '.join(map(str, averaged))}"
    return Table(["", mean, *columns], rows, "Three seeds")


def laboratory(found: dict[str, Any]) -> list[Table]:
    """Return frontier and tax by policy, fits, reward models, limits; where cells are marked, which and why."""
    marks = [
        Table(["cell", why], [[name, reason] for name, reason in found[mark].items()], called.capitalize())
        for mark, (called, why) in MARKS.items()
        if found.get(mark)
    ]
    return [frontier(found), fits(found), reward_models(found), limits(found), *marks]


def frontier(found: dict[str, Any]) -> Table:
    tax = {(row["cell"], row["policy"]): row for row in found["tax"]}
    rows = []
    for row in sorted(found["frontier"], key=lambda row: (row["seed"], row["kl"])):
        lost = tax.get((row["cell"], row["policy"]))
        of_text = [number(lost["loss"]["mean"]), percent(lost["closed_qa"]), percent(lost["few_shot"])] if lost else []
        name = _marked(names.policy_of_cell(row["cell"], row["policy"], row["seed"]), row)
        gold = interval(row["gold"])
        figures = [number(row["kl"]), gold, number(row["reward_model"]), *(of_text or [MISSING] * 3)]
        rows.append([name, *figures, str(row["seed"])])
    columns = ["policy, sampled", "KL, nats", "gold", "reward model", "loss on text", "closed QA", "few-shot", "seed"]
    return Table(columns, rows, "KL, gold and alignment tax")


def fits(found: dict[str, Any]) -> Table:
    rows = []
    for kind in ("ppo", "best_of_n"):
        for row in found["overoptimisation"][kind]:
            low, high = (f"{bound:.3g}" if bound < NO_PEAK else "∞" for bound in row["peak_kl_interval"])
            peak = f"{row['peak_kl']:.3g} ({low} to {high})" if row["peak_kl"] < NO_PEAK else "none"
            figures = [number(row["alpha"], 3), number(row["beta"], 3), number(row["r_squared"])]
            passed = "yes" if row["peak_passed"] else "no"
            called = names.policy_of_cell(row["cell"], "ppo", row["seed"]) if kind == "ppo" else "best of n"
            name = _marked(called, row)
            rows.append([name, *figures, peak, number(row["farthest_kl"]), passed, str(row["seed"])])
    columns = ["fit", "alpha", "beta", "R²", "peak at a KL of, nats", "farthest KL", "peak passed", "seed"]
    return Table(columns, rows, "Gao et al.'s forms")


def reward_models(found: dict[str, Any]) -> Table:
    rows = [
        [
            _marked(names.cell(row["cell"], row["seed"]), row), interval(row["validation_gold"]),
            interval(row["validation_labelers"]), number(row["training"]["accuracy"], 3),
            number(row["training"]["prompts"], 0), str(row["seed"]),
        ]
        for row in found["reward_models"]
    ]  # fmt: skip
    columns = ["reward model", "held-out pairs, gold", "held-out pairs, labelers", "on its training pairs", "prompts"]
    return Table([*columns, "seed"], rows, "Reward models")


def limits(found: dict[str, Any]) -> Table:
    """Return shares of answers; of cells that were measured before there were any, that they are not yet rerun."""
    rows = []
    for row in found["limits"]:
        name = _marked(names.policy(row["policy"]), row)
        if "closing" in row:
            shares = [percent_interval(Interval(**row["/".join(place)])) for place in names.LIMITS]
            figures = [*shares, interval(row["words"], 1), percent(row["closing"]["any"])]
        else:
            name, figures = f"{name} (not yet rerun)", [MISSING] * (len(names.LIMITS) + 2)
        rows.append([name, *figures, str(row["seed"])])
    columns = ["greedy", *names.LIMITS.values(), "words", "end with a fixed phrase", "seed"]
    return Table(columns, rows, "Limits")


def interval(one: dict[str, float], digits: int = 3) -> str:
    return interval_in_words(Interval(**one), digits)


def _marked(name: str, marks: Collection[str]) -> str:
    """Return a name with those of the marks that are among others: of a row, its keys."""
    called = [called for mark, (called, _) in MARKS.items() if mark in marks]
    return f"{name} ({', '.join(called)})" if called else name
