"""The summary answers from metrics alone and calls a result only what its interval shows."""

import json
import shutil

import pytest

from rlhf.params.base import read_yaml
from rlhf.runs import lineage, tracking
from rlhf.runtime import outputs
from tests import notebook, toys
from tests.people import judged
from tests.tools.test_check import REPO
from tools import summary


@pytest.fixture
def root(tmp_path):
    text = (REPO / "params.yaml").read_text(encoding="utf-8")
    assert read_yaml(REPO / "params.yaml")["rounds"].keys() == {"r1"}
    (tmp_path / "params.yaml").write_text(text.replace("enabled: true", "enabled: false"), encoding="utf-8")
    (tmp_path / "data/evaluate").mkdir(parents=True)
    (tmp_path / "data/evaluate/report.html").touch()
    return tmp_path


BY_NAME = ("ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_sft_best_temperature", "ppo_vs_best_of_4")


def figures(low: float, high: float) -> dict:
    """Return an evaluation in which PPO's controlled win rates have this interval, the plain ones 12 points more."""
    rate = {"mean": (low + high) / 2, "low": low, "high": high}
    plain = {name: round(value + 0.12, 6) for name, value in rate.items()}
    keys = ("sft_sampled", "sft_greedy", "ppo_sampled", "ppo_greedy")
    measures = {
        name: dict.fromkeys(keys, 0.5) for name in ("gold", "reward_model", "num_tokens", "missing_eos", "empty")
    }
    measures |= {"missing_eos": dict.fromkeys(keys, 0.1), "empty": dict.fromkeys(keys, 0.01)}
    means = [*keys, "sft_best_temperature", "ppo_best_temperature"]
    difference = {"mean": 0.2, "low": 0.15, "high": 0.25}
    return measures | {
        "prompts": 900, "decided_by": "gold", "score_range": {"low": 0.0, "high": 1.0}, "kl_per_answer": {"ppo": 7.25},
        "controlled": dict.fromkeys(BY_NAME, rate),
        "win_rate": dict.fromkeys((*BY_NAME, "ppo_vs_sft_length_controlled"), plain),
        "difference": dict.fromkeys(BY_NAME, difference), "controlled_difference": dict.fromkeys(BY_NAME, difference),
        "controlled_mean": dict.fromkeys(means, {"mean": 0.375, "low": 0.3, "high": 0.45}),
        "judged_by": {"accuracy": 0.7},
    }  # fmt: skip


def write(root, low: float, high: float, reward: dict | None = None, **evaluate) -> None:
    outputs.write_metrics(root, "evaluate", figures(low, high) | evaluate)
    own = {"accuracy": 0.712, "tfidf_accuracy": 0.6, "labelers_agreement": 0.731, "gold_accuracy": 0.83}
    own |= {"longer_preferred_by_model": 0.58, "longer_chosen_by_labelers": 0.55}
    outputs.write_metrics(root, "reward_model/r1", own | (reward or {}))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.7, 0.8, "RLHF helped. "), (0.45, 0.6, "No difference was shown. "), (0.2, 0.3, "RLHF made answers worse. ")],
)
def test_the_headline_follows_the_controlled_interval(root, capsys, low, high, verdict):
    write(root, low, high)
    assert summary.main(root) == 0
    assert capsys.readouterr().out.startswith(f"Did RLHF help? {verdict}".rstrip() + "\n")


def test_the_headline_says_the_worst_of_three_decodings_first():
    evaluate = figures(0.6, 0.8)
    evaluate["controlled"]["ppo_vs_sft_greedy"] = {"mean": 0.18, "low": 0.1, "high": 0.26}
    verdict, evidence = summary.headline(evaluate)
    assert verdict == (
        "Did RLHF help? RLHF made answers worse when greedy; it helped when sampled and at the best temperature."
    )
    assert evidence == (
        "At its weakest, greedy, PPO has a controlled mean gold of 0.38 and SFT of 0.38, a difference of +0.20 (+0.15 "
        "to +0.25); it beats SFT on 18% (10 to 26%) of 900 held-out prompts controlled, on 82% (72 to 92%) plain."
    )


def test_warnings_stand_between_the_verdict_and_the_win_rates(root, capsys):
    write(root, 0.7, 0.8)
    summary.main(root)
    assert "Look at this first" not in capsys.readouterr().out
    shares = {"empty": {"ppo_greedy": 0.67}, "document_loss": {"base": 5.0}}
    text = {"held_out_text": {"documents": 1, "unigram_entropy": 5.0}}
    write(root, 0.7, 0.8, {"accuracy": 0.5}, **shares, **text)
    summary.main(root)
    shown = capsys.readouterr().out
    places = [
        shown.index(words) for words in (
            "Did RLHF help?", "At its weakest", "\n\nLook at this first:\n",
            "  ! Answers are empty: PPO 67% greedy.\n    PPO: ",
            "  ! The base model's texts are noise", "  ! The reward model agrees with labelers on 50.0%",
            "  ! Every loss on pretraining text rests on one document.\n", "\n\nwin rate (gold decides)",
        )
    ]  # fmt: skip
    assert places == sorted(places)


def test_it_shows_kl_reward_model_beside_labelers_and_where_to_look(root, capsys):
    write(root, 0.7, 0.8)
    summary.main(root)
    shown = capsys.readouterr().out
    for piece in ("7.250", "0.375", "71.2%", "73.1%", "83.0%", "best of 4", "report.html", "samples.md"):
        assert piece in shown
    assert "MLflow" not in shown, "tracking is switched off"


def test_each_comparison_has_its_controlled_win_rates_above_its_plain_ones(root, capsys):
    write(root, 0.7, 0.8)
    summary.main(root)
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("win rate (gold decides)               sampled              greedy               best temperature")
    assert lines[at + 1 : at + 5] == [
        "  ppo vs sft, controlled              75% (70 to 80%)      75% (70 to 80%)      75% (70 to 80%)",
        "  ppo vs sft, plain                   87% (82 to 92%)      87% (82 to 92%)      87% (82 to 92%)",
        "  ppo vs best of 4, controlled        75% (70 to 80%)",
        "  ppo vs best of 4, plain             87% (82 to 92%)",
    ]


def test_without_an_evaluation_it_says_what_to_run(root, capsys):
    assert summary.main(root) == 1
    assert "make run" in capsys.readouterr().err


def test_in_a_fresh_clone_it_says_how_to_get_the_report_and_makes_no_database(root, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write(root, 0.7, 0.8)
    shutil.rmtree(root / "data")
    text = (root / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(text.replace("enabled: false", "enabled: true"), encoding="utf-8")
    summary.main(root)
    shown = capsys.readouterr().out
    assert "report   not here yet: `make run` or `dvc repro` makes it" in shown
    assert "dvc pull evaluate" in shown
    assert "report.html" not in shown
    assert f"MLflow   sqlite:///{root / 'mlflow.db'} has no run yet" in shown
    assert not (root / "mlflow.db").exists()


def test_figures_of_an_earlier_run_are_called_so_first(root, capsys, monkeypatch):
    write(root, 0.7, 0.8)
    monkeypatch.setattr(summary.changes, "in_a_line", lambda root, figures: "These figures are of an earlier run; ...")
    summary.main(root)
    assert capsys.readouterr().out.startswith("These figures are of an earlier run; ...\n\nDid RLHF help? RLHF helped.")


def test_a_folder_without_its_report_is_no_report(root, capsys):
    write(root, 0.7, 0.8)
    (root / "data/evaluate/report.html").rename(root / "data/evaluate/.gitignore")  # which DVC leaves
    summary.main(root)
    assert "report.html" not in capsys.readouterr().out


def test_without_the_last_rounds_reward_model_the_rest_is_shown_and_that_is_said(root, capsys):
    write(root, 0.7, 0.8)
    (root / "metrics/reward_model/r1.json").unlink()
    assert summary.main(root) == 0
    shown = capsys.readouterr().out
    assert "Did RLHF help? RLHF helped.\n" in shown
    assert "reward_model@r1 has not ended: it has no metrics" in shown


def test_a_broken_params_yaml_is_named(root, capsys):
    write(root, 0.7, 0.8)
    (root / "params.yaml").write_text("seed: 1\n  x: 2\n", encoding="utf-8")
    assert summary.main(root) == 2
    assert "params.yaml: line 2" in capsys.readouterr().err


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, empty_store):
    """A root in which evaluate has run, with a dvc.lock of what it made, and the ids of its run and its pipeline's."""
    with notebook.recorded_root(tmp_path_factory.mktemp("summary") / "repository", empty_store) as root:
        ids = evaluate(root, 0.7, 0.8)
        notebook.write_lock(root, {"evaluate": ["data/evaluate", "metrics/evaluate.json"]})
        yield root, ids


@pytest.fixture
def recorded(evaluated, tmp_path, monkeypatch):
    """A copy of the root of `evaluated`, which a test may change."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tracking, "MlflowWorker", notebook.InProcess)
    monkeypatch.setattr(summary.changes, "in_a_line", lambda root, figures: None)
    return shutil.copytree(evaluated[0], tmp_path / "repository")


def evaluate(root, low: float, high: float, bytes_made: str = "") -> tuple[str, str]:
    """Run a stand-in for evaluate; returns the ids of its run and of its pipeline's."""
    with tracking.stage_run(root, "evaluate") as run:
        write(root, low, high)
        numbers = json.loads((root / "metrics/evaluate.json").read_text())["evaluate"]
        run.log_metrics(numbers | {"judged_by": {"accuracy": 0.7000000001}})  # files round
        (root / "data/evaluate").mkdir(parents=True, exist_ok=True)
        (root / "data/evaluate/report.html").write_text(bytes_made or f"{low} to {high}")
        return run._recorder.run_id, run._recorder._pipeline.run_id


def client_of(root):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def mlflow_says(root, capsys) -> str:
    """Return what the summary says from the line of MLflow on, and of the report."""
    assert summary.main(root) == 0
    text = capsys.readouterr().out
    return text[text.index("report  ") :]


def test_the_run_that_made_these_figures_is_linked(evaluated, recorded, capsys):
    said = mlflow_says(recorded, capsys)
    assert f"/runs/{evaluated[1][1]}?" in said
    assert "dvc.lock" not in said and "not those" not in said


def test_the_run_of_an_evaluation_by_hand_is_linked_not_that_of_dvc_lock(evaluated, recorded, capsys, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "another")  # a session of its own
    _, by_hand = evaluate(recorded, 0.2, 0.3)
    said = mlflow_says(recorded, capsys)
    assert f"/runs/{by_hand}?" in said
    assert evaluated[1][1] not in said
    assert "data/evaluate is not what dvc.lock lists: evaluate ran by hand since, its files were changed, or" in said
    assert "not those of the run" not in said, "they are this run's"


def test_an_evaluation_again_in_the_same_session_has_its_own_figures(evaluated, recorded, capsys):
    """The pipeline's run keeps those of the first one."""
    assert evaluate(recorded, 0.2, 0.3)[1] == evaluated[1][1]
    assert "metrics/evaluate.json" not in mlflow_says(recorded, capsys)


def test_a_report_that_no_run_made_is_linked_to_none(recorded, capsys):
    (recorded / "data/evaluate/report.html").write_text("edited")
    said = mlflow_says(recorded, capsys)
    assert "/runs/" not in said
    assert "data/evaluate is not what dvc.lock lists" in said
    assert "no run with these bytes" in said


@pytest.mark.parametrize(
    ("place", "value"), [(("evaluate", "prompts"), 1), (("evaluate", "judged_by", "accuracy"), 0.9)]
)
def test_figures_that_were_edited_are_not_those_of_the_run_linked(evaluated, recorded, capsys, place, value):
    file = recorded / "metrics/evaluate.json"
    content = json.loads(file.read_text())
    toys.put(content, ".".join(place), value)
    file.write_text(json.dumps(content))
    said = mlflow_says(recorded, capsys)
    assert f"/runs/{evaluated[1][1]}?" in said
    assert "metrics/evaluate.json: these figures are not those of the run linked" in said
    assert said.count("not those") == 1


def test_params_that_the_run_linked_did_not_have_are_told(evaluated, recorded, capsys):
    """`dvc commit` takes in whatever params.yaml says, and DVC calls it up to date."""
    assert "the run linked had" not in mlflow_says(recorded, capsys)
    toys.set_param(recorded, "ppo.kl_coef", 0.44)
    toys.set_param(recorded, "checkpoints.every_seconds", 1.0)
    before = read_yaml(REPO / "params.yaml")["ppo"]["kl_coef"]
    said = mlflow_says(recorded, capsys)
    assert said.rstrip().endswith(f"the run linked had ppo.kl_coef {before} (params.yaml: 0.44)")


def test_that_the_run_linked_built_on_stale_stages_is_told(evaluated, recorded, capsys):
    client = client_of(recorded)
    client.set_tag(evaluated[1][1], "dvc.stale", "data/sft")
    told = "the run linked built on stages that ran before this changed: data/sft"
    assert mlflow_says(recorded, capsys).rstrip().endswith(told)
    client.set_tag(evaluated[1][1], "dvc.stale.unknown", "ppo.kl_coef")
    told = "whether the run linked built on stages that ran before this changed is not known: ppo.kl_coef"
    assert mlflow_says(recorded, capsys).rstrip().endswith(told)


def test_of_runs_with_the_same_report_the_newest_with_these_figures_is_linked(evaluated, recorded, capsys):
    same = (recorded / "data/evaluate/report.html").read_text()
    evaluate(recorded, 0.1, 0.2, same)
    write(recorded, 0.7, 0.8)
    said = mlflow_says(recorded, capsys)
    assert f"/runs/{evaluated[1][1]}?" in said
    assert "not those" not in said


def test_of_two_repositories_in_one_store_the_own_run_is_linked(recorded, capsys, monkeypatch):
    """They made the same bytes; the other one did so later."""
    pipelines = []
    for name in ("own", "other"):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        run, pipeline = evaluate(recorded, 0.7, 0.8)
        pipelines.append(pipeline)
    client_of(recorded).set_tag(run, "dvc.home", "/another/clone")
    said = mlflow_says(recorded, capsys)
    assert f"/runs/{pipelines[0]}?" in said
    assert pipelines[1] not in said


def test_a_reward_models_figures_that_the_run_does_not_have_are_told(evaluated, recorded, capsys):
    client_of(recorded).log_metric(evaluated[1][1], "reward_model.r1.accuracy", 0.5)
    said = mlflow_says(recorded, capsys)
    assert "metrics/reward_model/r1.json: these figures are not those of the run linked" in said
    assert "metrics/evaluate.json" not in said


def test_a_pipelines_run_that_was_deleted_gives_way_to_the_stages_own(evaluated, recorded, capsys):
    own, pipeline = evaluated[1]
    client_of(recorded).delete_run(pipeline)
    said = mlflow_says(recorded, capsys)
    assert f"/runs/{own}?" in said and pipeline not in said
    assert "its pipeline's run was deleted in MLflow" in said


def test_a_run_that_was_deleted_is_called_so(evaluated, recorded, capsys):
    client_of(recorded).delete_run(evaluated[1][0])
    said = mlflow_says(recorded, capsys)
    assert "its run was deleted in MLflow; back with: " in said
    assert "/runs/" not in said


def test_after_the_experiment_was_renamed_its_run_is_found_and_nothing_is_made(evaluated, recorded, capsys):
    toys.set_param(recorded, "tracking.experiment", "new")
    before = {path: path.read_bytes() for path in sorted(recorded.rglob("*")) if path.is_file()}
    said = mlflow_says(recorded, capsys)
    assert f"in experiment '{read_yaml(REPO / 'params.yaml')['tracking']['experiment']}'  http" in said
    assert f"/runs/{evaluated[1][1]}?" in said
    assert {path: path.read_bytes() for path in sorted(recorded.rglob("*")) if path.is_file()} == before


def test_without_the_data_the_run_is_that_of_dvc_lock(evaluated, recorded, capsys):
    shutil.rmtree(recorded / "data/evaluate")
    said = mlflow_says(recorded, capsys)
    assert f"/runs/{evaluated[1][1]}?" in said
    assert lineage.locked_outs(recorded)["evaluate"].keys() == {"data/evaluate", "metrics/evaluate.json"}


def test_what_waits_for_people_stands_first(root, capsys):
    toys.set_param(root, "collect_comparisons.labelers", judged.PEOPLE)
    judged.write_answers(root, [judged.answered(0), judged.answered(1)])
    line = "2 of 2 prompts of round r1 wait for labels: make label; then dvc repro goes on"
    assert summary.main(root) == 1
    assert capsys.readouterr().out.splitlines() == [line]
    write(root, 0.7, 0.8)
    assert summary.main(root) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown.index(line) < next(number for number, one in enumerate(shown) if one.startswith("Did RLHF help?"))
