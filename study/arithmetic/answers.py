"""What an answer to a story says: the last number of a direct answer or of a chain; what a program comes to."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from study.arithmetic import evaluator
from study.arithmetic.evaluator import Refused
from study.arithmetic.stories import Story

WHOLE_NUMBER = re.compile(r"[0-9]+")


class Marked(NamedTuple):
    right: list[bool]
    refused: dict[str, int]  # programs that were not run, by why


def said(form: str, text: str) -> Fraction | None:
    """Return the number that an answer says, None where it says none. Raises Refused for a program that is not run."""
    if form == "program":
        return evaluator.evaluate(text.strip().removesuffix("."))
    numbers = WHOLE_NUMBER.findall(text)
    return Fraction(int(numbers[-1][: evaluator.MOST_CHARACTERS])) if numbers else None


def mark(form: str, stories: Sequence[Story], texts: Sequence[str]) -> Marked:
    """Return which answers are right; a program that is refused is wrong, and counted."""
    right, refused = [], dict[str, int]()
    for story, text in zip(stories, texts, strict=True):
        try:
            right.append(said(form, text) == story.result)
        except Refused as why:
            right.append(False)
            reason = str(why).partition(",")[0]
            refused[reason] = refused.get(reason, 0) + 1
    return Marked(right, refused)
