"""The forward pass of GPT-2- and Llama-shaped decoders on a CPU: no padding, few passes over memory, few Python calls.

transformers keeps the weights, their names and their files; where `supports` says no, its own forward pass is used.
What is saved: padding is not computed at all; the last layer computes only the tokens that are asked for; GELU, softmax
and rotation are single passes; a decoding step makes no masks anew and writes keys and values in place.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from stages.core import norms, spans

LLAMAS = {"LlamaModel", "Qwen2Model", "MistralModel"}


class Layer(NamedTuple):
    before_attention: Callable[[Tensor], Tensor]  # the two norms
    before_mlp: Callable[[Tensor], Tensor]
    weight: Tensor  # [D, (H + 2 G) width] of queries, keys and values
    bias: Tensor | None
    out: Callable[[Tensor], Tensor]
    mlp: Callable[[Tensor], Tensor]


class Network(NamedTuple):
    embed: Callable[[Tensor, Tensor], Tensor]  # ids, positions [N] -> [N, D]
    rotation: Callable[[Tensor, Tensor], tuple[Tensor, Tensor] | None]
    layers: list[Layer]
    last_norm: Callable[[Tensor], Tensor]
    heads: tuple[int, int]  # query heads; key and value heads


def supports(model: PreTrainedModel) -> bool:
    """Say whether this module computes exactly what the model's own forward pass does."""
    base, config = model.base_model, model.config
    if next(model.parameters()).device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    if model.training and any(isinstance(part, nn.Dropout) and part.p > 0 for part in model.modules()):
        return False
    if type(base).__name__ == "GPT2Model":
        plain = config.scale_attn_weights and not config.scale_attn_by_inverse_layer_idx
        return plain and config.activation_function in ("gelu_new", "gelu_pytorch_tanh")
    if type(base).__name__ in LLAMAS:
        slides = getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None) is not None
        dropped = model.training and getattr(config, "attention_dropout", 0.0) > 0
        return config.hidden_act == "silu" and not slides and not dropped
    return False


def hidden_states(model: PreTrainedModel, tokens: spans.Stream) -> Tensor:
    """Return the last hidden states of the wanted tokens, in the stream's order: [M, D]."""
    network = _network(model)

    def attend(layer: Layer, x: Tensor, rotation: tuple[Tensor, Tensor] | None, where: list[spans.Span]) -> Tensor:
        return spans.attend(x, layer.weight, layer.bias, network.heads, rotation, where, tokens.shared)

    hidden = _read(network, tokens, attend)
    return hidden if tokens.wanted is None else hidden[tokens.wanted]


def _read(network: Network, tokens: spans.Stream, attend: Callable[..., Tensor]) -> Tensor:
    """Return the last hidden states [M, D] of the sequences' ends; `attend` is a layer's attention, whoever asks."""
    hidden = network.embed(tokens.ids, tokens.positions)
    rotation = network.rotation(hidden, tokens.positions)
    for number, layer in enumerate(network.layers):
        last = number == len(network.layers) - 1
        read = attend(layer, layer.before_attention(hidden), rotation, tokens.last_spans if last else tokens.spans)
        if last and tokens.rows is not None:
            hidden = hidden.index_select(0, tokens.rows)
        hidden = hidden + layer.out(read)
        hidden = hidden + layer.mlp(layer.before_mlp(hidden))
    return network.last_norm(hidden)


class Decoder:
    """Rows of one model, read and continued token by token; keys and values are written where they will stay."""

    def __init__(self, model: PreTrainedModel, most_new_tokens: int):
        self.network = _network(model)
        self.head = model.get_output_embeddings()
        self.most_new_tokens = most_new_tokens
        self.caches: list[tuple[Tensor, Tensor]] = []  # of each layer: keys, values [B, G, capacity, width]
        self.filled = 0
        self.seen = self.positions = torch.empty(0)

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Read left-padded prompts [B, P]; return the logits of their last tokens [B, V]."""
        num_rows, width = ids.shape
        ends = torch.zeros_like(mask)
        ends[:, -1] = True
        tokens = spans.stream(ids, positions, mask.long(), ends, forked=False)
        row, column = mask.nonzero(as_tuple=True)

        def attend(layer: Layer, x: Tensor, rotation: tuple[Tensor, Tensor] | None, where: list[spans.Span]) -> Tensor:
            projected = spans.projections(x, layer.weight, layer.bias, self.network.heads, rotation)
            keys, values = self._empty(num_rows, width, projected[1])
            keys[row, :, column], values[row, :, column] = projected[1:]
            self.caches.append((keys, values))
            return spans.read(*projected, where)[0].flatten(1)

        hidden = _read(self.network, tokens, attend)
        self.filled = width
        self.seen = torch.zeros(num_rows, width + self.most_new_tokens, dtype=hidden.dtype)
        self.seen[:, :width].masked_fill_(~mask, -torch.inf)
        self.positions = positions[:, -1]
        return self.head(hidden)

    def choose(self, rows: Tensor) -> None:
        """Go on with these rows [B'], a row any number of times."""
        self.seen, self.positions = self.seen[rows], self.positions[rows]
        chosen = []
        for keys, values in self.caches:
            new = self._empty_like(keys, len(rows)), self._empty_like(values, len(rows))
            for to, source in zip(new, (keys, values), strict=True):
                to[:, :, : self.filled] = source[rows, :, : self.filled]
            chosen.append(new)
        self.caches = chosen

    def step(self, ids: Tensor) -> Tensor:
        """Append one token to each row [B]; return the logits of what comes next [B, V]."""
        place, end = self.filled, self.filled + 1
        self.positions = self.positions + 1
        asking_heads, read_heads = self.network.heads
        hidden = self.network.embed(ids, self.positions)
        rotation = self.network.rotation(hidden, self.positions)
        seen = self.seen[:, None, None, :end]
        for layer, (keys, values) in zip(self.network.layers, self.caches, strict=True):
            x = layer.before_attention(hidden)
            asking, new_keys, new_values = spans.projections(x, layer.weight, layer.bias, self.network.heads, rotation)
            keys[:, :, place], values[:, :, place] = new_keys, new_values
            grouped = asking.unflatten(1, (read_heads, asking_heads // read_heads))  # [B, G, H / G, width]
            read = functional.scaled_dot_product_attention(grouped, keys[:, :, :end], values[:, :, :end], seen)
            hidden = hidden + layer.out(read.flatten(1))
            hidden = hidden + layer.mlp(layer.before_mlp(hidden))
        self.filled = end
        return self.head(self.network.last_norm(hidden))

    def _empty(self, num_rows: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (num_rows, like.shape[1], width + self.most_new_tokens, like.shape[2])
        return like.new_zeros(shape), like.new_zeros(shape)

    @staticmethod
    def _empty_like(cache: Tensor, num_rows: int) -> Tensor:
        return cache.new_zeros(num_rows, *cache.shape[1:])


def _network(model: PreTrainedModel) -> Network:
    base = model.base_model
    return _gpt2(base) if type(base).__name__ == "GPT2Model" else _llama(base)


def _gpt2(base: nn.Module) -> Network:
    def layer(block) -> Layer:
        attention, mlp = block.attn, block.mlp

        def feed_forward(x: Tensor) -> Tensor:
            inner = torch.addmm(mlp.c_fc.bias, x, mlp.c_fc.weight)
            inner = functional.gelu(inner, approximate="tanh")
            return torch.addmm(mlp.c_proj.bias, inner, mlp.c_proj.weight)

        def out(x: Tensor) -> Tensor:
            return torch.addmm(attention.c_proj.bias, x, attention.c_proj.weight)

        return Layer(block.ln_1, block.ln_2, attention.c_attn.weight, attention.c_attn.bias, out, feed_forward)

    heads = base.config.n_head
    return Network(
        embed=lambda ids, positions: base.wte(ids) + base.wpe(positions),
        rotation=lambda hidden, positions: None,
        layers=[layer(block) for block in base.h],
        last_norm=base.ln_f,
        heads=(heads, heads),
    )


def _llama(base: nn.Module) -> Network:
    def norm(module: nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda x: norms.rms_norm(x, module.weight, module.variance_epsilon)

    def layer(block) -> Layer:
        attention, mlp = block.self_attn, block.mlp
        read = (attention.q_proj, attention.k_proj, attention.v_proj)
        weight = torch.cat([part.weight for part in read]).t()
        bias = torch.cat([part.bias for part in read]) if attention.q_proj.bias is not None else None

        def feed_forward(x: Tensor) -> Tensor:
            return mlp.down_proj(functional.silu(mlp.gate_proj(x)) * mlp.up_proj(x))

        before_mlp = norm(block.post_attention_layernorm)
        return Layer(norm(block.input_layernorm), before_mlp, weight, bias, attention.o_proj, feed_forward)

    def rotation(hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        cosines, sines = base.rotary_emb(hidden, positions.unsqueeze(0))  # [1, N, width], both halves alike
        half = cosines.shape[-1] // 2
        return cosines[0, :, :half], sines[0, :, :half]

    return Network(
        embed=lambda ids, positions: base.embed_tokens(ids),
        rotation=rotation,
        layers=[layer(block) for block in base.layers],
        last_norm=norm(base.norm),
        heads=(base.config.num_attention_heads, base.config.num_key_value_heads),
    )
