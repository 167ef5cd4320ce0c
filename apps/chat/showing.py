"""What the page is shown of journals: conversations as trees, and of blind pairs no more than may be known."""

from collections.abc import Mapping
from typing import Any

from rlhf.people.feedback import WHOLE, History, Turn

TITLE = 80  # characters
CUT = ("blocked", "failed")  # ends of answers of which moderation may not have let through all


def conversations(history: History) -> list[dict[str, Any]]:
    """Return a user's conversations, the one that was spoken in last first."""
    found: dict[str, dict[str, Any]] = {}
    for turn in history.turns.values():
        known = found.pop(turn.conversation, None)
        title = known["title"] if known else " ".join(turn.content.split())[:TITLE]
        found[turn.conversation] = {"id": turn.conversation, "title": title, "at": turn.at}
    return [*found.values()][::-1]


def conversation(history: History, name: str) -> dict[str, Any] | None:
    """Return a conversation's turns in the order of being said; None where there is none of that name."""
    blocked = history.blocked_turns()
    turns = [shown(history, turn, blocked) for turn in history.turns.values() if turn.conversation == name]
    pairs = {one["pair"] for one in turns if one["pair"]}
    choices = {pair: line["chosen"] for pair, line in history.choices.items() if pair in pairs}
    return {"id": name, "turns": turns, "choices": choices} if turns else None


def _pair(history: History, turn: Turn) -> list[Turn]:
    """Return both answers of a pair between which nobody chose yet, as far as they are there; else none."""
    pair = turn.more.get("pair")
    if not pair or pair in history.choices:
        return []
    return [one for one in history.turns.values() if one.parent == turn.parent and one.more.get("pair") == pair]


def is_open(history: History, turn: Turn) -> bool:
    """Say whether a turn is one of two between which a choice can be made, and was not."""
    both = _pair(history, turn)
    return len(both) == 2 and all(one.end in WHOLE for one in both)


def is_hidden(history: History, turn: Turn) -> bool:
    """Say whether it must not be known who gave an answer: a choice may still come."""
    return len(_pair(history, turn)) == 1 or is_open(history, turn)


def let_through(turn: Turn) -> str:
    """Return what a reader saw of a turn while it grew: of an older line that does not say how much, nothing."""
    if turn.end in CUT:
        return turn.content[: turn.more.get("shown", 0)]
    return turn.content


def shown(history: History, turn: Turn, blocked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a turn for the page; of one in an open pair not who said it."""
    stop = blocked.get(turn.id)
    hidden = is_hidden(history, turn)
    return {
        **{key: getattr(turn, key) for key in ("id", "parent", "role", "end", "at")},
        "content": let_through(turn),
        "pair": turn.more.get("pair"),
        "side": turn.more.get("side"),
        "reads": None if hidden else turn.more.get("reads"),
        "checkpoint": None if hidden else turn.more.get("checkpoint"),
        "settings": turn.more.get("settings"),
        "problem": turn.more.get("problem"),
        "thumb": history.thumb(turn.id),
        "better": history.better(turn.id),
        "flags": history.flags(turn.id),
        "blocked": stop and {key: stop.get(key) for key in ("id", "where", "category", "probability")},
        "appealed": bool(stop and stop["id"] in history.appeals),
    }
