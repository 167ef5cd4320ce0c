"""What MLflow takes of names and points, and what becomes of those that it refuses."""

import shutil

import pytest

from rlhf.runs import mlflow_store
from rlhf.runs.mlflow_store import LONGEST_NAME, allowed

NAMES = [
    "evaluate.win_rate", "ppo_vs_sft_by_category.阅读", "ppo_vs_sft_by_category.写作", "é", "a b", "a?b", "a!b", "a_b",
    "a//b", "a/b", "/a", "../a", "./a", ".", "..", "a/../b", "a/", "x" * 250, "x" * 251, "x" * 252, "读" * 300,
    "読" * 300, "category (other)", "tags: a,b",
]  # fmt: skip


def test_names_that_differ_stay_different_and_those_that_mlflow_takes_stay_as_they_are():
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name

    assert len({allowed(name) for name in NAMES}) == len(NAMES)
    assert MAX_ENTITY_KEY_LENGTH == LONGEST_NAME
    for name in NAMES:
        _validate_metric_name(allowed(name))
        assert len(allowed(name)) <= LONGEST_NAME
        try:
            _validate_metric_name(name)
        except MlflowException:
            assert allowed(name) != name
        else:
            assert len(name) > LONGEST_NAME or allowed(name) == name


@pytest.fixture
def run(tmp_path, empty_store):
    from mlflow import MlflowClient

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    return client, client.create_run("0").info.run_id


def test_a_point_that_mlflow_refuses_is_named_and_takes_no_other_with_it(run):
    client, run_id = run
    points = [(name, 1.0, 1_700_000_000_000, step) for step in range(600) for name in ("loss", "kl")]
    points.insert(700, ("a?b", 2.0, 1_700_000_000_000, 1))
    refused = mlflow_store.log_points(client, run_id, points)
    assert list(refused) == ["a?b"]
    assert "a?b" in refused["a?b"]
    for name in ("loss", "kl"):
        assert [point.step for point in client.get_metric_history(run_id, name)] == list(range(600))


def test_names_of_params_of_all_scripts_reach_the_store(run):
    client, run_id = run
    mlflow_store.log_params(client, run_id, {name: number for number, name in enumerate(NAMES)})
    found = client.get_run(run_id).data.params
    assert found == {allowed(name): str(number) for number, name in enumerate(NAMES)}


def test_an_experiment_that_was_deleted_is_named_with_the_way_back(run, tmp_path):
    client, _ = run
    settings = mlflow_store.Tracking(enabled=True, uri=None, experiment="mine", max_model_mb=1.0, log_every=1)
    identity = client.create_experiment("mine")
    mlflow_store.preflight(settings, tmp_path)
    client.delete_experiment(identity)
    for opened in (mlflow_store.preflight, mlflow_store.open_store):
        with pytest.raises(ConnectionError, match=f"'mine' was deleted .* restore --experiment-id {identity}"):
            opened(settings, tmp_path)
    client.restore_experiment(identity)
    assert mlflow_store.open_store(settings, tmp_path)[1] == identity
