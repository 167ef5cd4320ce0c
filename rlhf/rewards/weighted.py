"""What an answer is worth: the weighted sum that params.yaml's section `rewards` names.

    reward = trained * reward model + sum of weight * adopted model + sum of weight * function
             + answer_tokens * number of the answer's tokens

PPO maximises it, best of n and rejection sampling pick by it, and `evaluate` shows it; each term may stand alone.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rlhf.params.rewards import Rewards
from rlhf.params.runtime import Runtime
from rlhf.records.types import Message
from rlhf.rewards.adopted import AdoptedScorer
from rlhf.rewards.adopted import opened as opened_model
from rlhf.rewards.functions import FunctionScorer
from rlhf.rewards.scorer import Scorer

TRAINED, ANSWER_TOKENS = "reward_model", "answer_tokens"


class Part(NamedTuple):
    """One term of the sum."""

    name: str  # of its column in curves and of its row in metrics
    weight: float
    scorer: Scorer | None  # None: the number of tokens

    def scores(self, answered: "Answered", batch_size: int = 128) -> list[float]:
        """Return the term's numbers, unweighted."""
        if self.scorer is None:
            return [float(number) for number in answered.num_tokens]
        return self.scorer.score_texts(answered.messages, answered.responses, batch_size)


class Answered(NamedTuple):
    """Answers to be scored, each beside the turns before it."""

    messages: list[list[Message]]
    responses: list[str]
    num_tokens: list[int]  # of each answer, the token that ends it not counted


class Scored(NamedTuple):
    """Answers' rewards, and what each term says of them, unweighted."""

    totals: list[float]
    by_part: dict[str, list[float]]


class RewardSum(NamedTuple):
    """The terms, in the order of params.yaml."""

    parts: tuple[Part, ...]

    @property
    def names(self) -> list[str]:
        """The terms' names; none where there is one term, which is the sum."""
        return [part.name for part in self.parts] if len(self.parts) > 1 else []

    def score(
        self, messages: list[list[Message]], responses: list[str], num_tokens: list[int], batch_size: int = 128
    ) -> Scored:
        """Return every answer's reward, and its terms; see Answered."""
        answered = Answered(messages, responses, num_tokens)
        return self.add((part, part.scores(answered, batch_size)) for part in self.parts)

    @staticmethod
    def add(scored: Iterable[tuple[Part, list[float]]]) -> Scored:
        """Return the sum of terms that are known already."""
        found = list(scored)
        totals = [
            sum((part.weight * value for (part, _), value in zip(found, values, strict=True)), 0.0)
            for values in zip(*(values for _, values in found), strict=True)
        ]
        return Scored(totals, {part.name: values for part, values in found})

    def num_cut(self) -> dict[str, int]:
        """Return how many dialogues were longer than an adopted model reads, where there were any, as a metric."""
        cut = sum(part.scorer.num_cut for part in self.parts if isinstance(part.scorer, AdoptedScorer))
        return {"adopted_rewards_cut": cut} if cut else {}


def alone(scorer: Scorer) -> RewardSum:
    """Return the sum that is one scorer's score."""
    return RewardSum((Part(TRAINED, 1.0, scorer),))


def opened(params: Rewards, root: Path, trained: Scorer | None, runtime: Runtime) -> RewardSum:
    """Return the terms that params name, their models and functions loaded.

    trained: the round's reward model; None where its weight is 0 and there is none. Raises ValueError for a model or a
    function that cannot be read.
    """
    parts = [] if trained is None else [Part(TRAINED, params.trained, trained)]
    names = _Names([TRAINED, ANSWER_TOKENS])
    for adopted in params.adopted:
        parts.append(Part(names.of(Path(adopted.path).name), adopted.weight, opened_model(adopted, root, runtime)))
    for one in params.functions:
        name = names.of(one.function.partition(":")[2])
        parts.append(Part(name, one.weight, FunctionScorer(one.function, root)))
    if params.answer_tokens:
        parts.append(Part(ANSWER_TOKENS, params.answer_tokens, None))
    return RewardSum(tuple(parts))


class _Names:
    """Names that columns can have, none of them twice."""

    def __init__(self, taken: Sequence[str]):
        self._taken = list(taken)

    def of(self, text: str) -> str:
        plain = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_") or "term"
        name, number = plain, 1
        while name in self._taken:
            number += 1
            name = f"{plain}_{number}"
        self._taken.append(name)
        return name
