"""What memory is made of, by params: a model that learns, its largest part, answers that are written at once."""

from typing import Any, NamedTuple

from tools.planning import batches, terms
from tools.planning.batches import Parts
from tools.planning.rows import Rows
from tools.planning.sizes import Dimensions
from tools.planning.terms import BFLOAT16, FLOAT32, MOMENTS, NOTHING, Held, Micro


def low_of(params: Any) -> int:
    """Return the bytes of a number in products."""
    return BFLOAT16 if params.runtime.dtype == "bfloat16" else FLOAT32


def frozen_of(params: Any) -> int:
    """Return the bytes of a weight that is only read."""
    return BFLOAT16 if params.runtime.frozen_dtype == "bfloat16" else FLOAT32


def micro_of(params: Any, parts: Parts, adapted: bool) -> Micro:
    """Return the largest part, and how params have it computed."""
    again, fused = bool(params.runtime.gradient_checkpointing), params.runtime.attention == "sdpa"
    return Micro(parts.most, parts.read, parts.most_scored, low_of(params), again, adapted, fused)


def learning(params: Any, lora: Any, optimiser: str | None, sizes: Dimensions, weights: int) -> Held:
    """Return what a model of so many weights holds that learns, or whose adapters do; no part of it."""
    learned = weights if lora is None else sizes.adapters(lora.rank)
    workers = params.runtime.workers
    return NOTHING._replace(
        weights=float(FLOAT32 * weights),
        gradients=float(FLOAT32 * learned * (1 if workers == 1 else 1 + workers)),
        optimiser=MOMENTS[optimiser or "adamw"] * learned,
        trained=float(FLOAT32 * learned),
    )


def part(params: Any, sizes: Dimensions, micro: Micro) -> dict[str, float]:
    """Return what the largest part holds, once a worker."""
    workers = params.runtime.workers
    return {"activations": terms.activations(sizes, micro) * workers, "logits": terms.logits(sizes, micro) * workers}


class Caches(NamedTuple):
    """Answers that are written at once, by all workers: so many rows, with room for so many tokens."""

    rows: int
    tokens: float


def answers(params: Any, sizes: Dimensions, written: Caches, adapted: bool = False) -> dict[str, float]:
    """Return what it takes to write answers at once."""
    lean = sizes.ours and params.runtime.device == "cpu"  # our decoder is a CPU's (rlhf.engine.lean)
    library = terms.library_cache(sizes, written.tokens, low_of(params))
    return {
        "cache": terms.cache(sizes, written.tokens) if lean else library,
        "decoder": terms.decoder(sizes, low_of(params), adapted) * params.runtime.workers,
        "logits": float(written.rows * sizes.vocab * terms.DRAWN),
    }


def caches(params: Any, prompts: Rows, section: Any, pool: int, at_once: int) -> Caches:
    """Return the widest caches that are held, of answers to `pool` prompts sorted by length, so many written at once.

    A part has the width of its longest prompt, and room for the longest answer.
    """
    drawn = prompts.drawn(pool) or [(section.max_prompt_tokens, 0)] * pool
    widths = sorted((min(prompt, section.max_prompt_tokens) for prompt, _ in drawn), reverse=True)
    size = batches.part_size(pool, at_once, batches.sharing(params.runtime))
    parts = [widths[start : start + size] for start in range(0, pool, size)][: params.runtime.workers]
    tokens = sum(len(part) * (part[0] + section.max_completion_tokens) for part in parts)
    return Caches(sum(map(len, parts)), float(tokens))
