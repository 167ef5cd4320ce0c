"""What one PPO iteration knows of its episodes: rollouts scored by reward model, value model and reference."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from rlhf.engine import logprobs
from rlhf.grading import gold
from rlhf.models import forward, placement, reward_head, ways
from rlhf.models.reward_head import RewardMeaning
from rlhf.models.sharded import putting
from rlhf.params.ppo import Ppo
from rlhf.params.runtime import Runtime
from rlhf.preferences import rewards
from rlhf.records.types import Message
from rlhf.rewards.weighted import Answered, Part, RewardSum, Scored, alone
from rlhf.rollouts.interface import Answers, Engine, Sampling
from rlhf.rollouts.own import OwnDecoder
from rlhf.runtime import parallel, seeds
from rlhf.sampling import rollouts
from rlhf.sharding import shards
from rlhf.tokens import batching, chat
from rlhf.world.asking.requests import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Models(NamedTuple):
    """The four models of PPO, none sharing a weight with another (Stiennon et al. 2020, G.1).

    `rewards`: the weighted sum that is maximised; None: the trained reward model's score alone.
    `engine`: what draws rollouts, and holds the policy's weights as the loop last sent them; None: our own decoder.
    """

    policy: "PreTrainedModel"
    value_model: "PreTrainedModel"
    reference: "PreTrainedModel"  # frozen
    scorer: rewards.RewardScorer | None  # frozen; None where no reward model is trained
    tokenizer: Any  # the policy's
    rewards: RewardSum | None = None
    engine: Engine | None = None

    def shard(self, runtime: Runtime) -> None:
        """Put them into shards where the params ask for it; adopted models of the rewards stay whole everywhere."""
        scoring = [] if self.scorer is None else [self.scorer.model]
        for model in (self.policy, self.value_model, self.reference, *scoring):
            putting.put(model, runtime)

    def summed(self) -> RewardSum:
        """Return the sum that is maximised."""
        if self.rewards is not None:
            return self.rewards
        assert self.scorer is not None
        return alone(self.scorer)


class Rollouts(NamedTuple):
    """Prompts left-padded and completions right-padded around one column: T = P + R."""

    ids: Tensor  # [B, T]
    mask: Tensor  # [B, T] True on real tokens
    completions: Tensor  # [B, R]
    completion_mask: Tensor  # [B, R] True on real tokens, EOS included


class Experience(NamedTuple):
    """One iteration's episodes: the fields of Rollouts, and what all four models say of them."""

    ids: Tensor  # [B, T]
    mask: Tensor  # [B, T] True on real tokens
    completions: Tensor  # [B, R]
    completion_mask: Tensor  # [B, R] True on real tokens, EOS included
    logprobs: Tensor  # [B, R] of the policy that sampled, by the training forward pass at the rollout temperature
    reference_logprobs: Tensor  # [B, R]
    values: Tensor  # [B, R]
    entropies: Tensor  # [B, R]
    kls: Tensor  # [B, R] exact KL(policy || reference) over the vocabulary
    scores: Tensor  # [B] reward model's, or missing_eos_score
    ended: Tensor  # [B] True where the completion ended with EOS
    terms: Tensor  # [B, M] of the reward, unweighted, where it is a sum of several; M = 0 else
    rollout_logprobs: Tensor  # [B, R] of the engine that sampled, only looked at (`mismatch`); [B, 0] if not asked


class Prompt(NamedTuple):
    id: str
    messages: list[Message]
    ids: list[int]
    language: str  # ISO 639-1, other or und
    task: Task | None = None  # of the embedded world, whose gold can score answers


def gather(models: Models, prompts: list[Prompt], params: Ppo, runtime: Runtime, seed: int) -> Experience:
    """Sample one completion a prompt and score it; `seed` is the iteration's.

    A prompt may stand in several rows: each row draws by its number, so that its answers differ.
    """
    tokenizer, device = models.tokenizer, runtime.device
    left = batching.pad([prompt.ids for prompt in prompts], tokenizer.pad_token_id, "left", device)
    row_seeds = [seeds.derive(seed, f"{row}/{prompt.id}") for row, prompt in enumerate(prompts)]
    ends = rollouts.Ends.of(models.policy, tokenizer)
    sampling = Sampling(params.temperature, params.max_completion_tokens, ends.end_ids, ends.num_tokens)
    answers = _sample(models, [prompt.ids for prompt in prompts], sampling, row_seeds, runtime)
    completions, completion_mask = batching.pad(answers.token_ids, tokenizer.pad_token_id, "right", device)
    ids, mask = torch.cat([left.ids, completions], dim=1), torch.cat([left.mask, completion_mask], dim=1)  # [B, T]
    sampled = Rollouts(ids, mask, completions, completion_mask)
    ended = (torch.isin(completions, torch.tensor(ends.end_ids, device=device)) & completion_mask).any(dim=1)  # [B]
    policy_logprobs, reference_logprobs, values, entropies, kls = _forward(models, sampled, params, runtime)
    scored = _scores(models, prompts, sampled, ended)
    scores = torch.tensor(scored.totals, device=device)  # [B]
    scores = torch.where(ended, scores, torch.full_like(scores, params.missing_eos_score))
    measured = (policy_logprobs, reference_logprobs, values, entropies, kls)
    terms = torch.tensor([scored.by_part[name] for name in models.summed().names], device=device)  # [M, B]
    told = _told(answers, completion_mask)
    return Experience(*sampled, *measured, scores, ended, terms.view(-1, len(prompts)).T, told)


def _sample(
    models: Models, prompts: list[list[int]], sampling: Sampling, row_seeds: list[int], runtime: Runtime
) -> Answers:
    """Return an answer a prompt, by the engine that the models have or by our own decoder."""
    if models.engine is not None:
        return models.engine.answer(prompts, sampling, row_seeds)
    own = OwnDecoder(models.policy, runtime, models.tokenizer.pad_token_id)
    with shards.whole(models.policy):
        return own.answer(prompts, sampling, row_seeds)


def _told(answers: Answers, mask: Tensor) -> Tensor:
    """Return the engine's log-probabilities [B, R], 0 on padding; [B, 0] where it was not asked. mask [B, R]."""
    if answers.logprobs is None:
        return torch.zeros((len(mask), 0), device=mask.device)
    found = torch.zeros(mask.shape, device=mask.device)
    found[mask] = torch.tensor([number for row in answers.logprobs for number in row], device=mask.device)
    return found


def values_of(model: "PreTrainedModel", ids: Tensor, mask: Tensor, completion_mask: Tensor) -> Tensor:
    """Return V(s_t) in the scores' unit before each real completion token: [B, T], [B, R] -> [B, R]."""
    return RewardMeaning.of(model.config).scores(reward_head.token_values(model, ids, mask, completion_mask))


class Window(NamedTuple):
    """Some rows of like length, and the columns outside which all of them are padding."""

    rows: Tensor  # [b] indices into the batch
    columns: slice  # of [B, T] tensors
    width: int  # of [B, R] tensors: columns 0..width hold all real completion tokens


def windows(mask: Tensor, completion_mask: Tensor, rows: Tensor, size: int, num_models: int = 1) -> Iterator[Window]:
    """Yield the rows in windows of at most `size`, shortest first, so that little is computed on padding.

    mask [B, T], completion_mask [B, R], rows [b]. Sums over all windows do not depend on the cut. `num_models`: how
    many have their windows computed at once.
    """
    num_tokens, num_last = mask.shape[1], completion_mask.shape[1]
    order = rows[torch.argsort(mask[rows].sum(dim=1), stable=True)]
    for some in torch.split(order, parallel.part_size(len(order), size, num_models)):
        width = int(completion_mask[some].sum(dim=1).max())
        first = int(mask[some].any(dim=0).int().argmax())
        yield Window(some, slice(first, num_tokens - num_last + width), width)


@torch.no_grad()
def _forward(models: Models, sampled: Rollouts, params: Ppo, runtime: Runtime) -> tuple[Tensor, ...]:
    """Return logprobs, reference_logprobs, values, entropies and exact KLs, all [B, R], 0 on padding."""
    ids, mask, completions, completion_mask = sampled

    def measure(window: Window) -> tuple[Tensor, ...]:
        return shards.within((models.policy, models.reference, models.value_model), lambda: measure_whole(window))

    def measure_whole(window: Window) -> tuple[Tensor, ...]:
        rows, columns, width = window
        some_ids, some_mask, real = ids[rows, columns], mask[rows, columns], completion_mask[rows, :width]
        with placement.precision(runtime):
            states = [
                forward.completion_states(model, some_ids, some_mask, real)
                for model in (models.policy, models.reference)
            ]
            values = values_of(models.value_model, some_ids, some_mask, real)
            head, reference_head = forward.output_head(models.policy), forward.output_head(models.reference)
            sampled = completions[rows, :width][real]
            found = logprobs.measured(states[0], head, states[1], reference_head, sampled, params.temperature)
        of_policy, of_reference, entropies, kls = (forward.spread(each, real) for each in found)
        return of_policy, of_reference, values, entropies, kls

    results = tuple(torch.zeros(completions.shape, device=ids.device) for _ in range(5))
    cut = list(windows(mask, completion_mask, torch.arange(len(ids)), params.micro_batch_size))
    for (rows, _, width), found in zip(cut, parallel.each(measure, cut), strict=True):
        for result, part in zip(results, found, strict=True):
            result[rows, :width] = part * completion_mask[rows, :width]
    return results


def term_means(models: Models, episodes: Experience) -> dict[str, float]:
    """Return the mean of each term of the reward, unweighted; {} where it is no sum of several."""
    means: list[float] = batching.as_list(episodes.terms.mean(dim=0))
    return {f"score_{name}": mean for name, mean in zip(models.summed().names, means, strict=True)}


def golds(models: Models, prompts: list[Prompt], experience: Experience, size: int = 1) -> dict[str, float]:
    """Return the mean gold score of an iteration's completions and its standard error, over prompts with a task.

    size: rows a prompt, which follow one another; their mean counts once, for they are not independent. Where only some
    prompts have a task, also how many; {} where none has. Only looked at: nothing is learned from it.
    """
    found = [
        gold.score(prompt.task, chat.response_text(models.tokenizer, ids)).score
        for prompt, ids in zip(prompts, _unpadded(experience), strict=True)
        if prompt.task is not None
    ]
    if not found:
        return {}
    scores = torch.tensor(found, dtype=torch.float64).view(-1, size).mean(dim=1)  # [prompts]
    error = scores.std(correction=0).item() / len(scores) ** 0.5
    some = {"gold_prompts": len(scores)} if len(found) < len(prompts) else {}
    return {"gold": scores.mean().item(), "gold_error": error, **some}


def _unpadded(episodes: Rollouts | Experience) -> list[list[int]]:
    """Return the token ids of each completion, without padding."""
    lengths: list[int] = batching.as_list(episodes.completion_mask.sum(dim=1))
    rows: list[list[int]] = batching.as_list(episodes.completions)
    return [ids[:length] for ids, length in zip(rows, lengths, strict=True)]


def _scores(models: Models, prompts: list[Prompt], sampled: Rollouts, ended: Tensor) -> Scored:
    """Return the rewards of completions, of which `ended` [B] have an end that is no token of the answer's text."""
    completions, summed = _unpadded(sampled), models.summed()
    texts = [chat.response_text(models.tokenizer, ids) for ids in completions]
    num_tokens = [len(ids) - end for ids, end in zip(completions, batching.as_list(ended.long()), strict=True)]
    answered = Answered([prompt.messages for prompt in prompts], texts, num_tokens)
    found: list[tuple[Part, list[float]]] = []
    for part in summed.parts:
        is_trained = part.scorer is not None and part.scorer is models.scorer
        scores = _trained_scores(models, prompts, completions) if is_trained else part.scores(answered)
        found.append((part, scores))
    return summed.add(found)


def _trained_scores(models: Models, prompts: list[Prompt], completions: list[list[int]]) -> list[float]:
    """Score by token ids where policy and reward model share a tokenizer, else by text."""
    assert models.scorer is not None
    if rewards.same_tokens(models.tokenizer, models.scorer.tokenizer):
        limit = ways.context_of(models.scorer.model)
        rows = [rewards.joined(prompt.ids, ids, limit) for prompt, ids in zip(prompts, completions, strict=True)]
        return models.scorer.score_rows(rows, batch_size=128)
    texts = [chat.response_text(models.tokenizer, ids) for ids in completions]
    return models.scorer.score_texts([prompt.messages for prompt in prompts], texts)
