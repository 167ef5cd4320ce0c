"""What a stage computes: passes over tokens, decoding, updates; and their floating-point operations.

A multiplication and an addition are two operations (FLOPs). Elementwise work is not counted: it is a small part of
a large model's, and a measured rate has it in it.
"""

from typing import NamedTuple

from rlhf.engine.memory import MOST_LOGITS
from tools.planning.batches import Parts
from tools.planning.sizes import Dimensions

LEARN, ADAPT, READ = "learn", "adapt", "read"
PASSES = {  # a forward pass's products, how often: for the output, for the inputs' gradient, for the weights'
    LEARN: 3,
    ADAPT: 2,  # weights are frozen but for adapters, whose own products are left out
    READ: 1,
}


class Pass(NamedTuple):
    """So many parts, each so many tokens read at once by one worker."""

    what: str
    number: float
    tokens: float
    scored: float  # of them: whose logits are made
    read: float  # tokens that a token may read, on average


class Decoding(NamedTuple):
    """So many batches of answers, each written by one worker token by token."""

    number: float
    rows: float  # answers of a batch
    prompts: float  # of them: that are read, for several answers may have one
    prompt: float  # tokens of a prompt
    steps: float  # of a batch: its longest answer
    tokens: float  # of a batch: of all its answers


class Updates(NamedTuple):
    """So many steps of an optimiser."""

    number: float
    how: str  # adamw | muon | adapters


class Stage(NamedTuple):
    """All that one stage computes with models."""

    passes: tuple[Pass, ...] = ()
    decodings: tuple[Decoding, ...] = ()
    updates: tuple[Updates, ...] = ()
    loads: float = 1.0  # models that are read and tried
    saves: float = 0.0  # models that are written
    records: float = 0.0  # that become tokens
    recomputed: bool = False

    @property
    def tokens(self) -> float:
        """Tokens that are read or written by a model."""
        return sum(one.number * one.tokens for one in self.passes) + sum(
            one.number * (one.prompts * one.prompt + one.tokens) for one in self.decodings
        )

    @property
    def learned(self) -> float:
        """Tokens of passes with a gradient."""
        return sum(one.number * one.tokens for one in self.passes if one.what != READ)

    def flops(self, sizes: Dimensions) -> float:
        """Return all its operations."""
        passes = sum(pass_flops(sizes, one, self.recomputed) for one in self.passes)
        return passes + sum(decoding_flops(sizes, one) for one in self.decodings)


def of_parts(what: str, count: float, parts: Parts, scored: bool = True) -> Pass:
    """Return the passes of so many updates, each cut to these parts."""
    return Pass(what, count * parts.number, parts.tokens, parts.scored if scored else 0.0, parts.read)


def layer_flops(sizes: Dimensions, tokens: float, read: float) -> float:
    """Return the operations of a layer's forward pass: its linear layers, scores and what is read by them."""
    return tokens * (2 * sizes.products() + 4 * sizes.asked * read)


def head_flops(sizes: Dimensions, scored: float) -> float:
    """Return the operations that make logits of so many tokens."""
    return 2 * scored * sizes.vocab * sizes.width


def pass_flops(sizes: Dimensions, one: Pass, recomputed: bool) -> float:
    """Return the operations of passes; logits that do not fit (MOST_LOGITS) are made again for the gradient."""
    learns = one.what != READ
    layers = PASSES[one.what] + (recomputed and learns)
    head = PASSES[one.what] + (learns and one.scored * sizes.vocab > MOST_LOGITS)
    made = sizes.layers * layer_flops(sizes, one.tokens, one.read)
    return one.number * (layers * made + head * head_flops(sizes, one.scored))


def decoding_flops(sizes: Dimensions, one: Decoding) -> float:
    """Return the operations of decoding: prompts are read once, then each new token reads all before it."""
    prompts = one.prompts * one.prompt
    read = sizes.layers * layer_flops(sizes, prompts, one.prompt) + head_flops(sizes, one.prompts)
    context = one.prompt + one.steps / 2
    steps = sizes.layers * layer_flops(sizes, one.tokens, context) + head_flops(sizes, one.tokens)
    return one.number * (read + steps)
