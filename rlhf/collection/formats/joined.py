"""Formats in which several rows make one record: answers to one prompt, or threads by parents' ids."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.form import Fields, Form, Own, as_number, at, known_by, number, ranked, scored, text
from rlhf.collection.formats.preferences import post
from rlhf.collection.readers import Row
from rlhf.params.base import shown
from rlhf.records.json_values import is_list, is_object

ANSWERS, BEFORE = " answers", " before"  # columns that a join makes: the rows of one prompt, the turns before it


def by_prompt(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows that follow one another with the same prompt as one."""
    kept: list[Row] = []
    for row in rows:
        if kept and kept[0].fields.get("prompt") != row.fields.get("prompt"):
            yield _together(kept)
            kept = []
        kept.append(row)
    if kept:
        yield _together(kept)


def _together(rows: list[Row]) -> Row:
    return Row({**rows[0].fields, ANSWERS: [row.fields for row in rows]}, rows[0].where)


def helpsteer2(fields: Fields) -> Own:
    """Return the answers of one prompt with their helpfulness; HelpSteer2's turns are parted by <extra_id_1>."""
    done = fields[ANSWERS]
    return {
        "prompt": text(fields, "prompt"),
        **scored([one.get("response") for one in done], [number(one, "helpfulness") for one in done]),
    }


def by_worker(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rated summaries of a post by one worker as one row, wherever they stand; and what is none, as it is."""
    together: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        info = row.fields.get("info")
        post = info.get("id") if is_object(info) else None
        if isinstance(post, str):
            together[post, str(row.fields.get("worker"))].append(row)
        else:
            yield row
    yield from map(_together, together.values())


def axis_evals(fields: Fields) -> Own:
    """Return a post's summaries with one worker's overall scores."""
    done = fields.get(ANSWERS, [fields])
    labeler = {"labeler": str(fields["worker"])} if fields.get("worker") is not None else {}
    summaries = [at(one, "summary", "text") for one in done]
    return {
        **labeler,
        "prompt": post(fields),
        **scored(summaries, [at(one, "summary", "axes", "overall") for one in done]),
    }


def _is_of_axes(fields: Fields) -> bool:
    summary = fields.get("summary")
    return is_object(summary) and is_object(summary.get("axes"))


def _is_helpful(fields: Fields) -> bool:
    return as_number(fields.get("helpfulness")) is not None


def threads(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield each prompt of OpenAssistant's trees with its replies, the rows of a tree wherever they stand; and what is
    no message, as it is.
    """
    messages: dict[str, Row] = {}
    replies: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        identity, parent = row.fields.get("message_id"), row.fields.get("parent_id")
        if not isinstance(identity, str) or not isinstance(parent, str | None):
            yield row
            continue
        messages[identity] = row
        if parent is not None:
            replies[parent].append(row)
    for identity, row in messages.items():
        if row.fields.get("role") != "prompter":
            continue
        before, parent = [row.fields], row.fields.get("parent_id")
        while parent is not None and parent in messages and len(before) <= len(messages):
            before.append(messages[parent].fields)
            parent = before[-1].get("parent_id")
        own = {BEFORE: before[::-1] if parent is None else [], ANSWERS: [one.fields for one in replies[identity]]}
        yield Row({**row.fields, **own}, row.where)


def thread(fields: Fields) -> Own:
    """Return a prompt with the turns before it, and its replies by rank; without ranks its first reply."""
    if BEFORE not in fields:
        raise ValueError(f"no message: message_id {shown(fields.get('message_id'))}, with its parent_id, is no text")
    if not fields[BEFORE]:
        raise Dropped("thread_without_its_beginning")
    own: Own = {"messages": [_turn(one) for one in fields[BEFORE]]}
    own |= {"user": fields["user_id"]} if fields.get("user_id") else {}
    replies = [one for one in fields[ANSWERS] if not one.get("deleted")]
    known = [one for one in replies if as_number(one.get("rank")) is not None]
    if len(known) > 1:
        return own | ranked([one.get("text") for one in known], [one.get("rank") for one in known])
    return own | ({"response": replies[0].get("text")} if replies else {})


def _turn(fields: Fields) -> Mapping[str, Any]:
    return {"role": fields.get("role"), "content": fields.get("text")}


def trees(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the messages of whole trees, and join them as those of flat files."""

    def flat() -> Iterator[Row]:
        for row in rows:
            waiting: list[tuple[Any, str | None]] = [(row.fields.get("prompt"), None)]
            while waiting:
                message, parent = waiting.pop()
                own: Mapping[str, Any] = message if is_object(message) else {}
                yield Row({**own, "parent_id": parent}, row.where)
                replies = own.get("replies")
                waiting += [(reply, own.get("message_id")) for reply in reversed(replies)] if is_list(replies) else []

    return threads(flat())


def _is_tree(fields: Fields) -> bool:
    prompt = fields.get("prompt")
    return is_object(prompt) and is_list(prompt.get("replies"))


FORMS = (
    Form("HelpSteer2", "helpfulness 0..4, higher is better; the rows of one prompt are one comparison",
         "nvidia/HelpSteer2 card", known_by("prompt", "response", "helpfulness"), helpsteer2, _is_helpful,
         known_by("correctness", "coherence", "complexity", "verbosity"), by_prompt),
    Form("summarize_from_feedback axis evals", "axes.overall, higher is better; the summaries of one post that one "
         "worker rated are one comparison", "openai/summarize-from-feedback README, 065ea4e",
         known_by("info", "summary"), axis_evals, _is_of_axes, known_by("worker"), by_worker,
         beside="axes within summary"),
    Form("OpenAssistant messages", "rank, 0 is best among the replies to one message; rows are joined by parent_id",
         "OpenAssistant/oasst1 card", known_by("message_id", "parent_id", "text", "role"), thread, join=threads,
         also=known_by("rank", "deleted", "user_id", "lang")),
    Form("OpenAssistant trees", "rank, 0 is best among the replies to one message", "OpenAssistant/oasst1 card",
         known_by("message_tree_id", "prompt"), thread, _is_tree, join=trees),
)  # fmt: skip
