"""Judgements of a file of another tool: read, matched with a round's answers by their text, put into its order."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.known import Reading
from rlhf.collection.sources import rows
from rlhf.params.base import parse
from rlhf.params.collect_prompts import FileSource
from rlhf.people import judgements
from rlhf.people.judgements import Judgement, Pool
from rlhf.records import records
from rlhf.records.json_values import is_list, is_object
from rlhf.records.types import AnsweredPrompt, Label, Message

Answers = Mapping[str, Sequence[AnsweredPrompt]]  # by pool
NOT_HERE = "on_answers_that_the_round_has_not"


class Found(NamedTuple):
    """A judgement in a file: of whom, of which answers, and what it says of them in their order."""

    labeler: str
    answered: AnsweredPrompt
    pool: Pool
    said: Label | Judgement


class Matched(NamedTuple):
    """An answered prompt of the round, and its pool."""

    answered: AnsweredPrompt
    pool: Any

    @property
    def id(self) -> str:
        return judgements.answers_id(self.answered["messages"], self.answered["responses"])


def read(file: Path, answers: Answers, root: Path, counts: Counter[str]) -> Iterator[Found]:
    """Yield the judgements of a file on the round's answers; all others are counted."""
    asked = {"name": "file", "kind": "file", "paths": [str(file.resolve())], "use": ["comparisons"], "max_broken": 1.0}
    source = parse(FileSource, asked, "source")
    reading, round_ = Reading(rows(source, root, ""), source), _Round(answers)
    for number, row in enumerate(reading.rows):
        if is_list(row.fields.get("judgements")):
            yield from round_.own(row.fields["judgements"], counts)
            continue
        try:
            record: Any = reading.record(row, number)
        except Dropped as reason:
            counts[f"rows_left_out:_{reason}"] += 1
            continue
        if record["kind"] == "comparison":
            yield from round_.labels(record, counts)
        else:
            counts["rows_without_a_judgement"] += 1
    yield from round_.rankings_of_pairs(counts)


class _Round:
    """A round's answers, found again by what a file says of them."""

    def __init__(self, answers: Answers):
        found = [Matched(one, pool) for pool, some in answers.items() for one in some]
        self._by_id = {one.id: one for one in found}
        self._by_text = {_key(one.answered["messages"], one.answered["responses"]): one for one in found}
        self._by_answer = {
            _key(one.answered["messages"], [text]): one for one in found for text in one.answered["responses"]
        }
        self._pairs: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)  # by labeler and answers

    def own(self, given: Sequence[Any], counts: Counter[str]) -> Iterator[Found]:
        """Yield whole judgements, as this project exports them."""
        for one in given:
            said: Any = one
            if not is_object(one) or judgements.problem_in(one):
                counts["broken_judgements"] += 1
            elif said["answers"] not in self._by_id:
                counts[NOT_HERE] += 1
            else:
                where = self._by_id[said["answers"]]
                yield Found(said["labeler"], where.answered, where.pool, said)

    def labels(self, record: Any, counts: Counter[str]) -> Iterator[Found]:
        """Yield a row's labels; of a pair among more answers each is kept, until all pairs are there."""
        where = self._by_text.get(_key(record["messages"], record["responses"]))
        if where is not None:
            given = _stripped(record["responses"])
            order = [given.index(text) for text in _stripped(where.answered["responses"])]
            yield from (_in_order(label, order, where) for label in record["labels"])
        elif len(record["responses"]) == 2:
            self._keep(record, counts)
        else:
            counts[NOT_HERE] += 1

    def _keep(self, record: Any, counts: Counter[str]) -> None:
        both = [self._by_answer.get(_key(record["messages"], [text])) for text in record["responses"]]
        if both[0] is None or both[1] is None or both[0].id != both[1].id:
            counts[NOT_HERE] += 1
            return
        for label in record["labels"]:
            for better, worse in records.pairs(label["ranks"]):
                texts = [text.strip() for text in record["responses"]]
                self._pairs[label["labeler"], both[0].id].add((texts[better], texts[worse]))

    def rankings_of_pairs(self, counts: Counter[str]) -> Iterator[Found]:
        """Yield the ranking that a labeler's pairs of a prompt make together: how many answers are better says an
        answer's rank, answers without a pair between them are ties. Pairs that contradict it, or lack some, make none.
        """
        for (labeler, answers), pairs in self._pairs.items():
            where = self._by_id[answers]
            texts = [text.strip() for text in where.answered["responses"]]
            ranks = records.ranks_of([-float(sum(worse == text for _, worse in pairs)) for text in texts])
            if {(texts[better], texts[worse]) for better, worse in records.pairs(ranks)} == pairs:
                label = Label(labeler=labeler, ranks=ranks, scores=None, scale=None)
                yield Found(labeler, where.answered, where.pool, label)
            else:
                counts["prompts_whose_pairs_make_no_ranking"] += 1


def _in_order(label: Label, order: Sequence[int], where: Matched) -> Found:
    scores = label["scores"]
    ranks = [label["ranks"][index] for index in order]
    said: Label = {**label, "ranks": ranks, "scores": None if scores is None else [scores[index] for index in order]}
    return Found(label["labeler"], where.answered, where.pool, said)


def _key(messages: Sequence[Message], responses: Sequence[str]) -> str:
    """Return by what a prompt with these answers is known: whatever their order, and the space around them."""
    turns = [[turn["role"], turn["content"].strip()] for turn in messages]
    return json.dumps([turns, sorted(_stripped(responses))], ensure_ascii=False)


def _stripped(texts: Sequence[str]) -> list[str]:
    """Return texts without the space around them, unless some differ in nothing else."""
    stripped = [text.strip() for text in texts]
    return stripped if len({*stripped}) == len(texts) else [*texts]
