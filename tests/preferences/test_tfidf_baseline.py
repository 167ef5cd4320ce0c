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


def test_two_pairs_are_enough_to_learn_from():
    """One of them is turned round, so that there are two classes."""
    training = [{"responses": ["red fox", "blue fox"], "labels": [{"ranks": [1, 2]}]}] * 2
    (scores,) = tfidf_baseline.scores(training, [{"responses": ["blue fox", "red fox", "amber"], "labels": []}])
    assert scores[0] < scores[2] == 0.0 < scores[1]


def test_of_more_pairs_than_the_limit_so_many_are_learned_from_spread_evenly():
    held_out = [{"responses": ["red", "blue"], "labels": []}]
    training = comparisons(40, "red", "blue", seed=1) + comparisons(60, "blue", "red", seed=3)
    few = tfidf_baseline.scores(training, held_out, max_pairs=10)
    first = tfidf_baseline.scores(training[:10], held_out)
    assert few[0][0] < 0 < few[0][1]
    assert first[0][0] > 0 > first[0][1]
    assert tfidf_baseline.scores(training, held_out, max_pairs=100) == tfidf_baseline.scores(training, held_out)
    assert tfidf_baseline.scores(training, held_out, max_pairs=1) == [[0.0, 0.0]]  # one class has nothing to tell


def test_a_pair_of_words_counts_and_a_word_of_one_answer_does_not():
    training = [{"responses": ["a b . b a", "b a . a b"], "labels": [{"ranks": [1, 2]}]}] * 4
    training += [{"responses": ["c d", "d c"], "labels": [{"ranks": [1, 2]}]}] * 4
    training.append({"responses": ["once", "c"], "labels": [{"ranks": [1, 2]}]})
    (own,) = tfidf_baseline.scores(training, [{"responses": ["c d", "d c", "once"], "labels": []}])
    assert own[0] > own[1]
    assert own[2] == 0.0


def test_words_rarer_than_the_50_000_most_frequent_have_no_say():
    frequent = " ".join(f"w{number}" for number in range(26_000))  # as many pairs of words again
    answers = [f"{frequent} {frequent} please", f"{frequent} {frequent}"]
    training = [{"responses": answers, "labels": [{"ranks": [1, 2]}]}] * 2
    (own,) = tfidf_baseline.scores(training, [{"responses": ["w1 please", "w1"], "labels": []}])
    assert own[0] == own[1]
