"""The effects that claims.yaml asks for: each kind turns the cells that it names into one number with its interval."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rlhf.evaluation import statistics
from rlhf.evaluation.statistics import Interval
from rlhf.params.base import Params
from study import cells
from study.cells import Place


class Effect(Params):
    """What all kinds say: over which seeds; `{seed}` in a cell's name stands for each of them."""

    seeds: list[int] = Field(default=[17], min_length=1)

    def places(self) -> list[str]:
        """Return the cells that are read, `{seed}` still in them."""
        raise NotImplementedError

    def cells(self) -> list[str]:
        """Return the names of all cells that the effect needs."""
        names = [Place.of(place).cell.format(seed=seed) for place in self.places() for seed in self.seeds]
        return [*dict.fromkeys(names)]

    def measured(self, root: Path) -> Interval:
        """Return the effect. Raises cells.Missing where a cell has not run."""
        raise NotImplementedError


class Pair(Effect):
    """Two cells, or two policies within cells, the first against the second."""

    first: str
    second: str

    def places(self) -> list[str]:
        return [self.first, self.second]

    def gaps(self, root: Path, decoding: str, column: str) -> list[np.ndarray]:
        """Return, of each seed, first minus second of a column on the prompts or pieces that both have."""
        return [
            cells.differences(
                *(cells.column(root, Place.of(p.format(seed=seed)), decoding, column) for p in self.places())
            )
            for seed in self.seeds
        ]


class Difference(Pair):
    """Mean difference of a column on the same prompts (or pieces of text), first minus second."""

    kind: Literal["difference"]
    column: Literal["gold", "strict", "reward_model", "num_tokens", "no_fact_right", "loss", "cloze", "kl"]
    decoding: Literal["sampled", "greedy"] = "sampled"

    def measured(self, root: Path) -> Interval:
        return cells.pooled(self.gaps(root, self.decoding, self.column))


class WinRate(Pair):
    """How often the first beats the second by gold, above one half: ties half, minus 0.5."""

    kind: Literal["win_rate"]
    decoding: Literal["sampled", "greedy"] = "sampled"
    measure: Literal["gold", "strict"] = "gold"

    def measured(self, root: Path) -> Interval:
        gaps = self.gaps(root, self.decoding, self.measure)
        return cells.pooled([statistics.outcomes(gap, np.zeros(len(gap)), cells.GOLD_TIE) - 0.5 for gap in gaps])


class Accuracy(Pair):
    """Accuracy of the first reward model minus the second's on the same held-out comparisons."""

    kind: Literal["accuracy"]
    part: Literal["validation", "judge"] = "validation"
    by: Literal["labelers", "gold"] = "labelers"

    def measured(self, root: Path) -> Interval:
        rows = [
            cells.accuracy_difference(root, self.first.format(seed=s), self.second.format(seed=s), self.part, self.by)
            for s in self.seeds
        ]
        return cells.pooled(rows, cells.share_difference)


class Overfit(Pair):
    """How much larger the first's gap between training and held-out accuracy is than the second's."""

    kind: Literal["overfit"]

    def measured(self, root: Path) -> Interval:
        gap = cells.accuracy_difference(root, self.second, self.first, "validation", "labelers")
        trained = [cells.read(root, name)["reward_model"]["training"]["accuracy"] for name in (self.first, self.second)]
        held_out = cells.pooled([gap], cells.share_difference)
        return Interval(*(trained[0] - trained[1] + bound for bound in held_out))


class Limit(Effect):
    """Difference of what a probe of ChatGPT's limits found, PPO's minus SFT's (or as named)."""

    kind: Literal["limit"]
    cell: str
    probe: Literal["false_premise", "unknown", "clarify", "harmful", "look_alike", "paraphrase_spread", "words"]
    first: Literal["base", "sft", "ppo"] = "ppo"
    second: Literal["base", "sft", "ppo"] = "sft"

    def places(self) -> list[str]:
        return [self.cell]

    def measured(self, root: Path) -> Interval:
        samples = []
        for seed in self.seeds:
            found = cells.read(root, self.cell.format(seed=seed))["limits"]
            both = [
                found[name].get(self.probe) or found[name]["gold"][self.probe] for name in (self.first, self.second)
            ]
            samples.append(np.subtract(*both))
        return cells.pooled(samples)


class Number(Effect):
    """One number of the pipeline's own evaluation, by seed: their mean, the lowest and the highest."""

    kind: Literal["number"]
    cell: str
    path: str  # dotted, below `evaluation`
    minus: str | None = None  # another one, that is subtracted

    def places(self) -> list[str]:
        return [self.cell]

    def measured(self, root: Path) -> Interval:
        numbers = [self._one(cells.read(root, self.cell.format(seed=seed))["evaluation"]) for seed in self.seeds]
        return Interval(float(np.mean(numbers)), min(numbers), max(numbers))

    def _one(self, evaluation: dict[str, Any]) -> float:
        def at(path: str) -> float:
            found: Any = evaluation
            for key in path.split("."):
                found = found[key]
            return float(found)

        return at(self.path) - (at(self.minus) if self.minus else 0.0)


AnyEffect = Annotated[Difference | WinRate | Accuracy | Overfit | Limit | Number, Field(discriminator="kind")]
