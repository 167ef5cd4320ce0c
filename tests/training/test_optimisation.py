"""Learning-rate schedules, weight decay and one update."""

import copy
import math
import sys
import types

import pytest
import torch
from torch import nn

from rlhf.params.optimisation import Optimisation
from rlhf.runtime import failures, parallel
from rlhf.training import optimisation
from tests import toys


def params(**changes) -> Optimisation:
    usual = {
        "learning_rate": 0.1, "schedule": "constant", "warmup_steps": 0, "warmup_start": 0.0, "final_share": 0.1,
        "adam_beta1": 0.9, "adam_beta2": 0.95, "adam_eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0,
    }  # fmt: skip
    return Optimisation(**usual | changes)


def part(model: nn.Linear, weight: float = 1.0):
    return lambda: optimisation.MicroBatchLoss(weight * model.weight.sum(), {"weight": weight})


def rates(num_steps: int, **changes) -> list[float]:
    chosen = params(**changes)
    return [optimisation.learning_rate(chosen, step, num_steps) / 0.1 for step in range(num_steps)]


def test_schedules_by_hand():
    assert rates(3) == pytest.approx([1, 1, 1])
    assert rates(4, schedule="linear", final_share=0.2) == pytest.approx([1, 0.8, 0.6, 0.4])
    half = 0.1 + 0.9 * 0.5
    quarter = 0.9 * 0.5 * math.cos(math.pi / 4)
    assert rates(4, schedule="cosine") == pytest.approx([1, half + quarter, half, half - quarter])


def test_warm_up_rises_from_its_start_to_the_full_rate_and_then_the_schedule_begins():
    assert rates(8, warmup_steps=5, warmup_start=0.1, schedule="linear", final_share=0.0) == pytest.approx(
        [0.28, 0.46, 0.64, 0.82, 1, 1, 2 / 3, 1 / 3]
    )


def test_a_warm_up_longer_than_the_run_never_divides_by_zero():
    assert rates(3, warmup_steps=10)[-1] == pytest.approx(0.3)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_falls_towards_the_final_share_and_not_below(schedule):
    falling = rates(200, schedule=schedule, final_share=0.1)
    assert falling == sorted(falling, reverse=True)
    assert 0.1 <= falling[-1] < 0.11


def test_weight_decay_acts_on_matrices_only():
    model = nn.Linear(3, 2)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimiser = optimisation.adamw(model, params(weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.testing.assert_close(model.weight.detach(), before[0] * (1 - 0.1 * 0.5))
    torch.testing.assert_close(model.bias.detach(), before[1])


def test_frozen_parameters_are_not_trained():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    groups = optimisation.adamw(model, params()).param_groups
    assert [len(group["params"]) for group in groups] == [1, 0]


def test_the_set_rate_is_the_rate_of_the_update():
    model = nn.Linear(1, 1, bias=False)
    before = model.weight.item()
    optimiser = optimisation.adamw(model, params())
    steady = {"learning_rate": 0.02, "schedule": "constant", "warmup_steps": 0}
    assert optimisation.set_learning_rate(optimiser, params(**steady), 0, 1) == 0.02
    optimisation.step(model, optimiser, [part(model)], max_grad_norm=1e9)
    assert before - model.weight.item() == pytest.approx(0.02, rel=1e-3)  # Adam's first step is the rate itself


def test_an_update_adds_up_its_losses_and_clips_their_joint_gradient():
    model = nn.Linear(1, 1, bias=False)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    before = model.weight.item()
    parts = (part(model, weight) for weight in (3.0, 5.0))
    update = optimisation.step(model, optimiser, parts, max_grad_norm=2.0)
    assert update.loss == pytest.approx(8 * before, rel=1e-5)
    assert update.grad_norm == pytest.approx(8)
    assert update.measures == {"weight": 8.0}
    assert before - model.weight.item() == pytest.approx(2, rel=1e-5)


def test_gradients_do_not_leak_into_the_next_update():
    model = nn.Linear(1, 1, bias=False)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    norms = [optimisation.step(model, optimiser, [part(model, 3.0)], max_grad_norm=9.0).grad_norm for _ in range(2)]
    assert norms == pytest.approx([3, 3])


def test_a_loss_that_is_not_finite_stops_before_the_weights_change():
    model = nn.Linear(1, 1)
    before = model.weight.item()
    with pytest.raises(failures.NotFinite, match="the loss became -inf"):
        optimisation.step(model, torch.optim.SGD(model.parameters(), lr=1.0), [part(model, math.inf)], 1.0)
    assert model.weight.item() == before


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change():
    model = nn.Linear(1, 1)
    before = model.weight.item()
    parts = [lambda: optimisation.MicroBatchLoss((model.weight * 0).sqrt().sum())]  # 0, and its slope is infinite
    with pytest.raises(failures.NotFinite, match=r"gradient's norm became nan \(the loss was 0.0\)"):
        optimisation.step(model, torch.optim.SGD(model.parameters(), lr=1.0), parts, 1.0)
    assert model.weight.item() == before


@pytest.mark.parametrize("workers", [1, 2])
def test_models_updated_together_move_as_each_would_alone(workers):
    parallel.set_workers(workers)
    together, alone = ([nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)] for _ in range(2))
    for one, other in zip(together, alone, strict=True):
        one.load_state_dict(other.state_dict())
    jobs = [
        [
            optimisation.PlannedUpdate(
                model, torch.optim.SGD(model.parameters(), lr=0.1), [part(model, 3.0), part(model, weight)], 1e9
            )
            for model, weight in zip(models, (2.0, 5.0), strict=True)
        ]
        for models in (together, alone)
    ]
    assert optimisation.steps(jobs[0]) == [optimisation.step(*job) for job in jobs[1]]
    assert [model.weight.item() for model in together] == [model.weight.item() for model in alone]
    assert all(model.weight.grad is None for model in together)


def test_side_by_side_no_model_moves_where_one_of_them_fails():
    parallel.set_workers(2)
    models = [nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)]
    before = [model.weight.item() for model in models]
    jobs = [
        optimisation.PlannedUpdate(model, torch.optim.SGD(model.parameters(), lr=1.0), [part(model, weight)], 1.0)
        for model, weight in zip(models, (1.0, math.inf), strict=True)
    ]
    with pytest.raises(failures.NotFinite):
        optimisation.steps(jobs)
    assert [model.weight.item() for model in models] == before


def test_the_optimisers_own_knobs_reach_it():
    optimiser = optimisation.adamw(nn.Linear(1, 1), params(adam_beta1=0.5, adam_beta2=0.6, adam_eps=1e-3))
    assert optimiser.defaults["betas"] == (0.5, 0.6)
    assert optimiser.defaults["eps"] == 1e-3


def test_every_section_that_trains_is_typed_by_these_knobs():
    content = toys.shrunken_params()
    for section in ("pretrain", "sft", "feedme", "rejection", "dpo", "reward_model", "judge"):
        Optimisation(**content[section]["optimisation"])


def test_eight_bits_are_asked_of_bitsandbytes(monkeypatch):
    """Wiring alone: a class that stands for the library's."""
    made = {}

    class Fake(torch.optim.SGD):
        def __init__(self, alike, lr, betas, eps):
            made.update(betas=betas, eps=eps, decays=[group["weight_decay"] for group in alike])
            super().__init__(alike, lr=lr)

    library = types.ModuleType("bitsandbytes")
    library.optim = types.SimpleNamespace(AdamW8bit=Fake, PagedAdamW8bit=Fake)
    monkeypatch.setitem(sys.modules, "bitsandbytes", library)
    for name in ("adamw_8bit", "paged_adamw_8bit"):
        model = torch.nn.Linear(2, 2)
        model.bias.requires_grad_(False)
        optimiser = optimisation.adamw(model, params(optimiser=name, weight_decay=0.5, adam_beta2=0.9))
        assert isinstance(optimiser, Fake)
        assert [len(group["params"]) for group in optimiser.param_groups] == [1, 0]
        assert made["decays"] == [0.5, 0.0]
        assert made["betas"][1] == 0.9


def test_without_bitsandbytes_the_error_says_how_it_comes(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ValueError, match=r"optimisation\.optimiser: 'adamw_8bit' is of bitsandbytes.*pip install"):
        optimisation.adamw(torch.nn.Linear(2, 2), params(optimiser="adamw_8bit"))


def test_eight_bits_learn_nearly_as_well_on_a_cpu():
    pytest.importorskip("bitsandbytes")
    torch.manual_seed(0)
    first, x, y = torch.nn.Linear(128, 128), torch.randn(64, 128), torch.randn(64, 128)
    ends = {}
    for name in ("adamw", "adamw_8bit"):
        model = copy.deepcopy(first)
        optimiser = optimisation.adamw(model, params(optimiser=name, learning_rate=0.01))
        for _ in range(30):
            loss = ((model(x) - y) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        ends[name] = loss.item()
    assert ends["adamw_8bit"] == pytest.approx(ends["adamw"], rel=0.05)
    assert ends["adamw"] < 0.1
