"""How many messages a rank sends, and how large they are: of every collective that is dispatched."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NAMES = {"_allgather_base_": "all_gather", "_reduce_scatter_base_": "reduce_scatter", "allreduce_": "all_reduce"}


class Counting(TorchDispatchMode):
    """Counts collectives by their names, and the bytes of the larger side of each."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        if func.namespace == "c10d":
            name = func._schema.name.partition("::")[2]
            name = NAMES.get(name, name)
            tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
            self.messages[name] += 1
            self.bytes[name] += max((one.numel() * one.element_size() for one in tensors), default=0)
        return func(*args, **(kwargs or {}))
