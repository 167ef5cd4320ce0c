"""What is measured of a policy: its answers and who likes them, its KL to SFT, its temperatures, its loss on text."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from rlhf.engine import logprobs
from rlhf.evaluation import statistics, verdicts
from rlhf.evaluation.controls import compare, sides
from rlhf.evaluation.statistics import Bootstrap, Interval
from rlhf.evaluation.verdicts import Judged, Key
from rlhf.models import forward, placement
from rlhf.params.evaluate import EvaluateInputs
from rlhf.records.types import Prompt
from rlhf.rewards.scorer import Scorer
from rlhf.rewards.weighted import RewardSum
from rlhf.runtime import parallel, seeds
from rlhf.sampling import rollouts
from rlhf.tokens import batching, chat
from rlhf.tokens.fitting import fitting
from rlhf.training import language_modelling

if TYPE_CHECKING:
    from transformers import PreTrainedModel


AGAIN = 1000  # the first number of the further draws of sampled answers; best of n draws from 1, its curve from 100


class Policy(NamedTuple):
    name: str  # base, sft, feedme, rejection, dpo, ppo (the last round's), ppo_<round> (an earlier one's)
    model: "PreTrainedModel"
    tokenizer: Any


class Scorers(NamedTuple):
    """Who scores answers, and under which settings."""

    reward_model: RewardSum  # what PPO maximised
    judge: Scorer
    params: EvaluateInputs
    bootstrap: Bootstrap


def fit(prompts: list[Prompt], tokenizers: Sequence[Any], max_tokens: int, file: Path) -> list[Prompt]:
    """Return the prompts of at most `max_tokens` under every tokenizer. Raises ValueError where none is left."""
    dialogues, param = [prompt["messages"] for prompt in prompts], "evaluate.max_prompt_tokens"
    kept = set(range(len(prompts)))
    for tokenizer in tokenizers:
        kept &= set(fitting(tokenizer, dialogues, max_tokens, param).kept)
    if not kept:
        raise ValueError(f"{file}: none of {len(prompts)} prompts fits into {param} {max_tokens} for all tokenizers")
    return [prompts[index] for index in sorted(kept)]


def drawn(prompts: list[Prompt], limit: int) -> list[Prompt]:
    """Return at most `limit` prompts in a random order that neither the file nor the run's seed changes.

    Those of slices apart are not among them.
    """
    own = [prompt for prompt in prompts if not prompt.get("apart")]
    return sorted(own, key=lambda prompt: seeds.derive(0, "evaluate", prompt["id"]))[:limit]


def ask(
    policy: Policy, prompts: Sequence[Prompt], temperature: float, scorers: Scorers, draws: range = range(1)
) -> list[rollouts.Response]:
    """Return answers: all prompts for the first draw, then for the next; each draw of a policy has its own luck."""
    params = scorers.params
    dialogues = [prompt["messages"] for _ in draws for prompt in prompts]
    row_ids = [f"{draw}/{prompt['id']}" for draw in draws for prompt in prompts]
    seed = seeds.derive(params.seed, "evaluate", policy.name, str(temperature))
    limit, batch_size = params.evaluate.max_completion_tokens, params.evaluate.batch_size
    sampling = rollouts.Sampling(temperature, limit, seed, batch_size)
    with placement.precision(params.runtime):
        return rollouts.respond(policy.model, policy.tokenizer, dialogues, row_ids, sampling)


def scored(
    prompts: Sequence[Prompt],
    answers: Sequence[rollouts.Response],
    scorers: Scorers,
    by_reward_model: bool = True,
    by_judge: bool = True,
) -> list[Judged]:
    """Return the answers with their scores; where a prompt has no task, the judge decides and is always asked."""
    reward_model = scorers.reward_model if by_reward_model else None
    judge = scorers.judge if by_judge or any("task" not in prompt for prompt in prompts) else None
    return verdicts.judge_answers(prompts, answers, reward_model, judge, scorers.params.evaluate.scoring_batch_size)


def temperature_sweep(policy: Policy, prompts: list[Prompt], scorers: Scorers) -> list[dict[str, Any]]:
    """Return, for each temperature, the win rate on validation prompts against the same policy at temperature 1.

    Win rates and scores are controlled: a temperature is chosen by them, and a closing is not to decide it.
    """
    settings, decoded = scorers.params.evaluate, dict[Key, list[Judged]]()
    for temperature in sorted({*settings.temperatures}):
        answers = ask(policy, prompts, temperature, scorers)
        decoded[policy.name, str(temperature)] = scored(
            prompts, answers, scorers, by_reward_model=False, by_judge=False
        )
    forms = sides.of_policies(prompts, [decoded], scorers.judge, settings.scoring_batch_size)
    found = compare.sweep(forms, (policy.name, "1.0"), settings.tie_threshold, scorers.bootstrap)
    return [
        {"policy": name, "temperature": float(temperature), "win_rate": rate.mean, "low": rate.low, "high": rate.high}
        | {"score": score}
        for (name, temperature), (rate, score) in found.items()
    ]


def sampled_again(policy: Policy, prompts: Sequence[Prompt], scorers: Scorers) -> list[list[Judged]]:
    """Return the further draws of evaluate.sampled_draws, a list over the prompts each: scored by the verdict alone."""
    draws = range(AGAIN, AGAIN + scorers.params.evaluate.sampled_draws - 1)
    answers = ask(policy, prompts, 1.0, scorers, draws) if draws else []
    return _by_draw(prompts, draws, scored([*prompts] * len(draws), answers, scorers, False, False))


def best_of_n(
    sft: Policy, prompts: list[Prompt], scorers: Scorers
) -> tuple[list[dict[int, list[Judged]]], list[dict[str, Any]]]:
    """Return, a draw, the answers that the reward model picks among n for every prompt, and the curve over n on some.

    Draws of their own, so that no pick is the very answer that it is compared with. The judge scores the first draw's.
    """
    settings, batch_size = scorers.params.evaluate.best_of_n, scorers.params.evaluate.scoring_batch_size
    most, picks = max(settings.compare), []
    for draw in range(scorers.params.evaluate.sampled_draws):
        first = 2 * AGAIN + draw * most if draw else 1
        answers = several_draws(sft, prompts, range(first, first + most), scorers)  # [n][prompts]
        rows = [*zip(*answers, strict=True)]
        picks.append({n: [max(row[:n], key=lambda one: one.reward_model) for row in rows] for n in settings.compare})
    messages = [prompt["messages"] for prompt in prompts]
    for n, picked in picks[0].items():
        judged = scorers.judge.score_texts(messages, [answer.text for answer in picked], batch_size)
        picks[0][n] = [answer._replace(judge=score) for answer, score in zip(picked, judged, strict=True)]
    chosen = [prompt for prompt in prompts if "task" in prompt] or prompts
    drawn_again = several_draws(sft, chosen[: settings.curve_prompts], range(100, 100 + settings.curve_draws), scorers)
    proxy = np.array([[answer.reward_model for answer in row] for row in drawn_again]).T  # [B, N]
    score = np.array([[answer.verdict for answer in row] for row in drawn_again]).T  # [B, N]
    curve = []
    for n in settings.curve:
        found = statistics.mean_interval(statistics.best_of_n(proxy, score, n), scorers.bootstrap)
        rewards, oracle = statistics.best_of_n(proxy, proxy, n).mean(), statistics.best_of_n(score, score, n).mean()
        row = {"n": n, "kl": statistics.best_of_n_kl(n), "reward_model": float(rewards), "score": found.mean}
        curve.append({**row, "low": found.low, "high": found.high, "oracle": float(oracle)})
    return picks, curve


def several_draws(policy: Policy, prompts: list[Prompt], draws: range, scorers: Scorers) -> list[list[Judged]]:
    """Return one list over the prompts for each draw: sampled answers, scored by the reward model and the verdict."""
    answers = ask(policy, prompts, 1.0, scorers, draws)
    return _by_draw(prompts, draws, scored([*prompts] * len(draws), answers, scorers, by_judge=False))


def _by_draw(prompts: Sequence[Prompt], draws: range, answers: Sequence[Judged]) -> list[list[Judged]]:
    waiting = iter(answers)
    return [list(islice(waiting, len(prompts))) for _ in draws]


def divergence(
    policy: Policy, sft: Policy, prompts: list[Prompt], answers: list[rollouts.Response], scorers: Scorers
) -> tuple[Interval, float]:
    """Return KL(policy || SFT) on the policy's sampled answers: nats an answer with its interval, nats a token."""
    nats = exact_kls(policy, sft, prompts, answers, scorers)
    num_tokens = sum(len(answer.token_ids) for answer in answers)
    return statistics.mean_interval(nats, scorers.bootstrap), sum(nats) / num_tokens


def exact_kls(
    policy: Policy, sft: Policy, prompts: list[Prompt], answers: list[rollouts.Response], scorers: Scorers
) -> list[float]:
    """Return, for each sampled answer, the sum over its tokens of KL(policy || SFT) over the whole vocabulary, in nats.

    Its mean over answers estimates the same KL of answers as the log ratio of what was drawn (the expectation over each
    next token is computed and not drawn), with less variance. Each model reads the prompt in its own template.
    """
    models, tokens = (policy, sft), [answer.token_ids for answer in answers]
    read = [[chat.prompt_ids(one.tokenizer, prompt["messages"]) for prompt in prompts] for one in models]
    pad_id, device = policy.tokenizer.pad_token_id, str(policy.model.device)

    def measure(chosen: list[int]) -> list[float]:
        right, states = batching.pad([tokens[i] for i in chosen], pad_id, "right", device), []
        for one, own in zip(models, read, strict=True):
            left = batching.pad([own[i] for i in chosen], pad_id, "left", device)
            ids, mask = torch.cat([left.ids, right.ids], dim=1), torch.cat([left.mask, right.mask], dim=1)
            states.append(forward.completion_states(one.model, ids, mask, right.mask))
        heads = [forward.output_head(one.model) for one in models]
        found = logprobs.measured(states[0], heads[0], states[1], heads[1], right.ids[right.mask], temperature=1.0)
        rows: list[list[float]] = batching.as_list(forward.spread(found.kls, right.mask))
        return [sum(row[: len(tokens[index])]) for index, row in zip(chosen, rows, strict=True)]

    lengths = [len(prompt) + len(own) for prompt, own in zip(read[0], tokens, strict=True)]
    with torch.no_grad(), placement.precision(scorers.params.runtime):
        return parallel.by_length(measure, lengths, scorers.params.evaluate.scoring_batch_size)


def analytic(n: int, picked: list[Judged]) -> tuple[Interval, float]:
    """Return the KL of best-of-n, which needs no estimate: nats an answer, nats a token (EOS counted)."""
    nats = statistics.best_of_n_kl(n)
    tokens = sum(answer.num_tokens + answer.ended for answer in picked) / len(picked)
    return Interval(nats, nats, nats), nats / tokens


def loss_on_documents(policy: Policy, rows: torch.Tensor, scorers: Scorers) -> float:
    """Return the loss on held-out pretraining text in nats per token: what a policy forgot is its alignment tax."""
    params = scorers.params
    return language_modelling.mean_loss(policy.model, rows, params.evaluate.scoring_batch_size, params.runtime)


def mean_verdict(answers: Sequence[Judged]) -> float:
    return sum(answer.verdict for answer in answers) / len(answers)
