"""Folders of models that lie in shards: plain safetensors, as `from_pretrained` and vLLM read them.

Weights are gathered one by one and written by the first process, in files of at most LARGEST bytes, so that no process
ever holds more than a file. Adapters are added to their layers on the way.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from rlhf.models import whole_weights
from rlhf.models.whole_weights import Entry
from rlhf.runtime import distributed
from rlhf.sharding import shards

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LARGEST = 5_000_000_000  # bytes of a file, unless a single weight is larger
INDEX = "model.safetensors.index.json"


def save(model: "PreTrainedModel", folder: Path, largest: int = LARGEST) -> None:
    """Write config and weights of a model, its adapters merged, into a folder. Collective in shards."""
    if distributed.is_first():
        write_config(model, folder)
    if _is_converted(model):
        _save_converted(model, folder, largest)
        return
    plan = files(_kept(model, whole_weights.merged_entries(model)), largest)
    weights = whole_weights.merged(model)
    for file, entries in plan.items():
        _write(folder / file, dict(_next(weights, {entry.name for entry in entries})))
    for _ in weights:  # those that are never saved, which all processes gather
        pass
    if len(plan) > 1 and distributed.is_first():
        _write_index(folder, plan)


def files(entries: list[Entry], largest: int) -> dict[str, list[Entry]]:
    """Return which weights go into which file, in their order."""
    parts: list[list[Entry]] = [[]]
    for entry in entries:
        if parts[-1] and sum(other.num_bytes for other in parts[-1]) + entry.num_bytes > largest:
            parts.append([])
        parts[-1].append(entry)
    if len(parts) == 1:
        return {"model.safetensors": parts[0]}
    return {f"model-{number:05d}-of-{len(parts):05d}.safetensors": part for number, part in enumerate(parts, start=1)}


def write_config(model: "PreTrainedModel", folder: Path) -> None:
    """Write what a folder says of its model beside the weights, as `save_pretrained` does."""
    config: Any = model.config
    config.dtype = "float32"
    config.architectures = [shards.kind_of(model).__name__]
    config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)


def _kept(model: "PreTrainedModel", entries: list[Entry]) -> list[Entry]:
    ignored: Any = model._keys_to_ignore_on_save or ()  # noqa: SLF001 - transformers has no public name for it
    return [entry for entry in entries if entry.name not in ignored]


def _next(weights: Iterator[tuple[str, Tensor]], wanted: set[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield the wanted of the weights that come next; only the first process keeps what it has gathered."""
    waiting = set(wanted)
    while waiting:
        name, weight = next(weights)
        if name in waiting:
            waiting.remove(name)
            if distributed.is_first():
                yield name, weight.to("cpu", torch.float32 if weight.is_floating_point() else weight.dtype)


def _write(path: Path, weights: dict[str, Tensor]) -> None:
    if distributed.is_first():
        save_file({name: weight.contiguous() for name, weight in weights.items()}, path, {"format": "pt"})


def _write_index(folder: Path, plan: dict[str, list[Entry]]) -> None:
    total = sum(entry.num_bytes for entries in plan.values() for entry in entries)
    parameters = sum(entry.shape.numel() for entries in plan.values() for entry in entries)
    content = {
        "metadata": {"total_parameters": parameters, "total_size": total},
        "weight_map": {entry.name: file for file, entries in plan.items() for entry in entries},
    }
    (folder / INDEX).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _is_converted(model: "PreTrainedModel") -> bool:
    """Say whether the model's folders name or cut weights otherwise than it does in memory, as mixtures' do."""
    from transformers.conversion_mapping import get_model_conversion_mapping

    known = getattr(model, "_weight_conversions", None)
    return bool(get_model_conversion_mapping(model, add_legacy=False) if known is None else known)


def _save_converted(model: "PreTrainedModel", folder: Path, largest: int) -> None:
    """transformers turns all weights back at once: here the first process holds the whole model for it."""
    found = dict(_next(whole_weights.merged(model), {entry.name for entry in whole_weights.merged_entries(model)}))
    if distributed.is_first():
        model.save_pretrained(folder, state_dict=found, max_shard_size=largest)
        write_config(model, folder)
