"""Knobs of PPO that are off by default: several answers a prompt, and a value model that begins to learn before."""

import json

import pytest
import torch

from rlhf.params.ppo import Ppo
from rlhf.rl import advantages, experience, loop_state, updates
from rlhf.rl.experience import Models
from rlhf.rl.loop_state import Data, LoopState
from rlhf.runs import checkpoints
from rlhf.training import optimisation
from rlhf.world import source
from stages import ppo
from tests import notebook, toys

RUNTIME = toys.runtime()
TEXT = torch.arange(5, 5 + 8 * 9).view(8, 9)


def params(**changes) -> Ppo:
    usual = {"batch_size": 8, "minibatch_size": 4, "micro_batch_size": 8, "max_completion_tokens": 8, "iterations": 1}
    return toys.section(Ppo, "ppo", **{**usual, **changes})


@pytest.fixture
def models(tokenizer, tmp_path) -> Models:
    return toys.models(tokenizer, tmp_path)


def data(models: Models, text=None) -> Data:
    return Data(ppo.tokenised(models.tokenizer, toys.prompts(6), params()), text)


def bits(model) -> list[bytes]:
    return [weight.detach().numpy().tobytes() for weight in model.parameters()]


def test_the_answers_of_a_prompt_stand_side_by_side_and_every_prompt_comes_once_before_any_again(models):
    state = LoopState(models, data(models), params(batch_size=12, answers_per_prompt=4), RUNTIME, seed=1)
    ids = [prompt.id for _ in range(2) for prompt in state.begin_iteration()]
    assert [ids[start : start + 4] for start in range(0, 24, 4)] == [[one] * 4 for one in ids[::4]]
    assert sorted(ids[::4]) == [f"toy-{number}" for number in range(6)]


def test_the_answers_of_a_prompt_are_drawn_apart(models):
    chosen = params(answers_per_prompt=8)
    state = LoopState(models, data(models), chosen, RUNTIME, seed=1)
    seen = experience.gather(models, state.begin_iteration(), chosen, RUNTIME, seed=1)
    assert len({tuple(row) for row in seen.completions.tolist()}) > 4


def test_the_baseline_moves_what_the_policy_learns_and_leaves_the_returns(models, monkeypatch):
    handed = []
    monkeypatch.setattr(ppo, "update", lambda state, targets, *_: handed.append(targets) or [{"policy_loss": 0.0}])
    for baseline in (False, True):
        chosen = params(answers_per_prompt=4, prompt_baseline=baseline, lam=1.0, kl_coef=0.5)
        list(ppo.train(models, data(models), chosen, RUNTIME, seed=1))
    plain, moved = handed
    assert torch.equal(plain.returns, moved.returns)
    seen, mask = moved.episodes, moved.episodes.completion_mask
    paid = 0.5 * ((seen.logprobs - seen.reference_logprobs) * mask).sum(dim=1)
    totals = seen.scores - paid
    offsets = advantages.leave_one_out(totals, 4) - seen.values[:, 0]
    raw = (plain.returns - seen.values - offsets.unsqueeze(1)) * mask
    torch.testing.assert_close(moved.advantages, advantages.whiten(raw, mask), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(plain.advantages, moved.advantages, atol=1e-2)


def test_golds_error_counts_a_prompt_once_however_often_it_is_answered(models):
    chosen = params(answers_per_prompt=2, max_prompt_tokens=1000)
    ours = ppo.tokenised(models.tokenizer, [*source.records(3, 0, 4, "seen")], chosen)
    ours = [prompt._replace(ids=prompt.ids[:20]) for prompt in ours for _ in range(2)]
    seen = experience.gather(models, ours, chosen, RUNTIME, seed=1)
    alone = [experience.golds(models, [one], alone_in(seen, row))["gold"] for row, one in enumerate(ours)]
    means = torch.tensor(alone, dtype=torch.float64).view(4, 2).mean(dim=1)
    found = experience.golds(models, ours, seen, 2)
    assert found["gold"] == pytest.approx(means.mean().item())
    assert found["gold_error"] == pytest.approx(means.std(correction=0).item() / 4**0.5)
    some = [one._replace(task=None) if row < 2 else one for row, one in enumerate(ours)]
    assert experience.golds(models, some, seen, 2)["gold_prompts"] == 3


def alone_in(seen: experience.Experience, row: int) -> experience.Experience:
    return experience.Experience(*(tensor[row : row + 1] for tensor in seen))


def test_in_the_warm_up_the_value_model_alone_learns(models):
    """To the last bit: weights of the policy, its optimiser, what it reads and the coefficient stay as they were."""
    controller = {"kind": "adaptive", "target": 5.0, "horizon": 8}
    chosen = params(iterations=2, value_warmup=2, kl_coef=0.5, kl_controller=controller, ptx_coef=1.0, ema_decay=0.5)
    policy, value = bits(models.policy), bits(models.value_model)
    points = ppo.train(models, data(models, TEXT), chosen, RUNTIME, seed=1)
    for _ in range(2):
        point = next(points)
        assert bits(models.policy) == policy
        assert bits(models.value_model) != value
        assert {"value_loss", "score", "explained_variance"} <= point.keys()
        assert not {"policy_loss", "grad_norm", "ptx_loss", "clip_share"} & point.keys()
        assert point["kl_coef"] == 0.5
        value = bits(models.value_model)
    third, fourth = points
    assert bits(models.policy) != policy
    assert third["kl_coef"] == 0.5
    assert fourth["kl_coef"] != 0.5
    assert {"policy_loss", "grad_norm", "ptx_loss", "clip_share"} <= third.keys()
    assert [third["step"], fourth["step"]] == [3, 4]


def test_the_warm_up_reads_no_pretraining_text(models, monkeypatch):
    read = []
    losses = updates.policy_losses
    monkeypatch.setattr(updates, "policy_losses", lambda *given: read.append(given[3]) or losses(*given))
    chosen = params(iterations=2, value_warmup=1, ptx_coef=1.0, ptx_ratio=0.5)
    list(ppo.train(models, data(models, TEXT), chosen, RUNTIME, seed=1))
    assert sorted(torch.cat(read).tolist()) == TEXT.tolist()


def test_the_policys_schedule_begins_behind_the_warm_up_and_the_value_models_with_it(models, monkeypatch):
    rates, set_rate = [], optimisation.set_learning_rate
    monkeypatch.setattr(
        loop_state.optimisation, "set_learning_rate", lambda *given: rates.append(set_rate(*given)) or rates[-1]
    )
    falling = {"warmup_steps": 0, "schedule": "linear", "final_share": 0.0, "learning_rate": 0.004}
    chosen = params(iterations=2, value_warmup=2, policy_optimisation=falling, value_optimisation=falling)
    list(ppo.train(models, data(models), chosen, RUNTIME, seed=1))
    assert rates[4::2] == pytest.approx([0.004, 0.002])
    assert rates[1::2] == pytest.approx([0.004, 0.003, 0.002, 0.001])


def test_the_value_model_explains_more_after_its_warm_up(models):
    """On prompts and a policy that stay, returns are foretold better than by a value model that begins."""
    quick = {"warmup_steps": 0, "schedule": "constant", "learning_rate": 0.003}
    chosen = params(value_warmup=15, value_optimisation=quick, value_clip_range=10.0, batch_size=32, minibatch_size=8)
    explained = [point["explained_variance"] for point in ppo.train(models, data(models), chosen, RUNTIME, seed=1)]
    assert explained[-1] > explained[0] + 0.2


def test_the_monitor_looks_at_the_policys_iterations_alone(models, monkeypatch):
    seen = []
    monkeypatch.setattr(ppo, "peak_is_behind", lambda curve: seen.append([point["step"] for point in curve]))
    list(ppo.train(models, data(models), params(iterations=3, value_warmup=2, monitor="stop"), RUNTIME, seed=1))
    assert seen == [[], [], [], [3], [3, 4]]


def test_the_last_iteration_of_all_keeps_its_state(models, tmp_path):
    """However seldom states are kept."""
    states = checkpoints.States(tmp_path / "states", 1000.0)
    list(ppo.train(models, data(models), params(iterations=2, value_warmup=1), RUNTIME, 1, states))
    assert len(checkpoints.States(tmp_path / "states", 1000.0).points) == 3


def test_the_stages_metrics_are_of_the_policys_iterations_and_count_all_episodes(root, tokenizer):
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer, spread=0.1), tokenizer)
    for name, value in {"iterations": 2, "value_warmup": 3, "policy_optimisation.learning_rate": 0.02}.items():
        toys.set_param(root, f"ppo.{name}", value)
    ppo.main(root, "r1")
    curve = [*notebook.curve_of(root / "metrics/plots/ppo/r1.csv").values()]
    metrics = json.loads((root / "metrics/ppo/r1.json").read_text())["ppo"]["r1"]
    assert metrics["episodes"] == 5 * 8
    for name in ("score", "kl", "clip_share"):
        assert metrics[name] == pytest.approx(sum(point[name] for point in curve[3:]) / 2, abs=1e-5)
