"""Sampling completions of a policy.

Each row draws from a stream of its own, seeded by its id, so that a completion depends neither on its batch nor on its
place in it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from rlhf.models import decoding
from rlhf.records.types import Message
from rlhf.runtime import parallel, seeds
from rlhf.tokens import batching, chat, turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COMPUTED_IN_VAIN = 0.25  # of a batch's rows have ended before they leave it: choosing rows copies all that was read


class Completions(NamedTuple):
    ids: Tensor  # [B, R] PAD after the end
    mask: Tensor  # [B, R] True on real tokens, EOS included


class Response(NamedTuple):
    text: str
    token_ids: list[int]  # EOS included where it ended
    ended: bool  # with EOS, within the limit


class Sampling(NamedTuple):
    """How completions are drawn: from the pure policy, without top-k, top-p or a minimal length."""

    temperature: float  # 0 is greedy
    max_completion_tokens: int
    seed: int
    batch_size: int  # completions


class Ends(NamedTuple):
    """The tokens that end a completion, the one that stands after it, and how many ids have a token."""

    end_ids: tuple[int, ...]
    pad_id: int
    num_tokens: int | None = None  # ids from here on are never drawn; None: all are tokens

    @classmethod
    def of(cls, model: "PreTrainedModel", tokenizer: Any) -> "Ends":
        """Return the ends of a policy's answers."""
        rows = int(model.config.get_text_config().vocab_size)
        num_tokens = len(tokenizer) if len(tokenizer) < rows else None
        return cls(turns.end_ids(tokenizer, model.generation_config), tokenizer.pad_token_id, num_tokens)


class Step(NamedTuple):
    """The next token of each row in the batch, to be looked at before the next step is asked for."""

    place: int  # of the token in its completion
    rows: Tensor  # [b] of the B
    going: Tensor  # [b] of these: those still being written
    tokens: Tensor  # [b]
    logits: Tensor  # [b, V] in float32: what each was drawn from


def uniforms(seed: int, row_ids: Sequence[str], num_draws: int) -> Tensor:
    """Return [B, num_draws] uniform draws, each row from a stream of its own, so that a row's luck is its own."""
    return uniforms_of([seeds.derive(seed, row_id) for row_id in row_ids], num_draws)


def uniforms_of(row_seeds: Sequence[int], num_draws: int) -> Tensor:
    """Return the same of the rows' own seeds."""
    rows = []
    for seed in row_seeds:
        generator = torch.Generator().manual_seed(seed)
        rows.append(torch.rand(num_draws, generator=generator, dtype=torch.float64))
    return torch.stack(rows)


@torch.no_grad()
def complete(
    model: "PreTrainedModel",
    prompts: batching.Padded,
    draws: Tensor,
    temperature: float,
    ends: Ends,
    owners: Tensor | None = None,
) -> Completions:
    """Return B completions of at most R tokens each, from the pure policy. prompts [U, P], draws [B, R].

    Row b continues the left-padded prompt owners[b], or prompt b where owners [B] are not given; each prompt is read
    once, however many rows continue it.
    temperature 0 is greedy. No top-k, no top-p, no minimal length: a warped sampler is not the policy that PPO trains.
    Rows that have ended leave the batch, some at a time.
    """
    device = prompts.ids.device
    ids = torch.full(draws.shape, ends.pad_id, dtype=torch.long, device=device)  # [B, R]
    mask = torch.zeros(draws.shape, dtype=torch.bool, device=device)  # [B, R]
    reader = decoding.decoder(model, draws.shape[1])
    for place, rows, going, tokens, _ in steps(reader, prompts, draws, temperature, ends, owners):
        ids[rows[going], place], mask[rows[going], place] = tokens[going], True
    return Completions(ids, mask)


@torch.no_grad()
def steps(
    reader: decoding.Decoder,
    prompts: batching.Padded,
    draws: Tensor,
    temperature: float,
    ends: Ends,
    owners: Tensor | None = None,
) -> Iterator[Step]:
    """Yield the tokens of completions, as `complete` returns them, by any decoder that nothing was read by yet."""
    num_rows, limit = draws.shape
    device = prompts.ids.device
    rows = torch.arange(num_rows, device=device)  # in the batch
    going = torch.ones_like(rows, dtype=torch.bool)  # of them: those still being written
    ending = torch.tensor(ends.end_ids, device=device)
    logits = reader.read(prompts.ids, prompts.mask, batching.position_ids(prompts.mask))
    if owners is not None:
        logits = logits[owners]
        reader.choose(owners)
    for t in range(limit):
        likely = logits[:, : ends.num_tokens].float()  # [rows, V]
        token = choose(likely, draws[rows.cpu(), t].to(device), temperature)  # [rows]
        yield Step(t, rows, going, token, likely)
        going &= ~torch.isin(token, ending)
        num_going = int(going.sum())
        if num_going == 0 or t == limit - 1:
            break
        if num_going <= (1 - COMPUTED_IN_VAIN) * len(rows):
            kept = going.nonzero().squeeze(-1)
            rows, going, token = (each[kept] for each in (rows, going, token))
            reader.choose(kept)
        logits = reader.step(token)


def respond(
    model: "PreTrainedModel",
    tokenizer: Any,
    dialogues: Sequence[list[Message]],
    row_ids: Sequence[str],
    sampling: Sampling,
) -> list[Response]:
    """Return one response a dialogue, in the given order; batches are made of prompts of like length."""
    prompts = [chat.prompt_ids(tokenizer, messages) for messages in dialogues]
    ends = Ends.of(model, tokenizer)

    def decode(chosen: list[int]) -> list[Response]:
        places = {ids: place for place, ids in enumerate(dict.fromkeys(tuple(prompts[i]) for i in chosen))}
        batch = batching.pad([*map(list, places)], ends.pad_id, "left", str(model.device))
        owners = torch.tensor([places[tuple(prompts[i])] for i in chosen], device=model.device)
        draws = uniforms(sampling.seed, [row_ids[i] for i in chosen], sampling.max_completion_tokens)
        completions = complete(model, batch, draws, sampling.temperature, ends, owners)
        rows = [ids[: sum(mask)] for ids, mask in zip(completions.ids.tolist(), completions.mask.tolist(), strict=True)]
        return [Response(chat.response_text(tokenizer, tokens), tokens, tokens[-1] in ends.end_ids) for tokens in rows]

    return parallel.by_length(decode, [len(prompt) for prompt in prompts], sampling.batch_size)


def choose(logits: Tensor, draws: Tensor, temperature: float) -> Tensor:
    """Return one token a row: the likeliest at temperature 0, else by inverting the cumulative distribution."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    cumulative = (logits.double() / temperature).softmax(dim=-1).cumsum(dim=-1)  # [B, V]
    threshold = draws.unsqueeze(1) * cumulative[:, -1:]  # [B, 1]
    return (cumulative <= threshold).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
