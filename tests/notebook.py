"""Stand where a stage's recorder would: one without a store, and MLflow's own without a process of its own."""

import csv
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from rlhf.params.base import read_yaml
from rlhf.runs import lineage, sessions, tracking
from rlhf.runs.recording.recorder import Recorder
from tests import toys


class Notebook:
    """Keeps what a stage says of its run, to be held against its files."""

    link = ""

    def __init__(self):
        self.curve: dict[int, dict[str, float]] = defaultdict(dict)  # by step
        self.inputs_read: list[Path] = []
        self.final: dict[str, float] = {}
        self.deciding: dict[str, float] = {}
        self.columns: list[str] = []
        self.models: list[Path] = []
        self.page: list[str] = []

    def metrics(self, numbers, step):
        self.curve[step].update(numbers)

    def inputs(self, paths, context):
        self.inputs_read += paths

    def results(self, numbers):
        self.final.update(numbers)

    def decide(self, numbers, columns):
        self.deciding.update(numbers)
        self.columns += columns

    def model(self, path):
        self.models.append(path)

    def card(self, path, card):
        self.models.append(path)

    def params(self, params):
        pass

    def describe(self, parts, pictures):
        self.page = [*parts]

    def artifact(self, path):
        pass

    def ready(self):
        pass

    def close(self, status):
        pass


class InProcess(Recorder):
    """A recorder in the test's own process, where a test can break the store."""

    def __init__(self, root, *arguments):
        params = read_yaml(root / "params.yaml")
        super().__init__(root, *arguments, params, (sessions.own_process(), sessions.dvc_process()))

    def metrics(self, numbers, step):
        super().metrics(numbers, step, time.time_ns() // 1_000_000)

    def results(self, numbers):
        super().results(numbers, time.time_ns() // 1_000_000)

    def decide(self, numbers, columns):
        super().decide(numbers, columns, time.time_ns() // 1_000_000)

    def ready(self):
        pass


@contextmanager
def recorded_root(folder: Path, empty_store: Path) -> Iterator[Path]:
    """Make a root with a database; in the block stages record there, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "RANK"):
            patch.delenv(name, raising=False)
        patch.setattr(tracking, "MlflowWorker", InProcess)
        root = toys.root(folder)
        toys.set_param(root, "tracking.enabled", True)
        shutil.copy(empty_store, root / "mlflow.db")
        yield root


def stopped_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType, now: float) -> SimpleNamespace:
    """Let a module's seconds stand still, at the clock's `now`."""
    clock = SimpleNamespace(now=now)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(module, "time", clock)
    return clock


def check_inputs(root: Path, stage: str, recorder: Notebook, files_read: Sequence[Path]) -> None:
    """Hold what a stage has read below data/ and metrics/ against the inputs of its run; its own folder is its work."""
    made = [root / "data" / stage, root / "metrics" / stage, root / "data/model_card"]
    read = [file for file in files_read if any(file.is_relative_to(root / place) for place in ("data", "metrics"))]
    read = [file for file in read if not any(file.is_relative_to(folder) for folder in made)]
    read = [file for file in read if not file.parent.name.startswith(".")]  # a folder that is being written
    assert read
    assert [file for file in read if not any(file.is_relative_to(path) for path in recorder.inputs_read)] == []


def write_lock(root: Path, outs: Mapping[str, Sequence[str]], deps: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write a dvc.lock with the outputs, and dependencies, that stages have at present."""

    def entries(paths: Sequence[str]) -> list[dict[str, str]]:
        return [{"path": path, "md5": lineage.dvc_md5(root / path)} for path in paths]

    read = deps or {}
    stages = {
        stage: {"cmd": "x", "deps": entries(read.get(stage, [])), "outs": entries(paths)}
        for stage, paths in outs.items()
    }
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}), encoding="utf-8")


def curve_of(file: Path) -> dict[int, dict[str, float]]:
    """Return a curve's csv as {step: its other columns}; empty cells are left out."""
    with open(file, encoding="utf-8", newline="") as lines:
        rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(lines)]
    return {int(row.pop("step")): row for row in rows}
