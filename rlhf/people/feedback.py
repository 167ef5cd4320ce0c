"""What a person says in the chat: the lines of a user's journal, and the conversations that they tell.

<folder>/<user>.jsonl is only ever appended to. A conversation is a tree of turns: a turn that is edited, or an answer
that is made again, stands beside the earlier one below the same parent. Who changes their mind adds a line; of what one
user says of one answer, the last line holds.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from rlhf.records.types import Message, Role

ENDS = ("end", "length", "stopped", "left", "blocked", "failed")  # why an answer is not longer
WHOLE = ("end", "length", "stopped")  # answers that a person saw and could judge
CHOICES = ("tie", "both_bad")  # in place of the better answer's id
OF_AN_ANSWER = ("thumb", "better", "flag")  # kinds of lines of which the last one about an answer holds

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _some(value: Any) -> bool:
    return value is None or _text(value)


def _time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(_text(one) for one in value)


KINDS: dict[str, dict[str, tuple[Check, str]]] = {  # of lines: what each key must hold, and how that is said
    "consent": {"text": (_text, "the SHA-256 of what was agreed to")},
    "turn": {
        "conversation": (_text, "an id"),
        "parent": (_some, "the id of the turn before, or null"),
        "role": (lambda one: one in ("user", "assistant"), "user or assistant"),
        "content": (lambda one: isinstance(one, str), "a text"),
    },
    "thumb": {
        "answer": (_text, "an answer's id"),
        "value": (lambda one: one in ("up", "down", None), "up, down, null"),
    },
    "better": {"answer": (_text, "an answer's id"), "text": (_some, "a text, or null")},
    "flag": {"answer": (_text, "an answer's id"), "flags": (_texts, "a list of names")},
    "choice": {
        "pair": (_text, "a pair's id"),
        "answers": (lambda one: _texts(one) and len(one) == 2, "two ids, as they were shown"),
        "chosen": (_some, "one of the answers, tie, both_bad, or null"),
    },
    "blocked": {
        "turn": (_text, "a turn's id"),
        "where": (lambda one: one in ("request", "answer"), "request or answer"),
        "category": (_some, "a name, or null"),
    },
    "appeal": {"blocked": (_text, "the id of a line of kind blocked")},
    "trace": {"answer": (_text, "a turn's id"), "trace": (_text, "a trace's id"), "said": (_texts, "a list of ids")},
}
COMMON: dict[str, tuple[Check, str]] = {
    "id": (_text, "an id"),
    "user": (_text, "a name"),
    "at": (_time, "a time with its zone, as in 2026-11-30T12:00:00+00:00"),
}


class Turn(NamedTuple):
    """A turn of a conversation."""

    id: str
    conversation: str
    parent: str | None
    role: Role
    content: str
    at: str
    more: Mapping[str, Any]  # of an answer: checkpoint, settings, end, pair, side, ...

    @property
    def end(self) -> str | None:
        return self.more.get("end")


def problem_in(content: Mapping[str, Any]) -> str | None:
    """Return why a line is none of a user's journal, if so; what other lines say is not looked at."""
    kind = content.get("kind")
    if kind not in KINDS:
        return f"kind: expected one of {', '.join(KINDS)} (got {str(kind)[:60]!r})"
    for key, (holds, words) in (COMMON | KINDS[kind]).items():
        if key not in content:
            return f"{kind}: key {key!r} is missing"
        if not holds(content[key]):
            return f"{kind}: {key}: expected {words} (got {str(content[key])[:60]!r})"
    if kind == "turn" and content["role"] == "assistant" and content.get("end") not in ENDS:
        return f"turn: end: expected one of {', '.join(ENDS)} (got {str(content.get('end'))[:60]!r})"
    if kind == "choice" and content["chosen"] not in (*content["answers"], *CHOICES, None):
        return "choice: chosen: expected one of the two answers, tie, both_bad, or null"
    return None


class History:
    """What one user said, as far as the lines that were taken in tell."""

    def __init__(self) -> None:
        self.consents: list[str] = []  # sums of texts, the newest last
        self.turns: dict[str, Turn] = {}  # by id, in the order of being said
        self.said: dict[tuple[str, str], dict[str, Any]] = {}  # (kind, answer): the line that holds
        self.choices: dict[str, dict[str, Any]] = {}  # by pair: the line that holds
        self.blocked: dict[str, dict[str, Any]] = {}  # by its own id
        self.appeals: dict[str, dict[str, Any]] = {}  # by what they appeal against
        self.traces: dict[str, dict[str, Any]] = {}  # by turn: the newest line of its trace
        self.replaced = 0  # lines of which a later one took the place
        self._known: set[str] = set()  # ids of all lines

    def knows(self, content: Mapping[str, Any]) -> bool:
        """Say whether a line was taken in before, as in a copy of the journal."""
        return content["id"] in self._known

    def problem(self, content: Mapping[str, Any]) -> str | None:
        """Return why a line cannot be taken in, if so."""
        if problem := problem_in(content):
            return problem
        kind = content["kind"]
        if kind == "turn":
            return self._problem_of_turn(content)
        named = {"blocked": [content.get("turn")], "choice": content.get("answers", [])}.get(
            kind, [content["answer"]] if "answer" in content else []
        )
        missing = [one for one in named if one not in self.turns]
        if missing:
            return f"{kind}: it is about the turn {str(missing[0])[:60]!r}, which no line before it holds"
        if kind not in ("blocked", "trace") and any(self.turns[one].role != "assistant" for one in named):
            return f"{kind}: it is about a turn that is no answer"
        if kind == "appeal" and content["blocked"] not in self.blocked:
            return f"appeal: nothing was blocked as {str(content['blocked'])[:60]!r}"
        return None

    def _problem_of_turn(self, content: Mapping[str, Any]) -> str | None:
        parent = content["parent"]
        if parent is None:
            return None if content["role"] == "user" else "turn: an answer without a parent"
        before = self.turns.get(parent)
        if before is None or before.conversation != content["conversation"]:
            return f"turn: its parent {parent[:60]!r} is no turn of its conversation before it"
        return "turn: user and assistant do not alternate" if before.role == content["role"] else None

    def take(self, content: Mapping[str, Any]) -> None:
        """Take in the next line. Raises ValueError for one that cannot be."""
        if problem := self.problem(content):
            raise ValueError(problem)
        kind, line = content["kind"], dict(content)
        self._known.add(content["id"])
        if kind == "consent":
            self.consents.append(line["text"])
        elif kind == "turn":
            keys = {"kind", "user", *Turn._fields}
            more = {key: value for key, value in line.items() if key not in keys}
            self.turns[line["id"]] = Turn(**{key: line[key] for key in Turn._fields[:-1]}, more=more)
        elif kind in OF_AN_ANSWER:
            self.replaced += (kind, line["answer"]) in self.said
            self.said[kind, line["answer"]] = line
        elif kind == "choice":
            self.replaced += line["pair"] in self.choices
            self.choices[line["pair"]] = line
        elif kind == "trace":
            self.traces[line["answer"]] = line
        else:
            own, key = (self.blocked, "id") if kind == "blocked" else (self.appeals, "blocked")
            own[line[key]] = line

    def path(self, turn: str) -> list[Turn]:
        """Return the turns from a conversation's first one to this one."""
        found, place = list[Turn](), self.turns.get(turn)
        while place is not None:
            found.append(place)
            place = self.turns.get(place.parent) if place.parent else None
        return found[::-1]

    def messages(self, turn: str) -> list[Message]:
        """Return the dialogue that ends with a turn."""
        return [{"role": one.role, "content": one.content} for one in self.path(turn)]

    def thumb(self, answer: str) -> str | None:
        """Return "up", "down" or None."""
        return self.said.get(("thumb", answer), {}).get("value")

    def better(self, answer: str) -> str | None:
        """Return the better answer that the user wrote."""
        return self.said.get(("better", answer), {}).get("text")

    def flags(self, answer: str) -> list[str]:
        return self.said.get(("flag", answer), {}).get("flags", [])

    def blocked_turns(self) -> dict[str, dict[str, Any]]:
        """Return what was blocked, by turn."""
        return {one["turn"]: one for one in self.blocked.values()}
