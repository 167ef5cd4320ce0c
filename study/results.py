"""What the cells say together → metrics/study/seeds.json, metrics/study/laboratory.json, metrics/plots/study/*.svg.

Headline figures over seeds, over-optimisation with Gao's forms, the KL-reward frontier, reward-model quality, the
alignment tax and ChatGPT's limits. Cells that have not run are named and left out; those made with other params than
they have now, or with other code, are named and marked.
"""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlhf.evaluation.statistics import Interval
from rlhf.params.base import ParamsError
from rlhf.rl import overoptimisation
from rlhf.rl.overoptimisation import Form
from rlhf.runtime.files import new_folder, write_json, write_text
from study import cells, drawings, names, params, tables
from study.evidence import laboratory as evidence
from study.limits import figures

SEEDS, LABORATORY, PLOTS = (
    Path("metrics/study/seeds.json"), Path("metrics/study/laboratory.json"), Path("metrics/plots/study")
)  # fmt: skip


def main(root: Path = Path(".")) -> int:
    try:
        study = params.load(root)
        of = evidence.of(root, study)
    except ParamsError as error:
        print(error, file=sys.stderr)
        return 2
    stale, other_code = of.stale(), of.other_code
    there = {
        name: cells.read(root, name) for name in study.everything if (root / cells.FOLDER / f"{name}.json").exists()
    }
    missing = [name for name in study.everything if name not in there]
    if missing:
        print(f"without {len(missing)} cells that have not run: {', '.join(missing)}", file=sys.stderr)
    for name, why in stale.items():
        print(f"stale: {name}, {why}", file=sys.stderr)
    for name, parts in other_code.items():
        print(f"made with other code: {name} ({parts})", file=sys.stderr)
    chains = {name: there[name] for name in study.chains if name in there}
    if not chains:
        print(f"no seed has run: {cells.command(['seed_17'])}", file=sys.stderr)
        return 2
    headline = seeds(chains, study, stale) | {
        kind: {str(study.everything[name].seed): found[name] for name in chains if name in found}
        for kind, found in (("stale", stale), ("other_code", other_code))
    }
    write_json(root / SEEDS, headline)
    found = marked(laboratory(root, there, study), {"stale": stale, "other_code": other_code})
    write_json(root / LABORATORY, found)
    with new_folder(root / PLOTS) as folder:
        for name, svg in drawings.drawings(found):
            write_text(folder / f"{name}.svg", svg)
    return 0


def seeds(chains: dict[str, Any], study: params.Study, stale: Collection[str] = ()) -> dict[str, Any]:
    """Return the headline figures: each seed's own, and their means with intervals over prompts within seeds.

    Stale chains are of another recipe: they are in no mean, unless all are stale.
    """
    own = [
        {
            "seed": study.everything[name].seed,
            **{group: _known(cell["evaluation"]["evaluate"].get(group, {}), group) for group in names.RATES},
            "reward_model": {
                ours: cell["evaluation"]["reward_model"][theirs] for ours, theirs in tables.REWARD_MODEL.items()
            },
            "without_criterion": cell["without_criterion"],
        }
        for name, cell in chains.items()
    ]
    counted = [one for name, one in zip(chains, own, strict=True) if name not in stale] or own
    rates = {
        group: {
            rate: together([Interval(**one[group][rate]) for one in counted])._asdict()
            for rate in named
            if all(rate in one[group] for one in own)
        }
        for group, named in names.RATES.items()
    }
    means = {name: float(np.mean([one["reward_model"][name] for one in counted])) for name in tables.REWARD_MODEL}
    return {
        "evaluate": rates, "reward_model": means, "per_seed": own, "averaged": [one["seed"] for one in counted],
        "interval": "mean of the seeds' means; its interval resamples prompts within seeds, not seeds",
    }  # fmt: skip


def _known(rates: dict[str, Any], group: str) -> dict[str, Any]:
    """Return the headline figures of a group that a cell has: an older one, or one without a rival, has fewer."""
    return {name: rates[name] for name in names.RATES[group] if name in rates}


def together(intervals: Sequence[Interval]) -> Interval:
    """Return the mean over seeds; independent errors within seeds add up in squares."""
    mean = float(np.mean([one.mean for one in intervals]))
    below = float(np.sqrt(sum((one.mean - one.low) ** 2 for one in intervals))) / len(intervals)
    above = float(np.sqrt(sum((one.high - one.mean) ** 2 for one in intervals))) / len(intervals)
    return Interval(mean, mean - below, mean + above)


def laboratory(root: Path, there: dict[str, Any], study: params.Study) -> dict[str, Any]:
    """Return every table of the laboratory; of cells that have not run, no row."""
    return {
        "overoptimisation": {"ppo": ppo_fits(there, study), "best_of_n": best_of_n_fits(there, study)},
        "frontier": [point for name, cell in there.items() for point in frontier(name, cell, study)],
        "reward_models": [
            reward_model_row(root, name, study) for name, cell in there.items() if "reward_model" in cell
        ],
        "tax": [row for name, cell in there.items() for row in tax(name, cell, study)],
        "limits": [
            {"cell": name, "seed": study.everything[name].seed, **row}
            for name, cell in there.items()
            for row in figures.of_cell(cell.get("limits", {}))
        ],
    }


def marked(found: dict[str, Any], marks: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return the tables with marks, each {cell: why}, in every row of such a cell, and the marks themselves."""
    lists = [found[name] for name in ("frontier", "reward_models", "tax", "limits")] + [
        *found["overoptimisation"].values()
    ]
    for row in (row for rows in lists for row in rows):
        row |= {mark: cells[row["cell"]] for mark, cells in marks.items() if row["cell"] in cells}
    return found | {mark: dict(cells) for mark, cells in marks.items()}


def ppo_fits(there: dict[str, Any], study: params.Study) -> list[dict[str, Any]]:
    """Return R = d (alpha - beta log d) over each cell's PPO iterations, gold against its first iteration."""
    return [
        {
            "cell": name,
            "seed": study.everything[name].seed,
            "kl_coef": study.everything[name].change.get("ppo.kl_coef", "default"),
        }
        | fitted(
            np.array(
                [[max(point["kl"], 0.0) ** 0.5, point["gold"] - cell["curve"][0]["gold"]] for point in cell["curve"]]
            ),
            "rl",
        )
        | {"points": [{key: point[key] for key in ("kl", "score", "gold")} for point in cell["curve"]]}
        for name, cell in there.items()
        if "curve" in cell
    ]


def best_of_n_fits(there: dict[str, Any], study: params.Study) -> list[dict[str, Any]]:
    """Return R = d (alpha - beta d) over n, gold against n = 1, for every seed."""
    rows = []
    for name, cell in there.items():
        found = [cell["policies"][f"best_of_{n}"] for n in study.settings.best_of_n] if "policies" in cell else []
        if found:
            gold = np.array([one["sampled"]["gold"] for one in found]).T  # [B, n]
            kl = np.array([one["sampled"]["kl"][0] for one in found])
            points = [
                {
                    "n": n,
                    "kl": float(nats),
                    "gold": float(mean),
                    "score": float(np.mean(one["sampled"]["reward_model"])),
                }
                for n, nats, mean, one in zip(study.settings.best_of_n, kl, gold.mean(0), found, strict=True)
            ]
            samples = gold - gold[:, :1]  # resampled by prompt
            rows.append(
                {"cell": name, "seed": study.everything[name].seed}
                | fitted_prompts(np.sqrt(kl), samples)
                | {"points": points}
            )
    return rows


def fitted(points: np.ndarray, form: Form) -> dict[str, Any]:
    """Return a fit to points [N, 2] of distance and gain, with intervals over resampled points, and its peak."""
    whole = overoptimisation.fit(points[:, 0], points[:, 1], form)
    rng = np.random.default_rng(0)
    again = []
    for _ in range(cells.BOOTSTRAP.resamples):
        some = points[rng.integers(0, len(points), len(points))]
        if len(np.unique(some[:, 0])) > 2:
            again.append(overoptimisation.fit(some[:, 0], some[:, 1], form))
    return _described(whole, again, form, float(points[:, 0].max()))


def fitted_prompts(distance: np.ndarray, gain: np.ndarray) -> dict[str, Any]:
    """Return a fit to the mean of gain [B, N] at distances [N], with intervals over resampled prompts."""
    rng = np.random.default_rng(0)
    means = [gain[rng.integers(0, len(gain), len(gain))].mean(0) for _ in range(cells.BOOTSTRAP.resamples)]
    again = [overoptimisation.fit(distance, mean, "best_of_n") for mean in means]
    return _described(overoptimisation.fit(distance, gain.mean(0), "best_of_n"), again, "best_of_n", distance.max())


def _described(whole: overoptimisation.Fit, again: list, form: Form, farthest: float) -> dict[str, Any]:
    share = (1 - cells.BOOTSTRAP.coverage) / 2
    peaks = [one.peak(form) for one in again]
    bounds = {
        name: [float(np.quantile([getattr(one, name) for one in again], q)) for q in (share, 1 - share)]
        for name in ("alpha", "beta")
    }
    peak = whole.peak(form)
    within = [min(value, 1e3) for value in peaks]
    return {
        "alpha": whole.alpha, "alpha_interval": bounds["alpha"], "beta": whole.beta, "beta_interval": bounds["beta"],
        "r_squared": whole.r_squared, "peak_kl": min(peak, 1e3) ** 2,
        "peak_kl_interval": [float(np.quantile(within, q)) ** 2 for q in (share, 1 - share)],
        "farthest_kl": float(farthest) ** 2, "peak_passed": bool(peak < farthest),
    }  # fmt: skip


def policies(cell: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, measurements) of a cell's policies, however many it has measured."""
    yield from cell.get("policies", {}).items()
    if "policy" in cell:
        yield "ppo", cell["policy"]


def frontier(name: str, cell: dict[str, Any], study: params.Study) -> Iterator[dict[str, Any]]:
    """Yield KL, gold and the reward model's score of every policy of a cell, sampled at temperature 1."""
    for policy, found in policies(cell):
        if "kl" in found["sampled"]:
            gold = cells.mean_interval(found["sampled"]["gold"])
            yield {
                "cell": name, "seed": study.everything[name].seed, "policy": policy,
                "kl": float(np.mean(found["sampled"]["kl"])), "gold": gold._asdict(),
                "reward_model": float(np.mean(found["sampled"]["reward_model"])),
            }  # fmt: skip


def reward_model_row(root: Path, name: str, study: params.Study) -> dict[str, Any]:
    """Return a reward model's accuracies with intervals over the held-out comparisons that all cells share."""
    training = cells.read(root, name)["reward_model"]["training"]
    return {"cell": name, "seed": study.everything[name].seed, "training": training} | {
        f"{part}_{by}": cells.accuracy_interval(root, name, part, by)._asdict()
        for part, by in (("validation", "labelers"), ("validation", "gold"), ("judge", "labelers"), ("judge", "gold"))
    }


def tax(name: str, cell: dict[str, Any], study: params.Study) -> Iterator[dict[str, Any]]:
    """Yield loss on pretraining text and capabilities of every policy."""
    for policy, found in policies(cell):
        if "probes" in found:
            probes = found["probes"]
            yield {
                "cell": name, "seed": study.everything[name].seed, "policy": policy,
                "loss": cells.mean_interval(probes["loss"])._asdict(),
                "cloze": cells.mean_interval(probes["cloze"])._asdict(),
                "closed_qa": probes["closed_qa"], "few_shot": probes["few_shot"],
                "gold": cells.mean_interval(found["sampled"]["gold"])._asdict(),
            }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
