"""dvc.yaml as a text that people write: read with its comments, and written back with a list's entries changed."""

import os
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from rlhf.params.base import ParamsError, is_mapping, read_yaml
from rlhf.runtime.files import write_text


def read(path: Path) -> Any:
    """Return a pipeline with its comments. Raises ParamsError where there is none to be read."""
    stages = read_yaml(path).get("stages")
    if not is_mapping(stages) or not all(map(is_mapping, stages.values())):
        raise ParamsError(f"{path}: expected a mapping of stages; git checkout -- {path.name}")
    return _yaml().load(path.read_text(encoding="utf-8"))


def write(path: Path, pipeline: Any) -> None:
    """Write a pipeline that `read` returned; what was not changed keeps its bytes."""
    text = StringIO()
    _yaml().dump(pipeline, text)
    write_text(path, text.getvalue())


def definition(pipeline: Any, stage: str) -> Any:
    """Return the mapping with cmd, deps, ... of a stage, that of one round for a stage of every round.

    Raises ParamsError where it is not there.
    """
    entry = pipeline["stages"].get(stage, {})
    found = entry.get("do", entry)
    if not is_mapping(found) or not found:
        raise ParamsError(f"dvc.yaml: stages.{stage}: expected cmd, deps and outs; git checkout -- dvc.yaml")
    return found


def deps_of(pipeline: Any, stage: str) -> Any:
    """Return the list of a stage's deps. Raises ParamsError where there is none."""
    deps = definition(pipeline, stage).get("deps")
    if not isinstance(deps, list):
        raise ParamsError(f"dvc.yaml: stages.{stage}.deps: expected a list; git checkout -- dvc.yaml")
    return deps


def set_entries(entries: Any, wanted: Sequence[str], comment: str | None = None) -> None:
    """Give a list these entries, in this order; those that stay keep their comments, new ones get `comment`."""
    for index in reversed(range(len(entries))):
        if entries[index] not in wanted:
            del entries[index]
    kept = [entry for entry in wanted if entry in entries]
    if list(entries) != kept:  # another order
        entries[:] = kept
    for index, entry in enumerate(wanted):
        if entry not in kept:
            entries.insert(index, entry)
            if comment:
                entries.yaml_add_eol_comment(comment, index)


def comment_of(entries: Any, index: int) -> str:
    """Return what stands behind an entry of a list, without its #; "" where nothing does."""
    comments = entries.ca.items.get(index)
    lines = comments[0].value.splitlines() if comments and comments[0] else []
    return lines[0].strip("# ") if lines else ""


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=2, offset=0)
    return yaml


def path_with_this_python() -> str:
    """Return a $PATH on which `dvc`, and the `python` of dvc.yaml's commands, are this interpreter's."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
