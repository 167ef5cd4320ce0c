"""Examples of the user's own: lines with a text and the category of its harm.

A line has `text`, `prompt` or `messages` (the last turn counts), and `category`: a name of params, or null where it is
harmless; `user`, if it is known, for a user's texts go into one part. Appeals from the chat come so too.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.collection.readers import Row
from rlhf.collection.sources import rows_of_file
from rlhf.moderation import features
from rlhf.moderation.examples.example import PARTS, Example, Part
from rlhf.params.base import listed, shown
from rlhf.params.collect_prompts import FileSource, matches
from rlhf.params.moderation.section import Moderation
from rlhf.records.json_values import is_list, is_object
from rlhf.runtime import seeds

TEXTS = ("text", "prompt", "messages")


class Own(NamedTuple):
    """The user's examples by part, and how many lines were passed over, by why."""

    parts: dict[Part, list[Example]]
    passed_over: Counter[str]

    @property
    def num_texts(self) -> int:
        return sum(len(found) for found in self.parts.values())


def read(params: Moderation, root: Path, seed: int) -> Own:
    """Read the files of params. Raises ValueError naming file, line and fix for a line that says nothing usable."""
    own, seen = Own({part: [] for part in PARTS}, Counter()), dict[str, Example]()
    for path in paths(params, root):
        for row in rows_of(path):
            example, user = _example(row, params.categories)
            key = " ".join(features.words(example.text))
            if key in seen:
                if seen[key].category != example.category:
                    was, now = seen[key].category, example.category
                    raise ValueError(
                        f"{row.where}: the same text has category {now!r} here and {was!r} before: mend one"
                    )
                own.passed_over["the same text again"] += 1
                continue
            seen[key] = example
            own.parts[_part(user or key, params, seed)].append(example)
    return own


def paths(params: Moderation, root: Path) -> list[Path]:
    """Return the files that params name."""
    return list(dict.fromkeys(path for pattern in params.files for path in matches(pattern, root)))


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of any format that `collect_prompts` reads."""
    about = {"name": "moderation", "kind": "file", "paths": [str(path)], "use": ["prompts"]}
    return rows_of_file(path, FileSource.model_validate(about), "")


def _example(row: Row, categories: Sequence[str]) -> tuple[Example, str | None]:
    """Return what a line says, and whose it is."""
    fields, user = row.fields, row.fields.get("user")
    text = text_in(fields, row.where)
    category = _category(fields, categories, row.where)
    words = features.words(text)
    about = ("own", category or "own", "own " + " ".join(words))
    return Example(text, features.language_of(words), category, *about), str(user) if user else None


def text_in(fields: dict[str, Any], where: str) -> str:
    """Return the text that a row has. Raises ValueError naming its place where it has none."""
    given = next((fields[name] for name in TEXTS if fields.get(name) not in (None, "", [])), None)
    if is_list(given):
        last = given[-1]
        given = last.get("content") if is_object(last) else None
    if not isinstance(given, str) or not features.words(given):
        raise ValueError(
            f"{where}: expected text or prompt, a text with a word in it, or messages, turns of role and content; its "
            f"columns: {listed(fields)}"
        )
    return given


def _category(fields: dict[str, Any], categories: Sequence[str], where: str) -> str | None:
    if "category" not in fields:
        raise ValueError(f"{where}: expected category: one of {listed(categories)}, or null where it is harmless")
    category = fields["category"]
    if category in (None, ""):  # a table has no null
        return None
    if category not in categories:
        raise ValueError(
            f"{where}: category: expected one of moderation.categories, {listed(categories)}, or null where it is "
            f"harmless (got {shown(category)}); mend the line, or add the category to params.yaml"
        )
    return category


def _part(key: str, params: Moderation, seed: int) -> Part:
    """Return where a user's texts go, or a text of nobody: the same one in any order of lines."""
    share = seeds.derive(seed, "moderation", key) / 2**63
    if share < params.shares.test:
        return "test"
    return "validation" if share < params.shares.test + params.shares.validation else "train"
