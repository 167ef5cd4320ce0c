"""Muon: orthogonal steps of AdamW's size on hidden matrices, AdamW on the rest."""

import pytest
import torch
from torch import nn

from rlhf.runtime import parallel
from rlhf.training import muon, optimisation
from tests import toys
from tests.training.test_optimisation import params


class Net(nn.Module):
    """Matrices of three shapes, two of them each other's transpose, an embedding and vectors."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(11, 6)
        self.layers = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 16), nn.Linear(16, 6), nn.Linear(6, 6)])

    def forward(self, ids):
        x = self.words(ids)
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x.square().mean()


def trained(optimiser, net: Net, num_steps: int = 4) -> Net:
    for step in range(num_steps):
        optimiser.zero_grad()
        net(torch.tensor([1, 2, 3 + step])).backward()
        optimiser.step()
    return net


def matrices(net: Net) -> list[torch.Tensor]:
    return [layer.weight for layer in net.layers]


def rest(net: Net) -> list[torch.Tensor]:
    return [net.words.weight, *(layer.bias for layer in net.layers)]


def test_singular_vectors_stay_and_singular_values_come_near_one():
    torch.manual_seed(1)
    wide = torch.randn(3, 20, 50)
    left, values, right = torch.linalg.svd(wide, full_matrices=False)
    assert values.max() / values.min() > 3
    found = muon.orthogonalised(wide)
    made = left.mT @ found @ right.mT  # diagonal where the singular vectors are the same
    diagonal = made.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(made, torch.diag_embed(diagonal), atol=1e-4)
    assert diagonal.min() > 0.6 and diagonal.max() < 1.3


def test_hidden_matrices_move_as_torch_moves_them_and_the_rest_as_adamw_does():
    settings = params(learning_rate=0.02, weight_decay=0.1)
    ours = Net()
    trained(muon.Muon(ours, settings, 0.9), ours)
    theirs = Net()
    hidden = torch.optim.Muon(matrices(theirs), lr=0.02, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    others = torch.optim.AdamW(
        optimisation.groups(rest(theirs), 0.1), lr=0.02, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    for step in range(4):
        hidden.zero_grad()
        others.zero_grad()
        theirs(torch.tensor([1, 2, 3 + step])).backward()
        hidden.step()
        others.step()
    start = Net()
    for mine, other, first in zip(matrices(ours), matrices(theirs), matrices(start), strict=True):
        moved = (other - first).norm()
        assert moved > 0.05
        assert (mine - other).norm() < 0.2 * moved  # torch computes the direction in bfloat16
    for mine, other, first in zip(rest(ours), rest(theirs), rest(start), strict=True):
        assert (other - first).norm() > 0.01
        assert (mine - other).norm() < 0.05 * (other - first).norm()


def test_tables_of_words_and_positions_and_the_head_are_no_hidden_matrices(tokenizer):
    for family in ("gpt2", "llama", "qwen2"):
        model = toys.policy(tokenizer, family)
        hidden = set(muon.Muon(model, params(), 0.9).param_groups[-1]["params"])
        names = {name for name, weight in model.named_parameters() if weight in hidden}
        assert names and not any(part in name for name in names for part in ("embed", "wte", "wpe", "lm_head"))


@pytest.mark.parametrize("workers", [2, 3])
def test_the_cut_among_workers_changes_nothing_but_rounding(workers):
    one, more = Net(), Net()
    trained(muon.Muon(one, params(), 0.9), one)
    parallel.set_workers(workers)
    trained(muon.Muon(more, params(), 0.9), more)
    for single, several in zip(one.parameters(), more.parameters(), strict=True):
        assert torch.allclose(single, several, atol=1e-5)


def test_a_saved_state_goes_on_as_if_it_had_never_stopped():
    whole = Net()
    trained(muon.Muon(whole, params(), 0.9), whole, 4)
    net = Net()
    first = muon.Muon(net, params(), 0.9)
    trained(first, net, 2)
    second = muon.Muon(net, params(), 0.9)
    second.load_state_dict(first.state_dict())
    for step in (2, 3):
        second.zero_grad()
        net(torch.tensor([1, 2, 3 + step])).backward()
        second.step()
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), net.parameters(), strict=True))


def test_a_weight_without_gradient_stays():
    net = Net()
    optimiser = muon.Muon(net, params(weight_decay=0.1), 0.9)
    net.layers[0].weight.square().sum().backward()
    optimiser.step()
    start = Net()
    changed = [not torch.equal(a, b) for a, b in zip(net.parameters(), start.parameters(), strict=True)]
    names = [name for name, _ in net.named_parameters()]
    assert [name for name, moved in zip(names, changed, strict=True) if moved] == ["layers.0.weight"]
