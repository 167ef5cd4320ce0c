"""A reward that pays nothing for a fixed phrase as such: of an answer with one, the phrase's mean effect is taken off.

    effect(p) = mean over answers of the starting policy that carry p of reward(answer) - reward(answer without p)
    reward'   = reward - sum of effect(p) over the fixed phrases p that the answer carries, each counted once

A reward model pays a near constant amount for a closing that labelers liked. A policy earns it whatever it was asked,
and spends on it what it may move away from its start. The phrases are found in the policy's own answers, never named
by hand. Whatever the models and functions say of the rest stays as it is, and they read the whole answer; so does the
price of an answer's tokens.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf.records.types import Message
from rlhf.rewards.phrases import Taken, fixed, taken_off
from rlhf.rewards.weighted import FIXED_PHRASES, Part, RewardSum


class Effect(NamedTuple):
    """What the reward pays for a fixed phrase."""

    mean: float
    answers: int  # that carry it, of those that were measured


class PhraseEffects:
    """Scores an answer by the mean effects of the fixed phrases that it carries; 0 without one."""

    def __init__(self, effects: Mapping[str, Effect]):
        self.effects = effects
        self._phrases = longest_first([*effects])

    def score_texts(
        self,
        messages: list[list[Message]],
        responses: list[str],
        batch_size: int = 128,  # noqa: ARG002  # a Scorer has it
    ) -> list[float]:
        """Return the sum of each answer's effects; a phrase said twice counts once."""
        return [
            sum(self.effects[phrase].mean for phrase in dict.fromkeys(one.phrase for one in found))
            for found in carried(messages, responses, self._phrases)
        ]


def effects_of_phrases(
    summed: RewardSum, messages: Sequence[list[Message]], responses: Sequence[str], languages: Sequence[str]
) -> dict[str, Effect]:
    """Return the fixed phrases of a policy's answers and what the reward pays for each, the most frequent first.

    Phrases of one answer are taken off one after another, so that their effects add up to that of all.
    """
    found = fixed([_asked(dialogue) for dialogue in messages], responses, languages)
    with_one = [
        (dialogue, [text.strip(), *(one.rest for one in taken)], [one.phrase for one in taken])
        for dialogue, text, taken in zip(
            messages, responses, carried(messages, responses, longest_first(found)), strict=True
        )
        if taken
    ]
    scored = iter(_scores(summed, [(dialogue, text) for dialogue, texts, _ in with_one for text in texts]))
    differences: dict[str, list[float]] = defaultdict(list)  # of each answer that carries the phrase
    for _, texts, names in with_one:
        scores, own = [next(scored) for _ in texts], defaultdict[str, float](float)
        for phrase, before, after in zip(names, scores, scores[1:], strict=False):
            own[phrase] += before - after
        for phrase, difference in own.items():
            differences[phrase].append(difference)
    told = [(phrase, differences[phrase]) for phrase in found if phrase in differences]
    return {phrase: Effect(sum(each) / len(each), len(each)) for phrase, each in told}


def centred(summed: RewardSum, effects: Mapping[str, Effect]) -> RewardSum:
    """Return the sum less the effects; the same sum where there are none."""
    return RewardSum((*summed.parts, Part(FIXED_PHRASES, -1.0, PhraseEffects(effects)))) if effects else summed


def carried(messages: Sequence[list[Message]], responses: Sequence[str], phrases: Sequence[str]) -> list[list[Taken]]:
    """Return the phrases that each answer begins and ends with, without those that its prompt asked for."""
    found: list[list[Taken]] = []
    for dialogue, text in zip(messages, responses, strict=True):
        asked = _asked(dialogue).lower()
        found.append(taken_off(text, [phrase for phrase in phrases if phrase.lower() not in asked]))
    return found


def longest_first(phrases: Sequence[str]) -> list[str]:
    """Return phrases in the order in which they are looked for: one may be the end of another."""
    return sorted(phrases, key=len, reverse=True)


def _asked(messages: Sequence[Message]) -> str:
    return "\n".join(message["content"] for message in messages)


def _scores(summed: RewardSum, rows: Sequence[tuple[list[Message], str]]) -> list[float]:
    """Return what models and functions pay for answers; all count as of no tokens, so that a length pays nothing."""
    if not rows:
        return []
    return summed.score([dialogue for dialogue, _ in rows], [text for _, text in rows], [0] * len(rows)).totals
