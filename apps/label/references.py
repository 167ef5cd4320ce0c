"""What people's rankings are compared with: of simulated labelers, held out, where a prompt has a task, and those
that a round's comparisons hold already."""

from collections.abc import Collection
from pathlib import Path
from random import Random
from threading import Lock

from apps.label.items import Item
from rlhf.grading import labelers as grading
from rlhf.labelers import simulated
from rlhf.params.labelers.kinds import Simulated
from rlhf.people import judgements
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.runtime import seeds

KNOWN = "known:"  # before the names of others than people: no person is called so
FILES = ("train", "validation", "judge")


class References:
    """Known orders by item, worked out when they are asked for."""

    def __init__(self, params: Simulated | None, given: dict[tuple[str, str], dict[str, list[int]]]):
        self.crew = simulated.crew(params)[1] if params else []
        self.given = given  # by (prompt, answers)
        self._known: dict[str, dict[str, list[int]]] = {}
        self._lock = Lock()

    def of(self, item: Item) -> dict[str, list[int]]:
        """Return {KNOWN + name: ranks}; none where nobody else knows."""
        with self._lock:
            if item.key not in self._known:
                orders = {**self._simulated(item), **self.given.get((item.prompt, item.answers), {})}
                self._known[item.key] = {f"{KNOWN}{name}": ranks for name, ranks in orders.items()}
            return self._known[item.key]

    def _simulated(self, item: Item) -> dict[str, list[int]]:
        if item.task is None:
            return {}
        orders = dict[str, list[int]]()
        for labeler in self.crew:
            luck = Random(seeds.derive(0, item.prompt, labeler.name))
            orders[labeler.name] = grading.rank(item.task, item.responses, labeler, luck)[1]
        return orders


def given(root: Path, round_name: str, people: Collection[str]) -> dict[tuple[str, str], dict[str, list[int]]]:
    """Return the orders of a round's comparisons, but those of these people, by prompt and answers."""
    found = dict[tuple[str, str], dict[str, list[int]]]()
    for name in FILES:
        file = root / "data/collect_comparisons" / round_name / f"comparisons.{name}.jsonl"
        for one in records.read(file, Comparison) if file.exists() else []:
            labels = {label["labeler"]: label["ranks"] for label in one["labels"] if label["labeler"] not in people}
            if labels:
                found[one["id"], judgements.answers_id(one["messages"], one["responses"])] = labels
    return found
