"""What a bag of words can tell of labelers' choices: the baseline that a reward model must beat."""

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from stages.core.records import pairs

WORD = r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]"  # a Chinese character is a word, as it is to our tokenizers


def accuracy(training: list[dict], held_out: list[dict], max_pairs: int = 20_000) -> float:
    """Return the held-out pair accuracy of a logistic regression on differences of TF-IDF vectors of answers.

    Features are words and word pairs of the answer alone.
    """
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, max_features=50_000, token_pattern=WORD)
    vectors.fit([response for comparison in training for response in comparison["responses"]])
    seen, target = _differences(vectors, training, max_pairs)
    if len(set(target)) < 2:
        return 0.5
    model = LogisticRegression(max_iter=1000).fit(seen, target)
    unseen, truth = _differences(vectors, held_out, max_pairs)
    return float(model.score(unseen, truth))


def _differences(vectors: TfidfVectorizer, comparisons: list[dict], max_pairs: int):
    """Return (feature differences [M, F], labels [M]); every second pair is turned, so that neither label is rarer."""
    first, second, target = [], [], []
    for comparison in comparisons:
        for label in comparison["labels"]:
            for better, worse in pairs(label["ranks"]):
                turned = len(target) % 2 == 1
                a, b = (worse, better) if turned else (better, worse)
                first.append(comparison["responses"][a])
                second.append(comparison["responses"][b])
                target.append(0 if turned else 1)
    first, second, target = first[:max_pairs], second[:max_pairs], target[:max_pairs]
    return vectors.transform(first) - vectors.transform(second), target
