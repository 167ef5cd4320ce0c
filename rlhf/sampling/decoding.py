"""Decoding with a cache of keys and values: what a decoder is, and one by the model's own forward pass."""

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from rlhf.sampling import kv_cache

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
