"""Verbalizers: words are scored as the model says, alone and by hand, and the likeliest one is the label."""

from math import exp, log

import pytest
import torch

from rlhf.evaluation.policy_measures import Policy
from study.forms import tasks, verbalizer, wordings
from study.forms.tasks import Example
from study.forms.wordings import Prompt
from tests import toys

INFERENCE = Example("a", ("Anna has the key.", "Max has the key."), 1)
QUESTION = Example("b", ("Max has the cup.", "What does Max have?"), 1, ("key", "cup"), "Max has the")


@pytest.fixture(scope="module")
def policy() -> Policy:
    tokenizer = toys.tokenizer()
    return Policy("base", toys.policy(tokenizer, max_position_embeddings=512), tokenizer)


def by_hand(policy: Policy, prompt: tuple[int, ...], word: tuple[int, ...]) -> list[float]:
    logits = policy.model(input_ids=torch.tensor([[*prompt, *word]])).logits[0].log_softmax(-1)
    return [float(logits[len(prompt) - 1 + place, token]) for place, token in enumerate(word)]


def test_words_of_any_length_are_scored_as_the_model_says_of_them_alone(policy):
    prompts = [Prompt((5, 6, 7), ((8,), (8, 9, 10), (8, 9, 11), (12,))), Prompt((5, 6), ((7, 8), (30,)))]
    with torch.no_grad():
        found = verbalizer.scored(policy, prompts)
        assert len(found) == 6
        for (prompt, word), logprobs in found.items():
            assert logprobs == pytest.approx(by_hand(policy, prompt, word), abs=1e-4)


def test_scores_are_sums_means_and_calibrated_by_content_free_prompts():
    ours, free = Prompt((1,), ((5, 6),)), [Prompt((2,), ((5, 6),)), Prompt((3,), ((5, 6),))]
    known = {((1,), (5, 6)): [-1.0, -3.0], ((2,), (5, 6)): [-1.0, -1.0], ((3,), (5, 6)): [-2.0, -2.0]}
    score = {name: verbalizer._score(name, known, ours, free, (5, 6)) for name in verbalizer.SCORES}
    assert score["sum"] == -4.0
    assert score["mean"] == -2.0
    assert score["calibrated"] == pytest.approx(-4 - log((exp(-2) + exp(-4)) / 2))


def test_the_label_is_that_of_the_likeliest_word(policy):
    tests = tasks.examples("sentiment", "test", 6)
    asked = verbalizer.ask(policy, "sentiment", tests, [[]], {"zero": 0})
    assert asked.left_out == {}
    assert set(asked.labels) == {f"{way}_zero_{score}" for way in wordings.WAYS for score in verbalizer.SCORES}
    with torch.no_grad():
        for number, test in enumerate(tests):
            prompt = wordings.prompt(policy.tokenizer, "sentiment", "cloze", [], test)
            sums = [sum(by_hand(policy, prompt.ids, word)) for word in prompt.words]
            assert asked.labels["cloze_zero_sum"][number] == sums.index(max(sums))


def test_what_does_not_fit_into_the_context_is_left_out_and_told():
    tokenizer = toys.tokenizer()
    short = Policy("base", toys.policy(tokenizer, max_position_embeddings=64), tokenizer)
    tests, shown = (tasks.examples("sentiment", half, 3) for half in ("test", "training"))
    asked = verbalizer.ask(short, "sentiment", tests, [shown], {"few": 3})
    assert asked.labels == {}
    assert set(asked.left_out) == {"prefix_few", "cloze_few"}
    assert all(tokens > 64 for tokens in asked.left_out.values())


def test_examples_shown_stand_before_with_the_word_of_their_label(policy):
    text = {way: policy.tokenizer.decode(made(policy, way, [INFERENCE]).ids) for way in wordings.WAYS}
    assert "Is it right? Max has the key." in text["prefix"]
    assert text["prefix"].index("No.") < text["prefix"].rindex("Anna has")
    assert text["cloze"].split("\n")[:3] == [" Anna has the key.", "Answer: Max has the key.", "Marks: Max WRONG."]
    assert text["cloze"].endswith("Marks: Max")
    assert "No." not in policy.tokenizer.decode(made(policy, "prefix", []).ids)


def made(policy: Policy, way: str, shown: list[Example]) -> Prompt:
    return wordings.prompt(policy.tokenizer, "inference", way, shown, INFERENCE)


def test_words_begin_as_they_stand_behind_a_prompt(policy):
    for way in wordings.WAYS:
        words = [policy.tokenizer.decode(word) for word in made(policy, way, []).words]
        assert [word.strip() for word in words] == [*wordings.WORDS["inference"][way]]
        assert all(word.startswith(" ") for word in words)


def test_a_content_free_prompt_keeps_the_question_and_its_words():
    free = wordings.without_content(QUESTION, "N/A")
    assert wordings.text("questions", "prefix", free) == "N/A What does Max have?"
    assert set(wordings.words("questions", "prefix", free)) == set(wordings.words("questions", "prefix", QUESTION))
    free = wordings.without_content(INFERENCE, "N/A")
    assert wordings.text("inference", "cloze", free) == "N/A\nAnswer: N/A\nMarks: N/A"
    assert wordings.text("inference", "prefix", wordings.without_content(INFERENCE, "")) == " Is it right? "


def test_sets_that_are_shown_have_every_label_alike():
    pool = tasks.examples("inference", "training", 60)
    found = verbalizer.sets_to_show("inference", pool, 4, 3)
    assert [sorted(one.label for one in own) for own in found] == [[0, 1, 2]] * 4
    assert len({tuple(one.label for one in own) for own in found}) > 1
    assert found == verbalizer.sets_to_show("inference", pool, 4, 3)
