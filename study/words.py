"""What the laboratory found, in sentences that its figures write: headline and notes of the report."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rlhf.evaluation.advising.notes import Note
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.typography import number, percent, percent_interval
from study import names

CONTROLS = {  # controlled win rate: what is held against the gain
    "ppo_vs_sft_best_temperature": "each at its best temperature",
    "strict_ppo_vs_sft_greedy": "greedy, by the strict gold",
    "ppo_vs_feedme": "over FeedME",
    "ppo_vs_feedme_greedy": "over FeedME, greedy",
    "strict_ppo_vs_feedme_greedy": "over FeedME, greedy, by the strict gold",
    "ppo_vs_rejection": "over rejection sampling",
    "ppo_vs_rejection_greedy": "over rejection sampling, greedy",
    "ppo_vs_dpo": "over DPO",
    "ppo_vs_dpo_greedy": "over DPO, greedy",
    "ppo_vs_best_of_4": "over best of 4",
}
GROUP = "controlled"
WAITING = "The seeds have no controlled figures yet: make study runs them again"


def headline(seeds: dict[str, Any], claims: Sequence[dict[str, str]]) -> str:
    """Return the result in one sentence: how many seeds agree, how large the gain is, how many claims hold."""
    own, rates = seeds["per_seed"], seeds["evaluate"][GROUP]
    if "ppo_vs_sft" not in rates:
        return f"{WAITING}; {_holding(claims)}"
    beats = sum(one[GROUP]["ppo_vs_sft"]["low"] > 0.5 for one in own)
    sampled, greedy = (percent_interval(Interval(**rates[name])) for name in ("ppo_vs_sft", "ppo_vs_sft_greedy"))
    gain = f"on {sampled} of prompts sampled and {greedy} greedy, controlled"
    return f"PPO beats SFT on {beats} of {len(own)} seeds, {gain}; {_holding(claims)}"


def _holding(claims: Sequence[dict[str, str]]) -> str:
    holds = sum(claim["verdict"] == "confirmed" for claim in claims)
    return f"{holds} of {len(claims)} claims of the papers hold here"


def notes(seeds: dict[str, Any], laboratory: dict[str, Any], claims: Sequence[dict[str, str]]) -> list[Note]:
    """Return what was found, one note a question; a question whose cells have not run, or are stale, has none."""
    fresh = laboratory | {
        table: [row for row in laboratory[table] if "stale" not in row] for table in ("frontier", "tax")
    }
    found = [*_controls(seeds), *_reward_model(seeds), *_no_penalty(fresh), *_best_of_n(fresh)]
    return [*found, *_tax(fresh), *_rounds(fresh), *_claims(claims), *_stale(laboratory), *_other_code(laboratory)]


def _controls(seeds: dict[str, Any]) -> Iterator[Note]:
    rates, own = seeds["evaluate"][GROUP], seeds["per_seed"]
    controls = {name: words for name, words in CONTROLS.items() if name in rates}
    if not controls:
        return
    held = [name for name in controls if rates[name]["low"] > 0.5]
    figures = "; ".join(f"{words} {percent_interval(Interval(**rates[name]))}" for name, words in controls.items())
    open_seeds = [
        f"{words}, {percent_interval(Interval(**one[GROUP][name]))} on seed {one['seed']}"
        for name, words in controls.items()
        for one in own
        if one[GROUP][name]["low"] <= 0.5
    ]
    apart = f" Not shown: {'; '.join(open_seeds)}." if open_seeds else ""
    seen = f"PPO's gain stands under {len(held)} of {len(controls)} controls, in the mean of the seeds."
    yield Note(seen, f"Win rates: {figures}.{apart}")


def _reward_model(seeds: dict[str, Any]) -> Iterator[Note]:
    found = seeds["reward_model"]
    above, below = (
        number(100 * (found["heldout_accuracy"] - found["baseline_accuracy"]), 1),
        number(100 * (found["labeler_agreement"] - found["heldout_accuracy"]), 1),
    )
    yield Note(
        f"The reward model predicts labelers {above} points better than a bag of words and {below} points worse than "
        "labelers predict one another.",
        "On held-out pairs: "
        + "; ".join(f"{words}, {percent(found[name], 1)}" for name, words in names.REWARD_MODEL.items())
        + ".",
    )


def _no_penalty(laboratory: dict[str, Any]) -> Iterator[Note]:
    pairs = [(point, _of(laboratory["frontier"], "seed", point["seed"])) for point in _cells(laboratory, "kl_0")]
    pairs = [(free, default) for free, default in pairs if default]
    if pairs:
        both = sum(
            free["reward_model"] > default["reward_model"] and free["gold"]["mean"] < default["gold"]["mean"]
            for free, default in pairs
        )
        each = "; ".join(
            f"seed {free['seed']}: score {number(default['reward_model'])} to {number(free['reward_model'])}, gold "
            f"{number(default['gold']['mean'])} to {number(free['gold']['mean'])}, at {number(free['kl'], 1)} nats"
            for free, default in pairs
        )
        yield Note(
            f"Without a KL penalty the reward model's score rises and gold falls on {both} of {len(pairs)} seeds.",
            f"From the default to β = 0, {each}.",
        )


def _best_of_n(laboratory: dict[str, Any]) -> Iterator[Note]:
    """Compare the largest n with the default PPO, seed by seed."""
    points = [point for point in laboratory["frontier"] if point["policy"].startswith("best_of_")]
    if not points:
        return
    most = max(int(point["policy"].removeprefix("best_of_")) for point in points)
    pairs = [
        (point, _of(laboratory["frontier"], "seed", point["seed"]))
        for point in points
        if point["policy"] == f"best_of_{most}"
    ]
    pairs = [(best, ppo) for best, ppo in pairs if ppo]
    if pairs:
        ahead = sum(best["gold"]["low"] > ppo["gold"]["high"] for best, ppo in pairs)
        each = "; ".join(
            f"seed {best['seed']}: {number(best['gold']['mean'])} at {number(best['kl'])} nats, PPO "
            f"{number(ppo['gold']['mean'])} at {number(ppo['kl'])}"
            for best, ppo in pairs
        )
        yield Note(
            f"Best of {most} by the same reward model has more gold than PPO on {ahead} of {len(pairs)} seeds.",
            f"Gold, {each}. It pays with {most} answers a prompt.",
        )


def _tax(laboratory: dict[str, Any]) -> Iterator[Note]:
    chains = [row for row in laboratory["tax"] if row["cell"].startswith("seed_")]
    loss = {
        policy: [row["loss"]["mean"] for row in chains if row["policy"] == policy] for policy in ("base", "sft", "ppo")
    }
    if all(loss.values()):
        mean = {policy: sum(values) / len(values) for policy, values in loss.items()}
        mixed: dict[str, list[float]] = {}
        for row in laboratory["tax"]:
            if row["cell"].startswith("ptx_"):
                name = names.policy_of_cell(row["cell"], "ppo", row["seed"])
                mixed.setdefault(name, []).append(row["loss"]["mean"])
        with_text = "; ".join(f"{name}: {number(sum(own) / len(own))}" for name, own in mixed.items())
        yield Note(
            f"The alignment tax is {number(mean['sft'] - mean['base'], sign=True)} nats a token in SFT and "
            f"{number(mean['ppo'] - mean['sft'], sign=True)} in PPO.",
            f"Loss on pretraining text, means of the seeds: base {number(mean['base'])}, SFT {number(mean['sft'])}, "
            f"PPO {number(mean['ppo'])}{'. ' + with_text if with_text else ''}.",
        )


def _rounds(laboratory: dict[str, Any]) -> Iterator[Note]:
    pairs = [(_of(laboratory["frontier"], "seed", two["seed"]), two) for two in _cells(laboratory, "rounds_2")]
    pairs = [(one, two) for one, two in pairs if one]
    if pairs:
        gain = sum(two["gold"]["mean"] - one["gold"]["mean"] for one, two in pairs) / len(pairs)
        each = "; ".join(
            f"seed {two['seed']}: {number(one['gold']['mean'])} and {number(two['gold']['mean'])}" for one, two in pairs
        )
        yield Note(
            f"As many labels in two rounds in place of one: gold differs by {number(gain, sign=True)}.",
            f"In one round and in two, {each}.",
        )


def _claims(claims: Sequence[dict[str, str]]) -> Iterator[Note]:
    counted = Counter(claim["verdict"] for claim in claims)
    for verdict, seen in (
        ("not confirmed", "claims of the papers do not hold here."),
        ("inconclusive", "claims are left open by their intervals, or by too few seeds."),
        ("not yet rerun", "claims wait for cells to be run, or to be run again."),
    ):
        if counted[verdict]:
            listed = "; ".join(claim["claim"] for claim in claims if claim["verdict"] == verdict)
            yield Note(f"{counted[verdict]} of {len(claims)} {seen}", f"{listed[0].upper()}{listed[1:]}.")


def _stale(laboratory: dict[str, Any]) -> Iterator[Note]:
    stale = laboratory.get("stale", {})
    if stale:
        each = "; ".join(f"{name}, {why}" for name, why in stale.items())
        yield Note(f"{len(stale)} cells are stale, and left out of these notes.", f"{each}.")


def _other_code(laboratory: dict[str, Any]) -> Iterator[Note]:
    changed = Counter(laboratory.get("other_code", {}).values())
    if changed:
        each = "; ".join(f"{parts} ({count} cells)" for parts, count in changed.items())
        told = "cells were made with other code than there is now: their figures may differ from what it would give."
        yield Note(f"{changed.total()} {told}", f"What has changed since: {each}.")


def _cells(laboratory: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return PPO's points of a cell on every seed that it ran on."""
    return [
        point
        for point in laboratory["frontier"]
        if point["policy"] == "ppo" and point["cell"].removesuffix(f"_{point['seed']}") == name
    ]


def _of(points: Sequence[dict[str, Any]], cell: str, seed: int) -> dict[str, Any] | None:
    """Return PPO's point of a cell on one seed."""
    named = (point for point in points if point["policy"] == "ppo" and point["cell"] == f"{cell}_{seed}")
    return next(named, None)
