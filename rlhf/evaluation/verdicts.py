"""Who wins: every answer is scored once by all who may judge it, then policies are compared prompt by prompt.

The verdict on a prompt with a `task` is the gold labeler's, on any other the judge's (a reward model of its own).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlhf.evaluation import statistics
from rlhf.evaluation.statistics import Array, Bootstrap, Interval
from rlhf.grading import gold
from rlhf.params.evaluate import TieThreshold
from rlhf.records.types import Prompt

if TYPE_CHECKING:  # tools/ablate.py compares what was judged already, without torch
    from rlhf.rewards.scorer import Scorer
    from rlhf.rewards.weighted import RewardSum
    from rlhf.sampling.rollouts import Response

MEASURES = ("verdict", "strict", "judge", "reward_model")
OPTIONAL = ("rejection", "dpo")  # rivals that params may leave out: their stages, and folders below data/
Key = tuple[str, str]  # policy, decoding


class Judged(NamedTuple):
    """One answer and what was measured of it; gold, strict and criteria are None without a `task`.

    The answers that the report shows have a score by the reward model and by the judge; others may lack them.
    """

    text: str
    num_tokens: int  # without EOS
    ended: bool  # with EOS
    repetition: float  # share of token pairs used before
    reward_model: float | None  # the weighted sum that PPO maximised
    judge: float | None
    gold: float | None
    strict: float | None
    criteria: dict[str, float] | None
    reward_parts: dict[str, float] | None = None  # the terms of that sum, where there are several

    @property
    def verdict(self) -> float:
        decided = self.judge if self.gold is None else self.gold
        assert decided is not None
        return decided


class Comparison(NamedTuple):
    """A question of the form: how often does `first` beat `second`, decided by `measure`?"""

    name: str
    first: Key
    second: Key
    measure: str = "verdict"
    length_controlled: bool = False


class WinRate(NamedTuple):
    comparison: Comparison
    interval: Interval
    prompts: int
    ties: float  # share of the pairs of answers, which count half


def judge_answers(
    prompts: Sequence[Prompt],
    answers: Sequence["Response"],
    reward_model: "RewardSum | None",
    judge: "Scorer | None",
    batch_size: int,
) -> list[Judged]:
    """Return each prompt's answer with its scores; a scorer that is not needed here may be None."""
    messages, texts = [prompt["messages"] for prompt in prompts], [answer.text for answer in answers]
    tokens_of = [answer.token_ids[:-1] if answer.ended else answer.token_ids for answer in answers]
    rewards, parts = [None] * len(texts), [None] * len(texts)
    if reward_model:
        rewards, by_part = reward_model.score(messages, texts, [len(tokens) for tokens in tokens_of], batch_size)
        if len(by_part) > 1:
            parts = [dict(zip(by_part, values, strict=True)) for values in zip(*by_part.values(), strict=True)]
    judgements = judge.score_texts(messages, texts, batch_size) if judge else [None] * len(texts)
    judged = []
    for prompt, answer, tokens, reward, judgement, terms in zip(
        prompts, answers, tokens_of, rewards, judgements, parts, strict=True
    ):
        scored = gold.score(prompt["task"], answer.text) if "task" in prompt else None
        strict = float(gold.strict(prompt["task"], answer.text)) if "task" in prompt else None
        score, criteria = (float(scored.score), dict(scored.criteria)) if scored else (None, None)
        repeated = statistics.repetition(tokens)
        judged.append(
            Judged(answer.text, len(tokens), answer.ended, repeated, reward, judgement, score, strict, criteria, terms)
        )
    return judged


def compare(
    comparison: Comparison,
    judged: Mapping[Key, Sequence[Judged]],
    ties: TieThreshold,
    bootstrap: Bootstrap,
    again: Sequence[Mapping[Key, Sequence[Judged]]] = (),
) -> WinRate | None:
    """Return the win rate with its interval over prompts; None where the measure knows none of the prompts.

    again: further draws of sampled answers. An outcome is the mean over draws, where the measure knows all of them; at
    equal length it is of the first draw alone.
    """
    first, second = judged[comparison.first], judged[comparison.second]
    known = [i for i, answer in enumerate(first) if value(answer, comparison.measure) is not None]
    if not known:
        return None
    pairs = [_pair(comparison, draw, known) for draw in (judged, *({**judged, **draw} for draw in again))]
    if comparison.length_controlled:
        first, second = pairs[0]
        ratio = [np.log((a.num_tokens + 1) / (b.num_tokens + 1)) for a, b in zip(first, second, strict=True)]
        outcome = outcomes(first, second, comparison.measure, ties)[None]
        interval = statistics.length_controlled(outcome[0], ratio, bootstrap)
    else:
        whole = [
            pair for pair in pairs if all(value(answer, comparison.measure) is not None for answer in pair[0] + pair[1])
        ]
        outcome = np.stack([outcomes(*pair, comparison.measure, ties) for pair in whole or pairs[:1]])  # [D, B]
        interval = statistics.mean_interval(outcome.mean(axis=0), bootstrap)
    return WinRate(comparison, interval, len(known), float(np.mean(outcome == statistics.TIE)))


def _pair(
    comparison: Comparison, judged: Mapping[Key, Sequence[Judged]], known: Sequence[int]
) -> tuple[list[Judged], list[Judged]]:
    first, second = judged[comparison.first], judged[comparison.second]
    return [first[i] for i in known], [second[i] for i in known]


def outcomes(first: Sequence[Judged], second: Sequence[Judged], measure: str, ties: TieThreshold) -> Array:
    """Return 1, 0 or 0.5 (a tie) a prompt [B]; the tie threshold is that of the scale that decides the prompt."""
    by_gold = [measure == "strict" or (measure == "verdict" and answer.gold is not None) for answer in first]
    thresholds = np.where(by_gold, ties.gold, ties.judge)  # [B]
    return statistics.outcomes(_scores(first, measure), _scores(second, measure), thresholds)


def _scores(answers: Sequence[Judged], measure: str) -> Array:
    """Return the scores [B]; NaN where one is missing, which `statistics.outcomes` refuses."""
    return np.array([value(answer, measure) for answer in answers], dtype=np.float64)


def value(answer: Judged, measure: str) -> float | None:
    """Return the score that decides by `measure`, one of MEASURES."""
    return getattr(answer, measure)


def questions(earlier_rounds: Sequence[str], best_of: Sequence[int], rivals: Sequence[str] = ()) -> list[Comparison]:
    """Return every comparison of the report; `ppo` is the last round's policy, `ppo_<round>` an earlier one's.

    rivals: those of OPTIONAL that there are.
    Names say the decoding unless both sides are sampled at temperature 1, and the measure unless it is the verdict.
    """
    asked = []
    pairs = [("ppo", "sft"), ("ppo", "feedme"), ("feedme", "sft"), ("sft", "base")]
    pairs += [pair for name in rivals for pair in (("ppo", name), (name, "sft"))]
    pairs += [("ppo", f"ppo_{name}") for name in earlier_rounds] + [(f"ppo_{name}", "sft") for name in earlier_rounds]
    for first, second in pairs:
        asked.append(Comparison(f"{first}_vs_{second}", (first, "sampled"), (second, "sampled")))
        asked.append(Comparison(f"{first}_vs_{second}_greedy", (first, "greedy"), (second, "greedy")))
    best = Comparison("ppo_vs_sft_best_temperature", ("ppo", "best_temperature"), ("sft", "best_temperature"))
    asked.insert(2, best)
    asked += [Comparison(f"ppo_vs_best_of_{n}", ("ppo", "sampled"), (f"best_of_{n}", "sampled")) for n in best_of]
    for question in [question for question in asked if question.name in ("ppo_vs_sft", "ppo_vs_sft_greedy")]:
        asked.append(question._replace(name=f"{question.name}_length_controlled", length_controlled=True))
    for question in [question for question in asked if question.first[0] == "ppo" and "length" not in question.name]:
        asked.append(question._replace(name=f"strict_{question.name}", measure="strict"))
    for question in asked[:2]:
        asked.append(question._replace(name=f"judge_{question.name}", measure="judge"))
        asked.append(question._replace(name=f"reward_model_{question.name}", measure="reward_model"))
    return asked


def slices(prompts: Sequence[Prompt]) -> dict[str, dict[str, list[int]]]:
    """Return, for each way to divide the prompts, the indices of each part's prompts."""
    parts: dict[str, dict[str, list[int]]] = {"category": {}, "language": {}, "kind": {}, "turns": {}}
    for index, prompt in enumerate(prompts):
        turns = "multi-turn" if sum(turn["role"] == "user" for turn in prompt["messages"]) > 1 else "single-turn"
        places = {"category": prompt["category"], "language": prompt["language"], "turns": turns, "kind": kind(prompt)}
        for division, part in places.items():
            parts[division].setdefault(part, []).append(index)
    return {division: dict(sorted(found.items())) for division, found in parts.items()}


def kind(prompt: Prompt) -> str:
    """Return the kind of task (harmful, look_alike, ...) of a prompt of the embedded world, else its category."""
    return prompt["task"]["kind"] if "task" in prompt else prompt["category"]
