"""How many invented personal data the rules find, and how many harmless strings they flag, by kind.

    python -m tools.looking.personal_data                 the committed strings: development, and held out
    python -m tools.looking.personal_data my.jsonl        strings of your own: {"text": ..., "kind": a kind, or null}

The rules were tuned on tests/collection/personal_data/development.jsonl; held_out.jsonl was written after they were
frozen, and they were not changed for it. One author wrote both and the rules. Placeholders count as harmless, as with
`placeholders: false`. Writes nothing.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from rlhf.collection.personal_data.finding import find
from rlhf.params.collect_prompts import PersonalData
from tools.looking import piped, strings

FOLDER = Path("tests/collection/personal_data")
FILES = (FOLDER / "development.jsonl", FOLDER / "held_out.jsonl")
KINDS: tuple[PersonalData, ...] = get_args(PersonalData)


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Print what was found of each file's strings; returns the exit code."""
    return strings.main(arguments, root, str(__doc__), "kind", FILES, judged)


def judged(path: Path) -> Iterator[str]:
    """Yield precision and recall by kind of a file's strings, the number of false alarms, and each mistake."""
    held, found, flagged, mistakes = Counter[str](), Counter[str](), Counter[str](), list[str]()
    harmless = false_alarms = 0
    for text, kind, _ in strings.read(path, "kind", {*KINDS, None}):
        kinds = {span.kind for span in find(text, KINDS, placeholders=False)}
        flagged.update(kinds)
        if kind is None:
            harmless, false_alarms = harmless + 1, false_alarms + bool(kinds)
        else:
            held[kind] += 1
            found[kind] += kind in kinds
        if kinds != {kind} - {None}:
            mistakes.append(f"  {', '.join(sorted(kinds)) or 'nothing'} in: {text!r}, held: {kind or 'nothing'}")
    yield f"  {'kind':<12}{'held':>6}{'found':>7}{'flagged':>9}{'recall':>8}{'precision':>11}"
    for kind in (*KINDS, "all"):
        own = held.total(), found.total(), flagged.total()
        own = own if kind == "all" else (held[kind], found[kind], flagged[kind])
        yield f"  {kind:<12}{own[0]:>6}{own[1]:>7}{own[2]:>9}{_share(own[1], own[0]):>8}{_share(own[1], own[2]):>11}"
    yield f"  flagged of harmless strings: {false_alarms} of {harmless}"
    yield from mistakes


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else ""


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
