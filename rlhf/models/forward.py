"""What a model says of rows of tokens: hidden states where they are asked for, and what makes logits of them.

Our own forward pass (`engine.lean`) computes them where it can, else transformers' own; only ways that are exact for
the model are used (`ways`).
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rlhf.engine import logprobs, low_rank
from rlhf.models import ways
from rlhf.models.ways import Rows
from rlhf.tokens.batching import position_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def hidden_states(
    model: "PreTrainedModel", ids: Tensor, positions: Tensor, segments: Tensor, wanted: Tensor, kind: str = "plain"
) -> Tensor:
    """Return the last hidden states of the M wanted tokens, row after row: four [B, T] -> [M, D].

    segments: 0 on padding. `kind` of rows: "plain" (one sequence a row, segment 1), "packed" (several, blind to one
    another) or "forked" (segment 1 begins all others of its row).
    """
    rows = Rows(ids, positions, segments, kind)
    return ways.read(model, rows, wanted, ways.chosen(model, ways.of_rows(model, rows), ways.ALONE))


def completion_states(model: "PreTrainedModel", ids: Tensor, mask: Tensor, completion_mask: Tensor) -> Tensor:
    """Return the last hidden states that predict the M real ones of the R last tokens: [B, T], [B, R] -> [M, D]."""
    wanted = torch.zeros_like(mask[:, :-1])
    wanted[:, -completion_mask.shape[1] :] = completion_mask
    read = mask[:, :-1] & mask[:, 1:]  # a sequence's last token predicts nothing
    return hidden_states(model, ids[:, :-1], position_ids(mask)[:, :-1], read.long(), wanted)


def spread(values: Tensor, mask: Tensor) -> Tensor:
    """Return values [M] at the M places where mask [B, R] is True, 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def output_head(model: "PreTrainedModel") -> logprobs.Head:
    """Return what makes logits of hidden states."""
    layer: Any = model.get_output_embeddings()  # declared as any module, or none
    assert not low_rank.is_adapted(layer)  # its weight would be read without the adapter
    proven = ways.proven(model)
    return logprobs.Head(layer.weight, layer.bias, proven.scale, proven.cap)


def tied_head(model: "PreTrainedModel") -> logprobs.Head:
    """Return the same of a classifier, whose embeddings are tied. Raises ValueError where they are not."""
    if not getattr(model.config.get_text_config(), "tie_word_embeddings", False):
        raise ValueError(
            f"{type(model).__name__} does not tie its output layer to its word embeddings, so a reward model on it "
            "knows no likelihoods; set likelihood_coef to 0, or adopt a base model with tied embeddings (pretrain.path)"
        )
    if getattr(model.config, "proven_logits", ()) is None:
        raise ValueError(
            f"{type(model).__name__} has more layers between its backbone and its logits, which a reward model on that "
            "backbone lacks, so it knows no likelihoods; set likelihood_coef to 0, or adopt another base model"
        )
    embeddings: Any = model.get_input_embeddings()  # declared as any module
    proven = ways.proven(model)
    return logprobs.Head(embeddings.weight, None, proven.scale, proven.cap)
