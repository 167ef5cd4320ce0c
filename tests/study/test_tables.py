"""The laboratory's tables and plots, whole: every figure stands in its row and its column, in the right unit."""

import pytest

from rlhf.evaluation.plots import Frame, Line
from study import drawings, names, tables


def interval(mean: float, half: float = 0.02) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def test_a_table_is_written_as_markdown():
    made = tables.Table(["a", "b"], [["1", "2"], ["3", "4"]], "title")
    assert tables.as_markdown(made) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n"


def test_seeds_stand_beside_their_mean_and_the_criterion_that_helps_most_is_named():
    def one(seed: int, shift: float) -> dict:
        rates = {
            group: {rate: interval(0.5 + 0.01 * place + shift) for place, rate in enumerate(named)}
            for group, named in names.RATES.items()
        }
        model = {name: 0.6 + 0.01 * place + shift for place, name in enumerate(names.REWARD_MODEL)}
        criterion = {
            "facts": {"sampled": interval(0.7 + shift), "greedy": interval(0.8)},
            "fluency": {"sampled": interval(0.71), "greedy": interval(0.75 + shift)},
        }
        return {"seed": seed, **rates, "reward_model": model, "without_criterion": criterion}

    mean = one(0, 0.2)
    made = tables.seeds(
        {
            "per_seed": [one(17, 0.0), one(18, 0.1)],
            "evaluate": {group: mean[group] for group in names.RATES},
            "reward_model": mean["reward_model"],
        }
    )
    assert made.columns == ["", "mean", "seed 17", "seed 18"]
    rows = {row[0]: row[1:] for row in made.rows}
    assert (
        rows["PPO against SFT, sampled, as answered"]
        == rows["PPO against SFT, sampled, controlled"]
        == ["70% (68 to 72%)", "50% (48 to 52%)", "60% (58 to 62%)"]
    )
    assert rows["PPO against SFT, greedy, controlled"] == ["71% (69 to 73%)", "51% (49 to 53%)", "61% (59 to 63%)"]
    assert rows["reward model agrees with gold"] == ["80.0%", "60.0%", "70.0%"]
    assert rows["a TF-IDF baseline agrees with labelers"] == ["83.0%", "63.0%", "73.0%"]
    without = "PPO against SFT, {}, by gold without its most helpful criterion"
    assert rows[without.format("sampled")] == ["–", "70% (facts)", "71% (fluency)"]
    assert rows[without.format("greedy")] == ["–", "75% (fluency)", "80% (facts)"]
    assert len(rows) == sum(map(len, names.RATES.values())) + len(names.REWARD_MODEL) + 2


def frontier_point(cell: str, policy: str, seed: int, kl: float, gold: float) -> dict:
    return {"cell": cell, "policy": policy, "seed": seed, "kl": kl, "gold": interval(gold), "reward_model": gold + 0.1}


POINTS = [
    frontier_point("seed_17", "ppo", 17, 2.5, 0.7), frontier_point("seed_17", "base", 17, 70.0, 0.4),
    frontier_point("seed_17", "best_of_2", 17, 0.25, 0.6), frontier_point("seed_17", "best_of_1", 17, 0.0, 0.5),
    frontier_point("seed_17", "feedme", 17, 1.0, 0.65), frontier_point("kl_0_17", "ppo", 17, 9.0, 0.58),
    frontier_point("ptx_4_17", "ppo", 17, 4.0, 0.66),
    frontier_point("seed_16", "ppo", 16, 3.0, 0.71),
]  # fmt: skip


def test_the_frontier_is_sorted_by_seed_and_distance_and_shows_the_tax_where_it_was_measured():
    tax = [{"cell": "seed_17", "policy": "ppo", "loss": interval(1.625), "closed_qa": 0.45, "few_shot": 0.745}]
    made = tables.frontier({"frontier": POINTS, "tax": tax})
    assert made.rows[0] == [
        "PPO, default, β = 0.1, γ = 0.5",
        "3.00",
        "0.710 (0.690 to 0.730)",
        "0.81",
        "–",
        "–",
        "–",
        "16",
    ]
    assert [row[0] for row in made.rows[1:]] == [
        "best of 1", "best of 2", "FeedME", "PPO, default, β = 0.1, γ = 0.5",
        "PPO, with more pretraining text, γ = 4", "PPO, β = 0", "Base",
    ]  # fmt: skip
    assert made.columns == [
        "policy, sampled", "KL, nats", "gold", "reward model", "loss on text", "closed QA", "few-shot", "seed"
    ]  # fmt: skip
    assert made.rows[4][1:] == ["2.50", "0.700 (0.680 to 0.720)", "0.80", "1.62", "45%", "74%", "17"]


def test_fits_name_their_peak_or_say_that_there_is_none():
    fit = {
        "cell": "kl_0_17", "seed": 17, "alpha": 0.1234, "beta": -0.05678, "r_squared": 0.987, "peak_kl": 3.584,
        "peak_kl_interval": [1.9, 1e5], "farthest_kl": 9.456, "peak_passed": True,
    }  # fmt: skip
    other = fit | {"seed": 18, "peak_kl": 1e6, "peak_passed": False}
    bounded = fit | {"peak_kl_interval": [1.9, 12.34]}
    made = tables.fits({"overoptimisation": {"ppo": [fit], "best_of_n": [bounded, other]}})
    named = "PPO, β = 0"
    assert made.rows == [
        [named, "0.123", "−0.057", "0.99", "3.58 (1.9 to ∞)", "9.46", "yes", "17"],
        ["best of n", "0.123", "−0.057", "0.99", "3.58 (1.9 to 12.3)", "9.46", "yes", "17"],
        ["best of n", "0.123", "−0.057", "0.99", "none", "9.46", "no", "18"],
    ]
    assert made.columns == [
        "fit", "alpha", "beta", "R²", "peak at a KL of, nats", "farthest KL", "peak passed", "seed"
    ]  # fmt: skip


MODELS = [
    {"cell": cell, "seed": seed, "validation_gold": interval(0.86), "validation_labelers": interval(0.726 + shift),
     "training": {"accuracy": 0.7654, "prompts": prompts}}
    for cell, seed, prompts, shift in (
        ("rm_1056", 17, 1056, 0.0), ("rm_264_17", 17, 264, -0.01), ("seed_17", 17, 2112, 0.01),
        ("rm_noise_0", 17, 2112, 0.0),
    )
]  # fmt: skip


def test_reward_models_stand_with_both_accuracies_and_their_size():
    made = tables.reward_models({"reward_models": [{**MODELS[0], "cell": "rm_1056_17"}]})
    accuracies = ["0.860 (0.840 to 0.880)", "0.726 (0.706 to 0.746)", "0.765"]
    assert made.rows == [["1,056 prompts", *accuracies, "1,056", "17"]]
    assert made.columns == [
        "reward model", "held-out pairs, gold", "held-out pairs, labelers", "on its training pairs", "prompts", "seed"
    ]  # fmt: skip


def test_limits_stand_in_the_order_of_their_names_words_with_one_digit():
    found = {"/".join(name): interval(0.1 * place) for place, name in enumerate(names.LIMITS)}
    row = {"policy": "ppo", "seed": 17, "words": interval(14.32), "closing": {"any": 0.924, "Have a nice day.": 0.9}}
    made = tables.limits({"limits": [row | found]})
    assert made.rows[0][:3] == ["PPO", "0% (−2 to 2%)", "10% (8 to 12%)"]
    assert made.rows[0][-3:] == ["14.3 (14.3 to 14.3)", "92%", "17"]
    assert made.columns == ["greedy", *names.LIMITS.values(), "words", "end with a fixed phrase", "seed"]
    assert made.caption == "Limits"


def test_rows_of_limits_that_were_measured_otherwise_have_no_figures_and_say_so():
    made = tables.limits({"limits": [{"policy": "ppo", "seed": 17, "harmful": interval(0.5), "phrases": {}}]})
    assert made.rows == [["PPO (not yet rerun)", *["–"] * (len(made.columns) - 2), "17"]]


def test_the_laboratory_has_four_tables():
    empty = {"frontier": [], "tax": [], "reward_models": [], "limits": []}
    made = tables.laboratory(empty | {"overoptimisation": {"ppo": [], "best_of_n": []}})
    assert [table.caption for table in made] == [
        "KL, gold and alignment tax", "Gao et al.'s forms", "Reward models", "Limits"
    ]  # fmt: skip


@pytest.fixture
def drawn(monkeypatch) -> dict[str, tuple[list[Line], Frame]]:
    """What the plots are made of, by the name that seeds them."""
    kept = {}

    def lines(series, frame, name):
        kept[name] = (list(series), frame)
        return f"<svg>{name}</svg>"

    monkeypatch.setattr(drawings.plots, "lines", lines)
    return kept


def curve(cell: str, seed: int, kl_coef: float | str, slope: float) -> dict:
    points = [{"kl": (0.1 * step) ** 2, "gold": slope * step, "score": 2 * slope * step} for step in range(7)]
    return {"cell": cell, "seed": seed, "kl_coef": kl_coef, "points": points}


def found(ppo: list[dict], models: list[dict]) -> dict:
    return {"overoptimisation": {"ppo": ppo}, "frontier": POINTS, "reward_models": models}


def test_curves_of_the_first_seed_are_smoothed_over_five_iterations_a_line_a_coefficient(drawn):
    curves = [
        curve("seed_17", 17, "default", 0.1), curve("kl_0_17", 17, 0.0, 0.2), curve("kl_0_18", 18, 0.0, 0.3),
        curve("ptx_4", 17, "default", 0.4),
    ]  # fmt: skip
    made = dict(drawings.drawings(found(curves, [])))
    assert made == {
        "overoptimisation_gold": "<svg>gold</svg>", "overoptimisation_score": "<svg>score</svg>",
        "frontier": "<svg>frontier</svg>",
    }  # fmt: skip
    series, frame = drawn["gold"]
    assert [line.label for line in series] == ["default β", "β = 0"]
    for line, slope in zip(series, (0.1, 0.2), strict=True):
        assert line.x == pytest.approx([0.2, 0.3, 0.4])
        assert line.y == pytest.approx([2 * slope, 3 * slope, 4 * slope])
    assert frame == Frame("PPO's iterations: gold of the rollouts", drawings.DISTANCE, "gold of the rollouts")
    series, frame = drawn["score"]
    assert series[0].y == pytest.approx([0.4, 0.6, 0.8])
    title = "PPO's iterations: reward model's score"
    assert frame == Frame(title, drawings.DISTANCE, "reward model's score")


def test_the_frontier_joins_the_near_points_of_the_first_seed_by_what_they_are(drawn):
    dict(drawings.drawings(found([curve("seed_17", 17, "default", 0.1)], [])))
    series, frame = drawn["frontier"]
    expected = {
        "PPO over β": [(2.5, 0.7), (9.0, 0.58)], "best of n": [(0.0, 0.5), (0.25, 0.6)],
        "PPO over γ": [(2.5, 0.7), (4.0, 0.66)], "FeedME": [(1.0, 0.65)],
    }  # fmt: skip
    assert [line.label for line in series] == list(expected)
    for line in series:
        points = expected[line.label]
        assert line.x == pytest.approx([kl**0.5 for kl, _ in points])
        assert line.y == pytest.approx([gold for _, gold in points])
        assert line.low == pytest.approx([gold - 0.02 for _, gold in points])
        assert line.high == pytest.approx([gold + 0.02 for _, gold in points])
    assert frame == Frame("Gold at equal KL", drawings.DISTANCE, "gold, sampled")


def test_reward_models_that_differ_in_size_are_drawn_by_size_where_there_are_two(drawn):
    dict(drawings.drawings(found([curve("seed_17", 17, "default", 0.1)], MODELS)))
    series, frame = drawn["rm"]
    assert [line.label for line in series] == ["with labelers", "with gold"]
    assert [line.x for line in series] == [[264, 1056, 2112]] * 2
    assert series[0].y == pytest.approx([0.716, 0.726, 0.736])
    assert series[0].low == pytest.approx([0.696, 0.706, 0.716])
    assert series[0].high == pytest.approx([0.736, 0.746, 0.756])
    assert series[1].y == pytest.approx([0.86] * 3)
    assert frame == Frame("More comparisons", "prompts compared", "held-out agreement", log_x=True)
    drawn.clear()
    dict(drawings.drawings(found([curve("seed_17", 17, "default", 0.1)], MODELS[:1])))
    assert "rm" not in drawn


def test_rows_and_seeds_of_stale_cells_are_marked_and_the_reasons_stand_in_a_table_of_their_own():
    point = frontier_point("kl_0_17", "ppo", 17, 9.0, 0.58) | {"stale": "made with a 1, now 2"}
    fit = {
        "cell": "kl_0_17", "seed": 17, "alpha": 0.1, "beta": 0.1, "r_squared": 0.9, "peak_kl": 1.0, "peak_passed": True,
        "peak_kl_interval": [1.0, 2.0], "farthest_kl": 3.0, "stale": "made with a 1, now 2",
    }  # fmt: skip
    found = {
        "frontier": [point, POINTS[0]], "tax": [], "limits": [], "overoptimisation": {"ppo": [fit], "best_of_n": [fit]},
        "reward_models": [MODELS[0] | {"stale": "x"}, MODELS[1] | {"other_code": "rlhf/rl"}],
        "stale": {"kl_0_17": "made with a 1, now 2"}, "other_code": {"seed_17": "rlhf/rl"},
    }  # fmt: skip
    frontier, fits, models, _, stale, other_code = tables.laboratory(found)
    assert [row[0] for row in frontier.rows] == ["PPO, default, β = 0.1, γ = 0.5", "PPO, β = 0 (stale)"]
    assert [row[0] for row in fits.rows] == ["PPO, β = 0 (stale)", "best of n (stale)"]
    assert models.rows[0][0] == "1,056 prompts (stale)"
    assert models.rows[1][0].endswith(" (other code)")
    assert (other_code.caption, other_code.rows) == ("Other code", [["seed_17", "rlhf/rl"]])
    assert (stale.caption, stale.rows) == ("Stale", [["kl_0_17", "made with a 1, now 2"]])
    own = {
        "seed": 17,
        "reward_model": {},
        "without_criterion": {"facts": dict.fromkeys(("sampled", "greedy"), interval(0.7))},
    }
    rates = {group: dict.fromkeys(named, interval(0.7)) for group, named in names.RATES.items()}
    model = dict.fromkeys(names.REWARD_MODEL, 0.7)
    seeds = [own | {"seed": seed, "reward_model": model} | rates for seed in (17, 18)]
    made = tables.seeds(
        {
            "per_seed": seeds, "evaluate": rates, "reward_model": model, "stale": {"18": "made otherwise"},
            "other_code": {"17": "rlhf/rl"},
        }
    )  # fmt: skip
    assert made.columns == ["", "mean", "seed 17 (other code)", "seed 18 (stale)"]


def test_a_curve_of_a_stale_cell_says_so(drawn):
    curves = [curve("seed_17", 17, "default", 0.1), curve("kl_0_17", 17, 0.0, 0.2) | {"stale": "made otherwise"}]
    dict(drawings.drawings(found(curves, [])))
    assert [line.label for line in drawn["gold"][0]] == ["default β", "β = 0 (stale)"]
