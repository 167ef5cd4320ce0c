"""What a workspace's stages cost is kept over all tries, the peak of each for itself."""

import subprocess
import sys

import pytest

from study.scale import costs
from study.scale.costs import Tried
from tests import toys


@pytest.fixture
def dvc(monkeypatch):
    """A DVC in whose place a test says what a run does: to the lock, to the clock, and whether it fails."""

    class Dvc:
        now, lock, fails, seconds = 0.0, 0, False, 10.0

        def apart(self, folder, stage):
            self.now += self.seconds
            return Tried(512.4, subprocess.CalledProcessError(1, [stage]) if self.fails else None)

    made = Dvc()
    monkeypatch.setattr(costs, "apart", made.apart)
    monkeypatch.setattr(costs.lineage, "locked", lambda folder: {"sft": {"outs": made.lock}})
    monkeypatch.setattr(costs.time, "monotonic", lambda: made.now)
    return made


def test_a_stage_that_was_broken_off_has_cost_both_tries(dvc, tmp_path):
    dvc.fails = True
    with pytest.raises(subprocess.CalledProcessError):
        costs.reproduce(tmp_path, ["sft"])
    assert costs.read(tmp_path) == {"sft": {"seconds": 10.0, "peak_mb": 512, "whole": False}}
    dvc.fails, dvc.seconds = False, 7.0
    costs.reproduce(tmp_path, ["sft"])
    assert costs.read(tmp_path) == {"sft": {"seconds": 17.0, "peak_mb": 512, "whole": True}}


def test_a_stage_that_is_up_to_date_costs_nothing_more(dvc, tmp_path):
    costs.reproduce(tmp_path, ["sft"])
    costs.reproduce(tmp_path, ["sft"])
    assert costs.read(tmp_path)["sft"]["seconds"] == 10.0


def test_a_stage_made_anew_costs_the_last_time(dvc, tmp_path, monkeypatch):
    costs.reproduce(tmp_path, ["sft"])
    locks = iter([{"sft": 1}, {"sft": 2}])
    monkeypatch.setattr(costs.lineage, "locked", lambda folder: next(locks))
    dvc.seconds = 4.0
    costs.reproduce(tmp_path, ["sft"])
    assert costs.read(tmp_path)["sft"]["seconds"] == 4.0


MEASURES_TWO = """
import subprocess, sys
from pathlib import Path
from study.scale import costs

def reproduce(folder, targets):
    megabytes = {"large": 900, "small": 1}[targets[0]]
    subprocess.run([sys.executable, "-c", f"held = b'x' * ({megabytes} * 2**20)"], check=True)

costs.workspace.reproduce = reproduce
print(*(costs.apart(Path("."), stage).peak_mb for stage in ("large", "small")))
"""


@pytest.mark.process
def test_the_peak_of_a_small_stage_is_not_that_of_a_large_one_before_it():
    """In a process of its own: a child's peak is at least what its parent held when it was forked."""
    words = [sys.executable, "-c", MEASURES_TWO]
    said = subprocess.run(words, check=True, capture_output=True, text=True, cwd=toys.REPO).stdout
    large, small = map(float, said.split())
    assert large > 900
    assert small < large - 200


@pytest.mark.process
def test_a_stage_that_fails_says_so(tmp_path, monkeypatch):
    def reproduce(folder, targets):
        subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)

    monkeypatch.setattr(costs.workspace, "reproduce", reproduce)
    assert costs.apart(tmp_path, "sft").error.returncode == 3
