"""PPO on a language model as small as a bandit finds the optimum that theory names, at several KL coefficients.

With rewards r and coefficient beta, E[r] - beta KL(pi || pi_ref) is largest for pi* proportional to pi_ref exp(r/beta)
(Ziegler et al. 2019, section 2; Korbak et al. 2022). Answers have at most two tokens, so that pi* can be counted out.

Two variants have optima of their own. The adaptive controller ends at the coefficient whose optimum has the target's
KL. PPO-ptx ends where E[r] - beta KL + gamma E_text[log pi] is largest; that point is found here by plain optimisation.
"""

import pytest
import torch

from rlhf.params.ppo import Ppo
from rlhf.rl import advantages, experience
from rlhf.rl.experience import Models, Prompt
from rlhf.rl.loop_state import Data
from stages import ppo
from tests import toys

RUNTIME = toys.runtime()
UNFINISHED = -1.0
TOLERANCE = 0.05  # total variation distance; the start's is four times as large or more (asserted)


def reward(token: int, eos_id: int) -> float:
    """An answer's worth by its first token: ids fall into five classes worth 0 to 1; an empty answer is worth 0."""
    return 0.0 if token == eos_id else (token % 5) / 4


def small(tokenizer, spoken: list[int], bias: float):
    """A policy that says only these tokens, some of them more often, and is biased to end."""
    model = toys.likes_to_end(toys.policy(tokenizer, spread=0.1), tokenizer, bias)
    silent = torch.ones(len(model.get_output_embeddings().bias), dtype=torch.bool)
    silent[[*spoken, tokenizer.eos_token_id]] = False
    model.get_output_embeddings().bias.data[silent] = -30.0
    return model


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


def test_ppo_finds_the_closed_form_optimum(tokenizer):
    """Of a hundred tokens, which takes seconds; at other coefficients of few words, below."""
    beta, eos_id, spoken = 0.5, tokenizer.eos_token_id, list(range(0, len(tokenizer), 3))
    assert len(spoken) > 100
    policy, reference = (small(tokenizer, spoken, bias=3.0) for _ in range(2))
    value_model = toys.reward_model(tokenizer, spread=0.1)
    scorer = toys.KnownReward(tokenizer, value_model, lambda ids: reward(ids[0], eos_id))
    models = Models(policy, value_model, reference, scorer, tokenizer)
    steps = {"warmup_steps": 0, "schedule": "linear", "final_share": 0.0}
    chosen = toys.section(
        Ppo, "ppo", iterations=32, batch_size=256, minibatch_size=128, micro_batch_size=128, max_completion_tokens=2,
        kl_coef=beta, lam=1.0, inner_epochs=2, ema_decay=0.0, missing_eos_score=UNFINISHED,
        policy_optimisation={**steps, "learning_rate": 0.003}, value_optimisation={**steps, "learning_rate": 0.01},
    )  # fmt: skip
    prompts = ppo.tokenised(tokenizer, toys.prompts(1), chosen) * chosen.batch_size
    before = answers(policy, prompts[0], eos_id)
    expected = optimum(answers(reference, prompts[0], eos_id), eos_id, beta)
    for _ in ppo.train(models, Data(prompts, None), chosen, RUNTIME, seed=1):
        pass
    found = answers(policy, prompts[0], eos_id)
    assert distance(before, expected) > 4 * TOLERANCE
    assert distance(found, expected) < TOLERANCE


class FewWords:
    """A policy that knows six words and how to end, worth more from word to word: trained in seconds."""

    def __init__(self, tokenizer, **changes):
        self.eos_id = tokenizer.eos_token_id
        self.words = tokenizer.convert_tokens_to_ids([f"\u0120{word}" for word in toys.WORDS])  # after a space
        steps = {"warmup_steps": 0, "schedule": "linear", "final_share": 0.0}
        self.params = toys.section(
            Ppo, "ppo", batch_size=128, minibatch_size=64, micro_batch_size=64, max_completion_tokens=2, lam=1.0,
            ema_decay=0.0, missing_eos_score=UNFINISHED, policy_optimisation={**steps, "learning_rate": 0.006},
            value_optimisation={**steps, "learning_rate": 0.01}, **changes,
        )  # fmt: skip
        value_model = toys.reward_model(tokenizer, spread=0.1)
        scorer = toys.KnownReward(tokenizer, value_model, lambda ids: self.worth(ids[0]))
        policy, reference = (small(tokenizer, self.words, bias=1.5) for _ in range(2))
        self.models = Models(policy, value_model, reference, scorer, tokenizer)
        self.prompt = ppo.tokenised(tokenizer, toys.prompts(1), self.params)[0]

    def worth(self, token: int) -> float:
        return self.words.index(token) / 5 if token in self.words else 0.0

    def answers(self, model) -> torch.Tensor:
        """Return the probability of every answer that can be said, [7, 2]: an empty one, then those of the words."""
        return answers(model, self.prompt, self.eos_id)[[self.eos_id, *self.words]]

    def optimum(self, beta: float, text_coef: float = 0.0, text: torch.Tensor | None = None) -> torch.Tensor:
        """Return where E[r] - beta KL + text_coef E_text[log pi(first token)] is largest, [7, 2]; text [7]: shares."""
        reference = self.answers(self.models.reference).clamp(min=1e-12)
        worth = torch.tensor([[self.worth(token), UNFINISHED] for token in (self.eos_id, *self.words)]).double()
        logits = (reference.log() + worth / beta).requires_grad_()
        if not text_coef:
            return logits.detach().flatten().softmax(0).view_as(reference)
        optimiser = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            log_p = logits.flatten().log_softmax(0).view_as(reference)
            gain = (log_p.exp() * (worth - beta * (log_p - reference.log()))).sum()
            lost = -gain - text_coef * (text * log_p.logsumexp(dim=1)).sum()
            lost.backward()
            return lost

        optimiser.step(loss)
        return logits.detach().flatten().softmax(0).view_as(reference)

    def kl(self, policy: torch.Tensor) -> float:
        """Return KL(policy || reference) of whole answers in nats: of a sequence, not of a token."""
        reference = self.answers(self.models.reference)
        return torch.where(policy > 0, policy * (policy / reference.clamp(min=1e-12)).log(), 0).sum().item()

    def trained(self, text: torch.Tensor | None = None) -> list[dict]:
        prompts = [self.prompt] * self.params.batch_size
        return list(ppo.train(self.models, Data(prompts, text), self.params, RUNTIME, seed=1))


@pytest.mark.parametrize("beta", [0.25, 1.0])
def test_ppo_finds_the_closed_form_optimum_of_few_words(tokenizer, beta):
    toy = FewWords(tokenizer, iterations=24, kl_coef=beta)
    toy.trained()
    assert distance(toy.answers(toy.models.reference), toy.optimum(beta)) > 4 * TOLERANCE
    assert distance(toy.answers(toy.models.policy), toy.optimum(beta)) < TOLERANCE


@pytest.mark.parametrize("start", [1.0, 0.3])
def test_the_adaptive_controller_ends_at_the_coefficient_whose_optimum_has_the_target_kl(tokenizer, start):
    """From above and from below: theory names the coefficient, the policy and its KL in nats per sequence."""
    target, low, high = 0.4, 0.1, 2.0
    controller = {"kind": "adaptive", "target": target, "horizon": 1024}
    toy = FewWords(tokenizer, iterations=60, kl_coef=start, kl_controller=controller)
    for _ in range(40):  # KL falls as the coefficient rises
        middle = (low + high) / 2
        low, high = (middle, high) if toy.kl(toy.optimum(middle)) > target else (low, middle)
    curve = toy.trained()
    found, beta = toy.answers(toy.models.policy), curve[-1]["kl_coef"]
    assert abs(start - low) > 0.4 * low
    assert beta == pytest.approx(low, rel=0.2)
    assert toy.kl(found) == pytest.approx(target, rel=0.2)
    assert distance(toy.answers(toy.models.reference), toy.optimum(beta)) > 4 * TOLERANCE
    assert distance(found, toy.optimum(beta)) < TOLERANCE


@pytest.mark.parametrize("ptx_coef", [0.0, 4.0])
def test_ppo_ptx_finds_what_reward_kl_and_pretraining_text_want_together(tokenizer, ptx_coef):
    """The text says the two worst words after the prompt. Its weight is told in the loss's unit (Ouyang 2022, eq. 2).

    One update's loss is the mean over tokens of whitened advantages, and the mean over the text's targets. Against the
    sum over an answer's tokens of its advantages the text weighs ptx_coef * tokens an answer * std of advantages / the
    targets of a row, of which one is the word.
    """
    toy = FewWords(tokenizer, iterations=36, kl_coef=0.5, ptx_coef=ptx_coef, ptx_ratio=0.25)
    text = torch.tensor([[*toy.prompt.ids, toy.words[number]] for number in (0, 0, 0, 1)])
    toy.trained(text if ptx_coef else None)
    found = toy.answers(toy.models.policy)
    seen = experience.gather(toy.models, [toy.prompt] * 512, toy.params, RUNTIME, seed=9)
    mask, known = seen.completion_mask, (seen.scores, seen.logprobs, seen.reference_logprobs)
    rewards = advantages.shape_rewards(*known, mask, kl_coef=0.5)
    spread = advantages.gae(rewards, seen.values, mask, 1.0, 1.0).advantages[mask].std().item()
    num_tokens = mask.sum(dim=1).float().mean().item()
    text_coef = ptx_coef * num_tokens * spread / (text.shape[1] - 1)
    expected = toy.optimum(0.5, text_coef, torch.tensor([0.0, 0.75, 0.25, 0, 0, 0, 0]).double())
    if ptx_coef:  # the text must want something else, or this test says nothing
        assert distance(expected, toy.optimum(0.5)) > 4 * TOLERANCE
    assert distance(found, expected) < TOLERANCE
