"""Puts LoRA (Hu et al. 2021) on a model's layers by PEFT, merges it, and says what has an adapter and what has none.

PEFT matches layers by their names, and leaves out what it cannot or will not take without a word (experts of some
mixtures, and dense layers beside them). So the layers are listed here first, from the model itself, and what PEFT made
is held against that list. The model stays the transformers model that it was; its wrapped layers are PEFT's.
"""

import copy
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from rlhf.params.optimisation import ALL_LINEAR, Lora

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel

NAME = "default"  # of the one adapter, as PEFT calls it where nobody does
LINEAR = ("Linear", "Conv1D")  # torch's layer, and GPT-2's, which holds its weight turned
POOLERS = ("pooler",)  # parts of a backbone that a classifier draws anew, as it does its head
SHOWN = 6


class Coverage(NamedTuple):
    """Which of a model's weights are trained."""

    adapted: list[str]  # names of layers with an adapter
    heads: list[str]  # names of parts that are trained whole
    without: dict[str, int]  # weights of the backbone, by layer kind and name, that have no adapter; embeddings apart
    trained: int  # weights
    total: int

    def lines(self) -> Iterator[str]:
        """Yield what is said of it."""
        kinds = Counter(name.rsplit(".", 1)[-1] for name in self.adapted)
        layers = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        heads = f"; trained whole: {', '.join(self.heads)}" if self.heads else ""
        share = 100 * self.trained / self.total
        yield f"LoRA on {layers}{heads}; {self.trained:,} of {self.total:,} weights are trained ({share:.2g}%)"
        if self.without:
            kinds_of = ", ".join(f"{name} ({count:,})" for name, count in sorted(self.without.items()))
            yield f"no adapter, and so not trained, weights of: {kinds_of}"


def attach(model: "PreTrainedModel", params: Lora, generator: torch.Generator) -> Coverage:
    """Freeze a model but for its heads, and put adapters in float32 beside its layers; the function stays the same.

    A is drawn from U(-1, 1) / sqrt(its inputs), B is 0. Raises ValueError where a layer that was asked for, or any
    linear layer of the backbone under all-linear, would go without an adapter.
    """
    wanted = layers(model, params.target_modules)
    config = configuration(model, params, wanted)
    inject(model, config, wanted)
    for name, module in adapters(model):
        bound = 1 / math.sqrt(module.in_features)
        draws = torch.rand(module.lora_A[NAME].weight.shape, generator=generator) * 2 - 1
        assert name in wanted
        with torch.no_grad():
            module.lora_A[NAME].weight.copy_(draws * bound)
            module.lora_B[NAME].weight.zero_()
    return coverage(model)


def linear_layers(model: "PreTrainedModel") -> dict[str, nn.Module]:
    """Return every linear layer of a model's backbone by its whole name; heads and poolers are not among them."""
    heads = tuple(f"{name}." for name in heads_of(model))
    return {
        name: module
        for name, module in model.named_modules()
        if type(module).__name__ in LINEAR and not f"{name}.".startswith(heads) and _is_of_backbone(model, name)
    }


def heads_of(model: "PreTrainedModel") -> list[str]:
    """Return the names of the parts that make a classifier's score; a language model's output layer is no such part."""
    if model.get_output_embeddings() is not None:
        return []
    outside = [name for name, part in model.named_children() if name != model.base_model_prefix and _size(part)]
    inside = [
        f"{model.base_model_prefix}.{name}" for name, part in model.base_model.named_children()
        if name in POOLERS and _size(part)
    ]  # fmt: skip
    return outside + inside


def layers(model: "PreTrainedModel", target: str | list[str]) -> list[str]:
    """Return the whole names of the layers that shall have an adapter. Raises ValueError for a name that fits none."""
    known = linear_layers(model)
    if target == ALL_LINEAR:
        if not known:
            raise ValueError(f"lora.target_modules: {type(model).__name__} has no linear layers outside its heads")
        return [*known]
    found = {one: [name for name in known if name == one or name.endswith(f".{one}")] for one in target}
    missing = [one for one, names in found.items() if not names]
    if missing:
        kinds = sorted({name.rsplit(".", 1)[-1] for name in known})
        raise ValueError(
            f"lora.target_modules: no linear layer of the backbone is called {', '.join(missing)}; "
            f"{type(model).__name__} has {', '.join(kinds)}"
        )
    chosen = {name for names in found.values() for name in names}
    return [name for name in known if name in chosen]


def configuration(model: "PreTrainedModel", params: Lora, wanted: Iterable[str]) -> "LoraConfig":
    """Return PEFT's configuration of adapters on exactly these layers."""
    from peft import LoraConfig

    names = [*wanted]
    last = {name.rsplit(".", 1)[-1] for name in names}
    others = [
        name for name, _ in model.named_modules() if name not in names and name.rsplit(".", 1)[-1] in last
    ]  # a head's layer that is called as a backbone's
    heads = heads_of(model)
    return LoraConfig(
        r=params.rank,
        lora_alpha=params.alpha,  # pyright: ignore[reportArgumentType]  # any number serves
        lora_dropout=params.dropout,
        target_modules=sorted(names if others else last),
        modules_to_save=sorted(name.rsplit(".", 1)[-1] for name in heads) or None,
        task_type="SEQ_CLS" if model.get_output_embeddings() is None else "CAUSAL_LM",
        fan_in_fan_out=any(_is_turned(model.get_submodule(name)) for name in names),
    )


def inject(model: "PreTrainedModel", config: "LoraConfig", wanted: Iterable[str]) -> None:
    """Put adapters on the layers, freeze all else but the heads. Raises ValueError where some layer gets none."""
    from peft import inject_adapter_in_model

    plain = copy.deepcopy(config)
    plain.modules_to_save = None  # heads stay where they are: they are trained in place
    try:
        inject_adapter_in_model(plain, model, adapter_name=NAME)
    except ValueError as error:
        raise ValueError(f"lora.target_modules: PEFT takes no adapter on {type(model).__name__}: {error}") from error
    for name in ("peft_config", "_hf_peft_config_loaded"):
        if name in vars(model):
            delattr(model, name)
    learn(model)
    for _, module in adapters(model):
        module.lora_A[NAME].float()
        module.lora_B[NAME].float()
    have = {name for name, _ in adapters(model)}
    missing, more = sorted(set(wanted) - have), sorted(have - set(wanted))
    if missing or more:
        raise ValueError(
            f"lora.target_modules: PEFT put no adapter on {len(missing)} layers of {type(model).__name__} that were "
            f"asked for ({', '.join(missing[:SHOWN])}) and one on {len(more)} others ({', '.join(more[:SHOWN])}); name "
            "layers that it takes, or set lora to null"
        )


def learn(model: "PreTrainedModel") -> None:
    """Let a model's adapters and heads learn, and nothing else."""
    heads = tuple(f"{name}." for name in heads_of(model))
    for name, weight in model.named_parameters():
        weight.requires_grad_(".lora_" in f".{name}" or name.startswith(heads))


def coverage(model: "PreTrainedModel") -> Coverage:
    """Return which weights of a model with adapters are trained, and which of its backbone are in no adapted layer."""
    embeddings = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    output: Any = model.get_output_embeddings()
    heads = heads_of(model)
    free = embeddings | ({id(output.weight)} if output is not None else set())
    without: dict[str, int] = {}
    for name, module in model.named_modules():
        if any(name == head or name.startswith(f"{head}.") for head in heads):
            continue
        for own, weight in module.named_parameters(recurse=False):
            alone = weight.ndim >= 2 and not weight.requires_grad and id(weight) not in free
            if alone and not name.endswith(".base_layer") and ".lora_" not in f"{name}.":
                kind = f"{type(module).__name__} {name.rsplit('.', 1)[-1]}.{own}"
                without[kind] = without.get(kind, 0) + weight.numel()
    weights = [*model.parameters()]
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    total = sum(weight.numel() for weight in weights)
    return Coverage([name for name, _ in adapters(model)], heads, without, trained, total)


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the adapters' and heads' weights as PEFT names them in a folder, without its prefix."""
    return {
        name.replace(f".{NAME}.", "."): weight.detach()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


@torch.no_grad()
def load_trained(model: "PreTrainedModel", found: Mapping[str, Tensor]) -> None:
    """Give adapters and heads the weights that `trained_weights` returned. Raises ValueError where names differ."""
    wanted = trained_weights(model)
    if wanted.keys() != found.keys():
        differing = sorted(wanted.keys() ^ found.keys())
        raise ValueError(f"the adapter's weights are not those that its config names: {', '.join(differing[:SHOWN])}")
    for name, weight in wanted.items():
        if weight.shape != found[name].shape:
            raise ValueError(f"{name}: {list(found[name].shape)} for {list(weight.shape)}")
        weight.copy_(found[name])


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Add what the adapters add to the layers' own weights, in float32, and take the adapters away."""
    for name, module in [*adapters(model)]:
        layer = module.base_layer
        layer.weight = nn.Parameter(layer.weight.float() + module.get_delta_weight(NAME).float())
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer)
    model.requires_grad_(True)


def is_attached(model: nn.Module) -> bool:
    """Say whether a model has adapters."""
    return any(True for _ in adapters(model))


def adapters(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the layers that adapters are on, by name."""
    for name, module in model.named_modules():
        if hasattr(module, "base_layer") and hasattr(module, "lora_A"):
            yield name, module


def _is_turned(layer: Any) -> bool:
    return type(getattr(layer, "base_layer", layer)).__name__ == "Conv1D"


def _is_of_backbone(model: "PreTrainedModel", name: str) -> bool:
    return name.startswith(f"{model.base_model_prefix}.")


def _size(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())
