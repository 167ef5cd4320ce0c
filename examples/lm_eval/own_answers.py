"""What own_answers.yaml counts: answers that hold the word that is asked for, in whatever case."""

import re


def holds(question: dict, answers: list[str]) -> dict[str, float]:
    """Return 1 where the answer has the word by itself, else 0."""
    word = re.escape(question["answer"])
    return {"holds": float(re.search(rf"\b{word}\b", answers[0], re.IGNORECASE) is not None)}
