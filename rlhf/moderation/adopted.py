"""An adopted moderator: any sequence classifier of transformers, read with its own tokenizer.

A text is read letter for letter: a marker that somebody typed is no marker. One that is longer than the model reads is
read in pieces, and the worst one counts.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlhf.models import loading, placement, reading, weights
from rlhf.params.base import listed, place_of
from rlhf.params.moderation.section import Adopted
from rlhf.params.runtime import Runtime
from rlhf.rewards import adopted
from rlhf.runtime import parallel
from rlhf.secrets import guard
from rlhf.tokens import batching, markers

BATCH_SIZE = 32


class AdoptedClassifier:
    """Gives texts the probabilities of a classifier's labels, by category of harm."""

    def __init__(self, params: Adopted, categories: Sequence[str], root: Path, runtime: Runtime):
        self.params, self.categories, self.runtime = params, tuple(categories), runtime
        place = place_of(params.path, root)
        path = str(place) if place.is_dir() else params.path
        self.tokenizer = loading.read_tokenizer(path, params.revision)
        self.model = adopted.read_classifier(path, params.revision, runtime)
        with reading.folder(path, params.revision):
            weights.check_vocabulary(self.model, self.tokenizer)
            self._column = self._columns()  # by label: the category's, or None
        self._most_tokens = adopted.most_tokens(self.model, self.tokenizer)
        guard.say(f"{params.path}: adopted moderator of {listed(self._names())}")

    def by_category(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each category [B, C]; of a long text those of its worst piece."""
        pieces = [(row, piece) for row, text in enumerate(texts) for piece in self._pieces(text)]
        if not pieces:
            return np.zeros((len(texts), len(self.categories)))
        by_label = self._by_label([piece for _, piece in pieces])  # [P, labels]
        found = np.zeros((len(texts), len(self.categories)))
        for (row, _), probabilities in zip(pieces, by_label, strict=True):
            own = self._by_category(probabilities)
            if self.harm(own[None])[0] > self.harm(found[row][None])[0]:
                found[row] = own
        return found

    def harm(self, by_category: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of any harm [B]: of labels that may hold together that of the likeliest."""
        return by_category.sum(axis=1) if self.params.probabilities == "softmax" else by_category.max(axis=1)

    def _by_category(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        own = np.zeros(len(self.categories))
        for column, probability in zip(self._column, probabilities, strict=True):
            if column is not None:
                added = own[column] + probability, max(own[column], probability)
                own[column] = added[self.params.probabilities == "sigmoid"]
        return own

    def _names(self) -> list[str]:
        config = self.model.config
        return [str(config.id2label.get(number, number)) for number in range(config.num_labels)]

    def _columns(self) -> list[int | None]:
        """Return the place of each label's category. Raises ValueError for labels that are not those of params."""
        names, said = self._names(), self.params.labels
        if set(names) != set(said):
            raise ValueError(
                f"moderation.classifier.labels: expected each of its labels with a category, or null for harmless: "
                f"{listed(names)} (got {listed(said)})"
            )
        if len(names) == 1 and self.params.probabilities == "softmax":
            raise ValueError("moderation.classifier.probabilities: it has one label; expected 'sigmoid'")
        categories = [said[name] for name in names]
        return [None if name is None else self.categories.index(name) for name in categories]

    def _pieces(self, text: str) -> list[list[int]]:
        """Return a text's ids in pieces that the model reads, each between the markers that stand around a text."""
        ids = markers.text_ids(self.tokenizer, text)
        before, behind = markers.put_around(self.tokenizer)
        most = max(1, self._most_tokens - len(before) - len(behind))
        starts = range(0, max(1, len(ids)), most)
        return [before + ids[start : start + most] + behind for start in starts if before or behind or ids]

    def _by_label(self, pieces: list[list[int]]) -> NDArray[np.float64]:
        pad_id = self.model.config.pad_token_id

        def probabilities(chosen: list[int]) -> list[list[float]]:
            batch = batching.pad([pieces[index] for index in chosen], pad_id or 0, "right", self.runtime.device)
            with torch.no_grad(), placement.precision(self.runtime):
                logits = self.model(input_ids=batch.ids, attention_mask=batch.mask.long()).logits.float()
            return (logits.softmax(-1) if self.params.probabilities == "softmax" else logits.sigmoid()).tolist()

        most = 1 if pad_id is None else BATCH_SIZE  # a model without PAD may take padding for text
        return np.array(parallel.by_length(probabilities, [len(piece) for piece in pieces], most))
