"""Decoding with a cache of fixed size, on a GPU replayed as a CUDA graph: a step then costs one launch, not hundreds.

A step reads and writes the same places of memory each time: the token, its position, where its keys and values go, and
a mask of what is filled. Rows that have ended are computed on, for nobody, until half of the batch has left: every size
of batch is a graph of its own. **The graphs have not run on a GPU yet**; without them the decoder is tested on CPUs.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WARM_UP = 2  # steps before a capture, in which libraries take the memory that they keep
LEAVE_AT = 0.5  # of the rows that are computed: so many or fewer that go on make a smaller batch


class FixedLayer(DynamicLayer):
    """Keys and values [B, H, L, D] with room for the whole answer; `place` [L, 1] is True where a step's are written.

    All of the store is written again: index_copy_ asks the GPU for its indices where torch shall be deterministic, and
    a graph cannot wait for an answer.
    """

    def __init__(self, place: Tensor):
        super().__init__()
        self.place = place

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = (self._store(states) for states in (key_states, value_states))
            return key_states, value_states
        assert self.keys is not None and self.values is not None
        torch.where(self.place, key_states, self.keys, out=self.keys)
        torch.where(self.place, value_states, self.values, out=self.values)
        return self.keys, self.values

    def choose(self, rows: Tensor) -> None:
        assert self.keys is not None and self.values is not None
        self.keys, self.values = self.keys[rows], self.values[rows]

    def _store(self, states: Tensor) -> Tensor:
        store = states.new_zeros((*states.shape[:-2], len(self.place), states.shape[-1]))
        store[..., : states.shape[-2], :] = states
        return store


class StaticDecoder:
    """A decoder (`rlhf.models.decoding.Decoder`) of a model whose layers keep plain attention's keys and values."""

    def __init__(self, model: "PreTrainedModel", most_new_tokens: int):
        self.model, self.most_new_tokens = model, most_new_tokens
        refuse_other_caches(model)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.rows = self.ids = self.positions = self.place = self.seen = self.logits = torch.empty(0)
        self.layers: list[FixedLayer] = []
        self.cache = DynamicCache(config=model.config)
        self.width = self.steps = 0  # tokens of the prompts, with their padding; and those behind them

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        num_rows, self.width = ids.shape
        capacity = self.width + self.most_new_tokens
        self.place = torch.zeros((capacity, 1), dtype=torch.bool, device=ids.device)
        self.cache = DynamicCache(config=self.model.config)
        self.layers = [FixedLayer(self.place) for _ in self.cache.layers]
        layers: list[Any] = [*self.layers]
        self.cache.layers = layers
        self.positions = positions[:, -1:].clone()
        self.seen = torch.zeros((num_rows, 1, 1, capacity), dtype=torch.bool, device=ids.device)
        self.seen[:, 0, 0, : self.width] = mask
        self.rows, self.steps = torch.arange(num_rows, device=ids.device), 0
        return self._forward(ids, mask.long(), positions)

    def choose(self, rows: Tensor) -> None:
        """Before the first step any rows, each any number of times; afterwards some of them, each once."""
        computed = len(self.positions)
        if self.steps and len(rows) > LEAVE_AT * computed:
            self.rows = self.rows[rows]
            return
        kept = self.rows[rows]
        for layer in self.layers:
            layer.choose(kept)
        self.positions, self.seen = self.positions[kept], self.seen[kept]
        self.rows = torch.arange(len(kept), device=kept.device)
        self.graph = None

    def step(self, ids: Tensor) -> Tensor:
        self.place.zero_()
        self.place[self.width + self.steps] = True
        self.steps += 1
        if len(self.ids) != len(self.positions):
            self.ids = ids.new_zeros((len(self.positions), 1))
        self.ids[self.rows, 0] = ids
        self.positions += 1
        self.seen |= self.place[:, 0]
        if self.ids.device.type == "cuda":
            self._replay()
        else:
            self.logits = self._one()
        return self.logits[self.rows]

    def _replay(self) -> None:
        """Compute a step by the graph; capture it first, where the batch is new."""
        if self.graph is None:
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM_UP):  # the same step again: it writes the same to the same places
                    self._one()
            torch.cuda.current_stream().wait_stream(beside)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.logits = self._one()
        self.graph.replay()

    def _one(self) -> Tensor:
        return self._forward(self.ids, self._mask(), self.positions)

    def _mask(self) -> Tensor:
        """Return what a step may read: True where it may, or what eager attention adds."""
        if self.model.config._attn_implementation != "eager":
            return self.seen
        added = torch.zeros(self.seen.shape, device=self.seen.device)
        return added.masked_fill(~self.seen, torch.finfo(added.dtype).min)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        return self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]


def refuse_other_caches(model: "PreTrainedModel") -> None:
    """Raise ValueError for a model with layers that keep something else: windows, states, compressed keys."""
    kinds = {
        type(layer).__name__ for layer in DynamicCache(config=model.config).layers if type(layer) is not DynamicLayer
    }
    if kinds:
        raise ValueError(
            f"params.yaml: ppo.rollouts.engine: 'static' keeps plain attention's keys and values, and "
            f"{type(model).__name__} has layers of {', '.join(sorted(kinds))}; set it to 'own'"
        )
