"""What is known of a record in main memory: numbers, in arrays. The record itself lies on disk, as text in three parts.

Texts are known by 64 bits of a hash: two different ones among a million have the same with a chance of 3 in 10**8.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from json.encoder import encode_basestring
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf.collection.duplicates.folding import folded, prompt_text
from rlhf.collection.splitting import point_of
from rlhf.params.collect_prompts import CollectPrompts
from rlhf.records.json_values import is_list, is_object
from rlhf.records.types import DialogueRecord
from rlhf.runtime.seeds import derive

Table = NDArray[np.void]  # of FACTS or DOCUMENTS
Rows = NDArray[np.int64]  # of a table, by number

KINDS = ("prompt", "demonstration", "comparison")
ANSWERS = ("response", "responses", "labels")
FACTS = np.dtype(
    [
        ("offset", np.uint64),  # of the record in the spill
        ("head", np.uint32),  # bytes of its parts
        ("answers", np.uint32),
        ("tail", np.uint32),
        ("source", np.uint16),  # by its place in the order of reading
        ("kind", np.uint8),  # by its place in KINDS
        ("has_task", np.bool_),
        ("no_name", np.bool_),  # its category was none
        ("category", np.int32),  # by their places in lists of names
        ("language", np.int32),
        ("user", np.uint64),  # a hash, 0 where none is known; also of their source, so that no two share one
        ("prompt", np.uint64),  # hash of the folded text of all turns
        ("identity", np.uint64),  # and of a comparison's answers, in any order
        ("answer", np.uint64),  # hash of a demonstration's folded answer; 0 of other kinds
        ("beginning", np.uint64),  # hash of what its dialogue is known by
        ("prefix", np.uint64),  # hash of the first common_prefix_characters
        ("order", np.uint64),  # of the files
        ("point", np.uint64),  # of the split of its user, or of its prompt where none is known
        ("cap", np.uint64),  # of the order in which max_prompts takes prompts
        ("characters", np.uint32),  # of the prompt
        ("answer_characters", np.uint32),  # of a demonstration's answer
        ("responses", np.uint32),  # of a comparison: how many
        ("runs", np.uint32),  # of words, different ones
    ]
)
DOCUMENTS = np.dtype(
    [
        ("offset", np.uint64),
        ("size", np.uint32),  # bytes
        ("characters", np.uint32),
        ("source", np.uint16),
        ("begins", np.bool_),  # it is the first piece of its document
        ("document", np.uint64),  # hash of the whole document
    ]
)


class Written(NamedTuple):
    """A record as text: between the parts stands ", ", around them braces, and before them the kind."""

    head: bytes
    answers: bytes
    tail: bytes


def hashed(text: str) -> int:
    """Return 64 bits of a text's hash, never 0."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1


def written(record: Mapping[str, Any]) -> Written:
    """Return a record's parts: up to its messages, its answers if it has some, and the rest."""
    head = {key: record[key] for key in ("id", "messages")}
    answers = {key: record[key] for key in ANSWERS if key in record}
    tail = {key: value for key, value in record.items() if key != "kind" and key not in head and key not in answers}
    return Written(*(_inner(part).encode() for part in (head, answers, tail)))


def line(kind: str, parts: Written) -> bytes:
    """Return a record as a line of JSONL."""
    return b'{"kind": "%b", %b}\n' % (kind.encode(), b", ".join(part for part in parts if part))


def parsed_part(part: bytes) -> dict[str, Any]:
    return decode(b"{%b}" % part)


def encode(value: Mapping[str, Any]) -> bytes:
    """Return an object as JSON, as `records.write` writes it."""
    return f"{{{_inner(value)}}}".encode()


def _inner(part: Mapping[str, Any]) -> str:
    return ", ".join([f"{encode_basestring(key)}: {_json(value)}" for key, value in part.items()])


def _json(value: Any) -> str:
    """Return a value as JSON: mostly texts, for which an encoder of their own is many times faster."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if is_list(value):
        return f"[{', '.join([_json(one) for one in value])}]"
    return f"{{{_inner(value)}}}" if is_object(value) else _encoder().encode(value)


@cache
def _encoder() -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class Facts:
    """Gathers the facts of records, a few thousand at a time."""

    def __init__(self, params: CollectPrompts, seed: int) -> None:
        self._seed = seed
        self._prefix = params.cleaning.common_prefix_characters
        self._is_capped = any(cap is not None for cap in dict(params.max_prompts).values())
        self._rows: list[tuple[Any, ...]] = []
        self._categories, self._languages = dict[str, int](), dict[str, int]()
        self._responses: list[int] = []
        self._offset = 0
        self.spilled: list[bytes] = []
        self.prompts: list[str] = []  # their folded texts

    def add(self, record: DialogueRecord, source: int, no_name: bool) -> None:
        """Note a clean record whose category is a name."""
        parts = written(record)
        prompt, user = prompt_text(record), record["user"]
        self._rows.append(
            (
                self._offset, len(parts.head), len(parts.answers), len(parts.tail), source, KINDS.index(record["kind"]),
                "task" in record, no_name,
                self._categories.setdefault(record["category"], len(self._categories)),
                self._languages.setdefault(record["language"], len(self._languages)),
                0 if user is None else hashed(f"{record['source']}/{user}"), *self._of_texts(record, prompt),
                derive(self._seed, record["id"]), *self._of_splits(record, prompt),
                sum(len(turn["content"]) for turn in record["messages"]), *self._of_answers(record), 0,
            )
        )  # fmt: skip
        self._offset += sum(map(len, parts))
        self.spilled += parts
        self.prompts.append(prompt)

    def _of_texts(self, record: DialogueRecord, prompt: str) -> tuple[int, int, int, int, int]:
        """Return the hashes: prompt, identity, answer, beginning, prefix."""
        own = identity = beginning = hashed(prompt)
        answer = 0
        if record["kind"] == "comparison":
            responses = sorted(folded(text) for text in record["responses"])
            identity = hashed("\0".join([prompt, *responses]))
        elif record["kind"] == "demonstration":
            answer = hashed(folded(record["response"]))
        if record["user"] is None and len(record["messages"]) > 1:
            first = next((turn["content"] for turn in record["messages"] if turn["role"] == "user"), None)
            beginning = own if first is None else hashed(folded(first))
        prefix = 0 if self._prefix is None else hashed(prompt[: self._prefix])
        return own, identity, answer, beginning, prefix

    def _of_splits(self, record: DialogueRecord, prompt: str) -> tuple[int, int]:
        unit = f"prompt/{prompt}" if record["user"] is None else f"user/{record['source']}/{record['user']}"
        return point_of(unit, self._seed), derive(self._seed, "cap", prompt) if self._is_capped else 0

    def _of_answers(self, record: DialogueRecord) -> tuple[int, int]:
        if record["kind"] != "comparison":
            return len(record["response"]) if record["kind"] == "demonstration" else 0, 0
        self._responses += [len(text) for text in record["responses"]]
        return 0, len(record["responses"])

    def table(self) -> Table:
        """Return the facts, with the places of categories and languages in `names`."""
        return np.array(self._rows, FACTS)

    def names(self) -> tuple[list[str], list[str]]:
        """Return categories and languages."""
        return [*self._categories], [*self._languages]

    def responses(self) -> NDArray[np.uint32]:
        """Return the characters of all answers of comparisons, one after another."""
        return np.array(self._responses, np.uint32)


def decode(content: bytes) -> dict[str, Any]:
    return json.loads(content)


def joined(tables: Sequence[Table], dtype: np.dtype[Any]) -> Table:
    return np.concatenate(tables) if tables else np.empty(0, dtype)
