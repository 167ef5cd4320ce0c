"""What two answers are compared by: their scores as they were given, and in the controlled form."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlhf.evaluation.controls import manners
from rlhf.evaluation.statistics import Array
from rlhf.evaluation.verdicts import Judged, Key
from rlhf.grading import gold
from rlhf.records.types import Prompt

if TYPE_CHECKING:
    from rlhf.rewards.scorer import Scorer


class Sides(NamedTuple):
    """Every policy's scores by the verdict on the same prompts [B]."""

    prompts: Sequence[Prompt]
    plain: Mapping[Key, Array]  # of the answers as they are
    controlled: Mapping[Key, Array]  # of the same answers in the controlled form

    def among(self, indices: Sequence[int]) -> "Sides":
        """Return the same of some of the prompts."""
        rows = np.array(indices, dtype=np.int64)
        plain, controlled = ({key: own[rows] for key, own in each.items()} for each in self[1:])
        return Sides([self.prompts[index] for index in indices], plain, controlled)


def of_policies(
    prompts: Sequence[Prompt], judged: Mapping[Key, Sequence[Judged]], judge: "Scorer | None", batch_size: int
) -> Sides:
    """Return the scores of answers that were judged already; only what the controlled form changes is scored again.

    Gold scores answers to prompts with a task, the judge all others. It may be None where every prompt has a task.
    """
    forms = manners.controlled(prompts, {key: [answer.text for answer in own] for key, own in judged.items()})
    plain = {key: _verdicts(own) for key, own in judged.items()}
    controlled = {key: _scored_again(prompts, own, forms[key], judge, batch_size) for key, own in judged.items()}
    return Sides(prompts, plain, controlled)


def golds(prompts: Sequence[Prompt], texts: Sequence[str]) -> Array:
    """Return gold of one answer to each prompt; all have a task."""
    scores = [gold.score(manners.task_of(prompt), text).score for prompt, text in zip(prompts, texts, strict=True)]
    return np.array(scores, dtype=np.float64)


def _scored_again(
    prompts: Sequence[Prompt], answers: Sequence[Judged], forms: Sequence[str], judge: "Scorer | None", batch_size: int
) -> Array:
    scores = _verdicts(answers)
    changed = [index for index, answer in enumerate(answers) if forms[index] != answer.text]
    by_gold = [index for index in changed if "task" in prompts[index]]
    by_judge = [index for index in changed if "task" not in prompts[index]]
    scores[by_gold] = golds([prompts[index] for index in by_gold], [forms[index] for index in by_gold])
    if by_judge:
        assert judge is not None  # it decides these prompts, so it was asked before
        messages = [prompts[index]["messages"] for index in by_judge]
        scores[by_judge] = judge.score_texts(messages, [forms[index] for index in by_judge], batch_size)
    return scores


def _verdicts(answers: Sequence[Judged]) -> Array:
    return np.array([answer.verdict for answer in answers], dtype=np.float64)
