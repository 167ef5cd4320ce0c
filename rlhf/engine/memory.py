"""What a stage holds in memory, on paper: weights, gradients, the optimiser's moments, frozen copies, activations.

Bytes of one process; activations are those of `lean`, of the largest micro-batch, and come once a worker.
"""

from typing import NamedTuple

MOST_LOGITS = 2**22  # numbers that exist at once, of logits.
FLOAT32 = 4
PROGRAM = 470 * 2**20  # Python, torch and transformers, before any model
MOMENTS = {"adamw": 8.0, "adamw_8bit": 2.04, "paged_adamw_8bit": 2.04}  # bytes a weight; 8 bits: a scale each 256


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

    def linear(self) -> list[tuple[int, int]]:
        """Return (inputs, outputs) of a layer's linear layers."""
        asked, read = self.queries * self.head, self.keys * self.head
        mlp = [(self.width, self.inner)] * (2 if self.gated else 1) + [(self.inner, self.width)]
        attention = [(self.width, asked), (self.width, read), (self.width, read), (asked, self.width)]
        return attention + mlp

    def backbone(self) -> int:
        """Return the number of weights but for a head, biases left out."""
        layers = self.layers * (sum(inputs * outputs for inputs, outputs in self.linear()) + 2 * self.width)
        return layers + (self.vocab + self.context + 1) * self.width

    def policy(self) -> int:
        """Return the number of a language model's weights."""
        return self.backbone() + (0 if self.tied else self.vocab * self.width)

    def adapters(self, rank: int) -> int:
        """Return the number of weights of LoRA's adapters on all linear layers."""
        fused = [] if self.gated else [(self.width, (self.queries + 2 * self.keys) * self.head)]  # GPT-2's, one layer
        shapes = fused + (self.linear() if self.gated else self.linear()[3:])
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in shapes)


class Work(NamedTuple):
    """The largest micro-batch, and how it is computed."""

    tokens: int
    row: int  # tokens of a row, which attention reads
    low: int  # bytes of a number in products
    scored: int  # tokens whose logits are made; 0 for a scalar's
    recomputed: bool  # gradient checkpointing
    adapted: bool  # adapters alone are trained


class Held(NamedTuple):
    """Bytes."""

    weights: float
    gradients: float
    optimiser: float
    frozen: float
    activations: float
    copies: float = 0.0  # best epoch's, moving average, decoder's

    @property
    def total(self) -> float:
        return sum(self) + PROGRAM


def activations(sizes: Dimensions, work: Work) -> float:
    """Return the bytes that a micro-batch's backward pass needs kept, and those of its chunk of logits."""
    states, layer = work.tokens * sizes.width * FLOAT32, layer_bytes(sizes, work)
    kept = sizes.layers * states + layer if work.recomputed else sizes.layers * layer
    return kept + 4 * states + logits(sizes, work)


def layer_bytes(sizes: Dimensions, work: Work) -> float:
    """Return the bytes that one layer keeps."""
    width, inner = sizes.width, sizes.inner
    asked, read = sizes.queries * sizes.head, sizes.keys * sizes.head
    norms = 2 * width * FLOAT32
    products = width + (asked + 2 * read) + asked + (2 if sizes.gated else 1) * width
    mlp = 4 * inner * work.low if sizes.gated else inner * (2 * work.low + FLOAT32)
    weights_of_attention = sizes.queries * work.row * FLOAT32
    return work.tokens * (norms + products * work.low + mlp + weights_of_attention)


def logits(sizes: Dimensions, work: Work) -> float:
    """Return the bytes of a chunk of logits, and of the output layer's gradient and lower copy."""
    if not work.scored:
        return 0.0
    rows = min(work.scored, max(1, MOST_LOGITS // sizes.vocab))
    lower = 0 if work.low == FLOAT32 else work.low
    head = sizes.vocab * sizes.width * (lower + (0 if work.adapted else FLOAT32))
    return rows * sizes.vocab * (2 * FLOAT32 + lower) + head


def decoding(sizes: Dimensions, rows: int, row: int) -> float:
    """Return the bytes of keys and values of so many rows, written twice while rows are chosen."""
    return 2 * rows * row * sizes.layers * 2 * sizes.keys * sizes.head * FLOAT32


def decoder(sizes: Dimensions, work: Work) -> float:
    """Return the bytes of the copy of the weights that a decoder makes: lower, with adapters merged, side by side."""
    if work.low != FLOAT32:
        return sizes.policy() * work.low
    joined = (sizes.queries + 2 * sizes.keys) * sizes.head * sizes.width if sizes.gated else 0
    merged = sum(inputs * outputs for inputs, outputs in sizes.linear())
    return sizes.layers * FLOAT32 * (merged if work.adapted else joined)
