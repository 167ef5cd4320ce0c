"""Our own forward pass says what transformers' says, gradient and all, for every kind of batch."""

import pytest
import torch

from rlhf.engine import lean, products, spans
from rlhf.models import forward
from rlhf.tokens import batching
from tests import toys

ROWS = [[20, 21, 22, 23, 24], [30, 31, 32], [40, 41, 42, 43]]
GROUPS = [
    [([20, 21, 22, 23, 24], 2), ([20, 21, 22, 30, 31, 32], 3), ([20, 21, 22, 23], 1)],
    [([40, 41], 2), ([50, 51, 52], 3)],  # nothing in common
]


@pytest.fixture(params=["gpt2", "llama", "qwen2"])
def model(request, tokenizer):
    """Random weights; Llama's and Qwen's have fewer key heads than query heads, Qwen's projections a bias."""
    made = toys.policy(tokenizer, request.param)
    for name, weight in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.3)
    return made


def padded(side: str, last: int):
    """ids, positions, segments, wanted and kind of ROWS, of which the last so many tokens are wanted."""
    batch = batching.pad(ROWS, 0, side)
    left = batch.mask.flip(1).cumsum(1).flip(1)
    return batch.ids, batching.position_ids(batch.mask), batch.mask.long(), batch.mask & (left <= last), "plain"


def packed():
    examples = [[(ROWS[0], [True] * 5), (ROWS[1], [True] * 3)], [(ROWS[2], [True] * 4)]]
    batch = batching.pack(examples, 0, "cpu")
    return batch.ids, batch.position_ids, batch.segments, batch.loss_mask, "packed"


def forked():
    batch = batching.fork(GROUPS, 0, "cpu")
    return batch.ids, batch.position_ids, batch.segments, batch.owners >= 0, "forked"


def scattered():
    ids, positions, segments, _, kind = padded("left", 9)
    wanted = torch.zeros_like(ids, dtype=torch.bool)
    wanted[0, 1] = wanted[0, 3] = wanted[2, 4] = True  # gaps, and a row of which nothing is wanted
    return ids, positions, segments, wanted, kind


KINDS = {
    "left": lambda: padded("left", 2),
    "right": lambda: padded("right", 1),
    "whole": lambda: padded("left", 9),
    "packed": packed,
    "forked": forked,
    "scattered": scattered,
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_states_and_gradients_are_those_of_transformers(model, kind, monkeypatch):
    batch = KINDS[kind]()
    weights = list(model.base_model.parameters())
    found = []
    assert lean.supports(model)
    for own in (True, False):
        monkeypatch.setattr(lean, "supports", lambda _, own=own: own)
        states = forward.hidden_states(model, *batch)
        shares = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
        found.append((states, torch.autograd.grad((states * shares).sum(), weights)))
    (states, gradients), (expected, wanted) = found
    torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-5)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_the_cut_into_groups_changes_nothing(model, monkeypatch):
    rows = [list(range(20, 20 + length)) for length in (11, 3, 9, 2, 4, 10)]
    batch = batching.pad(rows, 0, "right")
    args = batch.ids, batching.position_ids(batch.mask), batch.mask.long(), batch.mask
    found = []
    for filled, pairs in ((0.0, 2**18), (0.6, 2**18), (1.0, 2**18), (0.0, 130)):
        monkeypatch.setattr(spans, "LEAST_FILLED", filled)
        monkeypatch.setattr(spans, "MOST_PAIRS", pairs)
        groups = len(spans.stream(*args, forked=False).groups)
        states = forward.hidden_states(model, *args)
        shares = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
        gradients = torch.autograd.grad((states * shares).sum(), list(model.base_model.parameters()))
        found.append((groups, states, gradients))
    assert [groups for groups, _, _ in found] == [1, 3, 6, 4]
    for _, states, gradients in found[1:]:
        torch.testing.assert_close(states, found[0][1], rtol=1e-4, atol=1e-5)
        for one, other in zip(gradients, found[0][2], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", list(KINDS))
def test_bfloat16_is_near_float32_whatever_fills_its_rows(model, kind, monkeypatch):
    batch = KINDS[kind]()
    weights = list(model.base_model.parameters())

    def states_and_gradient(low: bool):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):  # of forward passes, as in training
            states = forward.hidden_states(model, *batch)
        shares = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
        gradients = torch.autograd.grad((states * shares).sum(), weights)
        return states.detach(), torch.cat([gradient.flatten() for gradient in gradients])

    exact, found = states_and_gradient(low=False), states_and_gradient(low=True)
    monkeypatch.setattr(products, "num_rows", lambda needed, of: needed)
    unfilled = states_and_gradient(low=True)
    for value, other, wanted in zip(found, unfilled, exact, strict=True):
        assert value.dtype == torch.float32
        assert (value - wanted).norm() < 0.1 * wanted.norm()
        assert (value - wanted).norm() > 0  # it was bfloat16
        torch.testing.assert_close(value, other, rtol=1e-2, atol=1e-2 * wanted.abs().max().item())


@torch.no_grad()
def test_a_decoder_says_what_whole_forward_passes_say(model):
    batch = batching.pad(ROWS, 0, "left")
    reader, rows = lean.Decoder(model, 5), [list(row) for row in ROWS]
    logits = reader.read(batch.ids, batch.mask, batching.position_ids(batch.mask))
    for step in range(5):
        expected = torch.stack([model(input_ids=torch.tensor([row])).logits[0, -1] for row in rows])
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
        if step in (1, 3):  # rows leave, and one goes on twice
            chosen = torch.tensor([2, 0, 0] if step == 1 else [1])
            reader.choose(chosen)
            logits, rows = logits[chosen], [list(rows[i]) for i in chosen.tolist()]
        tokens = torch.arange(len(rows)) + 60 + step
        if step < 4:
            logits = reader.step(tokens)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            row.append(token)


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("gpt2", {"activation_function": "relu"}),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
        ("llama", {"hidden_act": "gelu"}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 4}),
    ],
)
def test_other_shapes_are_left_to_transformers(tokenizer, family, change):
    assert lean.supports(toys.policy(tokenizer, family))
    assert not lean.supports(toys.policy(tokenizer, family, **change))


def test_dropout_in_training_is_left_to_transformers(tokenizer):
    model = toys.policy(tokenizer, "gpt2")
    assert lean.supports(model.train())
    model.transformer.h[0].mlp.dropout.p = 0.1
    assert not lean.supports(model.train())
    assert lean.supports(model.eval())
