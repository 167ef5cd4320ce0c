"""Stand where a stage's recorder would: one without a store, and MLflow's own without a process of its own."""

import csv
import time
from collections import defaultdict
from pathlib import Path

from rlhf.runs import sessions
from rlhf.runs.recorder import Recorder


class Notebook:
    """Keeps what a stage says of its run, to be held against its files."""

    link = ""

    def __init__(self):
        self.curve: dict[int, dict[str, float]] = defaultdict(dict)  # by step
        self.inputs_read: list[Path] = []
        self.checkpoints: list[Path] = []

    def metrics(self, numbers, step):
        self.curve[step].update(numbers)

    def inputs(self, paths, context):
        self.inputs_read += paths

    def checkpoint(self, path, beside=()):
        self.checkpoints.append(path)

    def params(self, params):
        pass

    def describe(self, markdown):
        pass

    def artifact(self, path):
        pass

    def ready(self):
        pass

    def close(self, status):
        pass


class InProcess(Recorder):
    """A recorder in the test's own process, where a test can break the store."""

    def __init__(self, *arguments):
        super().__init__(*arguments, sessions.own_process(), sessions.dvc_process())

    def metrics(self, numbers, step):
        super().metrics(numbers, step, time.time_ns() // 1_000_000)

    def ready(self):
        pass


def curve_of(file: Path) -> dict[int, dict[str, float]]:
    """Return a curve's csv as {step: its other columns}; empty cells are left out."""
    with open(file, encoding="utf-8", newline="") as lines:
        rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(lines)]
    return {int(row.pop("step")): row for row in rows}
