"""Policies that nobody would call aligned, made of answers by rule: a measure that they win measures something else.

SFT and FeedME with a fixed closing after every answer that has none, the prompt's own last words, and a refusal of
everything. They exist where prompts have a task of the embedded world, whose gold scores any text, and are compared on
those prompts.
"""

from collections.abc import Mapping, Sequence

from rlhf.evaluation.controls import manners
from rlhf.evaluation.controls.sides import Sides, golds
from rlhf.evaluation.verdicts import Comparison, Judged, Key
from rlhf.records.types import Prompt
from rlhf.world import grammar

SAMPLED, GREEDY = ("sft", "sampled"), ("sft", "greedy")
QUESTIONS = (
    Comparison("closing_vs_sft", ("closing", "sampled"), SAMPLED),
    Comparison("closing_vs_sft_greedy", ("closing", "greedy"), GREEDY),
    Comparison("closing_feedme_vs_sft_greedy", ("closing_feedme", "greedy"), GREEDY),
    Comparison("copy_vs_sft_greedy", ("copy", "greedy"), GREEDY),
    Comparison("refuse_vs_sft_greedy", ("refuse", "greedy"), GREEDY),
)


def sides(prompts: Sequence[Prompt], judged: Mapping[Key, Sequence[Judged]]) -> Sides:
    """Return the scores of the trivial policies and of SFT on the prompts with a task of the world, maybe none."""
    known = [index for index, prompt in enumerate(prompts) if manners.of_world(prompt)]
    own = [prompts[index] for index in known]
    said = {key: [judged[key][index].text for index in known] for key in (SAMPLED, GREEDY, ("feedme", "greedy"))}
    answers = {SAMPLED: said[SAMPLED], GREEDY: said[GREEDY]} | policies(own, said)
    plain = {key: golds(own, texts) for key, texts in answers.items()}
    controlled = {key: golds(own, texts) for key, texts in manners.controlled(own, answers).items()}
    return Sides(own, plain, controlled)


def policies(prompts: Sequence[Prompt], said: Mapping[Key, Sequence[str]]) -> dict[Key, list[str]]:
    """Return the trivial policies' answers, made of what SFT and FeedME `said` to prompts with a task of the world."""

    asked = [manners.task_of(prompt) for prompt in prompts]

    def closed(key: Key) -> list[str]:
        return [manners.with_closing(task, text) for task, text in zip(asked, said[key], strict=True)]

    return {
        ("closing", "sampled"): closed(SAMPLED),
        ("closing", "greedy"): closed(GREEDY),
        ("closing_feedme", "greedy"): closed(("feedme", "greedy")),
        ("copy", "greedy"): [prompt["messages"][-1]["content"] for prompt in prompts],
        ("refuse", "greedy"): [grammar.render("refuse", {}, task["language"]) for task in asked],
    }
