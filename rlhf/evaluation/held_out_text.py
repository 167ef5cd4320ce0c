"""The held-out pretraining text on which losses are measured: how many documents, and what its tokens alone tell."""

from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Any, NamedTuple

from rlhf.params.evaluate import Evaluate
from rlhf.training import language_modelling


class HeldOutText(NamedTuple):
    """What the losses on text rest on."""

    documents: int
    unigram_entropy: float  # nats a token: the loss of whoever knows how frequent each token is, and nothing else


def describe(tokenizer: Any, texts: Sequence[str], settings: Evaluate) -> HeldOutText | None:
    """Return what `policy_measures.loss_on_documents` reads of the texts; None where they do not fill one sequence."""
    starts: list[int] = []
    ids: list[int] = []
    for text in texts:
        if len(ids) >= settings.document_tokens:
            break
        starts.append(len(ids))
        ids += language_modelling.token_stream(tokenizer, [text]).tolist()
    ids = ids[: settings.document_tokens]
    ids = ids[: len(ids) // settings.sequence_tokens * settings.sequence_tokens]  # whole sequences are read
    return HeldOutText(sum(start < len(ids) for start in starts), unigram_entropy(ids)) if ids else None


def unigram_entropy(ids: Sequence[int]) -> float:
    """Return the entropy of single tokens in nats, from counts of K kinds among N: -sum p log p + (K - 1) / 2N.

    Counts of a short text look less even than they are; the second term is the correction of Miller (1955).
    """
    counts = Counter(ids).values()
    return sum(count / len(ids) * log(len(ids) / count) for count in counts) + (len(counts) - 1) / (2 * len(ids))
