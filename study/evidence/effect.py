"""What all effects have in common: seeds, cells, and the way from both to an estimate."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from rlhf.params.base import Params
from study import cells
from study.cells import Missing, Place
from study.evidence import estimates, laboratory
from study.evidence.estimates import Estimate, Part, Sample
from study.evidence.laboratory import Laboratory


class Effect(Params):
    """What all kinds say: over which seeds; `{seed}` in a cell's name stands for each of them."""

    seeds: list[int] = Field(min_length=1)

    def places(self) -> list[str]:
        """Return the cells that are read, `{seed}` still in them."""
        raise NotImplementedError

    def sample(self, of: Laboratory, seed: int) -> Sample:
        """Return the effect on one seed. Raises cells.Missing where a cell is not to be used."""
        raise NotImplementedError

    def figures(self, cell: Mapping[str, Any]) -> dict[str, float]:
        """Return the figures of a cell, by policy, of which an effect is a difference; none that it did not measure."""
        raise NotImplementedError

    def policies(self) -> set[str | None]:
        """Return the policies that are compared, where they are named."""
        return {Place.of(place).policy for place in self.places()}

    def belongs(self, policy: str) -> bool:
        """Return whether a policy belongs into the effect's pool.

        The base does where it is compared alone: what makes a seed's SFT, and all that start from it, differ from
        another seed's has not happened to it.
        """
        return policy != "base" or policy in self.policies()

    def cells(self) -> list[str]:
        """Return the names of all cells that the effect needs."""
        names = [Place.of(place).cell.format(seed=seed) for place in self.places() for seed in self.seeds]
        return [*dict.fromkeys(names)]

    def estimate(self, of: Laboratory) -> tuple[Estimate | None, dict[str, str]]:
        """Return the effect over the seeds that can be used, and why others cannot, by cell."""
        samples, missing = [], {}
        for seed in self.seeds:
            try:
                samples.append(self.sample(of, seed))
            except Missing as why:
                missing[why.cell] = why.why
        return (estimates.over_seeds(samples, self.pool(of)) if samples else None), missing

    def pool(self, of: Laboratory) -> Part | None:
        """Return how far the effect's column differs from seed to seed, over all cells that have it."""
        figures = {
            (f"{name}/{policy}", seed): figure
            for name, seed, cell in of.usable()
            for policy, figure in self.figures(cell).items()
            if self.belongs(policy)
        }
        return estimates.spread(figures)


class Pair(Effect):
    """Two cells, or two policies within cells, the first against the second."""

    first: str
    second: str

    def places(self) -> list[str]:
        return [self.first, self.second]

    def sides(self, seed: int) -> list[Place]:
        return [Place.of(place.format(seed=seed)) for place in self.places()]

    def paired(self, of: Laboratory, seed: int, decoding: str, column: str) -> dict[str, tuple[float, float]]:
        """Return both columns of a seed, on the prompts or pieces that both have; a piece's number says its seed."""
        both = [cells.column(of.read(place.cell), place, decoding, column) for place in self.sides(seed)]
        found = cells.paired(*both)
        return {f"{seed}/{key}": pair for key, pair in found.items()} if column in cells.PIECES else found

    def mean(self, of: Laboratory, seed: int, values: dict[str, float]) -> Sample:
        """Return the mean over prompts, with their clusters as the first cell knows them."""
        place = self.sides(seed)[0]
        cell = of.read(place.cell)
        asked = cells.policy(cell, place)["prompts"]
        return estimates.mean(values, laboratory.clusterings(cell, "prompts", asked))
