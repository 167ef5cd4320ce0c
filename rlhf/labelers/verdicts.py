"""Reading a judge's reply: a verdict in the form that was asked for, a refusal, or nothing that can be read."""

import math
import re
from typing import Literal, NamedTuple

from rlhf.params.labelers.kinds import ChatModel

DECLINED, UNREADABLE = "declined", "unreadable"
LINE = re.compile(r"(VERDICT|SCORE)\s*[:：]\s*(.*)", re.IGNORECASE)
NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{1,9})?")
MARKUP = " \t*_`#>\"'"


class Reply(NamedTuple):
    """What a server answered."""

    text: str
    refused: bool  # by the API's own fields: a refusal, or a filter's end
    prompt_tokens: int  # as the server counted; 0 where it did not
    completion_tokens: int


class Verdict(NamedTuple):
    """What a reply says: which of two answers is better ("A", "B", "tie"), or a score; or why it says neither."""

    said: Literal["A", "B", "tie", "score", "declined", "unreadable"]
    score: float | None = None


def read(reply: Reply, params: ChatModel) -> Verdict:
    """Return the reply's verdict: its last line that is not empty, where no other line gives another verdict."""
    if reply.refused:
        return Verdict(DECLINED)
    word = "VERDICT" if params.compares == "pairwise" else "SCORE"
    lines = [line.strip(MARKUP) for line in reply.text.splitlines() if line.strip(MARKUP)]
    found = [LINE.fullmatch(line) for line in lines]
    given = {match[2].strip(MARKUP + ".").upper() for match in found if match and match[1].upper() == word}
    if not found or found[-1] is None or len(given) != 1:
        return Verdict(UNREADABLE)
    (value,) = given
    if value == "DECLINE":
        return Verdict(DECLINED)
    return _preference(value) if word == "VERDICT" else _score(value, params)


def _preference(value: str) -> Verdict:
    if value == "A":
        return Verdict("A")
    if value == "B":
        return Verdict("B")
    return Verdict("tie" if value == "TIE" else UNREADABLE)


def _score(value: str, params: ChatModel) -> Verdict:
    """A number outside the scale is not what was asked for."""
    if not NUMBER.fullmatch(value):
        return Verdict(UNREADABLE)
    assert params.scale
    score = float(value)
    inside = math.isfinite(score) and params.scale.low <= score <= params.scale.high
    return Verdict("score", score) if inside else Verdict(UNREADABLE)
