"""Decoding with a cache of keys and values: what a decoder is, and one by the model's own forward pass."""

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from rlhf.engine import kv_cache, lean, logprobs
from rlhf.models import forward, ways
from rlhf.tokens.batching import position_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Decoder(Protocol):
    """Rows of one model that go on together; a decoder is read once, then chosen and stepped at will."""

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Read left-padded prompts, three [B, P]; return the logits of what comes next [B, V]."""
        ...

    def choose(self, rows: Tensor) -> None:
        """Go on with these rows [B'], a row any number of times."""
        ...

    def step(self, ids: Tensor) -> Tensor:
        """Append one token to each row [B]; return the logits of what comes next [B, V]."""
        ...


class LibraryDecoder:
    """The model's own forward pass, one token at a time."""

    def __init__(self, model: "PreTrainedModel"):
        self.model = model
        self.cache = kv_cache.empty(model.config)
        self.mask = self.positions = torch.empty(0)

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        self.mask, self.positions = mask, positions
        return self._forward(ids)

    def choose(self, rows: Tensor) -> None:
        self.mask, self.positions = self.mask[rows], self.positions[rows]
        self.cache.batch_select_indices(rows)

    def step(self, ids: Tensor) -> Tensor:
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        self.positions = self.positions[:, -1:] + 1
        return self._forward(ids.unsqueeze(1))

    def _forward(self, ids: Tensor) -> Tensor:
        return self.model(
            input_ids=ids,
            attention_mask=self.mask.long(),
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]


class WholeDecoder:
    """The same with a cache of which no rows can be chosen: rows that have left are computed on, for nobody."""

    def __init__(self, model: "PreTrainedModel"):
        self.model = model
        self.rows = torch.empty(0)
        self._begin(torch.empty(0), torch.empty(0), torch.empty(0))

    def _begin(self, ids: Tensor, mask: Tensor, positions: Tensor) -> None:
        self.prompts: tuple[Tensor, Tensor, Tensor] | None = (ids, mask, positions)
        self.within = LibraryDecoder(self.model)

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        self._begin(ids, mask, positions)
        self.rows = torch.arange(len(ids), device=ids.device)
        return self.within.read(ids, mask, positions)

    def choose(self, rows: Tensor) -> None:
        if self.prompts is None:  # after the first step: some of the rows, each once
            self.rows = self.rows[rows]
            return
        ids, mask, positions = self.prompts
        self.read(ids[rows], mask[rows], positions[rows])

    def step(self, ids: Tensor) -> Tensor:
        self.prompts = None
        everyone = ids.new_zeros(len(self.within.mask)).index_copy(0, self.rows, ids)
        return self.within.step(everyone)[self.rows]


class FreshDecoder:
    """No cache: each new token reads all tokens before it again, in time that grows as the square of their number."""

    def __init__(self, model: "PreTrainedModel"):
        self.model = model
        self.ids = self.mask = torch.empty(0)

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:  # noqa: ARG002 - of the mask
        self.ids, self.mask = ids, mask
        return self._logits()

    def choose(self, rows: Tensor) -> None:
        self.ids, self.mask = self.ids[rows], self.mask[rows]

    def step(self, ids: Tensor) -> Tensor:
        self.ids = torch.cat([self.ids, ids.unsqueeze(1)], dim=1)
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        return self._logits()

    def _logits(self) -> Tensor:
        last = torch.zeros_like(self.mask)
        last[:, -1] = True
        hidden = forward.hidden_states(self.model, self.ids, position_ids(self.mask), self.mask.long(), last)
        return logprobs.logits(hidden, forward.output_head(self.model))


LIBRARY = {ways.CACHE: LibraryDecoder, ways.WHOLE: WholeDecoder, ways.FRESH: FreshDecoder}


def decoder(model: "PreTrainedModel", most_new_tokens: int) -> Decoder:
    """Return a decoder with room for so many tokens after the prompts: ours where it is exact for the model."""
    return of_way(model, ways.chosen(model, ways.proven(model).decoding, ways.FRESH), most_new_tokens)


def of_way(model: "PreTrainedModel", way: str, most_new_tokens: int) -> Decoder:
    """Return a decoder that computes in a way, exact for the model or not."""
    return lean.Decoder(model, most_new_tokens) if way == ways.LEAN else LIBRARY[way](model)
