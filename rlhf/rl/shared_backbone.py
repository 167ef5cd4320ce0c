"""Models that share frozen weights: each has its own layers and adapters, and the weights lie in memory once.

So nothing is switched on or off between two uses of one model: switching adapters drops gradients, without a word.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rlhf.lora import attaching
from rlhf.lora import folders as adapter_folders
from rlhf.models import classifiers, loading, proof, reading, reward_head
from rlhf.params.optimisation import Lora
from rlhf.params.runtime import Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def twin(module: Any, own: tuple[nn.Module, ...] = ()) -> Any:
    """Return a copy of a module whose weights are the same tensors, but for those of its parts `own`."""
    apart = {id(weight) for part in own for weight in part.parameters()}
    shared: dict[int, Any] = {id(one): one for one in [*module.parameters(), *module.buffers()] if id(one) not in apart}
    return copy.deepcopy(module, shared)


def policy_on(reference: "PreTrainedModel") -> "PreTrainedModel":
    """Return a policy of its own on the weights of a reference."""
    return proof.inherit(twin(reference), reference)


def classifier_on(backbone: nn.Module, config: Any, attention: str) -> "PreTrainedModel":
    """Return a one-label classifier whose backbone is a twin of this one, and whose head is 0.

    Raises ValueError for a model that is no decoder to transformers.
    """
    for kind in classifiers.kinds_of(config):
        with torch.device("meta"):
            model = kind.from_config(copy.deepcopy(config), trust_remote_code=False, attn_implementation=attention)
        if not classifiers.is_encoder(model):
            break
    else:
        raise ValueError(f"{type(config).__name__} has no classifier that could share a policy's backbone")
    setattr(model, model.base_model_prefix, twin(backbone))
    for name, part in model.named_children():
        if name != model.base_model_prefix:
            part.to_empty(device=next(backbone.parameters()).device)
            for weight in part.parameters():
                nn.init.zeros_(weight)
    return model.eval()


def frozen_scorer(folder: Path, reference: "PreTrainedModel", runtime: Runtime, longest: int) -> "PreTrainedModel":
    """Return the reward model of a folder with adapters on the weights of `reference`; they stay apart from those."""
    config = loading.read_config(folder, num_labels=1)
    delattr(config, adapter_folders.KEY)
    loading.set_dropout(config, 0.0)
    model = classifier_on(reference.base_model, config, runtime.attention)
    with reading.folder(folder):
        adapter_folders.put_on(model, folder)
    return loading.proved(model.requires_grad_(False), folder, longest)


def value_model_from(scorer: "PreTrainedModel", lora: Lora, generator: torch.Generator) -> "PreTrainedModel":
    """Return the same function as a reward model's, on the same weights: adapters and head, its own, are trained.

    Adapters that the reward model has are gone on with, at their rank; else new ones are put on.
    """
    head = [part for name, part in scorer.named_children() if name != scorer.base_model_prefix]
    apart = [one for _, module in attaching.adapters(scorer) for one in (module.lora_A, module.lora_B)]
    model = twin(scorer, (*head, *apart, *reward_head.folded_parts(scorer)))
    reward_head.unfold(model)
    if apart:
        attaching.learn(model)
    else:
        attaching.attach(model, lora, generator)
    return proof.inherit(model, scorer)
