"""The effects that claims.yaml asks for: each kind turns the cells that it names into one number with its error."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rlhf.evaluation import statistics
from study import cells
from study.evidence import columns, estimates, laboratory
from study.evidence.effect import Effect, Pair
from study.evidence.estimates import Part, Sample
from study.evidence.laboratory import Laboratory

Column = Literal["gold", "strict", "controlled", "reward_model", "num_tokens", "no_fact_right", "loss", "cloze", "kl"]
Policy = Literal["base", "sft", "ppo"]


class Difference(Pair):
    """Mean difference of a column on the same prompts (or pieces of text), first minus second."""

    kind: Literal["difference"]
    column: Column
    decoding: Literal["sampled", "greedy"] = "sampled"

    def sample(self, of: Laboratory, seed: int) -> Sample:
        found = self.paired(of, seed, self.decoding, self.column)
        values = {key: one - two for key, (one, two) in found.items()}
        return estimates.mean(values) if self.column in cells.PIECES else self.mean(of, seed, values)

    def figures(self, cell: Mapping[str, Any]) -> dict[str, float]:
        found = columns.of_policies(cell, self.decoding, self.column)
        return {policy: float(np.mean(values)) for policy, values in found.items()}


class WinRate(Pair):
    """How often the first beats the second by gold, above one half: ties half, minus 0.5."""

    kind: Literal["win_rate"]
    decoding: Literal["sampled", "greedy"] = "sampled"
    measure: Literal["gold", "strict", "controlled"]

    def sample(self, of: Laboratory, seed: int) -> Sample:
        found = self.paired(of, seed, self.decoding, self.measure)
        won = _won(*np.array([*found.values()]).T)
        return self.mean(of, seed, dict(zip(found, won.tolist(), strict=True)))

    def pool(self, of: Laboratory) -> Part | None:
        """Return how far win rates against the seed's SFT differ, over all cells."""
        found = {
            (name, seed): columns.of_policies(cell, self.decoding, self.measure) for name, seed, cell in of.usable()
        }
        sft = {seed: own["sft"] for (_, seed), own in found.items() if "sft" in own}
        return estimates.spread(
            {
                (f"{name}/{policy}", seed): float(np.mean(_won(values, sft[seed])))
                for (name, seed), own in found.items()
                for policy, values in own.items()
                if policy != "sft" and seed in sft and self.belongs(policy)
            }
        )


class Accuracy(Pair):
    """Accuracy of the first reward model minus the second's on the same held-out comparisons."""

    kind: Literal["accuracy"]
    part: Literal["validation", "judge"] = "validation"
    by: Literal["labelers", "gold"] = "labelers"

    def sample(self, of: Laboratory, seed: int) -> Sample:
        first, second = columns.held_out(of, [place.cell for place in self.sides(seed)], self.part, self.by)
        return first.minus(second)

    def figures(self, cell: Mapping[str, Any]) -> dict[str, float]:
        return {"reward_model": columns.accuracy(cell, self.part, self.by)} if "reward_model" in cell else {}


class Overfit(Pair):
    """How much larger the first's gap between training and held-out accuracy is than the second's.

    Of its training accuracy a cell keeps no comparisons: they are taken to vary as the held-out ones do.
    """

    kind: Literal["overfit"]

    def sample(self, of: Laboratory, seed: int) -> Sample:
        names = [place.cell for place in self.sides(seed)]
        gaps = []
        for name, own in zip(names, columns.held_out(of, names, "validation", "labelers"), strict=True):
            training = of.read(name)["reward_model"]["training"]
            noise = estimates.within([own]).variance * len(own.influences[0]) / training["prompts"]
            gaps.append(Sample(training["accuracy"], [{} for _ in own.influences], noise).minus(own))
        return gaps[0].minus(gaps[1])

    def figures(self, cell: Mapping[str, Any]) -> dict[str, float]:
        if "reward_model" not in cell:
            return {}
        trained = cell["reward_model"]["training"]["accuracy"]
        return {"reward_model": trained - columns.accuracy(cell, "validation", "labelers")}


class Limit(Effect):
    """Difference of what a probe of ChatGPT's limits found, PPO's minus SFT's (or as named)."""

    kind: Literal["limit"]
    cell: str
    probe: Literal["false_premise", "unknown", "clarify", "harmful", "look_alike", "paraphrase_spread", "words"]
    above: float | None  # the share of answers with more than this; null: the mean
    first: Policy = "ppo"
    second: Policy = "sft"

    def places(self) -> list[str]:
        return [self.cell]

    def policies(self) -> set[str | None]:
        return {self.first, self.second}

    def sample(self, of: Laboratory, seed: int) -> Sample:
        cell = of.read(self.cell.format(seed=seed))
        first, second = (self._values(cell, name) for name in (self.first, self.second))
        values = {str(number): one - two for number, (one, two) in enumerate(zip(first, second, strict=True))}
        return estimates.mean(values, laboratory.clusterings(cell, self.probe, [*values]))

    def figures(self, cell: Mapping[str, Any]) -> dict[str, float]:
        return {name: float(np.mean(self._values(cell, name))) for name in cell.get("limits", {})}

    def _values(self, cell: Mapping[str, Any], policy: str) -> list[float]:
        found = cell["limits"][policy]
        values = found.get(self.probe) or found["gold"][self.probe]
        return [*values] if self.above is None else [float(value > self.above) for value in values]


class Number(Effect):
    """One number of the pipeline's own evaluation, minus another. Nothing is known of prompts, only of seeds."""

    kind: Literal["number"]
    cell: str
    path: str  # dotted, below `evaluation`
    minus: str | None  # another one, that is subtracted

    def places(self) -> list[str]:
        return [self.cell]

    def sample(self, of: Laboratory, seed: int) -> Sample:
        return Sample(self._value(of.read(self.cell.format(seed=seed))), [{}])

    def figures(self, cell: Mapping[str, Any]) -> dict[str, float]:
        return {"all": self._value(cell)} if "evaluation" in cell else {}

    def _value(self, cell: Mapping[str, Any]) -> float:
        def at(path: str) -> float:
            found: Any = cell["evaluation"]
            for key in path.split("."):
                found = found[key]
            return float(found)

        return at(self.path) - (at(self.minus) if self.minus else 0.0)


def _won(first: Any, second: Any) -> np.ndarray:
    return statistics.outcomes(first, second, cells.GOLD_TIE) - 0.5


AnyEffect = Annotated[Difference | WinRate | Accuracy | Overfit | Limit | Number, Field(discriminator="kind")]
