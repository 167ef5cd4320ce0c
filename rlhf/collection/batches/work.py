"""What is done to each row by itself, in any process: a part of a source -> its clean records and their facts."""

from collections import Counter
from heapq import nsmallest
from os.path import commonprefix
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rlhf.collection.batches.parts import Part
from rlhf.collection.cleaning import clean_document, clean_record
from rlhf.collection.documents import pieces
from rlhf.collection.dropped import Dropped
from rlhf.collection.duplicates.folding import folded
from rlhf.collection.duplicates.shingles import Shingles, shingles
from rlhf.collection.formats.known import FORMS, Noticed, Reading
from rlhf.collection.personal_data.finding import check_personal_data
from rlhf.collection.rankings import within
from rlhf.collection.readers import Row
from rlhf.collection.table import categories
from rlhf.collection.table.facts import DOCUMENTS, Facts, Table, encode, hashed
from rlhf.params.collect_prompts import AnySource, CollectPrompts, PersonalData
from rlhf.records.types import DialogueRecord, Document, Prompt
from rlhf.runtime.seeds import derive

SAMPLES = 3  # of the rows that are dropped for one reason, shown in the data card
LONGEST_SAMPLE = 100  # characters


class Task(NamedTuple):
    """A part of a source, and where it stands."""

    source: int  # its place in the order of reading
    form: int | None  # the format's place in FORMS
    first: int  # the number of its first row in the source, from 0
    part: Part


class Sample(NamedTuple):
    """A row that was dropped."""

    order: int  # by which some are chosen of many
    row: str  # "<source>-<number>", as records are called
    text: str
    near: str = ""  # the text that it is near to


class Batch(NamedTuple):
    """What a part became."""

    source: int
    read: int  # rows
    size: int  # bytes, where they are known
    drops: Counter[str]
    causes: Counter[str]
    masked: Counter[str]  # rows in which a kind of personal data was masked
    samples: dict[str, list[Sample]]  # by reason
    noticed: Noticed
    facts: Table
    names: tuple[list[str], list[str]]  # categories and languages, which facts name by their places
    responses: NDArray[np.uint32]  # characters of comparisons' answers
    records: bytes  # their parts
    runs: Shingles | None  # of their prompts
    documents: Table
    lines: bytes  # of documents
    error: Exception | None  # at which it ended


class Worker:
    """Turns tasks into batches; it is pickled to other processes."""

    def __init__(self, sources: list[AnySource], params: CollectPrompts, seed: int) -> None:
        self._sources, self._params, self._seed = sources, params, seed

    def __call__(self, task: Task) -> Batch:
        part = _Part(self._sources[task.source], self._params, self._seed, task)
        return part.batch(part.work())


class _Part:
    """One part on its way."""

    def __init__(self, source: AnySource, params: CollectPrompts, seed: int, task: Task) -> None:
        self._source, self._params, self._seed, self._task = source, params, seed, task
        self._reading = Reading.again(source, None if task.form is None else FORMS[task.form])
        self._facts = Facts(params, seed)
        self._read = 0
        self._drops, self._causes, self._masked = Counter[str](), Counter[str](), Counter[str]()
        self._dropped: dict[str, list[tuple[int, str, Any]]] = {}
        self._documents: list[tuple[int, ...]] = []
        self._lines: list[bytes] = []
        self._offset = 0

    def work(self) -> Exception | None:
        """Take in all rows; returns the error that ended it before."""
        try:
            for row in self._task.part.rows():
                self._take(row)
                self._read += 1
        except (ValueError, OSError) as error:
            return error
        return None

    def _take(self, row: Row) -> None:
        record: Document | DialogueRecord | None = None
        number = self._task.first + self._read
        try:
            record = self._reading.record(row, number)
            if record["kind"] == "document":
                self._add_document(record)
            else:
                self._add(record)
        except Dropped as dropped:
            self._drops[str(dropped)] += 1
            self._causes.update(dropped.causes)
            name = f"{self._source.name}-{number}"
            self._dropped.setdefault(str(dropped), []).append((derive(self._seed, name), name, record))

    def _add(self, record: DialogueRecord) -> None:
        if f"{record['kind']}s" not in self._source.use:
            record = _asked_alone(record)
        found, kinds = clean_record(record, self._params.cleaning)
        if found["kind"] == "comparison":
            limits = self._params.cleaning.response_characters
            found = within(found, self._params.comparisons, limits, self._seed)
        no_name = categories.is_no_name(found["category"])
        found["category"] = categories.named(found["category"])
        self._facts.add(found, self._task.source, no_name)
        self._masked.update(kinds)

    def _add_document(self, record: Document) -> None:
        if "documents" not in self._source.use:
            raise Dropped("document_not_used")
        document, kinds = clean_document(record, self._params.cleaning, self._params.documents)
        self._masked.update(kinds)
        identity = hashed(folded(document["text"]))
        for number, piece in enumerate(pieces(document, self._params.documents)):
            line = encode(piece) + b"\n"
            self._documents.append(
                (self._offset, len(line), len(piece["text"]), self._task.source, number == 0, identity)
            )
            self._lines.append(line)
            self._offset += len(line)

    def batch(self, error: Exception | None) -> Batch:
        near = self._params.cleaning.near_duplicates
        facts, runs = self._facts.table(), None
        if near is not None:
            runs = shingles(self._facts.prompts, near.shingle_words)
            facts["runs"] = runs.sizes
        samples = {
            reason: [
                Sample(order, name, _shown(record)) for order, name, record in nsmallest(SAMPLES, found, key=_order)
            ]
            for reason, found in self._dropped.items()
        }
        return Batch(
            self._task.source, self._read, self._task.part.size(), self._drops, self._causes, self._masked, samples,
            self._reading.noticed(), facts, self._facts.names(), self._facts.responses(),
            b"".join(self._facts.spilled), runs, np.array(self._documents, DOCUMENTS), b"".join(self._lines), error,
        )  # fmt: skip


def _asked_alone(record: DialogueRecord) -> Prompt:
    """Return what is asked: where nobody learns from the answers, their faults are no reason to drop it."""
    left_out = {"kind", "response", "responses", "labels", "gold"}
    prompt: Any = {key: value for key, value in record.items() if key not in left_out} | {"kind": "prompt"}
    return prompt


def _order(dropped: tuple[int, str, Any]) -> int:
    return dropped[0]


def _shown(record: Any) -> str:
    """Return the beginning of what a row asks or says; nothing of one that holds personal data, of whatever kind."""
    if record is None:
        return ""
    text = record["text"] if record["kind"] == "document" else record["messages"][-1]["content"]
    return shortened(text)


def shortened(text: str, start: int = 0) -> str:
    """Return the beginning of a text on one line, or what stands from a place on; of one that holds personal data of
    any kind, only that it does.
    """
    try:
        check_personal_data(text, [*get_args(PersonalData)], placeholders=True)
    except Dropped:
        return "(holds personal data)"
    line = " ".join(text[start : start + 4 * LONGEST_SAMPLE].split())
    before = "..." if start else ""
    return before + (line if len(line) <= LONGEST_SAMPLE else f"{line[: LONGEST_SAMPLE - 3]}...")


def shown_beside(text: str, near: str) -> tuple[str, str]:
    """Return two texts, shortened to where they first differ."""
    if not near:
        return shortened(text), ""
    same = len(commonprefix([text, near]))
    start = max(0, same - LONGEST_SAMPLE // 2) if same > LONGEST_SAMPLE // 2 else 0
    return shortened(text, start), shortened(near, start)
