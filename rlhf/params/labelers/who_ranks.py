"""Whether others than simulated labelers rank the policy's answers: those know prompts of the embedded world alone."""

from typing import Any

from rlhf.params.base import is_mapping

SIMULATED = "simulated"  # the kind of labelers that name none


def rank_any_prompt(section: Any) -> tuple[bool, bool]:
    """Return whether labelers that know any prompt rank for the reward model, and whether such do for the judge.

    `section` is collect_comparisons as it stands in params.yaml; what is wrong with it is another's to say.
    """
    if not is_mapping(section):
        return False, False
    own = section.get("labelers")
    return _ranks_any(own), _ranks_any(section.get("judge_labelers") or own)


def _ranks_any(labelers: Any) -> bool:
    return is_mapping(labelers) and labelers.get("kind") not in (None, SIMULATED)
