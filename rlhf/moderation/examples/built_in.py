"""The built-in examples: english.yaml and chinese.yaml, written out.

An act stands in several frames; what was made of one act is one group. Nothing of a part stands in another part.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from rlhf.moderation.examples.example import Example, Kind, Part

FILES = {"en": "english.yaml", "zh": "chinese.yaml"}
ENDS = (".", "?", "。", "？")  # of a whole text; anything else is an act
ACT = "{act}"
LOOK_ALIKES, PLAIN = "look_alikes", "plain"


class Texts(NamedTuple):
    """A part of a language's file."""

    language: str
    part: Part
    slots: Mapping[str, Sequence[str]]
    frames: Sequence[str]
    harmful: Mapping[str, Sequence[str]]  # acts by category
    look_alikes: Mapping[str, Sequence[str]]  # acts and whole texts by type
    plain: Sequence[str]
    refusals: Sequence[str]
    compliance: Sequence[str]
    combined: Mapping[str, Sequence[str]]  # acts of training alone, by category, look_alikes or plain


@cache
def read(language: str, part: Part) -> Texts:
    """Return what a language's file has for a part."""
    content = _content(language)
    answers = content["answers"]
    return Texts(
        language=language,
        part=part,
        slots={name: _lines(text) for name, text in content["slots"][part].items()},
        frames=_lines(content["frames"][part]),
        harmful={name: _lines(texts[part]) for name, texts in content["harmful"].items()},
        look_alikes={name: _lines(text) for name, text in content["look_alikes"][part].items()},
        plain=_lines(content["plain"][part]),
        refusals=_lines(answers["refusals"][part]),
        compliance=_lines(answers["compliance"][part]),
        combined=_combined(content["combined"], language) if part == "train" else {},
    )


def keywords(language: str) -> frozenset[str]:
    """Return the words of the rival that blocks whatever holds one of them."""
    return frozenset(_content(language)["keywords"].split())


@cache
def _content(language: str) -> dict[str, Any]:
    reader: Any = YAML(typ="safe")  # its methods declare no types
    return reader.load(Path(__file__).with_name(FILES[language]).read_text(encoding="utf-8"))


def _combined(content: Mapping[str, str], language: str) -> dict[str, list[str]]:
    """Return every verb of a line before every object of it, by what the line stands under, in a random order."""
    found, between = {}, " " if language == "en" else ""
    for name, text in content.items():
        acts = []
        for line in _lines(text):
            verbs, objects = ([one.strip() for one in side.split(",")] for side in line.split("|"))
            pairs = [f"{verb}{between}{thing}" for verb in verbs for thing in objects]
            acts.append(Random(line).sample(pairs, len(pairs)))
        found[name] = [act for row in zip_longest(*acts) for act in row if act is not None]
    return found


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def examples(part: Part, phrasings: int, categories: Sequence[str], combined: int = 0) -> list[Example]:
    """Return all examples of a part: each act in at most `phrasings` frames. Harm of other categories is left out.

    `combined`: of training, acts of a verb and an object for each category, and as many harmless ones.
    """
    found = []
    for language in FILES:
        texts = read(language, part)
        known = {name: acts for name, acts in texts.harmful.items() if name in categories}
        for name, acts in known.items():
            found += _phrased(texts, acts, phrasings, (name, "harmful", name))
        for name, acts in texts.look_alikes.items():
            found += _phrased(texts, acts, phrasings, (None, "look_alike", name))
        found += _phrased(texts, texts.plain, phrasings, (None, "plain", "plain"))
        found += _answers(texts, known)
        found += _of_combined(texts, categories, combined)
    return list(dict.fromkeys(found))


def _phrased(
    texts: Texts, items: Sequence[str], phrasings: int, about: tuple[str | None, Kind, str]
) -> Iterator[Example]:
    category, kind, type_ = about
    for item in items:
        group = f"{texts.language} {kind} {type_}: {item}"
        rng = Random(f"{texts.part} {group}")
        frames = [ACT] if item.endswith(ENDS) else rng.sample(texts.frames, min(phrasings, len(texts.frames)))
        for frame in frames:
            text = _filled(frame.replace(ACT, item), texts, rng)
            yield Example(text, texts.language, category, kind, type_, group)


def _of_combined(texts: Texts, categories: Sequence[str], count: int) -> Iterator[Example]:
    for name, acts in texts.combined.items():
        if name in categories:
            yield from _phrased(texts, acts[:count], 1, (name, "harmful", name))
        elif name in (LOOK_ALIKES, PLAIN):
            kind: Kind = "plain" if name == PLAIN else "look_alike"
            yield from _phrased(texts, acts[: count * len(categories) // 2], 1, (None, kind, "combined"))


def _answers(texts: Texts, harmful: Mapping[str, Sequence[str]]) -> Iterator[Example]:
    """Yield what an assistant says to harmful requests, a refusal and an answer to each; refusals name the harm."""
    for name, acts in harmful.items():
        both: tuple[tuple[Sequence[str], str | None, Kind], ...] = (
            (texts.refusals, None, "refusal"),
            (texts.compliance, name, "compliance"),
        )
        for number, act in enumerate(acts):
            for forms, category, kind in both:
                group = f"{texts.language} {kind} {name}: {act}"
                form = forms[number % len(forms)]
                text = _filled(form.replace(ACT, act), texts, Random(f"{texts.part} {group}"))
                yield Example(text, texts.language, category, kind, kind, group)


def _filled(text: str, texts: Texts, rng: Random) -> str:
    for name, values in texts.slots.items():
        text = text.replace(f"{{{name}}}", rng.choice(values))
    return text
