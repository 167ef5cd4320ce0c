"""What a loss on text rests on: how many documents, and what the frequencies of tokens alone would cost."""

from math import log

import pytest

from rlhf.evaluation import held_out_text, policy_measures
from rlhf.params.base import parse
from rlhf.params.evaluate import Evaluate
from rlhf.tokens import tokenizer
from rlhf.training import language_modelling
from tests import toys
from tests.evaluation import invented


@pytest.fixture(scope="module")
def made():
    return tokenizer.train(list(toys.TEXTS), 300, 256)


def settings(document_tokens: int, sequence_tokens: int) -> Evaluate:
    changes = {"document_tokens": document_tokens, "sequence_tokens": sequence_tokens}
    return parse(Evaluate, invented.SETTINGS | changes, "evaluate")


def test_tokens_that_are_equally_frequent_cost_the_logarithm_of_their_number():
    ids = list(range(8)) * 1000
    assert held_out_text.unigram_entropy(ids) == pytest.approx(log(8) + 7 / 16_000)
    assert held_out_text.unigram_entropy([5] * 100) == 0
    assert held_out_text.unigram_entropy([0, 0, 0, 1]) == pytest.approx(-0.75 * log(0.75) - 0.25 * log(0.25) + 1 / 8)


def test_it_describes_the_tokens_that_the_loss_is_measured_on(made):
    texts = [*toys.TEXTS] * 4
    whole = language_modelling.token_stream(made, texts)
    read = language_modelling.sequences(whole[:100], 16).flatten().tolist()
    assert len(read) == 96 < len(whole)
    found = held_out_text.describe(made, texts, settings(100, 16))
    assert found.unigram_entropy == held_out_text.unigram_entropy(read)
    assert held_out_text.describe(made, texts[::-1], settings(100, 16)) != found


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_document_counts_where_one_of_its_tokens_is_read(made, beyond):
    texts = ["one and the same text"] * 5
    length = len(language_modelling.token_stream(made, texts[:1]))
    assert length >= 8
    assert (
        held_out_text.describe(made, texts, settings(max(16, 2 * length + beyond), 2 * length + beyond)).documents
        == 2 + beyond
    )
    assert held_out_text.describe(made, texts[:2], settings(1000, 8)).documents == 2
    assert (
        held_out_text.describe(made, texts, settings(3 * length - 1, 2 * length)).documents == 2
    )  # the rest is cut off


def test_one_long_document_is_one_however_many_follow_it(made):
    texts = ["one and the same text " * 40, *toys.TEXTS]
    assert held_out_text.describe(made, texts, settings(64, 32)).documents == 1


def test_text_shorter_than_a_sequence_is_described_as_little_as_its_loss_is_measured(made):
    assert held_out_text.describe(made, ["red"], settings(400, 64)) is None
    assert held_out_text.describe(made, [], settings(400, 64)) is None
    policy = policy_measures.Policy("base", None, made)
    scorers = type("Scorers", (), {"params": type("Params", (), {"evaluate": settings(400, 64)})})
    assert policy_measures.loss_on_documents(policy, ["red"], scorers) is None
