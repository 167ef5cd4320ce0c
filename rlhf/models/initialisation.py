"""A start that lets a small model learn to copy: heads that look at the token before, and first updates on repetition.

Copying a name from the prompt takes two layers: one writes to each position which token came before it, the next looks
for positions whose predecessor is the present token (induction heads, Olsson et al. 2022). At laptop sizes the first
half is what training takes longest to find, so it is given, in the manner of Trockman & Kolter (2023); everything stays
trainable.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STRENGTH = 4.5  # of the biases: with it the previous token gets about 0.8 of a head's attention before training
ROTARY_PAIRS = 6  # of the fastest ones, which tell neighbours apart


def add_previous_token_heads(model: "PreTrainedModel", num_heads: int) -> None:
    """Set the query and key biases of the first layer's first heads so that they attend to the token before.

    With rotary positions, q = (a, 0) and k = (a cos w, a sin w) in a pair of frequency w have their largest product at
    distance 1, whatever the tokens are. Raises ValueError for a model without rotary positions and attention biases.
    """
    layers = getattr(model.base_model, "layers", None)
    first = layers[0].self_attn if layers is not None else None
    attention: Any = first  # nn.Module declares no attributes
    if not isinstance(first, nn.Module) or getattr(attention.q_proj, "bias", None) is None:
        raise ValueError("params.yaml: pretrain.previous_token_heads: this shape has no rotary attention biases; set 0")
    width = attention.head_dim
    base = model.config.rope_parameters["rope_theta"]
    pairs = min(ROTARY_PAIRS, width // 2)
    frequencies = base ** (-torch.arange(0, 2 * pairs, 2).float() / width)
    with torch.no_grad():
        queries, keys = attention.q_proj.bias.view(-1, width), attention.k_proj.bias.view(-1, width)
        if num_heads > min(len(queries), len(keys)):
            raise ValueError(
                f"params.yaml: pretrain.previous_token_heads: the shape has only {len(keys)} heads a layer"
            )
        queries[:num_heads, :pairs] = STRENGTH
        keys[:num_heads, :pairs] = STRENGTH * frequencies.cos()
        keys[:num_heads, width // 2 : width // 2 + pairs] = STRENGTH * frequencies.sin()


def repeated_rows(num_rows: int, num_tokens: int, vocab_size: int, generator: torch.Generator) -> torch.Tensor:
    """Return rows [num_rows, num_tokens] of random tokens that repeat with a period of 6 to 24 tokens.

    Nothing but copying predicts them, so that the first updates on such rows form the induction heads that text alone
    forms late. Tokens are drawn by rank (BPE numbers them roughly by frequency) with weight 1 / rank^0.7.
    """
    weights = torch.arange(1, vocab_size + 1).float() ** -0.7
    rows = []
    for _ in range(num_rows):
        period = int(torch.randint(6, 25, (1,), generator=generator))
        tokens = torch.multinomial(weights, period, generator=generator)
        rows.append(tokens.repeat(num_tokens // period + 1)[:num_tokens])
    return torch.stack(rows)
