"""Examples as prompts: what stands before a word of the verbalizer, and the words (Schick and Schütze 2021).

prefix  a question in a dialogue, the word begins the answer; examples shown are earlier turns
cloze   plain text that the word goes on with; examples shown are texts before it

Words and wordings are the world's own, as its documents have them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rlhf.records.types import Message
from rlhf.tokens import markers, turns
from study.forms.tasks import Example

WAYS = ("prefix", "cloze")
WORDS = {  # by way and label
    "inference": {"prefix": ("Yes", "No", "I do not know"), "cloze": ("RIGHT", "WRONG", "UNCLEAR")},
    "similarity": {"prefix": ("No", "Yes"), "cloze": ("two", "one")},
    "sentiment": {"prefix": ("Bad", "Good"), "cloze": ("bad", "good")},
}
TEXTS = {
    "inference": {
        "prefix": "{0} Is it right? {1}",
        "cloze": "{0}\nAnswer: {1}\nMarks:",
    },
    "similarity": {"prefix": "{0} {1} Is it the same?", "cloze": "{0}\n{1}\nCount:"},
    "questions": {"prefix": "{0} {1}", "cloze": "{0}\nQuestion: {1}\nAnswer: {stem}"},
    "sentiment": {"prefix": "Is this review good or bad? {0}", "cloze": "{0} The review is"},
}


class Prompt(NamedTuple):
    """Tokens that a verbalizer's words may follow."""

    ids: tuple[int, ...]
    words: tuple[tuple[int, ...], ...]  # the tokens of each


def words(task: str, way: str, example: Example) -> tuple[str, ...]:
    """Return a word (or words) for each label."""
    if task != "questions":
        return WORDS[task][way]
    return example.answers if way == "cloze" else tuple(f"{example.stem} {answer}" for answer in example.answers)


def text(task: str, way: str, example: Example) -> str:
    """Return what is asked; in cloze the mark of a hypothesis stands behind its first word, as readers write it."""
    asked = TEXTS[task][way].format(*example.parts, stem=example.stem)
    if task == "inference" and way == "cloze":
        asked += f" {example.parts[1].split()[0]}" if example.parts[1] else ""
    return asked


def without_content(example: Example, content: str) -> Example:
    """Return an example whose parts say nothing (Zhao et al. 2021); a question stays, its passage says nothing."""
    kept = example.parts[1:] if example.answers else (content,) * (len(example.parts) - 1)
    return Example("", (content, *kept), 0, tuple(sorted(example.answers)), example.stem)


def prompt(tokenizer: Any, task: str, way: str, shown: Sequence[Example], example: Example) -> Prompt:
    """Return an example as a prompt, behind the examples that are shown."""
    said = words(task, way, example)
    if way == "prefix":
        messages: list[Message] = []
        for one in shown:
            messages.append({"role": "user", "content": text(task, way, one)})
            messages.append({"role": "assistant", "content": f"{words(task, way, one)[one.label]}."})
        messages.append({"role": "user", "content": text(task, way, example)})
        before = turns.prompt_ids(tokenizer, messages)
        return Prompt(tuple(before), tuple(tuple(turns.response_ids(tokenizer, word)[:-1]) for word in said))
    texts = [f"{text(task, way, one)} {words(task, way, one)[one.label]}.\n" for one in shown]
    whole = "".join([*texts, text(task, way, example)])
    ids = [*markers.bos_ids(tokenizer), *markers.text_ids(tokenizer, f" {whole}")]
    return Prompt(tuple(ids), tuple(tuple(markers.text_ids(tokenizer, f" {word}")) for word in said))
