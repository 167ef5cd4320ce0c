"""Runs whose process is gone: how they ended, and when, as far as their stages and the store know it."""

import hashlib
import json
import shutil
import time
from contextlib import contextmanager, nullcontext

import pytest

from rlhf.params.base import load
from rlhf.params.tracking import TrackingInputs
from rlhf.runs import lineage, mlflow_store, sessions, tracking
from rlhf.runs.recording import endings, reaping, recorder, wholeness
from rlhf.runs.recording.attempts import Training
from rlhf.runs.recording.endings import Ending
from rlhf.runs.recording.wholeness import Lock
from rlhf.runs.stage_name import StageName
from rlhf.runtime import outputs
from tests import notebook
from tests.runs.test_pipeline_runs import DVC, parent, ran, root, under  # noqa: F401
from tests.runs.test_tracking import model_folder

# ruff: noqa: F811

NEXT = f"{sessions.socket.gethostname()} 999999998 {time.time():.2f}"


def restored(root, monkeypatch) -> None:
    """Let a session end in which PPO came out as in an earlier one, so that DVC restored `evaluate` after it."""
    metrics = {"win_rate": {"ppo_vs_sft": {"mean": 0.25}}}
    ran(root, "ppo", "r1")
    with tracking.stage_run(root, "evaluate") as run:
        outputs.write_metrics(root, "evaluate", metrics)
        (root / "data/evaluate").mkdir(parents=True)
        run.log_deciding({"PPO beats SFT": 0.25}, [])
        run.describe(["**so**"], [])
    titles = {"ppo@r1": "ppo/r1", "evaluate": "evaluate"}
    notebook.write_lock(root, {title: [f"data/{place}", f"metrics/{place}.json"] for title, place in titles.items()})
    edit_lock(
        root, lambda stages: stages["ppo@r1"].update(params={"params.yaml": {"ppo": {"kl_coef": 0.05}, "seed": 17}})
    )
    read = [{"path": "data/ppo", "md5": lineage.dvc_md5(root / "data/ppo")}]
    edit_lock(root, lambda stages: stages["evaluate"].update(deps=read))
    under(monkeypatch, "dvc", "repro", identity=NEXT)
    ran(root, "ppo", "r1")


def store(root):
    return mlflow_store.open_store(load(root, TrackingInputs).tracking, root)


def child(root, stage: str):
    """Return the newest run of a stage; all begin with the process of the tests."""
    found = store(root)
    runs = found.client.search_runs([found.experiment_id], f"tags.`dvc.stage` = '{stage}'")
    return max(runs, key=lambda run: run.info.end_time or 0)


def ended(root, monkeypatch):
    monkeypatch.setattr(sessions, "is_gone", lambda _: True)
    reaping.reap(store(root), root)
    return parent(root)


def test_a_pipeline_whose_last_stage_dvc_restored_is_finished_and_has_its_figures(root, monkeypatch):
    restored(root, monkeypatch)
    assert (parent(root).info.status, "evaluate" in str(parent(root).data.metrics)) == ("RUNNING", False)
    found = ended(root, monkeypatch)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {
        "ppo.r1.kl": 2.0, "evaluate.win_rate.ppo_vs_sft.mean": 0.25, "PPO beats SFT": 0.25
    }  # fmt: skip
    assert found.data.tags["stage.evaluate.status"] == "cached"
    assert found.data.tags["mlflow.note.content"].startswith("**so**")


@pytest.mark.parametrize(("read", "unrecorded", "stale"), [
    ("0" * 32, False, "data/sft"), ("1" * 32, False, None), ("0" * 32, True, None)])  # fmt: skip
def test_a_pipeline_whose_last_stage_dvc_restored_says_what_dvc_commit_took_in(
    root, monkeypatch, read, unrecorded, stale
):
    restored(root, monkeypatch)
    if unrecorded:  # it may have read what the lock says
        endings.note(root, Ending(f"{DVC}7", "another session", "evaluate", "finished", 1))
    store(root).client.set_tag(child(root, "evaluate").info.run_id, "dvc.dep.data/sft", read)
    edit_lock(root, lambda stages: stages["evaluate"]["deps"].append({"path": "data/sft", "md5": "1" * 32}))
    found = ended(root, monkeypatch)
    assert (found.info.status, found.data.tags.get("dvc.stale")) == ("FINISHED", stale)
    assert found.data.tags.get("dvc.stale.unknown") == ("data/sft" if unrecorded else None)
    assert ("(stale: data/sft)" in found.info.run_name) == (stale is not None)
    assert ("**so**" in found.data.tags["mlflow.note.content"]) and found.data.metrics["PPO beats SFT"] == 0.25


def test_a_pipeline_whose_last_stage_has_no_run_says_so(root, monkeypatch):
    """Its recorder was killed before it had opened one, say; dvc.lock and metrics/ have what it made."""
    restored(root, monkeypatch)
    store(root).client.delete_run(child(root, "evaluate").info.run_id)
    found = ended(root, monkeypatch)
    assert (found.info.status, found.data.metrics["evaluate.win_rate.ppo_vs_sft.mean"]) == ("FINISHED", 0.25)
    assert "stage.evaluate" not in found.data.tags
    assert found.data.tags["mlflow.note.content"].startswith("**evaluate has no run in MLflow:** it finished")


def test_a_metrics_file_that_is_another_than_the_lock_lists_gives_no_figures(root, monkeypatch):
    restored(root, monkeypatch)
    outputs.write_metrics(root, "evaluate", {"win_rate": {"ppo_vs_sft": {"mean": 0.99}}})
    found = ended(root, monkeypatch)
    assert (found.info.status, found.data.metrics["PPO beats SFT"]) == ("FINISHED", 0.25)
    assert "evaluate.win_rate.ppo_vs_sft.mean" not in found.data.metrics


def test_a_pipeline_that_ended_before_its_last_stage_has_failed_and_says_after_which_one(root, monkeypatch):
    """The lock's last stage is of other data: another policy lies there now. No stage says what came next."""
    restored(root, monkeypatch)
    (root / "data/ppo/r1/made").write_text("other bytes")
    found = ended(root, monkeypatch)
    assert found.info.status == "FAILED"
    assert "PPO beats SFT" not in found.data.metrics
    page = found.data.tags["mlflow.note.content"]
    assert page.startswith("**`dvc` ended after ppo/r1**, and what came next has no run in MLflow.")


@pytest.mark.parametrize("change", ["code", "params", "bytes"])
def test_a_pipeline_that_dvc_lock_has_no_longer_is_not_said_to_have_lacked_a_stage(root, monkeypatch, change):
    """DVC restored what ran before it, after a revert or a checkout, before anything of ours looked."""
    (root / "rlhf").mkdir()
    (root / "rlhf/rl.py").write_text("now")
    (root / "dvc.yaml").write_text(
        "stages: {ppo: {foreach: '${rounds}', do: {cmd: x, deps: [rlhf/rl.py]}}, evaluate: {cmd: x}}"
    )
    restored(root, monkeypatch)
    code = {"code": "0" * 32}.get(change, lineage.dvc_md5(root / "rlhf/rl.py"))
    edit_lock(root, lambda stages: stages["ppo@r1"].update(deps=[{"path": "rlhf/rl.py", "md5": code}]))
    if change == "params":
        edit_lock(root, lambda stages: stages["ppo@r1"]["params"]["params.yaml"]["ppo"].update(kl_coef=0.3))
    if change == "bytes":
        edit_lock(root, lambda stages: stages["ppo@r1"]["outs"][0].update(md5="0" * 32))
    page = ended(root, monkeypatch).data.tags["mlflow.note.content"]
    assert page.startswith("**`dvc` ended after ppo/r1**, and whether that was its end is not known: dvc.lock ")


def test_a_pipeline_whose_stage_came_out_as_before_is_finished_though_the_next_one_lost_its_data(root, monkeypatch):
    """DVC removes a stage's outputs before the stage that looks for earlier pipelines starts."""
    restored(root, monkeypatch)
    shutil.rmtree(root / "data/ppo/r1")
    assert ended(root, monkeypatch).info.status == "FINISHED"


@pytest.mark.parametrize(("change", "status"), [("kl_coef: 0.3", "FAILED"), ("begun", "KILLED")])
def test_a_lock_of_other_params_or_a_stage_that_never_ended_is_no_finished_pipeline(root, monkeypatch, change, status):
    """A stage before came out as it was, so that the lock still has the last pipeline whole."""
    restored(root, monkeypatch)
    if change == "begun":
        run = parent(root)
        client = store(root).client
        client.set_tag(run.info.run_id, "stage.judge", run.info.run_id)
    else:
        edit_lock(root, lambda stages: stages["ppo@r1"]["params"]["params.yaml"]["ppo"].update(kl_coef=0.3))
    found = ended(root, monkeypatch)
    assert (found.info.status, "PPO beats SFT" in found.data.metrics) == (status, False)


def edit_lock(root, change) -> None:
    lock = json.loads((root / "dvc.lock").read_text())
    change(lock["stages"])
    (root / "dvc.lock").write_text(json.dumps(lock))


@pytest.mark.parametrize(("command", "status"), [(["repro", "-f"], "FAILED"), (["repro", "--force"], "FAILED"),
                                                 (["repro", "evaluate"], "FINISHED")])  # fmt: skip
def test_a_pipeline_that_was_to_run_all_is_not_finished_by_the_lock(root, monkeypatch, command, status):
    """Its stage came out as before, and then dvc died: the lock still has the rest of an earlier pipeline."""
    restored(root, monkeypatch)
    store(root).client.set_tag(parent(root).info.run_id, "dvc.command", " ".join(["python dvc", *command]))
    assert ended(root, monkeypatch).info.status == status


@pytest.mark.parametrize(("targets", "command", "status"), [
    ("ppo@r1 feedme", "dvc repro ppo@r1 feedme", "FINISHED"), ("ppo data/feedme", "dvc repro ppo ...", "FINISHED"),
    ("ppo@r1 feedme", "dvc repro -f ppo@r1 feedme", "FAILED"), ("ppo@r1 judge", "dvc repro ppo@r1 judge", "FAILED"),
    ("evaluate", "dvc repro evaluate", "FAILED"), ("ppo@r1 feedme", "dvc repro -s ppo@r1 feedme", "FINISHED"),
    ("", "dvc repro", "FAILED")])  # fmt: skip
def test_what_a_command_named_is_there_though_the_stages_after_it_are_of_other_data(
    root, monkeypatch, targets, command, status
):
    """DVC had nothing to run for `feedme`; `judge` is not in the lock; the lock's `evaluate` read another policy."""
    restored(root, monkeypatch)
    made = {"cmd": "x", "params": {"params.yaml": {"seed": 17}}, "outs": [{"path": "data/feedme", "md5": "1" * 32}]}
    edit_lock(root, lambda stages: stages.update(feedme=made))
    edit_lock(root, lambda stages: stages["evaluate"].update(deps=[{"path": "data/ppo/r1", "md5": "0" * 32}]))
    if " -s " in command:
        stale = {"cmd": "x", "params": {"params.yaml": {"seed": 18}}, "outs": [{"path": "data/sft", "md5": "2" * 32}]}
        edit_lock(root, lambda stages: stages.update(sft=stale))
        edit_lock(root, lambda stages: stages["feedme"].update(deps=[{"path": "data/sft", "md5": "2" * 32}]))
    for name, value in {"dvc.command": command, "dvc.targets": targets}.items():
        store(root).client.set_tag(parent(root).info.run_id, name, value)
    found = ended(root, monkeypatch)
    assert (found.info.status, "PPO beats SFT" in found.data.metrics) == (status, False)
    assert "**`dvc` ended after" in found.data.tags.get("mlflow.note.content", "") or status == "FINISHED"


@pytest.mark.parametrize(("changed", "stale"), [
    ("ppo.kl_coef",) * 2, ("rlhf/sft",) * 2, ("data/prompts",) * 2, ("", None)])  # fmt: skip
def test_stages_that_single_item_left_as_they_were_are_named_though_what_came_last_was_up_to_date(
    root, monkeypatch, changed, stale
):
    """`dvc repro --single-item ppo@r1 feedme`: PPO runs, FeedME is as it was, and both build on SFT."""
    (root / "rlhf").mkdir()
    (root / "rlhf/sft").write_text("code")
    (root / "dvc.yaml").write_text("stages: {sft: {cmd: x, deps: [rlhf/sft]}, evaluate: {cmd: x}}")
    restored(root, monkeypatch)
    here = {"rlhf/sft": lineage.dvc_md5(root / "rlhf/sft"), "data/prompts": "1" * 32}
    read = [{"path": path, "md5": "0" * 32 if path == changed else md5} for path, md5 in here.items()]
    own = {"ppo": {"kl_coef": 0.3 if changed == "ppo.kl_coef" else 0.05}, "seed": 17}
    sft = {"cmd": "x", "params": {"params.yaml": own}, "deps": read, "outs": [{"path": "data/sft", "md5": "2" * 32}]}
    others = {"prompts": ([], "1" * 32), "feedme": ([{"path": "data/sft", "md5": "2" * 32}], "3" * 32)}
    for title, (deps, md5) in others.items():
        made = {"cmd": "x", "deps": deps, "outs": [{"path": f"data/{title}", "md5": md5}]}
        edit_lock(root, lambda stages, title=title, made=made: stages.update({title: made}))
    edit_lock(root, lambda stages: stages.update(sft=sft))
    for name, value in {"dvc.command": "dvc repro --single-item ppo@r1 feedme", "dvc.targets": "ppo@r1 feedme"}.items():
        store(root).client.set_tag(parent(root).info.run_id, name, value)
    found = ended(root, monkeypatch)
    assert (found.info.status, found.data.tags.get("dvc.stale")) == ("FINISHED", stale)


@pytest.mark.parametrize(("listed", "is_whole"), [("bytes", True), ("others", False), (None, False)])
def test_a_commits_lock_is_held_against_dvcs_cache_as_far_as_a_stage_read_a_folder_around_outputs(
    root, monkeypatch, listed, is_whole
):
    """The policy of an experiment, and an evaluation of before: what lies on the disk says nothing of a commit."""
    restored(root, monkeypatch)
    lock = Lock.read(root)._replace(revision="0" * 40)
    if listed:
        md5 = lineage.outs_of(lock.stages["ppo@r1"])["data/ppo/r1"]
        listing = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        listing.parent.mkdir(parents=True)
        listing.write_text(json.dumps([{"md5": hashlib.md5(listed.encode()).hexdigest(), "relpath": "made"}]))
    assert wholeness.is_whole(store(root).client, parent(root), lock) == is_whole
    named = [*wholeness.differing(parent(root), lock.stages["evaluate"], lock)]
    assert named == (["data/ppo"] if listed == "others" else []), "what is not known is not stale"


@pytest.mark.parametrize("edited", [True, False])
def test_a_pipeline_is_not_finished_by_a_lock_of_other_code(root, monkeypatch, edited):
    (root / "rlhf/rl").mkdir(parents=True)
    (root / "rlhf/rl/ppo.py").write_text("old")
    (root / "dvc.yaml").write_text("stages: {evaluate: {cmd: x, deps: [rlhf/rl, data/ppo]}}")
    code = {"path": "rlhf/rl", "md5": lineage.dvc_md5(root / "rlhf/rl")}
    (root / "rlhf/rl/ppo.py").write_text("new" if edited else "old")
    restored(root, monkeypatch)
    edit_lock(root, lambda stages: stages["evaluate"]["deps"].append(code))
    (root / "rlhf/rl/ppo.py").write_text("newer")  # after dvc died: it says nothing of the run
    assert ended(root, monkeypatch).info.status == ("FAILED" if edited else "FINISHED")


@pytest.mark.parametrize(("frozen", "died", "status"), [
    ("true", False, "FINISHED"), ("true", True, "FAILED"), ("false", False, "FAILED")])  # fmt: skip
def test_a_pipeline_before_a_frozen_stage_is_finished_without_its_figures(root, monkeypatch, frozen, died, status):
    (root / "dvc.yaml").write_text(f"stages: {{evaluate: {{cmd: x, deps: [data/ppo], frozen: {frozen}}}}}")
    restored(root, monkeypatch)
    edit_lock(root, lambda stages: stages["evaluate"].update(deps=[{"path": "data/ppo", "md5": "0" * 32}]))
    if died:
        edit_lock(root, lambda stages: stages["ppo@r1"]["outs"][0].update(md5="1" * 32))
    found = ended(root, monkeypatch)
    assert (found.info.status, "PPO beats SFT" in found.data.metrics) == (status, False)
    said = found.data.tags["mlflow.note.content"].startswith("**evaluate is frozen (`dvc freeze`) and did not run:**")
    assert said == (status == "FINISHED")


@pytest.mark.parametrize("path", ["data/ppo/r1", "data/ppo/r1/made"])
def test_a_pipeline_is_not_finished_by_a_lock_whose_stages_read_other_data(root, monkeypatch, path):
    """A stage in the middle has not run yet: it read what another run of the one before it made."""
    restored(root, monkeypatch)
    other = {"deps": [{"path": path, "md5": "0" * 32}], "outs": [{"path": "data/judge", "md5": "1" * 32}]}
    edit_lock(root, lambda stages: stages.update(judge=other))
    assert ended(root, monkeypatch).info.status == "FAILED"


@pytest.mark.parametrize(("changed", "made"), [("nothing", True), ("the bytes", False), ("the lock's params", False)])
def test_a_stage_that_finished_without_its_recorder_made_what_dvc_lock_proves(root, monkeypatch, changed, made):
    run = open_stage(root, "ppo", "r1")
    tags = run._client.get_run(run.run_id).data.tags
    (root / "data/ppo/r1").mkdir(parents=True)
    (root / "data/ppo/r1/made").write_text("bytes")
    notebook.write_lock(root, {"ppo@r1": ["data/ppo/r1"]})
    kl_coef = 0.3 if changed == "the lock's params" else 0.05
    params = {"params.yaml": {"ppo": {"kl_coef": kl_coef}}}
    edit_lock(root, lambda stages: stages["ppo@r1"].update(params=params))
    md5 = lineage.dvc_md5(root / "data/ppo/r1")
    if changed == "the bytes":
        (root / "data/ppo/r1/made").write_text("others")
    monkeypatch.setattr(endings, "read", lambda _: [Ending(tags["dvc.process"], DVC, "ppo/r1", "finished", 1)])
    ended(root, monkeypatch)
    found = child(root, "ppo@r1")
    assert found.info.status == "FINISHED"
    assert found.data.tags.get("dvc.out.data/ppo/r1") == (md5 if made else None)
    assert found.data.tags["mlflow.note.content"].startswith("**The process that records in MLflow ended before")


def test_an_experiment_waits_a_moment_for_its_results_before_it_is_called_failed(root, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "gentle")
    ran(root, "ppo", "r1")
    assert ended(root, monkeypatch).info.status == "RUNNING"
    monkeypatch.setattr(reaping, "GRACE", 0.0)
    assert ended(root, monkeypatch).info.status == "FAILED"


@contextmanager
def stage(root, stage: str, round_name: str | None = None):
    """A stage's process, as launch starts it: it notes its end."""
    with sessions.noted(root, StageName(stage, round_name)):
        yield


def fails(root, monkeypatch, error: BaseException, *, before: str = "sft") -> None:
    """Let a pipeline's first stage end well and the next one fail before it has a run."""
    with stage(root, before):
        ran(root, before)
    with pytest.raises(type(error)), stage(root, "reward_model", "r1"):
        raise error


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("bad input"), "FAILED"), (KeyboardInterrupt("signal 15"), "KILLED")]
)
def test_a_stage_that_ended_before_it_had_a_run_gives_its_pipeline_its_status_and_is_named(
    root, monkeypatch, error, status
):
    fails(root, monkeypatch, error)
    assert parent(root).info.status == "RUNNING"
    noted = endings.read(root)[-1].moment
    found = ended(root, monkeypatch)
    assert found.info.status == status
    assert found.data.tags["stage.reward_model/r1.status"] == status.lower()
    assert found.data.tags["stage.sft.status"] == "finished"
    assert "stage.reward_model/r1" not in found.data.tags
    page = found.data.tags["mlflow.note.content"]
    assert page.startswith(f"**Stage reward_model/r1 {status.lower()} before it had a run in MLflow.**")
    assert found.info.end_time == noted


def test_a_pipeline_whose_stage_failed_is_not_finished_though_the_lock_is_that_of_its_bytes(root, monkeypatch):
    """`dvc repro --force`: the stages before it came out as they were."""
    restored(root, monkeypatch)
    with pytest.raises(ValueError, match="bad"), stage(root, "evaluate"):
        raise ValueError("bad")
    found = ended(root, monkeypatch)
    assert (found.info.status, found.data.tags["stage.evaluate.status"]) == ("FAILED", "failed")
    assert "PPO beats SFT" not in found.data.metrics


def test_a_stage_that_was_killed_before_it_had_a_run_killed_its_pipeline(root, monkeypatch):
    """After kill -9 there is a beginning without an end."""
    with stage(root, "sft"):
        ran(root, "sft")
    endings.note(root, Ending(f"{DVC} ppo", DVC, "ppo/r1", "", 0))
    found = ended(root, monkeypatch)
    assert (found.info.status, found.data.tags["stage.ppo/r1.status"]) == ("KILLED", "killed")


def test_a_stage_of_another_session_says_nothing_of_this_one(root, monkeypatch):
    ran(root, "sft")
    under(monkeypatch, "dvc", "repro", identity=NEXT)
    with pytest.raises(ValueError, match="bad"), stage(root, "ppo", "r1"):
        raise ValueError("bad")
    found = ended(root, monkeypatch)
    assert "stage.ppo/r1.status" not in found.data.tags


def open_stage(root, *name: str, key: str = ""):
    """Open a stage's run that nobody closes; returns its recorder."""
    return notebook.InProcess(root, StageName(*name), load(root, TrackingInputs).tracking, Training(key))


@pytest.mark.parametrize("moments", [[], [5_000, 9_000, 7_000]])
def test_a_killed_stage_and_its_pipeline_end_with_the_last_sign_of_life(root, monkeypatch, moments):
    run = open_stage(root, "sft")
    start = run._client.get_run(run.run_id).info.start_time
    for step, moment in enumerate(moments):
        recorder.Recorder.metrics(run, {"loss": 0.5}, step, start + moment)
    run.leave()
    parent_before = parent(root).info.start_time
    found = ended(root, monkeypatch)
    killed = child(root, "sft")
    assert (killed.info.status, found.info.status) == ("KILLED", "KILLED")
    assert killed.info.end_time == start + (7_000 if moments else 0)  # that of the last step
    assert found.info.end_time == killed.info.end_time >= parent_before
    assert found.data.tags["stage.sft.status"] == "killed"


@pytest.mark.parametrize(("noted", "held", "status"), [
    ("", False, "KILLED"), ("", True, "RUNNING"), (None, False, "RUNNING"), ("failed", True, "FAILED")])  # fmt: skip
def test_a_stage_of_another_host_is_gone_where_it_noted_its_beginning_here_and_holds_its_lock_no_longer(
    root, monkeypatch, noted, held, status
):
    """Each container has a name of its own. Another machine's folder of the same path has other notes."""
    process = open_stage(root, "sft")._process
    (root / ".checkpoints/sft").mkdir(parents=True)
    for line in () if noted is None else {"": None, noted: None}:
        endings.note(root, Ending(process, DVC, "sft", line, 2))
    monkeypatch.setattr(sessions.socket, "gethostname", lambda: "another")
    monkeypatch.setattr(sessions, "PATIENCE", 0.1)
    with sessions.alone(root, StageName("sft")) if held else nullcontext():
        reaping.reap(store(root), root)
    assert (child(root, "sft").info.status, parent(root).info.status) == (status, status)


@pytest.mark.parametrize("experiment", ["", "gentle"])
def test_a_pipeline_of_another_host_has_ended_a_while_after_its_last_sign(root, monkeypatch, experiment):
    monkeypatch.setenv("DVC_EXP_NAME", experiment)
    with stage(root, "sft"):
        ran(root, "sft")
    monkeypatch.setattr(sessions.socket, "gethostname", lambda: "another")
    reaping.reap(store(root), root)
    assert parent(root).info.status == "RUNNING"
    monkeypatch.setattr(reaping, "UNSEEN", -1.0)
    reaping.reap(store(root), root)
    assert parent(root).info.status == ("RUNNING" if experiment else "FAILED"), "an experiment's copy has its own locks"


def test_a_model_whose_files_a_killed_stage_was_sending_has_failed_until_an_attempt_after_it_sends_them(
    root, monkeypatch
):
    def model(run):
        (found,) = run._client.search_logged_models([run._experiment_id], f"source_run_id = '{run.run_id}'")
        return found.status

    model_folder(root / "data/sft", 10)
    run = open_stage(root, "sft", key="0123")
    with monkeypatch.context() as patch:
        patch.setattr(type(run._client), "finalize_logged_model", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            run.model(root / "data/sft")
    assert model(run) == "PENDING"
    ended(root, monkeypatch)
    assert model(run) == "FAILED"
    again = open_stage(root, "sft", key="0123")
    again.model(root / "data/sft")
    assert (again.run_id, model(again)) == (run.run_id, "READY")


def test_a_pipeline_that_finished_by_the_cache_ended_with_its_own_last_stage(root, monkeypatch):
    restored(root, monkeypatch)
    ends = child(root, "ppo@r1").info.end_time
    monkeypatch.setattr(reaping.time, "time_ns", lambda: 10**19)
    assert ended(root, monkeypatch).info.end_time == ends


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_stage_whose_end_the_store_did_not_take_ends_as_its_process_noted(root, monkeypatch, status):
    run = open_stage(root, "evaluate")
    moment = run._client.get_run(run.run_id).info.start_time + 60_000
    process = run._client.get_run(run.run_id).data.tags["dvc.process"]
    note = Ending(process, DVC, "evaluate", status, moment)
    monkeypatch.setattr(endings, "read", lambda _: [note])
    found = ended(root, monkeypatch)
    for one in (found, child(root, "evaluate")):
        assert (one.info.status, one.info.end_time) == (status.upper(), moment)
    assert found.data.tags["stage.evaluate.status"] == status


def test_a_run_that_went_on_says_how_often_and_how_long_it_worked(root, monkeypatch):
    """10 s until kill -9, three days of nothing, 20 s until the end, of which 5 until its run was open."""
    first = open_stage(root, "ppo", "r1", key="0123")
    start = first._client.get_run(first.run_id).info.start_time
    recorder.Recorder.metrics(first, {"loss": 0.5}, 1, start + 10_000)
    first.leave()
    ended(root, monkeypatch)
    three_days = start + 3 * 86_400_000
    under(monkeypatch, "dvc", "repro", identity=NEXT)
    monkeypatch.setattr(sessions, "began", lambda _: three_days)
    monkeypatch.setattr(recorder, "_now", lambda: three_days + 5_000)
    again = open_stage(root, "ppo", "r1", key="0123")
    assert again.run_id == first.run_id
    tags = child(root, "ppo@r1").data.tags
    assert (tags["attempts"], tags["seconds.worked"]) == ("2", "10.0")
    assert tags["mlflow.note.content"] == "Went on after 1 interruption."
    monkeypatch.setattr(recorder, "_now", lambda: three_days + 20_000)
    again.describe(["**so**"], [])
    again.close("FAILED")
    tags = child(root, "ppo@r1").data.tags
    assert tags["seconds.worked"] == "30.0"
    assert tags["mlflow.note.content"] == "Went on after 1 interruption; worked 30s in all.\n\n**so**"
    third = open_stage(root, "ppo", "r1", key="0123")
    tags = child(root, "ppo@r1").data.tags
    assert (third.run_id, tags["attempts"], tags["seconds.worked"]) == (first.run_id, "3", "30.0")
    third.leave()
    ended(root, monkeypatch)
    tags = child(root, "ppo@r1").data.tags
    assert (tags["seconds.worked"], tags["mlflow.note.content"]) == ("30.0", "Went on after 2 interruptions.")


def test_an_earlier_pipeline_says_in_which_one_its_stage_went_on(root, monkeypatch):
    first = open_stage(root, "ppo", "r1", key="0123")
    first.close("KILLED")
    earlier = parent(root).info.run_id
    under(monkeypatch, "dvc", "repro", identity=NEXT)
    again = open_stage(root, "ppo", "r1", key="0123")
    again.close("FINISHED")
    client, later = first._client, parent(root)
    tags = client.get_run(earlier).data.tags
    assert later.info.run_id != earlier
    assert tags["went_on.ppo/r1"] == later.info.run_id
    assert (tags["stage.ppo/r1"], tags["stage.ppo/r1.status"]) == (first.run_id, "killed")
    link = f"#/experiments/{later.info.experiment_id}/runs/{later.info.run_id}?workflowType=machine_learning"
    moved = f"**ppo@r1 was broken off here and went on in the pipeline [{later.info.run_name}]({link}).**"
    assert tags["mlflow.note.content"].startswith(moved)
    assert "went_on.ppo/r1" not in later.data.tags
    assert client.get_run(first.run_id).data.tags["mlflow.parentRunId"] == later.info.run_id


def test_a_pipeline_does_not_end_with_a_stage_that_went_on_in_a_later_one(root, monkeypatch):
    """It was seen to be gone only afterwards: its dvc ran on another host, say."""
    open_stage(root, "ppo", "r1", key="0123").leave()
    earlier = parent(root)
    under(monkeypatch, "dvc", "repro", identity=NEXT)
    monkeypatch.setattr(recorder, "_now", lambda: earlier.info.start_time + 3 * 86_400_000)
    again = open_stage(root, "ppo", "r1", key="0123")
    again.close("FINISHED")
    ended(root, monkeypatch)
    assert again._client.get_run(earlier.info.run_id).info.end_time == earlier.info.start_time


def test_a_stage_that_goes_on_in_its_own_pipeline_leaves_its_page(root):
    open_stage(root, "ppo", "r1", key="0123").close("FAILED")
    open_stage(root, "ppo", "r1", key="0123").close("FINISHED")
    assert not any(name.startswith("went_on") for name in parent(root).data.tags)
