"""The terms of memory: what weights, gradients, moments, activations, logits and caches take, in bytes, on paper.

Activations are those of `rlhf.engine.lean`: what its backward pass needs kept of one part.
"""

import math
from typing import NamedTuple

from rlhf.engine.memory import MOST_LOGITS
from tools.planning.sizes import Dimensions

FLOAT32, BFLOAT16 = 4, 2
PROGRAM = 470 * 2**20  # Python, torch and transformers, before any model
PRIMITIVES = 100e6  # oneDNN's programs for bfloat16 products on a CPU
BASELINE = 180e6  # scikit-learn and SciPy, which the reward model's TF-IDF baseline loads, with its features
RECORD = 2e3  # of a dialogue in Python: texts, ids, masks; both were read off peaks of the default's stages
MOMENTS = {"adamw": 8.0, "adamw_8bit": 2.04, "paged_adamw_8bit": 2.04}  # bytes a weight; 8 bits: a scale each 256
MUON = 4.0  # of a hidden matrix: its momentum
CHOSEN = 1.75  # caches while rows are chosen: the old one, and the new one of at most three quarters of the rows
DRAWN = 3 * 8 + 4  # bytes of a logit while a token is drawn: float32, and three times float64
# glibc's heap, in which what a part has freed seldom fits the next: not derived, fitted to the pretrained preset, whose
# reward model's heap had 2.3 times what lived in it after 640 parts; half of that where nothing learns, as in evaluate
WASTED, WASTED_READING, FIRST = 0.36, 0.18, 20.0  # more for each e-fold of parts; parts from which on it grows


class Held(NamedTuple):
    """Bytes, by what holds them."""

    weights: float  # of models that learn
    gradients: float
    optimiser: float
    frozen: float  # weights of models that are only read
    activations: float
    logits: float
    cache: float  # keys and values of answers that are being written
    decoder: float  # its copy of the weights
    copies: float  # the best epoch's weights, a moving average
    program: float = PROGRAM
    trained: float = 0.0  # of the weights: what learns, adapters alone where there are some
    spread: float = 1.0  # what comes and goes takes so many times its size: see `spread`
    state: float = 0.0  # of its training on the disk, where the stage holds most before it trains

    @property
    def standing(self) -> float:
        """What is held all the time."""
        return self.weights + self.optimiser + self.frozen + self.copies + self.program

    @property
    def passing(self) -> float:
        """What comes and goes, at most: learning and writing answers take turns."""
        return max(self.gradients + self.activations, self.cache + self.decoder) + self.logits

    @property
    def heap(self) -> float:
        """What the heap wastes between parts of different sizes."""
        return (self.spread - 1) * self.passing

    @property
    def total(self) -> float:
        """What is held at most."""
        return self.standing + self.passing + self.heap


NOTHING = Held(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
COLUMNS = Held._fields[:-4]


class Micro(NamedTuple):
    """The largest part, and how it is computed."""

    tokens: float
    read: float  # tokens that attention reads for each
    scored: float  # tokens whose logits are made; 0 for a scalar's
    low: int  # bytes of a number in products
    recomputed: bool  # gradient checkpointing
    adapted: bool  # adapters alone are trained
    fused: bool  # attention keeps no weights: sdpa


def activations(sizes: Dimensions, micro: Micro) -> float:
    """Return the bytes that the backward pass of a part needs kept."""
    states, layer = micro.tokens * sizes.width * FLOAT32, layer_bytes(sizes, micro)
    kept = sizes.layers * states + layer if micro.recomputed else sizes.layers * layer
    embedded = 0 if micro.adapted else sizes.vocab * sizes.width * FLOAT32  # their gradient, dense in each part
    return kept + 4 * states + embedded


def layer_bytes(sizes: Dimensions, micro: Micro) -> float:
    """Return the bytes that one layer keeps."""
    width, inner, low = sizes.width, sizes.inner, micro.low
    norms = 2 * width * FLOAT32
    products = width + (sizes.asked + 2 * sizes.read) + sizes.asked + (2 if sizes.gated else 1) * width
    mlp = 4 * inner * low if sizes.gated else inner * (2 * low + FLOAT32)
    attention = 0.0 if micro.fused else sizes.queries * micro.read * FLOAT32
    if not sizes.ours and not micro.fused:
        attention *= 2  # transformers keeps scores and weights
    return micro.tokens * (norms + products * low + mlp + attention)


def logits(sizes: Dimensions, micro: Micro) -> float:
    """Return the bytes of a chunk of logits, and of the output layer's gradient and lower copy."""
    if not micro.scored:
        return 0.0
    rows = min(micro.scored, max(1, MOST_LOGITS // sizes.vocab))
    lower = 0 if micro.low == FLOAT32 else micro.low
    head = sizes.vocab * sizes.width * (lower + (0 if micro.adapted else FLOAT32))
    return rows * sizes.vocab * (2 * FLOAT32 + lower) + head


def cache(sizes: Dimensions, tokens: float) -> float:
    """Return the bytes of keys and values of so many tokens in our decoder, written twice while rows are chosen."""
    return CHOSEN * tokens * sizes.layers * 2 * sizes.read * FLOAT32


def library_cache(sizes: Dimensions, tokens: float, low: int) -> float:
    """Return the same in transformers' cache: as low as products, but for rotated keys; a layer is copied at a time."""
    keys = FLOAT32 if sizes.gated else low
    return (sizes.layers + 1) * tokens * sizes.read * (keys + low)


def decoder(sizes: Dimensions, low: int, adapted: bool) -> float:
    """Return the bytes of the copy of the weights that a decoder makes: lower, with adapters merged, side by side."""
    if low != FLOAT32:
        return sizes.policy() * low
    joined = (sizes.asked + 2 * sizes.read) * sizes.width if sizes.gated else 0
    return sizes.layers * FLOAT32 * (sizes.products() if adapted else joined)


def sharded(held: Held, sizes: Dimensions, ranks: int) -> Held:
    """Return what a rank holds where weights, gradients, moments and frozen weights lie in shards (runtime.sharding).

    The layer that is computed and the next one stand whole, and so do the embeddings.
    """
    whole = FLOAT32 * (2 * sizes.products() + (sizes.vocab + sizes.context) * sizes.width)
    parts = {name: getattr(held, name) / ranks for name in ("weights", "gradients", "optimiser", "frozen", "copies")}
    return held._replace(**parts, program=held.program + (whole if ranks > 1 else 0.0))


def spread(parts: float, learns: bool) -> float:
    """Return how many times its size what comes and goes takes after so many parts of different sizes."""
    return 1 + (WASTED if learns else WASTED_READING) * math.log(1 + parts / FIRST)
