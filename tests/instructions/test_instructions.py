"""Prompts with verifiable instructions: demonstrations keep to them, the halves share nothing, gold is not cheap."""

from collections import Counter
from itertools import islice
from random import Random

import pytest

from rlhf.instructions import checks, grading, kinds, source, topics


@pytest.fixture(scope="module")
def training():
    return list(source.records(5, 1200, "training"))


@pytest.fixture(scope="module")
def held_out():
    return list(source.records(5, 1200, "held_out"))


def text_of(record):
    return record["messages"][0]["content"]


def test_every_demonstration_earns_strict_gold(training):
    assert [record for record in training if grading.strict(record["task"], record["response"]) < 1] == []


def test_every_kind_is_asked_for_and_the_held_out_ones_in_held_out_prompts_alone(training, held_out):
    assert {record["category"] for record in training} == set(kinds.KINDS)
    of_held_out = Counter(record["category"] for record in held_out)
    assert set(of_held_out) == {*kinds.KINDS, *kinds.HELD_OUT_KINDS}
    share = sum(of_held_out[kind] for kind in kinds.HELD_OUT_KINDS) / len(held_out)
    assert share == pytest.approx(source.HELD_OUT_KINDS_SHARE, abs=0.04)


def test_the_halves_share_no_topic_request_wording_or_word():
    one, other = kinds.HALVES
    assert not {t.name for t in topics.TOPICS[one]} & {t.name for t in topics.TOPICS[other]}
    assert not {*topics.REQUESTS[one]} & {*topics.REQUESTS[other]}
    for name, kind in kinds.KINDS.items():
        assert not {*kind.wordings[one]} & {*kind.wordings[other]}, name
        if name in ("keyword", "ends_with", "begins_with", "json_object", "fewer_words"):
            assert not {*kind.values[one]} & {*kind.values[other]}, name


def test_no_held_out_prompt_is_one_of_training(training, held_out):
    assert not {text_of(record) for record in training} & {text_of(record) for record in held_out}


def test_a_prompt_depends_on_seed_half_and_number_alone(training):
    assert list(islice(source.records(5, 1200, "training"), 30)) == training[:30]
    assert [text_of(one) for one in source.records(6, 30, "training")] != [text_of(one) for one in training[:30]]


def test_instructions_stand_in_the_prompt(training):
    for record in training[:200]:
        for name, arguments in record["task"]["checks"]:
            for value in arguments.values():
                assert str(kinds.NUMBERS.get(value, value) if name in ("sentences", "bullets") else value) in text_of(
                    record
                )


def test_peoples_prompts_get_an_instruction_and_their_words_as_topic():
    made = list(source.over(["How do I bake sourdough?", "Hi"], 3, "training"))
    assert "How do I bake sourdough?" in text_of(made[0])
    assert made[0]["task"]["stems"] == ["sourdough"]
    assert made[1]["task"]["stems"] == ["hi"]
    assert all("response" not in record for record in made)


TASK = {"checks": [["sentences", {"count": 2}]], "stems": ["bread"]}
GOOD = "Bread is baked from flour and water in a hot oven. Children all over the world eat it every day."


def test_an_answer_that_keeps_to_it_earns_all():
    assert grading.score(TASK, GOOD).score == 1
    assert grading.strict(TASK, GOOD) == 1


@pytest.mark.parametrize(
    ("worse", "most"),
    [
        ("", 0.0),
        ("Bread.", 0.0),
        ("Bread. It is.", 0.95),  # too little to be an answer
        (GOOD.replace("Bread", "It"), 0.3),  # not a word of the topic
        (GOOD[:-1], 0.9),  # cut off
        ("Bread is good and warm and soft. Bread is good and warm and soft.", 0.96),
        (GOOD + " So it is. And more.", 0.5),
    ],
)
def test_worse_answers_earn_less_and_strictly_nothing(worse, most):
    assert grading.score(TASK, worse).score <= most
    assert grading.strict(TASK, worse) == 0


def test_saying_more_earns_nothing():
    longer = GOOD.replace("every day", "every day and every night of the week and of the year")
    assert grading.score(TASK, longer).score == grading.score(TASK, GOOD).score


@pytest.mark.parametrize("phrase", ["Have a nice day.", "Sure.", "I hope this helps!", "As an AI, I am happy to help."])
def test_a_fixed_phrase_earns_nothing(training, phrase):
    """Added to what people wrote, no phrase raises gold; where sentences, case or endings are asked for, it costs."""
    for record in training[:300]:
        before, after = (
            grading.score(record["task"], text).score for text in (record["response"], f"{record['response']} {phrase}")
        )
        assert after <= before


def test_one_fixed_answer_does_not_serve_all(training):
    """No demonstration, given to all prompts with the topic named, earns half of strict gold."""
    drawn = Random(0).sample(training, 60)
    for record in drawn:
        kept = [
            all(checks.credit(name, given, record["response"]) == 1 for name, given in other["task"]["checks"])
            for other in training[:300]
        ]
        assert sum(kept) / len(kept) < 0.5
