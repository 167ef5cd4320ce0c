"""One stage's run in MLflow: each thing that a stage says, as the store then holds it."""

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlhf.params.base import read_yaml
from rlhf.params.tracking import Tracking
from rlhf.runs import lineage, machine, mlflow_store, sessions
from rlhf.runs.recording import outbox, pipeline_runs, recorder
from rlhf.runs.recording.attempts import Training
from rlhf.runs.recording.recorder import Recorder
from rlhf.runs.stage_name import StageName
from tests.runs.test_tracking import model_folder, write_params

LIMIT = 0.001  # megabytes of a model whose files are copied


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    be_plain(monkeypatch)


def be_plain(monkeypatch) -> None:
    """Let runs be of one machine, begun now by a DVC that lives, whatever the tests run in."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "tags", lambda: {"machine": "an abacus"})
    monkeypatch.setattr(sessions, "is_gone", lambda _: False)
    monkeypatch.setattr(sessions, "began", lambda _: time.time_ns() // 1_000_000)
    monkeypatch.setattr(sessions, "command_of", lambda _: ["/venv/bin/python", "/venv/bin/dvc", "repro"])


@pytest.fixture
def root(tmp_path, empty_store):
    return new_root(tmp_path, empty_store)


def new_root(parent: Path, empty_store: Path) -> Path:
    folder = parent / "a repository"
    folder.mkdir()
    write_params(folder)
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


def opened(
    root: Path, stage: str = "ppo", round_name: str | None = "r1", key: str = "", session: str = "dvc", steps: int = 0
) -> Recorder:
    settings = Tracking(enabled=True, uri=None, experiment="rlhf", max_model_mb=LIMIT, log_every=1)
    params = read_yaml(root / "params.yaml")
    return Recorder(root, StageName(stage, round_name), settings, Training(key, steps), params, ("the stage", session))


def held(run: Recorder):
    """Return what the store holds of a run, and of its parent."""
    return run._client.get_run(run.run_id), run._client.get_run(run._pipeline.run_id)


def artifacts(root: Path) -> set[str]:
    """Return the files below mlartifacts/, without the folders of runs and models that hold them."""
    files = [file for file in (root / "mlartifacts").rglob("*") if file.is_file()]
    return {file.as_posix().partition("/artifacts/")[2] for file in files}


def set_clock(monkeypatch, now: float = 1000.0) -> SimpleNamespace:
    """Let the recorder's seconds stand still."""
    clock = SimpleNamespace(now=now, time_ns=lambda: 1_234_567_999_999)
    clock.monotonic = lambda: clock.now
    for module in (recorder, pipeline_runs, outbox):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_run_and_its_parent_say_where_they_come_from(root, monkeypatch):
    for name, value in {"USER": "me", "WORLD_SIZE": "3", "DVC_EXP_NAME": "bold-idea"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(lineage, "commit_of", lambda where: lineage.Commit(f"sha of {where.name}", ["a.py", "b.py"]))
    run = opened(root)
    child, parent = held(run)
    both = {
        "mlflow.user": "me",
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.git.commit": "sha of a repository",
        "git.dirty": "true",
        "git.changed": "a.py b.py",
        "processes": "3",
        "dvc.exp": "bold-idea",
        "dvc.home": str(root),
        "machine": "an abacus",
    }
    own = {"mlflow.parentRunId": parent.info.run_id, "dvc.stage": "ppo@r1", "dvc.process": "the stage"}
    assert child.data.tags == both | own | {"mlflow.runName": "ppo@r1"}
    session = {"dvc.session": "dvc bold-idea", "dvc.process": "dvc", "stage.ppo/r1": run.run_id}
    session |= {"dvc.command": "python dvc repro", "params.preset": "", "params.changed": ""}
    assert parent.data.tags == both | session | {"mlflow.runName": "bold-idea @sha of +"}
    assert (child.info.run_name, child.info.status) == ("ppo@r1", "RUNNING")
    uri = f"http://localhost:5000/#/experiments/{child.info.experiment_id}/runs/{run.run_id}"
    assert run.link == f"{uri}?workflowType=machine_learning"


def test_a_pipeline_names_code_that_changed_after_it_began(root, monkeypatch):
    for changed in ([], ["b.py"], ["a.py"], []):
        monkeypatch.setattr(lineage, "commit_of", lambda _, changed=changed: lineage.Commit("sha", changed))
        run = opened(root, "sft", None)
    parent = held(run)[1]
    assert (parent.data.tags["git.dirty"], parent.data.tags["git.changed"]) == ("true", "a.py b.py")
    assert parent.info.run_name == "params.yaml @sha+"


@pytest.mark.parametrize(
    ("between", "changed", "mark"),
    [
        ("stages/sft.py\nmetrics/sft.json\ndvc.lock\n", "commit:other stages/sft.py", "+"),
        ("params.yaml\n", "commit:other params.yaml", ""),
        ("", "commit:other", ""),
    ],
)
def test_a_pipeline_names_what_was_committed_after_it_began(root, monkeypatch, between, changed, mark):
    (root / "dvc.lock").write_text(json.dumps({"stages": {"sft": {"outs": [{"path": "metrics/sft.json", "md5": ""}]}}}))
    monkeypatch.setattr(lineage, "git", lambda *_: between)
    for sha in ("sha", "other", "other"):
        monkeypatch.setattr(lineage, "commit_of", lambda _, sha=sha: lineage.Commit(sha, []))
        run = opened(root, "sft", None)
    parent = held(run)[1]
    assert parent.data.tags["git.changed"] == changed
    assert parent.info.run_name == f"params.yaml @sha{mark}"


def test_what_the_environment_does_not_say(root, monkeypatch):
    monkeypatch.delenv("USER", raising=False)
    child, parent = held(opened(root, "sft", None))
    for found in (child, parent):
        assert {name: found.data.tags.get(name) for name in ("mlflow.user", "processes", "dvc.exp")} == {
            "mlflow.user": "", "processes": "1", "dvc.exp": "",
        }  # fmt: skip
    assert child.data.tags["dvc.stage"] == "sft"
    assert "checkpoints.key" not in child.data.tags


def test_a_run_has_the_params_of_its_stage_and_its_parent_those_of_all(root, capsys):
    run = opened(root)
    child, parent = held(run)
    shared = {"seed": "17", "runtime.device": "cpu", "runtime.threads": "1", "runtime.workers": "1"}
    place = {"policy": "sft", "earlier": "collect_prompts"}
    in_round = {f"round.{name}": value for name, value in place.items()}
    assert child.data.params == shared | in_round | {"ppo.kl_coef": "0.05"}
    others = {f"rounds.r1.{name}": value for name, value in place.items()}
    others |= {"sft.learning_rate": "0.001", "sft.sources": "['a', 'b']", "ppo.kl_coef": "0.05"}
    assert parent.data.params == shared | others
    run.params({"seed": 18, "extra": {"a": 1, "b": [2]}})
    run.params({"extra": {"a": 3, "c": 4}})
    run.params({"seed": 19, "extra": {"b": 5}})
    assert capsys.readouterr().err == "", "MLflow is not asked to change one"
    more = {"extra.a": "1", "extra.b": "[2]", "extra.c": "4"}
    assert held(run)[0].data.params == shared | in_round | {"ppo.kl_coef": "0.05"} | more
    assert "round.policy" not in held(opened(root, "sft", None))[0].data.params


def test_points_go_out_when_five_seconds_have_passed(root, monkeypatch):
    clock = set_clock(monkeypatch)
    run = opened(root)
    for seconds, sent in ((0.0, []), (4.9, []), (5.0, [0, 1, 2]), (9.9, [0, 1, 2]), (10.0, [0, 1, 2, 3, 4])):
        clock.now = 1000.0 + seconds
        step = len(run._client.get_metric_history(run.run_id, "loss")) + len(run._points)
        run.metrics({"loss": step / 2}, step, 1_000 + step)
        history = run._client.get_metric_history(run.run_id, "loss")
        assert [point.step for point in history] == sent
    assert [(point.value, point.timestamp) for point in history] == [(step / 2, 1_000 + step) for step in sent]


def test_a_store_that_keeps_failing_is_asked_ever_more_seldom(root, monkeypatch, capsys):
    from mlflow.exceptions import MlflowException

    clock, asked, broken = set_clock(monkeypatch), [], [True]

    def log_points(client, run_id, points):
        asked.append((clock.now - 1000, len(points)))
        if broken[0]:
            raise MlflowException("disk full\nand more")
        return {}

    run = opened(root)
    monkeypatch.setattr(mlflow_store, "log_points", log_points)
    for second in range(1, 1300):
        clock.now = 1000.0 + second
        broken[0] = second < 1000
        run.metrics({"loss": 0.0}, second, 0)
    waits = [5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    moments = [sum(waits[: count + 1]) for count in range(len(waits))]
    assert asked[: len(moments)] == [(moment, moment) for moment in moments]
    assert asked[len(moments) :] == [(moment, 5) for moment in range(1121, 1300, 5)], "as before, once it takes them"
    assert capsys.readouterr().err.splitlines() == [
        "WARNING: ppo@r1: MLflow did not take metrics (5): disk full (it is tried again)",
        "ppo@r1: MLflow has taken what waited",
    ]


def test_inputs_are_datasets_and_tags(root, tmp_path):
    for path in (root / "data/sft/model", root / "data/text", tmp_path / "outside"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    run = opened(root)
    paths = {
        "data/sft": root / "data/sft",
        "data/text": root / "data/text",
        f"{tmp_path}/outside": tmp_path / "outside",
    }
    run.inputs([*paths.values()], "training")
    run.inputs([root / "data/text"], "validation")
    found, _ = held(run)
    heard = {
        (one.dataset.name, one.dataset.digest, *((tag.key, tag.value) for tag in one.tags))
        for one in found.inputs.dataset_inputs
    }
    context = "mlflow.data.context"
    assert heard >= {(name, lineage.dvc_md5(path), (context, "training")) for name, path in paths.items()}
    for one in found.inputs.dataset_inputs:
        assert one.dataset.source_type == "local"
        assert json.loads(one.dataset.source) == {"uri": str(paths[one.dataset.name])}
    deps = {name: value for name, value in found.data.tags.items() if name.startswith("dvc.dep.")}
    assert deps == {f"dvc.dep.{name}": lineage.dvc_md5(path) for name, path in paths.items()}


@pytest.mark.parametrize(("size", "copied"), [(1000 - 2, True), (1000 - 1, False)])  # and two bytes of config.json
def test_a_model_is_copied_up_to_the_limit_and_else_named(root, monkeypatch, size, copied):
    monkeypatch.setattr(lineage, "commit_of", lambda _: lineage.Commit("the sha", ["rlhf/a.py"]))
    folder = model_folder(root / "data/ppo/r1", size)
    run = opened(root)
    run.model(folder)
    (model,) = run._client.search_logged_models([run._experiment_id])
    tags = {"dvc.path": "data/ppo/r1", "dvc.md5": lineage.dvc_md5(folder), "git.commit": "the sha"}
    tags |= {"git.dirty": "true", "git.changed": "rlhf/a.py"}
    own = {name: value for name, value in model.tags.items() if not name.startswith("mlflow.") or "External" in name}
    assert own == tags | ({} if copied else {"mlflow.model.isExternal": "true"})
    assert (model.name, model.source_run_id, str(model.status)) == ("ppo-r1", run.run_id, "READY")
    found, _ = held(run)
    assert [(output.model_id, output.step) for output in found.outputs.model_outputs] == [(model.model_id, 0)]
    assert artifacts(root) == ({"config.json", "model.safetensors"} if copied else set())


def test_artifacts_are_files_and_folders_under_their_names(root):
    run = opened(root)
    (root / "plots/deep").mkdir(parents=True)
    (root / "plots/deep/a.csv").touch()
    run.artifact(root / "plots")
    run.artifact(root / "params.yaml")
    assert artifacts(root) == {"plots/deep/a.csv", "params.yaml"}
    assert {one.path for one in run._client.list_artifacts(run.run_id)} == {"plots", "params.yaml"}


def test_texts_and_pictures_are_shown_on_both_pages_and_on_the_pipelines_what_its_params_change(root):
    run = opened(root)
    run.describe(["**RLHF helped**", "samples"], [root / "plots/win_rates.svg"])
    picture = f"![win_rates](get-artifact?path=win_rates.svg&run_uuid={run.run_id})"
    own, pipelines = (found.data.tags["mlflow.note.content"].split("\n\n") for found in held(run))
    assert own == ["**RLHF helped**", picture, "samples"]
    assert pipelines == ["**RLHF helped**", picture, "samples"]


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_the_end_is_that_of_the_run_and_its_parent_and_what_was_made_counts_if_it_is_whole(root, monkeypatch, status):
    set_clock(monkeypatch)
    model_folder(root / "data/ppo/r1", 10)
    (root / "metrics/ppo").mkdir(parents=True)
    (root / "metrics/ppo/r1.json").write_text('{"ppo": {"r1": {"kl": 0.5, "note": "none"}}}')
    run = opened(root)
    run.metrics({"loss": 0.5}, 1, 7)
    run.close(status)
    child, parent = held(run)
    whole = status == "FINISHED"
    assert (child.info.status, parent.info.status) == (status, "RUNNING" if whole else status)
    assert child.info.end_time == 1_234_567
    assert parent.info.end_time == (None if whole else 1_234_567)
    assert child.data.metrics == {"loss": 0.5}, "what was buffered is sent"
    assert parent.data.tags["stage.ppo/r1.status"] == status.lower()
    assert child.data.tags.get("dvc.out.data/ppo/r1") == (lineage.dvc_md5(root / "data/ppo/r1") if whole else None)
    assert "dvc.out.data/ppo/r1" not in parent.data.tags
    points = run._client.get_metric_history(parent.info.run_id, "ppo.r1.kl")
    assert [(point.value, point.timestamp, point.step) for point in points] == ([(0.5, 1_234_567, 0)] if whole else [])


@pytest.mark.parametrize("stage", ["sft", "evaluate"])
def test_a_stage_that_made_nothing_ends_all_the_same(root, capsys, stage):
    run = opened(root, stage, None)
    run.close("FINISHED")
    child, parent = held(run)
    assert not [name for name in child.data.tags if name.startswith("dvc.out")]
    assert child.info.status == "FINISHED"
    assert (parent.info.status, parent.data.metrics) == ("FINISHED" if stage == "evaluate" else "RUNNING", {})
    assert capsys.readouterr().err == ""


def test_earlier_runs_are_named_for_the_stages_that_this_session_did_not_run(root):
    """Of five stages with metrics: one is not in dvc.lock, one ran in this session, one was never recorded."""
    made = {}
    outs = {name: {} for name in ("b_ran", "c_unknown", "d_earlier", "e_round@r1")}
    for place in ("a_unlocked", "b_ran", "c_unknown", "d_earlier", "e_round/r1"):
        folder = model_folder(root / "data" / place, 10)
        (folder / "config.json").write_text(place)
        file = root / f"metrics/{place}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
        name = place.replace("/", "@")
        if name in outs:
            paths = {f"data/{place}": lineage.dvc_md5(folder), f"metrics/{place}.json": "0" * 32}
            outs[name] = {"outs": [{"path": path, "md5": md5} for path, md5 in paths.items()]}
        if place != "c_unknown":
            stage, _, round_name = place.partition("/")
            earlier = opened(root, stage, round_name or None, session="an earlier dvc")
            earlier.close("FINISHED")
            made[place] = earlier.run_id
    (root / "dvc.lock").write_text(json.dumps({"stages": outs}))
    ran = opened(root, "b_ran", None)
    ran.close("FINISHED")
    last = opened(root, "evaluate", None)
    last.close("FINISHED")
    tags = held(last)[1].data.tags
    assert {name: value for name, value in tags.items() if name.startswith("stage.")} == {
        "stage.b_ran": ran.run_id, "stage.b_ran.status": "finished",
        "stage.d_earlier": made["d_earlier"], "stage.d_earlier.status": "cached",
        "stage.e_round/r1": made["e_round/r1"], "stage.e_round/r1.status": "cached",
        "stage.evaluate": last.run_id, "stage.evaluate.status": "finished",
    }  # fmt: skip


def test_a_training_that_was_broken_off_goes_on_in_its_run_with_the_new_tags(root, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    first = opened(root, key="0123", session="an earlier dvc")
    for step in (1, 2):
        first.metrics({"loss": step / 2, "kl": step / 4}, step, step)
    first.close("FAILED")
    other = opened(root, key="4567")
    assert other.run_id != first.run_id
    monkeypatch.setenv("WORLD_SIZE", "2")
    again = opened(root, key="0123")
    assert again.run_id == first.run_id
    child, parent = held(again)
    expected = {"processes": "2", "checkpoints.key": "0123", "mlflow.parentRunId": parent.info.run_id}
    assert expected.items() <= child.data.tags.items()
    assert child.info.status == "RUNNING"
    assert parent.data.tags["dvc.session"] == "dvc"
    for step in (1, 2, 3):
        again.metrics({"loss": 9.0, "kl": 9.0}, step, step)
    again.close("FINISHED")
    for name, values in {"loss": [0.5, 1.0, 9.0], "kl": [0.25, 0.5, 9.0]}.items():
        history = again._client.get_metric_history(again.run_id, name)
        assert [(point.step, point.value) for point in history] == list(enumerate(values, start=1))
    assert opened(root, key="0123").run_id != first.run_id, "it has finished"


@pytest.mark.parametrize(
    ("home", "host", "steps", "goes_on"),
    [
        ("this repository", "here", 0, True),
        ("another", "here", 2, False),
        ("one that was moved here", "here", 2, True),
        ("this repository", "another host", 2, True),  # on a disk that both see
        ("this repository", "another host", 0, False),
        ("another", "another host", 2, False),
    ],
)
def test_a_run_of_the_same_training_in_another_repository_is_left_alone(root, tmp_path, home, host, steps, goes_on):
    """Two clones may record in one store, one after the other or at the same time."""
    first = opened(root, key="0123", session="an earlier dvc")
    first.metrics({"loss": 0.5}, 1, 1)
    first.flush()
    homes = {"this repository": root, "another": tmp_path, "one that was moved here": tmp_path / "gone"}
    first._client.set_tag(first.run_id, "dvc.home", str(homes[home]))
    first._client.set_tag(first.run_id, "dvc.process", {"here": "the stage"}.get(host, f"{host} 1 2.00"))
    again = opened(root, key="0123", steps=steps)
    assert (again.run_id == first.run_id) == goes_on


def test_a_training_whose_earlier_run_is_not_there_says_so(root):
    """It was deleted, or tracking.experiment was another: the states on the disk go on all the same."""
    first = opened(root, key="0123")
    first.close("KILLED")
    first._client.delete_run(first.run_id)
    again = opened(root, key="0123", steps=7)
    page = "**Steps 1 to 7 were trained before this run began**, in one that its experiment does not have"
    assert held(again)[0].data.tags[mlflow_store.PAGE].startswith(page)
    again.describe(["**so**"], [])
    again.close("KILLED")
    once_more = opened(root, key="0123", steps=9)
    once_more.describe(["**so**"], [])
    shown = held(once_more)[0].data.tags[mlflow_store.PAGE]
    assert shown.startswith(page)
    assert [part for part in ("Went on after 1 interruption.", "**so**") if part not in shown] == []
    assert mlflow_store.PAGE not in held(opened(root, key="4567"))[0].data.tags


@pytest.mark.parametrize("home", ["own", "another"])
def test_runs_of_an_experiment_that_params_named_before_are_ended_too(root, monkeypatch, home):
    gone = opened(root)
    if home == "another":
        other = root.parent / "another repository"
        other.mkdir()
        for run in held(gone):
            gone._client.set_tag(run.info.run_id, "dvc.home", str(other))
    monkeypatch.setattr(sessions, "is_gone", lambda process: process == "the stage" or process == "dvc")
    settings = Tracking(enabled=True, uri=None, experiment="renamed", max_model_mb=LIMIT, log_every=1)
    params = read_yaml(root / "params.yaml")
    Recorder(root, StageName("sft"), settings, Training(), params, ("a later stage", "a later dvc"))
    expected = ["KILLED", "KILLED"] if home == "own" else ["RUNNING", "RUNNING"]
    assert [run.info.status for run in held(gone)] == expected


def test_runs_of_processes_that_are_gone_are_ended_when_a_run_is_opened(root, monkeypatch):
    gone = opened(root)
    monkeypatch.setattr(sessions, "is_gone", lambda process: process == "the stage")
    monkeypatch.setattr(sessions, "is_elsewhere", lambda _: False)
    opened(root, "sft", None, session="a later dvc")
    found, parent = held(gone)
    assert (found.info.status, parent.info.status) == ("KILLED", "RUNNING")
