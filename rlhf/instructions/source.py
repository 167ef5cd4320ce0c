"""Prompts with verifiable instructions as a source of records, over topics of its own or over people's prompts.

records(seed, num_prompts, half)           prompts with task and, in training, a demonstration
over(prompts, seed, half)                  the same over texts that are given: no demonstrations
fingerprint()                              sha256 over this package's source files: same code, same prompts and gold
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from rlhf.instructions import checks, demonstrations, kinds, topics
from rlhf.instructions.kinds import Asked, Half

FAMILY = "instruction"  # what a task of this package says it is
HELD_OUT_KINDS_SHARE = 0.2  # of held-out prompts ask for a kind that training never asks for
ASKED_FIRST = 0.25  # of prompts say the instruction before the request
PROMPTS_PER_USER = 6


def records(seed: int, num_prompts: int, half: Half) -> Iterator[dict[str, Any]]:
    """Yield prompts {id, messages, category, language, user, task}, of training with response; each of its own draw.

    category is the kind of instruction. Topics, requests, wordings, words and endings of the halves are disjoint.
    """
    users = max(1, num_prompts // PROMPTS_PER_USER)
    for number in range(num_prompts):
        rng = Random(f"instruction {seed} {half} {number}")
        name = _draw_kind(rng, half)
        topic = rng.choice(topics.TOPICS[half])
        asked = kinds.draw(rng, name, half)
        request = rng.choice(topics.REQUESTS[half]).format(topic=topic.name)
        record = _record(f"{half}-{seed}-{number}", name, rng, request, asked, list(topic.stems), half)
        record["user"] = f"{half}_user_{rng.randrange(users)}"
        if half == "training":
            record["response"] = demonstrations.write(topic, asked[0], rng)
        yield record


def over(prompts: Sequence[str], seed: int, half: Half) -> Iterator[dict[str, Any]]:
    """Yield each text with an instruction drawn for it; an answer must name one of its longer words, which are its topic."""
    for number, text in enumerate(prompts):
        rng = Random(f"instruction over {seed} {half} {number}")
        name = _draw_kind(rng, half)
        stems = sorted({word for word in checks.words_of(text) if len(word) > 4}) or checks.words_of(text)
        record = _record(f"{half}-{seed}-{number}", name, rng, text.strip(), kinds.draw(rng, name, half), stems, half)
        yield record


def fingerprint() -> str:
    """Return the SHA-256 of this package's source files, names and bytes in order."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _draw_kind(rng: Random, half: Half) -> str:
    if half == "held_out" and rng.random() < HELD_OUT_KINDS_SHARE:
        return rng.choice([*kinds.HELD_OUT_KINDS])
    return rng.choices([*kinds.KINDS], [kind.weight for kind in kinds.KINDS.values()])[0]


def _record(
    name: str, kind: str, rng: Random, request: str, asked: Sequence[Asked], stems: list[str], half: Half
) -> dict[str, Any]:
    instruction = " ".join(one.words for one in asked)
    text = f"{instruction} {request}" if rng.random() < ASKED_FIRST else f"{request} {instruction}"
    task = {
        "family": FAMILY,
        "kind": kind,
        "half": half,
        "language": "en",
        "stems": stems,
        "checks": [[one.check, one.arguments] for one in asked],
    }
    return {
        "id": f"instruction-{name}",
        "messages": [{"role": "user", "content": text}],
        "category": kind,
        "language": "en",
        "task": task,
    }
