"""Keys and values of the tokens read so far, kept with room to grow: a new token is written, nothing is copied."""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

ROOM = 32  # tokens that a copy makes room for


class RoomyLayer(DynamicLayer):
    """transformers' layer of plain attention, whose keys and values [B, H, T, D] are the filled part of larger tensors.

    The library's own layer copies all of them for each new token.
    """

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self.keys, self.values = key_states[..., :0, :], value_states[..., :0, :]
        self._stores: list[Tensor] = [self.keys, self.values]

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        start, end = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        chosen = self.keys.data_ptr() != self._stores[0].data_ptr()  # other rows, by one of the library's methods
        if chosen or self._stores[0].shape[-2] < end:
            self._stores = [_with_room(read, end + ROOM) for read in (self.keys, self.values)]
        for store, states in zip(self._stores, (key_states, value_states), strict=True):
            store[..., start:end, :] = states
        self.keys, self.values = (store[..., :end, :] for store in self._stores)
        return self.keys, self.values


def empty(config: PretrainedConfig) -> DynamicCache:
    """Return an empty cache for a model: layers of plain attention get room, sliding ones stay the library's."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _with_room(read: Tensor, capacity: int) -> Tensor:
    store = torch.empty((*read.shape[:-2], capacity, read.shape[-1]), dtype=read.dtype, device=read.device)
    store[..., : read.shape[-2], :] = read
    return store
