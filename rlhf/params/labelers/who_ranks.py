"""Whether others than simulated labelers rank the policy's answers: those know prompts of the embedded world alone."""

from typing import Any

from rlhf.params.base import is_mapping

SIMULATED = "simulated"  # the kind of labelers that name none


def rank_any_prompt(params: Any) -> tuple[bool, bool]:
    """Return whether labelers that know any prompt rank for the reward model, and whether such do for the judge.

    `params` is params.yaml as it stands; what is wrong with it is another's to say. Where prompts with a task alone get
    answers, nobody ranks others.
    """
    section, answers = (params.get(name) for name in ("collect_comparisons", "collect_answers"))
    if not is_mapping(section) or (is_mapping(answers) and answers.get("prompts_with") == "task"):
        return False, False
    own = section.get("labelers")
    return _ranks_any(own), _ranks_any(section.get("judge_labelers") or own)


def _ranks_any(labelers: Any) -> bool:
    return is_mapping(labelers) and labelers.get("kind") not in (None, SIMULATED)
