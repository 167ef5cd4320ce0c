"""The look at dvc.lock as dvc ends: before anything can change it, and only by the last stage's recorder."""

import subprocess
import sys
from typing import Any

import psutil
import pytest
from mlflow.exceptions import MlflowException

from rlhf.runs import lineage, mlflow_store, sessions
from rlhf.runs.mlflow_store import Store
from rlhf.runs.recording import endings, watching
from rlhf.runs.recording.endings import Ending
from rlhf.runs.recording.watching import Watch
from tests import notebook
from tests.runs.test_pipeline_runs import parent, root, under  # noqa: F401
from tests.runs.test_reaping import edit_lock, open_stage, restored, store

# ruff: noqa: F811

KEY, OWN, NEXT = "the session", "host 1 1.00", "host 2 2.00"


class Recorded:
    """Stands in for a client of MLflow: the processes whose runs it has, and whether it answers."""

    def __init__(self):
        self.processes, self.is_away = list[str](), False

    def search_runs(self, experiments, query, max_results):
        if self.is_away:
            raise MlflowException("no answer")
        return [one for one in self.processes if query == mlflow_store.equals("tags.dvc.process", one)]


@pytest.fixture
def recorded():
    return Recorded()


@pytest.fixture
def dvc():
    """A process that ends when its input does."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield process
    process.communicate()


@pytest.fixture
def watch(tmp_path, dvc, recorded, monkeypatch):
    """A watch of a living process, whose stage has begun and ended."""
    for status in ("", "finished"):
        endings.note(tmp_path, Ending(OWN, KEY, "ppo/r1", status, 1))
    monkeypatch.setattr(watching, "_leave_the_terminal", lambda _: None)
    monkeypatch.setattr(watching, "SECONDS_BETWEEN_LOOKS", 0.05)
    identity = sessions._identity(psutil.Process(dvc.pid))
    client: Any = recorded
    return Watch(Store(client, "1"), tmp_path, identity, KEY, OWN, "the pipeline's run", {})


@pytest.fixture
def third_look(watch, monkeypatch):
    """A list of what is to happen right before the third look; the returned one has whether dvc lived at each."""
    real, happens, lived = sessions.has_ended, [], []

    def has_ended(identity, seconds):
        lived.append(psutil.pid_exists(int(identity.split()[1])))
        if len(lived) == 3:
            happens[0]()
        assert len(lived) < 100, "it stays though nothing is to come"
        return real(identity, seconds)

    monkeypatch.setattr(sessions, "has_ended", has_ended)
    return happens, lived


def test_it_looks_once_when_dvc_has_ended_and_not_before(watch, dvc, third_look, monkeypatch):
    happens, lived = third_look
    happens.append(dvc.communicate)
    seen = []
    monkeypatch.setattr(watching.reaping, "reap", lambda _, home, lock: seen.append((home, dvc.poll())))
    watching.until_dvc_ends(watch)
    assert (lived, [home for home, _ in seen]) == ([True] * 3, [watch.home])
    assert seen[0][1] is not None, "dvc had ended by then"


def next_stage(watch) -> None:
    endings.note(watch.home, Ending(NEXT, KEY, "evaluate", "", 2))


@pytest.mark.parametrize("is_away", [False, True])
def test_the_next_stage_of_the_session_ends_it_without_a_look_once_it_is_recorded(
    watch, dvc, recorded, third_look, monkeypatch, is_away
):
    happens, lived = third_look

    def come_in() -> None:
        recorded.processes, recorded.is_away = [NEXT], False

    happens.append(come_in)
    recorded.is_away = is_away
    monkeypatch.setattr(watching.reaping, "reap", lambda *_: pytest.fail("dvc goes on"))
    endings.note(watch.home, Ending("host 3 3.00", "another session", "sft", "", 2))
    next_stage(watch)
    watching.until_dvc_ends(watch)
    assert (len(lived), dvc.poll()) == (3, None)


def test_a_next_stage_that_is_killed_before_it_has_a_run_leaves_dvcs_end_to_this_one(
    watch, dvc, third_look, monkeypatch
):
    third_look[0].append(dvc.communicate)
    next_stage(watch)
    seen = []
    monkeypatch.setattr(watching.reaping, "reap", lambda *_: seen.append(dvc.poll()))
    watching.until_dvc_ends(watch)
    assert len(seen) == 1
    assert seen[0] is not None, "dvc had ended by then"


def test_a_store_that_is_away_as_dvc_ends_is_asked_again(watch, dvc, monkeypatch):
    """By the lock as it was, whatever it is by then."""
    locks, pauses = [], []

    def reap(_store, home, lock):
        locks.append(lock)
        if len(locks) < 3:
            raise MlflowException("no answer")

    monkeypatch.setattr(watching.reaping, "reap", reap)
    monkeypatch.setattr(watching.time, "sleep", pauses.append)
    dvc.communicate()
    watching.until_dvc_ends(watch)
    assert len(locks) == 3
    assert locks[0] is locks[2]
    assert pauses == [*watching.PAUSES[:2]]


def test_a_pipeline_ends_by_the_lock_at_dvcs_end_though_that_is_changed_right_after(root, watch, dvc, monkeypatch):
    restored(root, monkeypatch)
    found = store(root)
    dvc.communicate()
    monkeypatch.setattr(sessions, "is_gone", lambda _: True)
    watching.until_dvc_ends(watch._replace(store=found, home=root, key="none"))
    assert parent(root).info.status == "RUNNING", "no stage of this session is known: nothing is awaited"
    real = watching.reaping.reap

    def reap(store, home, lock):
        edit_lock(root, lambda stages: stages["ppo@r1"]["outs"][0].update(md5="0" * 32))
        real(store, home, lock)

    monkeypatch.setattr(watching.reaping, "reap", reap)
    watching.until_dvc_ends(watch._replace(store=found))
    assert (parent(root).info.status, parent(root).data.metrics["PPO beats SFT"]) == ("FINISHED", 0.25)


@pytest.mark.parametrize("says", ["nothing", "another md5"])
def test_a_finished_pipeline_whose_last_stage_dvc_ended_without_recording_has_failed(
    root, dvc, watch, monkeypatch, says
):
    own = finished(root, dvc, watch, monkeypatch)
    if says == "another md5":
        notebook.write_lock(root, {"evaluate": ["data/evaluate"]})
        edit_lock(root, lambda stages: stages["evaluate"]["outs"][0].update(md5="0" * 32))
    dvc.communicate()
    watching.until_dvc_ends(own)
    found = parent(root)
    assert (found.info.status, found.data.tags["stage.evaluate.status"]) == ("FAILED", "finished")
    page = found.data.tags["mlflow.note.content"]
    assert page.startswith("**`dvc` ended without recording data/evaluate:** dvc.lock does not have it")


def test_a_finished_pipeline_is_not_waited_for_once_dvc_has_recorded_it(root, dvc, watch, third_look, monkeypatch):
    """Nor does a later command's change of the lock count."""
    happens, lived = third_look
    happens.append(lambda: notebook.write_lock(root, {"evaluate": ["data/evaluate"]}))
    watching.until_dvc_ends(finished(root, dvc, watch, monkeypatch))
    assert (lived, dvc.poll(), parent(root).info.status) == ([True] * 3, None, "FINISHED")


def test_what_dvc_records_as_it_ends_is_seen(root, dvc, watch, monkeypatch):
    own = finished(root, dvc, watch, monkeypatch)

    def has_ended(*_):
        notebook.write_lock(root, {"evaluate": ["data/evaluate"]})
        return True

    monkeypatch.setattr(sessions, "has_ended", has_ended)
    watching.until_dvc_ends(own)
    assert parent(root).info.status == "FINISHED"


@pytest.mark.parametrize(("where", "stays"), [
    ("here", True), ("an experiment here", True), ("a copy", False), ("by hand", False),
    ("without dvc", False)])  # fmt: skip
def test_a_recorder_stays_for_dvc_to_record_a_finished_pipeline(root, monkeypatch, tmp_path_factory, where, stays):
    if where == "a copy":
        monkeypatch.setenv("DVC_ROOT", str(tmp_path_factory.mktemp("main")))
    if where in ("a copy", "an experiment here"):
        monkeypatch.setenv("DVC_EXP_NAME", "gentle")
    if where == "by hand":
        under(monkeypatch, "python", "-m", "stages.evaluate", identity=sessions.own_process())
    if where == "without dvc":
        under(monkeypatch)
    run = open_stage(root, "evaluate")
    (root / "data/evaluate").mkdir(parents=True)
    run.close("FINISHED")
    found = run.watch()
    assert (found is not None) == stays
    assert not found or found.made == {"data/evaluate": lineage.dvc_md5(root / "data/evaluate")}
    assert run._client.get_run(run._pipeline.run_id).info.status == "FINISHED"


def finished(root, dvc, watch, monkeypatch) -> Watch:
    """Let `evaluate` end under a living dvc; returns what its recorder stays for."""
    under(monkeypatch, "dvc", "repro", identity=watch.session)
    run = open_stage(root, "evaluate")
    (root / "data/evaluate").mkdir(parents=True)
    run.close("FINISHED")
    for status in ("", "finished"):
        endings.note(root, Ending(run._process, sessions.session_key(watch.session), "evaluate", status, 1))
    found = run.watch()
    assert found
    assert parent(root).info.status == "FINISHED"
    return found
