"""The bag of words that a reward model must beat."""

import random

from rlhf.preferences import agreement, tfidf_baseline


def comparisons(count: int, good: str, bad: str, seed: int) -> list[dict]:
    draw = random.Random(seed)
    filler = ["fox", "mat", "sat", "the", "on"]
    made = []
    for _ in range(count):
        responses = [" ".join([*draw.sample(filler, 3), word]) for word in (good, bad)]
        turned = draw.random() < 0.5
        ranks = [2, 1] if turned else [1, 2]
        made.append({"responses": responses[::-1] if turned else responses, "labels": [{"ranks": ranks}]})
    return made


def accuracy(training: list[dict], held_out: list[dict]) -> float:
    return agreement.with_labels(held_out, tfidf_baseline.scores(training, held_out))[0]


def test_a_word_that_labelers_like_is_found():
    held_out = comparisons(20, "please", "stupid", seed=2)
    assert accuracy(comparisons(40, "please", "stupid", seed=1), held_out) == 1.0
    assert accuracy(comparisons(40, "stupid", "please", seed=1), held_out) == 0.0


def test_a_chinese_character_is_a_word():
    training = comparisons(40, "很红的狐狸", "很蓝的狐狸", seed=1)
    assert accuracy(training, comparisons(20, "不红的北京", "不蓝的北京", seed=2)) == 1.0


def test_choices_without_a_word_of_their_own_stay_near_chance():
    training, held_out = comparisons(60, "red", "red", seed=1), comparisons(60, "red", "red", seed=2)
    assert 0.3 < accuracy(training, held_out) < 0.7


def test_the_baseline_is_the_same_each_time():
    training, held_out = comparisons(20, "red", "red", seed=1), comparisons(20, "red", "red", seed=2)
    assert tfidf_baseline.scores(training, held_out) == tfidf_baseline.scores(training, held_out)


def test_no_pair_to_learn_from_scores_nothing():
    tied = [{"responses": ["a b", "a b"], "labels": [{"ranks": [1, 1]}]}] * 2
    assert tfidf_baseline.scores(tied, [{"responses": ["a", "b", "c"], "labels": []}]) == [[0.0, 0.0, 0.0]]
