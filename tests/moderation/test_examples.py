"""The built-in examples: what tests a moderator resembles nothing that trained it or chose its threshold."""

import re
from collections import defaultdict
from itertools import combinations

import pytest

from rlhf.moderation import features
from rlhf.moderation.examples import built_in, of_world
from rlhf.moderation.examples.example import PARTS
from rlhf.params.collect_prompts import NearDuplicates
from tests import toys
from tests.near import near_texts

CATEGORIES = toys.shrunken_params()["moderation"]["categories"]
ALL_FRAMES, ALL_PAIRS = 99, 10_000
LANGUAGES = tuple(built_in.FILES)
MOST_ALIKE = 0.35  # share of the runs of words, or of characters, that two texts have in common


def of(part: str, kinds: tuple[str, ...] = ("harmful", "look_alike", "plain")) -> list:
    """Return the texts of a part: of training all that may be drawn, and the embedded world's."""
    found = built_in.examples(part, ALL_FRAMES, CATEGORIES, combined=ALL_PAIRS)
    found += of_world.examples(1, 2000, CATEGORIES) if part == "train" else []
    return [one for one in found if one.kind in kinds]


def likeness(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second)


def runs(text: str) -> set[str]:
    """Return the runs of two words of a text; a Chinese character is a word."""
    words = features.words(text)
    return {" ".join(pair) for pair in zip(words, words[1:], strict=False)} or set(words)


def without_near(texts: list[str], params: NearDuplicates) -> list[str]:
    near = near_texts(texts, params)
    return [text for text in texts if text not in near]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_frame_act_text_or_slot_stands_in_two_parts(language):
    parts = [built_in.read(language, part) for part in PARTS]
    for one, other in combinations(parts, 2):
        for kind in ("frames", "plain", "refusals", "compliance"):
            assert not {*getattr(one, kind)} & {*getattr(other, kind)}, kind
        for kind in ("slots", "harmful", "look_alikes"):
            mine, theirs = ({line for lines in getattr(part, kind).values() for line in lines} for part in (one, other))
            assert not mine & theirs, kind


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_look_alikes_of_the_test_set_are_of_types_that_nothing_else_has(language):
    train, validation, test = ({*built_in.read(language, part).look_alikes} for part in PARTS)
    assert len(test) >= 6
    assert not test & (train | validation | {"combined", "world"})


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_look_alike_of_the_test_set_resembles_a_text_before_it(language):
    """Not one that is harmful, either: then the right answer could be looked up."""
    having = defaultdict(list)  # texts before it, by each of their runs
    for one in {one.text for part in PARTS[:2] for one in of(part) if one.language == language}:
        for run in (own := runs(one)):
            having[run].append(own)
    tested = [one.text for one in of("test", ("look_alike",)) if one.language == language]
    assert len(tested) > 30
    alike = {
        text: max((likeness(runs(text), other) for run in runs(text) for other in having[run]), default=0.0)
        for text in tested
    }
    assert {text: found for text, found in alike.items() if found > MOST_ALIKE} == {}


def test_no_text_of_the_test_set_is_a_near_duplicate_of_one_before_it():
    """By the measure with which `collect_prompts` cleans, at a threshold far below its own."""
    params = NearDuplicates(threshold=0.5, shingle_words=3, permutations=None)
    before, tested = (
        without_near([one.text for part in parts for one in of(part)], params) for parts in (PARTS[:2], PARTS[2:])
    )
    assert near_texts([*before, *tested], params) == set()


def test_acts_of_the_test_set_have_words_that_training_lacks():
    """At least one in two of its harmful acts and look-alikes has a word of its own, slots left out."""
    for language in LANGUAGES:
        train, test = (built_in.read(language, part) for part in ("train", "test"))
        known = {word for lines in (*train.harmful.values(), *train.look_alikes.values()) for line in lines
                 for word in features.words(line)}  # fmt: skip
        for texts in (test.harmful, test.look_alikes):
            acts = [re.sub(r"\{\w+\}", "", line) for lines in texts.values() for line in lines]
            new = [act for act in acts if not {*features.words(act)} <= known]
            assert len(new) > 0.6 * len(acts)


@pytest.mark.parametrize("part", PARTS)
def test_every_category_language_and_kind_has_examples_and_no_slot_is_left_open(part):
    found = of(part, ("harmful", "look_alike", "plain", "refusal", "compliance"))
    assert {one.category for one in found} == {*CATEGORIES, None}
    for language in LANGUAGES:
        own = [one for one in found if one.language == language]
        assert {one.category for one in own} == {*CATEGORIES, None}
        assert {one.kind for one in own} == {"harmful", "look_alike", "plain", "refusal", "compliance"}
    assert not [one.text for one in found if "{" in one.text or "}" in one.text]
    assert {one.language for one in found if features.language_of(features.words(one.text)) != one.language} == set()
    harmless = {"look_alike", "plain", "refusal"}
    assert all((one.category is None) == (one.kind in harmless) for one in found)


def test_harm_of_a_category_that_is_not_asked_for_is_left_out_and_never_called_harmless():
    fewer = built_in.examples("train", 3, ["theft"])
    assert {one.category for one in fewer} == {"theft", None}
    whole = {one.text: one.category for one in built_in.examples("train", 3, CATEGORIES)}
    assert all(whole[one.text] == one.category for one in fewer if one.text in whole)
    world = of_world.examples(1, 200, ["theft"])
    assert {one.category for one in world} == {"theft", None}


def test_as_many_phrasings_as_are_asked_for_and_the_same_ones_each_time():
    for phrasings in (1, 4):
        found = built_in.examples("train", phrasings, CATEGORIES)
        assert found == built_in.examples("train", phrasings, CATEGORIES)
        counts = {}
        for one in found:
            counts[one.group] = counts.get(one.group, 0) + 1
        assert max(counts.values()) == phrasings
    assert len(found) == len(set(found))


def test_the_world_gives_its_harm_its_look_alikes_and_what_is_answered():
    found = of_world.examples(1, 400, CATEGORIES)
    assert {one.kind for one in found} == {"harmful", "look_alike", "plain", "refusal", "compliance"}
    assert {one.category for one in found} == {"theft", "deceit", "violence", None}
    assert {one.language for one in found} == {"en", "zh"}
    assert len({one.text for one in found}) == len(found)
    assert "I cannot help with that." in " ".join(one.text for one in found if one.kind == "refusal")
