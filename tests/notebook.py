"""Stands where MLflow's recorder would: keeps what a stage says of its run, to be held against its files."""

import csv
from collections import defaultdict
from pathlib import Path


class Notebook:
    """Has the methods of a recorder and no store."""

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


def curve_of(file: Path) -> dict[int, dict[str, float]]:
    """Return a curve's csv as {step: its other columns}; empty cells are left out."""
    with open(file, encoding="utf-8", newline="") as lines:
        rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(lines)]
    return {int(row.pop("step")): row for row in rows}
