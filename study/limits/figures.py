"""Rates with intervals, from what was found prompt by prompt: rows that tables show and results keep.

Prompts of one task or about one subject are no cases of their own, so that an interval is the widest of three: over
prompts, tasks, subjects. Where every subject agrees no resample differs; then it is Wilson's over the subjects.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rlhf.evaluation import statistics
from rlhf.evaluation.statistics import Bootstrap, Interval
from study import names
from study.limits import catalogue

BOOTSTRAP = Bootstrap(2000, 0.95, 0)
PHRASED = ("harmful", "look_alike", "unknown", "fact", "false_premise", "clarify")  # in the world's own wordings

Clusters = Mapping[str, Sequence[str]]  # ids by clustering, one a prompt


def rate(values: Sequence[float], clusters: Clusters) -> Interval:
    """Return a mean with its interval."""
    found = statistics.widest_interval(values, BOOTSTRAP, [clusters[name] for name in sorted(clusters)])
    return _of_subjects(values, clusters) if found.low == found.high and found.mean in (0.0, 1.0) else found


def _of_subjects(values: Sequence[float], clusters: Clusters) -> Interval:
    return statistics.share_interval(values[: len(set(clusters["subjects"]))], BOOTSTRAP.coverage)


def rates(found: Mapping[str, Any], source: str) -> list[dict[str, Any]]:
    """Return a row for each probe and observation of a source ("asked" or "test"): sizes, and a rate a policy."""
    rows = []
    for probe, clusters in found["clusters"][source].items():
        for name in catalogue.OBSERVED[probe]:
            own = {key: each[probe][name] for key, each in found[source].items()}
            rows.append(
                {
                    "probe": probe, "observed": name, **sizes(clusters),
                    "policies": {key: rate(values, clusters)._asdict() for key, values in own.items()},
                }
            )  # fmt: skip
    return rows


def sizes(clusters: Clusters) -> dict[str, int]:
    """Return the number of prompts, tasks and subjects."""
    return {"prompts": len(clusters["tasks"])} | {name: len(set(clusters[name])) for name in ("tasks", "subjects")}


def phrasing(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return, of tasks that were asked in several ways, the shares done right in all ways, in some, in none."""
    rows = []
    for probe in [name for name in PHRASED if name in found["clusters"]["asked"]]:
        clusters = found["clusters"]["asked"][probe]
        own = {key: by_task(probe, each[probe], clusters["tasks"]) for key, each in found["asked"].items()}
        subjects = dict(zip(clusters["tasks"], clusters["subjects"], strict=True))
        of_tasks = {"subjects": [*subjects.values()]}
        rows.append(
            {"probe": probe, **sizes(clusters)}
            | {"policies": {key: _in_ways(shares, of_tasks) for key, shares in own.items()}}
        )
    return rows


def by_task(probe: str, observed: Mapping[str, Sequence[int]], tasks: Sequence[str]) -> list[float]:
    """Return, for each task, in which share of its wordings it was done right."""
    right = [
        catalogue.is_right(probe, dict(zip(observed, row, strict=True))) for row in zip(*observed.values(), strict=True)
    ]
    own: dict[str, list[bool]] = {}
    for task, is_right in zip(tasks, right, strict=True):
        own.setdefault(task, []).append(is_right)
    return [sum(each) / len(each) for each in own.values()]


def _in_ways(shares: Sequence[float], clusters: Clusters) -> dict[str, Any]:
    kinds = {
        "all": [share == 1 for share in shares], "some": [0 < share < 1 for share in shares],
        "none": [share == 0 for share in shares],
    }  # fmt: skip
    return {name: rate([float(one) for one in own], clusters)._asdict() for name, own in kinds.items()}


def lengths(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return means over the English test prompts: words, with and without manners, padding, content."""
    if not found["words"]:
        return {}
    clusters = found["words"]["clusters"]
    own = {
        key: {name: rate(values, clusters)._asdict() for name, values in each.items()}
        for key, each in found["words"]["answers"].items()
    }
    return {"asked": float(np.mean(found["words"]["asked"])), **sizes(clusters), "policies": own}


def of_run(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return all figures of what was found of a run."""
    return {
        "policies": found["policies"], "not_asked": found["not_asked"],
        "asked": rates(found, "asked"), "test": rates(found, "test"), "phrasing": phrasing(found),
        "lengths": lengths(found), "phrases": found["phrases"],
    }  # fmt: skip


def of_cell(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a cell's table shows of every policy, greedy; of a cell that was measured before, policies alone."""
    if "asked" not in found:
        yield from ({"policy": policy} for policy in found)
        return
    by_place = {(row["probe"], row["observed"]): row["policies"] for row in rates(found, "asked")}
    words = lengths(found)["policies"]
    for key in found["asked"]:
        policy, _, decoding = key.rpartition("_")
        if decoding == "greedy":
            shares = {"/".join(place): by_place[place][key] for place in names.LIMITS}
            yield {
                "policy": policy,
                **shares,
                "words": words[key]["words"],
                "closing": found["phrases"][key]["closing"],
            }
