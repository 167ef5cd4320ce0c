"""An adopted reward model: any sequence classifier of transformers, read with its own tokenizer and chat template.

A score is the plain logit that `AutoModelForSequenceClassification` gives to what the template makes of a dialogue and
its answer, with the markers that the tokenizer puts around every text, once. Without a template the two are a text
pair, as encoders are trained on. What people wrote is text: a marker that they typed is read letter for letter.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rlhf.models import classifiers, folders, loading, placement, reading, ways, weights
from rlhf.params.base import listed, place_of, shown
from rlhf.params.rewards import AdoptedReward
from rlhf.params.runtime import Runtime
from rlhf.records.types import Message
from rlhf.rewards import folder_scorer
from rlhf.runtime import parallel
from rlhf.secrets import guard
from rlhf.tokens import batching, markers

UNLIMITED = 1_000_000  # tokens: a tokenizer that knows no limit writes a number above it


class Row(NamedTuple):
    """One dialogue with its answer, as token ids."""

    ids: list[int]
    types: list[int]  # which text of a pair a token belongs to, as the tokenizer says; 0 for all of one text
    is_cut: bool


class ReadByItsOwnScorer:
    """Scores answers by a folder that this project made and that no standard class reads: as its scorer.py does."""

    num_cut = 0  # its rows are cut as in training, which is no fault

    def __init__(self, folder: Path, runtime: Runtime):
        self._scorer = folder_scorer.Scorer(folder, runtime.device)

    def score_texts(self, messages: list[list[Message]], responses: list[str], batch_size: int = 128) -> list[float]:
        """Return the folder's own score for each answer."""
        return self._scorer.score(messages, responses, batch_size)


def opened(params: AdoptedReward, root: Path, runtime: Runtime) -> "AdoptedScorer | ReadByItsOwnScorer":
    """Return the scorer of an adopted reward model, be it a standard class or one that this project made."""
    place = place_of(params.path, root)
    if _is_our_own(place if place.is_dir() else params.path, params.revision):
        if not place.is_dir():
            raise ValueError(f"{params.path}: download it and name its folder; it has a scorer of its own")
        if params.label is not None:
            raise ValueError(f"{params.path}: label must be left out: this reward model has one score")
        return ReadByItsOwnScorer(place, runtime)
    return AdoptedScorer(params, root, runtime)


def _is_our_own(path: Path | str, revision: str | None) -> bool:
    with reading.folder(path, revision):
        return folders.told(path, revision).get("model_type") == folders.REWARD_MODEL


class AdoptedScorer:
    """Scores answers by a classifier's logit. `num_cut`: rows so far that were longer than the model reads."""

    def __init__(self, params: AdoptedReward, root: Path, runtime: Runtime):
        place = place_of(params.path, root)
        self.path = str(place) if place.is_dir() else params.path
        self.name, self.runtime = params.path, runtime
        if _is_our_own(self.path, params.revision):
            raise ValueError(f"{params.path}: no standard class reads its scores; open it with adopted.opened")
        self.tokenizer = loading.read_tokenizer(self.path, params.revision)
        self.model = read_classifier(self.path, params.revision, runtime)
        with reading.folder(self.path, params.revision):
            weights.check_vocabulary(self.model, self.tokenizer)
            self.label = label_of(self.model.config, params.label)
        self.most_tokens = most_tokens(self.model, self.tokenizer)
        self.num_cut = 0
        for line in self.described():
            guard.say(line)

    def described(self) -> list[str]:
        """Return, a line each, how its scores are read."""
        config, lines = self.model.config, []
        one_of = f"'{config.id2label.get(self.label)}' of {config.num_labels}" if config.num_labels > 1 else "the one"
        form = "its chat template" if self.tokenizer.chat_template else "no chat template: prompt and answer as a pair"
        lines.append(f"{self.name}: adopted reward model, {form}; its score is the logit of {one_of} label")
        return lines

    def score_texts(self, messages: list[list[Message]], responses: list[str], batch_size: int = 128) -> list[float]:
        """Return the label's logit for each answer."""
        rows = [self.row(turns, text) for turns, text in zip(messages, responses, strict=True)]
        num_cut = sum(row.is_cut for row in rows)
        if num_cut and not self.num_cut:
            guard.say(
                f"{self.name}: {num_cut} of {len(rows)} dialogues have more than its {self.most_tokens} tokens; their "
                "oldest tokens are left out (said once)"
            )
        self.num_cut += num_cut
        pad_id = self.model.config.pad_token_id

        def score(chosen: list[int]) -> list[float]:
            with torch.no_grad(), placement.precision(self.runtime):
                return self._logits([rows[index] for index in chosen], pad_id or 0).tolist()

        # a decoder without PAD finds the last token of one row alone
        most = 1 if pad_id is None and not classifiers.is_encoder(self.model) else batch_size
        return parallel.by_length(score, [len(row.ids) for row in rows], most)

    def row(self, messages: list[Message], response: str) -> Row:
        """Return a dialogue and its answer as the model reads them; the oldest tokens go, markers at the ends stay."""
        if self.tokenizer.chat_template is None:
            pair = markers.pair_ids(self.tokenizer, "\n".join(message["content"] for message in messages), response)
            words = [index for index, part in enumerate(pair.parts) if part is not None]
            dropped = set(words[: max(0, len(pair.ids) - self.most_tokens)])
            kept = [index for index in range(len(pair.ids)) if index not in dropped]
            return Row([pair.ids[index] for index in kept], [pair.types[index] for index in kept], bool(dropped))
        answered: list[Message] = [*messages, {"role": "assistant", "content": response}]
        ids = markers.rendered_ids(self.tokenizer, answered, partial(markers.rendered, self.tokenizer))
        before, behind = markers.put_around(self.tokenizer)
        ids = ids if ids[: len(before)] == before else before + ids
        ids = ids if not behind or ids[-len(behind) :] == behind else ids + behind
        num_over = max(0, len(ids) - self.most_tokens)
        if num_over:
            ids = ids[: len(before)] + ids[len(before) + num_over :]
        return Row(ids, [0] * len(ids), num_over > 0)

    def _logits(self, rows: list[Row], pad_id: int) -> torch.Tensor:
        """Return the label's logits [B]."""
        device = self.runtime.device
        batch = batching.pad([row.ids for row in rows], pad_id, "right", device)
        more = {}
        if "token_type_ids" in self.tokenizer.model_input_names:
            more["token_type_ids"] = batching.pad([row.types for row in rows], 0, "right", device).ids
        logits = self.model(input_ids=batch.ids, attention_mask=batch.mask.long(), **more).logits
        return logits[:, self.label].float()


def label_of(config: Any, label: str | int | None) -> int:
    """Return the number of the label whose logit is the score. Raises ValueError where it is not said, or unknown."""
    names = [str(config.id2label.get(number, number)) for number in range(config.num_labels)]
    if label is None and config.num_labels == 1:
        return 0
    known = names.index(label) if isinstance(label, str) and label in names else label
    if isinstance(known, bool) or not isinstance(known, int) or not 0 <= known < len(names):
        raise ValueError(
            f"it has {len(names)} labels; set label to the name or number of the one whose logit is the score: "
            f"{listed(f'{number}: {name}' for number, name in enumerate(names))} (got {shown(label)})"
        )
    return known


def read_classifier(path: str, revision: str | None, runtime: Runtime) -> Any:
    """Return a sequence classifier with all its labels, dropout off, in eval mode on the device."""
    config = loading.read_config(path, revision)
    loading.set_dropout(config, 0.0)
    with reading.folder(path, revision):
        kinds = classifiers.kinds_of(config)
    model = loading.read_model(kinds[0], path, runtime, config, revision).model
    return placement.placed(model, runtime).eval().requires_grad_(False)


def most_tokens(model: Any, tokenizer: Any) -> int:
    """Return how many tokens of a row the model reads: what its positions and its tokenizer allow."""
    limits = [ways.context_of(model), tokenizer.model_max_length]
    known = [int(limit) for limit in limits if limit is not None and 0 < limit < UNLIMITED]
    return min(known, default=UNLIMITED)
