"""Judgements that are not submitted yet, as they stand: one file a labeler, there again on reload or after a kill.

.cache/label/<round>/drafts/<labeler>.json holds {item: {"client": ..., "number": ..., "content": ...}}; of one of two
groups of people .cache/label/<round>/<pool>/drafts/<labeler>.json.
"""

import json
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from rlhf.people.judgements import Judgement
from rlhf.runtime.files import write_text
from rlhf.secrets import guard

MOST = 200  # drafts of a labeler; the oldest goes


class Draft(NamedTuple):
    """A judgement that is being made."""

    client: str  # the open page that wrote it
    number: int  # of that page's drafts
    content: dict[str, Any]  # what stands in the page, answers in the order shown

    @property
    def at(self) -> float:
        """When it was made, by its browser's clock; 0 where it does not say."""
        at = self.content.get("at")
        return at if isinstance(at, int | float) else 0.0

    def is_on(self, said: Judgement | None) -> bool:
        """Say whether it changes this judgement, or is a first one where there is none."""
        return self.content.get("replaces") == (said["id"] if said else None)


class Drafts:
    """The drafts of all labelers of a round. A labeler's file is written in turns, and always whole."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._kept: dict[str, dict[str, Draft]] = {}
        self._locks: dict[str, Lock] = {}
        self._lock = Lock()

    def of(self, labeler: str) -> dict[str, Draft]:
        """Return a labeler's drafts by item, the newest last."""
        with self._alone(labeler):
            return dict(self._read(labeler))

    def keep(self, labeler: str, key: str, draft: Draft) -> bool:
        """Keep a draft, which is on the disk on return; return False for one older than what that page has sent."""
        with self._alone(labeler):
            kept = self._read(labeler)
            before = kept.get(key)
            if before is not None and before.client == draft.client and before.number >= draft.number:
                return False
            kept.pop(key, None)
            kept[key] = draft
            while len(kept) > MOST:
                kept.pop(next(iter(kept)))
            self._write(labeler, kept)
            return True

    def drop(self, labeler: str, key: str) -> None:
        """Forget a draft: it was submitted."""
        with self._alone(labeler):
            kept = self._read(labeler)
            if kept.pop(key, None) is not None:
                self._write(labeler, kept)

    def _alone(self, labeler: str) -> Lock:
        with self._lock:
            return self._locks.setdefault(labeler, Lock())

    def _file(self, labeler: str) -> Path:
        return self.folder / f"{labeler}.json"

    def _read(self, labeler: str) -> dict[str, Draft]:
        if labeler not in self._kept:
            self._kept[labeler] = self._from_disk(self._file(labeler))
        return self._kept[labeler]

    def _from_disk(self, file: Path) -> dict[str, Draft]:
        if not file.exists():
            return {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            return {str(key): Draft(one["client"], one["number"], one["content"]) for key, one in content.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            aside = file.with_suffix(".unreadable")
            file.replace(aside)
            guard.say(f"{file}: no drafts ({type(error).__name__}); the file is now {aside.name}")
            return {}

    def _write(self, labeler: str, kept: dict[str, Draft]) -> None:
        content = {key: draft._asdict() for key, draft in kept.items()}
        write_text(self._file(labeler), json.dumps(content, ensure_ascii=False) + "\n")
