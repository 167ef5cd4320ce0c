"""What `tools.check` says of labelers: functions that cannot be imported, keys that are not set, a judge's cost."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from rlhf.labelers import asking, cost
from rlhf.params.collect_comparisons import CollectComparisons
from rlhf.params.labelers.kinds import ChatModel, FunctionLabeler
from rlhf.params.rewards import file_of
from rlhf.rewards.functions import imported

PLACES = {"labelers": "max_prompts", "judge_labelers": "max_judge_prompts"}  # and how many prompts they get


def mistakes(params: CollectComparisons, root: Path) -> Iterator[str]:
    """Yield what is wrong with functions that params name: of one whose file is missing, its own rule says so."""
    for name in PLACES:
        labelers = getattr(params, name)
        if not isinstance(labelers, FunctionLabeler):
            continue
        try:
            file_of(labelers.function, root)
            imported(labelers.function, root)
        except FileNotFoundError:
            continue
        except ValueError as error:
            yield f"collect_comparisons.{name}.function: {error}"


def warnings(params: CollectComparisons) -> Iterator[str]:
    """Yield what may be meant, or mended before the stage: it is no mistake in params."""
    for name in PLACES:
        judge = getattr(params, name)
        if not isinstance(judge, ChatModel) or judge.key_variable is None:
            continue
        if not os.environ.get(judge.key_variable):
            yield (
                f"collect_comparisons.{name}: the environment variable {judge.key_variable} is not set here; the stage "
                "needs it unless all answers are kept"
            )
        if judge.base_url.startswith("http://"):
            yield f"collect_comparisons.{name}: over http the key can be read on its way; https hides it"
    if params.judges_are_the_same():
        yield (
            "collect_comparisons.judge_labelers: those that rank for the reward model rank for the judge too, which "
            "so learns the same taste, and sees no harm in a policy that follows it too far; name another"
        )


def costs(params: CollectComparisons) -> Iterator[str]:
    """Yield what each judge may cost a round, at most: prompts and answers may be fewer and shorter, and some kept."""
    for name, (judge, num_prompts) in _judges(params).items():
        most = cost.at_most(judge, num_prompts, params.max_responses, _texts_tokens(judge, params))
        line = (
            f"collect_comparisons.{name}: {judge.model} at {urlsplit(judge.base_url).hostname}: a round sends at most "
            f"{most.requests:,} requests with {most.in_words(judge.prices)}"
        )
        if most.requests > judge.max_requests:
            line += f"; max_requests allows {judge.max_requests:,}"
        yield line


def _judges(params: CollectComparisons) -> dict[str, tuple[ChatModel, int]]:
    """Return each judge, and the prompts whose answers it ranks; one that ranks for both stands once."""
    own, judges = params.labelers, params.judge_labelers
    counts = {"labelers": params.max_prompts, "judge_labelers": params.max_judge_prompts}
    if judges is None or judges == own:
        counts = {"labelers": sum(counts.values())}
    named = {name: (getattr(params, name), count) for name, count in counts.items()}
    return {name: (one, count) for name, (one, count) in named.items() if isinstance(one, ChatModel) and count}


def _texts_tokens(judge: ChatModel, params: CollectComparisons) -> int:
    """Return the tokens of what one request shows, by the policy's tokenizer, and about those of the instructions."""
    shown = 2 if judge.compares == "pairwise" else 1
    told = len((judge.instructions or asking.INSTRUCTIONS).encode()) + len(asking.COMPARE)
    return params.max_prompt_tokens + shown * params.max_completion_tokens + told // cost.BYTES_A_TOKEN
