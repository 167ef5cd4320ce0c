"""Stage runs: what MLflow holds after a run, after a failure and after a kill, and what the screen shows."""

import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from rlhf.params.base import ParamsError
from rlhf.params.tracking import Tracking
from rlhf.runs import checkpoints, lineage, machine, mlflow_store, tracking
from rlhf.runs.recording import outbox, recorder
from tests import notebook

REPO = Path(__file__).resolve().parents[2]
PARAMS = """
seed: 17
runtime: {{device: cpu, threads: 1, workers: 1}}
rounds: {{r1: {{policy: sft, earlier: collect_prompts}}}}
tracking: {{enabled: {enabled}, uri: {uri}, experiment: rlhf, max_model_mb: 0.001, log_every: {log_every}}}
sft: {{learning_rate: 1.0e-3, sources: [a, b]}}
ppo: {{kl_coef: 0.05}}
"""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A repository's root whose database is not there yet."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "RANK"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "a repository"
    folder.mkdir()
    write_params(folder)
    return folder


@pytest.fixture
def root(bare, empty_store):
    """A repository's root whose database has its tables."""
    shutil.copy(empty_store, bare / "mlflow.db")
    return bare


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr(tracking, "MlflowWorker", notebook.InProcess)


def write_params(root: Path, enabled: str = "true", uri: str = "null", log_every: int = 1) -> None:
    (root / "params.yaml").write_text(PARAMS.format(enabled=enabled, uri=uri, log_every=log_every))


def model_folder(path: Path, size: int) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"x" * size)
    return path


def store(root: Path):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root.resolve() / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    return client, experiment, {run.info.run_name: run for run in client.search_runs([experiment])}


def parent_of(root: Path, name: str):
    client, _, runs = store(root)
    return client.get_run(runs[name].data.tags["mlflow.parentRunId"])


def test_a_large_checkpoint_is_recorded_by_reference(root, in_process):
    folder = model_folder(root / "data/sft", size=10_000)
    with tracking.stage_run(root, "sft") as run:
        run.log_model(folder)
    client, experiment, _ = store(root)
    (model,) = client.search_logged_models([experiment])
    assert model.tags["dvc.path"] == "data/sft"
    assert model.tags["dvc.md5"] == lineage.dvc_md5(folder)
    assert not list((root / "mlartifacts").rglob("model.safetensors"))


def test_a_failure_is_recorded(root, in_process):
    with pytest.raises(ZeroDivisionError), tracking.stage_run(root, "sft"):
        1 / 0  # noqa: B018
    assert store(root)[2]["sft"].info.status == "FAILED"
    assert parent_of(root, "sft").info.status == "FAILED"


def test_under_accelerate_only_the_first_process_records_and_speaks(bare, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with tracking.stage_run(bare, "sft") as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.progress(1, 1, {"loss": 1.0})
    assert capsys.readouterr().out == ""
    assert not (bare / "mlflow.db").exists()


def test_log_every_thins_curves_and_keeps_their_last_point(root, in_process):
    write_params(root, log_every=10)
    with tracking.stage_run(root, "sft") as run:
        for step in range(1, 26):
            run.log_metrics({"loss": step} | ({"validation": step} if step % 7 == 0 else {}), step=step)
    client, _, runs = store(root)
    history = {
        name: [point.step for point in client.get_metric_history(runs["sft"].info.run_id, name)]
        for name in ("loss", "validation")
    }
    assert history == {"loss": [1, 11, 21, 25], "validation": [7, 21]}


def test_without_tracking_nothing_is_written_and_progress_is_shown(bare, capsys):
    write_params(bare, enabled="false")
    with tracking.stage_run(bare, "sft") as run:
        run.log_inputs([bare / "absent"], context="training")
        run.log_model(bare / "absent")
        for step in range(1, 1001):
            run.log_metrics({"loss": 1.0}, step=step)
            run.progress(step, 1000, {"loss": 1.0})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("sft  1/1000  loss 1  0s")
    assert lines[-2].startswith("sft  1000/1000  loss 1")
    assert len(lines) == 3, "a fast loop prints its first and last step only"
    assert [path.name for path in bare.iterdir()] == ["params.yaml"]


def test_a_server_that_does_not_answer_stops_the_stage_before_its_work(root):
    with socket.socket() as silent:  # accepts connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        write_params(root, uri=f"http://user:secret@127.0.0.1:{port}")
        began = time.monotonic()
        named = rf"http://\*\*\*@127.0.0.1:{port}"
        with pytest.raises(ConnectionError, match=named), tracking.stage_run(root, "sft"):
            pytest.fail("the stage began")
        assert time.monotonic() - began < 30


def test_a_store_that_fails_later_costs_a_warning_and_not_the_model(root, capsys, monkeypatch, in_process):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def broken(*arguments, **named):
        raise MlflowException("disk full")

    monkeypatch.setattr(outbox, "SECONDS_AT_THE_END", 0.0)
    with tracking.stage_run(root, "sft") as run:
        for name in ("log_batch", "log_inputs", "create_logged_model", "log_artifact", "set_terminated"):
            monkeypatch.setattr(MlflowClient, name, broken)
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_inputs([root / "params.yaml"], context="training")
        run.log_model(root)
        run.log_artifact(root / "absent")
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "WARNING: sft: MLflow did not take inputs: disk full (it is tried again)"
    lost = f"inputs, model {root}, artifact {root}/absent, metrics, end of run, the pipeline's end"
    assert errors[-1] == f"WARNING: sft: lost, as MLflow has not taken it: {lost}"


def test_points_that_the_store_refuses_once_are_sent_again(root, capsys, monkeypatch, in_process):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    log_batch, calls = MlflowClient.log_batch, []

    def busy_at_first(*arguments, metrics=(), **named):
        calls.append([point.step for point in metrics])
        if len(calls) == 1:
            raise MlflowException("database is locked")
        log_batch(*arguments, metrics=metrics, **named)

    monkeypatch.setattr(recorder, "SECONDS_BETWEEN_FLUSHES", 0.0)
    with tracking.stage_run(root, "sft") as run:
        monkeypatch.setattr(MlflowClient, "log_batch", busy_at_first)
        for step in (1, 2, 3):
            time.sleep(1.0 if step == 2 else 0.0)  # the first pause of an outage
            run.log_metrics({"loss": 1 / step}, step=step)
    client, _, runs = store(root)
    points = client.get_metric_history(runs["sft"].info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert calls[:3] == [[1], [1, 2], [3]]
    assert "database is locked" in capsys.readouterr().err


def test_a_database_in_a_folder_that_does_not_exist_stops_the_stage_before_its_work(root):
    write_params(root, uri="sqlite:///absent/mlflow.db")
    with pytest.raises(ConnectionError, match="there is no folder .*absent"), tracking.stage_run(root, "sft"):
        pytest.fail("the stage began")


def test_a_missing_tracking_section_is_named(root):
    (root / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(ParamsError, match="'tracking' is missing"), tracking.stage_run(root, "sft"):
        pass


def test_md5_of_a_folder_is_the_one_that_dvc_computes(tmp_path):
    from dvc.repo import Repo

    for name in ("b.txt", "a/x", "a-b", "é"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        repo.add([str(tmp_path / "data")])
    assert lineage.dvc_md5(tmp_path / "data") in (tmp_path / "data.dvc").read_text()


def test_a_second_opener_waits_while_the_first_creates_the_database(bare):
    settings = Tracking(enabled=True, uri=None, experiment="rlhf", max_model_mb=1.0, log_every=1)
    with ThreadPoolExecutor() as pool:
        with FileLock(f"{bare / 'mlflow.db'}.init.lock"):
            opened = pool.submit(mlflow_store.open_store, settings, bare)
            with pytest.raises(TimeoutError):
                opened.result(timeout=0.5)
            assert not (bare / "mlflow.db").exists()
        opened.result(timeout=120)
    assert (bare / "mlflow.db").exists()


def states(root: Path, num_points: int) -> checkpoints.States:
    """Return the states of a training of which so many steps are done."""
    made = checkpoints.States(root / ".checkpoints/sft/0123456789abcdef", 0.0)
    made.points = [{"step": step} for step in range(1, num_points + 1)]
    return made


def test_a_training_that_goes_on_records_in_the_same_run_and_no_point_twice(root, in_process, capsys):
    def broken_off() -> None:
        with tracking.stage_run(root, "sft", states=states(root, 0)) as run:
            for step in range(1, 4):
                run.log_metrics({"loss": 1 / step}, step=step)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    first = store(root)[2]["sft"]
    assert first.info.status == "KILLED"
    with tracking.stage_run(root, "sft", states=states(root, 2)) as run:
        for step in range(1, 6):
            run.log_metrics({"loss": 1 / step}, step=step)
    client, experiment, runs = store(root)
    assert runs["sft"].info.run_id == first.info.run_id
    assert runs["sft"].info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(first.info.run_id, "loss")] == [1, 2, 3, 4, 5]
    assert "goes on after step 2" in capsys.readouterr().out
    with tracking.stage_run(root, "sft", states=states(root, 0)):  # it has finished: another run
        pass
    assert len(client.search_runs([experiment], "tags.`dvc.stage` = 'sft'")) == 2


def test_a_clock_that_goes_backwards_loses_no_point(root, in_process, monkeypatch):
    moments = iter(range(2_000_000_000_000_000_000, 0, -10_000_000_000))
    with tracking.stage_run(root, "sft") as run:
        monkeypatch.setattr(time, "time_ns", lambda: next(moments))
        for step in range(1, 5):
            run.log_metrics({"loss": 1 / step}, step=step)
            run.progress(step, 4, {})
    client, _, runs = store(root)
    assert sorted(point.step for point in client.get_metric_history(runs["sft"].info.run_id, "loss")) == [1, 2, 3, 4]
    assert runs["sft"].info.status == "FINISHED"


def test_a_run_says_what_was_found_and_on_which_machine(root, in_process):
    with tracking.stage_run(root, "evaluate") as run:
        run.describe(["**RLHF helped**"], [])
    _, _, runs = store(root)
    for found in (runs["evaluate"], parent_of(root, "evaluate")):
        assert found.data.tags["mlflow.note.content"].startswith("**RLHF helped**")
        assert f"torch {machine.describe()['torch']}" in found.data.tags["versions"]
        assert "cores" in found.data.tags["machine"]


def test_the_page_of_a_model_has_its_params_its_results_and_its_card(root, in_process):
    folder, card = model_folder(root / "data/ppo/r1", size=10), root / "README.md"
    card.write_text("---\nlicense: mit\n---\n\n# A policy")
    with tracking.stage_run(root, "ppo", "r1") as run:
        run.log_model(folder)
        run.log_metrics({"kl": 2.0})
    with tracking.stage_run(root, "evaluate") as run:
        run.log_card(folder, card)
        run.log_metrics({"win_rate": 0.7})
        run.log_deciding({"PPO beats SFT": 0.7}, ["PPO beats SFT"])
    client, experiment, runs = store(root)
    (model,) = client.search_logged_models([experiment])
    names = {file.path for file in client.list_logged_model_artifacts(model.model_id)}
    assert names == {"README.md", "config.json", "model.safetensors"}
    assert model.tags["mlflow.note.content"] == "# A policy", "without the front matter, which the file keeps"
    copied = Path(model.artifact_location.removeprefix("file://").replace("%20", " ")) / "README.md"
    assert copied.read_text() == card.read_text()
    assert model.params["ppo.kl_coef"] == "0.05"
    told = {metric.key: metric.value for metric in model.metrics}
    assert {metric.step for metric in model.metrics} == {0}
    assert told == {"ppo.r1.kl": 2.0, "evaluate.win_rate": 0.7, "PPO beats SFT": 0.7}
    for found in (runs["ppo@r1"], runs["evaluate"], parent_of(root, "evaluate")):
        assert [output.model_id for output in found.outputs.model_outputs] == [model.model_id]
    assert parent_of(root, "evaluate").data.metrics["PPO beats SFT"] == 0.7


def test_a_card_of_a_model_that_nobody_recorded_comes_with_the_model(root, in_process):
    folder, card = model_folder(root / "data/ppo/r1", size=10), root / "README.md"
    card.write_text("# A policy")
    with tracking.stage_run(root, "evaluate") as run:
        run.log_card(folder, card)
    client, experiment, _ = store(root)
    (model,) = client.search_logged_models([experiment])
    assert {file.path for file in client.list_logged_model_artifacts(model.model_id)} > {"README.md", "config.json"}


def test_results_are_no_points_of_a_curve_of_their_name(root, in_process):
    with tracking.stage_run(root, "ppo", "r1") as run:
        for step in (1, 2):
            run.log_metrics({"kl": float(step)}, step=step)
        run.log_metrics({"kl": 1.5})
    client, _, runs = store(root)
    found = runs["ppo@r1"]
    assert [point.step for point in client.get_metric_history(found.info.run_id, "kl")] == [1, 2]
    assert found.data.metrics == {"kl": 2.0, "ppo.r1.kl": 1.5}
