"""The classifier of words and characters: scikit-learn's numbers without scikit-learn, and what it sees of a text."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rlhf.moderation import classifier, features
from rlhf.moderation.classifier import Shape
from rlhf.moderation.examples.example import Example
from rlhf.params.base import parse
from rlhf.params.moderation.section import Trained
from tests import toys

BAD, GOOD = (
    ("steal the red bike", "steal a car now", "rob the old bank"),
    ("paint the red bike", "wash a car now", "你好"),
)
CATEGORIES = ["theft", "violence"]


def params(**changes) -> Trained:
    given = toys.shrunken_params()["moderation"]["classifier"] | {"min_texts": 1, "max_features": 5000} | changes
    return parse(Trained, given, "moderation.classifier")


def examples() -> list[Example]:
    harmful = [Example(text, "en", "theft", "harmful", "theft", text) for text in BAD]
    harmful += [Example(text, "zh", "violence", "harmful", "violence", text) for text in ("打人", "我想打人")]
    return harmful + [Example(text, "en", None, "plain", "plain", text) for text in GOOD]


def test_its_probabilities_are_those_of_scikit_learns_own_vectoriser_and_regression():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import FeatureUnion, make_pipeline

    chosen = params(char_ngrams={"low": 2, "high": 3}, word_ngrams=2)
    fitted = classifier.fit(examples(), CATEGORIES, chosen)
    runs = {
        "words": lambda text: [*features.of_words(features.words(text), 2)],
        "characters": lambda text: [*features.of_characters(features.words(text), 2, 3)],
    }
    union = FeatureUnion([(name, TfidfVectorizer(analyzer=one, sublinear_tf=True)) for name, one in runs.items()])
    model = make_pipeline(union, LogisticRegression(C=chosen.inverse_regularisation, max_iter=2000))
    model.fit([one.text for one in examples()], [one.category or "" for one in examples()])
    texts = ["steal the bank", "paint a bank", "打人", "nothing of it", "steal steal steal a car"]
    expected = model.predict_proba(texts)  # "", theft, violence
    np.testing.assert_allclose(fitted.by_category(texts), expected[:, 1:], atol=2e-3)
    np.testing.assert_allclose(fitted.harm(fitted.by_category(texts)), 1 - expected[:, 0], atol=2e-3)


def test_one_category_alone_has_a_probability_too():
    harm = classifier.fit(examples()[:3] + examples()[5:], ["theft"], params())
    found = harm.by_category([*BAD, *GOOD])[:, 0]
    assert found[:3].min() > 0.5 > found[3:].max()


def test_saved_twice_it_has_the_same_bytes_and_read_again_it_judges_alike(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        classifier.fit(examples(), CATEGORIES, params()).save(tmp_path / name)
    assert toys.file_bytes(tmp_path / "one") == toys.file_bytes(tmp_path / "two")
    fitted = classifier.fit(examples(), CATEGORIES, params())
    again = classifier.read(tmp_path / "one", Shape.of(params()), CATEGORIES)
    texts = [*BAD, *GOOD, "打人", ""]
    assert again.by_category(texts).tolist() == fitted.by_category(texts).tolist()


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    classifier.fit(examples(), CATEGORIES, params()).save(tmp_path)
    with pytest.raises(ValueError, match=r"weights\.safetensors: coefficients: expected finite numbers \(\d+, 4\)"):
        classifier.read(tmp_path, Shape.of(params()), [*CATEGORIES, "hate"])
    weights = load_file(tmp_path / classifier.WEIGHTS)
    save_file(weights | {"idf": np.full_like(weights["idf"], np.nan)}, tmp_path / classifier.WEIGHTS)
    with pytest.raises(ValueError, match="idf: expected finite numbers"):
        classifier.read(tmp_path, Shape.of(params()), CATEGORIES)


def test_a_category_without_an_example_is_named():
    with pytest.raises(ValueError, match="no example of 'hate' to learn from; add some to moderation.files"):
        classifier.fit(examples(), [*CATEGORIES, "hate"], params())


def test_features_are_counted_as_params_say():
    few = classifier.fit(examples(), CATEGORIES, params(min_texts=2))
    assert {feature for feature in few.vocabulary if feature.startswith("w ")} >= {"w steal", "w red bike", "w 打 人"}
    assert "w rob" not in few.vocabulary
    fewest = classifier.fit(examples(), CATEGORIES, params(max_features=100, char_ngrams={"low": 1, "high": 6}))
    assert len(fewest.vocabulary) == 100
    words = classifier.fit(examples(), CATEGORIES, params(word_ngrams=1)).vocabulary
    assert not [feature for feature in words if feature.startswith("w ") and " " in feature[2:]]
    runs = classifier.fit(examples(), CATEGORIES, params(char_ngrams={"low": 4, "high": 4})).vocabulary
    assert {len(feature) for feature in runs if feature.startswith("c")} == {5}
    with pytest.raises(ValueError, match="min_texts: no feature stands in 9 texts"):
        classifier.fit(examples(), CATEGORIES, params(min_texts=9))


def test_less_regularisation_fits_the_examples_more_closely():
    loose, tight = (
        classifier.fit(examples(), CATEGORIES, params(inverse_regularisation=value)).by_category(BAD)[:, 0].min()
        for value in (0.1, 100.0)
    )
    assert tight > loose


@pytest.mark.parametrize("text", ["ＳＴＥＡＬ the red bike", "ste\u200bal the red bike", "STEAL   the red\nbike!"])
def test_width_case_spacing_and_what_is_not_seen_hide_nothing(text):
    fitted = classifier.fit(examples(), CATEGORIES, params())
    assert fitted.by_category([text]).tolist() == fitted.by_category(["steal the red bike"]).tolist()


def test_what_stands_in_a_long_text_is_not_drowned():
    fitted = classifier.fit(examples(), CATEGORIES, params(window_words=8))
    long = " ".join(["wash a car now"] * 40)
    alone, hidden, without = fitted.harm(fitted.by_category([BAD[1], f"{long} {BAD[1]} {long}", long])).tolist()
    assert without < 0.5 < hidden
    assert hidden > 0.6 * alone


def test_a_text_without_words_is_harmless():
    fitted = classifier.fit(examples(), CATEGORIES, params())
    assert fitted.by_category(["", " \n", "!?"]).tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize("count", [1, 7, 8, 9, 23, 24, 25])
def test_windows_hold_every_word_and_none_is_longer_than_allowed(count):
    words = [str(number) for number in range(count)]
    pieces = features.windows(words, 8)
    assert sorted({word for piece in pieces for word in piece}, key=int) == words
    assert max(len(piece) for piece in pieces) <= 8
    if count > 8:
        assert all(set(one) & set(other) for one, other in zip(pieces, pieces[1:], strict=False))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I bake?", "en"),
        ("怎么做？", "zh"),
        ("用 Python 写一个 test", "zh"),
        ("the word 你 in English text here", "en"),
        ("", "en"),
        ("Comment faire du pain ?", "en"),
    ],
)
def test_a_text_is_chinese_where_enough_of_it_is(text, language):
    assert features.language_of(features.words(text)) == language
