"""Workspaces: a copy of the pipeline with other params, run by DVC, on the cache of this repository.

What an earlier workspace or the main pipeline has made is taken from the cache and not made again. A workspace stays
where it is, with the states of a stage that was broken off, until all of it is made: run again, it goes on.
"""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from rlhf.evaluation.policy_measures import Policy, Scorers
from rlhf.evaluation.statistics import Bootstrap
from rlhf.models import loading
from rlhf.params.base import ParamsError
from rlhf.params.evaluate import EvaluateInputs
from rlhf.preferences.rewards import RewardScorer
from rlhf.rewards import weighted
from rlhf.runs import lineage
from rlhf.runtime.files import write_text
from study.params import Forms, Settings
from tools import check, dvc_yaml, inputs

FOLDER = Path(".study")
COPIED = ("rlhf", "stages", "tools", "dvc.yaml", "data/dvc.yaml", "dvc.lock", ".dvcignore")
EXPERIMENT = "study"


class Finished(NamedTuple):
    """A workspace whose stages have run, and what its measures need besides."""

    folder: Path
    params: EvaluateInputs
    settings: Settings
    held_out: Path  # folder with the held-out comparisons that the cells of a seed share
    forms: Forms

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def last_round(self) -> str:
        return list(self.params.rounds)[-1]

    def scorers(self) -> Scorers:
        """Return the last round's reward model as who scores."""
        scorer = RewardScorer(self.data / "reward_model" / self.last_round, self.params.runtime)
        return Scorers(weighted.alone(scorer), scorer, self.params, Bootstrap(2000, 0.95, 0))

    def folder_of(self, policy: str) -> Path:
        return self.data / place_of(policy, self.last_round)

    def policy(self, name: str) -> Policy:
        return Policy(name, *loading.load_policy(self.folder_of(name), self.params.runtime))


def place_of(policy: str, last_round: str) -> str:
    """Return where below data/ the model of a policy lies; of PPO, the last round's."""
    return {"base": "pretrain", "ppo": f"ppo/{last_round}"}.get(policy, policy)


def prepare(root: Path, name: str, content: Mapping[str, Any]) -> Path:
    """Lay out the workspace `name` below `root`, with these params; return its folder.

    Raises ParamsError, with every mistake, before anything is written.
    """
    folder = root / FOLDER / name
    store = {"uri": f"sqlite:///{(root / 'mlflow.db').resolve()}", "experiment": EXPERIMENT}
    content = {**content, "tracking": {**content["tracking"], **store}}
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    _copy(root / "examples", folder / "examples")  # params may name files there
    mistakes = check.mistakes_in(content, folder)
    if mistakes:
        if is_new:
            remove(folder)
        raise ParamsError("\n".join(mistake.replace("params.yaml", f"study cell '{name}'", 1) for mistake in mistakes))
    for part in COPIED if is_new else COPIED[:5]:
        _copy(root / part, folder / part)
    if is_new and (root / "metrics").exists():
        _copy(root / "metrics", folder / "metrics")
        shutil.rmtree(folder / "metrics/study", ignore_errors=True)
    write_text(folder / ".dvc/config", _config(root))
    with open(folder / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(content, file)
    inputs.bring_up_to_date(check.whole(content), folder)
    if is_new:
        _dvc(folder, "checkout", "--allow-missing", "--quiet", check=False)
    return folder


def reproduce(folder: Path, targets: Sequence[str]) -> None:
    """Run these stages of a workspace and all that they build on. Raises CalledProcessError where one fails."""
    _dvc(folder, "repro", *targets)


def broken_off(error: subprocess.CalledProcessError) -> str:
    """Say that a run has failed, whose stage has said why."""
    return f"{shlex.join(map(str, error.cmd))} ended with {error.returncode}; run again, it goes on"


def remove(folder: Path) -> None:
    """Delete a workspace: all that it made is in the cache."""
    shutil.rmtree(folder, ignore_errors=True)


def _config(root: Path) -> str:
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    cache = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    quiet = "analytics = false\n    check_update = false\n    autostage = false\n    no_scm = true"
    return f"[core]\n    {quiet}\n[cache]\n    dir = {cache}\n"


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _dvc(folder: Path, *words: str, check: bool = True) -> None:
    """Run DVC in the workspace as if nobody had called us: a stage finds the DVC that runs it by its environment.

    MLflow's run of the pipeline takes the workspace's name.
    """
    environment = lineage.environment_outside_dvc()
    environment["DVC_EXP_NAME"] = folder.name
    environment["PATH"] = dvc_yaml.path_with_this_python()
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, env=environment, check=check)
