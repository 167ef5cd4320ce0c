"""The journals of all users: read once, appended to, and read again where another program changed them."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.people import journal
from rlhf.people.feedback import History
from rlhf.people.forgetting import now
from rlhf.secrets import guard

FOLDER = Path("data/feedback")
MOST_OPEN = 1000  # histories in memory


class Open(NamedTuple):
    """A user's history, and what its file was like when it was read."""

    history: History
    state: tuple[int, int] | None  # inode and size


class Books:
    """What users said. A line is on the disk before a reader of a history sees it. Threads may share it."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._open: OrderedDict[str, Open] = OrderedDict()
        self.lock = threading.RLock()  # under which histories stay as they are

    def users(self) -> list[str]:
        """Return who said something."""
        return sorted(file.stem for file in self._folder.glob("*.jsonl") if not file.name.startswith("."))

    def history(self, user: str) -> History:
        """Return what a user said so far; it is not changed afterwards but by `write`."""
        with self.lock:
            state = _state(self._file(user))
            known = self._open.get(user)
            if known is None or known.state != state:
                known = self._open[user] = Open(self._read(user), state)
            self._open.move_to_end(user)
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
            return known.history

    def write(self, user: str, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Append a line about a user; returns it. Raises ValueError where it does not fit to the lines before it."""
        given = dict(content)
        line = {"kind": kind, "id": given.pop("id", None) or new_id(), "user": user, "at": now(), **given}
        with self.lock:
            history = self.history(user)
            if problem := history.problem(line):
                raise ValueError(problem)
            journal.append(self._file(user), line)
            history.take(line)
            self._open[user] = Open(history, _state(self._file(user)))
        return line

    def _file(self, user: str) -> Path:
        return self._folder / f"{user}.jsonl"

    def _read(self, user: str) -> History:
        history = History()
        lines, torn = journal.read(self._file(user))
        problems = [one.words for one in torn]
        for line in lines:
            problem = history.problem(line.content)
            if problem is None and history.knows(line.content):
                problem = "it was read before"
            if problem is None:
                history.take(line.content)
            else:
                problems.append(f"{line.place}: {problem}; the line is passed over")
        for problem in problems:
            guard.say(problem)
        return history


def new_id() -> str:
    return secrets.token_hex(16)


def _state(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size
