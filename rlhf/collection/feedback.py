"""What people said in the chat as raw rows: demonstrations, comparisons and prompts, each with its user.

A line that gives no row is a row that is dropped, so that it is counted: torn, broken, of a user who is forgotten or
never agreed, said again otherwise later, blocked.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.collection.columns import DROPPED
from rlhf.collection.readers import Row
from rlhf.params.collect_prompts import FeedbackSource, feedback_files
from rlhf.people import journal
from rlhf.people.feedback import CHOICES, WHOLE, History, Turn
from rlhf.people.forgetting import Forgotten

FOLDER = Path("data/feedback")  # whose forgotten users stay forgotten in copies elsewhere
SHOWN = 5  # lines that are named on the screen


def rows(source: FeedbackSource, root: Path) -> Iterator[Row]:
    """Yield the rows of all journals that a source names: in the order of their users, and of what each said."""
    files = feedback_files(source, root)
    forgotten = Forgotten([root / FOLDER, *(file.parent for file in files)])
    histories, bad = dict[str, History](), list[tuple[str, str]]()
    for file in files:
        lines, torn = journal.read(file)
        bad += [(f"{one.file}:{one.number}: {one.problem}", "torn_line") for one in torn]
        for line in lines:
            reason, words = _taken(line.content, forgotten, histories)
            if reason:
                bad.append((f"{line.place}: {words}", reason))
    _say(source.name, [words for words, reason in bad if reason in ("torn_line", "broken_line")])
    yield from (Row({DROPPED: reason}, words.partition(": ")[0]) for words, reason in bad)
    for user, history in sorted(histories.items()):
        yield from _of_user(user, history, source)


def _taken(content: dict[str, Any], forgotten: Forgotten, histories: dict[str, History]) -> tuple[str | None, str]:
    """Take a line into its user's history; returns why it is left out, if so, and that in words."""
    user = content.get("user")
    if forgotten.holds(user, content.get("at")):
        return "forgotten_user", "its user asked to be forgotten"
    history = histories.get(str(user)) or History()
    if problem := history.problem(content):
        return "broken_line", problem
    if history.knows(content):
        return "repeated_line", "it was read before"
    history.take(content)
    histories[str(user)] = history
    return None, ""


def _say(name: str, words: list[str]) -> None:
    for one in words[:SHOWN]:
        print(f"source '{name}': {one}; the line is passed over")
    if len(words) > SHOWN:
        print(f"source '{name}': {len(words) - SHOWN} more lines are passed over")


def _of_user(user: str, history: History, source: FeedbackSource) -> Iterator[Row]:
    if not history.consents:
        yield from (Row({DROPPED: "no_consent"}, f"{user}: turn {turn}") for turn in history.turns)
        return
    yield from (Row({DROPPED: "changed_mind"}, user) for _ in range(history.replaced))
    blocked = history.blocked_turns()
    for turn in history.turns.values():
        if turn.role != "user":
            continue
        where = f"{user}: conversation {turn.conversation}, turn {turn.id}"
        if any(one.id in blocked or one.end in ("blocked", "failed") for one in history.path(turn.id)):
            yield Row({DROPPED: "blocked"}, where)
            continue
        common = {"messages": history.messages(turn.id), "user": user, "category": "chat"}
        found = [*_of_prompt(user, history, turn, source)] or [{}]
        yield from (Row(common | more, where) for more in found)


def _of_prompt(user: str, history: History, prompt: Turn, source: FeedbackSource) -> Iterator[dict[str, Any]]:
    """Yield what the answers to a prompt give: demonstrations first, what was said last before what was said first."""
    every = [one for one in history.turns.values() if one.parent == prompt.id][::-1]
    for answer in every:  # also in place of one that was blocked, cut or failed
        if better := history.better(answer.id):
            yield {"response": better}
    answers = [one for one in every if one.end in WHOLE]
    for answer in answers if source.thumbs else ():
        if history.thumb(answer.id) == "up" and not history.flags(answer.id) and not history.better(answer.id):
            yield {"response": answer.content}
    for answer in answers:
        if better := history.better(answer.id):
            yield _ranked(user, [better, answer.content], [1, 2])
    by_id = {one.id: one for one in answers}
    for choice in history.choices.values():
        if choice["chosen"] is not None and all(one in by_id for one in choice["answers"]):
            texts = [by_id[one].content for one in choice["answers"]]
            tied = choice["chosen"] in CHOICES
            yield _ranked(user, texts, [1 if tied or one == choice["chosen"] else 2 for one in choice["answers"]])


def _ranked(user: str, responses: list[str], ranks: list[int]) -> dict[str, Any]:
    return {"responses": responses, "ranks": ranks, "labeler": user}
