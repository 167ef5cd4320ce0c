"""Who has which prompt before them: so that two people never get the same one unless it is meant for both.

Leases live in memory, and end by themselves when a page has not been heard of for a while. A journal of what was given
and given back lets them outlive the server: after a restart each holds for that while again. One that has lapsed is
noted as given back when its prompt is given to another or judged, so that it does not come back beside the other's.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

from rlhf.people import journal
from rlhf.runtime.files import write_text

SECONDS = 300.0  # without a sign of life; an open page gives one every 30 seconds


class Leases:
    """Leases of a round's items. Not for several threads at once: its owner has a lock."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic):
        self.file, self.clock = file, clock
        self._until: dict[str, dict[str, float]] = {}  # item: {labeler: when it ends}
        for line in journal.read(file)[0]:
            key, labeler = line.content.get("item"), line.content.get("labeler")
            if not isinstance(key, str) or not isinstance(labeler, str):
                continue
            if line.content.get("given"):
                self._until.setdefault(key, {})[labeler] = clock() + SECONDS
            else:
                self._until.get(key, {}).pop(labeler, None)
        live = [(labeler, key) for key, some in self._until.items() for labeler in some]
        write_text(file, "".join(_line(labeler, key, True) for labeler, key in live))

    def give(self, labeler: str, key: str) -> None:
        """Give an item, or renew the lease of it; what has lapsed of others ends."""
        known = self.holds(labeler, key)
        self._until.setdefault(key, {})[labeler] = self.clock() + SECONDS
        if not known:
            self._end_lapsed(key)
            self._note(labeler, key, True)

    def end(self, labeler: str, key: str) -> None:
        """Take an item back, also from others whose lease has lapsed."""
        self._end_lapsed(key)
        if self._until.get(key, {}).pop(labeler, None) is not None:
            self._note(labeler, key, False)

    def holds(self, labeler: str, key: str) -> bool:
        return self._until.get(key, {}).get(labeler, 0.0) > self.clock()

    def holders(self, key: str) -> set[str]:
        """Return who has an item before them."""
        now = self.clock()
        return {labeler for labeler, until in self._until.get(key, {}).items() if until > now}

    def of(self, labeler: str) -> list[str]:
        """Return the items that a labeler has before them."""
        return [key for key in self._until if self.holds(labeler, key)]

    def _end_lapsed(self, key: str) -> None:
        some = self._until.get(key, {})
        for labeler in some.keys() - self.holders(key):
            del some[labeler]
            self._note(labeler, key, False)

    def _note(self, labeler: str, key: str, given: bool) -> None:
        with open(self.file, "a", encoding="utf-8") as opened:  # no fsync: what a power cut loses is given again
            opened.write(_line(labeler, key, given))


def _line(labeler: str, key: str, given: bool) -> str:
    return json.dumps({"labeler": labeler, "item": key, "given": given}) + "\n"
