"""A logistic regression on TF-IDF of words and characters: one probability a category of harm.

It is fitted by scikit-learn and then needs numpy alone: nothing of it is pickled, and equal examples give equal bytes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from rlhf.moderation import features
from rlhf.moderation.examples.example import Example
from rlhf.params.moderation.section import Lengths, Trained
from rlhf.runtime.files import write_text

VOCABULARY, WEIGHTS = "vocabulary.txt", "weights.safetensors"
MAX_STEPS = 2000  # of the optimiser
DECIMALS = 4  # of what is saved: beyond these, libraries of another machine may differ


class Shape(NamedTuple):
    """How texts become vectors."""

    word_ngrams: int
    char_ngrams: tuple[int, int]
    window_words: int

    @classmethod
    def of(cls, params: Trained) -> "Shape":
        lengths: Lengths = params.char_ngrams
        return cls(params.word_ngrams, (lengths.low, lengths.high), params.window_words)


class Vector(NamedTuple):
    """The places and values of a text's features."""

    places: list[int]
    values: NDArray[np.float64]


class Classifier:
    """Judges texts by saved numbers. `categories`: of harm, in the order of its columns behind harmless."""

    def __init__(self, shape: Shape, categories: Sequence[str], vocabulary: Sequence[str], weights: "Weights"):
        self.shape, self.categories, self.vocabulary, self.weights = shape, tuple(categories), vocabulary, weights
        self._place = {feature: place for place, feature in enumerate(vocabulary)}

    def by_category(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each category [B, C]; of a long text those of its worst piece."""
        found = np.zeros((len(texts), len(self.categories)))
        for row, text in enumerate(texts):
            words = features.words(text)
            if not words:
                continue  # nothing is said
            pieces = features.windows(words, self.shape.window_words)
            probabilities = np.stack([self._probabilities(piece) for piece in pieces])
            found[row] = probabilities[probabilities.sum(axis=1).argmax()]
        return found

    def harm(self, by_category: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of any harm [B]: a text has one category."""
        return by_category.sum(axis=1)

    def _probabilities(self, words: list[str]) -> NDArray[np.float64]:
        vector = vector_of(words, self.shape, self._place, self.weights.idf)
        logits = vector.values @ self.weights.coefficients[vector.places] + self.weights.intercepts
        shares = np.exp(logits - logits.max())
        return (shares / shares.sum())[1:]

    def save(self, folder: Path) -> None:
        """Write the vocabulary, a feature a line, and the numbers."""
        write_text(folder / VOCABULARY, "".join(f"{feature}\n" for feature in self.vocabulary))
        numbers = {name: np.ascontiguousarray(value, np.float32) for name, value in self.weights._asdict().items()}
        save_file(numbers, folder / WEIGHTS)


class Weights(NamedTuple):
    idf: NDArray[np.float64]  # [F]
    coefficients: NDArray[np.float64]  # [F, 1 + C], harmless first
    intercepts: NDArray[np.float64]  # [1 + C]

    def check(self, num_features: int, num_categories: int, folder: Path) -> "Weights":
        """Return itself. Raises ValueError where the numbers are not those of so many features and categories."""
        wanted = {
            "idf": (num_features,),
            "coefficients": (num_features, 1 + num_categories),
            "intercepts": (1 + num_categories,),
        }
        for name, shape in wanted.items():
            found = getattr(self, name)
            if found.shape != shape or not np.isfinite(found).all():
                raise ValueError(f"{folder / WEIGHTS}: {name}: expected finite numbers {shape}, got {found.shape}")
        return self


def read(folder: Path, shape: Shape, categories: Sequence[str]) -> Classifier:
    """Return a classifier that was saved. Raises ValueError for files that do not belong together."""
    vocabulary = (folder / VOCABULARY).read_text(encoding="utf-8").split("\n")[:-1]
    content = load_file(folder / WEIGHTS)
    if content.keys() != set(Weights._fields):
        raise ValueError(f"{folder / WEIGHTS}: expected {', '.join(Weights._fields)}, got {', '.join(sorted(content))}")
    weights = Weights(**{name: content[name].astype(np.float64) for name in Weights._fields})
    return Classifier(shape, categories, vocabulary, weights.check(len(vocabulary), len(categories), folder))


def vector_of(words: list[str], shape: Shape, place: dict[str, int], idf: NDArray[np.float64]) -> Vector:
    """Return (1 + log count) * idf of the known features; runs of words and of characters have length 1 each."""
    low, high = shape.char_ngrams
    places, values = list[int](), list[NDArray[np.float64]]()
    for found in (features.of_words(words, shape.word_ngrams), features.of_characters(words, low, high)):
        counted = Counter(place[feature] for feature in found if feature in place)
        own = np.array([1 + np.log(count) for count in counted.values()]) * idf[list(counted)]
        places += counted
        values.append(own / (np.linalg.norm(own) or 1.0))
    return Vector(places, np.concatenate(values))


def fit(examples: Sequence[Example], categories: Sequence[str], params: Trained) -> Classifier:
    """Return a classifier of examples. Raises ValueError for a category that none of them has."""
    lacking = [name for name in categories if all(example.category != name for example in examples)]
    if lacking:
        raise ValueError(
            f"moderation.categories: no example of '{lacking[0]}' to learn from; add some to moderation.files, or "
            "take it out"
        )
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression  # here, as it takes over a second

    shape = Shape.of(params)
    texts = [features.words(example.text) for example in examples]
    vocabulary, idf = _vocabulary(texts, shape, params)
    place = {feature: number for number, feature in enumerate(vocabulary)}
    vectors = [vector_of(words, shape, place, idf) for words in texts]
    ends = np.cumsum([0, *(len(vector.places) for vector in vectors)])
    columns = [column for vector in vectors for column in vector.places]
    values = np.concatenate([vector.values for vector in vectors])
    matrix = csr_matrix((values, columns, ends), shape=(len(texts), len(vocabulary)))
    classes = {name: number for number, name in enumerate((None, *categories))}
    target = [classes[example.category] for example in examples]
    model = LogisticRegression(C=params.inverse_regularisation, max_iter=MAX_STEPS)
    model.fit(matrix, target)
    coefficients, intercepts = model.coef_.T, model.intercept_
    if len(categories) == 1:  # scikit-learn keeps one column of two
        coefficients, intercepts = (np.concatenate([-part, part], axis=-1) / 2 for part in (coefficients, intercepts))
    weights = Weights(*(np.round(part, DECIMALS).astype(np.float32).astype(np.float64)
                        for part in (idf, coefficients, intercepts)))  # fmt: skip
    return Classifier(shape, categories, vocabulary, weights)


def _vocabulary(texts: Iterable[list[str]], shape: Shape, params: Trained) -> tuple[list[str], NDArray[np.float64]]:
    """Return the features that enough texts have, the most frequent ones, and their idf: log((1+N)/(1+n)) + 1."""
    counts, num_texts = Counter[str](), 0
    low, high = shape.char_ngrams
    for words in texts:
        counts.update({*features.of_words(words, shape.word_ngrams), *features.of_characters(words, low, high)})
        num_texts += 1
    frequent = [(-count, feature) for feature, count in counts.items() if count >= params.min_texts]
    vocabulary = sorted(feature for _, feature in sorted(frequent)[: params.max_features])
    if not vocabulary:
        raise ValueError(f"moderation.classifier.min_texts: no feature stands in {params.min_texts} texts; lower it")
    num_with = np.array([counts[feature] for feature in vocabulary], dtype=np.float64)
    return vocabulary, np.log((1 + num_texts) / (1 + num_with)) + 1
