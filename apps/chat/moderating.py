"""Moderation before and after the model: by data/moderation, where that stage has made it."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rlhf.records.types import Message

FOLDER = Path("data/moderation")
SENTENCE_ENDS = ".!?。！？\n"
MOST_UNJUDGED = 60  # characters: an answer without sentences is judged as often as that


class Verdict(Protocol):
    """What a moderator says of one text or dialogue."""

    @property
    def blocked(self) -> bool: ...
    @property
    def category(self) -> str | None: ...
    @property
    def probability(self) -> float: ...


class Moderator(Protocol):
    """What judges dialogues: the last turn in the light of those before it."""

    def judge(self, dialogues: Sequence[list[Message]], /) -> Sequence[Verdict]: ...


def opened(root: Path) -> Moderator | None:
    """Return the moderator that lies below data/; None where there is none."""
    if not (root / FOLDER).is_dir():
        return None
    from rlhf import moderation

    return OneAtATime(moderation.opened(root / FOLDER))


class OneAtATime:
    """A moderator that requests and answers may ask at once."""

    def __init__(self, inner: Moderator):
        self._inner, self._alone = inner, threading.Lock()

    def judge(self, dialogues: Sequence[list[Message]], /) -> Sequence[Verdict]:
        with self._alone:
            return self._inner.judge(dialogues)


def due(text: str, judged: int) -> int:
    """Return up to where a growing answer can be judged by now: its last whole sentence, or much text without one."""
    end = max(text.rfind(mark, judged) for mark in SENTENCE_ENDS) + 1
    return end if end > judged else len(text) if len(text) - judged >= MOST_UNJUDGED else judged


def judged(moderator: Moderator, messages: Sequence[Message]) -> Verdict:
    """Return the verdict on a dialogue's last turn."""
    return moderator.judge([list(messages)])[0]
