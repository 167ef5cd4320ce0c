"""Which trial of each method is chosen, by a rule that is stated before anything is tried."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from rlhf.runtime.markdown import markdown_table
from study.tuning.trials import INPUTS, Trials, written

RULE = (
    "The choice: the highest score, which is controlled gold on validation prompts, the mean of greedy and sampled "
    "answers, median over seeds; of all trials less than 0.005 below the best, the cheapest in processor seconds."
)
NEAR = 0.005  # gold points, as RULE says: a quarter of what a win needs
SHOWN = {  # column: (its title, digits)
    "score": ("score", 3), "score_error": ("error", 3), "greedy": ("greedy", 3), "sampled": ("sampled", 3),
    "vs_sft_greedy": ("beats SFT greedy", 3), "vs_sft_sampled": ("sampled", 3),
    "vs_feedme_greedy": ("FeedME greedy", 3), "vs_feedme_sampled": ("sampled", 3),
    "strict_greedy": ("strict greedy", 3),
    "chinese_greedy": ("Chinese greedy", 3), "chinese_sampled": ("sampled", 3), "kl": ("KL, nats", 2),
    "tokens_greedy": ("tokens greedy", 1), "tokens_sampled": ("sampled", 1),
    "processor_seconds": ("processor seconds", 0),
}  # fmt: skip


class Tried(NamedTuple):
    """One trial over seeds."""

    name: str
    seeds: tuple[int, ...]
    figures: Mapping[str, float]  # medians over seeds, by column of SHOWN; the error is that of the mean over seeds

    @property
    def score(self) -> float:
        return self.figures["score"]


def tried(found: Sequence[Mapping[str, str]], method: str, plan: Trials) -> list[Tried]:
    """Return a method's trials that have rows, as trials.yaml has them now; of rows of one seed the newest counts."""
    newest: dict[str, dict[int, Mapping[str, str]]] = defaultdict(dict)
    for row in found:
        if is_of(row, method, plan):
            newest[row["trial"]][int(row["seed"])] = row
    return [
        Tried(name, tuple(sorted(newest[name])), _figures([*newest[name].values()]))
        for name in plan.of(method)
        if name in newest
    ]


def is_of(row: Mapping[str, str], method: str, plan: Trials) -> bool:
    """Return whether a row is of a trial of this method as trials.yaml has it now."""
    own = plan.of(method).get(row["trial"])
    return row["method"] == method and own is not None and row["change"] == written(own)


def _figures(own: Sequence[Mapping[str, str]]) -> dict[str, float]:
    medians = {name: median(map(float, cells)) for name in SHOWN if (cells := [row[name] for row in own if row[name]])}
    squares = sum(float(row["score_error"]) ** 2 for row in own)
    return medians | {"score_error": squares**0.5 / len(own)}


class Choice(NamedTuple):
    best: Tried
    near: Sequence[Tried]  # less than NEAR below the best, itself among them
    chosen: Tried


def choose(compared: Sequence[Tried]) -> Choice:
    """Return the choice among trials of the same seeds."""
    best = max(compared, key=lambda one: one.score)
    near = [one for one in compared if one.score > best.score - NEAR]
    return Choice(best, near, min(near, key=lambda one: (one.figures["processor_seconds"], -one.score)))


def page(found: Sequence[Mapping[str, str]], plan: Trials) -> str:
    """Return all methods' tables and choices in Markdown."""
    parts = [RULE]
    for method in INPUTS:
        parts += _section(method, tried(found, method, plan), plan)
    old = [row for row in found if not any(is_of(row, method, plan) for method in INPUTS)]
    if old:
        names = ", ".join(sorted({f"{row['method']} {row['trial']}" for row in old}))
        parts.append(f"{len(old)} rows are left out, of trials that trials.yaml has not, or has otherwise: {names}.")
    for column, what in (("code", "code"), ("inputs", "artifacts")):
        mixed = _mixed(found, plan, column)
        if mixed:
            parts.append(f"Not to be compared without care: rows of one seed differ in {what}: {', '.join(mixed)}.")
    return "\n\n".join(parts)


def _section(method: str, own: Sequence[Tried], plan: Trials) -> list[str]:
    count = len(plan.of(method))
    if not own:
        return [f"{method}: none of {count} trials has a row"]
    seeds = sorted({seed for one in own for seed in one.seeds})
    compared = [one for one in own if len(one.seeds) == len(seeds)]
    cost = sum(one.figures["processor_seconds"] * len(one.seeds) for one in own)
    head = f"{method}: {len(own)} of {count} trials, seeds {', '.join(map(str, seeds))}, {cost:.0f} processor seconds"
    columns = ["trial", "seeds", *(title for title, _ in SHOWN.values())]
    table = markdown_table(columns, [_cells(one) for one in sorted(own, key=lambda one: -one.score)])
    missing = [name for name in plan.of(method) if name not in {one.name for one in compared}]
    if not compared:
        return [head, table, "No trial has a row of every seed, so none is chosen."]
    return [head, table, _in_words(choose(compared), missing)]


def _cells(one: Tried) -> list[Any]:
    shown = (f"{one.figures[name]:.{digits}f}" if name in one.figures else "" for name, (_, digits) in SHOWN.items())
    return [one.name, len(one.seeds), *shown]


def _in_words(choice: Choice, missing: Sequence[str]) -> str:
    best, near, chosen = choice
    others = ", ".join(one.name for one in near if one is not best)
    words = f"{'Chosen so far' if missing else 'Chosen'}: {chosen.name}. The best is {best.name}, {best.score:.3f}; "
    words += f"less than {NEAR} below it: {others or 'no other'}."
    return f"{words} Not tried on every seed yet: {', '.join(missing)}." if missing else words


def _mixed(found: Sequence[Mapping[str, str]], plan: Trials, column: str) -> list[str]:
    """Return the methods and seeds whose newest rows have several values in a column."""
    values: dict[str, dict[str, str]] = defaultdict(dict)
    for row in found:
        if any(is_of(row, method, plan) for method in INPUTS):
            values[f"{row['method']} on seed {row['seed']}"][row["trial"]] = row[column]
    return [place for place, own in values.items() if len({*own.values()}) > 1]
