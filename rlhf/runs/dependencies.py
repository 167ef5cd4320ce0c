"""What DVC will record that a stage's outputs were made with: its params, code and data, as they are when it begins.

DVC reads them again when the stage has ended. What was edited meanwhile would stand in dvc.lock and in the run cache
beside outputs that were made without it, and `dvc status` would call them up to date.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from rlhf.params.base import ParamsError, read_yaml
from rlhf.runs import lineage, mlflow_store
from rlhf.runs.stage_name import StageName
from rlhf.runtime.flat import below, differing, flatten
from rlhf.secrets import guard

PARAMS, PIPELINE = "params.yaml", "dvc.yaml"
CODE = "dvc.code"  # tag of a run: path:md5, shortened, of the code that a stage, or all of a pipeline's, began with
SHORT = 8  # characters of such an md5
LARGE = 1 << 24  # bytes; of files from here on size and time are compared, not the content
SECONDS_BETWEEN_LOOKS = 5.0


class Stamp(NamedTuple):
    """A file's size in bytes, its time in nanoseconds, and its md5 unless it is large."""

    size: int
    modified: int
    md5: str | None


class Dependencies:
    """The params and files that dvc.yaml lists for a stage, as they were when this was made."""

    def __init__(self, root: Path, name: StageName):
        self._root, self._title = root, name.title
        content = read_yaml(root / PARAMS)
        self._keys, self._paths = listed(root, name, content)
        self._params = below(flatten(content), self._keys)
        self._files = {path: _stamp(path) for path in _files(self._paths)}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Warn within seconds of a change during the block, and raise ValueError behind it if it is not undone."""
        left = threading.Event()
        threading.Thread(target=self._watch, args=[left], daemon=True).start()
        try:
            yield
        finally:
            left.set()
        self.refuse_changes()

    def changes(self) -> list[str]:
        """Return what has been changed since, in words; nothing if DVC would record what was there."""
        return [*self._changed_params(), *self._changed_files()]

    def refuse_changes(self) -> None:
        """Raise ValueError with the way out where DVC would record other params, code or data than were used."""
        found = self.changes()
        if found:
            raise ValueError(
                f"{'; '.join(found)}. DVC would record it as what the outputs were made with: they are refused. Undo "
                f"it and type dvc repro {self._title}: a training that kept its states is done at once. Or leave it "
                "and type the same: they are made anew. To edit while a pipeline runs, run that in a copy: dvc exp run "
                "--temp"
            )

    def _watch(self, left: threading.Event) -> None:
        """Warn once of each change that two looks have seen: a file may be half written at one."""
        before, told = set[str](), set[str]()
        while not left.wait(SECONDS_BETWEEN_LOOKS):
            with suppress(OSError):  # a file that goes while we look; the next look says so
                seen = self.changes()
                new = [change for change in seen if change in before - told]
                before, told = {*seen}, told | {*new}
                for change in new:
                    text = f"{change}; undo it before the stage ends, or what it makes is refused"
                    guard.say(f"WARNING: {text}")

    def _changed_params(self) -> Iterator[str]:
        try:
            now = below(flatten(read_yaml(self._root / PARAMS)), self._keys)
        except (ParamsError, OSError) as error:
            yield f"{PARAMS} can be read no longer ({error})"
            return
        for key, (before, after) in differing(self._params, now).items():
            yield f"{PARAMS}: {key} became {after}, while {self._title} runs with {before}"

    def _changed_files(self) -> Iterator[str]:
        now = _files(self._paths)
        for path in dict.fromkeys([*self._files, *now]):
            if path not in self._files:
                change = "is new"
            elif path not in now:
                change = "was removed"
            elif _is_same(path, self._files[path]):
                continue
            else:
                change = "was changed"
            yield f"{lineage.named(self._root, path)} {change} while {self._title} runs"


def of_dvc(root: Path, name: StageName) -> Dependencies | None:
    """Return what DVC will record for this stage, if it is DVC that runs it."""
    asked = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
    return Dependencies(root, name) if asked == name.title and (root / PIPELINE).exists() else None


def listed(root: Path, name: StageName, params: Mapping[str, Any]) -> tuple[list[str], list[Path]]:
    """Return the dotted names of a stage's params, and the paths of its dependencies, as dvc.yaml lists them, with its
    ${...} filled in."""
    return _listed(read_yaml(root / PIPELINE)["stages"][name.stage], root, name, params)


class Graph(NamedTuple):
    """What dvc.yaml says of all its stages."""

    code: dict[str, str]  # {path: md5} of the code that they list
    frozen: list[str]  # the stages that `dvc freeze` keeps from running


def graph(root: Path, params: Mapping[str, Any]) -> Graph:
    """Return what dvc.yaml says; nothing where there is none."""
    stages = read_yaml(root / PIPELINE)["stages"] if (root / PIPELINE).exists() else {}
    frozen = [name for name, entry in stages.items() if entry.get("do", entry).get("frozen")]
    paths = set[Path]()
    for stage, entry in stages.items():
        for round_name in params.get("rounds", {}) if "do" in entry else [None]:
            paths.update(_listed(entry, root, StageName(stage, round_name), params)[1])
    return Graph(_code_among(root, paths), frozen)


def code(root: Path, name: StageName, params: Mapping[str, Any]) -> dict[str, str]:
    """Return {path: md5} of the code that dvc.yaml lists for a stage; nothing where it does not list the stage."""
    stages = read_yaml(root / PIPELINE)["stages"] if (root / PIPELINE).exists() else {}
    return _code_among(root, _listed(stages[name.stage], root, name, params)[1]) if name.stage in stages else {}


def code_tag(code: Mapping[str, str]) -> dict[str, str]:
    """Return the tag that says of a run which code, {path: md5}, it began with; none where there is none."""
    words = " ".join(f"{path}:{md5[:SHORT]}" for path, md5 in code.items())
    return {CODE: words[: mlflow_store.LONGEST_TAG]} if words else {}


def code_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return {path: the beginning of its md5} of the code that a run's tags say it began with."""
    return dict(one.rsplit(":", 1) for one in tags.get(CODE, "").split(" ") if ":" in one)


def _code_among(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    names = {lineage.named(root, path): path for path in paths if path.exists()}
    return {name: lineage.dvc_md5(names[name]) for name in sorted(names) if name.startswith(lineage.CODE_FOLDERS)}


def _listed(
    entry: Mapping[str, Any], root: Path, name: StageName, params: Mapping[str, Any]
) -> tuple[list[str], list[Path]]:
    values = dict(params)
    if name.round_name is not None:
        entry = entry["do"]
        values |= {"key": name.round_name, "item": params["rounds"][name.round_name]}
    flat = flatten(values)
    keys = [_filled(key, flat) for key in entry.get("params", []) if isinstance(key, str)]
    other_files = [path for one in entry.get("params", []) if not isinstance(one, str) for path in one]
    return keys, [root / _filled(path, flat) for path in [*entry.get("deps", []), *other_files]]


def _filled(text: str, flat: Mapping[str, Any]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda found: str(flat[found[1].strip()]), text)


def _files(paths: Sequence[Path]) -> list[Path]:
    """Return the files that these paths are, or hold."""
    found = list[Path]()
    for path in paths:
        if path.is_file():
            found.append(path)
        for folder, folders, names in os.walk(path):
            folders[:] = sorted({*folders} - lineage.IGNORED)
            found += [Path(folder, name) for name in sorted(names)]
    return found


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    md5 = lineage.dvc_md5(path) if status.st_size < LARGE else None
    return Stamp(status.st_size, status.st_mtime_ns, md5)


def _is_same(path: Path, before: Stamp) -> bool:
    status = path.stat()
    if (status.st_size, status.st_mtime_ns) == before[:2]:
        return True
    return before.md5 is not None and lineage.dvc_md5(path) == before.md5
