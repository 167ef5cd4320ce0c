"""What the loop of PPO hands to its updates: which episodes, which numbers of theirs, which text, at which rates."""

from typing import NamedTuple

import pytest
import torch

from rlhf.params.ppo import Ppo, PpoInputs
from rlhf.rl import advantages, experience, updates
from rlhf.rl.experience import Experience, Models
from rlhf.rl.loop_state import Data
from rlhf.runtime import failures
from rlhf.tokens import chat
from rlhf.training import optimisation
from rlhf.world import source
from rlhf.world.grading import gold
from stages import ppo
from tests import toys

RUNTIME = toys.runtime()


class Handed(NamedTuple):
    """What one update was given."""

    seen: Experience
    rows: list[int]
    whitened: torch.Tensor  # [B, R]
    returns: torch.Tensor  # [B, R]
    text: torch.Tensor | None


class Watched(NamedTuple):
    updates: list[Handed]
    token_rewards: list[torch.Tensor]  # of each iteration [B, R]
    rates: list[float]  # of policy and value model, in turn
    points: list[dict]


def params(**changes) -> Ppo:
    usual = {"batch_size": 8, "minibatch_size": 8, "micro_batch_size": 8, "max_completion_tokens": 8, "iterations": 1}
    return toys.section(Ppo, "ppo", **{**usual, "lam": 1.0, **changes})


@pytest.fixture
def models(tokenizer, tmp_path) -> Models:
    return toys.models(tokenizer, tmp_path)


@pytest.fixture
def watch(models, monkeypatch):
    """A run of the loop that writes down what passes through its joints, and changes nothing."""

    def run(chosen: Ppo, text: torch.Tensor | None = None) -> Watched:
        policy_losses, value_losses, describe = updates.policy_losses, updates.value_losses, ppo.describe
        set_rate = optimisation.set_learning_rate
        policy_side, value_side, token_rewards, rates = [], [], [], []

        def of_policy(owners, targets, rows, text, *more):
            policy_side.append((targets, rows.tolist(), text))
            return policy_losses(owners, targets, rows, text, *more)

        def of_value(owners, targets, rows, *more):
            value_side.append((targets, rows.tolist()))
            return value_losses(owners, targets, rows, *more)

        def described(episodes, rewards, *more):
            token_rewards.append(rewards)
            return describe(episodes, rewards, *more)

        def set_learning_rate(*arguments):
            rates.append(set_rate(*arguments))
            return rates[-1]

        monkeypatch.setattr(updates, "policy_losses", of_policy)
        monkeypatch.setattr(updates, "value_losses", of_value)
        monkeypatch.setattr(ppo, "describe", described)
        monkeypatch.setattr(optimisation, "set_learning_rate", set_learning_rate)
        prompts = ppo.tokenised(models.tokenizer, toys.prompts(8), chosen)
        points = list(ppo.train(models, Data(prompts, text), chosen, RUNTIME, seed=1))
        assert [(id(targets), rows) for targets, rows in value_side] == [(id(t), rows) for t, rows, _ in policy_side]
        made = [Handed(t.episodes, rows, t.advantages, t.returns, text) for t, rows, text in policy_side]
        return Watched(made, token_rewards, rates, points)

    return run


def test_returns_are_the_rewards_to_go_whatever_is_whitened_afterwards(watch):
    """Without discounts the first token's return is the score less what the whole answer pays for its distance."""
    handed = watch(params(kl_coef=0.5)).updates[0]
    seen, mask = handed.seen, handed.seen.completion_mask
    paid = 0.5 * (seen.logprobs - seen.reference_logprobs) * mask
    torch.testing.assert_close(handed.returns[:, 0], seen.scores - paid.sum(dim=1), rtol=1e-4, atol=1e-4)
    rows, last = torch.arange(8), mask.sum(dim=1) - 1
    torch.testing.assert_close(handed.returns[rows, last], seen.scores - paid[rows, last], rtol=1e-4, atol=1e-4)


def test_advantages_are_whitened_over_the_real_tokens_of_the_whole_iteration(watch):
    """Not over padding, not over a minibatch; and they stay in line with what returns and values say."""
    updates = watch(params(minibatch_size=4)).updates
    assert len(updates) == 2
    assert updates[0].whitened is updates[1].whitened
    whitened, mask = updates[0].whitened, updates[0].seen.completion_mask
    assert not mask.all()
    assert whitened[mask].mean().item() == pytest.approx(0, abs=1e-5)
    assert whitened[mask].var(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert not whitened[~mask].any()
    rows = updates[0].rows
    assert abs(whitened[rows][mask[rows]].mean().item()) > 1e-3
    plain = (updates[0].returns - updates[0].seen.values)[mask]
    assert torch.corrcoef(torch.stack([plain, whitened[mask]]))[0, 1].item() == pytest.approx(1, abs=1e-4)


def test_whitened_rewards_have_variance_1_and_keep_their_mean(watch):
    run = watch(params(whiten_rewards=True, kl_coef=0.5))
    seen, rewards, returns = run.updates[0].seen, run.token_rewards[0], run.updates[0].returns
    mask = seen.completion_mask
    plain = advantages.shape_rewards(seen.scores, seen.logprobs, seen.reference_logprobs, mask, 0.5)
    assert abs(plain[mask].var(correction=0).item() - 1) > 0.1
    assert rewards[mask].var(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert rewards[mask].mean().item() == pytest.approx(plain[mask].mean().item(), abs=1e-5)
    torch.testing.assert_close(returns[:, 0], (rewards * mask).sum(dim=1), rtol=1e-4, atol=1e-4)


def test_each_inner_epoch_takes_every_episode_once_in_an_order_of_its_own(watch):
    updates = watch(params(minibatch_size=2, inner_epochs=3)).updates
    assert [len(handed.rows) for handed in updates] == [2] * 12
    orders = [sum((handed.rows for handed in updates[start : start + 4]), []) for start in (0, 4, 8)]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_old_log_probabilities_are_those_of_each_iterations_first_weights(watch):
    """Every iteration begins at ratio 1, and all its inner epochs are held against that beginning."""
    rates = {"policy_optimisation": {"learning_rate": 0.01}}
    once = watch(params(iterations=3, **rates))
    assert all(point["approx_kl"] < 1e-10 for point in once.points)
    again = watch(params(iterations=2, inner_epochs=2, **rates))
    first, second, third, fourth = (handed.seen.logprobs for handed in again.updates)
    assert first is second
    assert third is fourth
    assert third is not first
    assert all(point["approx_kl"] > 1e-6 for point in again.points)


@pytest.mark.parametrize("changes", [{}, {"minibatch_size": 4}, {"inner_epochs": 2}])
def test_an_iteration_reads_so_many_rows_of_pretraining_text_an_episode(watch, changes):
    """Eight episodes at a ratio of 0.5: four rows, however the iteration is cut; none again before all were read."""
    text = torch.arange(5, 5 + 8 * 9).view(8, 9)
    chosen = params(iterations=2, ptx_coef=1.0, ptx_ratio=0.5, **changes)
    read = torch.cat([handed.text for handed in watch(chosen, text).updates])
    assert sorted(read.tolist()) == text.tolist()


def test_a_seed_reads_text_and_minibatches_in_the_same_order_in_every_version(watch):
    text = torch.arange(5, 5 + 8 * 9).view(8, 9)
    read = watch(params(iterations=2, ptx_coef=1.0, ptx_ratio=0.5), text).updates
    assert [(handed.text[:, 0] // 9).tolist() for handed in read] == [[5, 3, 4, 6], [7, 1, 2, 0]]
    assert [handed.rows for handed in read] == [[6, 4, 7, 1, 5, 3, 2, 0], [1, 2, 0, 3, 5, 7, 4, 6]]


def test_without_text_nothing_is_read_and_no_ptx_loss_is_shown(watch):
    run = watch(params())
    assert run.updates[0].text is None
    assert "ptx_loss" not in run.points[0]


def test_warm_up_and_schedule_count_iterations_whatever_the_updates_are(watch):
    warmed = {"warmup_steps": 2, "warmup_start": 0.0, "schedule": "linear", "final_share": 0.0}
    steady = {"warmup_steps": 0, "schedule": "constant"}
    run = watch(
        params(
            iterations=4,
            minibatch_size=2,
            inner_epochs=2,
            policy_optimisation={**warmed, "learning_rate": 0.004},
            value_optimisation={**steady, "learning_rate": 0.003},
        )  # fmt: skip
    )
    assert run.rates[::2] == pytest.approx([0.002, 0.004, 0.004, 0.002])
    assert run.rates[1::2] == pytest.approx([0.003] * 4)


def test_every_iteration_pays_the_coefficient_that_its_point_names(watch):
    controller = {"kind": "adaptive", "target": 0.01, "horizon": 8}
    points = watch(params(iterations=3, kl_coef=0.5, kl_controller=controller)).points
    assert len({point["kl_coef"] for point in points}) == 3
    for point in points:
        assert point["reward"] == pytest.approx(point["score"] - point["kl_coef"] * point["kl"], abs=1e-4)


def test_the_moving_average_counts_updates_and_leaves_training_alone(models, tokenizer, tmp_path):
    """After three updates the start weighs decay^3; the weights that sample and learn are not averaged."""

    def ends(decay: float) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The weights before training, after each of its updates, and once it is over."""
        fresh = toys.models(tokenizer, tmp_path)
        steady = {"warmup_steps": 0, "schedule": "constant", "learning_rate": 0.01}
        chosen = params(iterations=3, ema_decay=decay, policy_optimisation=steady)
        prompts = ppo.tokenised(tokenizer, toys.prompts(8), chosen)

        def weights() -> torch.Tensor:
            return torch.cat([weight.detach().flatten() for weight in fresh.policy.parameters()])

        passed = [weights()]
        passed += [weights() for _ in ppo.train(fresh, Data(prompts, None), chosen, RUNTIME, seed=1)]
        return passed, weights()

    plain, end = ends(0.0)
    averaged, mean = ends(0.5)
    assert torch.equal(end, plain[-1])
    assert all(torch.equal(one, other) for one, other in zip(plain, averaged, strict=True))
    expected = 0.125 * plain[0] + 0.125 * plain[1] + 0.25 * plain[2] + 0.5 * plain[3]
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-6)


def test_the_value_clip_range_bounds_how_far_values_are_trusted_to_have_moved(models):
    """A wide range leaves half the squared error; a range of nothing counts the worse of old and new value."""
    chosen = params()
    prompts = ppo.tokenised(models.tokenizer, toys.prompts(8), chosen)
    seen = experience.gather(models, prompts, chosen, RUNTIME, seed=3)
    now, mask = seen.values, seen.completion_mask
    returns = now + torch.randn(now.shape)
    seen = seen._replace(values=now + torch.randn(now.shape))

    def loss(width: float) -> float:
        parts = updates.value_losses(
            models, toys.targets(seen, returns), torch.arange(8), params(value_clip_range=width), RUNTIME
        )
        return toys.gradients(models.value_model, parts)[0]

    new, old = (now - returns)[mask] ** 2, (seen.values - returns)[mask] ** 2
    assert loss(1e9) == pytest.approx(0.5 * new.mean().item(), rel=1e-3)
    assert loss(1e-6) == pytest.approx(0.5 * torch.maximum(new, old).mean().item(), rel=1e-3)


def test_a_ratio_that_overflows_stops_the_run_before_the_weights_change(models):
    chosen = params()
    prompts = ppo.tokenised(models.tokenizer, toys.prompts(8), chosen)
    seen = experience.gather(models, prompts, chosen, RUNTIME, seed=3)
    seen = seen._replace(logprobs=seen.logprobs - 200)  # exp(200) is infinite in float32
    parts = updates.policy_losses(
        models, toys.targets(seen, torch.randn(seen.values.shape)), torch.arange(8), None, chosen, RUNTIME
    )
    before = [weight.detach().clone() for weight in models.policy.parameters()]
    with pytest.raises(failures.NotFinite):
        optimisation.step(models.policy, torch.optim.SGD(models.policy.parameters(), lr=1.0), parts, 1.0)
    assert all(torch.equal(one, other) for one, other in zip(before, models.policy.parameters(), strict=True))


def test_training_moves_policy_and_value_model_and_neither_reference_nor_reward_model(root, tokenizer):
    from rlhf.params.base import load

    toys.save(root / "data/sft", toys.policy(tokenizer, "gpt2", spread=0.1), tokenizer)  # heads tied to embeddings
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer, "gpt2", spread=0.1), tokenizer)
    owned = ppo.assemble(root / "data/sft", root / "data/reward_model/r1", load(root, PpoInputs), seed=1)
    models = {"policy": owned.policy, "value": owned.value_model} | {
        "reference": owned.reference,
        "reward": owned.scorer.model,
    }
    before = {name: {key: value.clone() for key, value in model.state_dict().items()} for name, model in models.items()}
    chosen = params(iterations=2, ema_decay=0.5, ptx_coef=1.0, ptx_ratio=0.5)
    prompts = ppo.tokenised(tokenizer, toys.prompts(8), chosen)
    for _ in ppo.train(owned, Data(prompts, torch.arange(5, 59).view(6, 9)), chosen, RUNTIME, seed=1):
        pass
    moved = {
        name: any(not torch.equal(value, before[name][key]) for key, value in model.state_dict().items())
        for name, model in models.items()
    }
    assert moved == {"policy": True, "value": True, "reference": False, "reward": False}


def of_the_world(count: int) -> list[dict]:
    """Return prompts that gold can score."""
    return [*source.records(3, 0, count, "seen")]


def test_gold_of_the_rollouts_is_that_of_prompts_with_a_task(models):
    chosen = params(batch_size=4, minibatch_size=4, max_prompt_tokens=1000)
    ours = ppo.tokenised(models.tokenizer, of_the_world(4), chosen)
    ours = [prompt._replace(ids=prompt.ids[:20]) for prompt in ours]
    seen = experience.gather(models, ours, chosen, RUNTIME, seed=1)
    found = experience.golds(models, ours, seen)
    texts = [
        chat.response_text(models.tokenizer, ids[: int(mask.sum())])
        for ids, mask in zip(seen.completions.tolist(), seen.completion_mask, strict=True)
    ]
    scores = [gold.score(prompt.task, text).score for prompt, text in zip(ours, texts, strict=True)]
    assert found["gold"] == pytest.approx(sum(scores) / 4)
    without = [prompt._replace(task=None) for prompt in ours]
    some = experience.golds(models, [*ours[:2], *without[2:]], seen)
    assert some["gold"] == pytest.approx(sum(scores[:2]) / 2)
    assert some["gold_error"] == pytest.approx(abs(scores[0] - scores[1]) / 2 / 2**0.5)
    assert (some["gold_prompts"], "gold_prompts" in found) == (2, False)
    assert experience.golds(models, without, seen) == {}


@pytest.mark.parametrize(("monitor", "points"), [("stop", 2), ("warn", 5)])
def test_the_monitor_stops_only_where_it_is_told_to(models, monkeypatch, monitor, points):
    chosen = params(batch_size=2, minibatch_size=2, iterations=5, monitor=monitor)
    monkeypatch.setattr(ppo, "peak_is_behind", lambda curve: "it is" if len(curve) >= 2 else None)
    prompts = ppo.tokenised(models.tokenizer, toys.prompts(4), chosen)
    assert len(list(ppo.train(models, Data(prompts, None), chosen, RUNTIME, seed=1))) == points
