"""An answer that is wanted, and what its reader is told of it while it is on its way."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from apps.chat.books import new_id
from apps.chat.checkpoints import Checkpoint
from apps.chat.engine import Settings
from rlhf.records.types import Message

LAST = ("ends", "failed")  # kinds of events after which none comes

Emit = Callable[[dict[str, Any]], None]


class Asked(NamedTuple):
    """An answer that is wanted."""

    user: str
    conversation: str
    parent: str  # the user's turn
    messages: Sequence[Message]
    checkpoint: Checkpoint
    settings: Settings
    pair: str | None
    side: int


class Job:
    """An answer on its way. `stop` may be called by any thread."""

    def __init__(self, asked: Asked, emit: Emit):
        self.id, self.asked, self._emit = new_id(), asked, emit
        self.end: str | None = None  # why it was stopped
        self.shown = ""  # text that was sent
        self.is_done = False  # before its reader is told so

    def stop(self, why: str) -> None:
        self.end = self.end or why

    def emit(self, kind: str, **content: Any) -> None:
        self.is_done = self.is_done or kind in LAST
        self._emit({"type": kind, "answer": self.id, "side": self.asked.side, **content})

    def show(self, text: str) -> None:
        """Send what is new of a text; all of it where it does not go on as it was."""
        if text == self.shown:
            return
        if text.startswith(self.shown):
            self.emit("text", add=text[len(self.shown) :])
        else:
            self.emit("text", whole=text)
        self.shown = text
