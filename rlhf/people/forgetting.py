"""Users who asked to be forgotten: sums of their names, so that copies of what they said stay out.

.forgotten.jsonl beside the journals holds a line a user: a salted sum, slow to guess a name from, and when that was
asked. What a user says after that is said anew, with a new consent.
"""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from rlhf.people import journal

FILE = ".forgotten.jsonl"
ROUNDS = 100_000  # of PBKDF2
MEND = "take the line out, and forget that user again: python -m apps.chat.forget NAME"


def now() -> str:
    """Return the time as lines say it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def remember(folder: Path, user: str, at: str) -> None:
    """Note below a folder of journals that a user is to be forgotten, all that was said up to `at`."""
    lines, _ = journal.read(folder / FILE)
    salt = next((line.content["salt"] for line in lines if "salt" in line.content), None) or secrets.token_hex(16)
    who = _sum(user, salt)
    journal.append(folder / FILE, {"kind": "forgotten", "who": who, "salt": salt, "at": at})


class Forgotten:
    """Who is forgotten, and up to when."""

    def __init__(self, folders: Iterable[Path]):
        """Read the notes of some folders. Raises ValueError for one that is torn: somebody would come back by it."""
        self._until: dict[tuple[str, str], datetime] = {}  # by salt and sum
        for folder in dict.fromkeys(folders):
            lines, torn = journal.read(folder / FILE)
            for line in lines:
                salt, who, at = (line.content.get(key) for key in ("salt", "who", "at"))
                when = _time(at)
                if not isinstance(salt, str) or not isinstance(who, str) or when is None:
                    raise ValueError(f"{line.place}: expected who, salt and at; {MEND}")
                self._until[salt, who] = max(when, self._until.get((salt, who), when))
            if torn:
                raise ValueError(f"{torn[0].file}:{torn[0].number}: {torn[0].problem}; {MEND}")

    def __len__(self) -> int:
        return len(self._until)

    def holds(self, user: object, at: object) -> bool:
        """Say whether a line of this user, said at that time, is to be left out; one without a time is."""
        if not self._until or not isinstance(user, str):
            return False
        found = [self._until[key] for salt in self._salts() if (key := (salt, _sum(user, salt))) in self._until]
        if not found:
            return False
        when = _time(at)
        return when is None or when <= max(found)

    def _salts(self) -> set[str]:
        return {salt for salt, _ in self._until}


def _time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


@lru_cache(4096)
def _sum(user: str, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", user.encode(), salt.encode(), ROUNDS).hex()
