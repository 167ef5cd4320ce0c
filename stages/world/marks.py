"""A careful reader's marks of an answer, word by word: within the answer, or behind it.

A word is at fault where another of its kind would mend the sentence: the wrong name in a letter, the object that nobody asked for. So a
mark stands behind the very word that a base model must compare with the question; marks of whole sentences taught it nothing about them.
"""

from itertools import combinations, product
from typing import NamedTuple

from stages.world import gold, rules
from stages.world.content_words import content_words, replaced
from stages.world.requests import Task

WORDS = {
    rules.ON: "RIGHT", rules.BARE: "SHORT", rules.OFF: "BESIDE", rules.FALSE: "WRONG", rules.JUNK: "UNCLEAR", gold.AGAIN: "AGAIN",
    gold.AMISS: "AMISS",
}  # fmt: skip


class Marked(NamedTuple):
    """A sentence with the marks of its content words by place; where no word is at fault, the one mark of the sentence."""

    sentence: str
    words: list[tuple[int, str, str]]
    mark: str


def behind(task: Task, answer: str) -> str:
    """Return "word MARK word MARK ...": of every sentence its content words, or its first word where it has none at fault."""
    shown = []
    for sentence, words, mark in _read(task, answer):
        first = sentence[0] if task["language"] == "zh" else sentence.split()[0].strip(".,:?!")
        shown += [f"{word} {WORDS[found]}" for _, word, found in words or [(0, first, mark)]]
    return " ".join(shown)


def within(task: Task, answer: str) -> str:
    """Return the answer with a mark after each content word, or after a sentence that has none at fault."""
    shown = []
    for sentence, words, mark in _read(task, answer):
        for place, word, found in reversed(words):
            sentence = replaced(sentence, place, word, f"{word} {WORDS[found]}")
        shown.append(sentence if words else f"{sentence} {WORDS[mark]}")
    return " ".join(shown)


def _read(task: Task, answer: str) -> list[Marked]:
    said: set[str] = set()
    before, found = "", []
    for sentence, mark in gold.marks(task, answer):
        found.append(Marked(sentence, _marked(task, before, sentence, mark, said), mark))
        before += sentence + ("" if task["language"] == "zh" else " ")
    return found


def _marked(task: Task, before: str, sentence: str, mark: str, said: set[str]) -> list[tuple[int, str, str]]:
    """Return the content words of a sentence in their order with their marks; adds them to what was `said`."""
    others: dict[tuple[int, str], list[str]] = {}
    for place, word, kind in content_words(sentence, task["language"]):
        others.setdefault((place, word), []).extend(other for other in kind if other != word)
    words = sorted(others)
    if mark in (rules.ON, rules.BARE, rules.JUNK):
        at_fault = set(words)
    elif mark == gold.AGAIN:
        again = [at for number, at in enumerate(words) if at[1] in said | {word for _, word in words[:number]}]
        at_fault = {
            (place, word)
            for place, word in again
            if any(
                _mark_of(task, before + replaced(sentence, place, word, other)) != mark for other in others[place, word]
            )
        }
    else:
        at_fault = _mending(task, sentence, others)
    said.update(word for _, word in words)
    if mark == rules.JUNK or not at_fault:
        return []
    return [(place, word, mark if (place, word) in at_fault else rules.ON) for place, word in words]


def _mending(task: Task, sentence: str, others: dict[tuple[int, str], list[str]]) -> set[tuple[int, str]]:
    """Return the words whose change makes a sentence right; where no one word does, those of which two do together."""
    found = set()
    for number in (1, 2):
        for chosen in combinations(sorted(others, reverse=True), number):  # from the end, so that places stay right
            for changes in product(*(others[at] for at in chosen)):
                changed = sentence
                for (place, word), other in zip(chosen, changes, strict=True):
                    changed = replaced(changed, place, word, other)
                if _mark_of(task, changed) in (rules.ON, rules.BARE):
                    found.update(chosen)
                    break
        if found:
            break
    return found


def _mark_of(task: Task, answer: str) -> str:
    """Return the mark of an answer's last sentence."""
    return gold.marks(task, answer)[-1][1]
