"""Slices apart: test prompts of sources that say so (`apart: true`), in no figure over all test prompts.

They are of what the test set holds too few of to decide anything. SFT, FeedME and PPO answer them, and each slice has
its controlled win rates.
"""

from collections.abc import Mapping, Sequence

from rlhf.evaluation import verdicts
from rlhf.evaluation.controls import compare, sides
from rlhf.evaluation.findings import Findings
from rlhf.evaluation.policy_measures import Policy, Scorers, ask, sampled_again, scored
from rlhf.evaluation.verdicts import Judged, Key
from rlhf.records.types import Prompt

POLICIES = ("sft", "feedme", "ppo")
DECODINGS = {"sampled": 1.0, "greedy": 0.0}
DIVISION = "source"


def chosen(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return the prompts of slices apart, in the order of their ids."""
    return sorted((prompt for prompt in prompts if prompt.get("apart")), key=lambda prompt: prompt["id"])


def slices(prompts: Sequence[Prompt]) -> dict[str, list[int]]:
    """Return the indices of each slice's prompts, by the name of its source."""
    found: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts):
        found.setdefault(prompt["source"], []).append(index)
    return found


def answered(policy: Policy, prompts: Sequence[Prompt], scorers: Scorers) -> list[dict[Key, list[Judged]]]:
    """Return a policy's scored answers by draw: the first sampled and greedy, the further ones sampled."""
    first = {
        (policy.name, decoding): scored(prompts, ask(policy, prompts, temperature, scorers), scorers)
        for decoding, temperature in DECODINGS.items()
    }
    return [first, *({(policy.name, "sampled"): own} for own in sampled_again(policy, prompts, scorers))]


def added(
    found: Findings, prompts: Sequence[Prompt], draws: Sequence[Mapping[Key, Sequence[Judged]]], scorers: Scorers
) -> Findings:
    """Return the findings with the slices' controlled win rates as one more way to divide prompts."""
    if not prompts:
        return found
    settings = scorers.params.evaluate
    asked = verdicts.questions([], [])
    both = sides.of_policies(prompts, draws, scorers.judge, settings.scoring_batch_size)
    rates = {
        name: compare.part_rates(both.among(indices), asked, settings.tie_threshold, scorers.bootstrap)
        for name, indices in slices(prompts).items()
    }
    return found._replace(controlled_parts={**found.controlled_parts, DIVISION: rates})
