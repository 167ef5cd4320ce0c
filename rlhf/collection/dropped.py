"""How a row says that it cannot be used, so that the data card counts why."""

from collections import Counter
from collections.abc import Collection

Drops = dict[str, Counter[str]]  # {source: {reason: rows}}


class Dropped(Exception):
    """A row that is left out; its text is the reason that the data card counts. Broken data raises ValueError.

    A comparison also says why answers of it were left out before: `causes`, reasons themselves.
    """

    def __init__(self, reason: str, causes: Collection[str] = ()):
        super().__init__(reason)
        self.causes = causes
