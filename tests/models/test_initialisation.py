"""Previous-token heads: a start that lets a small model learn to copy."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf.models import initialisation, shapes
from tests import toys


@pytest.fixture
def model():
    config = shapes.config("laptop", vocab_size=300, pad_id=0, eos_id=1)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def attention_by_distance(model) -> list[torch.Tensor]:
    """The mean share, by head of the first layer, of attention that goes 0, 1 and 2 tokens back."""
    ids = torch.randint(5, 300, (2, 96))
    weights = model(input_ids=ids, output_attentions=True).attentions[0]  # [B, heads, T, T]
    return [weights.diagonal(offset=-back, dim1=2, dim2=3).mean(dim=(0, 2)) for back in range(3)]


def test_the_chosen_heads_look_at_the_token_before_and_the_others_do_not(model):
    initialisation.add_previous_token_heads(model, 2)
    itself, before, two_before = attention_by_distance(model)
    assert (before[:2] > 0.7).all()
    assert (before[2:] < 0.2).all()
    ratio = itself[:2] / two_before[:2]  # the peak is symmetric about the token before
    assert ((ratio > 0.7) & (ratio < 1.5)).all()


def test_everything_else_stays_as_it_was_and_trainable(model):
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    initialisation.add_previous_token_heads(model, 1)
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {f"model.layers.0.self_attn.{name}_proj.bias" for name in "qk"}
    assert all(weight.requires_grad for weight in model.parameters())


def test_a_model_that_cannot_have_them_says_so(model, tokenizer):
    with pytest.raises(ValueError, match=r"previous_token_heads: the shape has only 4 heads"):
        initialisation.add_previous_token_heads(model, 5)
    for family in ("llama", "gpt2"):
        with pytest.raises(ValueError, match=r"previous_token_heads: this shape has no rotary attention biases"):
            initialisation.add_previous_token_heads(toys.policy(tokenizer, family), 1)


def test_repeated_rows_hold_nothing_but_repetition():
    rows = initialisation.repeated_rows(40, 60, vocab_size=300, generator=torch.Generator().manual_seed(1))
    assert rows.shape == (40, 60)
    periods = []
    for row in rows:
        period = next(p for p in range(1, 60) if torch.equal(row[p:], row[:-p]))
        assert len(set(row[:period].tolist())) == period
        periods.append(period)
    assert min(periods) >= 6
    assert max(periods) <= 24
    assert len(set(periods)) > 5
    assert rows.max() < 300


def test_repeated_rows_come_from_their_generator_alone():
    first, other = (initialisation.repeated_rows(4, 30, 300, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, other)
