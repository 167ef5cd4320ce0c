"""The simulated labelers: agreement as in the paper, biases, ties and the scale."""

from random import Random

import pytest

from rlhf.preferences import agreement
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from rlhf.world.grading import gold, labelers

SIGMA = 0.20
BIASES = {"weight_spread": 0.4, "length_bias": (-0.05, 0.1), "politeness_bias": (-0.03, 0.1), "strictness": (-0.1, 0.1)}
NEUTRAL = {"weight_spread": 0.0, "length_bias": (0.0, 0.0), "politeness_bias": (0.0, 0.0), "strictness": (0.0, 0.0)}
TASK = {"kind": "facts", "language": "en", "animal": "fox", "count": 2, "relations": ["lives", "eats"]}
GOOD, HALF, WRONG = "The fox lives in the forest. It eats meat.", "The fox eats meat.", "The fox eats grass."


def measured_agreement(group, num_prompts: int) -> float:
    """Return the share of pairs on which two labelers agree, over four demonstrations for each of fresh prompts."""
    differences = []
    for number in range(num_prompts):
        rng = Random(f"agreement 1 {number}")
        task, _, _ = tasks.draw(rng, "seen")
        responses = [
            demonstrations.write(task, rng, demonstrations.draw_traits(rng, demonstrations.TYPICAL)) for _ in range(4)
        ]
        rankings = [labelers.rank(task, responses, labeler, rng)[1] for labeler in group]
        differences += agreement.between_rankings(rankings)
    return agreement.share(differences)[0]


def test_labelers_agree_on_about_three_of_four_pairs_of_demonstrations():
    # on the answers of the SFT policy, which differ more, collect_comparisons reports the figure to hold to 72-78%
    training, held_out = labelers.make(1, 6, 3, labelers.Habits(sigma=SIGMA, tie=0.05, **BIASES))
    assert 0.70 <= measured_agreement(training, 250) <= 0.78
    assert 0.69 <= measured_agreement(held_out, 250) <= 0.79


def test_less_noise_means_more_agreement():
    rates = [
        measured_agreement(labelers.make(1, 4, 1, labelers.Habits(sigma=sigma, tie=0.05, **BIASES))[0], 100)
        for sigma in (0.05, 0.2, 0.5)
    ]
    assert rates[0] > rates[1] > rates[2]


def test_a_labeler_without_noise_and_bias_ranks_as_gold_does():
    (labeler,), _ = labelers.make(1, 1, 1, labelers.Habits(sigma=0.0, tie=0.01, **NEUTRAL))
    rng = Random(1)
    for _ in range(100):
        task, _, _ = tasks.draw(rng, "seen")
        answers = [
            demonstrations.write(task, rng, demonstrations.draw_traits(rng, demonstrations.TYPICAL)) for _ in range(4)
        ]
        scores, ranks = labelers.rank(task, answers, labeler, rng)
        golds = [gold.score(task, answer).score for answer in answers]
        for one in range(4):
            for other in range(4):
                if ranks[one] < ranks[other]:
                    assert golds[one] > golds[other]
        assert all(1 <= score <= 7 for score in scores)


def test_answers_closer_than_the_tie_threshold_share_a_rank():
    (labeler,), _ = labelers.make(1, 1, 1, labelers.Habits(sigma=0.0, tie=0.05, **NEUTRAL))
    _, ranks = labelers.rank(TASK, [HALF, GOOD, WRONG, GOOD], labeler, Random(1))
    assert ranks == [2, 1, 3, 1]


@pytest.mark.parametrize(("tie", "ranks"), [(0.2, [1, 1, 2]), (0.25, [1, 1, 1]), (0.1, [1, 2, 3])])
def test_ties_do_not_chain(monkeypatch, tie, ranks):
    """Of utilities 0.9, 0.8 and 0.7 the last ties with the first only where it is itself less than `tie` below it."""
    utilities = iter([0.8, 0.7, 0.9])
    monkeypatch.setattr(gold, "score", lambda *_: gold.Gold(next(utilities), {"politeness": 0.0}, False))
    (labeler,), _ = labelers.make(1, 1, 1, labelers.Habits(sigma=0.0, tie=tie - 1e-9, **NEUTRAL))
    _, found = labelers.rank(TASK, ["b", "c", "a"], labeler, Random(1))
    assert [found[2], found[0], found[1]] == ranks


@pytest.mark.parametrize(
    ("bias", "good"),
    [
        ("length_bias", "Sure. The fox lives in the forest. It eats meat."),
        ("politeness_bias", "Sure. The fox eats meat."),
    ],
)
def test_a_bias_raises_what_it_likes(bias, good):
    (plain,), _ = labelers.make(1, 1, 1, labelers.Habits(sigma=0.0, tie=0.0, **NEUTRAL))
    (biased,), _ = labelers.make(1, 1, 1, labelers.Habits(sigma=0.0, tie=0.0, **(NEUTRAL | {bias: (-2.0, -2.0)})))
    assert labelers.rank(TASK, [good, HALF], plain, Random(1))[1] == [1, 2]
    assert labelers.rank(TASK, [good, HALF], biased, Random(1))[1] == [2, 1]


def test_strictness_lowers_scores_and_leaves_ranks():
    (mild,), _ = labelers.make(1, 1, 1, labelers.Habits(sigma=0.0, tie=0.0, **NEUTRAL))
    (strict,), _ = labelers.make(1, 1, 1, labelers.Habits(sigma=0.0, tie=0.0, **(NEUTRAL | {"strictness": (0.3, 0.3)})))
    (mild_scores, mild_ranks), (strict_scores, strict_ranks) = (
        labelers.rank(TASK, [GOOD, HALF], labeler, Random(1)) for labeler in (mild, strict)
    )
    assert mild_ranks == strict_ranks
    assert all(strict < mild for strict, mild in zip(strict_scores, mild_scores, strict=True))


def test_labelers_are_named_and_differ():
    training, held_out = labelers.make(1, 6, 3, labelers.Habits(sigma=SIGMA, tie=0.05, **BIASES))
    assert [labeler.name for labeler in training] == [f"labeler_{number}" for number in range(1, 7)]
    assert [labeler.name for labeler in held_out] == ["held_out_1", "held_out_2", "held_out_3"]
    assert len({labeler.length_bias for labeler in training + held_out}) == 9
