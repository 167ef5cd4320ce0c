"""How long a stage takes: what it computes, at rates that were measured (`calibration`) or at one that is given."""

from typing import Any, NamedTuple

from tools.planning import disk
from tools.planning.sizes import Dimensions
from tools.planning.terms import FLOAT32, Held
from tools.planning.work import READ, Decoding, Pass, Stage, decoding_flops, pass_flops

READ_AGAIN = 3.0  # how often a saved model's bytes are read: by DVC, MLflow and the stage behind


class Line(NamedTuple):
    """Seconds: once, and for each."""

    once: float
    each: float

    def seconds(self, count: float) -> float:
        return self.once + self.each * count

    @classmethod
    def through(cls, counts: tuple[float, float], seconds: tuple[float, float]) -> "Line":
        """Return the line through two measured points; neither part is below 0."""
        each = max(0.0, (seconds[1] - seconds[0]) / (counts[1] - counts[0]))
        return cls(max(0.0, seconds[0] - each * counts[0]), each)


class Plane(NamedTuple):
    """Seconds of a part that passes through layers: of each a line over tokens."""

    ends: Line  # embeddings and the last norm
    layer: Line

    def seconds(self, layers: int, tokens: float) -> float:
        return self.ends.seconds(tokens) + layers * self.layer.seconds(tokens)

    @classmethod
    def through(
        cls, layers: tuple[int, int], tokens: tuple[float, float], seconds: dict[tuple[int, float], float]
    ) -> "Plane":
        """Return the plane through four measured points, by layers and tokens."""
        few, many = layers
        by_tokens = [Line.through((few, many), (seconds[few, one], seconds[many, one])) for one in tokens]
        ends, layer = (
            Line.through(tokens, (by_tokens[0][part], by_tokens[1][part])) for part in (0, 1)
        )  # once: without a layer; each: of a layer
        return cls(ends, layer)


class Rates(NamedTuple):
    """Seconds on this machine, of a worker while the others work."""

    passes: dict[str, Plane]  # by what: a part's tokens through the layers
    heads: dict[str, Line]  # by what: logits of a part's tokens
    steps: Plane  # a step of decoding, of so many rows
    draws: Line  # logits of a step's rows, and a token of each
    updates: dict[str, Line]  # by how: a step of the optimiser, of so many layers
    tries: Line  # what is tried of a model that is read, of so many layers
    record: float  # a text becomes tokens
    start: float  # a stage's command, before it computes
    byte: float  # a byte is written and summed
    flops: float  # a second, in learning parts
    took: float  # to measure all this


def seconds(stage: Stage, sizes: Dimensions, rates: Rates, runtime: Any) -> float:
    """Return how long a stage computes and reads, at measured rates."""
    shared = runtime.workers * runtime.processes
    passes = sum(one.number / shared * _pass(one, sizes, rates) for one in stage.passes)
    decoded = sum(one.number / shared * _decoding(one, sizes, rates) for one in stage.decodings)
    updated = sum(one.number * rates.updates[one.how].seconds(sizes.layers) for one in stage.updates if one.number)
    weights = FLOAT32 * sizes.policy()
    read = stage.loads * (rates.tries.seconds(sizes.layers) + weights * rates.byte)
    written = stage.saves * READ_AGAIN * weights * rates.byte
    return rates.start + passes + decoded + updated + read + written + stage.records * rates.record


def with_states(found: float, held: Held, every_seconds: float | None, rates: Rates) -> float:
    """Return the seconds with those that keeping states takes, where something learns."""
    if every_seconds is None or not disk.state(held):
        return found
    each = disk.state(held) * rates.byte
    return found + each * (1 + found // max(every_seconds, each, 1.0))


def _pass(one: Pass, sizes: Dimensions, rates: Rates) -> float:
    plane = rates.passes[one.what]
    head = rates.heads[one.what].seconds(one.scored) if one.scored else 0.0
    return plane.seconds(sizes.layers, one.tokens) + head


def _decoding(one: Decoding, sizes: Dimensions, rates: Rates) -> float:
    read = rates.passes[READ].seconds(sizes.layers, one.prompts * one.prompt)
    steps = one.steps * rates.steps.seconds(sizes.layers, one.tokens / max(1.0, one.steps))
    drawn = one.steps * rates.draws.once + one.tokens * rates.draws.each
    return read + steps + drawn


class Given(NamedTuple):
    """Rates of a machine that is not here."""

    flops: float  # a second, of each process
    bandwidth: float | None  # bytes a second that decoding reads weights with; None: it is bound by products alone


def seconds_at(stage: Stage, sizes: Dimensions, given: Given, runtime: Any) -> float:
    """Return how long the products take at a given rate; a program's start, files and elementwise work left out."""
    processes = runtime.processes
    passes = sum(pass_flops(sizes, one, stage.recomputed) for one in stage.passes) / given.flops
    decoded = 0.0
    for one in stage.decodings:
        products = decoding_flops(sizes, one) / given.flops
        bytes_read = one.number * one.steps * sizes.policy() * (2 if runtime.dtype == "bfloat16" else FLOAT32)
        decoded += max(products, bytes_read / given.bandwidth if given.bandwidth else 0.0)
    return (passes + decoded) / processes
