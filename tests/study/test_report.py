"""The laboratory's page says first what was found, in words that its figures write, and calls things by human names."""

import csv
import json

import pytest

from study import claims, names, params, report, results, words
from tests import toys
from tests.evaluation.pages import Page
from tests.study import small


def rate(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}


def seeds(*means: float, **others: float) -> dict:
    """Return the headline figures of seeds 17, 18, ...: `means` sampled against SFT; others as named, or 0.7."""
    named = {
        group: {name: rate(others.get(name, 0.7)) for name in own} for group, own in names.RATES.items()
    }  # controlled and plain alike
    reward_model = {
        "gold_agreement": 0.85,
        "labeler_agreement": 0.76,
        "heldout_accuracy": 0.73,
        "baseline_accuracy": 0.65,
    }
    criterion = {"facts": {"sampled": rate(0.6), "greedy": rate(0.8)}}
    own = [
        {"seed": 17 + number, "reward_model": reward_model, "without_criterion": criterion}
        | {group: own | {"ppo_vs_sft": rate(mean)} for group, own in named.items()}
        for number, mean in enumerate(means)
    ]  # fmt: skip
    mean = rate(sum(means) / len(means))
    together = {group: own | {"ppo_vs_sft": mean} for group, own in named.items()}
    return {"evaluate": together, "reward_model": reward_model, "per_seed": own}


def point(cell: str, policy: str, seed: int, gold: float, score: float = 0.7, kl: float = 2.5) -> dict:
    return {"cell": cell, "policy": policy, "seed": seed, "kl": kl, "gold": rate(gold), "reward_model": score}


def loss(cell: str, policy: str, mean: float) -> dict:
    return {"cell": cell, "policy": policy, "seed": 17, "loss": rate(mean), "closed_qa": 0.5, "few_shot": 0.5}


@pytest.fixture
def laboratory() -> dict:
    frontier = [
        *(point(f"seed_{seed}", "ppo", seed, 0.72) for seed in (17, 18)),
        *(point(f"seed_{seed}", "best_of_32", seed, gold) for seed, gold in ((17, 0.83), (18, 0.81))),
        point("kl_0_17", "ppo", 17, 0.58, score=1.06, kl=10.13), point("kl_0_18", "ppo", 18, 0.75, score=1.01, kl=8.5),
        point("rounds_2", "ppo", 17, 0.75),
    ]  # fmt: skip
    tax = [
        loss("seed_17", "base", 0.55),
        loss("seed_17", "sft", 1.66),
        loss("seed_17", "ppo", 1.62),
        loss("ptx_4", "ppo", 0.6),
    ]
    points = [{"kl": 0.1 * step, "score": 0.1 * step, "gold": 0.5} for step in range(8)]
    fit = {
        "cell": "kl_0_17", "seed": 17, "kl_coef": 0.0, "alpha": 0.1, "beta": -0.05, "r_squared": 0.9, "peak_kl": 3.58,
        "peak_kl_interval": [1.9, 1e6], "farthest_kl": 9.5, "peak_passed": True, "points": points,
    }  # fmt: skip
    overoptimisation = {"ppo": [fit], "best_of_n": []}
    return {"overoptimisation": overoptimisation, "frontier": frontier, "reward_models": [], "tax": tax, "limits": []}


CLAIMS = [
    {"claim": "A", "verdict": "confirmed"}, {"claim": "PPO is free", "verdict": "not confirmed"},
    {"claim": "and so on", "verdict": "inconclusive"},
]  # fmt: skip


def said(seeds_found: dict, laboratory: dict, listed: list[dict] = CLAIMS) -> str:
    return "\n".join(f"{note.seen} {note.follows}" for note in words.notes(seeds_found, laboratory, listed))


def test_the_headline_counts_the_seeds_that_agree_and_the_claims_that_hold():
    assert words.headline(seeds(0.74, 0.5), CLAIMS) == (
        "PPO beats SFT on 1 of 2 seeds, on 62% (60 to 64%) of prompts sampled and 70% (68 to 72%) greedy, controlled; "
        "1 of 3 claims of the papers hold here"
    )


def test_notes_say_what_the_figures_say(laboratory):
    text = said(seeds(0.74, 0.73, ppo_vs_feedme=0.51), laboratory)
    for sentence in (
        "PPO's gain stands under 9 of 10 controls",
        "Not shown: over FeedME, 51% (49 to 53%) on seed 17; over FeedME, 51% (49 to 53%) on seed 18.",
        "predicts labelers 8.0 points better than a bag of words and 3.0 points worse",
        "the reward model's score rises and gold falls on 1 of 2 seeds.",
        "seed 17: score 0.70 to 1.06, gold 0.72 to 0.58, at 10.1 nats; seed 18: score 0.70 to 1.01, gold 0.72 to 0.75",
        "Best of 32 by the same reward model has more gold than PPO on 2 of 2 seeds.",
        "The alignment tax is +1.11 nats a token in SFT and −0.04 in PPO.",
        "PPO, with more pretraining text, γ = 4: 0.60.",
        "gold differs by +0.03. In one round and in two, seed 17: 0.72 and 0.75.",
        "1 of 3 claims of the papers do not hold here. PPO is free.",
        "1 of 3 claims are left open by their intervals, or by too few seeds. And so on.",
    ):
        assert sentence in text


def test_what_notes_follow_from_is_told_figure_by_figure(laboratory):
    more = laboratory["frontier"] + [point("rounds_2_18", "ppo", 18, 0.69)]
    found = {note.seen: note.follows for note in words.notes(seeds(0.74), laboratory | {"frontier": more}, CLAIMS)}
    of_the_model = next(follows for seen, follows in found.items() if seen.startswith("The reward model predicts"))
    assert of_the_model == (
        "On held-out pairs: reward model agrees with gold, 85.0%; labelers agree with one another, 76.0%; "
        "reward model agrees with labelers, 73.0%; a TF-IDF baseline agrees with labelers, 65.0%."
    )
    rounds = next(seen for seen in found if seen.startswith("As many labels"))
    assert rounds == "As many labels in two rounds in place of one: gold differs by +0.00."
    assert found[rounds] == "In one round and in two, seed 17: 0.72 and 0.75; seed 18: 0.72 and 0.69."


def test_of_cells_that_have_not_run_nothing_is_said(laboratory):
    bare = laboratory | {"frontier": [], "tax": []}
    text = said(seeds(0.74), bare, CLAIMS[:1])
    assert len(text.splitlines()) == 2  # the controls and the reward model


def test_every_cell_of_the_study_has_a_name_of_its_own():
    found = [(name, cell.seed) for name, cell in params.load(toys.REPO).everything.items()]
    assert [name for name, seed in found if name.removesuffix(f"_{seed}") not in names.CELLS] == []
    assert names.cell("kl_0_18", 18) == names.cell("kl_0_17", 17) == names.CELLS["kl_0"]
    assert names.cell("my_cell", 17) == "my cell"


def test_the_page_holds_every_claim_with_its_unit_and_its_cells_by_name(tmp_path, laboratory):
    one = {
        "claim": "PPO is free", "citation": "A 2022", "paper_figure": "figure 1", "expected": "none", "matters": 0.04,
        "unit": "gold points", "referee": "in small", "effect": small.EFFECT,
    }  # fmt: skip
    (tmp_path / "metrics/study").mkdir(parents=True)
    (tmp_path / claims.FILE).write_text(json.dumps({"claims": [one]}))
    (tmp_path / results.SEEDS).write_text(json.dumps(seeds(0.74, 0.6, ppo_vs_feedme=0.55)))
    (tmp_path / results.LABORATORY).write_text(json.dumps(laboratory))
    row = {
        **dict.fromkeys(claims.COLUMNS, ""), "claim": "PPO is free", "expected": "within ±0.04", "effect": "0.0559",
        "low": "-0.0057", "high": "0.1267", "verdict": "not confirmed", "citation": "A 2022",
        "paper_figure": "figure 1", "seeds": "3", "adjusted": "0.0421", "referee": "in small [why]",
    }  # fmt: skip
    with open(tmp_path / claims.OUT, "w", encoding="utf-8") as file:
        writer = csv.DictWriter(file, claims.COLUMNS)
        writer.writeheader()
        writer.writerow(row)
    report.main(tmp_path)
    html = (tmp_path / report.OUT).read_text(encoding="utf-8")
    shown = Page(html).tables
    assert shown["The papers' claims, measured"][0]["PPO is free"] == {
        "claim": "PPO is free", "here": "+0.056 (−0.006 to +0.127)", "verdict": "not confirmed",
        "expected": "within ±0.04", "in": "gold points", "the paper": "A 2022: figure 1", "seeds": "3",
        "p, adjusted": "0.0421", "referee": "in small [why]",
    }  # fmt: skip
    assert shown["Three seeds"][0]["PPO against SFT, sampled, controlled"] == {
        "": "PPO against SFT, sampled, controlled", "mean": "67% (65 to 69%)",
        "seed 17": "74% (72 to 76%)", "seed 18": "60% (58 to 62%)",
    }  # fmt: skip
    assert shown["Three seeds"][0]["PPO against FeedME, sampled, controlled"]["seed 18"] == "55% (53 to 57%)"
    assert shown["Gao et al.'s forms"][0]["PPO, β = 0"]["peak at a KL of, nats"] == "3.58 (1.9 to ∞)"
    assert {"PPO, default, β = 0.1, γ = 0.5", "best of 32"} <= shown["KL, gold and alignment tax"][0].keys()
    assert html.index("What was found</h2>") < html.index("Three seeds</h2>")
    assert "ppo_vs_sft" not in html
