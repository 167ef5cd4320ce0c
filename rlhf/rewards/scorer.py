"""What gives an answer a number, wherever that comes from."""

from typing import Protocol

from rlhf.records.types import Message


class Scorer(Protocol):
    """Scores answers to dialogues: a trained reward model, an adopted one, a function."""

    def score_texts(self, messages: list[list[Message]], responses: list[str], batch_size: int = 128) -> list[float]:
        """Return one finite score an answer; at most `batch_size` are computed at once."""
        ...
