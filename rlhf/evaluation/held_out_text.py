"""The held-out pretraining text on which losses are measured: its tokens, and what they alone tell."""

from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Any, NamedTuple

import torch

from rlhf.params.evaluate import Evaluate
from rlhf.training import language_modelling


class Tokens(NamedTuple):
    """What is read of the texts, which all policies read alike: they have one vocabulary."""

    rows: torch.Tensor  # [N, T]
    documents: int  # of which at least one token is among them


class HeldOutText(NamedTuple):
    """What the losses on text rest on."""

    documents: int
    unigram_entropy: float  # nats a token: the loss of whoever knows how frequent each token is, and nothing else


def read(tokenizer: Any, texts: Sequence[str], settings: Evaluate) -> Tokens | None:
    """Return the first `document_tokens` of the texts in whole sequences; None where they do not fill one."""
    most, starts, streams, length = settings.document_tokens, list[int](), list[torch.Tensor](), 0
    for text in texts:
        if length >= most:
            break
        starts.append(length)
        streams.append(language_modelling.token_stream(tokenizer, [text]))
        length += len(streams[-1])
    if min(length, most) < settings.sequence_tokens:
        return None
    rows = language_modelling.sequences(torch.cat(streams)[:most], settings.sequence_tokens)
    return Tokens(rows, sum(start < rows.numel() for start in starts))


def describe(tokens: Tokens) -> HeldOutText:
    """Return what the tokens tell without any model."""
    return HeldOutText(tokens.documents, unigram_entropy(tokens.rows.flatten().tolist()))


def unigram_entropy(ids: Sequence[int]) -> float:
    """Return the entropy of single tokens in nats, from counts of K kinds among N: -sum p log p + (K - 1) / 2N.

    Counts of a short text look less even than they are; the second term is the correction of Miller (1955).
    """
    counts = Counter(ids).values()
    return sum(count / len(ids) * log(len(ids) / count) for count in counts) + (len(counts) - 1) / (2 * len(ids))
