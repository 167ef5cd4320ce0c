"""One trial's stage, alone: in a folder with the params that it changes and links to a run's artifacts, no others.

What the stage does not read is not there, least of all the test prompts.
"""

import hashlib
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from rlhf.params.base import ParamsError
from rlhf.runs import dependencies, lineage
from rlhf.runs.stage_name import StageName
from rlhf.runtime.files import write_json

TRAINED = "trained.json"  # in a trial's folder: its stage has ended, and what it cost
MEASURED = tuple(  # what the answers and their scores are made with
    f"data/{place}" for place in ("pretrain", "sft", "feedme", "collect_prompts/prompts.validation.jsonl")
)
EXAMPLES = "examples"  # params may name files there


class Run(NamedTuple):
    """A finished run of the default: its folder, and what its params.yaml says."""

    folder: Path
    content: dict[str, Any]

    @property
    def seed(self) -> int:
        return self.content["seed"]

    @property
    def last_round(self) -> str:
        return [*self.content["rounds"]][-1]

    def stage(self, method: str) -> StageName:
        return StageName(method, self.last_round if method == "ppo" else None)


def artifacts(root: Path, run: Run, method: str) -> list[str]:
    """Return the paths below data/ that dvc.yaml lists for a method's stage."""
    paths = dependencies.listed(root, run.stage(method), run.content)[1]
    found = [path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root / "data")]
    return sorted(found)


def md5s(root: Path, run: Run, method: str) -> dict[str, str]:
    """Return {path: md5} of all that a trial is made with. Raises ParamsError naming what is not there."""
    paths = dict.fromkeys([*artifacts(root, run, method), *MEASURED])
    missing = [path for path in paths if not (run.folder / path).exists()]
    if missing:
        raise ParamsError(f"{run.folder / missing[0]}: not there; finish this run first: cd {run.folder} && dvc repro")
    return {path: lineage.dvc_md5(run.folder / path) for path in paths}


def digest(content: Any) -> str:
    """Return the beginning of the md5 of JSON content."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:10]


def train(root: Path, folder: Path, run: Run, method: str, made_with: Mapping[str, Any]) -> float:
    """Run the stage in `folder`, unless it has ended there with all of this; return its processor seconds.

    made_with: `params`, all of them, and what else the result depends on. Raises CalledProcessError where it fails.
    """
    done, key = folder / TRAINED, digest(made_with)
    known = json.loads(done.read_text(encoding="utf-8")) if done.exists() else {}
    if known.get("key") == key:
        return known["processor_seconds"]
    lay_out(root, folder, run, method, made_with["params"])
    name = run.stage(method)
    words = [sys.executable, "-m", f"stages.{method}", *([name.round_name] if name.round_name else [])]
    seconds = timed(words, folder, root)
    write_json(done, {"key": key, "processor_seconds": seconds})
    return seconds


def lay_out(root: Path, folder: Path, run: Run, method: str, params: Mapping[str, Any]) -> None:
    """Make the folder anew: params.yaml, and a link to each of the stage's artifacts."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in [*artifacts(root, run, method), EXAMPLES]:
        source = (run.folder / path).resolve()
        if source.exists():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(source)
    with open(folder / "params.yaml", "w", encoding="utf-8") as file:
        YAML(typ="safe").dump(dict(params), file)


def timed(words: Sequence[str], folder: Path, root: Path) -> float:
    """Run a stage of this repository's code in a folder; return the seconds that processors spent on it."""
    environment = lineage.environment_outside_dvc() | {"PYTHONPATH": str(root.resolve())}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, cwd=folder, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, 1)
