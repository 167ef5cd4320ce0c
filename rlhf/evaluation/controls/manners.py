"""One form for the answers of all policies: no opener, and exactly one closing, the same in every answer of a language.

Gold's politeness pays for one sentence, which a policy can say whatever it was asked, and a win rate counts any
difference as a whole win. Between answers in this form that sentence decides nothing. Prompts without a task of the
embedded world have no grammar: there the fixed phrases that begin or end many answers are taken off (`phrases`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from rlhf.evaluation.verdicts import Key
from rlhf.grading import gold
from rlhf.records.types import Prompt
from rlhf.rewards import phrases
from rlhf.world import grammar

MANNERS = {"opener", "closing"}  # being sorry is none of them: in a refusal it is part of the answer
CLOSING = 1  # of the grammar's variants the one that may end any answer: nobody is told that a refusal helps
STOPS = ".?!。？！"


def of_world(prompt: Prompt) -> bool:
    """Say whether a prompt has a task of the embedded world, whose grammar reads its answers."""
    return "task" in prompt and not gold.is_instruction(prompt["task"])


def task_of(prompt: Prompt) -> dict[str, Any]:
    """Return the task of a prompt that has one."""
    assert "task" in prompt
    return prompt["task"]


def controlled(prompts: Sequence[Prompt], answers: Mapping[Key, Sequence[str]]) -> dict[Key, list[str]]:
    """Return every policy's answers in the controlled form.

    Fixed phrases are gathered over all policies, so that an answer has one form, whoever it is compared with.
    """
    others = [index for index, prompt in enumerate(prompts) if not of_world(prompt)]
    asked = ["\n".join(turn["content"] for turn in prompts[index]["messages"]) for index in others]
    languages = [prompts[index]["language"] for index in others]
    found = dict.fromkeys(
        phrase
        for own in answers.values()
        for phrase in phrases.fixed(asked, [own[index] for index in others], languages)
    )

    def form(prompt: Prompt, text: str) -> str:
        return one_closing(task_of(prompt), text) if of_world(prompt) else _bare(text, [*found])

    return {key: list(map(form, prompts, own)) for key, own in answers.items()}


def one_closing(task: Mapping[str, Any], text: str) -> str:
    """Return an answer to a task of the world without openers and closings, and then the one fixed closing.

    The grammar reads it as gold does. Of a sentence that it cannot read, a known opener is cut off its beginning and a
    known closing off its end. An answer of nothing else becomes the closing alone, so none is ever empty.
    """
    language = task["language"]
    return _joined([*_content(text, language), _closing(language)], language)


def with_closing(task: Mapping[str, Any], text: str) -> str:
    """Return an answer as it is, and then the fixed closing if it has none: gold takes it ill to hear one twice."""
    language = task["language"]
    if any("closing" in dict(sentence.readings) for sentence in grammar.parse(text, language)):
        return text
    return _joined([part for part in (text.strip(), _closing(language)) if part], language)


def _bare(text: str, found: Sequence[str]) -> str:
    """Return an answer without fixed phrases; one that has none stays as it is, and need not be judged again."""
    rest = phrases.without(text, found)
    return text if rest == text.strip() else rest


def _closing(language: str) -> str:
    return grammar.render("closing", {}, language, CLOSING)


def _content(text: str, language: str) -> list[str]:
    """Return an answer's sentences without those that are mere politeness."""
    sentences = grammar.parse(text, language)
    kept = [sentence for sentence in sentences if not MANNERS & {name for name, _ in sentence.readings}]
    parts = [sentence.text if sentence.readings else _cut(sentence.text, language) for sentence in kept]
    return [part for part in parts if part]


def _cut(sentence: str, language: str) -> str:
    """Return an unreadable sentence without known openers that begin it and known closings that end it."""
    opener, closing = _known(language)
    rest = closing.sub("", opener.sub("", sentence)).strip()
    return rest if rest == sentence or rest.strip(STOPS) else ""


@cache
def _known(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what finds openers at the beginning, and closings at the end, of a sentence."""
    edge = "" if language == "zh" else r"\b"  # of a word: Chinese has no space around one
    opener, closing = (
        "|".join(re.escape(variant.rstrip(STOPS)) for variant in grammar.SENTENCES[language][name])
        for name in ("opener", "closing")
    )
    between = r"[\s,;:，、]*"
    return (
        re.compile(rf"^(?:(?:{opener}){edge}{between})+", re.IGNORECASE),
        re.compile(rf"(?:{between}{edge}(?:{closing}){edge}[{STOPS}]?)+$", re.IGNORECASE),
    )


def _joined(sentences: Iterable[str], language: str) -> str:
    """Return sentences as a text that is cut into the same ones again: where one has no stop, a new line ends it."""
    text = ""
    for sentence in sentences:
        between = "\n" if text and text[-1] not in STOPS else "" if language == "zh" or not text else " "
        text += between + sentence
    return text
