"""What a bag of words can tell of labelers' choices: the baseline that a reward model must beat."""

from collections.abc import Iterator, Sequence

from rlhf.records.records import pairs
from rlhf.records.types import Comparison

WORD = r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]"  # a Chinese character is a word, as it is to our tokenizers


def scores(
    training: Sequence[Comparison], held_out: Sequence[Comparison], max_pairs: int = 100_000
) -> list[list[float]]:
    """Return K scores a held-out comparison, of a logistic regression on differences of answers' TF-IDF vectors.

    Features are words and word pairs of the answer alone. Of more pairs than `max_pairs` it learns from so many, spread
    evenly over them. All 0 where training offers no pair.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # here, as it takes over a second
    from sklearn.linear_model import LogisticRegression

    first, second, target = _pairs(training, max_pairs)
    if len(set(target)) < 2:
        return [[0.0] * len(comparison["responses"]) for comparison in held_out]
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, max_features=50_000, token_pattern=WORD)
    vectors.fit([response for comparison in training for response in comparison["responses"]])
    model = LogisticRegression(max_iter=1000, fit_intercept=False)  # a pair has no first place
    model.fit(vectors.transform(first) - vectors.transform(second), target)
    return [model.decision_function(vectors.transform(comparison["responses"])).tolist() for comparison in held_out]


def _pairs(comparisons: Sequence[Comparison], limit: int) -> tuple[list[str], list[str], list[int]]:
    """Return answers, answers, and 1 where the first is better; every second pair is turned, so both occur as often."""
    total = sum(1 for _ in _better_and_worse(comparisons))
    taken = min(limit, total)
    first, second, target = [], [], []
    for index, (better, worse) in enumerate(_better_and_worse(comparisons)):
        if (index + 1) * taken // total == index * taken // total:
            continue
        turned = len(target) % 2 == 1
        first.append(worse if turned else better)
        second.append(better if turned else worse)
        target.append(0 if turned else 1)
    return first, second, target


def _better_and_worse(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, str]]:
    for comparison in comparisons:
        for label in comparison["labels"]:
            for better, worse in pairs(label["ranks"]):
                yield comparison["responses"][better], comparison["responses"][worse]
