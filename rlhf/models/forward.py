"""What a model says of rows of tokens: hidden states where they are asked for, and the layer that makes logits of them.

Our own forward pass (`engine.lean`) computes them where it can, else transformers' own.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rlhf.engine import lean, logprobs
from rlhf.tokens.batching import position_ids, segment_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def hidden_states(
    model: "PreTrainedModel", ids: Tensor, positions: Tensor, segments: Tensor, wanted: Tensor, kind: str = "plain"
) -> Tensor:
    """Return the backbone's last hidden states of the M wanted tokens, row after row: four [B, T] -> [M, D].

    segments: 0 on padding. `kind` of rows: "plain" (one sequence a row, segment 1), "packed" (several, blind to one
    another) or "forked" (segment 1 begins all others of its row).
    """
    if lean.supports(model):
        return lean.hidden_states(model, ids, positions, segments, wanted, kind == "forked")
    readable = segments if kind == "plain" else segment_attention(segments, torch.float32, kind == "forked")
    hidden = model.base_model(input_ids=ids, attention_mask=readable, position_ids=positions, use_cache=False)
    return hidden.last_hidden_state[wanted]


def completion_states(model: "PreTrainedModel", ids: Tensor, mask: Tensor, completion_mask: Tensor) -> Tensor:
    """Return the last hidden states that predict the M real ones of the R last tokens: [B, T], [B, R] -> [M, D]."""
    wanted = torch.zeros_like(mask[:, :-1])
    wanted[:, -completion_mask.shape[1] :] = completion_mask
    read = mask[:, :-1] & mask[:, 1:]  # a sequence's last token predicts nothing
    return hidden_states(model, ids[:, :-1], position_ids(mask)[:, :-1], read.long(), wanted)


def spread(values: Tensor, mask: Tensor) -> Tensor:
    """Return values [M] at the M places where mask [B, R] is True, 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def output_head(model: "PreTrainedModel") -> nn.Linear:
    """Return the layer that makes logits of hidden states. Raises ValueError for models that change logits after it."""
    _check_plain_logits(model)
    head: Any = model.get_output_embeddings()  # declared as any module, or none
    return head


def tied_head(model: "PreTrainedModel") -> logprobs.Head:
    """Return the same of a classifier, whose embeddings are tied. Raises ValueError where they are not."""
    _check_plain_logits(model)
    if not model.config.tie_word_embeddings:
        raise ValueError(
            f"{type(model).__name__} does not tie its output layer to its word embeddings, so a reward model on it "
            "knows no likelihoods; set likelihood_coef to 0, or adopt a base model with tied embeddings (pretrain.path)"
        )
    embeddings: Any = model.get_input_embeddings()  # declared as any module
    return logprobs.Head(embeddings.weight, None)


def _check_plain_logits(model: "PreTrainedModel") -> None:
    for name in ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier"):
        if getattr(model.config, name, None) not in (None, 1, 1.0):
            raise ValueError(
                f"{type(model).__name__} changes its logits by {name}, which is not supported; adopt another base "
                "model (pretrain.path), such as one of the GPT-2, Llama, Qwen or Mistral families"
            )
