"""The folders in which people's labels will lie, made before anybody labels: DVC watches one a round."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.params.base import expanded
from rlhf.params.labelers.kinds import People
from rlhf.params.labelers.people import INSTRUCTIONS
from rlhf.runtime.files import write_text

TEMPLATE = Path(__file__).with_name(INSTRUCTIONS)
README = (
    "One file a labeler, one judgement a line, only ever appended to: `docs/labelers.md` says what a line holds.\n"
    "Git keeps these files; DVC watches them.\n"
)


def make_folders(params: Any, root: Path) -> list[str]:
    """Make what is missing of each labels' folder: instructions for labelers, and a folder for each round. Returns a
    line on each folder that was made.
    """
    section = params.collect_comparisons
    named = [one for one in (section.labelers, section.judge_labelers) if isinstance(one, People)]
    return [line for one in named for line in _make(one, list(params.rounds), root)]


def _make(labelers: People, rounds: list[str], root: Path) -> Iterator[str]:
    instructions = root / expanded(labelers.folder) / INSTRUCTIONS
    if not instructions.exists():
        write_text(instructions, TEMPLATE.read_text(encoding="utf-8"))
        yield f"{labelers.folder}/{INSTRUCTIONS}: written, which is what labelers are told: make it yours first"
    for name in rounds:
        readme = labelers.folder_of(root, name) / "README.md"  # git keeps no empty folder, and DVC warns of one
        if not readme.exists():
            write_text(readme, README)
            yield f"{labelers.folder}/{name}: made for the labels of round {name}; git add {labelers.folder}"
