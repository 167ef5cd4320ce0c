"""Plans beside what was measured."""

import json
import shutil

import pytest

from rlhf.params.base import ParamsError
from tests import toys
from tests.tools.planning.shapes import params
from tests.tools.planning.timing.test_rates import RATES
from tools.planning import whole
from tools.planning.timing import against, calibration
from tools.planning.timing.against import Beside


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    from tools.planning.timing.rates import Line
    from tools.planning.work import ADAPT, LEARN

    updates = {"adamw": Line(7, 0.5), "muon": Line(7, 0.5)}
    known = RATES._replace(updates=updates, passes=RATES.passes | {ADAPT: RATES.passes[LEARN]})
    monkeypatch.setattr(calibration, "measured", lambda *_: known)
    shutil.copy(toys.REPO / "presets/tiny.yaml", tmp_path / "params.yaml")
    costs = {
        "collect_prompts": {"seconds": 3.0, "peak_mb": 100, "whole": True},
        "sft": {"seconds": 50.0, "peak_mb": 500, "whole": True},
        "ppo@r1": {"seconds": 80.0, "peak_mb": 600, "whole": True},
        "evaluate": {"seconds": 1.0, "peak_mb": 600, "whole": False},
    }
    (tmp_path / "costs.json").write_text(json.dumps(costs))
    return tmp_path


def test_errors_are_shares_of_what_was_measured():
    one = Beside(planned_mb=110, measured_mb=100, planned_seconds=20, measured_seconds=25)
    assert one.memory == pytest.approx(0.1)
    assert one.time == pytest.approx(-0.2)


def test_stages_that_ended_are_compared_and_those_without_a_model_named(workspace):
    found, left = against.compared(workspace.parent, workspace)
    assert ([*found], left) == (["sft", "ppo@r1"], ["collect_prompts"])
    plan = whole.of_params(params(), workspace)
    assert found["ppo@r1"].planned_mb == plan.held["ppo"].total / 2**20
    assert found["ppo@r1"].measured_mb == 600
    assert found["sft"].measured_seconds == 50
    lines = [*against.lines(workspace.parent, workspace)]
    assert [line.split()[0] for line in lines] == ["stage", "sft", "ppo@r1", "not"]


def test_a_folder_that_nothing_measured_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="python -m study.scale"):
        [*against.lines(tmp_path, tmp_path / "nothing")]
    (tmp_path / "costs.json").write_text("{")
    with pytest.raises(ParamsError, match="not JSON"):
        [*against.lines(tmp_path, tmp_path)]
