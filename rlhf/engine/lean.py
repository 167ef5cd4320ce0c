"""The forward pass of GPT-2- and Llama-shaped decoders on a CPU: no padding, few passes over memory, few Python calls.

transformers keeps the weights, their names and their files; where `supports` says no, its own forward pass is used.
What is saved: padding is not computed at all; the last layer computes only the tokens that are asked for; GELU, softmax
and rotation are single passes; a decoding step makes no masks anew and writes keys and values in place.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from rlhf.engine import activations, attention, gathering, low_rank, norms, products, spans

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LLAMAS = {"LlamaModel", "Qwen2Model", "MistralModel"}
CHECKPOINT: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}  # nothing here draws numbers
OF_GPT2 = {"c_fc", "c_proj", "c_attn"}  # layers whose adapters are read
OF_LLAMAS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


class Layer(NamedTuple):
    before_attention: Callable[[Tensor], Tensor]  # the two norms
    before_mlp: Callable[[Tensor], Tensor]
    project: Callable[[Tensor], Tensor]  # [N, D] -> [N, (H + 2 K) width]: queries, keys and values
    out: Callable[[Tensor], Tensor]
    mlp: Callable[[Tensor], Tensor]


class Network(NamedTuple):
    embed: Callable[[Tensor, Tensor], Tensor]  # ids, positions [N] -> [N, D]
    rotation: Callable[[Tensor, Tensor], tuple[Tensor, Tensor] | None]
    blocks: list[nn.Module]  # the layers' modules
    layers: list[Callable[[], Layer]]  # each reads its weights when it is called, while they are whole
    last_norm: Callable[[Tensor], Tensor]
    heads: tuple[int, int]  # query heads; key and value heads
    checkpointed: bool  # where gradients are wanted, a layer's activations are computed again in the backward pass

    def project(self, layer: Layer, hidden: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the queries, keys and values of a layer's tokens, turned by their positions: [N, (H + 2 K) width]."""
        projected = layer.project(layer.before_attention(hidden))
        return projected if rotation is None else attention.rotated(projected, self.heads, rotation)


def supports(model: "PreTrainedModel") -> bool:
    """Say whether this module computes exactly what the model's own forward pass does."""
    base, config = model.base_model, model.config
    if model.device.type != "cpu":
        return False
    if not low_rank.exact(model, OF_GPT2 if type(base).__name__ == "GPT2Model" else OF_LLAMAS):
        return False
    if model.training and has_dropout(model):
        return False
    if type(base).__name__ == "GPT2Model":
        plain = config.scale_attn_weights and not config.scale_attn_by_inverse_layer_idx
        return plain and config.activation_function in ("gelu_new", "gelu_pytorch_tanh")
    if type(base).__name__ in LLAMAS:
        slides = getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None) is not None
        dropped = model.training and getattr(config, "attention_dropout", 0.0) > 0
        return config.hidden_act == "silu" and not slides and not dropped
    return False


def has_dropout(model: nn.Module) -> bool:
    """Say whether a model drops something while it trains, which this module does not."""
    return any(isinstance(part, nn.Dropout) and part.p > 0 for part in model.modules())


def hidden_states(
    model: "PreTrainedModel", ids: Tensor, positions: Tensor, segments: Tensor, wanted: Tensor, forked: bool
) -> Tensor:
    """Return the last hidden states of the wanted tokens, row after row: [M, D] in float32; as in `spans.stream`."""
    network = _network(model, partial(_each_time, lower=products.lower()))
    embeddings: Any = model.get_input_embeddings()
    dtype = products.dtype(embeddings.weight)
    tokens = spans.stream(ids, positions, segments, wanted, forked, partial(products.num_rows, of=dtype))
    with products.as_written():
        hidden = _read(network, tokens, attention.attend)
    return hidden if tokens.wanted is None else hidden[tokens.wanted]


def _read(network: Network, tokens: spans.Stream, attend: Callable[..., Tensor]) -> Tensor:
    """Return the last hidden states [M, D] of the sequences' ends; `attend` is a layer's attention, whoever asks."""
    hidden = network.embed(tokens.ids, tokens.positions)
    rotation = network.rotation(hidden, tokens.positions)
    num_tokens, num_ends = len(tokens.ids), len(tokens.ids if tokens.rows is None else tokens.rows)
    inner = attention.plan(tokens.groups, network.heads, num_tokens, num_tokens)
    last = inner if tokens.rows is None else attention.plan(tokens.last_groups, network.heads, num_tokens, num_ends)
    again = network.checkpointed and torch.is_grad_enabled()
    for number, (block, layer) in enumerate(zip(network.blocks, network.layers, strict=True)):
        is_last = number == len(network.layers) - 1
        asking = partial(attend, plan=last if is_last else inner)
        through = partial(_through, network, layer, rotation, tokens.rows if is_last else None, asking)
        hidden = gathering.within(block, partial(checkpoint, through, **CHECKPOINT) if again else through, hidden)
    return network.last_norm(hidden)


def _through(
    network: Network,
    make: Callable[[], Layer],
    rotation: tuple[Tensor, Tensor] | None,
    ends: Tensor | None,
    attend: Callable[[Tensor], Tensor],
    hidden: Tensor,
) -> Tensor:
    """Return the states after a layer, [M, D] of [N, D]; `ends`: the tokens that go on, None for all."""
    layer = make()
    projected = network.project(layer, hidden, rotation)
    if ends is not None:
        hidden = hidden.index_select(0, ends)
    hidden = hidden + layer.out(attend(projected))
    return hidden + layer.mlp(layer.before_mlp(hidden))


class Decoder:
    """Rows of one model, read and continued token by token; keys and values are written where they will stay."""

    def __init__(self, model: "PreTrainedModel", most_new_tokens: int):
        made = _network(model, _once)
        self.layers = [make() for make in made.layers]
        self.network = made._replace(layers=[partial(_made, layer) for layer in self.layers])
        head: Any = model.get_output_embeddings()
        self.head = _once([head])
        self.most_new_tokens = most_new_tokens
        self.caches: list[tuple[Tensor, Tensor]] = []  # of each layer: keys, values [B, G, capacity, width], float32
        self.filled = 0
        self.seen = self.positions = torch.empty(0)

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Read left-padded prompts [B, P]; return the logits of their last tokens [B, V]."""
        num_rows, width = ids.shape
        ends = torch.zeros_like(mask)
        ends[:, -1] = True
        tokens = spans.stream(ids, positions, mask.long(), ends, forked=False)
        row, column = mask.nonzero(as_tuple=True)

        def attend(projected: Tensor, plan: attention.Plan) -> Tensor:
            new = [part.float() for part in attention.parts(projected, self.network.heads)[1:]]
            keys, values = self._empty(num_rows, width, new[0])
            keys[row, :, column], values[row, :, column] = new
            self.caches.append((keys, values))
            return attention.read(projected, plan)[0]

        with products.as_written():
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
        hidden = self.network.embed(ids, self.positions)
        rotation = self.network.rotation(hidden, self.positions)
        with products.as_written():
            for layer, (keys, values) in zip(self.layers, self.caches, strict=True):
                projected = self.network.project(layer, hidden, rotation)
                asking, keys[:, :, place], values[:, :, place] = attention.parts(projected, self.network.heads)
                read = self._attend(asking.float(), keys[:, :, :end], values[:, :, :end])
                hidden = hidden + layer.out(read)
                hidden = hidden + layer.mlp(layer.before_mlp(hidden))
            self.filled = end
            return self.head(self.network.last_norm(hidden))

    def _attend(self, asking: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return what one query a row reads, [B, H width]; asking [B, H, width], keys and values [B, G, T, width]."""
        num_rows, num_heads, end, width = keys.shape
        grouped = asking.reshape(num_rows * num_heads, -1, width)  # [B G, H / G, width]
        scores = torch.bmm(grouped, keys.flatten(0, 1).transpose(1, 2)).mul_(width**-0.5)
        scores.view(num_rows, num_heads, -1, end).add_(self.seen[:, None, None, :end])
        return torch.bmm(scores.softmax(-1), values.flatten(0, 1)).view(num_rows, -1)

    def _empty(self, num_rows: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (num_rows, like.shape[1], width + self.most_new_tokens, like.shape[2])
        return like.new_zeros(shape), like.new_zeros(shape)

    @staticmethod
    def _empty_like(cache: Tensor, num_rows: int) -> Tensor:
        return cache.new_zeros(num_rows, *cache.shape[1:])


# Layers that read the same states, side by side; x [N, D] -> [N, E]
Affine = Callable[[Sequence[Any]], Callable[[Tensor], Tensor]]


def _made(layer: Layer) -> Layer:
    return layer


def _network(model: "PreTrainedModel", affine: Affine) -> Network:
    base = model.base_model
    return (_gpt2 if type(base).__name__ == "GPT2Model" else _llama)(base, affine)


def _weight(layer: Any) -> Tensor:
    """Return a layer's weight [D, E]; GPT-2's layers hold it so, others turned."""
    return layer.weight.t() if isinstance(layer, nn.Linear) else layer.weight


def _each_time(modules: Sequence[Any], lower: torch.dtype | None) -> Callable[[Tensor], Tensor]:
    """Lower the weights anew in each product, where a lower dtype is asked for; adapters beside them."""
    layers, adapters = [*map(low_rank.base_of, modules)], [*map(low_rank.adapters_of, modules)]
    weight, bias = _joined([_weight(layer) for layer in layers], layers)
    of = lower or weight.dtype
    product = partial(products.affine, weight=weight, bias=bias, of=of)
    if not any(adapters):
        return product
    widths = [_weight(layer).shape[1] for layer in layers]

    def with_adapters(x: Tensor) -> Tensor:
        low = x.to(of)  # once for all that read it: it is kept for A's gradient
        return low_rank.added(product(low), low, adapters, widths)

    return with_adapters


def _once(modules: Sequence[Any]) -> Callable[[Tensor], Tensor]:
    """Lower the weights now, adapters within them, for many small products."""
    layers = [*map(low_rank.base_of, modules)]
    dtype = products.dtype(layers[0].weight)
    weights = [
        low_rank.merged(_weight(layer), low_rank.adapters_of(module)).to(dtype)
        for layer, module in zip(layers, modules, strict=True)
    ]
    weight, bias = _joined(weights, layers)
    return partial(products.affine, weight=weight, bias=None if bias is None else bias.to(dtype), of=dtype)


def _joined(weights: list[Tensor], layers: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
    """Return several layers' weights and biases as one layer's."""
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    weight = weights[0] if len(weights) == 1 else torch.cat([one.t() for one in weights]).t()
    return weight, (torch.cat(biases) if len(biases) > 1 else biases[0]) if biases else None


def _gpt2(base: Any, affine: Affine) -> Network:
    def layer(block: Any) -> Layer:
        modules = block.mlp.c_fc, block.mlp.c_proj, block.attn.c_attn, block.attn.c_proj
        inner, outer, project, out = (affine([module]) for module in modules)
        return Layer(block.ln_1, block.ln_2, project, out, lambda x: outer(activations.gelu(inner(x))))

    heads = base.config.n_head
    return Network(
        embed=lambda ids, positions: base.wte(ids).float() + base.wpe(positions).float(),
        rotation=lambda _hidden, _positions: None,
        blocks=[*base.h],
        layers=[partial(layer, block) for block in base.h],
        last_norm=base.ln_f,
        heads=(heads, heads),
        checkpointed=base.gradient_checkpointing,
    )


def _llama(base: Any, affine: Affine) -> Network:
    def norm(module: Any) -> Callable[[Tensor], Tensor]:
        return lambda x: norms.rms_norm(x, module.weight, module.variance_epsilon)

    def layer(block: Any) -> Layer:
        attention, mlp = block.self_attn, block.mlp
        project = affine([attention.q_proj, attention.k_proj, attention.v_proj])
        gate, up, down = affine([mlp.gate_proj]), affine([mlp.up_proj]), affine([mlp.down_proj])
        before_attention, before_mlp = norm(block.input_layernorm), norm(block.post_attention_layernorm)
        out = affine([attention.o_proj])
        return Layer(before_attention, before_mlp, project, out, lambda x: down(functional.silu(gate(x)) * up(x)))

    def rotation(hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        cosines, sines = base.rotary_emb(hidden, positions.unsqueeze(0))  # [1, N, width], both halves alike
        half = cosines.shape[-1] // 2
        return cosines[0, :, :half], sines[0, :, :half]

    return Network(
        embed=lambda ids, _positions: base.embed_tokens(ids).float(),
        rotation=rotation,
        blocks=[*base.layers],
        layers=[partial(layer, block) for block in base.layers],
        last_norm=norm(base.norm),
        heads=(base.config.num_attention_heads, base.config.num_key_value_heads),
        checkpointed=base.gradient_checkpointing,
    )
