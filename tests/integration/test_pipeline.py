"""The commands that the README promises, run on the tiny preset in a copy of the repository."""

import json
import re
import shutil
import time

import pytest

from rlhf.params.base import read_yaml
from rlhf.runs import lineage
from rlhf.runtime.flat import flat_numbers, flatten
from tests.integration.conftest import EXPERIMENT, REPO, run


def test_repeating_says_that_nothing_is_to_be_done(pipeline):
    assert "up to date" in pipeline.repeated
    assert "Running stage" not in pipeline.repeated


def test_an_experiment_with_another_kl_coef_reruns_only_ppo_and_evaluate(pipeline):
    assert re.findall(r"Running stage '(.+)'", pipeline.experiment) == ["ppo@r1", "evaluate"]


def test_an_ablation_runs_only_what_it_changes_and_once_more_takes_the_place_of_the_first(pipeline):
    (pipeline.root / "low_kl.yaml").write_text("ppo: {kl_coef: 1.0e-6}\n")
    first, second = (run(pipeline.root, "python", "-m", "tools.ablate", "low_kl.yaml") for _ in range(2))
    assert re.findall(r"Running stage '(.+)'", first) == ["ppo@r1", "evaluate"]
    assert re.findall(r"Running stage '(.+)'", second) == []
    assert "has not run" not in first + second
    assert run(pipeline.root, "dvc", "exp", "list", "--name-only").split().count("low_kl") == 1


def test_every_file_of_metrics_is_an_output_that_dvc_knows(pipeline):
    known, others = (
        {path for outs in lineage.locked_outs(root).values() for path in outs} for root in (pipeline.root, REPO)
    )
    before = {path.relative_to(REPO).as_posix() for path in (REPO / "metrics").rglob("*") if path.is_file()}
    present = {
        path.relative_to(pipeline.root).as_posix() for path in (pipeline.root / "metrics").rglob("*") if path.is_file()
    }
    present -= before - others  # the laboratory's, the benchmarks'
    assert present - known == set(), "a plot that dvc.yaml does not list stays behind when DVC restores older outputs"


def test_the_summary_answers_whether_rlhf_helped_and_links_to_the_run(pipeline):
    text = run(pipeline.root, "python", "-m", "tools.summary")
    assert text.startswith("Did RLHF help? ")
    assert re.search(r"/#/experiments/\d+/runs/[0-9a-f]{32}", text)
    assert (pipeline.root / "data/evaluate/report.html").exists()
    assert (pipeline.root / "data/evaluate/samples.md").exists()


def test_dvc_and_mlflow_name_the_experiment_alike(pipeline):
    from mlflow import MlflowClient

    assert "more_kl" in run(pipeline.root, "dvc", "exp", "show", "--csv", "--only-changed", "--drop", "stages/.*")
    client = MlflowClient(f"sqlite:///{pipeline.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    (parent,) = client.search_runs([experiment], "attributes.run_name LIKE 'more_kl @%'")
    assert parent.data.params["ppo.kl_coef"] == "0.345"
    assert parent.data.tags["stage.ppo/r1.status"] == "finished"
    assert parent.data.tags["stage.sft.status"] == "cached"
    assert "evaluate.win_rate.ppo_vs_sft.mean" in parent.data.metrics
    assert "sft.validation_loss" in parent.data.metrics


def test_the_parents_latest_metrics_are_those_of_its_own_files_value_by_value(pipeline):
    """Also where the default's, the laboratory's and another experiment's lie beside them."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{pipeline.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    parents = [found for found in runs if "mlflow.parentRunId" not in found.data.tags]
    experiment_commit = run(
        pipeline.root, "git", "for-each-ref", "--format=%(objectname)", f"refs/exps/**/{EXPERIMENT}"
    ).strip()
    revisions = {"tiny": "HEAD", EXPERIMENT: experiment_commit}
    for parent in parents:
        revision = next((rev for name, rev in revisions.items() if parent.info.run_name.startswith(name)), None)
        if revision is None:  # of other tests
            continue
        files = [
            path for outs in lineage.locked_outs(pipeline.root, revision).values() for path in outs
            if path.startswith("metrics/") and path.endswith(".json")
        ]  # fmt: skip
        expected: dict[str, float] = {}
        for file in files:
            expected |= flat_numbers(json.loads(run(pipeline.root, "git", "show", f"{revision}:{file}")))
        own = {name: value for name, value in parent.data.metrics.items() if not re.match(r"\d ", name)}
        assert own == pytest.approx(expected, abs=0)
        assert len(files) == 13
        assert revisions.pop(parent.info.run_name.partition(" ")[0])
    assert revisions == {}


def test_dvc_and_mlflow_show_the_params_that_the_stages_read(pipeline):
    from mlflow import MlflowClient

    read = flatten(read_yaml(pipeline.root / "params.yaml"))
    for name, stage in lineage.locked(pipeline.root).items():
        for place, value in flatten(stage["params"]["params.yaml"]).items():
            assert repr(value) == repr(read[place]), (name, place)
    client = MlflowClient(f"sqlite:///{pipeline.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    (parent,) = client.search_runs([experiment], "attributes.run_name LIKE 'more_kl @%'")
    shown = {place: value for place, value in parent.data.params.items() if place in read}
    assert len(shown) > 200
    assert {place for place in shown if shown[place] != str(read[place])} == set()


def test_without_tracking_the_same_bytes_come_out(pipeline):
    lock = (pipeline.root / "dvc.lock").read_text()
    params = pipeline.root / "params.yaml"
    original = params.read_text()
    try:
        params.write_text(re.sub(r"^( +enabled: +)true", r"\1false", original, flags=re.MULTILINE))
        assert params.read_text() != original
        told = run(pipeline.root, "dvc", "repro", "--force", "--single-item", "--no-run-cache", "sft", "ppo@r1")
        assert "Running stage 'ppo@r1'" in told
        assert "/runs/" not in told
        assert (pipeline.root / "dvc.lock").read_text() == lock
    finally:
        params.write_text(original)


def computed(told: str) -> list[str]:
    """Return the stages that DVC ran, but for the one that checks the names of rounds."""
    return [stage for stage in re.findall(r"Running stage '(.+)'", told) if stage != "data/dvc.yaml:names"]


def test_a_round_taken_away_and_given_back_computes_only_what_cannot_be_restored(pipeline, tmp_path):
    root = shutil.copytree(pipeline.root, tmp_path / "repository", symlinks=True)
    params, one = root / "params.yaml", (root / "params.yaml").read_text()
    before = {name: stage["deps"] + stage["outs"] for name, stage in lineage.locked(root).items()}
    two = one.replace("\ntracking:", "  r2: {policy: ppo/r1, earlier: collect_comparisons/r1}\n\ntracking:", 1)
    params.write_text(two)
    run(root, "dvc", "repro")
    second = [f"{stage}/r2" for stage in ("collect_answers", "collect_comparisons", "reward_model", "ppo")]
    assert all((root / "data" / place).exists() and (root / f"metrics/{place}.json").exists() for place in second)

    params.write_text(one)
    back = run(root, "dvc", "repro")
    assert computed(back) == ["evaluate"]
    assert "round r2: params.yaml no longer lists it; removed" in back
    assert not any((root / "data" / place).exists() or (root / f"metrics/{place}.json").exists() for place in second)
    now = {name: stage["deps"] + stage["outs"] for name, stage in lineage.locked(root).items()}
    assert {name: now[name] for name in before} == before

    params.write_text(two)
    assert computed(run(root, "dvc", "repro")) == []
    assert all((root / "data" / place).exists() and (root / f"metrics/{place}.json").exists() for place in second)
    params.write_text(one)
    assert "round r2: params.yaml no longer lists it; removed" in run(root, "python", "-m", "tools.check")
    assert computed(run(root, "dvc", "repro")) == [], "evaluate is found in the run cache"
    now = {name: stage["deps"] + stage["outs"] for name, stage in lineage.locked(root).items()}
    assert {name: now[name] for name in before} == before


def test_a_pipeline_that_ends_with_what_is_there_is_finished_whatever_is_done_to_dvc_lock_next(copy):
    """PPO comes out as before, and DVC has nothing to run after it: the row is given its end as `dvc` ends."""
    from mlflow import MlflowClient

    before = (copy / "dvc.lock").read_text()
    with (copy / "rlhf/rl/advantages.py").open("a") as code:
        code.write("# a comment\n")
    assert computed(run(copy, "dvc", "repro", "--no-run-cache")) == ["ppo@r1"]
    assert (copy / "dvc.lock").read_text() != before
    (copy / "dvc.lock").write_text(before)
    client = MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf").experiment_id
    deadline = time.monotonic() + 60
    while client.search_runs([experiment], "attributes.status = 'RUNNING'") and time.monotonic() < deadline:
        time.sleep(0.2)
    row = next(run for run in client.search_runs([experiment]) if "mlflow.parentRunId" not in run.data.tags)
    told = row.data.tags["mlflow.note.content"]
    assert (row.info.status, row.data.tags.get("stage.evaluate.status")) == ("FINISHED", "cached"), told
    assert row.data.tags["dvc.command"].endswith("dvc repro --no-run-cache")
