"""The parent runs: their metrics are those of their own pipeline, they run until what was asked for is there."""

import itertools
import json
import os
import shutil
import time

import pytest
from mlflow import MlflowClient

from rlhf.params.base import load
from rlhf.params.tracking import TrackingInputs
from rlhf.runs import lineage, mlflow_store, sessions, tracking
from rlhf.runs.recording import endings, pipeline_runs, reused
from rlhf.runs.recording.endings import Ending
from rlhf.runtime import outputs
from rlhf.runtime.flat import flat_numbers
from tests import notebook

PARAMS = """
seed: 17
rounds: {r1: {policy: sft, earlier: collect_prompts}}
tracking: {enabled: true, uri: null, experiment: rlhf, max_model_mb: 0.001, log_every: 1}
ppo: {kl_coef: 0.05}
"""
DVC = sessions.own_process().replace(f" {os.getpid()} ", " 999999999 ")  # as old as the stages' process


@pytest.fixture
def root(tmp_path, empty_store, monkeypatch):
    """A repository's root with a database; stages run under a dvc that lives until a test calls it gone."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "RANK"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.setattr(tracking, "MlflowWorker", notebook.InProcess)
    moments = itertools.count(time.time_ns() // 1_000_000)
    monkeypatch.setattr(sessions, "began", lambda _: next(moments))  # each stage is a process of its own
    under(monkeypatch, "dvc", "repro")
    return tmp_path


def under(monkeypatch, *command: str, identity: str = DVC) -> None:
    monkeypatch.setattr(sessions, "dvc_process", lambda: identity)
    monkeypatch.setattr(sessions, "command_of", lambda _: list(command))
    monkeypatch.setattr(sessions, "is_gone", lambda _: False)


def ran(root, stage: str, round_name: str | None = None, metrics: dict | None = None) -> None:
    place = stage if round_name is None else f"{stage}/{round_name}"
    with tracking.stage_run(root, stage, round_name):
        outputs.write_metrics(root, place, metrics or {"kl": 2.0})
        (root / "data" / place).mkdir(parents=True, exist_ok=True)
        (root / "data" / place / "made").write_text("bytes")


def parent(root):
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time DESC"])
    return next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)


def test_all_stages_of_a_session_share_a_parent_with_every_param_and_final_metric(root):
    ran(root, "sft")
    first = parent(root).info.run_id
    ran(root, "ppo", "r1")
    found = parent(root)
    assert found.info.run_id == first
    assert found.data.params["ppo.kl_coef"] == "0.05"
    assert found.data.metrics == {"sft.kl": 2.0, "ppo.r1.kl": 2.0}
    assert found.data.tags["dvc.command"] == "dvc repro"
    assert not any(name.startswith("tracking") for name in found.data.params), "a URI may hold a password"


def test_the_parent_has_the_metrics_of_its_own_pipeline_and_no_others(root):
    """The laboratory's, the benchmarks', those of a round that is gone and of other bytes than dvc.lock lists."""
    own = {"sft": {"loss": 1.0}, "ppo/r1": {"kl": 2.0}, "judge": {"accuracy": 0.7}}
    for place, metrics in (own | {"ppo/r2": {"kl": 9.0}, "pretrain": {"loss": 3.0}}).items():
        outputs.write_metrics(root, place, metrics)
    titles = {"sft": "sft", "ppo@r1": "ppo/r1", "ppo@r2": "ppo/r2", "judge": "judge", "pretrain": "pretrain"}
    notebook.write_lock(root, {title: [f"metrics/{place}.json"] for title, place in titles.items()})
    outputs.write_metrics(root, "pretrain", {"loss": 4.0})
    foreign = {"evaluate": {"win_rate": {"ppo_vs_sft": {"mean": 0.9}}}, "sft": {"loss": 8.0}}
    for name in ("study/seeds", "benchmarks", "mutants"):
        (root / f"metrics/{name}.json").parent.mkdir(exist_ok=True)
        (root / f"metrics/{name}.json").write_text(json.dumps(foreign))
    ran(root, "evaluate", metrics={"win_rate": {"ppo_vs_sft": {"mean": 0.5}}})
    files = [root / f"metrics/{place}.json" for place in (*own, "evaluate")]
    expected = {name: value for file in files for name, value in flat_numbers(json.loads(file.read_text())).items()}
    assert parent(root).data.metrics == expected
    assert expected["evaluate.win_rate.ppo_vs_sft.mean"] == 0.5


def test_a_pipeline_is_running_until_its_last_stage_has_ended(root):
    ran(root, "sft")
    assert parent(root).info.status == "RUNNING"
    ran(root, "evaluate")
    assert parent(root).info.status == "FINISHED"


@pytest.mark.parametrize("target", ["ppo@r1", "ppo", "data/ppo/r1", "dvc.yaml:ppo@r1"])
def test_a_pipeline_has_finished_with_the_stages_that_were_asked_for(root, monkeypatch, target):
    under(monkeypatch, "python", "-m", "dvc", "repro", "-f", target, "sft")
    ran(root, "ppo", "r1")
    assert parent(root).info.status == "RUNNING"
    ran(root, "sft")
    assert parent(root).info.status == "FINISHED"


@pytest.mark.parametrize("target", ["ppo", "data/ppo", "ppo@*"])
def test_a_stage_that_was_asked_for_has_finished_with_its_last_round(root, monkeypatch, target):
    r2 = ", r2: {policy: ppo/r1, earlier: collect_comparisons/r1}}"
    (root / "params.yaml").write_text(PARAMS.replace("collect_prompts}}", "collect_prompts}" + r2))
    under(monkeypatch, "dvc", "repro", "--glob", target)
    ran(root, "ppo", "r1")
    assert (parent(root).info.status, parent(root).data.tags["dvc.targets"]) == ("RUNNING", target)
    ran(root, "ppo", "r2")
    assert parent(root).info.status == "FINISHED"


def test_a_folder_that_was_asked_for_with_a_stroke_is_its_stage(root, monkeypatch):
    under(monkeypatch, "dvc", "repro", "data/sft/")
    ran(root, "sft")
    assert parent(root).info.status == "FINISHED"


def test_a_stage_by_hand_is_a_session_of_its_own(root, monkeypatch):
    under(monkeypatch, "python", "-m", "stages.sft", identity=sessions.own_process())
    ran(root, "sft")
    assert parent(root).info.status == "FINISHED"


def test_a_stage_that_failed_fails_its_pipeline_until_it_is_done_again(root):
    with pytest.raises(ZeroDivisionError), tracking.stage_run(root, "sft"):
        1 / 0  # noqa: B018
    assert parent(root).info.status == "FAILED"
    ran(root, "sft")
    assert parent(root).info.status == "RUNNING"


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("dvc repro", []),
        ("/venv/bin/python -m dvc repro dvc.yaml", []),
        ("dvc repro -f --pull sft judge", ["sft", "judge"]),
        ("dvc exp run -n small -S ppo.kl_coef=0.1 -j 2 --temp", []),
        ("dvc exp run --name small ppo@r1", ["ppo@r1"]),
        ("dvc queue start", []),
        ("dvc repro -R data", []),
        ("python -m stages.sft", []),
        ("", []),
    ],
)
def test_what_a_dvc_command_asks_for(command, asked):
    assert pipeline_runs.targets(command.split()) == asked


def test_a_round_that_is_gone_is_no_stage_of_the_pipeline(root):
    ran(root, "ppo", "r1")
    (root / "data/ppo/r2").mkdir()
    notebook.write_lock(root, {"ppo@r1": ["data/ppo/r1"], "ppo@r2": ["data/ppo/r2"]})
    lock = json.loads((root / "dvc.lock").read_text())
    lock["stages"]["ppo@r2"]["outs"][0]["md5"] = lineage.dvc_md5(root / "data/ppo/r1")
    client = mlflow_store.open_store(load(root, TrackingInputs).tracking, root).client
    made = client.get_run(parent(root).data.tags["stage.ppo/r1"])
    client.set_tag(made.info.run_id, "dvc.out.data/ppo/r2", lineage.dvc_md5(root / "data/ppo/r1"))
    (root / "dvc.lock").write_text(json.dumps(lock))
    ran(root, "evaluate")
    assert "stage.ppo/r2" not in parent(root).data.tags


def rows(root):
    """Return all pipelines' runs, the newest first."""
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time DESC"])
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def test_params_that_are_edited_between_stages_begin_a_row_of_their_own(root):
    ran(root, "sft")
    (root / "params.yaml").write_text(PARAMS.replace("kl_coef: 0.05", "kl_coef: 0.02"))
    ran(root, "ppo", "r1")
    ran(root, "evaluate")
    second, first = rows(root)
    assert (first.data.params["ppo.kl_coef"], second.data.params["ppo.kl_coef"]) == ("0.05", "0.02")
    assert (first.info.status, second.info.status) == ("KILLED", "FINISHED")
    assert "stage.ppo/r1" not in first.data.tags
    assert f"it went on as [{second.info.run_name}](" in first.data.tags[mlflow_store.PAGE]
    assert second.info.run_id in first.data.tags[mlflow_store.PAGE]


def test_a_row_that_params_began_begins_with_its_first_stage_and_the_one_before_ends_there(root, monkeypatch):
    """A stage has its run seconds after it began: the next row would be shorter than what is in it."""
    ran(root, "sft")
    moment = 10_000 + parent(root).info.start_time
    monkeypatch.setattr(sessions, "began", lambda process: moment if process == sessions.own_process() else 0)
    (root / "params.yaml").write_text(PARAMS.replace("kl_coef: 0.05", "kl_coef: 0.02"))
    ran(root, "evaluate")
    second, first = rows(root)
    assert (first.info.end_time, second.info.start_time) == (moment, moment)


def test_a_pipeline_that_failed_stays_so_where_params_are_edited_before_dvc_goes_on(root):
    """`dvc repro --keep-going` runs what does not build on the stage that failed."""
    with pytest.raises(ZeroDivisionError), tracking.stage_run(root, "ppo", "r1"):
        1 / 0  # noqa: B018
    failed = parent(root)
    (root / "params.yaml").write_text(PARAMS.replace("kl_coef: 0.05", "kl_coef: 0.02"))
    ran(root, "judge")
    earlier = rows(root)[1]
    assert (earlier.info.status, earlier.info.end_time) == ("FAILED", failed.info.end_time)
    assert "it went on as" in earlier.data.tags[mlflow_store.PAGE]


def test_a_pipeline_that_reused_stale_stages_says_so_in_its_name_and_on_its_page(root, monkeypatch):
    asked = []

    def before(of, name, params, ran):
        asked.append((name.title, sorted(ran), params["ppo"]))
        return {}

    monkeypatch.setattr(reused, "stages", before)
    monkeypatch.setattr(reused, "stale", lambda *_: reused.Stale(["ppo.kl_coef", "rlhf/rl"], {}, []))
    ran(root, "sft")
    assert asked == []
    ran(root, "evaluate")
    assert asked == [("evaluate", ["evaluate", "sft"], {"kl_coef": 0.05})]
    found = parent(root)
    assert found.info.status == "FINISHED"
    assert found.info.run_name.endswith(" (stale: ppo.kl_coef, rlhf/rl)")
    assert found.data.tags["dvc.stale"] == "ppo.kl_coef, rlhf/rl"
    assert found.data.tags[mlflow_store.PAGE].startswith(
        "**Not all of it was made with these params and this code:** ppo"
    )


def test_a_pipeline_of_which_dvc_cannot_tell_says_that(root, monkeypatch):
    def stale(*_):
        raise ValueError("dvc status: busy")

    monkeypatch.setattr(reused, "stale", stale)
    ran(root, "evaluate")
    assert parent(root).data.tags["dvc.stale"] == "what, is not known (dvc status: busy)"


COMMITTED = (
    "stages: {ppo: {foreach: '${rounds}', do: {cmd: x, outs: ['data/ppo/${key}']}}, evaluate: {deps: [data/ppo]}}"
)


@pytest.mark.parametrize(("committed", "stale"), [(0.3, "ppo.kl_coef"), (0.05, None)])
def test_params_that_dvc_commit_took_in_and_no_run_had_are_stale(root, monkeypatch, committed, stale):
    """`dvc status` is content with what was committed."""
    monkeypatch.setattr(reused.changes, "changed", lambda *_, **__: [])
    (root / "dvc.yaml").write_text(COMMITTED)
    ran(root, "ppo", "r1")
    notebook.write_lock(root, {"ppo@r1": ["data/ppo/r1"]})
    lock = json.loads((root / "dvc.lock").read_text())
    lock["stages"]["ppo@r1"]["params"] = {"params.yaml": {"ppo": {"kl_coef": committed}, "seed": 17}}
    (root / "dvc.lock").write_text(json.dumps(lock))
    (root / "params.yaml").write_text(PARAMS.replace("0.05", str(committed)))
    under(monkeypatch, "dvc", "repro", identity=f"{DVC}1")
    ran(root, "evaluate")
    assert parent(root).data.tags.get("dvc.stale") == stale


@pytest.mark.parametrize(("read", "stale"), [("0" * 32, "data/sft"), ("1" * 32, None)])
def test_data_that_dvc_commit_took_in_and_no_run_read_is_stale(root, monkeypatch, read, stale):
    """An earlier stage ran by hand: the policy in the lock was trained from what lay there before."""
    monkeypatch.setattr(reused.changes, "changed", lambda *_, **__: [])
    (root / "dvc.yaml").write_text(COMMITTED)
    ran(root, "ppo", "r1")
    found = parent(root)
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    client.set_tag(found.data.tags["stage.ppo/r1"], "dvc.dep.data/sft", read)
    notebook.write_lock(root, {"ppo@r1": ["data/ppo/r1"]})
    lock = json.loads((root / "dvc.lock").read_text())
    lock["stages"]["ppo@r1"]["deps"] = [{"path": "data/sft", "md5": "1" * 32}, {"path": "data/text", "md5": "2" * 32}]
    (root / "dvc.lock").write_text(json.dumps(lock))
    under(monkeypatch, "dvc", "repro", identity=f"{DVC}1")
    ran(root, "evaluate")
    assert parent(root).data.tags.get("dvc.stale") == stale


@pytest.mark.parametrize(("committed", "again", "stale"), [
    ("edited", False, "rlhf/rl"), ("edited", True, None), ("as it ran", False, None)])  # fmt: skip
def test_code_that_dvc_commit_took_in_and_no_run_had_is_stale(root, monkeypatch, committed, again, stale):
    """Edited between two stages of one command too: it is the stage's own code that counts."""
    monkeypatch.setattr(reused.changes, "changed", lambda *_, **__: [])
    (root / "rlhf/rl").mkdir(parents=True)
    (root / "rlhf/rl/ppo.py").write_text("before the pipeline's first stage")
    (root / "dvc.yaml").write_text(COMMITTED.replace("{cmd: x, ", "{cmd: x, deps: [rlhf/rl, data/sft], "))
    ran(root, "sft")
    (root / "rlhf/rl/ppo.py").write_text("as it ran")
    ran(root, "ppo", "r1")
    (root / "rlhf/rl/ppo.py").write_text(committed)
    if again:
        ran(root, "ppo", "r1")
    notebook.write_lock(root, {"ppo@r1": ["data/ppo/r1"]}, {"ppo@r1": ["rlhf/rl"]})
    under(monkeypatch, "dvc", "repro", identity=f"{DVC}1")
    ran(root, "evaluate")
    assert parent(root).data.tags.get("dvc.stale") == stale


@pytest.mark.parametrize(("run", "said"), [
    ("has its run", "stale"), ("of evaluate", "stale"), ("failed", "stale"), ("without tracking", "unknown"),
    ("deleted", "unknown")])  # fmt: skip
def test_what_a_run_may_have_had_that_mlflow_lacks_is_not_known_to_be_stale(root, monkeypatch, run, said):
    """PPO ran with 0.05; what made the same bytes with the lock's 0.3, if anything did, is not known."""
    monkeypatch.setattr(reused.changes, "changed", lambda *_, **__: [])
    (root / "dvc.yaml").write_text(COMMITTED)
    ran(root, "ppo", "r1")
    endings.note(root, Ending(sessions.own_process(), DVC, "ppo/r1", "finished", 1))
    if run == "deleted":
        (root / "params.yaml").write_text(PARAMS.replace("0.05", "0.3"))
        monkeypatch.setattr(sessions, "own_process", lambda: f"{DVC}7")
        ran(root, "ppo", "r1")
        client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
        client.delete_run(parent(root).data.tags["stage.ppo/r1"])
    if run != "has its run":
        place, status = "evaluate" if run == "of evaluate" else "ppo/r1", "failed" if run == "failed" else "finished"
        endings.note(root, Ending(f"{DVC}7", DVC, place, status, 2))
    notebook.write_lock(root, {"ppo@r1": ["data/ppo/r1"]})
    lock = json.loads((root / "dvc.lock").read_text())
    lock["stages"]["ppo@r1"]["params"] = {"params.yaml": {"ppo": {"kl_coef": 0.3}, "seed": 17}}
    (root / "dvc.lock").write_text(json.dumps(lock))
    (root / "params.yaml").write_text(PARAMS.replace("0.05", "0.3"))
    under(monkeypatch, "dvc", "repro", identity=f"{DVC}1")
    ran(root, "evaluate")
    found = parent(root)
    expected = {"stale": ("ppo.kl_coef", None), "unknown": (None, "ppo.kl_coef")}[said]
    assert (found.data.tags.get("dvc.stale"), found.data.tags.get("dvc.stale.unknown")) == expected
    assert found.info.run_name.endswith(" (stale: ppo.kl_coef)" if said == "stale" else " (stale: not known)")
    is_sure = found.data.tags[mlflow_store.PAGE].startswith("**Not all of it was made with these params")
    assert is_sure == (said == "stale")


@pytest.mark.parametrize(("kl_coef", "stale"), [(0.3, ""), (0.4, "ppo.kl_coef, ")])
def test_a_pipeline_that_read_what_a_stage_made_by_hand_names_that_run_and_its_params(
    root, monkeypatch, kl_coef, stale
):
    """PPO with 0.05 is in dvc.lock, with 0.3 it ran by hand since."""
    monkeypatch.setattr(reused.changes, "changed", lambda *_, **__: ["data/ppo/r1"])
    (root / "dvc.yaml").write_text(COMMITTED)
    ran(root, "ppo", "r1")
    notebook.write_lock(root, {"ppo@r1": ["data/ppo/r1"]})
    lock = json.loads((root / "dvc.lock").read_text())
    lock["stages"]["ppo@r1"]["params"] = {"params.yaml": {"ppo": {"kl_coef": 0.05}, "seed": 17}}
    (root / "dvc.lock").write_text(json.dumps(lock))
    (root / "params.yaml").write_text(PARAMS.replace("0.05", "0.3"))
    under(monkeypatch, "python", "-m", "stages.ppo", identity=f"{DVC}1")
    with tracking.stage_run(root, "ppo", "r1") as run:
        (root / "data/ppo/r1/made").write_text("other bytes")
        by_hand = run._recorder.run_id
    (root / "params.yaml").write_text(PARAMS.replace("0.05", str(kl_coef)))
    under(monkeypatch, "python", "-m", "stages.evaluate", identity=f"{DVC}2")
    ran(root, "evaluate")
    tags = parent(root).data.tags
    assert (tags["stage.ppo/r1"], tags["stage.ppo/r1.status"]) == (by_hand, "by hand")
    assert tags["dvc.stale"] == f"{stale}data/ppo/r1"
    (root / "data/ppo/r1/made").write_text("by an editor")
    under(monkeypatch, "python", "-m", "stages.evaluate", identity=f"{DVC}3")
    ran(root, "evaluate")
    tags = parent(root).data.tags
    assert "stage.ppo/r1" not in tags
    assert tags["stage.ppo/r1.status"] == "changed by hand"


def test_a_stale_pipeline_that_is_ended_once_more_says_so_once(root, monkeypatch):
    """An outage may stop the end behind any of its steps; it is then done again."""
    monkeypatch.setattr(reused, "stale", lambda *_: reused.Stale(["ppo.kl_coef"], {}, []))
    ran(root, "evaluate")
    first = parent(root)
    MlflowClient(f"sqlite:///{root / 'mlflow.db'}").delete_tag(first.info.run_id, "dvc.stale")
    ran(root, "evaluate")
    again = parent(root)
    assert again.info.run_id == first.info.run_id
    assert again.info.run_name == first.info.run_name
    assert again.info.run_name.count("stale") == again.data.tags[mlflow_store.PAGE].count("Not all of it") == 1
    assert again.data.tags["dvc.stale"] == "ppo.kl_coef"
