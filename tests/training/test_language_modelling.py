"""The loss on plain text and on packed dialogues."""

import math

import pytest
import torch

from rlhf.engine import lean
from rlhf.tokens import batching
from rlhf.training import language_modelling
from tests import toys

EXAMPLES = [
    ([20, 21, 22, 23], [False, True, True, True]),
    ([30, 31], [False, True]),
    ([40, 41, 42], [False, False, True]),
]


def test_documents_become_one_stream_with_eos_after_each(tokenizer):
    stream = language_modelling.token_stream(tokenizer, ["Say red.", "北京"])
    assert tokenizer.decode(stream) == " Say red.<|endoftext|> 北京<|endoftext|>"


def test_no_documents_say_what_to_do(tokenizer):
    with pytest.raises(ValueError, match="use: \\[documents\\]"):
        language_modelling.token_stream(tokenizer, [])


def test_a_stream_is_cut_in_rows_and_its_rest_left_out():
    assert language_modelling.sequences(torch.arange(7), 3).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="2 tokens.*one sequence of 3"):
        language_modelling.sequences(torch.arange(2), 3)


def test_the_loss_is_minus_the_log_probability_of_each_next_token(policy):
    ids = torch.randint(5, 300, (2, 6))
    losses = language_modelling.next_token_losses(policy, ids)
    log_p = policy(input_ids=ids).logits.log_softmax(-1)
    expected = [[-log_p[b, t - 1, ids[b, t]].item() for t in range(1, 6)] for b in range(2)]
    torch.testing.assert_close(losses, torch.tensor(expected))


def test_the_mean_loss_is_over_tokens_whatever_the_batch_size(policy):
    rows = torch.randint(5, 300, (5, 6))
    means = [language_modelling.mean_loss(policy, rows, size, toys.runtime()) for size in (1, 2, 5)]
    assert means == pytest.approx([means[0]] * 3, rel=1e-6)
    assert means[0] == pytest.approx(language_modelling.next_token_losses(policy, rows).mean().item(), rel=1e-6)


def test_equal_logits_lose_the_logarithm_of_the_vocabulary(tokenizer):
    model = toys.policy(tokenizer)
    torch.nn.init.zeros_(model.get_output_embeddings().weight)
    loss = language_modelling.mean_loss(model, torch.randint(5, 300, (2, 8)), 2, toys.runtime())
    assert loss == pytest.approx(math.log(len(tokenizer)), rel=1e-6)


def counted(policy, rows: list[list[int]]) -> torch.Tensor:
    """The summed loss of EXAMPLES, packed into `rows` of their numbers."""
    packed = batching.pack([[EXAMPLES[index] for index in row] for row in rows], pad_id=0, device="cpu")
    return language_modelling.packed_losses(policy, packed, packed.loss_mask[:, 1:]).sum()


@pytest.mark.parametrize("attention", ["eager", "sdpa", None])
def test_packing_changes_neither_loss_nor_gradient(policy, attention, monkeypatch):
    """By transformers with either attention, and by our own forward pass."""
    if attention:
        policy.set_attn_implementation(attention)
        monkeypatch.setattr(lean, "supports", lambda model: False)
    alone = sum(counted(policy, [[index]]) for index in range(3))
    expected = torch.autograd.grad(alone, policy.parameters())
    for rows in ([[0, 1, 2]], [[2, 0], [1]], [[1, 0, 2]]):
        loss = counted(policy, rows)
        assert loss.item() == pytest.approx(alone.item(), rel=1e-5)
        for gradient, other in zip(torch.autograd.grad(loss, policy.parameters()), expected, strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)


def test_packed_loss_is_the_plain_loss_on_a_single_example(policy):
    ids, _ = EXAMPLES[0]
    packed = batching.pack([[(ids, [True] * 4)]], pad_id=0, device="cpu")
    plain = language_modelling.next_token_losses(policy, torch.tensor([ids]))
    targets = torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(language_modelling.packed_losses(policy, packed, targets), plain.flatten())


def test_row_batches_go_round_for_ever():
    rows = torch.arange(6).view(3, 2)
    batches = language_modelling.row_batches(rows, 2, seed=0)
    first = torch.cat([next(batches) for _ in range(3)])
    assert sorted(first.tolist()) == sorted(rows.tolist() * 2)
