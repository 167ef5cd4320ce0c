"""A store that is away for a while: what a run holds afterwards, and what is said of what it does not hold."""

from contextlib import redirect_stderr
from io import StringIO

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE

from rlhf.runs.recording import outbox
from rlhf.runs.recording.outbox import Outbox
from tests import notebook
from tests.runs.test_recorder import _plain_environment, be_plain, held, new_root, opened, root  # noqa: F401
from tests.runs.test_tracking import model_folder

WRITES = (  # methods of MlflowClient by which a recorder writes
    "log_batch", "log_inputs", "log_outputs", "set_tag", "log_artifact", "log_artifacts", "set_terminated",
    "create_logged_model", "log_model_artifacts", "log_model_artifact", "finalize_logged_model",
    "set_logged_model_tags", "set_experiment_tag", "get_run", "search_logged_models",
)  # fmt: skip
END = "MLflow did not take"


def away(message: str = "database is locked", code: int = TEMPORARILY_UNAVAILABLE) -> MlflowException:
    return MlflowException(message, code)


def fail_at_first(monkeypatch, method: str, times: int, does_its_work: bool) -> None:
    """Let the first calls of a client's method fail: before they did anything, or with their answer lost."""
    right, calls = getattr(MlflowClient, method), []

    def failing(self, *arguments, **named):
        calls.append(method)
        if len(calls) > times:
            return right(self, *arguments, **named)
        if does_its_work:
            right(self, *arguments, **named)
        raise away()

    monkeypatch.setattr(MlflowClient, method, failing)


def tell_all(root, run, wait=lambda _: None):  # noqa: F811
    """Say everything that a stage can say; returns what the store holds then, without ids and moments."""
    folder, file = root / "data/ppo/r1", root / "params.yaml"
    run.inputs([file], "training")
    run.metrics({"loss": 0.5}, 1, 7)
    run.params({"extra": 1})
    run.model(folder)
    run.results({"ppo.r1.kl": 2.0}, 8)
    run.artifact(file)
    run.artifact(root / "plots")
    run.card(folder, root / "README.md")
    run.decide({"PPO beats SFT": 0.7}, ["PPO beats SFT"], 9)
    run.describe(["**so**"], [])
    run.close("FINISHED", wait)
    return contents(run)


def contents(run) -> dict:
    client, (child, parent) = run._client, held(run)
    models = client.search_logged_models([run._experiment_id])
    ids = {run.run_id: "child", parent.info.run_id: "parent"} | {model.model_id: "model" for model in models}

    def plain(value: str) -> str:
        for identity, name in ids.items():
            value = value.replace(identity, name)
        return value

    tags = [{name: plain(text) for name, text in found.data.tags.items()} for found in (child, parent)]
    outputs = [[ids[one.model_id] for one in found.outputs.model_outputs] for found in (child, parent)]
    return {
        "tags": tags,
        "params": [found.data.params for found in (child, parent)],
        "metrics": [found.data.metrics for found in (child, parent)],
        "points": [len(client.get_metric_history(run.run_id, name)) for name in child.data.metrics],
        "status": [found.info.status for found in (child, parent)],
        "inputs": [(one.dataset.name, one.dataset.digest) for one in child.inputs.dataset_inputs],
        "outputs": outputs,
        "artifacts": [one.path for one in client.list_artifacts(run.run_id)],
        "models": [(model.name, str(model.status), model.params, model.tags.get("mlflow.note.content"),
                    sorted((one.key, one.value) for one in model.metrics or []),
                    [file.path for file in client.list_logged_model_artifacts(model.model_id)]) for model in models],
        "columns": client.get_experiment(run._experiment_id).tags,
    }  # fmt: skip


@pytest.fixture
def stage(root):  # noqa: F811
    """A root in which a stage has made what it tells of."""
    return filled(root)


def filled(root):  # noqa: F811
    model_folder(root / "data/ppo/r1", 10)
    (root / "plots").mkdir()
    (root / "plots/a.csv").write_text("1")
    (root / "metrics/ppo").mkdir(parents=True)
    (root / "metrics/ppo/r1.json").write_text('{"ppo": {"r1": {"kl": 2.0}}}')
    (root / "README.md").write_text("# A policy")
    return root


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, empty_store):
    """What a store holds that always takes everything."""
    said = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        be_plain(patch)
        folder = filled(new_root(tmp_path_factory.mktemp("undisturbed"), empty_store))
        expected = tell_all(folder, opened(folder))
    assert said.getvalue() == ""
    assert [len(found) for found in (expected["models"], expected["inputs"], expected["points"])] == [1, 1, 3]
    return expected


def of_folder(found: dict) -> dict:
    """Leave out what names the folder."""
    tags = [{name: value for name, value in one.items() if name != "dvc.home"} for one in found["tags"]]
    return found | {"columns": [*found["columns"]], "tags": tags}


@pytest.mark.parametrize("does_its_work", [False, True], ids=["refused", "with its answer lost"])
@pytest.mark.parametrize("method", WRITES)
def test_whatever_fails_for_a_while_the_run_holds_the_same(
    stage, undisturbed, monkeypatch, capsys, method, does_its_work
):
    run = opened(stage)
    fail_at_first(monkeypatch, method, 2, does_its_work)
    assert of_folder(tell_all(stage, run)) == of_folder(undisturbed)
    said = capsys.readouterr().err
    assert "WARNING: ppo@r1: MLflow did not take " in said
    assert "lost" not in said


def test_a_store_that_comes_back_while_the_stage_waits_for_it_gets_everything(stage, undisturbed, monkeypatch, capsys):
    run, waited = opened(stage), []
    with monkeypatch.context() as outage:
        for method in WRITES:
            outage.setattr(MlflowClient, method, lambda *_, **__: (_ for _ in ()).throw(away()))

        def wait(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                outage.undo()

        found = tell_all(stage, run, wait)
    assert of_folder(found) == of_folder(undisturbed)
    assert waited == [1, 2, 4]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "WARNING: ppo@r1: MLflow did not take inputs: database is locked (it is tried again)"
    assert said[1].startswith("ppo@r1: waiting up to 60 s for MLflow, which has not taken inputs, params, ")
    assert said[2:] == ["ppo@r1: MLflow has taken what waited"]


def test_what_a_store_has_not_taken_in_the_end_is_named_with_its_number(stage, monkeypatch, capsys):
    run = opened(stage)
    for method in WRITES:
        monkeypatch.setattr(MlflowClient, method, lambda *_, **__: (_ for _ in ()).throw(away()))
    monkeypatch.setattr(outbox, "SECONDS_AT_THE_END", 0.0)
    run.params({"a": 1})
    run.params({"b": 1})
    for step in (1, 2, 3):
        run.metrics({"loss": 0.5}, step, step)
    run.close("FAILED", lambda _: None)
    lost = capsys.readouterr().err.splitlines()[-1]
    assert lost == (
        "WARNING: ppo@r1: lost, as MLflow has not taken it: params (2), metrics (3), end of run, the pipeline's end"
    )


def test_a_refusal_is_named_once_and_not_tried_again(stage, monkeypatch, capsys):
    run, asked = opened(stage), []

    def refused(*_, **__):
        asked.append(1)
        raise away("no such type\nand more", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(MlflowClient, "log_inputs", refused)
    run.inputs([stage / "params.yaml"], "training")
    run.artifact(stage / "absent")
    run.close("FINISHED", lambda _: pytest.fail("it waits for nothing"))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "WARNING: ppo@r1: MLflow refuses inputs: no such type"
    assert said[1].startswith(f"WARNING: ppo@r1: MLflow refuses artifact {stage}/absent: ")
    assert (len(said), len(asked)) == (2, 1)
    assert held(run)[0].info.status == "FINISHED"


def test_a_full_disk_under_the_artifacts_costs_them_alone(stage, monkeypatch, capsys):
    run = opened(stage)
    for method in ("log_artifact", "log_artifacts", "log_model_artifacts", "log_model_artifact"):
        monkeypatch.setattr(MlflowClient, method, lambda *_, **__: (_ for _ in ()).throw(OSError("No space left")))
    monkeypatch.setattr(outbox, "SECONDS_AT_THE_END", 0.0)
    found = tell_all(stage, run)
    assert found["status"] == ["FINISHED", "RUNNING"]
    assert found["metrics"][0] == {"loss": 0.5, "ppo.r1.kl": 2.0, "PPO beats SFT": 0.7}
    ((_, status, _, page, metrics, files),) = found["models"]
    assert (status, page, files) == ("FAILED", "# A policy", [])
    assert metrics == [("PPO beats SFT", 0.7), ("ppo.r1.kl", 2.0)]
    lost = capsys.readouterr().err.splitlines()[-1].partition("taken it: ")[2]
    folder = stage / "data/ppo/r1"
    assert lost.split(", ") == [
        f"files of model {folder}", f"artifact {stage}/params.yaml", f"artifact {stage}/plots",
        f"file of card {stage}/README.md",
    ]  # fmt: skip
    for tags in found["tags"]:
        page = tags["mlflow.note.content"]
        assert page.startswith(
            f"**ppo@r1: MLflow did not take all of it.** Not here: files of model {folder}, artifact"
        )
        assert "**so**" in page


class NoConnection(Exception):
    """As boto's: of none of MLflow's or Python's own classes for what may go away."""


def test_a_store_of_artifacts_that_is_away_is_tried_again_and_a_mistake_of_ours_is_not(stage, monkeypatch):
    right, fails = MlflowClient.log_artifact, [NoConnection("endpoint")]

    def log_artifact(*arguments):
        if fails:
            raise fails[0]
        right(*arguments)

    monkeypatch.setattr(MlflowClient, "log_artifact", log_artifact)
    with monkeypatch.context() as patch:
        patch.setattr(NoConnection, "__module__", "botocore.exceptions")
        run = opened(stage)
        run.artifact(stage / "params.yaml")
        run.close("FINISHED", lambda _: fails.clear())
    assert "params.yaml" in [one.path for one in run._client.list_artifacts(run.run_id)]
    fails.append(NoConnection("endpoint"))
    with pytest.raises(NoConnection):
        opened(stage).artifact(stage / "params.yaml")


def test_waiting_ends_with_the_stage_that_waits(stage, monkeypatch, capsys):
    run, waited = opened(stage), []
    monkeypatch.setattr(MlflowClient, "set_terminated", lambda *_, **__: (_ for _ in ()).throw(away()))
    run.close("KILLED", lambda seconds: waited.append(seconds) or True)
    assert waited == [1]
    assert capsys.readouterr().err.endswith("lost, as MLflow has not taken it: end of run, the pipeline's end\n")


@pytest.fixture
def clock(monkeypatch):
    return notebook.stopped_clock(monkeypatch, outbox, 1000.0)


def test_pauses_between_attempts_grow_to_five_minutes_and_end_with_the_outage(clock, capsys):
    box, asked, broken = Outbox("sft"), [], [True]

    def record() -> None:
        asked.append(clock.now - 1000)
        if broken:
            raise away()

    box.put("params", record)
    for second in range(1, 1300):
        clock.now = 1000.0 + second
        if box.due_in() == 0:
            box.attempt()
    assert asked == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111]
    broken.clear()
    clock.now += 300
    box.attempt()
    box.put("params", record)
    assert asked[-2:] == [1599, 1599]
    assert (box.due_in(), len(capsys.readouterr().err.splitlines())) == (None, 2)


@pytest.mark.parametrize(("seconds", "asked"), [(0, [0, 1, 2, 3, 4]), (3, [0, 1]), (20, [0])])
def test_a_round_tries_all_but_where_failures_take_long_and_what_waits_keeps_its_order(clock, seconds, asked):
    box, done, broken = Outbox("sft"), [], [True]

    def operation(number: int):
        def record() -> None:
            done.append(number)
            if broken:
                clock.now += seconds
                raise away()

        return record

    for number in range(5):
        box.put(f"operation {number}", operation(number))
    done.clear()
    box.attempt()
    assert done == asked
    broken.clear()
    box.attempt()
    assert done == [*asked, 0, 1, 2, 3, 4]


def test_operations_of_a_line_do_not_overtake_one_another(clock):
    box, done, broken = Outbox("sft"), [], [True]

    def fails() -> None:
        if broken:
            raise OSError("full")
        done.append("model")

    box.put("model", fails, line="models")
    clock.now += 1
    box.put("results of it", lambda: done.append("results of it"), line="models")
    box.put("results", lambda: done.append("results"))
    assert done == ["results"], "the store is there"
    box.attempt()
    broken.clear()
    box.attempt()
    assert done == ["results", "model", "results of it"]
