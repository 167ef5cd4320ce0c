"""Effects of hand-made cells: each is the number that its cells hold, of the seeds and decodings that it names."""

import numpy as np
import pytest

from study import cells, effects
from study.evidence import estimates
from study.evidence.estimates import Estimate
from tests.study import small

OTHERS = {f"kl_0_{seed}": {"seed": seed} for seed in (17, 18)}
OTHERS |= {f"{name}_{seed}": {"seed": seed} for name in ("first", "second") for seed in (17, 18)}


@pytest.fixture
def root(tmp_path):
    small.lay_out(tmp_path, OTHERS)
    return tmp_path


def measured(effect: effects.Effect, root) -> Estimate:
    found, missing = effect.estimate(small.read(root))
    assert found
    assert missing == {}
    return found


def answered(sampled: dict, greedy: dict | None = None, **more) -> dict:
    count = len(next(iter(sampled.values())))
    return {"prompts": list("abcdefgh")[:count], "sampled": sampled, "greedy": greedy or sampled} | more


def test_a_difference_is_paired_by_prompt_and_of_the_column_decoding_and_probe_named(root):
    def policy(offset: float) -> dict:
        return answered(
            {"gold": [offset, 0.1]}, {"gold": [0.4, offset]}, probes={"loss": [offset, 2.0], "cloze": [0.5, 0.5]}
        )

    small.write(root, "seed_17", {"policies": {"sft": policy(0.7), "ppo": policy(0.8)}})
    small.write(root, "kl_0_17", {"policy": policy(0.9)})

    def difference(first: str, column: str = "gold", decoding: str = "sampled") -> Estimate:
        own = {"first": first, "second": "seed_{seed}/sft", "column": column, "decoding": decoding}
        return measured(effects.Difference(kind="difference", seeds=[17], **own), root)

    assert difference("seed_{seed}/ppo").effect == pytest.approx(0.05)
    assert difference("kl_0_{seed}").effect == pytest.approx(0.1)
    assert difference("kl_0_{seed}", decoding="greedy").effect == pytest.approx(0.1)
    assert difference("kl_0_{seed}", column="loss").effect == pytest.approx(0.1)
    assert difference("kl_0_{seed}", column="cloze").effect == 0.0
    found = difference("seed_{seed}/ppo")
    assert found.error == pytest.approx(np.std([0.1, 0.0], ddof=1) / 2**0.5)


def test_prompts_of_one_cluster_count_once_and_pieces_of_two_seeds_are_no_pairs(root):
    gold, loss = [0.0, 0.0, 1.0, 1.0], {"loss": [0.0, 1.0], "cloze": [0, 0]}
    clusters = {"prompts": {"tasks": list("xxyy"), "subjects": list("abcd")}}
    nothing = answered({"gold": [0.0] * 4}, probes={"loss": [0.0, 0.0], "cloze": [0, 0]})
    for seed in (17, 18):
        both = {"sft": nothing, "ppo": answered({"gold": gold}, probes=loss)}
        small.write(root, f"seed_{seed}", {"policies": both, "clusters": clusters})
    own = {"kind": "difference", "first": "seed_{seed}/ppo", "second": "seed_{seed}/sft", "seeds": [17, 18]}
    assert measured(effects.Difference(column="gold", **own), root).error == pytest.approx(0.25**0.5)
    assert measured(effects.Difference(column="loss", **own), root).error == pytest.approx(
        (4 / 3 * 4 * 0.125**2) ** 0.5
    )


def test_the_order_of_prompts_changes_nothing_and_strangers_are_refused():
    first, second = {"a": 1.0, "b": 0.5}, {"b": 0.25, "a": 0.5, "c": 9.0}
    assert cells.paired(first, second) == {"a": (1.0, 0.5), "b": (0.5, 0.25)}
    with pytest.raises(ValueError, match="share no prompt"):
        cells.paired(first, {"z": 1.0})


def test_the_error_knows_how_cells_differ_from_seed_to_seed_but_best_of_n_counts_no_second_time(root):
    """Between two policies the pool is Fisher's two-way layout of all of the column, of twice its residual variance."""
    golds = {"sft": (0.5, 0.5), "ppo": (0.6, 0.6), "feedme": (0.1, 0.3), "best_of_2": (0.0, 9.0), "base": (5.0, 0.0)}
    for place, seed in enumerate((17, 18)):
        policies = {name: answered({"gold": [of[place]] * 2, "strict": [0.0] * 2}) for name, of in golds.items()}
        small.write(root, f"seed_{seed}", {"policies": policies})
    gap = effects.Difference(
        kind="difference", column="gold", seeds=[17, 18], first="seed_{seed}/ppo", second="seed_{seed}/sft"
    )
    found = measured(gap, root)
    figures = {
        (name, seed): golds[name][place] for name in ("sft", "ppo", "feedme") for place, seed in enumerate((17, 18))
    }
    pool = estimates.spread(figures)
    assert gap.pool(small.read(root)) == pytest.approx(tuple(pool))
    assert (found.effect, found.freedom) == (pytest.approx(0.1), 2)
    assert found.error == pytest.approx((2 * pool.variance / 2) ** 0.5)
    with_base = {("base", seed): golds["base"][place] for place, seed in enumerate((17, 18))}
    above_base = gap.model_copy(update={"second": "seed_{seed}/base"})  # only there the base belongs to it
    assert above_base.pool(small.read(root)) == pytest.approx(tuple(estimates.spread(figures | with_base)))


def test_a_win_rate_counts_ties_half_and_says_how_far_above_a_half_it_is(root):
    def scored(gold: list[float], strict: list[float]) -> dict:
        return answered({"gold": gold, "strict": strict}, {"gold": strict, "strict": strict})

    first, second = scored([0.9, 0.5, 0.5, 0.1], [1, 1, 1, 1]), scored([0.1, 0.51, 0.47, 0.2], [0, 1, 0, 1])
    small.write(root, "seed_17", {"policies": {"ppo": first, "sft": second}})
    rate = effects.WinRate(
        kind="win_rate", seeds=[17], measure="gold", first="seed_{seed}/ppo", second="seed_{seed}/sft"
    )
    assert measured(rate, root).effect == pytest.approx((1 + 0.5 + 1 + 0) / 4 - 0.5)
    strict = measured(rate.model_copy(update={"measure": "strict"}), root)
    assert strict.effect == pytest.approx((1 + 0.5 + 1 + 0.5) / 4 - 0.5)
    assert measured(rate.model_copy(update={"decoding": "greedy"}), root).effect == strict.effect


def test_win_rates_are_pooled_against_the_sft_of_their_seed(root):
    golds = {"sft": (0.5, 0.6), "ppo": (0.6, 0.7), "feedme": (0.1, 0.9), "base": (0.9, 0.1)}
    for place, seed in enumerate((17, 18)):
        small.write(root, f"seed_{seed}", {"policies": {n: answered({"gold": [g[place]]}) for n, g in golds.items()}})
    small.write(root, "kl_0_17", {"policy": answered({"gold": [0.9]})})
    small.write(root, "kl_0_18", {"policy": answered({"gold": [0.0]})})
    rate = effects.WinRate(
        kind="win_rate", seeds=[17, 18], measure="gold", first="seed_{seed}/ppo", second="seed_{seed}/sft"
    )
    won = {"ppo": (0.5, 0.5), "feedme": (-0.5, 0.5), "kl_0": (0.5, -0.5)}
    figures = {(name, seed): own[place] for name, own in won.items() for place, seed in enumerate((17, 18))}
    assert rate.pool(small.read(root)) == pytest.approx(tuple(estimates.spread(figures)))
    small.write(root, "seed_18", {"policies": {"ppo": answered({"gold": [0.9]})}})  # no SFT to hold them against
    assert rate.pool(small.read(root)) is None


def judged(labelers: list[list[int]], gold: list[list[int]], training: float = 0.0, prompts: int = 8) -> dict:
    def part(shift: int) -> dict:
        right = [[one - shift, pairs] for one, pairs in labelers]
        return {"comparisons": ["a", "b", "c"][: len(right)], "labelers": right, "gold": gold}

    trained = {"accuracy": training, "pairs": 10, "prompts": prompts}
    return {"reward_model": {"validation": part(0), "judge": part(1), "training": trained}}


def test_accuracies_are_compared_part_by_part_and_by_whom(root):
    small.write(root, "first_17", judged([[8, 10], [9, 10], [1, 1]], [[5, 5], [5, 5], [1, 1]]))
    small.write(root, "second_17", judged([[7, 10], [4, 10]], [[1, 5], [2, 5]]))
    pair = effects.Accuracy(kind="accuracy", seeds=[17], first="first_{seed}", second="second_{seed}")
    assert pair.cells() == ["first_17", "second_17"]
    found = measured(pair, root)
    assert found.effect == pytest.approx(17 / 20 - 11 / 20)  # on what both were measured on
    assert not found.knows_seeds
    assert measured(pair.model_copy(update={"part": "judge"}), root).effect == pytest.approx(15 / 20 - 9 / 20)
    assert measured(pair.model_copy(update={"by": "gold"}), root).effect == pytest.approx(10 / 10 - 3 / 10)
    assert cells.accuracy_interval(root, "first_17", "validation", "labelers").mean == pytest.approx(18 / 21)
    assert cells.accuracy_interval(root, "first_17", "validation", "gold") == pytest.approx((1.0, 1.0, 1.0))
    second = judged([[1, 1]], [[1, 1]])
    second["reward_model"]["validation"]["comparisons"] = ["z"]
    small.write(root, "second_17", second)
    with pytest.raises(ValueError, match="first_17 and second_17 share no comparison"):
        pair.estimate(small.read(root))


def test_the_pool_of_accuracies_is_over_all_reward_models(root):
    rights = {"seed": (8, 7), "first": (9, 9), "second": (5, 2)}
    for name, own in rights.items():
        for place, seed in enumerate((17, 18)):
            small.write(root, f"{name}_{seed}", judged([[own[place], 10]], [[1, 1]], training=0.9))
    small.write(root, "kl_0_17", {"policy": {}})
    pair = effects.Accuracy(kind="accuracy", seeds=[17, 18], first="first_{seed}", second="second_{seed}")
    figures = {(name, seed): own[place] / 10 for name, own in rights.items() for place, seed in enumerate((17, 18))}
    pool = estimates.spread(figures)
    assert pair.pool(small.read(root)) == pytest.approx(tuple(pool))
    gaps = effects.Overfit(kind="overfit", seeds=[17, 18], first="first_{seed}", second="second_{seed}")
    assert gaps.pool(small.read(root)) == pytest.approx(tuple(pool))  # their training accuracies are equal


def test_over_fitting_is_the_first_ones_gap_less_the_seconds_and_training_has_an_error_too(root):
    small.write(root, "first_17", judged([[8, 10], [10, 10]], [[5, 5]] * 2, training=0.95, prompts=8))
    small.write(root, "second_17", judged([[7, 10], [7, 10]], [[5, 5]] * 2, training=0.75, prompts=8))
    found = measured(effects.Overfit(kind="overfit", seeds=[17], first="first_{seed}", second="second_{seed}"), root)
    assert found.effect == pytest.approx((0.95 - 0.9) - (0.75 - 0.7))
    held_out = 2 * (0.05**2 + 0.05**2)  # of the first, whose two comparisons are 0.8 and 1.0
    assert found.error**2 == pytest.approx(held_out + held_out * 2 / 8)


def test_a_limit_is_the_paired_difference_of_two_policies_whether_it_is_a_score_of_gold_or_not(root):
    def probed(harmful: list[float], words: list[int]) -> dict:
        return {"gold": {"harmful": harmful, "unknown": [0.0, 0.0]}, "words": words}

    of_17 = {"ppo": probed([1.0, 0.5], [4, 8]), "sft": probed([0.25, 0.25], [3, 5]), "base": probed([0, 0], [9, 9])}
    small.write(root, "seed_17", {"limits": of_17})
    small.write(root, "seed_18", {"limits": {"ppo": probed([0.5, 0.5], [4, 4]), "sft": probed([0.5, 0.5], [6, 4])}})

    def limit(probe: str, seeds: list[int], **more) -> effects.Limit:
        return effects.Limit(kind="limit", cell="seed_{seed}", probe=probe, seeds=seeds, **{"above": None} | more)

    assert limit("harmful", [17]).cells() == ["seed_17"]
    assert measured(limit("harmful", [17]), root).effect == pytest.approx((0.75 + 0.25) / 2)
    both = limit("harmful", [17, 18])
    assert both.cells() == ["seed_17", "seed_18"]
    assert measured(both, root).effect == pytest.approx((0.5 + 0.0) / 2)
    assert measured(limit("words", [17, 18]), root).effect == pytest.approx((2.0 - 1.0) / 2)
    assert measured(limit("words", [17], first="sft", second="base"), root).effect == pytest.approx((-6 - 4) / 2)
    assert measured(limit("harmful", [17, 18], above=0.5), root).effect == pytest.approx(0.5 / 2)  # 0.5 is not above


def test_prompts_of_a_probe_are_the_same_on_every_seed_and_acts_are_resampled_where_they_are_known(root):
    both = {"ppo": {"gold": {"harmful": [1, 1, 0, 0]}}, "sft": {"gold": {"harmful": [0, 0, 0, 0]}}}
    acts = {"harmful": {"subjects": list("xxyy")}}
    for seed in (17, 18):
        small.write(root, f"seed_{seed}", {"limits": both, "clusters": acts})
    limit = effects.Limit(kind="limit", cell="seed_{seed}", probe="harmful", above=0.5, seeds=[17, 18])
    assert measured(limit, root).error == pytest.approx(0.25**0.5)


def test_a_number_is_a_mean_over_seeds_with_the_interval_of_t(root):
    for seed, mean, other in ((17, 0.7, 0.1), (18, 0.4, 0.3), (19, 0.55, 0.2)):
        rates = {"win_rate": {"ppo_vs_sft": {"mean": mean}}, "tax": other}
        small.write(root, f"seed_{seed}", {"evaluation": {"evaluate": rates}})
    number = effects.Number(
        kind="number", cell="seed_{seed}", path="evaluate.win_rate.ppo_vs_sft.mean", minus=None, seeds=[17, 18, 19]
    )
    found = measured(number, root)
    reach = 4.3027 * 0.15 / 3**0.5
    assert found.interval(0.95) == pytest.approx((0.55, 0.55 - reach, 0.55 + reach), abs=1e-4)
    less = measured(number.model_copy(update={"minus": "evaluate.tax"}), root)
    assert less.effect == pytest.approx(0.35)
    assert less.of_seeds == pytest.approx([0.6, 0.1, 0.35])


def test_seeds_whose_cells_are_not_to_be_used_are_left_out_and_said(root):
    for seed in (17, 18):
        both = {name: answered({"gold": [gold, gold]}) for name, gold in (("sft", 0.5), ("ppo", 0.75))}
        small.write(root, f"seed_{seed}", {"policies": both})
    small.write(root, "kl_0_17", {"policy": answered({"gold": [0.5, 1.0]})})
    gap = effects.Difference(
        kind="difference", column="gold", seeds=[17, 18], first="kl_0_{seed}", second="seed_{seed}/ppo"
    )
    found, missing = gap.estimate(small.read(root))
    assert missing == {"kl_0_18": "not run"}
    assert found.of_seeds == [0.0]
    found, missing = gap.model_copy(update={"seeds": [18]}).estimate(small.read(root))
    assert (found, missing) == (None, {"kl_0_18": "not run"})
    controlled = gap.model_copy(update={"column": "controlled", "seeds": [17]})
    assert controlled.estimate(small.read(root)) == (
        None, {"kl_0_17": "measured before there was a column controlled"}
    )  # fmt: skip


def test_the_command_that_makes_cells_names_each_once_as_the_stage_it_is():
    assert cells.command(["seed_17", "kl_0_17", "seed_17", "encoder_rank_17"]) == (
        "dvc repro study/dvc.yaml:chain@seed_17 study/dvc.yaml:cell@kl_0_17 study/dvc.yaml:encoder_cell@encoder_rank_17"
    )
