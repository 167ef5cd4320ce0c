"""PPO's update with LoRA is the update without it where the two are the same mathematics."""

import torch

from rlhf.lora import attaching
from rlhf.params.ppo import Ppo
from rlhf.rl.loop_state import Data
from stages import ppo
from tests import toys
from tests.engine.test_low_rank import lora

WIDE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj")  # they read states of width 32


def updated(models, tokenizer):
    """Return the policy after two updates, of one iteration."""
    learning = {"learning_rate": 0.01, "warmup_steps": 0, "schedule": "constant"}
    usual = {"iterations": 1, "batch_size": 8, "minibatch_size": 4, "micro_batch_size": 2, "ema_decay": 0.5}
    chosen = toys.section(Ppo, "ppo", **usual, max_completion_tokens=6, policy_optimisation=learning)
    prompts = ppo.tokenised(tokenizer, toys.prompts(8), chosen)
    [*ppo.train(models, Data(prompts, None), chosen, toys.runtime(), 1)]
    return models.policy


def test_with_all_ranks_and_a_the_identity_b_learns_what_the_weights_would(tokenizer, tmp_path):
    """y = x (W + I B): B's gradient is W's, and so are its moments, its steps and its moving average."""
    full, low = (toys.models(tokenizer, tmp_path) for _ in range(2))
    before = {name: weight.detach().clone() for name, weight in full.policy.named_parameters()}
    for name, weight in full.policy.named_parameters():
        weight.requires_grad_(any(f".{one}." in name for one in WIDE))
    chosen = lora(rank=32, alpha=32.0, target_modules=[*WIDE])
    attaching.attach(low.policy, chosen, torch.Generator())
    for _, module in attaching.adapters(low.policy):
        weight = module.lora_A["default"].weight
        weight.requires_grad_(False).copy_(torch.eye(32))
    expected = dict(updated(full, tokenizer).named_parameters())
    found = updated(low, tokenizer)
    attaching.merge(found)
    moved = 0
    for name, weight in found.named_parameters():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-5)
        moved += not torch.equal(weight, before[name])
    assert moved == 2 * len(WIDE)
