"""The summary answers from metrics alone and calls a result only what its interval shows."""

import shutil

import pytest

from rlhf.params.base import read_yaml
from rlhf.runtime import outputs
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


def write(root, low: float, high: float) -> None:
    rate = {"mean": (low + high) / 2, "low": low, "high": high}
    keys = ("sft_sampled", "sft_greedy", "ppo_sampled", "ppo_greedy")
    measures = {
        name: dict.fromkeys(keys, 0.5) for name in ("gold", "reward_model", "num_tokens", "missing_eos", "empty")
    }
    rates = dict.fromkeys(("ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_best_of_4"), rate)
    evaluate = {"prompts": 900, "decided_by": "gold labeler", "win_rate": rates, "kl_per_answer": {"ppo": 7.25}}
    outputs.write_metrics(root, "evaluate", evaluate | measures | {"judged_by": {"accuracy": 0.7}})
    reward = {"accuracy": 0.712, "tfidf_accuracy": 0.6, "labelers_agreement": 0.731, "gold_accuracy": 0.83}
    outputs.write_metrics(root, "reward_model/r1", reward)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.7, 0.8, "RLHF helped. "), (0.45, 0.6, "No difference was shown. "), (0.2, 0.3, "RLHF made answers worse. ")],
)
def test_the_headline_follows_the_interval(root, capsys, low, high, verdict):
    write(root, low, high)
    assert summary.main(root) == 0
    assert capsys.readouterr().out.startswith(f"Did RLHF help? {verdict}")


def test_the_headline_says_where_greedy_and_sampled_differ():
    rates = {"ppo_vs_sft": {"mean": 0.7, "low": 0.6, "high": 0.8}}
    rates["ppo_vs_sft_greedy"] = {"mean": 0.18, "low": 0.1, "high": 0.26}
    said = summary.headline({"win_rate": rates, "prompts": 86})
    assert said.startswith("Did RLHF help? Sampled, RLHF helped; greedy, it made answers worse. PPO beats SFT on 70% ")


def test_it_shows_kl_reward_model_beside_labelers_and_where_to_look(root, capsys):
    write(root, 0.7, 0.8)
    summary.main(root)
    shown = capsys.readouterr().out
    for piece in ("7.250", "71.2%", "73.1%", "83.0%", "75% (70% to 80%)", "best of 4", "report.html", "samples.md"):
        assert piece in shown
    assert "MLflow" not in shown, "tracking is switched off"


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
    assert capsys.readouterr().out.startswith("These figures are of an earlier run; ...\n\nDid RLHF help? RLHF helped")


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
    assert "Did RLHF help? RLHF helped. " in shown
    assert "reward_model@r1 has not ended: it has no metrics" in shown


def test_a_broken_params_yaml_is_named(root, capsys):
    write(root, 0.7, 0.8)
    (root / "params.yaml").write_text("seed: 1\n  x: 2\n", encoding="utf-8")
    assert summary.main(root) == 2
    assert "params.yaml: line 2" in capsys.readouterr().err
