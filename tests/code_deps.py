"""dvc.yaml beside the code: which files a stage imports, which sections of params.yaml it reads, what it writes.

    python -m tests.code_deps          list what differs
    python -m tests.code_deps --fix    rewrite the code deps and params in dvc.yaml, keeping its comments

Which deps stand for which imports: tools/imports.py. The laboratory's cells depend on a listing of their code instead:
tools/cell_code.py.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import cell_code, dvc_yaml
from tools.dvc_yaml import definition
from tools.imports import PACKAGES, closure, listed

ROOT = Path(__file__).resolve().parent.parent
LABORATORY = "study"
FILES = ("dvc.yaml", "study/dvc.yaml")


def sections_read(stage: str, root: Path = ROOT) -> list[str]:
    """Return the sections that a stage's class <Stage>Inputs names, in its order.

    Raises ValueError if no module that the stage imports has that class.
    """
    name = "".join(word.capitalize() for word in stage.split("_")) + "Inputs"
    for file in sorted(closure([f"stages/{stage}.py"], root)):
        for node in ast.parse((root / file).read_text(encoding="utf-8"), file).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return [field.target.id for field in node.body if isinstance(field, ast.AnnAssign)]
    raise ValueError(f"stage {stage}: expected a class {name} that lists the sections of params.yaml it reads")


def is_code(dep: str) -> bool:
    """Return whether a dep is code of ours rather than data."""
    return dep.startswith("rlhf/") or (dep.startswith(tuple(f"{name}/" for name in PACKAGES)) and dep.endswith(".py"))


def wanted_deps(stage: str, deps: list[str], root: Path = ROOT) -> list[str]:
    """Return `deps` with its code replaced by what the stage imports; data stays first, in its order."""
    return [dep for dep in deps if not is_code(dep)] + listed(closure([f"stages/{stage}.py"], root))


def wanted_params(stage: str, per_round: bool, root: Path = ROOT) -> list[str]:
    """Return the params entry: the sections read; a stage `per_round` reads just its own round, so that a further one
    does not make it stale."""
    sections = sections_read(stage, root)
    if stage == "reward_model":  # only whether one is trained is its own to know
        sections = ["rewards.trained" if section == "rewards" else section for section in sections]
    return ["rounds.${key}" if section == "rounds" and per_round else section for section in sections]


def study_deps(stage: str, deps: list[str], root: Path = ROOT) -> list[str]:
    """Return the deps of a stage of study/dvc.yaml: a cell's listing, or the code of the stage's module.

    The stage `code`, which writes the listings, has their code besides that of its own module.
    """
    data = [dep for dep in deps if not is_code(dep) and not dep.startswith(f"{cell_code.FOLDER}/")]
    if stage in cell_code.LISTING:
        return [*data, cell_code.path_of(cell_code.LISTING[stage]).as_posix()]
    if stage != "code":
        return data + listed(closure([module_of(stage, root)], root))
    own = listed(closure(["tools/cell_code.py"], root))
    return data + sorted({*own, *(dep for name in cell_code.LISTING.values() for dep in cell_code.deps_of(name, root))})


def module_of(stage: str, root: Path) -> str:
    """Return the file that a stage of study/dvc.yaml runs: a module, or a package's."""
    file = f"{LABORATORY}/{stage}.py"
    return file if (root / file).exists() else f"{LABORATORY}/{stage}/__main__.py"


def read_pipeline(root: Path = ROOT, file: str = "dvc.yaml") -> Any:
    """Return dvc.yaml with its comments."""
    return dvc_yaml.read(root / file)


def differences(root: Path = ROOT) -> Iterator[str]:
    """Yield one line for each stage and key of dvc.yaml that differs from the code."""
    for file in _present(root):
        pipeline = read_pipeline(root, file)
        for stage in pipeline["stages"]:
            entry = definition(pipeline, stage)
            for key, wanted in _wanted(pipeline, stage, root, file).items():
                present = set(entry.get(key, []))
                for missing in sorted(set(wanted) - present):
                    yield f"{file}: {stage}.{key}: {missing} is missing"
                for surplus in sorted(present - set(wanted)):
                    yield f"{file}: {stage}.{key}: {surplus} is not used by the code"


def fix(root: Path = ROOT) -> None:
    """Rewrite code deps and params of every stage in dvc.yaml; all else, comments included, stays."""
    for file in _present(root):
        pipeline = read_pipeline(root, file)
        for stage in pipeline["stages"]:
            entry = definition(pipeline, stage)
            for key, wanted in _wanted(pipeline, stage, root, file).items():
                present = entry.setdefault(key, [])
                if set(present) != set(wanted):
                    dvc_yaml.set_entries(present, wanted)
        dvc_yaml.write(root / file, pipeline)


def _present(root: Path) -> list[str]:
    return [file for file in FILES if (root / file).exists()]


def _wanted(pipeline: Any, stage: str, root: Path, file: str) -> dict[str, list[str]]:
    if file != "dvc.yaml":
        return {"deps": study_deps(stage, definition(pipeline, stage).get("deps", []), root)}
    deps, per_round = definition(pipeline, stage).get("deps", []), "foreach" in pipeline["stages"][stage]
    return {"deps": wanted_deps(stage, deps, root), "params": wanted_params(stage, per_round, root)}


if __name__ == "__main__":
    if sys.argv[1:] == ["--fix"]:
        fix()
    lines = list(differences())
    print("\n".join(lines) if lines else "dvc.yaml names exactly what the code imports and reads")
    raise SystemExit(1 if lines else 0)
