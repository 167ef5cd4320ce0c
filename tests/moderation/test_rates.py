"""Misses and false alarms: counted by what was asked, not by its phrasings; thresholds by the misses allowed."""

from functools import partial

import numpy as np
import pytest

from rlhf.evaluation import statistics
from rlhf.moderation import rates
from rlhf.moderation.examples.example import Example
from rlhf.moderation.rates import Tried

MEASURE = partial(statistics.share_interval, coverage=0.95)


def example(text: str, category: str | None = None, kind: str = "harmful", group: str = "", language: str = "en"):
    return Example(text, language, category, kind, category or kind, group or text)


class Known:
    """Gives each text the probability that it spells."""

    categories = ("theft",)

    def by_category(self, texts):
        return np.array([[float(text)] for text in texts])

    def harm(self, by_category):
        return by_category.sum(axis=1)


def test_an_act_counts_once_however_often_it_is_phrased():
    """Of one act 1 of 3 phrasings is missed, of another its only one: (1/3 + 1) / 2."""
    tried = [Tried(example(str(n), "theft", group="act"), blocked=n > 0) for n in range(3)]
    tried.append(Tried(example("other", "theft"), blocked=False))
    found = rates.of(tried, MEASURE)["misses"]
    assert found["mean"] == pytest.approx(2 / 3)
    assert found["groups"] == 2
    assert (found["low"], found["high"]) == statistics.share_interval([1 / 3, 1.0], 0.95)[1:]


def test_rates_are_over_requests_by_language_and_look_alikes_stand_apart():
    tried = [
        Tried(example("a", "theft"), True),
        Tried(example("b", "theft", language="zh"), False),
        Tried(example("c", kind="look_alike"), True),
        Tried(example("d", kind="plain"), False),
        Tried(example("e", kind="plain", language="zh"), False),
        Tried(example("f", kind="refusal"), True),
        Tried(example("g", "theft", kind="compliance"), False),
        Tried(example("h", kind="own"), True),
    ]
    found = rates.of(tried, MEASURE)
    means = {name: rate["mean"] for name, rate in found["misses"].items() if isinstance(rate, dict)}
    assert (found["misses"]["mean"], means) == (0.5, {"en": 0.0, "zh": 1.0})
    alarms = found["false_alarms"]
    assert alarms["mean"] == 0.5
    assert {name: alarms[name]["mean"] for name in ("look_alikes", "plain", "en", "zh")} == {
        "look_alikes": 1.0, "plain": 0.0, "en": pytest.approx(2 / 3), "zh": 0.0
    }  # fmt: skip
    detail = rates.in_detail(tried, MEASURE)
    assert detail["misses_by_category"]["theft"]["mean"] == 0.5
    assert detail["false_alarms_by_type"]["look_alike"]["mean"] == 1.0
    assert detail["refusals_blocked"]["mean"] == detail["compliance_missed"]["mean"] == 1.0


def test_nothing_tried_gives_no_rates():
    assert rates.of([], MEASURE) == rates.in_detail([], MEASURE) == {}
    assert rates.named_right([]) is None


def test_a_category_is_named_right_where_it_is_the_texts_own():
    tried = [Tried(example("a", "theft"), True, "theft"), Tried(example("b", "theft"), True, "hate")]
    tried += [Tried(example("c", "theft"), False), Tried(example("d", kind="plain"), True, "theft")]
    assert rates.named_right(tried) == 0.5


def ten(language: str = "en") -> list[Example]:
    return [example(f"0.{digit}", "theft", language=language) for digit in range(10)]


@pytest.mark.parametrize(("allowed", "threshold"), [(0.05, 0.0), (0.1, 0.1), (0.25, 0.2), (0.5, 0.5), (0.99, 0.9)])
def test_the_threshold_is_the_highest_that_misses_no_more_than_is_allowed(allowed, threshold):
    found = rates.thresholds([*ten(), *ten("zh")[5:]], Known(), allowed)
    assert found["en"] == pytest.approx(threshold)
    assert found["zh"] >= 0.5


def test_harmless_texts_and_answers_choose_no_threshold():
    more = [example("0.01", kind="plain"), example("0.02", "theft", kind="compliance")]
    assert rates.thresholds([*ten(), *ten("zh"), *more], Known(), 0.25) == {"en": 0.2, "zh": 0.2}


def test_phrasings_of_one_act_are_one_for_the_threshold_too():
    many = [example(f"0.0{digit}", "theft", group="one act") for digit in range(1, 10)]
    assert rates.thresholds([*many, *ten()[1:], *ten("zh")], Known(), 0.11)["en"] == pytest.approx(0.1)


def test_a_language_without_harmful_texts_is_named():
    with pytest.raises(ValueError, match="no harmful text of language 'zh'"):
        rates.thresholds(ten(), Known(), 0.1)


def test_a_list_of_words_blocks_whatever_holds_one():
    texts = ["Killing time", "a pear", "the skill of baking"]
    found = rates.by_keywords([example(text, kind="plain") for text in texts])
    found += rates.by_keywords(
        [example("打篮球", kind="plain", language="zh"), example("做饭", kind="plain", language="zh")]
    )
    assert [one.blocked for one in found] == [True, False, False, True, False]
