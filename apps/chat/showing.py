"""What the page is shown of journals: conversations as trees, and of blind pairs no more than may be known."""

from collections.abc import Collection, Iterable, Mapping
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


def conversation(history: History, name: str, coming: Collection[str]) -> dict[str, Any] | None:
    """Return a conversation's turns in the order of being said; None where there is none of that name."""
    turns = shown(history, (turn for turn in history.turns.values() if turn.conversation == name), coming)
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


def is_hidden(history: History, turn: Turn, coming: Collection[str]) -> bool:
    """Say whether it must not be known who gave an answer: a choice may still come.

    An answer whose other one was stopped before it began, or lost with the server, stays alone: nothing is chosen.
    """
    if len(_pair(history, turn)) == 1:
        return turn.more["pair"] in coming
    return is_open(history, turn)


def let_through(turn: Turn) -> str:
    """Return what a reader saw of a turn while it grew: of an older line that does not say how much, nothing."""
    if turn.end in CUT:
        return turn.content[: turn.more.get("shown", 0)]
    return turn.content


def shown(history: History, turns: Iterable[Turn], coming: Collection[str]) -> list[dict[str, Any]]:
    """Return turns for the page; of those in an open pair not who said them. `coming`: pairs that are not all there."""
    blocked = history.blocked_turns()
    return [_shown(history, turn, blocked.get(turn.id), is_hidden(history, turn, coming)) for turn in turns]


def _shown(history: History, turn: Turn, stop: Mapping[str, Any] | None, hidden: bool) -> dict[str, Any]:
    """Return a turn for the page. `stop`: what blocked it; `hidden`: without who said it."""
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
