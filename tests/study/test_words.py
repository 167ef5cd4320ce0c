"""The laboratory's notes, page by page and whole: every word and figure of them."""

import html
import json

import pytest

from rlhf.evaluation.report_page import Table
from study import claims, names, pages, report, results, words
from tests.study import small
from tests.study.test_report import CLAIMS, laboratory, loss, point, seeds

__all__ = ["laboratory"]  # a fixture


@pytest.fixture
def found(laboratory) -> dict:
    """A laboratory with points besides, of which the notes are not to speak."""
    others = [
        point("seed_17", "sft", 17, 0.5), point("kl_0_19", "ppo", 19, 0.5), point("kl_0_17", "sft", 17, 0.1),
        point("seed_17", "best_of_4", 17, 0.7), point("seed_19", "best_of_32", 19, 0.9),
        point("rounds_2_18", "ppo", 18, 0.69), point("rounds_2", "sft", 17, 0.1),
    ]  # fmt: skip
    more = [loss("seed_18", "sft", 1.7), loss("kl_0_17", "base", 9.0), loss("ptx_0", "ppo", 0.9)]
    return laboratory | {"frontier": [*others, *laboratory["frontier"]], "tax": [*laboratory["tax"], *more]}


def notes_of(own: dict | None = None, **laboratory: list) -> list:
    """Return the notes of a laboratory of which only these tables have rows: first the controls, the reward model."""
    return words.notes(own or seeds(0.74), {"frontier": [], "tax": []} | laboratory, [])


def test_the_notes_whole(found):
    notes = words.notes(seeds(0.74, 0.73, ppo_vs_feedme=0.51), found, CLAIMS)
    assert [(note.seen, note.follows) for note in notes] == [
        (
            "PPO's gain stands under 9 of 10 controls, in the mean of the seeds.",
            "Win rates: each at its best temperature 70% (68 to 72%); greedy, by the strict gold 70% (68 to 72%); "
            "over FeedME 51% (49 to 53%); over FeedME, greedy 70% (68 to 72%); over FeedME, greedy, by the strict "
            "gold 70% (68 to 72%); over rejection sampling 70% (68 to 72%); over rejection sampling, greedy 70% "
            "(68 to 72%); over DPO 70% (68 to 72%); over DPO, greedy 70% (68 to 72%); over best of 4 70% (68 to "
            "72%). Not shown: over FeedME, 51% (49 to 53%) on seed 17; over FeedME, 51% (49 to 53%) on seed 18.",
        ),
        (
            "The reward model predicts labelers 8.0 points better than a bag of words and 3.0 points worse than "
            "labelers predict one another.",
            "On held-out pairs: reward model agrees with gold, 85.0%; labelers agree with one another, 76.0%; reward "
            "model agrees with labelers, 73.0%; a TF-IDF baseline agrees with labelers, 65.0%.",
        ),
        (
            "Without a KL penalty the reward model's score rises and gold falls on 1 of 2 seeds.",
            "From the default to β = 0, seed 17: score 0.70 to 1.06, gold 0.72 to 0.58, at 10.1 nats; seed 18: score "
            "0.70 to 1.01, gold 0.72 to 0.75, at 8.5 nats.",
        ),
        (
            "Best of 32 by the same reward model has more gold than PPO on 2 of 2 seeds.",
            "Gold, seed 17: 0.83 at 2.50 nats, PPO 0.72 at 2.50; seed 18: 0.81 at 2.50 nats, PPO 0.72 at 2.50. It pays "
            "with 32 answers a prompt.",
        ),
        (
            "The alignment tax is +1.13 nats a token in SFT and −0.06 in PPO.",
            "Loss on pretraining text, means of the seeds: base 0.55, SFT 1.68, PPO 1.62. PPO, with more pretraining "
            "text, γ = 4: 0.60; PPO, without pretraining text, γ = 0: 0.90.",
        ),
        (
            "As many labels in two rounds in place of one: gold differs by +0.00.",
            "In one round and in two, seed 18: 0.72 and 0.69; seed 17: 0.72 and 0.75.",
        ),
        ("1 of 3 claims of the papers do not hold here.", "PPO is free."),
        ("1 of 3 claims are left open by their intervals, or by too few seeds.", "And so on."),
    ]


def test_a_control_that_touches_one_half_does_not_stand():
    """Neither in the mean nor on a seed: the interval has to lie above."""
    note = notes_of(seeds(0.74, ppo_vs_feedme=0.52))[0]
    assert note.seen.startswith("PPO's gain stands under 9 of 10 controls")
    assert note.follows.endswith(" Not shown: over FeedME, 52% (50 to 54%) on seed 17.")
    note = notes_of(seeds(0.74))[0]
    assert "Not shown" not in note.follows
    assert note.follows.endswith("over best of 4 70% (68 to 72%).")


def test_a_gain_that_touches_one_half_does_not_count():
    given = seeds(0.52, 0.53)
    assert words.headline(given, []).startswith("PPO beats SFT on 1 of 2 seeds, ")


def test_equal_scores_and_golds_neither_rise_nor_fall(laboratory):
    for score, gold, expected in ((0.7, 0.6, 0), (0.8, 0.72, 0), (0.8, 0.6, 1)):
        points = [point("seed_17", "ppo", 17, 0.72), point("kl_0_17", "ppo", 17, gold, score=score)]
        notes = words.notes(seeds(0.74), laboratory | {"frontier": points, "tax": []}, [])
        assert notes[2].seen.endswith(f" falls on {expected} of 1 seeds.")


def test_best_of_n_is_ahead_where_the_intervals_are_apart(laboratory):
    for gold, expected in ((0.7, 0), (0.74, 0), (0.77, 1)):
        points = [point("seed_17", "ppo", 17, 0.72), point("seed_17", "best_of_2", 17, gold)]
        notes = words.notes(seeds(0.74), laboratory | {"frontier": points, "tax": []}, [])
        assert notes[2].seen == (f"Best of 2 by the same reward model has more gold than PPO on {expected} of 1 seeds.")
    alone = laboratory | {"frontier": [point("seed_17", "best_of_2", 17, 0.7)], "tax": []}
    assert len(words.notes(seeds(0.74), alone, [])) == 2


def test_without_text_mixed_in_the_tax_ends_with_the_means():
    tax = [loss("seed_17", policy, mean) for policy, mean in (("base", 0.5), ("sft", 1.5), ("ppo", 1.0))]
    (note,) = notes_of(tax=tax)[2:]
    assert note.follows == "Loss on pretraining text, means of the seeds: base 0.50, SFT 1.50, PPO 1.00."
    assert notes_of(tax=tax[:2])[2:] == []


def test_two_rounds_alone_are_told_as_two():
    (note,) = notes_of(frontier=[point("seed_17", "ppo", 17, 0.72), point("rounds_2", "ppo", 17, 0.75)])[2:]
    assert note.seen == "As many labels in two rounds in place of one: gold differs by +0.03."
    assert note.follows == "In one round and in two, seed 17: 0.72 and 0.75."
    assert notes_of(frontier=[point("rounds_2", "ppo", 17, 0.7)])[2:] == []


def test_names_of_policies_and_cells():
    assert [names.policy(name) for name in ("base", "sft", "feedme", "ppo", "best_of_4")] == [
        "Base", "SFT", "FeedME", "PPO", "best of 4",
    ]  # fmt: skip
    assert names.policy_of_cell("kl_0_17", "ppo", 17) == "PPO, β = 0"
    assert names.policy_of_cell("kl_0_17", "sft", 17) == "SFT"
    assert names.cell("rm_264", 17) == "264 prompts"


@pytest.fixture
def root(tmp_path, laboratory):
    """A root with the results that pages and the report read."""
    own = {
        "citation": "A 2022",
        "paper_figure": "figure 1",
        "matters": 0.04,
        "unit": "points",
        "referee": "r",
        "effect": small.EFFECT,
    }
    listed = [{"claim": "it rises", "expected": "positive"}, {"claim": "it lies within", "expected": [0.2, 0.4]}]
    (tmp_path / claims.FILE).write_text(json.dumps({"claims": [own | one for one in listed]}))
    (tmp_path / results.PLOTS).mkdir(parents=True)
    for name in ("b", "a"):
        (tmp_path / results.PLOTS / f"{name}.svg").write_text(f"<svg><title>plot {name}</title></svg>")
    (tmp_path / "metrics/study").mkdir()
    (tmp_path / results.SEEDS).write_text(json.dumps(seeds(0.74)))
    (tmp_path / results.LABORATORY).write_text(json.dumps(laboratory))
    rows = [",".join(claims.COLUMNS)]
    rows += ["it rises,A 2022,figure 1,at least 0.04,0.1,0.05,0.15,3,0.01,confirmed,r,x"]
    rows += ["it lies within,A 2022,figure 1,0.2 to 0.4,,,,0,,not yet rerun,r,x"]
    (tmp_path / claims.OUT).write_text("\n".join(rows) + "\n")
    return tmp_path


def test_pages_say_what_writes_them_and_from_what(root):
    pages.main(root)
    written = {path.name: path.read_text(encoding="utf-8") for path in (root / "docs/generated").iterdir()}
    command = "*Written by `python -m study.pages` from"
    lost = "what is written here by hand is lost.*\n\n#"
    starts = {
        "seeds.md": f"{command} `metrics/study/seeds.json`; {lost} Three seeds\n\n|  | mean | seed 17 |\n",
        "laboratory.md": f"{command} `metrics/study/laboratory.json`; {lost} Every cell of the laboratory\n\n## KL",
        "claims.md": f"{command} `metrics/claims.csv`; {lost} The papers' claims\n\n| claim |",
    }
    assert written.keys() == starts.keys()
    for name, start in starts.items():
        assert written[name].startswith(start), name
    heads = [line for line in written["laboratory.md"].splitlines() if line.startswith("## ")]
    assert heads == ["## KL, gold and alignment tax", "## Gao et al.'s forms", "## Reward models", "## Limits"]
    assert "\n\n## Gao et al.'s forms\n\n| fit |" in written["laboratory.md"]


def test_the_report_page_has_its_lead_its_plots_in_order_and_its_claims(root):
    report.main(root)
    text = html.unescape((root / "metrics/study/report.html").read_text(encoding="utf-8"))
    verdicts = [{"verdict": "confirmed"}, {"verdict": "not yet rerun"}]
    for words_of in (*report.LEAD, report.CLAIMS_TEXT, words.headline(seeds(0.74), verdicts)):
        assert words_of in text
    assert text.index("plot a") < text.index("plot b")
    heads = [
        "What was found", "Plots", "Three seeds", "The papers' claims, measured", "KL, gold and alignment tax",
        "Gao et al.'s forms", "Reward models", "Limits",
    ]  # fmt: skip
    places = [text.find(f"{head}</h2>") for head in heads]
    assert -1 not in places
    assert places == sorted(places)
    assert "<title>The laboratory" in text
    assert "<caption" not in text


def test_claims_that_did_not_hold_are_set_apart():
    def row(verdict: str, expected: str = "at least 0.05", **more: str) -> dict:
        own = {"claim": verdict, "citation": "A 2022", "paper_figure": "figure 1", "verdict": verdict}
        figures = {"effect": "0.12345", "low": "0.05", "high": "0.15", "seeds": "3", "adjusted": "0.0100"}
        return own | {"expected": expected, "referee": "r"} | figures | more

    none = dict.fromkeys(("effect", "low", "high", "adjusted"), "") | {"seeds": "0"}
    listed = [row("confirmed"), row("not confirmed", "0.2 to 0.4"), row("not yet rerun", **none)]
    made = report.claims_table(listed, {"confirmed": "points", "not confirmed": "nats", "not yet rerun": "words"})
    says = ["r", "A 2022: figure 1"]
    assert made == Table(
        ["claim", "here", "seeds", "p, adjusted", "verdict", "expected", "in", "referee", "the paper"],
        [
            ["confirmed", "+0.123 (+0.050 to +0.150)", "3", "0.0100", "confirmed", "at least 0.05", "points", *says],
            ["not confirmed", "0.123 (0.050 to 0.150)", "3", "0.0100", "not confirmed", "0.2 to 0.4", "nats", *says],
            ["not yet rerun", "–", "0", "–", "not yet rerun", "at least 0.05", "words", *says],
        ],
        strong=[1],
        words=(0, 4, 5, 6, 7, 8),
    )


def test_stale_cells_are_named_and_their_figures_are_in_no_note(found):
    """The two cells without a KL penalty on this page: one of them is stale, and the note is of the other."""
    why = "made with ppo.iterations 40, now 20"
    frontier = [row | {"stale": why} if row["cell"] == "kl_0_17" else row for row in found["frontier"]]
    tax = [row | {"stale": why} if row["cell"] == "ptx_4" else row for row in found["tax"]]
    notes = words.notes(seeds(0.74, 0.73), found | {"frontier": frontier, "tax": tax, "stale": {"kl_0_17": why}}, [])
    text = "\n".join(f"{note.seen} {note.follows}" for note in notes)
    assert "falls on 0 of 1 seeds. From the default to β = 0, seed 18: " in text
    assert "γ = 0: 0.90." in text
    assert "γ = 4" not in text
    assert f"1 cells are stale, and left out of these notes. kl_0_17, {why}." in text


def test_cells_of_other_code_are_counted_and_what_changed_is_named(found):
    notes = words.notes(seeds(0.74, 0.73), found | {"other_code": {"kl_0_17": "rlhf/rl", "kl_2_17": "rlhf/rl"}}, [])
    assert notes[-1].seen.startswith("2 cells were made with other code than there is now")
    assert notes[-1].follows == "What has changed since: rlhf/rl (2 cells)."


def test_text_mixed_in_on_several_seeds_is_told_as_a_mean():
    tax = [loss("seed_17", policy, mean) for policy, mean in (("base", 0.5), ("sft", 1.5), ("ppo", 1.0))]
    mixed = [loss("ptx_4_17", "ppo", 0.6), loss("ptx_4_18", "ppo", 0.8) | {"seed": 18}]
    (note,) = notes_of(tax=[*tax, *mixed])[2:]
    assert note.follows.endswith("PPO 1.00. PPO, with more pretraining text, γ = 4: 0.70.")


def test_claims_that_wait_for_cells_are_told_apart_from_open_ones():
    listed = [{"claim": "it waits", "verdict": "not yet rerun"}, {"claim": "B", "verdict": "confirmed"}]
    (note,) = words.notes(seeds(0.74), {"frontier": [], "tax": []}, listed)[2:]
    assert (note.seen, note.follows) == (
        "1 of 2 claims wait for cells to be run, or to be run again.", "It waits.",
    )  # fmt: skip


def test_seeds_without_controlled_figures_are_awaited_and_no_gain_is_said():
    given = seeds(0.74)
    for one in (given["evaluate"], *given["per_seed"]):
        one["controlled"] = {}
    assert words.headline(given, []) == f"{words.WAITING}; 0 of 0 claims of the papers hold here"
    assert not [note for note in notes_of(given) if note.seen.startswith("PPO's gain")]
