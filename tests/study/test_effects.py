"""Effects of hand-made cells: each is the number that its cells hold, of the seeds and decodings that it names."""

import json

import numpy as np
import pytest

from study import cells, effects


@pytest.fixture
def write(tmp_path):
    def cell(name: str, content: dict) -> None:
        path = tmp_path / cells.FOLDER / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    return cell


def test_a_limit_is_the_paired_difference_of_two_policies_whether_it_is_a_score_of_gold_or_not(tmp_path, write):
    def probed(harmful: list[float], words: list[int]) -> dict:
        return {"gold": {"harmful": harmful, "unknown": [0.0, 0.0]}, "words": words}

    write("seed_17", {"limits": {"ppo": probed([1.0, 0.5], [4, 8]), "sft": probed([0.25, 0.25], [3, 5]),
                                 "base": probed([0.0, 0.0], [9, 9])}})  # fmt: skip
    write("seed_18", {"limits": {"ppo": probed([0.5, 0.5], [4, 4]), "sft": probed([0.5, 0.5], [6, 4])}})
    one = effects.Limit(kind="limit", cell="seed_{seed}", probe="harmful")
    assert one.cells() == ["seed_17"]
    found = one.measured(tmp_path)
    assert found.mean == pytest.approx((0.75 + 0.25) / 2)
    assert (found.low, found.high) == (0.25, 0.75)
    both = one.model_copy(update={"seeds": [17, 18]})
    assert both.cells() == ["seed_17", "seed_18"]
    assert both.measured(tmp_path).mean == pytest.approx((0.5 + 0.0) / 2)
    words = effects.Limit(kind="limit", cell="seed_{seed}", probe="words", seeds=[17, 18])
    assert words.measured(tmp_path).mean == pytest.approx((2.0 - 1.0) / 2)
    base = effects.Limit(kind="limit", cell="seed_{seed}", probe="words", first="sft", second="base")
    assert base.measured(tmp_path).mean == pytest.approx((-6 - 4) / 2)


def test_a_number_is_that_of_the_evaluation_with_the_seeds_extremes_as_bounds(tmp_path, write):
    for seed, mean, other in ((17, 0.7, 0.1), (18, 0.4, 0.3), (19, 0.55, 0.2)):
        write(f"seed_{seed}", {"evaluation": {"evaluate": {"win_rate": {"ppo_vs_sft": {"mean": mean}}, "tax": other}}})
    number = effects.Number(
        kind="number", cell="seed_{seed}", path="evaluate.win_rate.ppo_vs_sft.mean", seeds=[17, 18, 19]
    )
    assert number.measured(tmp_path) == pytest.approx((0.55, 0.4, 0.7))
    less = number.model_copy(update={"minus": "evaluate.tax"})
    assert less.measured(tmp_path) == pytest.approx((0.35, 0.1, 0.6))


def test_a_win_rate_counts_ties_half_and_says_how_far_above_a_half_it_is(tmp_path, write):
    def scored(gold: list[float], strict: list[float]) -> dict:
        return {"prompts": list("abcd"), "sampled": {"gold": gold, "strict": strict}, "greedy": {"gold": strict}}

    first, second = scored([0.9, 0.5, 0.5, 0.1], [1, 1, 1, 1]), scored([0.1, 0.51, 0.47, 0.2], [0, 1, 0, 1])
    write("seed_17", {"policies": {"ppo": first, "sft": second}})
    rate = effects.WinRate(kind="win_rate", first="seed_17/ppo", second="seed_17/sft")
    assert rate.measured(tmp_path).mean == pytest.approx((1 + 0.5 + 1 + 0) / 4 - 0.5)
    strict = rate.model_copy(update={"measure": "strict"})
    assert strict.measured(tmp_path).mean == pytest.approx((1 + 0.5 + 1 + 0.5) / 4 - 0.5)
    greedy = rate.model_copy(update={"decoding": "greedy"})
    assert greedy.measured(tmp_path).mean == strict.measured(tmp_path).mean


def judged(labelers: list[list[int]], gold: list[list[int]], training: float = 0.0) -> dict:
    def part(shift: int) -> dict:
        right = [[one - shift, pairs] for one, pairs in labelers]
        return {"comparisons": ["a", "b", "c"][: len(right)], "labelers": right, "gold": gold}

    return {"reward_model": {"validation": part(0), "judge": part(1), "training": {"accuracy": training}}}


def test_accuracies_are_compared_part_by_part_and_by_whom(tmp_path, write):
    write("first_17", judged([[8, 10], [9, 10], [1, 1]], [[5, 5], [5, 5], [1, 1]]))
    write("second_17", judged([[7, 10], [4, 10]], [[1, 5], [2, 5]]))
    pair = effects.Accuracy(kind="accuracy", first="first_{seed}", second="second_{seed}")
    assert pair.cells() == ["first_17", "second_17"]
    assert pair.measured(tmp_path).mean == pytest.approx(17 / 20 - 11 / 20)  # on what both were measured on
    assert pair.model_copy(update={"part": "judge"}).measured(tmp_path).mean == pytest.approx(15 / 20 - 9 / 20)
    assert pair.model_copy(update={"by": "gold"}).measured(tmp_path).mean == pytest.approx(10 / 10 - 3 / 10)
    assert cells.accuracy_interval(tmp_path, "first_17", "validation", "labelers").mean == pytest.approx(18 / 21)
    assert cells.accuracy_interval(tmp_path, "first_17", "validation", "gold") == pytest.approx((1.0, 1.0, 1.0))


def test_over_fitting_is_the_first_ones_gap_less_the_seconds(tmp_path, write):
    write("first", judged([[8, 10]], [[5, 5]], training=0.95))
    write("second", judged([[7, 10]], [[5, 5]], training=0.75))
    found = effects.Overfit(kind="overfit", first="first", second="second").measured(tmp_path)
    assert found == pytest.approx([(0.95 - 0.8) - (0.75 - 0.7)] * 3)


def test_pooled_intervals_cover_95_percent_of_a_known_mean():
    """Normal samples of 200: the bounds are 1.96 standard errors from the mean, as a share of sqrt(2) for two seeds."""
    draws = np.random.default_rng(3).normal(0, 1, (2, 200))
    one = cells.pooled([draws[0]])
    error = draws[0].std() / 200**0.5
    assert one.low == pytest.approx(draws[0].mean() - 1.96 * error, abs=0.15 * error)
    assert one.high == pytest.approx(draws[0].mean() + 1.96 * error, abs=0.15 * error)
    both = cells.pooled([*draws])
    assert both.mean == pytest.approx(draws.mean())
    assert both.high - both.low == pytest.approx(2 * 1.96 * draws.std() / 400**0.5, rel=0.1)
    assert cells.pooled([*draws]) == both


def test_the_command_that_makes_cells_names_each_once_as_the_stage_it_is():
    assert cells.command(["seed_17", "kl_0_17", "seed_17", "encoder_rank"]) == (
        "dvc repro study/dvc.yaml:chain@seed_17 study/dvc.yaml:cell@kl_0_17 study/dvc.yaml:encoder_cell@encoder_rank"
    )
