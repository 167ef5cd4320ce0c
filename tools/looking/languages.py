"""How many invented lines are told to be in their language, by group: foreign languages, code, short ones, English.

    python -m tools.looking.languages                 the committed lines: development, and held out
    python -m tools.looking.languages my.jsonl        lines of your own: {"text": ..., "language": ISO 639-1 code}

tests/collection/languages/held_out.jsonl was written after the rules were frozen. A line may name its group; lines
without one are grouped by language. Writes nothing.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rlhf.collection.languages.detection import language_of
from rlhf.params.collect_prompts import ISO_639_1
from tools.looking import piped, strings

FOLDER = Path("tests/collection/languages")
FILES = (FOLDER / "development.jsonl", FOLDER / "held_out.jsonl")


def main(arguments: Sequence[str], root: Path = Path(".")) -> int:
    """Print how many lines of each file are told rightly; returns the exit code."""
    return strings.main(arguments, root, str(__doc__), "language", FILES, judged)


def judged(path: Path) -> Iterator[str]:
    """Yield the number of lines told rightly by group, and each mistake."""
    lines, right, mistakes = Counter[str](), Counter[str](), list[str]()
    for text, language, group in strings.read(path, "language", {*ISO_639_1, "other", "und"}):
        told = language_of(text)
        lines[group] += 1
        right[group] += told == language
        if told != language:
            mistakes.append(f"  {told} for: {text!r}, is: {language}")
    yield from (f"  {group:<8}{right[group]:>4} of {lines[group]}" for group in lines)
    yield f"  {'all':<8}{right.total():>4} of {lines.total()}"
    yield from mistakes


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
