"""The stage `ppo`: a known reward is learned, every knob turns something, and the models are models of their own."""

import shutil

import pytest
import torch

from rlhf.models import loading
from rlhf.params.ppo import Ppo, PpoInputs
from rlhf.preferences import rewards
from rlhf.rl import advantages, clipping, experience
from rlhf.rl.experience import Models, Prompt
from rlhf.rl.loop_state import Data
from stages import ppo
from tests import toys

RUNTIME = toys.runtime()


def params(**changes) -> Ppo:
    usual = {"batch_size": 8, "minibatch_size": 8, "micro_batch_size": 8, "max_completion_tokens": 8, "iterations": 1}
    return toys.section(Ppo, "ppo", **{**usual, **changes})


def prompts(tokenizer) -> list[Prompt]:
    return ppo.tokenised(tokenizer, toys.prompts(8), params())


def run(models: Models, chosen: Ppo, seed: int = 1, text=None) -> list[dict]:
    return list(ppo.train(models, Data(prompts(models.tokenizer), text), chosen, RUNTIME, seed))


def weights(models: Models) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in models.policy.parameters()])


def test_the_moving_average_is_between_the_start_and_the_end(tokenizer, tmp_path):
    ends = {}
    for decay in (0.0, 0.75):
        models = toys.models(tokenizer, tmp_path)
        before = weights(models)
        run(models, params(ema_decay=decay))  # one update
        ends[decay] = weights(models)
    torch.testing.assert_close(ends[0.75], 0.75 * before + 0.25 * ends[0.0], rtol=0, atol=1e-6)
    assert not torch.equal(ends[0.0], before)


def test_the_adaptive_controller_follows_the_measured_kl(tokenizer, tmp_path):
    fixed = run(toys.models(tokenizer, tmp_path), params(iterations=2, kl_coef=0.1))
    assert [point["kl_coef"] for point in fixed] == [0.1, 0.1]
    target = fixed[0]["kl"] / 1.1  # so near that no bound is met
    controller = {"kind": "adaptive", "target": target, "horizon": 16}
    curve = run(toys.models(tokenizer, tmp_path), params(iterations=3, kl_coef=0.1, kl_controller=controller))
    assert curve[1]["kl_coef"] == pytest.approx(0.1 * (1 + 0.1 * 8 / 16))
    assert curve[2]["kl_coef"] == clipping.adapted_kl_coef(curve[1]["kl_coef"], curve[1]["kl"], target, 16, 8)


def test_what_is_measured_is_said_in_its_unit(tokenizer, tmp_path):
    chosen, models = params(kl_coef=0.3), toys.models(tokenizer, tmp_path)
    seen = experience.gather(models, prompts(tokenizer), chosen, RUNTIME, seed=3)
    mask = seen.completion_mask
    rewards = advantages.shape_rewards(seen.scores, seen.logprobs, seen.reference_logprobs, mask, 0.3)
    estimate = advantages.gae(rewards, seen.values, mask, 1.0, 1.0)
    health = ppo.describe(seen, rewards, estimate, [{"policy_loss": 1.0}, {"policy_loss": 3.0}])
    assert health["policy_loss"] == 2
    assert health["score"] == pytest.approx(seen.scores.mean().item(), rel=1e-5)
    assert health["kl"] == pytest.approx((seen.logprobs - seen.reference_logprobs)[mask].sum().item() / 8, rel=1e-4)
    assert health["reward"] == pytest.approx(health["score"] - 0.3 * health["kl"], abs=1e-4)
    assert health["kl_exact"] == pytest.approx(seen.kls[mask].sum().item() / 8, rel=1e-4)
    assert health["entropy"] == pytest.approx(seen.entropies[mask].mean().item(), rel=1e-4)
    assert health["completion_tokens"] == mask.sum().item() / 8
    assert health["missing_eos"] == pytest.approx(1 - seen.ended.sum().item() / 8)
    errors = (estimate.returns - seen.values)[mask]
    explained = 1 - errors.var() / estimate.returns[mask].var()
    assert health["explained_variance"] == pytest.approx(explained.item(), rel=1e-4)


def test_a_single_episode_a_batch_has_finite_numbers(tokenizer, tmp_path):
    chosen = params(batch_size=1, minibatch_size=1, max_completion_tokens=1)
    point = run(toys.models(tokenizer, tmp_path), chosen)[0]
    assert all(torch.isfinite(torch.tensor(float(value))) for value in point.values())


def share_of_even_ids(ids: list[int]) -> float:
    answer = ids[:-1]
    return sum(token % 2 == 0 for token in answer) / len(answer) if answer else -1.0


def test_a_known_reward_is_learned(tokenizer):
    """A random policy learns which tokens to say, and to stop in time."""
    policy, reference = (toys.likes_to_end(toys.policy(tokenizer, spread=0.1), tokenizer) for _ in range(2))
    value_model = toys.reward_model(tokenizer, spread=0.1)
    models = Models(
        policy, value_model, reference, toys.KnownReward(tokenizer, value_model, share_of_even_ids), tokenizer
    )
    fast = {"learning_rate": 0.01, "warmup_steps": 0, "schedule": "constant"}
    chosen = params(
        iterations=10, batch_size=32, minibatch_size=16, micro_batch_size=16, max_completion_tokens=4, kl_coef=0.0,
        missing_eos_score=-1.0, inner_epochs=2, policy_optimisation=fast, value_optimisation=fast,
        lam=0.95,
    )  # fmt: skip
    curve = run(models, chosen)
    assert curve[0]["score"] < -0.2
    assert sum(point["score"] for point in curve[-3:]) / 3 > 0.7
    assert curve[-1]["value_loss"] < 0.5 * curve[0]["value_loss"]


KNOBS = {
    "minibatch_size": 4, "inner_epochs": 2, "temperature": 0.8, "max_completion_tokens": 5, "kl_coef": 0.5,
    "gamma": 0.5, "lam": 0.5, "clip_range": 0.001, "value_clip_range": 0.001, "whiten_rewards": True,
    "missing_eos_score": 9.0, "ptx_coef": 1.0, "ptx_ratio": 0.25, "ema_decay": 0.5,
    "kl_controller": {"kind": "adaptive", "target": 0.01, "horizon": 1}, "policy_optimisation": {"learning_rate": 0.02},
    "value_optimisation": {"learning_rate": 0.02}, "answers_per_prompt": 2, "value_warmup": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def usual_end(tokenizer, tmp_path_factory):
    """The policy's weights after a short run with the usual knobs, and how to run with others."""
    folder = tmp_path_factory.mktemp("models")

    def end(**changes) -> torch.Tensor:
        models = toys.models(tokenizer, folder)
        text = torch.arange(5, 59).view(6, 9)
        run(
            models,
            params(**{"iterations": 2, "minibatch_size": 2, "kl_coef": 1.0, "ptx_coef": 0.1, **changes}),
            text=text,
        )
        return weights(models)

    return end(), end


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_changes_the_policy(usual_end, knob):
    usual, end = usual_end
    assert not torch.equal(end(**{knob: KNOBS[knob]}), usual)


def test_a_baseline_of_other_answers_changes_the_policy(usual_end):
    _, end = usual_end
    assert not torch.equal(end(answers_per_prompt=4, prompt_baseline=True), end(answers_per_prompt=4))


def test_the_same_knobs_change_nothing(usual_end):
    usual, end = usual_end
    assert torch.equal(end(), usual)


@pytest.fixture
def ready(root, tokenizer):
    """A root with a policy and a reward model, made at random."""
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer, spread=0.1), tokenizer)
    return root


def inputs(root) -> PpoInputs:
    from rlhf.params.base import load

    return load(root, PpoInputs)


def test_the_players_are_models_of_their_own(ready):
    models = ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", inputs(ready), seed=1)
    owners = [
        player.parameters() for player in (models.policy, models.reference, models.value_model, models.scorer.model)
    ]
    storages = [weight.data_ptr() for parameters in owners for weight in parameters]
    assert len(set(storages)) == len(storages)
    assert not any(weight.requires_grad for weight in models.reference.parameters())
    assert not any(weight.requires_grad for weight in models.scorer.model.parameters())
    ids = torch.tensor([[20, 21, 22, 23]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    values = experience.values_of(models.value_model, ids, mask, mask[:, -1:])
    assert values.item() == pytest.approx(models.scorer.score_rows([rewards.Sequence([20, 21, 22], 1)], 1)[0], abs=1e-5)


def test_a_value_model_from_the_policy_begins_at_zero(ready):
    toys.set_param(ready, "ppo.value_init", "policy")
    models = ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", inputs(ready), seed=1)
    ids = torch.tensor([[20, 21, 22, 23]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    assert experience.values_of(models.value_model, ids, mask, mask[:, -3:]).tolist() == [[0, 0, 0]]
    run(models, params(value_optimisation={"learning_rate": 0.01}))
    assert experience.values_of(models.value_model, ids, mask, mask[:, -3:]).abs().min() > 0


def test_a_value_model_needs_the_policys_tokens(ready):
    other = toys.tokenizer()
    other.add_tokens(["zebra"])
    toys.save(ready / "data/reward_model/r1", toys.reward_model(other), other)
    with pytest.raises(ValueError, match=r"ppo\.value_init"):
        ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", inputs(ready), seed=1)


def test_prompts_that_are_too_long_are_left_out(tokenizer):
    longest = max(len(prompt.ids) for prompt in prompts(tokenizer))
    kept = ppo.tokenised(tokenizer, toys.prompts(8), params(max_prompt_tokens=longest - 1))
    assert 0 < len(kept) < 8
    with pytest.raises(ValueError, match=r"none of 8 prompts fits into ppo\.max_prompt_tokens 2"):
        ppo.tokenised(tokenizer, toys.prompts(8), params(max_prompt_tokens=2))


def test_the_stage_run_twice_writes_the_same_bytes(ready, tmp_path):
    toys.set_param(ready, "ppo.ptx_coef", 0.5)
    toys.set_param(ready, "ppo.ema_decay", 0.5)
    again = tmp_path / "elsewhere"
    shutil.copytree(ready, again)
    for root in (ready, again):
        ppo.main(root, "r1")
    written = toys.file_bytes(ready / "data/ppo/r1") | toys.file_bytes(ready / "metrics")
    assert written == toys.file_bytes(again / "data/ppo/r1") | toys.file_bytes(again / "metrics")
    assert {"model.safetensors", "config.json", "tokenizer.json", "ppo/r1.json", "plots/ppo/r1.csv"} <= set(written)
    policy, _ = loading.load_policy(ready / "data/ppo/r1", RUNTIME)
    start, _ = loading.load_policy(ready / "data/sft", RUNTIME)
    assert not torch.equal(policy.lm_head.weight, start.lm_head.weight)


def test_another_seed_writes_another_policy(ready, tmp_path):
    again = tmp_path / "elsewhere"
    shutil.copytree(ready, again)
    toys.set_param(again, "seed", 18)
    for root in (ready, again):
        ppo.main(root, "r1")
    name = "data/ppo/r1/model.safetensors"
    assert (ready / name).read_bytes() != (again / name).read_bytes()
