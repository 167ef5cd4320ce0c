"""Plans beside reality: what is run, and what is written of it."""

import json

import pytest

from rlhf.params.base import ParamsError, read_yaml
from study.scale import __main__ as scale
from study.scale import kept
from tests import toys
from tools import check
from tools.planning import sizes
from tools.planning.timing.against import Beside

ONE = Beside(planned_mb=110.0, measured_mb=100.0, planned_seconds=20.0, measured_seconds=25.0)


@pytest.mark.parametrize("name", ["tiny", "laptop", *scale.CHANGES])
def test_what_is_run_are_params_without_a_mistake(name):
    assert check.mistakes_in(scale.content_of(toys.REPO, name), toys.REPO) == []


def test_gpt2_is_gpt2_at_its_smallest_size():
    params = check.whole(scale.content_of(toys.REPO, "gpt2"))
    model = sizes.of_params(params, toys.REPO)
    assert (model.layers, model.width) == (12, 768)
    assert params.ppo.lora is None


def test_all_stages_of_the_pipeline_are_run_in_their_order():
    stages = read_yaml(toys.REPO / "dvc.yaml")["stages"]
    assert [stage.partition("@")[0] for stage in scale.STAGES] == [*stages]


def test_a_name_that_is_no_preset_is_refused():
    with pytest.raises(ParamsError, match="expected one of"):
        scale.content_of(toys.REPO, "no such")


def test_errors_are_added_to_what_stands_there(tmp_path):
    (tmp_path / "metrics").mkdir()
    (tmp_path / kept.OUT).write_text(json.dumps({"ranks": [2], "plan": {"time": {"laptop": {"sft": 0.5}}}}))
    scale.write(tmp_path, "tiny", {"sft": ONE})
    found = json.loads((tmp_path / kept.OUT).read_text())
    assert found["ranks"] == [2]
    assert found["plan"]["time"] == {"laptop": {"sft": 0.5}, "tiny": {"sft": -0.2}}
    assert found["plan"]["memory"] == {"tiny": {"sft": 0.1}}
    assert found["plan"]["figures"]["tiny"]["sft"] == ONE._asdict()


def test_what_was_measured_before_is_compared_without_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scale.against, "compared", lambda root, folder: ({"sft": ONE}, ["moderation"]))
    monkeypatch.setattr(scale, "run", None)
    assert scale.main(["--only-compare", "tiny"], tmp_path) == 0
    assert scale.main(["pretrained"], tmp_path) == 0  # make real runs it
    assert "moderation" in capsys.readouterr().out
    assert set(json.loads((tmp_path / kept.OUT).read_text())["plan"]["time"]) == {"tiny", "pretrained"}
