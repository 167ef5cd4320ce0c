"""The line about changed figures, for answers of `dvc status` that are given."""

import json
import sys
from types import SimpleNamespace

import pytest

from rlhf.runs import changes

NOW = "seed: 2\nsft: {rate: 0.5, new: 1, deep: {same: 1, other: 3}}\nsft2: 5\nnovel: {a: 1}\n"


@pytest.fixture
def dvc(tmp_path, monkeypatch):
    """Set what `dvc status` answers, beside a dvc.lock; returns what it was called with."""
    calls = []

    def answers(content, code: int = 0, error: str = "", locked: dict | None = None) -> list:
        def run(command, **named):
            calls.append((command, named["cwd"]))
            return SimpleNamespace(returncode=code, stdout=json.dumps(content), stderr=error)

        monkeypatch.setattr(changes, "subprocess", SimpleNamespace(run=run))
        (tmp_path / "dvc.lock").write_text(json.dumps({"stages": locked or {}}))
        return calls

    return answers


def deps(*names: str, state: str = "modified") -> dict:
    return {"changed deps": dict.fromkeys(names, state)}


@pytest.mark.parametrize(("count", "more"), [(1, ""), (4, ""), (5, " and 1 more"), (7, " and 3 more")])
def test_four_changes_are_named_and_the_rest_counted(dvc, tmp_path, count, more):
    names = [f"file{number}" for number in range(count)]
    calls = dvc({"sft": [deps(*names)]})
    assert changes.in_a_line(tmp_path, []) == (
        f"These figures are of an earlier run; changed since: {', '.join(names[:4])}{more} "
        "(`dvc status dvc.yaml` lists what, `dvc repro` makes new ones)"
    )
    assert calls == [([sys.executable, "-m", "dvc", "status", "--json", "dvc.yaml"], tmp_path)]


@pytest.mark.parametrize(("error", "words"), [("ERROR: no DVC here\n", "ERROR: no DVC here"), ("", "exit code 3")])
def test_where_dvc_fails_its_words_or_its_code_are_shown(dvc, tmp_path, error, words):
    dvc({}, code=3, error=error)
    assert changes.in_a_line(tmp_path, []) == (
        f"Whether these figures belong to this params.yaml and code is not known. dvc status: {words}"
    )


def test_each_change_is_named_once_params_first(dvc, tmp_path):
    old = {"seed": 1, "sft": {"rate": 0.5, "gone": 1, "deep": {"same": 1, "other": 2}}, "sft2": 1}
    (tmp_path / "params.yaml").write_text(NOW)
    status = {"params.yaml": {"seed": "modified", "sft": "modified", "novel": "new"}}
    answer = {
        "sft": ["changed command", deps("a.py"), {"changed deps": status}],
        "ppo@r1": [deps("a.py", "data/x"), deps("gone", state="deleted"), {"changed outs": {"data/y": "not in cache"}}],
        "judge": ["changed command", {"changed outs": {"data/z": "modified"}}],
    }
    dvc(answer, locked={"sft": {"params": {"params.yaml": old}}})
    assert changes.changed(tmp_path) == [
        "seed", "sft.gone", "sft.deep.other", "sft.new", "novel",
        "command of sft", "a.py", "data/x", "command of judge", "data/z",
    ]  # fmt: skip


@pytest.mark.parametrize("locked", [{}, {"new": {}}, {"new": {"params": {}}}, {"new": {"params": {"params.yaml": {}}}}])
def test_a_stage_of_which_no_params_are_locked_names_whole_sections(dvc, tmp_path, locked):
    (tmp_path / "params.yaml").write_text("sft: {rate: 0.5}\n")
    dvc({"new": [{"changed deps": {"params.yaml": {"sft": "new"}}}]}, locked=locked)
    assert changes.changed(tmp_path) == ["sft"]
