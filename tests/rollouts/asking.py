"""What tests of engines ask alike: prompts, rules of sampling, and what whole forward passes say of the answers."""

import torch

from rlhf.models import whole_weights
from rlhf.rollouts.interface import Answers, Engine, Sampling
from rlhf.runtime import seeds
from rlhf.tokens import chat

TEXTS = ["Say red.", "Who?", "The amber fox sat on the mat.", "blue", "你好", "Say violet. Say silver."]


def prompts(tokenizer) -> list[list[int]]:
    return [chat.prompt_ids(tokenizer, [{"role": "user", "content": text}]) for text in TEXTS]


def sampling(tokenizer, **changes) -> Sampling:
    return Sampling(1.0, 10, (tokenizer.eos_token_id,), None)._replace(**changes)


def asked(engine: Engine, tokenizer, seed: int = 3, rows=None, **changes) -> Answers:
    """Return the answers to all prompts, or to those in some rows."""
    chosen, known = range(len(TEXTS)) if rows is None else rows, prompts(tokenizer)
    row_seeds = [seeds.derive(seed, row) for row in chosen]
    return engine.answer([known[row] for row in chosen], sampling(tokenizer, **changes), row_seeds)


def sync(engine: Engine, version: int, model) -> None:
    engine.load(version, whole_weights.merged(model))


@torch.no_grad()
def of_model(model, tokenizer, answers: Answers, temperature: float = 1.0) -> list[list[float]]:
    """Return what a model says of each answer's tokens, by whole forward passes alone."""
    found = []
    for prompt, ids in zip(prompts(tokenizer), answers.token_ids, strict=True):
        logits = model(input_ids=torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].float()
        found.append((logits / temperature).log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids)].tolist())
    return found


def largest_gap(model, tokenizer, answers: Answers, temperature: float = 1.0) -> float:
    """Return the largest difference between an engine's log-probabilities and a model's."""
    pairs = zip(of_model(model, tokenizer, answers, temperature), answers.logprobs, strict=True)
    return max(abs(one - other) for ours, theirs in pairs for one, other in zip(ours, theirs, strict=True))


def changed(model, seed: int) -> None:
    """Change every weight of a model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
