"""How far the work is, and how well people agree: a labeler's own figures, and everybody's."""

import time
from statistics import median
from typing import Any

from apps.label.agreement import Share, Tally, alpha_of_ratings, share
from apps.label.board import Board
from apps.label.items import Item, order_for
from apps.label.references import KNOWN
from apps.label.settings import TaskSettings
from rlhf.preferences.agreement import krippendorffs_alpha

SHARE_OF_TIME = 10  # what goes over all judgements is worked out anew so rarely that it takes a tenth of the time


class Progress:
    """Figures over a board, whose lock is held by whoever asks. Those of everybody may be a moment behind."""

    def __init__(self, board: Board, tally: Tally, settings: TaskSettings):
        self.board, self.tally, self.settings = board, tally, settings
        self._stale, self._until = True, 0.0
        self._together: dict[str, Any] = {}

    def changed(self) -> None:
        self._stale = True

    def of(self, labeler: str) -> dict[str, Any]:
        """Return what a labeler sees."""
        now = time.monotonic()
        if not self._together or (self._stale and now > self._until):
            self._stale = False
            self._together = self._everybody()
            self._until = time.monotonic() + SHARE_OF_TIME * (time.monotonic() - now)
        return {"own": self._own(labeler), "all": {**self._counts(), **self._together}}

    def feedback(self, labeler: str, item: Item) -> dict[str, Any]:
        """Return how a labeler's first try on a training item fares, and their training so far."""
        said = self.board.first[labeler, item.key]
        known = item.ranks or []
        order = order_for(item, labeler)
        found = share(said["ranks"], known) if said["ranks"] else Share(0, 0)
        return {
            "known": [known[index] for index in order],
            "own": [said["ranks"][index] for index in order] if said["ranks"] else None,
            "why": item.why,
            "item": _words(found),
            "score": self._training(labeler),
        }

    def _own(self, labeler: str) -> dict[str, Any]:
        own = [said for _, said in self.board.of(labeler)]
        ranked = [said for said in own if said["ranks"] is not None]
        people = {who for who in self.board.labelers if who != labeler}
        left, for_others = self.board.waits(labeler)
        return {
            "judged": len(ranked),
            "skipped": len(own) - len(ranked),
            "waits": {"left": left, "for_others": for_others},
            "median_seconds": median(said["seconds"] for said in own) if own else None,
            "with_people": _words(self.tally.between(labeler, people)),
            "with_known": {
                name.removeprefix(KNOWN): _words(self.tally.between(labeler, [name])) for name in self._known(labeler)
            },
            "training": self._training(labeler),
        }

    def _counts(self) -> dict[str, int]:
        board = self.board
        skipped = {key for key, some in board.judged.items() if any(said["skipped"] for said in some.values())}
        ranked = {key: sum(bool(said["ranks"]) for said in some.values()) for key, some in board.judged.items()}
        return {
            "prompts": len(board.items),
            "done": sum(board.is_enough(key) for key in ranked if key in board.items),
            "skipped": sum(not board.is_enough(key) for key in skipped if key in board.items),
            "wanted": sum(item.wanted for item in board.items.values()),
            "given": sum(min(ranked.get(key, 0), item.wanted) for key, item in board.items.items()),
        }

    def _everybody(self) -> dict[str, Any]:
        judged = [some.values() for key, some in self.board.judged.items() if key in self.board.items]
        ranks = [{said["labeler"]: said["ranks"] for said in some if said["ranks"]} for some in judged]
        rated = [[said["ratings"] for said in some if said["ranks"] and said["ratings"]] for some in judged]
        return {
            "labelers": [self._row(who) for who in sorted(self.board.labelers)],
            "alpha_ranks": krippendorffs_alpha(ranks),
            "alpha_ratings": alpha_of_ratings(rated, self.settings.scale) if self.settings.scale else None,
        }

    def _row(self, labeler: str) -> dict[str, Any]:
        people, known = self.board.labelers - {labeler}, self._known(labeler)
        return {
            "name": labeler,
            "judged": sum(said["ranks"] is not None for _, said in self.board.of(labeler)),
            "with_people": _words(self.tally.between(labeler, people)),
            "with_known": _words(self.tally.between(labeler, known)),
            "training": self._training(labeler),
        }

    def _known(self, labeler: str) -> list[str]:
        return self.tally.others(labeler, KNOWN)

    def _training(self, labeler: str) -> dict[str, Any]:
        """Of the first tries: pairs ordered as is known, and how many items are left."""
        tries = [(item, self.board.first.get((labeler, key))) for key, item in self.board.training.items()]
        found = [share(said["ranks"], item.ranks) for item, said in tries if said and said["ranks"] and item.ranks]
        together = Share(sum(one.agreed for one in found), sum(one.pairs for one in found))
        return {**_words(together), "done": sum(said is not None for _, said in tries), "items": len(tries)}


def _words(found: Share) -> dict[str, Any]:
    return {"share": found.share, "pairs": found.pairs}
