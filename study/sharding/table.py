"""The page of what was counted."""

from collections.abc import Sequence
from pathlib import Path

from rlhf.runtime.markdown import markdown_table
from study import pages
from study.sharding.counting import TOKENS, Counted

FIGURES, PAGE = Path("metrics/sharding.json"), Path("docs/generated/sharding.md")
COLUMNS = (
    "model", "GPUs", "rows of the embedding", "weights", "gradients", "moments", "gathered", "others", "an update",
    "PPO",
)  # fmt: skip
HEAD = f"""No GPU was there: fake tensors in a fake process group of torch 2.13, and its memory tracker
(`study/sharding/counting.py`). GiB of a rank in one update of a Llama-shaped model on a row of {TOKENS:,} tokens, with
gradient checkpointing; bfloat16 is gathered, sums are float32. *gathered*: weights that are whole at the moment of the
most, and the buffers that they came in; *others*: activations and what the gradient makes, then; an update's most comes
before its last gradients are in shards, so that it may be less than the sum of its parts. *PPO*: with a value
model that learns too (one model's gradients at a time), a frozen reference and a frozen reward model, all in shards.
Kernels' own memory and what an allocator wastes come on top. Before rollouts each rank gathers the policy whole once:
2 bytes a weight (7B: 13 GiB; 70B: 129 GiB, which no GPU of 80 has room for: an engine apart writes those answers)."""
MESSAGES = """Messages of a rank for each micro-batch, forward and backward, and GiB of the whole tensors in them (of
which a rank sends its share, and receives the others'):"""


def page(found: Sequence[Counted]) -> str:
    """Return the page."""
    sizes = markdown_table(COLUMNS, [_row(one) for one in found])
    messages = markdown_table(
        ("model", "GPUs", "gathers", "GiB", "sums that are scattered", "GiB"), [_sent(one) for one in found]
    )
    body = f"{HEAD}\n\n{sizes}\n\n{MESSAGES}\n\n{messages}\n"
    return pages.page("Shards on paper", "python -m study.sharding", FIGURES, body)


def _row(one: Counted) -> list[str]:
    figures = (one[name] for name in ("weights", "gradients", "moments", "gathered", "others", "peak", "ppo"))
    return [one["model"], str(one["ranks"]), str(one["embedding_rows"]), *(f"{figure:.2f}" for figure in figures)]


def _sent(one: Counted) -> list[str]:
    kinds = ("all_gather", "reduce_scatter")
    counted = [(str(one["messages"].get(kind, 0)), f"{one['sent'].get(kind, 0.0):.1f}") for kind in kinds]
    return [one["model"], str(one["ranks"]), *(cell for pair in counted for cell in pair)]
