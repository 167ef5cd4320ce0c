"""What was measured, as one table: a row for each policy, task and condition, interval, chance and majority."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from rlhf.evaluation import statistics
from rlhf.evaluation.statistics import Bootstrap, Interval
from rlhf.runtime.markdown import markdown_table

BOOTSTRAP = Bootstrap(resamples=2000, coverage=0.95, seed=0)
COLUMNS = ("cell", "policy", "task", "condition", "right", "low", "high", "examples", "clusters", "chance", "majority")
HEADS = {"probe": "head, backbone frozen", "tuned": "head and backbone"}


def rows(cell: str, found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of one cell or run, in a fixed order; intervals are over examples or clusters, the wider."""
    for policy, of_policy in found["policies"].items():
        for task, conditions in of_policy.items():
            about = found["tasks"][task]
            for condition, right in conditions.items():
                one = interval(right, about["clusters"])
                figures = [round(value, 4) for value in one]
                counted = [len(right), len(set(about["clusters"]))]
                beside = [about["chance"], round(sum(about["majority"]) / len(about["majority"]), 4)]
                yield dict(zip(COLUMNS, [cell, policy, task, condition, *figures, *counted, *beside], strict=True))


def interval(right: list[int], clusters: list[str]) -> Interval:
    """Return the share that is right; where all or none is, Wilson's interval over clusters, for no draw differs."""
    if len(set(right)) > 1:
        return statistics.widest_interval(right, BOOTSTRAP, [clusters])
    return statistics.share_interval([right[0]] * len(set(clusters)), BOOTSTRAP.coverage)


def as_csv(found: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list[str](COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def as_markdown(found: list[dict[str, Any]]) -> str:
    """Return a line for each cell, policy, task and form; words are scored calibrated, as a heading should say."""
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in found:
        form, shots, *score = row["condition"].split("_")
        if form == "head":
            form, shots = HEADS[shots], "trained"
        if score in ([], ["calibrated"]):
            key = row["cell"], row["policy"], row["task"], form
            own = lines.setdefault(key, {name: f"{row[name]:.2f}" for name in ("chance", "majority")})
            own[shots] = f"{row['right']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
    columns = ("trained", "zero", "one", "few", "chance", "majority")
    table = [[*key, *(own.get(column, "–") for column in columns)] for key, own in lines.items()]
    return markdown_table(["cell", "policy", "task", "form", *columns], table)
