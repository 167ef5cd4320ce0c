"""PPO: the first ratio is 1, only completions teach, micro-batches change nothing, and a known reward is learned."""

import shutil

import pytest
import torch

from stages import ppo
from stages.core import advantages, chat, clipping, experience, language_modelling, models
from stages.core.experience import Players, Prompt
from stages.params.ppo import Ppo, PpoInputs
from tests import toys

RUNTIME = toys.runtime()


def params(**changes) -> Ppo:
    usual = {"batch_size": 8, "minibatch_size": 8, "micro_batch_size": 8, "max_completion_tokens": 8, "iterations": 1}
    return toys.section(Ppo, "ppo", **{**usual, **changes})


def prompts(tokenizer) -> list[Prompt]:
    return ppo.tokenised(tokenizer, toys.prompts(8), params())


def likes_to_end(model, tokenizer, bias: float = 4.5):
    """Give the policy's head a bias towards EOS, so that episodes have different lengths."""
    head = model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
    head.bias.data[tokenizer.eos_token_id] = bias
    return model


@pytest.fixture(params=["llama", "gpt2"])
def players(request, tokenizer, tmp_path):
    return new_players(tokenizer, tmp_path, request.param)


def new_players(tokenizer, folder, family="llama") -> Players:
    scorer = toys.scorer(folder, toys.reward_model(tokenizer, family), tokenizer)
    value_model = models.load_classifier(folder, RUNTIME)
    policy = likes_to_end(toys.policy(tokenizer, family), tokenizer)
    return Players(policy, value_model, toys.policy(tokenizer, family, seed=5), scorer, tokenizer)


class Batch:
    """One gathered batch with what its updates need."""

    def __init__(self, players: Players, chosen: Ppo):
        self.players = players
        self.seen = experience.gather(players, prompts(players.tokenizer), chosen, RUNTIME, seed=3)
        mask = self.seen.completion_mask
        rewards = advantages.shape_rewards(
            self.seen.scores, self.seen.logprobs, self.seen.reference_logprobs, mask, chosen.kl_coef
        )
        self.estimate = advantages.gae(rewards, self.seen.values, mask, chosen.gamma, chosen.lam)
        self.whitened = advantages.whiten(self.estimate.advantages, mask)

    def policy_losses(self, chosen: Ppo, rows=None, ptx=None):
        learned: list[dict] = []
        rows = torch.arange(8) if rows is None else rows
        losses = ppo.policy_losses(self.players, self.seen, self.whitened, rows, ptx, chosen, RUNTIME, learned)
        return losses, learned

    def value_losses(self, chosen: Ppo):
        return ppo.value_losses(self.players, self.seen, self.estimate.returns, torch.arange(8), chosen, RUNTIME)


def gradients(model, losses) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    total = 0.0
    for loss in losses:
        loss.backward()
        total += loss.item()
    return total, [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]


def assert_same(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    for gradient, also in zip(one, other, strict=True):
        torch.testing.assert_close(also, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_before_the_first_update_every_ratio_is_exactly_1(players, temperature):
    chosen = params(temperature=temperature)
    batch = Batch(players, chosen)
    assert len(set(batch.seen.mask.sum(dim=1).tolist())) > 2  # episodes must be padded, or this test says nothing
    losses, learned = batch.policy_losses(chosen)
    loss = sum(losses)
    assert learned[0]["approx_kl"] == 0.0
    assert learned[0]["clip_share"] == 0.0
    assert loss.item() == pytest.approx(-batch.whitened[batch.seen.completion_mask].mean().item(), abs=1e-6)


def test_before_the_first_update_ratios_are_1_in_any_order_of_rows(players):
    chosen = params()
    losses, learned = Batch(players, chosen).policy_losses(params(micro_batch_size=3), torch.randperm(8))
    list(losses)
    assert learned[0]["approx_kl"] < 1e-10


@pytest.mark.parametrize("size", [1, 3])
def test_micro_batches_change_neither_losses_nor_gradients(players, size):
    batch = Batch(players, params())
    ptx = torch.randint(5, 300, (4, 9))
    expected = gradients(players.policy, batch.policy_losses(params(ptx_coef=0.5), ptx=ptx)[0])
    parts = gradients(players.policy, batch.policy_losses(params(ptx_coef=0.5, micro_batch_size=size), ptx=ptx)[0])
    assert parts[0] == pytest.approx(expected[0], rel=1e-4)
    assert_same(expected[1], parts[1])
    expected = gradients(players.value_model, batch.value_losses(params()))
    parts = gradients(players.value_model, batch.value_losses(params(micro_batch_size=size)))
    assert parts[0] == pytest.approx(expected[0], rel=1e-5)
    assert_same(expected[1], parts[1])


def test_no_gradient_comes_from_prompts_or_padding(players):
    """The loss's gradient by a logit is zero exactly where the next token is not one that the policy chose."""
    batch = Batch(players, params())
    seen = []

    def keep(module, inputs, output):
        output.logits.retain_grad()
        seen.append(output.logits)

    handle = players.policy.register_forward_hook(keep)
    gradients(players.policy, batch.policy_losses(params())[0])
    handle.remove()
    moved = (seen[0].grad != 0).any(-1)  # [B, R + 1], the last predicts nothing
    assert torch.equal(moved[:, :-1], batch.seen.completion_mask)
    assert not moved[:, -1].any()


def test_an_update_moves_log_probabilities_with_their_advantages(players):
    chosen = params(policy_optimisation={"learning_rate": 1e-3, "warmup_steps": 0}, kl_coef=0.0)
    batch = Batch(players, chosen)
    loss, direction = gradients(players.policy, batch.policy_losses(chosen)[0])
    step = 1e-4
    with torch.no_grad():
        for weight, gradient in zip(players.policy.parameters(), direction, strict=True):
            weight -= step * gradient
    later = sum(loss.item() for loss in batch.policy_losses(chosen)[0])
    squared = sum((gradient**2).sum().item() for gradient in direction)
    assert (loss - later) / step == pytest.approx(squared, rel=0.1)  # a finite difference along the gradient


def test_pretraining_text_adds_its_own_gradient(players):
    batch = Batch(players, params())
    ptx = torch.randint(5, 300, (4, 9))
    plain = gradients(players.policy, batch.policy_losses(params())[0])[1]
    both = gradients(players.policy, batch.policy_losses(params(ptx_coef=27.8), ptx=ptx)[0])[1]
    text = gradients(players.policy, [language_modelling.next_token_losses(players.policy, ptx).mean()])[1]
    for one, other, whole in zip(plain, text, both, strict=True):
        torch.testing.assert_close(one + 27.8 * other, whole, rtol=1e-3, atol=1e-4)


def run(players: Players, chosen: Ppo, seed: int = 1, text=None) -> list[dict]:
    return list(ppo.train(players, prompts(players.tokenizer), text, chosen, RUNTIME, seed))


def weights(players: Players) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in players.policy.parameters()])


def test_the_moving_average_is_between_the_start_and_the_end(tokenizer, tmp_path):
    ends = {}
    for decay in (0.0, 0.75):
        players = new_players(tokenizer, tmp_path)
        before = weights(players)
        run(players, params(ema_decay=decay))  # one update
        ends[decay] = weights(players)
    torch.testing.assert_close(ends[0.75], 0.75 * before + 0.25 * ends[0.0], rtol=0, atol=1e-6)
    assert not torch.equal(ends[0.0], before)


def test_the_adaptive_controller_follows_the_measured_kl(tokenizer, tmp_path):
    controller = {"kind": "adaptive", "target": 1e-3, "horizon": 16}
    curve = run(new_players(tokenizer, tmp_path), params(iterations=3, kl_controller=controller))
    for point, after in zip(curve, curve[1:], strict=False):
        assert after["kl_coef"] == clipping.adapted_kl_coef(point["kl_coef"], point["kl"], 1e-3, 16, 8)
        assert after["kl_coef"] != point["kl_coef"]
    fixed = run(new_players(tokenizer, tmp_path), params(iterations=2))
    assert [point["kl_coef"] for point in fixed] == [0.1, 0.1]


def test_what_is_measured_is_said_in_its_unit(players):
    chosen = params(kl_coef=0.3)
    batch = Batch(players, chosen)
    point = run(players, chosen, seed=1)[0]
    assert point["reward"] == pytest.approx(point["score"] - 0.3 * point["kl"], abs=1e-4)
    assert point["step"] == 1
    seen = batch.seen
    rewards = advantages.shape_rewards(
        seen.scores, seen.logprobs, seen.reference_logprobs, seen.completion_mask, chosen.kl_coef
    )
    health = ppo.describe(seen, rewards, batch.estimate, [{"policy_loss": 1.0}, {"policy_loss": 3.0}])
    mask = seen.completion_mask
    assert health["policy_loss"] == 2
    assert health["kl"] == pytest.approx((seen.logprobs - seen.reference_logprobs)[mask].sum().item() / 8, rel=1e-4)
    assert health["kl_exact"] == pytest.approx(seen.kls[mask].sum().item() / 8, rel=1e-4)
    assert health["entropy"] == pytest.approx(seen.entropies[mask].mean().item(), rel=1e-4)
    assert health["completion_tokens"] == mask.sum().item() / 8
    assert health["missing_eos"] == pytest.approx(1 - seen.finished.sum().item() / 8)


def test_a_single_episode_a_batch_has_finite_numbers(tokenizer, tmp_path):
    chosen = params(batch_size=1, minibatch_size=1, max_completion_tokens=1)
    point = run(new_players(tokenizer, tmp_path), chosen)[0]
    assert all(torch.isfinite(torch.tensor(float(value))) for value in point.values())


class KnownReward:
    """Scores an answer by its share of tokens with an even id; stands where a trained reward model would."""

    def __init__(self, tokenizer, model):
        self.tokenizer, self.model = tokenizer, model
        self.start = tokenizer.convert_tokens_to_ids(chat.ASSISTANT)

    def score_rows(self, rows: list[list[int]], batch_size: int) -> list[float]:
        answers = [row[row.index(self.start) + 1 : -1] for row in rows]
        return [sum(token % 2 == 0 for token in answer) / len(answer) if answer else -1.0 for answer in answers]


def test_a_known_reward_is_learned(tokenizer):
    """A random policy learns which tokens to say, and to stop in time."""
    policy, reference = (likes_to_end(toys.policy(tokenizer, spread=0.1), tokenizer) for _ in range(2))
    value_model = toys.reward_model(tokenizer, spread=0.1)
    players = Players(policy, value_model, reference, KnownReward(tokenizer, value_model), tokenizer)
    fast = {"learning_rate": 0.01, "warmup_steps": 0, "schedule": "constant"}
    chosen = params(
        iterations=16, batch_size=32, minibatch_size=16, micro_batch_size=16, max_completion_tokens=4, kl_coef=0.0,
        missing_eos_score=-1.0, inner_epochs=2, policy_optimisation=fast, value_optimisation=fast,
    )  # fmt: skip
    curve = run(players, chosen)
    assert curve[0]["score"] < -0.2
    assert sum(point["score"] for point in curve[-4:]) / 4 > 0.8
    assert curve[-1]["value_loss"] < 0.5 * curve[0]["value_loss"]


KNOBS = {
    "minibatch_size": 4, "inner_epochs": 2, "temperature": 0.8, "max_completion_tokens": 5, "kl_coef": 0.5, "gamma": 0.5,
    "lam": 0.5, "clip_range": 0.001, "value_clip_range": 0.001, "whiten_rewards": True, "missing_eos_score": 9.0,
    "ptx_coef": 1.0, "ptx_ratio": 0.25, "ema_decay": 0.5,
    "kl_controller": {"kind": "adaptive", "target": 0.01, "horizon": 1}, "policy_optimisation": {"learning_rate": 0.02},
    "value_optimisation": {"learning_rate": 0.02},
}  # fmt: skip


@pytest.fixture(scope="module")
def usual_end(tokenizer, tmp_path_factory):
    """The policy's weights after a short run with the usual knobs, and how to run with others."""
    folder = tmp_path_factory.mktemp("players")

    def end(**changes) -> torch.Tensor:
        players = new_players(tokenizer, folder)
        text = torch.arange(5, 59).view(6, 9)
        run(players, params(**{"iterations": 2, "minibatch_size": 2, "kl_coef": 1.0, "ptx_coef": 0.1, **changes}), text=text)
        return weights(players)

    return end(), end


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_changes_the_policy(usual_end, knob):
    usual, end = usual_end
    assert not torch.equal(end(**{knob: KNOBS[knob]}), usual)


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
    from stages.params.base import load

    return load(root, PpoInputs)


def test_the_players_are_models_of_their_own(ready):
    players = ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", inputs(ready), seed=1)
    owners = [player.parameters() for player in (players.policy, players.reference, players.value_model, players.scorer.model)]
    storages = [weight.data_ptr() for parameters in owners for weight in parameters]
    assert len(set(storages)) == len(storages)
    assert not any(weight.requires_grad for weight in players.reference.parameters())
    assert not any(weight.requires_grad for weight in players.scorer.model.parameters())
    ids = torch.tensor([[20, 21, 22, 23]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    values = experience.values_of(players.value_model, ids, mask, num_last=1)
    assert values.item() == pytest.approx(players.scorer.score_rows([[20, 21, 22]], 1)[0], abs=1e-5)


def test_a_value_model_from_the_policy_begins_at_zero(ready):
    toys.set_param(ready, "ppo.value_init", "policy")
    players = ppo.assemble(ready / "data/sft", ready / "data/reward_model/r1", inputs(ready), seed=1)
    ids = torch.tensor([[20, 21, 22, 23]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    assert experience.values_of(players.value_model, ids, mask, num_last=3).tolist() == [[0, 0, 0]]
    run(players, params(value_optimisation={"learning_rate": 0.01}))
    assert experience.values_of(players.value_model, ids, mask, num_last=3).abs().min() > 0


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
    with pytest.raises(ValueError, match=r"none of 8 PPO prompts fits into ppo\.max_prompt_tokens 2"):
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
    policy, _ = models.load_policy(ready / "data/ppo/r1", RUNTIME)
    start, _ = models.load_policy(ready / "data/sft", RUNTIME)
    assert not torch.equal(policy.lm_head.weight, start.lm_head.weight)


def test_another_seed_writes_another_policy(ready, tmp_path):
    again = tmp_path / "elsewhere"
    shutil.copytree(ready, again)
    toys.set_param(again, "seed", 18)
    for root in (ready, again):
        ppo.main(root, "r1")
    name = "data/ppo/r1/model.safetensors"
    assert (ready / name).read_bytes() != (again / name).read_bytes()
