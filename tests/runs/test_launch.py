"""What starting a stage says where it cannot start."""

import sys

import pytest

from rlhf.runs import launch
from tests import toys


@pytest.fixture
def started(root, monkeypatch, capsys):
    """A call of a stage's start with some words on its command line; returns the exit code and what was said."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_STAGE", raising=False)

    def start(function, stage, *words):
        monkeypatch.setattr(sys, "argv", [f"{stage}.py", *words])
        with pytest.raises(SystemExit) as ended:
            function(stage, lambda *_: pytest.fail("it began"))
        return ended.value.code, capsys.readouterr().err

    return start


@pytest.mark.parametrize(("words", "got"), [(["r9"], "got r9"), ([], "none is named"), (["r1", "r2"], "got r1 r2")])
def test_a_round_that_params_do_not_list_is_named_beside_those_they_do(started, words, got):
    code, said = started(launch.run_round, "ppo", *words)
    assert code == 1
    assert f"python -m stages.ppo: expected a round of params.yaml: r1 ({got})" in said
    assert "ConnectionError" not in said


@pytest.mark.parametrize("function", [launch.run, launch.run_alone])
def test_words_that_nobody_reads_are_refused(started, function):
    code, said = started(function, "sft", "r1")
    assert code == 1
    assert "takes no arguments (got r1)" in said


def test_a_round_is_handed_on(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["ppo.py", "r1"])
    toys.set_param(root, "runtime.processes", 1)
    found = []
    launch.run_round("ppo", lambda _root, name: found.append(name))
    assert found == ["r1"]
