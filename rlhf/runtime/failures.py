"""Error messages of a training that breaks down: which step and records, what is still good, which param to lower."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

SHOWN = 20  # record ids in a message
MEMORY = {  # what to lower where a stage runs out of memory
    "pretrain": "pretrain.batch_size",
    "sft": "sft.micro_batch_rows",
    "feedme": "feedme.micro_batch_rows",
    "rejection": "rejection.micro_batch_rows and rejection.sampling_batch_size",
    "dpo": "dpo.micro_batch_rows",
    "reward_model": "reward_model.micro_batch_rows",
    "judge": "judge.micro_batch_rows",
    "ppo": "ppo.micro_batch_size",
    "collect_answers": "collect_answers.batch_size",
    "collect_comparisons": "collect_comparisons.scoring_batch_size",
    "evaluate": "evaluate.batch_size and evaluate.scoring_batch_size",
}


class NotFinite(ValueError):
    """A loss or a gradient that is not a number, or infinite."""


@contextmanager
def at_step(step: int, records: Sequence[str]) -> Iterator[None]:
    """Name the step and the batch's records in a NotFinite of the block."""
    try:
        yield
    except NotFinite as error:
        more = f" and {len(records) - SHOWN} more" if len(records) > SHOWN else ""
        named = f"; records of its batch: {', '.join(records[:SHOWN])}{more}" if records else ""
        raise NotFinite(f"step {step}: {error}{named}") from None


@contextmanager
def explained(stage: str, start: object) -> Iterator[None]:
    """Say of a NotFinite what is still good (`start`: what the stage began from), of lacking memory what to lower."""
    try:
        yield
    except NotFinite as error:
        raise NotFinite(
            f"{stage}: {error}. Nothing was saved; the last good model is {start}. Lower "
            f"{stage}'s learning_rate, or look for broken records in the data"
        ) from None
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        raise MemoryError(f"{stage} ran out of memory: lower {MEMORY[stage]} in params.yaml ({error})") from error


def _lacks_memory(error: BaseException) -> bool:
    """torch says so on a GPU by OutOfMemoryError, on a CPU in words only."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
