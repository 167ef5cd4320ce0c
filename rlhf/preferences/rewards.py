"""Scoring texts by a trained reward model: prompts and answers as rows of its tokens, rows as scores."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from rlhf.models import classifiers, loading, placement, reward_head, ways
from rlhf.models.reward_head import RewardMeaning
from rlhf.params.runtime import Runtime
from rlhf.records.types import Message
from rlhf.runtime import parallel
from rlhf.sharding import shards
from rlhf.tokens import batching, chat, markers, turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Sequence(NamedTuple):
    """Prompt and answer as one row of token ids, and how many of the last ones are the answer's (EOS included)."""

    ids: list[int]
    num_answer: int


class RewardScorer:
    """Scores (messages, response) pairs; demonstrations average 0. What a score means: see `RewardMeaning`."""

    def __init__(self, path: Path | str, runtime: Runtime, model: "PreTrainedModel | None" = None):
        """`model`: the folder's, where it is in memory already."""
        self.model = placement.lowered(loading.load_classifier(path, runtime), runtime) if model is None else model
        self.tokenizer = loading.read_tokenizer(path)
        self.runtime = runtime

    def score_texts(self, messages: list[list[Message]], responses: list[str], batch_size: int = 128) -> list[float]:
        """Return one score a pair, texts tokenised with the reward model's own tokenizer."""
        rows = [
            sequence(self.tokenizer, dialogue, text, ways.context_of(self.model))
            for dialogue, text in zip(messages, responses, strict=True)
        ]
        return self.score_rows(rows, batch_size)

    def score_rows(self, rows: list[Sequence], batch_size: int) -> list[float]:
        """Return one score a row, computed in batches of like length."""

        meaning = RewardMeaning.of(self.model.config)

        def score(chosen: list[int]) -> list[float]:
            with torch.no_grad(), placement.precision(self.runtime):
                read = partial(raw_scores, self.model, [rows[i] for i in chosen], meaning, self.runtime)
                raw = shards.within([self.model], read)
            return meaning.scores(raw).tolist()

        return parallel.by_length(score, [len(row.ids) for row in rows], batch_size)


def raw_scores(
    model: "PreTrainedModel", rows: list[Sequence], meaning: RewardMeaning, runtime: Runtime
) -> torch.Tensor:
    """Return the raw rewards of rows [B]."""
    batch = batching.pad([row.ids for row in rows], model.config.pad_token_id, "right", runtime.device)
    num_answer = torch.tensor([row.num_answer for row in rows], device=runtime.device)
    return reward_head.sequence_rewards(
        model, batch.ids, batch.mask, num_answer, meaning.pooling, meaning.likelihood_coef
    )


def group_scores(
    model: "PreTrainedModel", groups: list[list[Sequence]], meaning: RewardMeaning, runtime: Runtime
) -> torch.Tensor:
    """Return raw_scores of all rows of groups [N]; the rows of a group share their prompt, which is read once.

    K answers cost one prompt and K answers, not K of both. An encoder reads them both ways: each row alone.
    """
    if classifiers.is_encoder(model):
        return raw_scores(model, [row for group in groups for row in group], meaning, runtime)
    forked = batching.fork(groups, model.config.pad_token_id, runtime.device)
    return reward_head.forked_rewards(model, forked, meaning.pooling, meaning.likelihood_coef)


def sequence(tokenizer: Any, messages: list[Message], response: str, max_tokens: int | None) -> Sequence:
    """Return prompt and response as one row of at most `max_tokens` (None: all); the oldest tokens go first.

    An encoder's tokenizer knows no chat template: it gets the two as a text pair, whose markers always stay.
    """
    if tokenizer.chat_template is None:
        pair = markers.pair_ids(tokenizer, "\n".join(message["content"] for message in messages), response)
        words = [index for index, part in enumerate(pair.parts) if part is not None]
        dropped = set(words[: max(0, len(pair.ids) - (max_tokens or len(pair.ids)))])
        kept = [index for index in range(len(pair.ids)) if index not in dropped]
        return Sequence([pair.ids[index] for index in kept], sum(pair.parts[index] == 1 for index in kept))
    return joined(chat.prompt_ids(tokenizer, messages), chat.response_ids(tokenizer, response), max_tokens)


def joined(prompt: list[int], answer: list[int], max_tokens: int | None) -> Sequence:
    """Return the ids of prompt and answer as one row; of more than `max_tokens` (None: no limit) the oldest go."""
    most = max_tokens or len(prompt) + len(answer)
    return Sequence((prompt + answer)[-most:], min(len(answer), most))


def same_tokens(tokenizer: Any, other: Any) -> bool:
    """Say whether two tokenizers give the same ids to the same dialogue, so that ids need no detour over text."""
    return turns.own_template(tokenizer) == turns.own_template(other) and tokenizer.get_vocab() == other.get_vocab()
