"""Heads: laid out as GPT-1 has them, the probe leaves the backbone, the tuned head learns what is to be learned."""

import pytest
import torch

from rlhf.evaluation.policy_measures import Policy
from study.forms import heads, tasks
from study.forms.tasks import Example
from study.params import Forms
from tests import toys

SETTINGS = Forms(
    training=1, test=1, stories=1, few_shots=2, shown_sets=1, epochs=12, batch_size=8, learning_rate=3e-3, lm_coef=0.5
)


@pytest.fixture(scope="module")
def policy() -> Policy:
    tokenizer = toys.tokenizer()
    return Policy("base", toys.policy(tokenizer, "qwen2", max_position_embeddings=256), tokenizer)


def text(policy: Policy, row: list[int]) -> str:
    new = {-1 - heads.START: "[S]", -1 - heads.DELIMITER: "[D]", -1 - heads.EXTRACT: "[E]"}
    return "".join(new.get(token) or policy.tokenizer.decode([token]) for token in row)


def test_tasks_are_laid_out_as_in_figure_1(policy):
    laid = {
        name: heads.layout(policy.tokenizer, name, [example])
        for name, example in {
            "sentiment": Example("", ("Good.",), 0),
            "inference": Example("", ("One.", "Two."), 0),
            "similarity": Example("", ("One.", "Two."), 0),
            "questions": Example("", ("One.", "Two?"), 0, ("key", "map", "cup"), "x"),
        }.items()
    }
    assert {name: [text(policy, row) for row in own.rows] for name, own in laid.items()} == {
        "sentiment": ["[S] Good.[E]"],
        "inference": ["[S] One.[D] Two.[E]"],
        "similarity": ["[S] One.[D] Two.[E]", "[S] Two.[D] One.[E]"],
        "questions": [f"[S] One. Two?[D] {answer}[E]" for answer in ("key", "map", "cup")],
    }
    assert {name: (own.options, own.orders) for name, own in laid.items()} == {
        "sentiment": (1, 1), "inference": (1, 1), "similarity": (1, 2), "questions": (3, 1)
    }  # fmt: skip


def told_apart(count: int) -> list[Example]:
    """Examples whose label is their word, about which every state tells."""
    words = ("red fox red", "blue mat blue")
    return [Example("", (f"{words[number % 2]} {toys.WORDS[number % 5]}.",), number % 2) for number in range(count)]


@pytest.mark.parametrize("kind", ["probe", "tuned"])
def test_both_heads_learn_a_plain_task_and_leave_the_policy(policy, kind):
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    training, tests = told_apart(40), told_apart(10)
    found = (
        heads.probe(policy, "sentiment", training, tests)
        if kind == "probe"
        else heads.tuned(policy, "sentiment", training, tests, SETTINGS)
    )
    assert found == [test.label for test in tests]
    after = policy.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_question_has_as_many_scores_as_answers_and_similarity_no_order(policy):
    model = heads._Tuned(policy.model, "questions").eval()
    questions = tasks.examples("questions", "test", 3)
    with torch.no_grad():
        scores = model(heads.layout(policy.tokenizer, "questions", questions))[0]
        turned = [one._replace(answers=one.answers[::-1]) for one in questions]
        other = model(heads.layout(policy.tokenizer, "questions", turned))[0]
        assert scores.shape == (3, 3)
        assert torch.allclose(scores.flip(1), other, atol=1e-5)
        pairs = tasks.examples("similarity", "test", 3)
        model = heads._Tuned(policy.model, "similarity").eval()
        one = model(heads.layout(policy.tokenizer, "similarity", pairs))[0]
        swapped = [pair._replace(parts=pair.parts[::-1]) for pair in pairs]
        assert torch.allclose(one, model(heads.layout(policy.tokenizer, "similarity", swapped))[0], atol=1e-5)
        assert not torch.allclose(one[0], one[1], atol=1e-5)


def test_the_language_models_loss_is_that_of_texts_alone(policy):
    """A row of one text: the loss is the mean of -log p of its tokens, each behind all before it, start among them."""
    model = heads._Tuned(policy.model, "sentiment").eval()
    laid = heads.layout(policy.tokenizer, "sentiment", [Example("", ("The red fox.",), 0)])
    ids = laid.rows[0][1:-1]
    with torch.no_grad():
        loss = model(laid)[1]
        embedded = model.model.get_input_embeddings()(torch.tensor([ids]))
        whole = torch.cat([model.new[heads.START][None, None], embedded], dim=1)
        logits = model.model(inputs_embeds=whole).logits[0, :-1].log_softmax(-1)
    expected = -logits[torch.arange(len(ids)), torch.tensor(ids)].mean()
    assert float(loss) == pytest.approx(float(expected), abs=1e-4)
