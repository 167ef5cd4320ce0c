"""What is judged: a prompt with its K answers, of a round's answers or of a labeler's training."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from apps.label.settings import TaskSettings
from rlhf.people import judgements, sharing
from rlhf.people.judgements import Pool
from rlhf.records.json_values import is_list, is_object, parsed
from rlhf.records.types import Message
from rlhf.runtime import seeds

MOST_ANSWERS = 9  # one digit each


class Item(NamedTuple):
    """A prompt with its answers."""

    key: str  # by which page and server name it
    prompt: str  # the prompt's id
    answers: str  # judgements.answers_id
    pool: Pool
    messages: list[Message]
    responses: list[str]
    language: str
    task: dict[str, Any] | None
    wanted: int  # labelers
    ranks: list[int] | None = None  # of a training item: the known ones
    why: str | None = None  # of a training item: what its feedback says


def read(root: Path, round_name: str, settings: TaskSettings) -> list[Item]:
    """Return a round's items in the order in which they are dealt: shuffled once and for all, both pools together, so
    that whatever has been labelled is a fair sample. Raises ValueError naming file, line and field."""
    folder = root / "data/collect_answers" / round_name
    found = list[Item]()
    for pool in settings.pools:
        file = folder / f"answers.{pool}.jsonl"
        if not file.exists():
            raise ValueError(f"{file} is missing: dvc repro collect_answers@{round_name} makes it")
        for place, row in _rows(file):
            item = _item(row, place, pool)
            share = sharing.wanted(item.prompt, settings.overlap_share, settings.overlap_labelers)
            found.append(item._replace(wanted=share))
    _check_distinct(found, str(folder))
    return sorted(found, key=lambda item: seeds.derive(0, item.prompt, "dealt"))


def read_training(file: Path | None) -> list[Item]:
    """Return a labeler's training in the order of its file: answered prompts with `ranks`, or comparisons.

    Raises ValueError naming file, line and field.
    """
    if file is None:
        return []
    if not file.exists():
        raise ValueError(f"{file} is missing: collect_comparisons.labelers.training names it; null: no training")
    found = list[Item]()
    for place, row in _rows(file):
        item, ranks = _item(row, place, "training"), _known_ranks(row)
        num = len(item.responses)
        if not is_list(ranks) or len(ranks) != num or any(type(one) is not int or not 1 <= one <= num for one in ranks):
            raise ValueError(
                f"{place}: ranks: expected {num} whole numbers, one an answer, 1 for the best (got {ranks!r})"
            )
        if len(set(ranks)) == 1:
            raise ValueError(f"{place}: ranks: all are equal, from which nobody learns: give answers that differ")
        why = row.get("why")
        found.append(item._replace(ranks=ranks, why=why if isinstance(why, str) and why.strip() else None))
    _check_distinct(found, str(file))
    return found


def order_for(item: Item, labeler: str) -> list[int]:
    """Return in which order a labeler sees the answers: another one for each labeler and prompt, always the same."""
    order = list(range(len(item.responses)))
    Random(seeds.derive(0, item.prompt, item.answers, labeler, "order")).shuffle(order)
    return order


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with open(file, "rb") as opened:
        for number, raw in enumerate(opened, start=1):
            place = f"{file}: line {number}"
            if not raw.strip():
                continue
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{place}, byte {error.start + 1}: not valid UTF-8") from None
            row = parsed(text, place)
            if not is_object(row):
                raise ValueError(f"{place}: expected a JSON object, got {type(row).__name__}")
            yield place, row


def _item(row: Mapping[str, Any], place: str, pool: Pool) -> Item:
    prompt, messages, responses = row.get("id"), row.get("messages"), row.get("responses")
    if not isinstance(prompt, str) or not prompt:
        raise ValueError(f"{place}: id: expected a text (got {prompt!r})")
    if not is_list(messages) or not messages or not all(_is_message(one) for one in messages):
        raise ValueError(f"{place}: messages: expected a list of {{role, content}}")
    if not is_list(responses) or not all(isinstance(one, str) for one in responses):
        raise ValueError(f"{place}: responses: expected a list of texts")
    if not 2 <= len(responses) <= MOST_ANSWERS or len(set(responses)) < len(responses):
        raise ValueError(f"{place}: responses: expected 2 to {MOST_ANSWERS} different texts (got {len(responses)})")
    answers, task = judgements.answers_id(messages, responses), row.get("task")
    key = hashlib.sha256(json.dumps([pool, prompt, answers]).encode("utf-8")).hexdigest()[:32]
    language = row.get("language")
    return Item(
        key, prompt, answers, pool, messages, responses,
        language if isinstance(language, str) else "und",
        task if is_object(task) else None,
        wanted=1,
    )  # fmt: skip


def _known_ranks(row: Mapping[str, Any]) -> Any:
    """Of an answered prompt its `ranks`, of a comparison those of its first label."""
    labels = row.get("labels")
    if "ranks" not in row and is_list(labels) and labels and is_object(labels[0]):
        return labels[0].get("ranks")
    return row.get("ranks")


def _is_message(value: Any) -> bool:
    return is_object(value) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)


def _check_distinct(found: list[Item], place: str) -> None:
    seen = set[str]()
    for item in found:
        if item.prompt in seen:
            raise ValueError(f"{place}: the prompt {item.prompt!r} stands there twice; each is judged once")
        seen.add(item.prompt)
