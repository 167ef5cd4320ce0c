"""The loss of a causal LM on plain text and on dialogues, in nats per token."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rlhf.engine import logprobs
from rlhf.models import forward, placement
from rlhf.params.runtime import Runtime
from rlhf.runtime import parallel
from rlhf.sharding import shards
from rlhf.tokens import batching, markers
from rlhf.training import stored
from rlhf.training.optimisation import MicroBatchLoss

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXTS_AT_ONCE = 1000  # a call of the tokenizer costs more than a text


def token_stream(tokenizer: Any, texts: Iterable[str]) -> Tensor:
    """Return all documents as one row of ids [N], EOS after each; words after a leading space, as in answers.

    Before each stands BOS where the tokenizer itself puts one before a text. The ids lie in a file, see `stored`.
    """
    waiting, begun = iter(texts), markers.bos_ids(tokenizer)

    def documents() -> Iterator[list[int]]:
        while some := [f" {text}" for text in islice(waiting, TEXTS_AT_ONCE)]:
            for ids in markers.texts_ids(tokenizer, some):
                yield [*begun, *ids, tokenizer.eos_token_id]

    found = stored.stream(documents())
    if not len(found):
        raise ValueError("no documents to train on: give collect_prompts a source with documents (use: [documents])")
    return found


def sequences(stream: Tensor, num_tokens: int) -> Tensor:
    """Cut a stream [N] into rows [N // num_tokens, num_tokens]; the rest is left out."""
    if len(stream) < num_tokens:
        raise ValueError(f"the documents hold {len(stream)} tokens, fewer than one sequence of {num_tokens}")
    return stream[: len(stream) // num_tokens * num_tokens].view(-1, num_tokens)


def next_token_losses(model: "PreTrainedModel", ids: Tensor) -> Tensor:
    """Return -log p(token | tokens before) for tokens 1..T-1 of unpadded rows: [B, T] -> [B, T - 1], nats."""
    everywhere = torch.ones_like(ids[:, 1:], dtype=torch.bool)
    positions = torch.arange(ids.shape[1] - 1, device=ids.device).expand_as(everywhere)
    hidden = forward.hidden_states(model, ids[:, :-1], positions, everywhere.long(), everywhere)
    return -logprobs.of_hidden(hidden, forward.output_head(model), ids[:, 1:].flatten()).view(everywhere.shape)


def packed_losses(model: "PreTrainedModel", packed: batching.Packed, targets: Tensor) -> Tensor:
    """Return -log p of the M targets in row order, examples blind to one another: [B, T - 1] -> [M], nats.

    `targets` is True where a token 1..T-1 of a row is asked for; an example's first token must not be.
    """
    hidden = forward.hidden_states(
        model, packed.ids[:, :-1], packed.position_ids[:, :-1], packed.segments[:, :-1], targets, "packed"
    )
    return -logprobs.of_hidden(hidden, forward.output_head(model), packed.ids[:, 1:][targets])


def micro_batch_losses(
    model: "PreTrainedModel", rows: Tensor, most_rows: int, runtime: Runtime
) -> Iterator[Callable[[], MicroBatchLoss]]:
    """Yield the parts of the mean loss on unpadded rows [B, T], at most `most_rows` of them each."""
    num_targets = rows.shape[0] * (rows.shape[1] - 1)

    def share(part: Tensor) -> MicroBatchLoss:
        with placement.precision(runtime):
            losses = next_token_losses(model, part.to(runtime.device))
        return MicroBatchLoss(losses.sum() / num_targets)

    for part in rows.split(parallel.part_size(len(rows), most_rows)):
        yield partial(share, part)


@torch.no_grad()
def mean_loss(model: "PreTrainedModel", rows: Tensor, batch_size: int, runtime: Runtime) -> float:
    """Return the mean loss on rows [N, T] in nats per token, each row on its own."""

    def total(batch: Tensor) -> float:
        with placement.precision(runtime):
            losses = shards.within([model], lambda: next_token_losses(model, batch.to(runtime.device)))
            return losses.double().sum().item()

    return sum(parallel.each(total, rows.split(batch_size))) / (rows.shape[0] * (rows.shape[1] - 1))


def row_batches(rows: Tensor, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Yield batches [batch_size, T] of rows for ever, each epoch in a new order."""
    for chosen in batching.cycle(len(rows), batch_size, seed):
        yield rows[chosen]
