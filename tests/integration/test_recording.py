"""A stage's recorder as the process of its own that it is: what it makes of nothing, and of a database that is none."""

from pathlib import Path

import pytest

from rlhf.runs import lineage, tracking
from rlhf.runtime import outputs
from tests.runs.test_tracking import bare, model_folder, parent_of, store  # noqa: F401

# ruff: noqa: F811


@pytest.mark.process
def test_a_run_holds_params_curves_inputs_and_its_model(bare, capsys):
    folder = model_folder(bare / "data/sft", size=100)
    with tracking.stage_run(bare, "sft") as run:
        run.log_params({"num_parameters": 3})
        run.log_inputs([folder / "config.json"], context="training")
        for step in range(1, 4):
            run.log_metrics({"loss": 1 / step, "by": {"阅读": 1}}, step=step)
        outputs.write_metrics(bare, "sft", {"loss": 0.25})
        run.log_model(folder)
        run.log_artifact(folder / "config.json")
    client, experiment, runs = store(bare)
    sft = runs["sft"]
    assert sft.info.status == "FINISHED"
    assert sft.data.params["sft.learning_rate"] == "0.001"
    assert sft.data.params["num_parameters"] == "3"
    assert "ppo.kl_coef" not in sft.data.params
    assert [point.step for point in client.get_metric_history(sft.info.run_id, "loss")] == [1, 2, 3]
    (dataset,) = sft.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.tags[0].value) == ("data/sft/config.json", "training")
    assert dataset.dataset.digest == lineage.dvc_md5(folder / "config.json")
    assert sft.data.tags["dvc.out.data/sft"] == lineage.dvc_md5(folder)
    (model,) = client.search_logged_models([experiment])
    assert (Path(model.artifact_location.removeprefix("file://").replace("%20", " ")) / "model.safetensors").exists()
    assert [artifact.path for artifact in client.list_artifacts(sft.info.run_id)] == ["config.json"]
    assert f"/runs/{sft.info.run_id}" in capsys.readouterr().out


@pytest.mark.process
def test_a_database_that_is_none_stops_the_stage_at_its_first_step(bare):
    (bare / "mlflow.db").write_text("not a database " * 100)
    with pytest.raises(ConnectionError, match="not a database"), tracking.stage_run(bare, "sft") as run:
        run.progress(1, 2, {})
