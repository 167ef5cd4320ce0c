"""Effects over seeds: errors worked by hand, and intervals that cover as often as they say."""

import numpy as np
import pytest

from study.evidence import estimates
from study.evidence.estimates import Part, Sample


def variance(samples: list[Sample]) -> float:
    return estimates.within(samples).variance


def test_the_error_of_a_mean_over_prompts_is_the_usual_one():
    values = {"a": 0.0, "b": 1.0, "c": 0.5, "d": 0.25}
    found = estimates.mean(values)
    assert found.effect == 0.4375
    assert variance([found]) == pytest.approx(np.var([*values.values()], ddof=1) / 4)


def test_prompts_of_one_cluster_are_one_case_and_the_widest_clustering_counts():
    """Of four prompts in two clusters of equal pairs: two cases. Clusters that cancel out are no wider."""
    values = {"a": 0.0, "b": 0.0, "c": 1.0, "d": 1.0}
    pairs, opposites = dict(zip("abcd", "xxyy", strict=True)), dict(zip("abcd", "xyxy", strict=True))
    alone = variance([estimates.mean(values)])
    assert variance([estimates.mean(values, [pairs])]) == pytest.approx(np.var([0, 1], ddof=1) / 2)
    assert variance([estimates.mean(values, [opposites])]) == pytest.approx(alone)
    assert variance([estimates.mean(values, [opposites, pairs])]) == pytest.approx(0.25)
    assert variance([estimates.mean(values, [dict.fromkeys("abcd", "all")])]) == pytest.approx(alone)


def test_a_prompt_that_seeds_share_is_one_case():
    values = {"a": 0.0, "b": 1.0}
    same, other = estimates.mean(values), estimates.mean({"c": 0.0, "d": 1.0})
    assert variance([same, same]) == pytest.approx(variance([same]))
    assert variance([same, other]) == pytest.approx(4 / 3 * 4 * 0.125**2)  # four cases of half the weight


def test_a_clustering_that_one_seed_lacks_is_not_used():
    values = {"a": 0.0, "b": 0.0, "c": 1.0, "d": 1.0}
    pairs = dict(zip("abcd", "xxyy", strict=True))
    found = variance([estimates.mean(values, [pairs]), estimates.mean(values)])
    assert found == pytest.approx(variance([estimates.mean(values)]))


def test_a_share_weighs_comparisons_by_their_pairs():
    found = estimates.share({"a": (8, 10), "b": (1, 10), "c": (1, 1)})
    assert found.effect == pytest.approx(10 / 21)
    assert sum(found.influences[0].values()) == pytest.approx(0)
    assert found.influences[0]["a"] == pytest.approx((8 - 10 * 10 / 21) / 21)


def test_a_difference_is_paired_unit_by_unit():
    one, two = estimates.share({"a": (9, 10), "b": (5, 10)}), estimates.share({"a": (8, 10), "b": (4, 10)})
    found = one.minus(two)
    assert found.effect == pytest.approx(0.1)
    assert variance([found]) == pytest.approx(0, abs=1e-12)  # both comparisons say the same of it
    apart = Sample(0.5, [{}], 0.25).minus(Sample(0.25, [{"a": 0.1}], 0.5))
    assert apart == Sample(0.25, [{"a": -0.1}], 0.75)
    assert variance([apart, apart]) == pytest.approx(2 * 0.75 / 4)


def test_the_spread_is_what_cells_and_seeds_leave():
    """Of two cells on two seeds (Fisher's two-way layout) it is a quarter of the squared interaction, on one degree."""
    figures = {("a", 17): 1.0, ("a", 18): 2.0, ("b", 17): 1.0, ("b", 18): 4.0}
    assert estimates.spread(figures) == pytest.approx((1.0, 1))
    shifted = {(cell, seed): figure + {"a": 5, "b": 0}[cell] + 3 * seed for (cell, seed), figure in figures.items()}
    assert estimates.spread(shifted) == pytest.approx((1.0, 1))
    assert estimates.spread(figures | {("c", 17): 9.0}) == pytest.approx((1.0, 1))  # on one seed it shows nothing
    assert estimates.spread(figures | {("c", 17): 1.0, ("c", 18): 3.0}).freedom == 2
    for too_few in ({}, {("a", 17): 1.0, ("a", 18): 2.0}, {("a", 17): 1.0, ("b", 17): 2.0}):
        assert estimates.spread(too_few) is None


def effects_of(*effects: float) -> list[Sample]:
    return [Sample(effect, [{}]) for effect in effects]


def test_the_error_is_that_of_seeds_and_of_prompts_together():
    prompts = [Sample(0.5, [{"a": 0.1, "b": -0.1}]), Sample(0.7, [{"a": 0.1, "b": -0.1}])]
    found = estimates.over_seeds(prompts, Part(0.08, 12))
    assert found.effect == pytest.approx(0.6)
    between, of_prompts = 2 * 0.08 / 2, 2 * (0.1**2 + 0.1**2)  # on 12 degrees of freedom, and on 2 - 1
    assert found.error == pytest.approx((between + of_prompts) ** 0.5)
    assert found.freedom == int(0.12**2 / (0.08**2 / 12 + 0.04**2 / 1)) == 6
    assert (found.of_seeds, found.knows_seeds) == ([0.5, 0.7], True)
    reach = 2.4469 * found.error  # t of 6 degrees of freedom
    assert found.interval(0.95) == pytest.approx((0.6, 0.6 - reach, 0.6 + reach), abs=1e-4)


def test_an_effect_that_differs_more_than_the_pool_says_keeps_its_own_variance():
    found = estimates.over_seeds(effects_of(0.0, 0.3, 0.6), Part(0.01, 12))
    assert found.error == pytest.approx((0.09 / 3) ** 0.5)
    assert found.freedom == 12


def test_without_a_pool_the_seeds_of_the_effect_alone_are_known_and_of_one_seed_nothing():
    three = estimates.over_seeds(effects_of(0.0, 0.3, 0.6), None)
    assert three.interval(0.95) == pytest.approx((0.3, 0.3 - 4.3027 * 0.03**0.5, 0.3 + 4.3027 * 0.03**0.5), abs=1e-4)
    one = estimates.over_seeds([estimates.mean({"a": 0.0, "b": 1.0, "c": 0.5})], None)
    assert (one.freedom, one.knows_seeds) == (2, False)
    assert one.error == pytest.approx(0.5 / 3**0.5)


def test_what_lies_beyond_a_bound_is_the_tail_of_t():
    found = estimates.over_seeds(effects_of(0.0, 0.3, 0.6), None)
    t = 0.3 / 0.03**0.5
    assert found.beyond(0.0, 1) == pytest.approx(0.5 - t / (2 * (2 + t * t) ** 0.5))
    assert found.beyond(0.0, -1) == pytest.approx(1 - found.beyond(0.0, 1))
    assert found.beyond(0.3, 1) == pytest.approx(0.5)
    exact = estimates.over_seeds(effects_of(0.2, 0.2), None)
    assert [exact.beyond(bound, 1) for bound in (0.1, 0.2, 0.3)] == [0.0, 1.0, 1.0]
    assert exact.interval(0.95) == (0.2, 0.2, 0.2)


CELLS, SEEDS, PROMPTS = 6, 3, 60


def drawn(rng: np.random.Generator, truth: float) -> np.ndarray:
    """Return gold [CELLS, SEEDS, PROMPTS], of which the first cell's is `truth` above the second's.

    Cells and seeds have effects, each training has its luck, a prompt suits a cell whatever the seed, and answers vary.
    """
    of_cells = np.concatenate([[truth, 0.0], rng.normal(0, 0.1, CELLS - 2)])[:, None, None]
    of_seeds, luck = rng.normal(0, 0.1, (1, SEEDS, 1)), rng.normal(0, 0.03, (CELLS, SEEDS, 1))
    return (
        of_cells
        + of_seeds
        + luck
        + rng.normal(0, 0.2, (CELLS, 1, PROMPTS))
        + rng.normal(0, 0.2, (CELLS, SEEDS, PROMPTS))
    )


def test_intervals_cover_the_true_effect_as_often_as_they_say():
    """Those over prompts within seeds, as if prompts and trainings were the only ones, cover it far too seldom."""
    rng, times, truth = np.random.default_rng(5), 300, 0.1
    covered, of_old = 0, 0
    for _ in range(times):
        gold = drawn(rng, truth)
        gaps = gold[0] - gold[1]  # [SEEDS, PROMPTS]
        figures = {(str(cell), seed): float(gold[cell, seed].mean()) for cell in range(CELLS) for seed in range(SEEDS)}
        samples = [estimates.mean({str(prompt): gap for prompt, gap in enumerate(own.tolist())}) for own in gaps]
        low, high = estimates.over_seeds(samples, estimates.spread(figures)).interval(0.95)[1:]
        covered += low <= truth <= high
        of_old += abs(gaps.mean() - truth) <= 1.96 * (gaps.var(axis=1).mean() / gaps.size) ** 0.5
    assert 0.93 <= covered / times <= 0.99
    assert of_old / times < 0.85
