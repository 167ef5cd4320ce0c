"""The embedded world as a source of records; the public API of rlhf.world.

records(seed, num_documents, num_prompts, facts, ...) documents {"text"} and prompts with demonstration and task   (this file)
document(seed, number), copy_probes(seed, count)     pretraining text; (prefix, expected, kind) of what a base must copy (documents.py)
gold.score(task, response) -> Gold(score, criteria)  gold.strict(task, response) -> float    gold.WEIGHTS
demonstrations.write(task, rng, traits), ideal(task) demonstrations.TYPICAL: the share of the good form of each trait
labelers.make(...), labelers.rank(...)                                                                    (labelers.py)
tasks.draw(rng, facts), tasks.draw_kind(rng, kind, facts, language)                                          (tasks.py)
fingerprint()                                        sha256 over the world's source files
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from rlhf.world import knowledge
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from rlhf.world.asking.tasks import CHINESE_SHARE
from rlhf.world.knowledge import NAMES
from rlhf.world.texts import documents

DUPLICATE_SHARE = NEAR_DUPLICATE_SHARE = PRIVATE_SHARE = 0.01
PROMPTS_PER_USER = 12


def records(
    seed: int,
    num_documents: int,
    num_prompts: int,
    facts: str,
    numbers: range | None = None,
    chinese_share: float = CHINESE_SHARE,
) -> Iterator[dict[str, Any]]:
    """Yield `num_documents` records {"text"} and then `num_prompts` prompts; facts ("seen", "held_out") says which facts prompts ask for.

    numbers: which of all these to yield, for work in parts; None for all. A prompt is {id, messages, response, category, language, user,
    task}; response is one labeler's demonstration. About 1% each are exact duplicates, near-duplicates (a few words more) and prompts with
    an e-mail address or a telephone number, as dirt for cleaning. Raises ValueError for other facts. Each prompt depends on (seed, facts,
    its number, the share of Chinese) alone, duplicates on the prompt they repeat. Users are Zipf-like, num_prompts / 12 of them.
    """
    knowledge.animals_with("lives", facts)  # raises for a third half
    users = max(1, num_prompts // PROMPTS_PER_USER)
    weights = [3 / 30] + [1 / (rank + 30) for rank in range(1, users)]
    for number in range(num_documents + num_prompts) if numbers is None else numbers:
        if number < num_documents:
            yield {"text": documents.document(seed, number)}
            continue
        number -= num_documents
        rng = Random(f"prompt {seed} {facts} {number}")
        yield _dirty(rng, partial(_prompt, seed, facts, chinese_share), number) | {
            "user": f"{facts}_user_{rng.choices(range(users), weights)[0]}"
        }


def fingerprint() -> str:
    """Return the SHA-256 of the world's source files, names and bytes in order: the same world has the same fingerprint."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _prompt(seed: int, facts: str, chinese_share: float, number: int) -> dict[str, Any]:
    rng = Random(f"task {seed} {facts} {number}")
    task, messages, category = tasks.draw(rng, facts, chinese_share=chinese_share)
    response = demonstrations.write(task, rng, demonstrations.draw_traits(rng, demonstrations.TYPICAL))
    return {
        "id": f"world-{facts}-{seed}-{number}",
        "messages": messages,
        "response": response,
        "category": category,
        "language": task["language"],
        "user": "",
        "task": task,
    }


def _dirty(rng: Random, prompt: Callable[[int], dict[str, Any]], number: int) -> dict[str, Any]:
    """Return a prompt, now and then a copy of an earlier one, a near copy, or one with private data."""
    draw = rng.random()
    copied = number > 0 and draw < DUPLICATE_SHARE + NEAR_DUPLICATE_SHARE
    record = prompt(rng.randrange(number)) | {"id": prompt(number)["id"]} if copied else prompt(number)
    if draw < DUPLICATE_SHARE:
        return record
    if draw < DUPLICATE_SHARE + NEAR_DUPLICATE_SHARE:
        return record | {"messages": _appended(record["messages"], rng.choice((" Please.", " Thank you.", "  ")))}
    if draw < DUPLICATE_SHARE + NEAR_DUPLICATE_SHARE + PRIVATE_SHARE:
        name = rng.choice(NAMES).lower()
        private = rng.choice(
            (f" My e-mail is {name}@example.com.", f" My number is +1 202 555 {rng.randrange(100, 200):04d}.")
        )
        return record | {"messages": _appended(record["messages"], private)}
    return record


def _appended(messages: list[dict[str, str]], text: str) -> list[dict[str, str]]:
    return [*messages[:-1], messages[-1] | {"content": messages[-1]["content"] + text}]
