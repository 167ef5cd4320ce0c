"""Duplicates out, and of one user's prompts those beyond a limit; what came earlier wins."""

from itertools import groupby
from typing import Any

import numpy as np

from rlhf.collection.duplicates import sketched
from rlhf.collection.duplicates.folding import folded, prompt_text
from rlhf.collection.duplicates.near import near_runs
from rlhf.collection.sets.grouping import different, firsts, paired, ranks
from rlhf.collection.table.facts import KINDS, Rows, Table, Written, parsed_part, written
from rlhf.collection.table.spill import Spill, SpilledRuns
from rlhf.collection.table.tally import Tally
from rlhf.params.collect_prompts import Cleaning, NearDuplicates
from rlhf.records.types import Comparison, DialogueRecord, Label

OTHER_ANSWER = "other_answer_to_the_same_prompt"
COMPARISON = KINDS.index("comparison")


class Dropping:
    """The rows of a table that stay so far."""

    def __init__(self, facts: Table, spill: Spill, tally: Tally) -> None:
        self._facts, self._spill, self._tally = facts, spill, tally
        self.rows: Rows = np.arange(facts.size)
        self.cut = 0  # prompts that were held against a part of the others only

    def drop_all(self, params: Cleaning) -> None:
        """Drop what the params ask for.

        Several comparisons of one prompt stay if their responses differ; they share its split.
        """
        if params.exact_duplicates:
            self._drop_exact()
        if params.common_prefix_characters is not None:
            self._drop_prefixes()
        if params.near_duplicates is not None:
            self._drop_near(params.near_duplicates)
        if params.max_prompts_per_user is not None:
            self._drop_beyond(params.max_prompts_per_user)

    def _drop(self, dropped: Rows, reason: str, rivals: Rows | None = None) -> None:
        """Drop those of the rows at some places, in order."""
        if dropped.size:
            self._tally.drop(self._facts, self.rows[dropped], reason, rivals)

    def _of(self, column: str) -> np.ndarray:
        return self._facts[column][self.rows]

    def _drop_exact(self) -> None:
        """Keep each prompt with the same answers once, and of a prompt's demonstrations the first.

        What several labelers said of the same answers is kept, in the first one's labels.
        """
        first = firsts(self._of("identity"))
        again = np.flatnonzero(first != np.arange(first.size))
        answers, kinds = self._of("answer"), self._of("kind")
        own, kept = answers[again], answers[first[again]]
        differs = (own != kept) & (own != 0) & (kept != 0)  # 0: no demonstration
        is_comparison = kinds[again] == COMPARISON
        self._drop(again[differs], OTHER_ANSWER)
        judged = self._join_labels(first, again[is_comparison])
        self._drop(judged, "label_of_the_same_answers")
        self._drop(np.setdiff1d(again[~differs], judged), "exact_duplicate")
        self.rows = np.delete(self.rows, again)

    def _join_labels(self, first: Rows, again: Rows) -> Rows:
        """Give the first comparison of the same answers the labels of the others; returns those that had any."""
        judged: list[int] = []
        ordered = again[np.argsort(first[again], kind="stable")].tolist()
        for place, others in groupby(ordered, key=lambda one: int(first[one])):
            kept = begun = self._comparison(place)
            for other in others:
                if (more := with_labels(kept, self._comparison(other))) is not None:
                    kept = more
                    judged.append(other)
            if kept is not begun:
                self._write(place, kept)
        return np.array(sorted(judged), np.int64)

    def _comparison(self, place: int) -> Comparison:
        fact = self._facts[self.rows[place]]
        head, answers = int(fact["head"]), int(fact["answers"])
        raw = self._spill.records.read(int(fact["offset"]), head + answers + int(fact["tail"]))
        parts = raw[:head], raw[head : head + answers], raw[head + answers :]
        record: dict[str, object] = {"kind": "comparison"}
        for part in parts:
            record |= parsed_part(part)
        return record  # pyright: ignore[reportReturnType]  # it was written as one

    def _write(self, place: int, record: Comparison) -> None:
        """Let a row's record be another from now on."""
        parts: Written = written(record)
        row = self.rows[place]
        self._facts["offset"][row] = self._spill.records.append(b"".join(parts))
        for column, part in zip(("head", "answers", "tail"), parts, strict=True):
            self._facts[column][row] = len(part)

    def _drop_prefixes(self) -> None:
        """Drop prompts that begin as an earlier one, different from it, does."""
        prompts = self._of("prompt")
        once = different(prompts)
        repeated = once[firsts(self._of("prefix")[once]) != np.arange(once.size)]
        self._drop_prompts(np.isin(prompts, prompts[repeated]), "common_prefix")

    def _drop_near(self, params: NearDuplicates) -> None:
        """Drop prompts that are near to an earlier one that stays."""
        prompts = self._of("prompt")
        once = different(prompts)
        if params.permutations is not None:
            texts = [prompt_text(self._head(row)) for row in self.rows[once]]
            near_texts = sketched.near(texts, params, params.permutations)
            near_prompts = prompts[once[[text in near_texts for text in texts]]]
            self._drop_prompts(np.isin(prompts, near_prompts), "near_duplicate")
            return
        sizes = self._facts["runs"].astype(np.int64)
        starts = (np.cumsum(sizes) - sizes)[self.rows[once]]
        near = near_runs(SpilledRuns(self._spill.runs, starts, sizes[self.rows[once]]), params.threshold)
        self.cut = near.cut
        rivals = np.full(prompts.size, -1)
        rivals[once] = np.where(near.rivals >= 0, self.rows[once[near.rivals]], -1)
        rivals = rivals[firsts(prompts)]
        self._drop_prompts(rivals >= 0, "near_duplicate", rivals)

    def _head(self, row: int) -> DialogueRecord:
        """Return what stands of a row's record before its answers."""
        fact = self._facts[row]
        head: Any = parsed_part(self._spill.records.read(int(fact["offset"]), int(fact["head"])))
        return head

    def _drop_prompts(self, dropped: np.ndarray, reason: str, rivals: Rows | None = None) -> None:
        places = np.flatnonzero(dropped)
        self._drop(places, reason, None if rivals is None else rivals[places])
        self.rows = self.rows[~dropped]

    def _drop_beyond(self, limit: int) -> None:
        """Drop prompts of a user behind the first `limit` different ones."""
        users = self._of("user")
        known = np.flatnonzero(users)
        first = firsts(paired(users[known], self._of("prompt")[known]))
        once = np.unique(first)
        rank = np.zeros(known.size, np.int64)
        rank[once] = ranks(users[known][once])
        dropped = np.zeros(users.size, bool)
        dropped[known] = rank[first] >= limit
        self._drop_prompts(dropped, "over_user_limit")


def with_labels(first: Comparison, other: Comparison) -> Comparison | None:
    """Return a comparison with the labels that another one has of the same answers; None where it has none of its own.

    What a labeler says twice and otherwise the second time, as where labelers have no names, is a label by itself.
    """
    places = {folded(text): index for index, text in enumerate(other["responses"])}
    order = [places[folded(text)] for text in first["responses"]]
    labels = [*first["labels"]]
    for label in other["labels"]:
        scores = label["scores"]
        moved: Label = {
            **label,
            "ranks": [label["ranks"][index] for index in order],
            "scores": None if scores is None else [scores[index] for index in order],
        }
        own = [known for known in labels if known["labeler"].partition(" #")[0] == label["labeler"]]
        if not any((known["ranks"], known["scores"]) == (moved["ranks"], moved["scores"]) for known in own):
            labels.append({**moved, "labeler": f"{label['labeler']} #{len(own) + 1}" if own else label["labeler"]})
    return {**first, "labels": labels} if len(labels) > len(first["labels"]) else None


def different_documents(documents: Table, tally: Tally) -> Rows:
    """Return the rows of documents that repeat no earlier one; the others are counted."""
    begins = np.flatnonzero(documents["begins"])
    repeats = firsts(documents["document"][begins]) != np.arange(begins.size)
    if repeats.any():
        tally.drop_documents(documents, begins[repeats], "exact_duplicate")
    owners = np.cumsum(documents["begins"]) - 1
    return np.flatnonzero(~repeats[owners]) if documents.size else np.empty(0, np.int64)
