"""Which files a module imports, directly or through others, and the deps in dvc.yaml that stand for them.

DVC follows no imports, so `deps` must name all code whose change could change an output: the stage's own file, the
folders of rlhf/ that it imports from, directly or through others, and of params/, runs/ and secrets/ the files: their
sections and their byte-neutral modules are nothing to other stages.
"""

import ast
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

PACKAGES = ("rlhf", "stages", "tools", "apps", "study")
# These change no byte of an output, so that editing them reruns nothing. What only they import is left out as well.
BYTE_NEUTRAL = {
    "rlhf/runs/checkpoints.py", "rlhf/runs/dependencies.py", "rlhf/runs/launch.py", "rlhf/runs/tracking.py",
    "rlhf/runtime/interrupts.py", "rlhf/secrets/guard.py", "rlhf/secrets/masking.py",
    "stages/__init__.py", "study/__init__.py", "tools/__init__.py", "tools/looking/__init__.py",
    "tools/looking/piped.py", "tools/unlisted.py",
}  # fmt: skip
BY_FILE = ("rlhf/params", "rlhf/runs", "rlhf/secrets")  # folders of which a stage lists files, not the whole


def closure(starts: Iterable[str], root: Path) -> set[str]:
    """Return the files (posix paths from `root`) that the module files `starts` import, themselves included.

    Empty files are left out: they change nothing, and DVC warns about each. Filled ones are there at once.
    """
    found: set[str] = set()
    waiting = [*starts]
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
