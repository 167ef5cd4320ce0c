"""Comparing what fresh clones make; the clones themselves are made in the integration tests."""

import json

import pytest

from rlhf.runs import machine
from tests import toys
from tools import presets, reproduce


def test_runs_that_agree_and_runs_that_differ():
    same = reproduce.compared({"dvc.lock": {"a": "1", "b": "2"}, "clone 1": {"a": "1", "b": "2"}})
    assert (same["byte_identical"], same["differing"]) == (True, {})
    assert same["artifacts"] == {"a": "1", "b": "2"}
    other = reproduce.compared({"dvc.lock": {"a": "1", "b": "2"}, "clone 1": {"a": "1", "b": "3", "c": "4"}})
    assert not other["byte_identical"]
    assert other["differing"] == {
        "b": {"dvc.lock": "2", "clone 1": "3"}, "c": {"dvc.lock": "missing", "clone 1": "4"}
    }  # fmt: skip


@pytest.mark.parametrize(("made", "code"), [("1", 0), ("2", 1)])
def test_the_result_is_written_with_the_machine(root, monkeypatch, capsys, made, code):
    monkeypatch.setattr(reproduce, "flat_outs", lambda *_: {"data/sft": "1"})
    monkeypatch.setattr(reproduce, "remade", lambda *_: {"data/sft": made})
    assert reproduce.main([], root) == code
    content = json.loads((root / "metrics/reproducibility.json").read_text())
    assert content["byte_identical"] is (code == 0)
    assert content["preset"] == "params.yaml"
    assert content["machine"] == machine.describe()
    assert ("differs: data/sft" in capsys.readouterr().out) is (code == 1)


def test_the_default_is_known_by_its_presets_name():
    assert presets.name_of(toys.REPO) == "laptop"


def test_an_unknown_preset_is_named(root, capsys):
    assert reproduce.main(["--preset", "nowhere"], root) == 2
    assert "--preset: expected one of" in capsys.readouterr().err


def test_the_machine_is_described_by_what_bytes_depend_on():
    found = machine.describe()
    assert found["torch"].startswith("2.")
    assert all(found[name] for name in ("processor", "cores", "system", "python", "transformers"))
