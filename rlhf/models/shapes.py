"""Named model shapes: from a test's size to GPT-3's. Layers x width, heads, context as published.

gpt1: Radford et al. 2018; gpt2*: Radford et al. 2019, table 2; gpt3*: Brown et al. 2020, table 2.1, whose alternating
dense and locally banded attention is GPT-Neo's in transformers (gpt3-xl there has 24 heads of 128, which do not make
its width of 2048: here it has 16; 13B's width of 5140 is 5120). tiny to desktop are Llama-shaped (rotary positions,
RMSNorm, SwiGLU), which learns to copy from far fewer tokens than learned positions do.

Each can be asked for at another width, as `gpt3-13b@256`: the same depth and context, and heads of the same size.
"""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import PretrainedConfig


MOST_LAYERS = 1_000  # of a model that is brought: one of more is not built in a life
MOST_WIDTH = 65_536  # of a shape at another width


class Shape(NamedTuple):
    family: str
    layers: int
    width: int
    heads: int
    context: int


SHAPES = {
    "tiny": Shape("qwen2", 2, 64, 2, 192),
    "laptop": Shape("qwen2", 4, 128, 4, 192),
    "notebook": Shape("qwen2", 4, 128, 4, 512),
    "desktop": Shape("qwen2", 6, 256, 4, 512),
    "gpt1": Shape("gpt2", 12, 768, 12, 512),
    "gpt2": Shape("gpt2", 12, 768, 12, 1024),
    "gpt2-medium": Shape("gpt2", 24, 1024, 16, 1024),
    "gpt2-large": Shape("gpt2", 36, 1280, 20, 1024),
    "gpt2-xl": Shape("gpt2", 48, 1600, 25, 1024),
    "gpt3-small": Shape("gpt_neo", 12, 768, 12, 2048),
    "gpt3-medium": Shape("gpt_neo", 24, 1024, 16, 2048),
    "gpt3-large": Shape("gpt_neo", 24, 1536, 16, 2048),
    "gpt3-xl": Shape("gpt_neo", 24, 2048, 16, 2048),
    "gpt3-2.7b": Shape("gpt_neo", 32, 2560, 32, 2048),
    "gpt3-6.7b": Shape("gpt_neo", 32, 4096, 32, 2048),
    "gpt3-13b": Shape("gpt_neo", 40, 5120, 40, 2048),
    "gpt3-175b": Shape("gpt_neo", 96, 12288, 96, 2048),
}


def named(name: str) -> Shape:
    """Return a shape by its name, or by `name@width`. Raises ValueError saying which there are."""
    plain, at, width = name.partition("@")
    shape = SHAPES.get(plain)
    if shape is None:
        raise ValueError(f"expected one of {', '.join(SHAPES)}, or one at another width, such as laptop@256")
    if not at:
        return shape
    size = head_size(shape)
    if not re.fullmatch(r"[1-9][0-9]{0,5}", width) or int(width) % size or int(width) > MOST_WIDTH:
        raise ValueError(f"expected behind {plain}@ a multiple of {size}, the size of its heads, up to {MOST_WIDTH}")
    return shape._replace(width=int(width), heads=int(width) // size)


def head_size(shape: Shape) -> int:
    """Return how many numbers each of a shape's heads has."""
    return shape.width // shape.heads


def config(name: str, vocab_size: int, pad_id: int, eos_id: int) -> "PretrainedConfig":
    """Return the transformers configuration of a named shape. Raises ValueError as `named` does."""
    from transformers import GPT2Config, GPTNeoConfig, Qwen2Config  # here, so that check reads the names in a moment

    shape = named(name)
    tokens: dict[str, Any] = {
        "vocab_size": vocab_size,
        "pad_token_id": pad_id,
        "eos_token_id": eos_id,
        "bos_token_id": eos_id,
    }
    if shape.family == "qwen2":
        return Qwen2Config(
            hidden_size=shape.width,
            intermediate_size=shape.width * 8 // 3 // 16 * 16,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=shape.context,
            use_sliding_window=False,
            tie_word_embeddings=True,
            **tokens,
        )
    if shape.family == "gpt2":
        return GPT2Config(
            n_embd=shape.width, n_layer=shape.layers, n_head=shape.heads, n_positions=shape.context, **tokens
        )
    return GPTNeoConfig(
        hidden_size=shape.width,
        num_layers=shape.layers,
        num_heads=shape.heads,
        max_position_embeddings=shape.context,
        attention_types=[[["global", "local"], shape.layers // 2]],
        window_size=256,
        **tokens,
    )
