"""A file of demonstrations as large as one asks for, the same for every call: texts of about 1 kB in two languages.

Words come by Zipf's law, so that few runs of words stand in many prompts and most in one; the most frequent ones are
those of English, the others are invented. Some prompts stand below one
of a few long instructions, some are an earlier prompt again, word for word or with a word changed, and some hold
personal data.
"""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

PART = 10_000  # rows that are drawn from one seed: a copy is of a row of its own part
WORDS, HAN = 30_000, 3_000  # of each vocabulary
TEMPLATES, TEMPLATE_WORDS = 40, 60
CHINESE, TEMPLATED, EXACT, NEAR, ANSWERED_AGAIN, PERSONAL, WITH_USER = 0.2, 0.15, 0.02, 0.03, 0.01, 0.01, 0.3  # shares
MARKS = (". ", ", ", "? ", " - ", ": ", "; ", "\n")
FREQUENT = (  # words of English, by how often they come
    "the of and to a in is it you that he was for on are with as his they be at one have this from or had by hot but "
    "some what there we can out other were all your when up use word how said an each she which do their time if will "
    "way about many then them would write like so these her long make thing see him two has look more day could go "
    "come did my sound no most number who over know water than call first people may down side been now find"
).split()
PERSONAL_DATA = ("ann.lee{}@mail.com", "+1 415 555 {:04d}", "4111 1111 1111 1111", "138 0013 {:04d}")


class Vocabulary(NamedTuple):
    """What texts are drawn from: words, and how often each comes, added up."""

    words: list[str]
    weights: list[float]
    between: str


def write(path: Path, rows: int) -> int:
    """Write so many rows as JSONL, a part at a time; returns the file's bytes."""
    parts = [(start // PART, min(PART, rows - start)) for start in range(0, rows, PART)]
    with open(path, "wb") as file, ProcessPoolExecutor() as pool:
        for text in pool.map(partial(_part, _vocabularies()), parts):
            file.write(text)
    return path.stat().st_size


def _part(vocabularies: tuple[Vocabulary, Vocabulary], part: tuple[int, int]) -> bytes:
    number, count = part
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in _rows(vocabularies, number, count))


def _rows(vocabularies: tuple[Vocabulary, Vocabulary], part: int, count: int) -> Iterator[dict[str, str]]:
    draw, earlier = random.Random(part), list[dict[str, str]]()
    english, chinese = vocabularies
    templates = [_text(random.Random(f"template {number}"), english, TEMPLATE_WORDS) for number in range(TEMPLATES)]
    for _ in range(count):
        vocabulary = chinese if draw.random() < CHINESE else english
        row = {
            "prompt": _text(draw, vocabulary, draw.randint(20, 180)),
            "category": draw.choice(("qa", "chat", "rewrite")),
        }
        row["response"] = _text(draw, vocabulary, draw.randint(10, 140))
        chance = draw.random()
        if earlier and chance < EXACT + NEAR + ANSWERED_AGAIN:
            row = _again(draw, draw.choice(earlier), row["response"], chance)
        elif chance < EXACT + NEAR + ANSWERED_AGAIN + TEMPLATED:
            row["prompt"] = f"{draw.choice(templates)}\n\n{row['prompt']}"
        if draw.random() < PERSONAL:
            row["prompt"] += " " + draw.choice(PERSONAL_DATA).format(draw.randrange(10_000))
        if draw.random() < WITH_USER:
            row["user"] = f"u{draw.randrange(200_000)}"
        earlier = [*earlier[-200:], row]
        yield row


def _again(draw: random.Random, row: dict[str, str], answer: str, chance: float) -> dict[str, str]:
    """Return a row once more: as it is, with another answer, or with a word of its prompt changed."""
    if chance < EXACT:
        return {**row}
    if chance < EXACT + ANSWERED_AGAIN:
        return {**row, "response": answer}
    words = row["prompt"].split(" ")
    words[draw.randrange(len(words))] = "altogether"
    return {**row, "prompt": " ".join(words)}


def _text(draw: random.Random, vocabulary: Vocabulary, count: int) -> str:
    words = draw.choices(vocabulary.words, cum_weights=vocabulary.weights, k=count)
    for place in range(draw.randint(3, 12), count, 9):
        words[place] += draw.choice(MARKS).rstrip(" ")
    return vocabulary.between.join(words).strip()


def _vocabularies() -> tuple[Vocabulary, Vocabulary]:
    draw = random.Random("vocabulary")
    consonants, vowels = "bcdfghklmnprstvw", "aeiou"
    words = [
        "".join(draw.choice(consonants) + draw.choice(vowels) for _ in range(draw.randint(1, 4))) for _ in range(WORDS)
    ]
    han = [chr(0x4E00 + number) for number in draw.sample(range(20_000), HAN)]
    words[: len(FREQUENT)] = FREQUENT
    return Vocabulary(words, _zipf(WORDS), " "), Vocabulary(han, _zipf(HAN), "")


def _zipf(count: int) -> list[float]:
    return [*accumulate(1 / rank for rank in range(1, count + 1))]
