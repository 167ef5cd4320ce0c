"""Presets by their names: the files of presets/, each a whole params.yaml."""

from pathlib import Path

from rlhf.params.base import ParamsError


def path_of(root: Path, name: str, asked_by: str) -> Path:
    """Return a preset's file. Raises ParamsError, naming the place that asked for it, where there is none."""
    path = root / f"presets/{name}.yaml"
    if not path.exists():
        names = ", ".join(sorted(other.stem for other in path.parent.glob("*.yaml")))
        raise ParamsError(f"{asked_by}: expected one of {names} (got {name!r})")
    return path


def name_of(root: Path) -> str:
    """Return the name of the preset that params.yaml is; "params.yaml" where it is none."""
    content = (root / "params.yaml").read_bytes()
    return next(
        (path.stem for path in (root / "presets").glob("*.yaml") if path.read_bytes() == content), "params.yaml"
    )
