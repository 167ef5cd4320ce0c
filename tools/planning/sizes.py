"""A decoder's sizes: of a named shape, a config.json or a GGUF file. torch is not loaded."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.models import shapes
from rlhf.models.gguf import header, places
from rlhf.params.base import place_of

OURS = {"gpt2", "llama", "mistral", "qwen2"}  # model types that rlhf.engine.lean computes; transformers does others
VOCAB = 50257  # of GPT-2 and GPT-3
PUBLISHED = {  # ids on the hub whose sizes are those of a named shape
    "openai-community/gpt2": "gpt2",
    "openai-community/gpt2-medium": "gpt2-medium",
    "openai-community/gpt2-large": "gpt2-large",
    "openai-community/gpt2-xl": "gpt2-xl",
    "EleutherAI/gpt-neo-125m": "gpt3-small",
    "EleutherAI/gpt-neo-1.3B": "gpt3-xl",
}


class Dimensions(NamedTuple):
    """A decoder's sizes."""

    layers: int
    width: int  # D
    inner: int  # I, of the MLP
    queries: int  # query heads
    keys: int  # key heads, as many value heads
    head: int  # numbers a head
    vocab: int
    context: int  # learned positions; 0: rotary ones
    gated: bool  # SwiGLU; else GELU
    tied: bool  # output layer and embeddings
    ours: bool = True  # our forward pass computes it on a CPU

    @property
    def asked(self) -> int:
        """Numbers of a token's queries."""
        return self.queries * self.head

    @property
    def read(self) -> int:
        """Numbers of a token's keys, and of its values."""
        return self.keys * self.head

    def linear(self) -> list[tuple[int, int]]:
        """Return (inputs, outputs) of a layer's linear layers."""
        mlp = [(self.width, self.inner)] * (2 if self.gated else 1) + [(self.inner, self.width)]
        read = (self.width, self.read)
        return [(self.width, self.asked), read, read, (self.asked, self.width), *mlp]

    def products(self) -> int:
        """Return the number of a layer's weights that stand in products."""
        return sum(inputs * outputs for inputs, outputs in self.linear())

    def backbone(self) -> int:
        """Return the number of weights but for a head, biases left out."""
        return self.layers * (self.products() + 2 * self.width) + (self.vocab + self.context + 1) * self.width

    def policy(self) -> int:
        """Return the number of a language model's weights."""
        return self.backbone() + (0 if self.tied else self.vocab * self.width)

    def adapters(self, rank: int) -> int:
        """Return the number of weights of LoRA's adapters on all linear layers."""
        fused = [] if self.gated else [(self.width, self.asked + 2 * self.read)]  # GPT-2's, one layer
        layers = fused + (self.linear() if self.gated else self.linear()[3:])
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in layers)


def of_params(params: Any, root: Path) -> Dimensions | None:
    """Return the sizes of the model of the params; None for one that cannot be looked at yet, or of another kind."""
    section = params.pretrain
    if section.source == "scratch":
        try:
            return of_shape(section.shape, section.vocab_size)
        except ValueError:  # check says it
            return None
    if section.source in ("gguf", "package"):
        try:
            return of_gguf(header.read(places.file_of(section, root)))
        except (OSError, ValueError, KeyError, TypeError):
            return _of_folders([root / "data/pretrain"])
    found = _of_folders([place_of(section.path, root), root / "data/pretrain"])
    return found or (of_shape(PUBLISHED[section.path], VOCAB) if section.path in PUBLISHED else None)


def taken_from(params: Any, root: Path) -> str | None:
    """Return whose sizes stand for those of a model that is not read yet; None where its own are known."""
    section = params.pretrain
    if section.source == "scratch" or getattr(section, "path", None) not in PUBLISHED:
        return None
    if _of_folders([place_of(section.path, root), root / "data/pretrain"]):
        return None
    return f"{section.path} is not read yet: its sizes are those of the named shape {PUBLISHED[section.path]}"


def _of_folders(folders: list[Path]) -> Dimensions | None:
    for folder in folders:
        try:
            return of_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def of_shape(name: str, vocab: int) -> Dimensions:
    """Return the sizes of a named shape. Raises ValueError as `shapes.named` does."""
    shape = shapes.named(name)
    gated = shape.family == "qwen2"
    inner = shape.width * 8 // 3 // 16 * 16 if gated else 4 * shape.width
    sizes = (shape.layers, shape.width, inner, shape.heads, shape.heads, shapes.head_size(shape), vocab)
    return Dimensions(*sizes, 0 if gated else shape.context, gated, tied=True, ours=shape.family in OURS)


def of_config(config: dict[str, Any]) -> Dimensions:
    """Return the sizes that a config.json of a GPT- or Llama-shaped decoder names. Raises KeyError for others."""
    ours = config.get("model_type", "llama") in OURS
    if "n_embd" in config:  # GPT-2
        width, heads = config["n_embd"], config["n_head"]
        inner = config.get("n_inner") or 4 * width
        sizes = (config["n_layer"], width, inner, heads, heads, width // heads)
        return Dimensions(*sizes, config["vocab_size"], config["n_positions"], False, True)
    if config.get("model_type") == "gpt_neo":
        width, heads = config["hidden_size"], config["num_heads"]
        inner = config.get("intermediate_size") or 4 * width
        sizes = (config["num_layers"], width, inner, heads, heads, width // heads)
        return Dimensions(*sizes, config["vocab_size"], config["max_position_embeddings"], False, True, ours)
    width, heads = config["hidden_size"], config["num_attention_heads"]
    keys, head = config.get("num_key_value_heads") or heads, config.get("head_dim") or width // heads
    sizes = (config["num_hidden_layers"], width, config["intermediate_size"], heads, keys, head)
    return Dimensions(*sizes, config["vocab_size"], 0, True, config.get("tie_word_embeddings", True), ours)


def of_gguf(found: header.Header) -> Dimensions:
    """Return the sizes that the GGUF file of a GPT-2- or Llama-shaped decoder names. KeyError for missing ones."""
    names = ("block_count", "embedding_length", "feed_forward_length", "attention.head_count")
    told = [found.of_model(name) for name in names]
    if None in told:
        raise KeyError(names[told.index(None)])
    layers, width, inner, heads = map(int, told)
    gated = found.architecture != "gpt2"
    keys = int(found.of_model("attention.head_count_kv") or heads)
    head = int(found.of_model("attention.key_length") or width // heads)
    vocab = found.tensors["token_embd.weight"].size // width
    context = 0 if gated else int(found.of_model("context_length"))
    ours = found.architecture in OURS
    return Dimensions(layers, width, inner, heads, keys, head, vocab, context, gated, found.tied, ours)
