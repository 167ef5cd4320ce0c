"""Our records as other tools' rows, which their formats' readers here read back.

What a form cannot say raises Dropped with the reason: a pair for three answers, an order for equal ranks.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from rlhf.collection.dropped import Dropped
from rlhf.records.records import pairs
from rlhf.records.types import Comparison, DialogueRecord, Label, Message

Rows = Iterator[dict[str, Any]]


def as_trl(record: DialogueRecord) -> Rows:
    """TRL's conversational forms (docs/source/dataset_formats.md, TRL 1.16): prompt-completion, and preference: a row a
    pair that a labeler ordered, without the labeler.
    """
    if record["kind"] == "demonstration":
        yield {"prompt": record["messages"], "completion": [_said(record["response"])]}
    elif record["kind"] == "comparison":
        for better, worse in _pairs(record):
            yield {"prompt": record["messages"], "chosen": [_said(better)], "rejected": [_said(worse)]}
    else:
        yield {"prompt": record["messages"]}


def as_openai(record: DialogueRecord) -> Rows:
    """OpenAI's fine-tuning JSONL: chat, and preference: a row a pair that a labeler ordered, without the labeler."""
    if record["kind"] == "demonstration":
        yield {"messages": [*record["messages"], _said(record["response"])]}
    elif record["kind"] == "comparison":
        for better, worse in _pairs(record):
            yield {
                "input": {"messages": record["messages"], "tools": [], "parallel_tool_calls": True},
                "preferred_output": [_said(better)],
                "non_preferred_output": [_said(worse)],
            }
    else:
        raise Dropped("prompts_have_no_form")


def as_argilla(record: DialogueRecord) -> Rows:
    """Argilla's ranking records (1.x): fields prompt, response1, ..., and a ranking a labeler."""
    comparison = _comparison(record)
    names = [f"response{number}" for number in range(1, len(comparison["responses"]) + 1)]
    rankings = [
        {"user_id": label["labeler"], "value": {"rank": label["ranks"], "value": names}, "status": "submitted"}
        for label in comparison["labels"]
    ]
    yield {"prompt": _prompt(record), **dict(zip(names, comparison["responses"], strict=True)), "preference": rankings}


def as_label_studio(record: DialogueRecord) -> Rows:
    """Label Studio's tasks with a ranker's annotations: an order, which says no ties."""
    comparison = _comparison(record)
    items = [{"id": str(number), "body": text} for number, text in enumerate(comparison["responses"])]
    annotations = [_annotation(label) for label in comparison["labels"]]
    yield {"data": {"prompt": _prompt(record), "items": items}, "annotations": annotations}


def _annotation(label: Label) -> dict[str, Any]:
    if len({*label["ranks"]}) < len(label["ranks"]):
        raise Dropped("ties_have_no_form")
    order = [str(number) for number in sorted(range(len(label["ranks"])), key=lambda number: label["ranks"][number])]
    result = {"type": "ranker", "from_name": "rank", "to_name": "items", "value": {"ranker": {"rank": order}}}
    return {"completed_by": label["labeler"], "was_cancelled": False, "result": [result]}


def _comparison(record: DialogueRecord) -> Comparison:
    if record["kind"] != "comparison":
        raise Dropped("only_comparisons_have_a_form")
    return record


def _pairs(record: Comparison) -> Iterator[tuple[str, str]]:
    responses = record["responses"]
    found = [*chain.from_iterable(pairs(label["ranks"]) for label in record["labels"])]
    if not found:
        raise Dropped("ties_have_no_form")
    return ((responses[better], responses[worse]) for better, worse in found)


def _said(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _prompt(record: DialogueRecord) -> str | list[Message]:
    """Return a single user turn as text, more turns as a list."""
    turns = record["messages"]
    return turns[0]["content"] if len(turns) == 1 else turns


FORMS: dict[str, Callable[[DialogueRecord], Rows]] = {
    "trl": as_trl,
    "openai": as_openai,
    "argilla": as_argilla,
    "label_studio": as_label_studio,
}
