"""dvc.yaml beside the code: which files a stage imports, which sections of params.yaml it reads, what it writes.

    python -m tests.code_deps          list what differs
    python -m tests.code_deps --fix    rewrite the code deps and params in dvc.yaml, keeping its comments

DVC follows no imports, so `deps` must name all code whose change could change an output: the stage's own file, the
folders of rlhf/ that it imports from, directly or through others, and of params/ and runs/ the files: their sections
and their byte-neutral modules are nothing to other stages.
"""

import ast
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tools import dvc_yaml
from tools.dvc_yaml import definition

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("rlhf", "stages", "tools", "study")
LABORATORY = "study"
FILES = ("dvc.yaml", "study/dvc.yaml")
# These change no byte of an output, so that editing them reruns nothing. What only they import is left out as well.
BYTE_NEUTRAL = {
    "rlhf/runs/checkpoints.py", "rlhf/runs/interrupts.py", "rlhf/runs/launch.py", "rlhf/runs/tracking.py",
    "stages/__init__.py", "study/__init__.py", "tools/__init__.py", "tools/unlisted.py",
}  # fmt: skip
BY_FILE = ("rlhf/params", "rlhf/runs")  # folders of which a stage lists files, not the whole


def closure(start: str, root: Path = ROOT) -> set[str]:
    """Return the files (posix paths from `root`) that the module file `start` imports, itself included.

    Empty files are left out: they change nothing, and DVC warns about each. Filled ones are there at once.
    """
    found, waiting = set(), [start]
    while waiting:
        file = waiting.pop()
        if file in found or file in BYTE_NEUTRAL:
            continue
        found.add(file)
        tree = ast.parse((root / file).read_text(encoding="utf-8"), file)
        for module in imported_modules(tree):
            waiting += files_of(module, root)
    return found


def listed(files: Collection[str]) -> list[str]:
    """Return the deps that stand for these files: rlhf's folders as a whole, but for BY_FILE; sorted."""
    whole = {file for file in files if file.startswith("rlhf/") and _folder(file) not in BY_FILE}
    return sorted({*(set(files) - whole), *(_folder(file) for file in whole)})


def _folder(file: str) -> str:
    """Return the folder right below rlhf/ that a file lies in."""
    return "/".join(file.split("/")[:2])


def sections_read(stage: str, root: Path = ROOT) -> list[str]:
    """Return the sections that a stage's class <Stage>Inputs names, in its order.

    Raises ValueError if no module that the stage imports has that class.
    """
    name = "".join(word.capitalize() for word in stage.split("_")) + "Inputs"
    for file in sorted(closure(f"stages/{stage}.py", root)):
        for node in ast.parse((root / file).read_text(encoding="utf-8"), file).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return [field.target.id for field in node.body if isinstance(field, ast.AnnAssign)]
    raise ValueError(f"stage {stage}: expected a class {name} that lists the sections of params.yaml it reads")


def is_code(dep: str) -> bool:
    """Return whether a dep is code of ours rather than data."""
    return dep.startswith("rlhf/") or (dep.startswith(tuple(f"{name}/" for name in PACKAGES)) and dep.endswith(".py"))


def wanted_deps(stage: str, deps: list[str], root: Path = ROOT) -> list[str]:
    """Return `deps` with its code replaced by what the stage imports; data stays first, in its order."""
    return [dep for dep in deps if not is_code(dep)] + listed(closure(f"stages/{stage}.py", root))


def wanted_params(stage: str, per_round: bool, root: Path = ROOT) -> list[str]:
    """Return the params entry: the sections read; a stage `per_round` reads just its own round, so that a further one
    does not make it stale."""
    sections = sections_read(stage, root)
    return ["rounds.${key}" if section == "rounds" and per_round else section for section in sections]


def study_deps(stage: str, deps: list[str], root: Path = ROOT) -> list[str]:
    """Return the deps of a stage of study/dvc.yaml: its module's closure, and for cells that of all that they run."""
    runs_cells = stage in ("chain", "cell", "encoder_cell")
    modules = {f"{LABORATORY}/{'cell' if runs_cells else stage}.py"}
    if runs_cells:
        ran = [name for name in read_pipeline(root)["stages"] if stage == "chain" or name not in ("evaluate", "judge")]
        modules |= {f"stages/{name}.py" for name in ran}
    code = set().union(*(closure(module, root) for module in modules))
    return [dep for dep in deps if not is_code(dep)] + listed(code)


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


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a module imports, names imported from a package among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports are not followed"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(module: str, root: Path) -> list[str]:
    """Return the file of a module of this package and the __init__ files that Python runs before it."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return []
    candidates = ["/".join(parts) + ".py"]
    candidates += ["/".join(parts[:length]) + "/__init__.py" for length in range(1, len(parts) + 1)]
    return [file for file in candidates if (root / file).is_file() and (root / file).stat().st_size]


if __name__ == "__main__":
    if sys.argv[1:] == ["--fix"]:
        fix()
    lines = list(differences())
    print("\n".join(lines) if lines else "dvc.yaml names exactly what the code imports and reads")
    raise SystemExit(1 if lines else 0)
