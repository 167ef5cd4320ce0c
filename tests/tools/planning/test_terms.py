"""Bytes of each term, by hand."""

import pytest

from rlhf.engine.memory import MOST_LOGITS
from tests.tools.planning.shapes import SMALL
from tools.planning import terms
from tools.planning.terms import NOTHING, Held, Micro

MICRO = Micro(tokens=5, read=7, scored=3, low=4, recomputed=False, adapted=False, fused=False)
# norms 2 x 8 floats; 8 + (8 + 2 x 4) + 8 + 2 x 8 and 4 x 16 numbers; 2 heads' weights over 7 tokens
LAYER = 5 * (64 + 48 * 4 + 64 * 4 + 2 * 7 * 4)


def test_activations_of_a_layer():
    assert terms.layer_bytes(SMALL, MICRO) == LAYER
    assert terms.layer_bytes(SMALL, MICRO._replace(fused=True)) == LAYER - 5 * 56
    assert terms.layer_bytes(SMALL, MICRO._replace(low=2)) == LAYER - 5 * (48 + 64) * 2
    plain = SMALL._replace(gated=False)
    assert terms.layer_bytes(plain, MICRO) == 5 * (64 + 40 * 4 + 16 * 12 + 56)
    assert terms.layer_bytes(SMALL._replace(ours=False), MICRO) == LAYER + 5 * 56


def test_activations_of_a_model():
    states = 5 * 8 * 4
    embedded = 10 * 8 * 4
    assert terms.activations(SMALL, MICRO) == 2 * LAYER + 4 * states + embedded
    assert terms.activations(SMALL, MICRO._replace(adapted=True)) == 2 * LAYER + 4 * states
    assert terms.activations(SMALL, MICRO._replace(recomputed=True)) == 2 * states + LAYER + 4 * states + embedded


def test_logits_come_some_rows_at_a_time():
    assert terms.logits(SMALL, MICRO) == 3 * 10 * 8 + 80 * 4
    assert terms.logits(SMALL, MICRO._replace(adapted=True)) == 3 * 10 * 8
    assert terms.logits(SMALL, MICRO._replace(low=2)) == 3 * 10 * 10 + 80 * 6
    assert terms.logits(SMALL, MICRO._replace(scored=0)) == 0
    most = MOST_LOGITS // 10
    assert terms.logits(SMALL, MICRO._replace(scored=10 * most)) == most * 10 * 8 + 80 * 4


def test_keys_and_values_of_answers():
    one_token = 2 * 2 * 4 * 4  # two layers, keys and values, 4 floats each
    assert terms.cache(SMALL, tokens=54) == pytest.approx(terms.CHOSEN * 54 * one_token)


def test_a_decoder_copies_what_it_lowers_or_joins():
    assert terms.decoder(SMALL, low=2, adapted=False) == 2 * SMALL.policy()
    assert terms.decoder(SMALL, low=4, adapted=False) == 2 * 4 * (8 + 8) * 8
    assert terms.decoder(SMALL, low=4, adapted=True) == 2 * 4 * 576
    assert terms.decoder(SMALL._replace(gated=False), low=4, adapted=False) == 0


def test_learning_and_writing_answers_take_turns():
    held = Held(1, 20, 4, 8, 300, 16, 100, 40, 2, program=1000)
    assert held.standing == 1 + 4 + 8 + 2 + 1000
    assert held.total == held.standing + 320 + 16
    assert held._replace(cache=1000).total == held.standing + 1040 + 16


def test_shards_divide_what_stands_and_not_what_a_part_takes():
    held = NOTHING._replace(weights=800.0, gradients=80.0, optimiser=1600.0, activations=7.0, program=100.0)
    found = terms.sharded(held, SMALL, 8)
    whole = 4 * (2 * 576 + 10 * 8)  # two layers and the embeddings
    assert (found.weights, found.gradients, found.optimiser, found.activations) == (100, 10, 200, 7)
    assert found.program == 100 + whole
    assert terms.sharded(held, SMALL, 1) == held


def test_the_heap_wastes_more_the_more_parts_come_and_go():
    held = Held(1, 20, 4, 8, 300, 16, 100, 40, 2, program=1000)
    assert (held.passing, held.heap) == (336, 0)
    wasted = held._replace(spread=1.5)
    assert (wasted.heap, wasted.total) == (168, held.total + 168)
    assert terms.spread(0, learns=True) == 1
    assert terms.spread(640, learns=True) == pytest.approx(2.3, abs=0.05)  # as it was measured
    assert terms.spread(640, learns=False) - 1 == pytest.approx((terms.spread(640, learns=True) - 1) / 2)
