"""What `tools.check` says of labelers: who can rank what, functions that fail, keys that lack, a judge's cost."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rlhf.labelers import asking, cost
from rlhf.params.base import expanded
from rlhf.params.collect_answers import CollectAnswers
from rlhf.params.labelers.kinds import ChatModel, FunctionLabeler, People, Simulated
from rlhf.params.rewards import file_of
from rlhf.rewards.functions import imported

PLACES = {"labelers": "max_prompts", "judge_labelers": "max_judge_prompts"}  # and how many prompts they get


def _answers_have_a_labeler(params: Any) -> Iterator[str]:
    section, answers = params.collect_comparisons, params.collect_answers
    for count in ("max_prompts", "max_judge_prompts"):
        judges = section.judge_labelers if count == "max_judge_prompts" else None
        wanted = getattr(answers, count)
        if section.labelers is None and judges is None and wanted:
            yield (
                f"collect_answers.{count}: without collect_comparisons.labelers nobody ranks answers; set it to 0 "
                f"(got {wanted})"
            )


def _simulated_labelers_rank_what_they_know(params: Any) -> Iterator[str]:
    section = params.collect_comparisons
    named = [one for one in (section.labelers, section.judge_labelers) if one is not None]
    if params.collect_answers.prompts_with == "any" and named and all(isinstance(one, Simulated) for one in named):
        yield (
            "collect_answers.prompts_with: simulated labelers rank answers to prompts with a task alone, and others "
            "would be answered for nothing; expected 'task' (got 'any')"
        )


def _pairs_tie_all_answers_together(params: Any) -> Iterator[str]:
    most = params.collect_answers.max_responses
    for name in PLACES:
        judge = getattr(params.collect_comparisons, name)
        if isinstance(judge, ChatModel) and judge.pairs and judge.pairs < most - 1:
            yield (
                f"collect_comparisons.{name}.pairs: {judge.pairs} pairs cannot tie {most} answers together: "
                f"collect_answers.max_responses - 1 can, and as many as max_responses are fair to each answer"
            )


def _direct_scores_are_rated(params: Any) -> Iterator[str]:
    for section, place in (("reward_model", "labelers"), ("judge", "judge_labelers")):
        named = getattr(params.collect_comparisons, place) or params.collect_comparisons.labelers
        if getattr(params, section).loss == "direct" and isinstance(named, People) and named.scale is None:
            yield (
                f"{section}.loss: direct scores need ratings; give collect_comparisons.labelers a scale, such as "
                "{low: 1, high: 7}, or expected 'rank' (got 'direct')"
            )


RULES = (
    _answers_have_a_labeler,
    _simulated_labelers_rank_what_they_know,
    _pairs_tie_all_answers_together,
    _direct_scores_are_rated,
)


def mistakes(params: Any, root: Path) -> Iterator[str]:
    """Yield what is wrong with functions and files that params name: of one whose file is missing, its own rule says
    so.
    """
    for name in PLACES:
        labelers = getattr(params.collect_comparisons, name)
        if isinstance(labelers, People) and labelers.training and not (root / expanded(labelers.training)).is_file():
            missing = f"no such file below {root.resolve()} (got {labelers.training!r})"
            yield f"collect_comparisons.{name}.training: {missing}"
        if not isinstance(labelers, FunctionLabeler):
            continue
        try:
            file_of(labelers.function, root)
            imported(labelers.function, root)
        except FileNotFoundError:
            continue
        except ValueError as error:
            yield f"collect_comparisons.{name}.function: {error}"


def warnings(params: Any) -> Iterator[str]:
    """Yield what may be meant, or mended before the stage: it is no mistake in params."""
    for name in PLACES:
        judge = getattr(params.collect_comparisons, name)
        if not isinstance(judge, ChatModel) or judge.key_variable is None:
            continue
        if not os.environ.get(judge.key_variable):
            yield (
                f"collect_comparisons.{name}: the environment variable {judge.key_variable} is not set here; the stage "
                "needs it unless all answers are kept"
            )
        if judge.base_url.startswith("http://"):
            yield f"collect_comparisons.{name}: over http the key can be read on its way; https hides it"
    answers = params.collect_answers
    if params.collect_comparisons.judges_are_the_same() and min(answers.max_prompts, answers.max_judge_prompts) > 0:
        yield (
            "collect_comparisons.judge_labelers: those that rank for the reward model rank for the judge too, which "
            "so learns the same taste, and sees no harm in a policy that follows it too far; name another"
        )


def costs(params: Any) -> Iterator[str]:
    """Yield what each judge may cost a round, at most: prompts and answers may be fewer and shorter, and some kept."""
    for name, (judge, num_prompts) in _judges(params).items():
        tokens = _texts_tokens(judge, params.collect_answers)
        most = cost.at_most(judge, num_prompts, params.collect_answers.max_responses, tokens)
        line = (
            f"collect_comparisons.{name}: {judge.model} at {urlsplit(judge.base_url).hostname}: a round sends at most "
            f"{most.requests:,} requests with {most.in_words(judge.prices)}"
        )
        if most.requests > judge.max_requests:
            line += f"; max_requests allows {judge.max_requests:,}"
        yield line


def _judges(params: Any) -> dict[str, tuple[ChatModel, int]]:
    """Return each judge, and the prompts whose answers it ranks; one that ranks for both stands once."""
    section, answers = params.collect_comparisons, params.collect_answers
    counts = {name: getattr(answers, count) for name, count in PLACES.items()}
    if section.judge_labelers is None or section.judge_labelers == section.labelers:
        counts = {"labelers": sum(counts.values())}
    named = {name: (getattr(section, name), count) for name, count in counts.items()}
    return {name: (one, count) for name, (one, count) in named.items() if isinstance(one, ChatModel) and count}


def _texts_tokens(judge: ChatModel, params: CollectAnswers) -> int:
    """Return the tokens of what one request shows, by the policy's tokenizer, and about those of the instructions."""
    shown = 2 if judge.compares == "pairwise" else 1
    told = len((judge.instructions or asking.INSTRUCTIONS).encode()) + len(asking.COMPARE)
    return params.max_prompt_tokens + shown * params.max_completion_tokens + told // cost.BYTES_A_TOKEN
