"""PPO on a language model as small as a bandit finds the optimum that theory names, at several KL coefficients.

With rewards r and coefficient beta, E[r] - beta KL(pi || pi_ref) is largest for pi* proportional to pi_ref exp(r/beta)
(Ziegler et al. 2019, section 2; Korbak et al. 2022). Answers have at most two tokens, so that pi* can be counted out.
"""

import pytest
import torch

from stages import ppo
from stages.core.experience import Players, Prompt
from stages.params.ppo import Ppo
from tests import toys

RUNTIME = toys.runtime()
UNFINISHED = -1.0
TOLERANCE = 0.05  # total variation distance; the start's is four times as large or more (asserted)


def reward(token: int, eos_id: int) -> float:
    """An answer's worth by its first token: ids fall into five classes worth 0 to 1; an empty answer is worth 0."""
    return 0.0 if token == eos_id else (token % 5) / 4


def small(tokenizer):
    """A policy that prefers some words, and ends most answers after the first."""
    return toys.likes_to_end(toys.policy(tokenizer, spread=0.1), tokenizer, bias=4.0)


@torch.no_grad()
def answers(model, prompt: Prompt, eos_id: int) -> torch.Tensor:
    """Return the probability of every answer, [V, 2]: by first token, ended or not; an empty answer has ended."""
    first = model(input_ids=torch.tensor([prompt.ids])).logits[0, -1].double().softmax(-1)  # [V]
    rows = torch.tensor([[*prompt.ids, token] for token in range(len(first))])
    end = model(input_ids=rows).logits[:, -1].double().softmax(-1)[:, eos_id]  # [V]
    end[eos_id] = 1.0
    return torch.stack([first * end, first * (1 - end)], dim=1)


def optimum(reference: torch.Tensor, eos_id: int, beta: float) -> torch.Tensor:
    """Return pi*, [V, 2]."""
    worth = torch.tensor([[reward(token, eos_id), UNFINISHED] for token in range(len(reference))], dtype=torch.float64)
    weighted = reference * (worth / beta).exp()
    return weighted / weighted.sum()


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return 0.5 * (one - other).abs().sum().item()


@pytest.mark.parametrize("beta", [0.25, 0.5, 1.0])
def test_ppo_finds_the_closed_form_optimum(tokenizer, beta):
    policy, reference, value_model = small(tokenizer), small(tokenizer), toys.reward_model(tokenizer, spread=0.1)
    eos_id = tokenizer.eos_token_id
    scorer = toys.KnownReward(tokenizer, value_model, lambda ids: reward(ids[0], eos_id))
    players = Players(policy, value_model, reference, scorer, tokenizer)
    steps = {"warmup_steps": 0, "schedule": "linear", "final_share": 0.0}
    chosen = toys.section(
        Ppo, "ppo", iterations=40, batch_size=512, minibatch_size=256, micro_batch_size=256, max_completion_tokens=2,
        kl_coef=beta, lam=1.0, inner_epochs=2, missing_eos_score=UNFINISHED,
        policy_optimisation={**steps, "learning_rate": 0.003}, value_optimisation={**steps, "learning_rate": 0.01},
    )  # fmt: skip
    prompts = ppo.tokenised(tokenizer, toys.prompts(1), chosen) * 512
    before = answers(policy, prompts[0], eos_id)
    expected = optimum(answers(reference, prompts[0], eos_id), eos_id, beta)
    for _ in ppo.train(players, prompts, None, chosen, RUNTIME, seed=1):
        pass
    found = answers(policy, prompts[0], eos_id)
    assert distance(before, expected) > 4 * TOLERANCE
    assert distance(found, expected) < TOLERANCE
