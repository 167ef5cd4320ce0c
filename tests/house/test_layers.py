"""The house: imports run from upper floors to lower ones, and no folder is crowded."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests import toys
from tools import imports as code_imports

FLOORS = (  # of rlhf/, the lowest first: what stands before a folder may be imported by it, and nothing else
    ("secrets",),
    ("params",),
    ("runtime", "engine", "world", "instructions"),
    ("grading", "sharding"),
    ("records",),
    ("people",),
    ("tokens", "collection"),
    ("lora",),
    ("models",),
    ("rewards",),
    ("runs", "moderation"),
    ("sampling", "training"),
    ("rollouts",),
    ("preferences",),
    ("rl", "dpo", "evaluation", "labelers"),
)
MOST_MODULES = 16


def folder_of(file: str) -> str:
    return file.split("/")[1] if file.startswith("rlhf/") else file.split("/")[0]


def imports(file: Path) -> Iterator[str]:
    """Yield the files of this repository that a file imports, wherever in it."""
    for module in code_imports.imported_modules(ast.parse(file.read_text(encoding="utf-8"))):
        yield from code_imports.files_of(module, toys.REPO)


def test_imports_run_downwards():
    height = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}
    height |= {
        "apps": len(FLOORS) + 1,
        "stages": len(FLOORS),
        "tools": len(FLOORS),
        "study": len(FLOORS) + 1,
        "benchmarks": len(FLOORS) + 2,
    }
    upwards = []
    for package in ("rlhf", "stages", "tools", "apps", "study"):
        for file in sorted((toys.REPO / package).rglob("*.py")):
            name = file.relative_to(toys.REPO).as_posix()
            own = folder_of(name)
            for other in imports(file):
                if folder_of(other) not in (own, "rlhf") and height[folder_of(other)] >= height[own]:
                    upwards.append(f"{name} imports {other}")
    assert upwards == []


def test_pages_for_people_know_no_stage():
    """They stand beside the tools, of which they take how a command ends."""
    for file in sorted((toys.REPO / "apps").rglob("*.py")):
        others = {other for other in imports(file) if folder_of(other) != "apps" and not other.startswith("rlhf/")}
        assert all(other.startswith("tools/looking/") or other == "tools/__init__.py" for other in others), (
            file,
            others,
        )


def test_no_folder_is_crowded():
    for package in ("rlhf", "stages", "tools", "apps", "study", "benchmarks"):
        for folder in [toys.REPO / package, *(toys.REPO / package).rglob("*/")]:
            modules = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
            assert len(modules) <= MOST_MODULES, folder


def test_every_folder_has_a_floor():
    folders = {path.name for path in (toys.REPO / "rlhf").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {folder for floor in FLOORS for folder in floor}
