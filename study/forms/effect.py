"""What claims ask of the forms: how many more test examples one condition has right than another."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from study.cells import Missing
from study.evidence import estimates
from study.evidence.effect import Effect
from study.evidence.estimates import Sample
from study.evidence.laboratory import Laboratory

Policy = Literal["base", "sft", "feedme", "ppo"]


class Form(Effect):
    """Share of right answers under the first condition minus the second's, on the same examples of some tasks.

    Each task counts alike; examples about one thing are one case.
    """

    kind: Literal["form"]
    cell: str
    policy: Policy
    tasks: list[str] = Field(min_length=1)
    first: str  # a condition: study/forms/__main__.py says what there is
    second: str

    def places(self) -> list[str]:
        return [self.cell]

    def policies(self) -> set[str | None]:
        return {self.policy}

    def sample(self, of: Laboratory, seed: int) -> Sample:
        name = self.cell.format(seed=seed)
        found = of.read(name)["forms"]
        own = found["policies"][self.policy]
        values, clusters = dict[str, float](), dict[str, str]()
        total = sum(len(found["tasks"][task]["clusters"]) for task in self.tasks)
        for task in self.tasks:
            missing = [condition for condition in (self.first, self.second) if condition not in own[task]]
            if missing:
                raise Missing(name, f"{task} has no {', '.join(missing)} of {self.policy}")
            about = found["tasks"][task]["clusters"]
            weight = total / len(self.tasks) / len(about)
            for number, (one, two) in enumerate(zip(own[task][self.first], own[task][self.second], strict=True)):
                unit = f"{task}/{number}"
                values[unit], clusters[unit] = weight * (one - two), f"{task}/{about[number]}"
        return estimates.mean(values, [clusters])

    def figures(self, cell: Mapping[str, Any]) -> dict[str, float]:
        """Return each policy's share under the two conditions: their spread over seeds is the effect's."""
        found = cell.get("forms", {}).get("policies", {})
        return {
            f"{policy}/{condition}": float(np.mean([np.mean(tasks[task][condition]) for task in self.tasks]))
            for policy, tasks in found.items()
            for condition in (self.first, self.second)
            if all(condition in tasks.get(task, {}) for task in self.tasks)
        }

    def belongs(self, policy: str) -> bool:
        return policy.partition("/")[0] == self.policy
