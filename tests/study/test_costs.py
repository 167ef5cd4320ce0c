"""What a workspace's stages cost is kept over all tries."""

import subprocess
from types import SimpleNamespace

import pytest

from study.pretrained import costs


@pytest.fixture
def dvc(monkeypatch):
    """A DVC in whose place a test says what a run does: to the lock, to the clock, and whether it fails."""

    class Dvc:
        now, lock, fails, seconds = 0.0, 0, False, 10.0

        def reproduce(self, folder, targets):
            self.now += self.seconds
            if self.fails:
                raise subprocess.CalledProcessError(1, targets)

    made = Dvc()
    monkeypatch.setattr(costs.workspace, "reproduce", made.reproduce)
    monkeypatch.setattr(costs.lineage, "locked", lambda folder: {"sft": {"outs": made.lock}})
    monkeypatch.setattr(costs.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(costs.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=512.4 * 1024))
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
