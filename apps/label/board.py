"""What is judged already, by whom, and what each labeler gets next."""

from collections.abc import Collection, Iterable, Iterator

from apps.label.items import Item
from apps.label.leases import Leases
from rlhf.people import judgements
from rlhf.people.judgements import Judgement, Placed

SKIPS = 2  # labelers who skip a prompt: then nobody else is asked


class Board:
    """The items of a round and the judgements that hold. Not for several threads at once: its owner has a lock."""

    def __init__(self, items: Iterable[Item], training: Iterable[Item], leases: Leases):
        self.items = {item.key: item for item in items}
        self.training = {item.key: item for item in training}
        self.leases = leases
        self.judged: dict[str, dict[str, Judgement]] = {}  # item: {labeler: what holds}
        self.first: dict[tuple[str, str], Judgement] = {}  # (labeler, training item): their first try, which counts
        self.history: dict[str, list[str]] = {}  # labeler: items, in the order in which they were first judged
        self.known: dict[str, Judgement] = {}  # by the judgement's id
        self.labelers: set[str] = set()

    def item(self, key: object) -> Item | None:
        return (self.items.get(key) or self.training.get(key)) if isinstance(key, str) else None

    def replay(self, read: judgements.Judgements, pools: Collection[str]) -> int:
        """Take the judgements of earlier days; return how many of these pools are of answers that are no longer these.
        Those of other pools are of people with a page of their own, whose labels may lie in the same folder."""
        items = _by_answers([*self.items.values(), *self.training.values()])
        holding = {id(one.judgement) for one in judgements.current(read)}
        others = 0
        for placed in read.lines:
            said = placed.judgement
            item = items.get(_judged(said))
            self.known[said["id"]] = said
            self.labelers.add(said["labeler"])
            if item is None:
                others += id(said) in holding and said["pool"] in pools
            elif said["withdrawn"]:
                self.take_back(item.key, said)
            else:
                self.take(item.key, said)
        return others

    def take(self, key: str, said: Judgement) -> Judgement | None:
        """Let a judgement hold; return the one that it replaces."""
        labeler = said["labeler"]
        self.labelers.add(labeler)
        self.known[said["id"]] = said
        if key in self.training:
            self.first.setdefault((labeler, key), said)
        some = self.judged.setdefault(key, {})
        before = some.get(labeler)
        some[labeler] = said
        if before is None:
            self.history.setdefault(labeler, []).append(key)
        return before

    def take_back(self, key: str, said: Judgement) -> Judgement | None:
        """Let a labeler's judgement hold no longer; return it."""
        self.known[said["id"]] = said
        before = self.judged.get(key, {}).pop(said["labeler"], None)
        if before is not None:
            self.history[said["labeler"]].remove(key)
        return before

    def next_training(self, labeler: str) -> Item | None:
        """Return the labeler's next training item."""
        return next((item for key, item in self.training.items() if (labeler, key) not in self.first), None)

    def next(self, labeler: str, drafts: Iterable[str]) -> Item | None:
        """Return, and lease, the labeler's next item: what is before them already, what they have begun, unless others
        have it before them now and have not finished it, what others have begun and is meant for several, and then what
        nobody has seen."""
        begun = [key for key in drafts if key in self.items and (self.places(key) > 0 or self.is_enough(key))]
        for key in [*self.leases.of(labeler), *begun]:
            if key in self.items and not self._done(labeler, key):
                self.leases.give(labeler, key)
                return self.items[key]
        open_ones = [item for key, item in self.items.items() if not self._done(labeler, key) and self.places(key) > 0]
        if not open_ones:
            return None
        chosen = next((item for item in open_ones if self._begun(item.key)), open_ones[0])
        self.leases.give(labeler, chosen.key)
        return chosen

    def places(self, key: str) -> int:
        """Return how many more labelers an item could be given to now."""
        if self.is_enough(key):
            return 0
        some = self.judged.get(key, {})
        ranked = sum(said["ranks"] is not None for said in some.values())
        return self.items[key].wanted - ranked - len(self.leases.holders(key) - some.keys())

    def is_enough(self, key: str) -> bool:
        """Return whether as many have judged an item as it is meant for, or so many have skipped it."""
        ranked = [said["ranks"] is not None for said in self.judged.get(key, {}).values()]
        return sum(ranked) >= self.items[key].wanted or len(ranked) - sum(ranked) >= SKIPS

    def previous(self, labeler: str, key: str | None) -> Item | None:
        """Return the item that a labeler judged before this one; None where there is none. Training stands."""
        own = [one for one in self.history.get(labeler, []) if one in self.items]
        before = own[: own.index(key)] if key in own else own
        return self.items[before[-1]] if before else None

    def waits(self, labeler: str) -> tuple[int, int]:
        """Return how many unfinished items a labeler has not judged, and how many they have, which are for others."""
        unfinished = [key for key in self.items if not self.is_enough(key)]
        own = sum(self._done(labeler, key) for key in unfinished)
        return len(unfinished) - own, own

    def of(self, labeler: str) -> Iterator[tuple[Item, Judgement]]:
        """Yield a labeler's judgements of this round's items."""
        for key in self.history.get(labeler, []):
            if key in self.items:
                yield self.items[key], self.judged[key][labeler]

    def _done(self, labeler: str, key: str) -> bool:
        return labeler in self.judged.get(key, {})

    def _begun(self, key: str) -> bool:
        return bool(self.judged.get(key)) or bool(self.leases.holders(key))


def replay_training(board: Board, placed: Iterable[Placed]) -> None:
    """Take training of other rounds: whoever has learnt need not learn again."""
    items = _by_answers(board.training.values())
    for one in placed:
        item = items.get(_judged(one.judgement))
        if one.judgement["pool"] == "training" and item is not None:
            board.first.setdefault((one.judgement["labeler"], item.key), one.judgement)


def _by_answers(items: Iterable[Item]) -> dict[tuple[str, str, bool, int], Item]:
    return {(item.prompt, item.answers, item.pool == "training", len(item.responses)): item for item in items}


def _judged(said: Judgement) -> tuple[str, str, bool, int]:
    """Return by what the item of a judgement is found: a line from elsewhere may judge another number of answers."""
    return (*judgements.judged(said), len(said["order"]))
