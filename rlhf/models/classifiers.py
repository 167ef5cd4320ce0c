"""One-label classifiers, for rewards and values, on any backbone: transformers' own, or one made as it makes its own.

Of many causal models transformers has no classifier, and a few that it has stand on one pooled token. On such a
backbone one is made here, as `GenericForSequenceClassification` does it: a linear layer on each of its last states.
"""

from typing import Any

import torch
import transformers
from torch import nn


def kinds_of(config: Any) -> list[Any]:
    """Return what may make a classifier of a config, by `from_pretrained` and `from_config`: transformers' own first.

    Raises ValueError for a model that is neither a classifier nor a causal model to transformers.
    """
    kinds: list[Any] = []
    if type(config) in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        kinds.append(transformers.AutoModelForSequenceClassification)
    if type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        kinds.append(_OnBackbone(transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]))
    if not kinds:
        raise ValueError(f"{type(config).__name__} names no model that a reward model can stand on; adopt another one")
    return kinds


def is_encoder(model: nn.Module) -> bool:
    """Say whether a classifier reads in both directions: its head stands on one token that has seen all."""
    return not isinstance(getattr(model, "score", None), nn.Linear)


@torch.no_grad()
def reads_forward(model: Any) -> bool:
    """Say whether the states of a model's backbone know nothing of the tokens behind them."""
    ids = torch.arange(8, device=model.device).remainder(model.config.get_text_config().vocab_size)[None]
    other = ids.clone()
    other[0, -1] = ids[0, 0]
    one, two = (model.base_model(input_ids=each, use_cache=False).last_hidden_state[0, :-1] for each in (ids, other))
    return torch.allclose(one, two, atol=1e-5)


class _OnBackbone:
    """Makes classifiers on the backbone of one causal model's class, as an Auto class of transformers would."""

    def __init__(self, causal: Any):
        from transformers.modeling_layers import GenericForSequenceClassification  # loads all that models need

        family = next(one for one in causal.__mro__[1:] if issubclass(one, transformers.PreTrainedModel))
        name = f"{family.__name__.removesuffix('PreTrainedModel')}ForSequenceClassification"
        prefix = family.base_model_prefix or "model"
        self._made: Any = type(name, (GenericForSequenceClassification, family), {"base_model_prefix": prefix})

    def from_pretrained(self, path: Any, *, trust_remote_code: bool, **more: Any) -> Any:
        assert not trust_remote_code
        return self._made.from_pretrained(path, trust_remote_code=False, **more)

    def from_config(self, config: Any, *, trust_remote_code: bool, **more: Any) -> Any:  # noqa: ARG002
        return self._made._from_config(config, **more)
