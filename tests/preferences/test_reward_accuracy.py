"""From comparisons to a normalised, measured reward model."""

import json
import math
from types import SimpleNamespace

import pytest

from rlhf.models.reward_head import RewardMeaning
from rlhf.params.reward_model import RewardModel
from rlhf.preferences import preference_training, reward_accuracy, rewards
from rlhf.records import records
from rlhf.records.types import Demonstration
from rlhf.runs import checkpoints
from rlhf.training.context import StageContext
from tests import toys

RUNTIME = toys.runtime()


class Silent:
    """A stage's run that records nothing."""

    def log_metrics(self, metrics, step=None):
        pass

    def progress(self, step, total, metrics):
        pass

    def log_model(self, path):
        pass

    def say(self, text):
        pass


def params(**changes) -> RewardModel:
    return toys.section(RewardModel, "reward_model", **changes)


@pytest.fixture
def ready(root, tokenizer):
    """A root with a random policy."""
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    return root


def fit(root, chosen, training=8, held_out=4):
    context = StageContext(root, "reward_model", "r1", RUNTIME, 1, checkpoints.NONE, Silent())
    training, held_out = (toys.comparisons(n) if isinstance(n, int) else n for n in (training, held_out))
    preference_training.fit(training, held_out, chosen, context)
    return context.out


@pytest.mark.parametrize("loss", ["rank", "direct"])
def test_demonstrations_score_0_on_average_and_training_answers_spread_by_1(ready, loss):
    out = fit(ready, params(loss=loss, likelihood_coef=0.0 if loss == "direct" else 3.0, unit_std=True))
    scorer = rewards.RewardScorer(out, RUNTIME)
    demonstrations = records.read(ready / "data/collect_prompts/demonstrations.train.jsonl", Demonstration)
    scores = scorer.score_texts([d["messages"] for d in demonstrations], [d["response"] for d in demonstrations])
    assert sum(scores) / len(scores) == pytest.approx(0, abs=1e-4)
    _, flat = reward_accuracy.score_comparisons(scorer, toys.comparisons(8))
    mean = sum(flat) / len(flat)
    assert math.sqrt(sum((score - mean) ** 2 for score in flat) / (len(flat) - 1)) == pytest.approx(1, rel=1e-3)
    assert scorer.model.config.reward_activation == ("sigmoid" if loss == "direct" else "identity")


def test_without_unit_std_margins_stay_log_odds(ready):
    out = fit(ready, params(unit_std=False))
    assert rewards.RewardScorer(out, RUNTIME).model.config.reward_gain == 1.0


def test_the_head_has_no_bias_and_the_shift_stands_in_the_config_alone(ready):
    out = fit(ready, params())
    scorer = rewards.RewardScorer(out, RUNTIME)
    assert scorer.model.score.bias is None
    assert scorer.model.config.reward_shift != 0


class KnownScores:
    """Scores answers from a table; stands where a trained reward model would."""

    def __init__(self, table: dict[str, float]):
        self.table = table
        self.model = SimpleNamespace(config=SimpleNamespace())
        RewardMeaning("last", 0.0, gain=2.0).write_into(self.model.config)

    def score_texts(self, messages, responses):
        return [self.table[response] for response in responses]


def test_measures_by_hand():
    """Scores are twice the log-odds (gain 2); of three ordered pairs one is turned round, and one is a tie for gold."""
    held_out = [{
        "messages": [], "category": "chat", "responses": ["long answer", "short", "mid one"], "gold": [0.9, 0.5, 0.51],
        "labels": [{"labeler": "a", "ranks": [1, 2, 3]}],
    }]  # fmt: skip
    scorer = KnownScores({"long answer": 6.0, "short": 2.0, "mid one": 4.0})
    metrics, bins = reward_accuracy.measure(scorer, toys.comparisons(6), held_out)
    sigmoid = [1 / (1 + math.exp(-margin)) for margin in (2.0, 1.0, 1.0)]
    assert (metrics["accuracy"], metrics["pairs"]) == (pytest.approx(2 / 3), 3)
    assert metrics["longer_chosen_by_labelers"] == pytest.approx(2 / 3)
    assert metrics["longer_preferred_by_model"] == pytest.approx(1)
    assert (metrics["gold_accuracy"], metrics["gold_pairs"]) == (1.0, 2)
    assert metrics["labelers_agreement"] == 1.0
    assert metrics["calibration_error"] == pytest.approx((sigmoid[1] - 0.5) * 2 / 3 + (1 - sigmoid[0]) / 3, rel=1e-5)
    assert sum(row["pairs"] for row in bins) == 3
    without = {name: value for name, value in held_out[0].items() if name != "gold"}
    some = reward_accuracy.measure(scorer, toys.comparisons(6), [without, *held_out])[0]
    assert (some["gold_accuracy"], some["gold_pairs"], some["pairs"]) == (1.0, 2, 6)
    assert "gold_accuracy" not in reward_accuracy.measure(scorer, toys.comparisons(6), [without])[0]
    alike = {**held_out[0], "gold": [0.5, 0.5, 0.5]}  # nothing that gold tells apart: no share of it
    assert "gold_accuracy" not in reward_accuracy.measure(scorer, toys.comparisons(6), [alike])[0]


def test_pairs_are_counted_by_category():
    """One source whose pairs are many does not hide another's failure."""

    def comparison(category: str, ranks: list[int]) -> dict:
        return {"category": category, "responses": ["a", "b"], "labels": [{"labeler": "x", "ranks": ranks}]}

    held_out = [comparison("chat", [1, 2]), comparison("summaries", [2, 1]), comparison("tied", [1, 1])]
    measured = reward_accuracy.by_category(held_out, [[1.0, 0.0]] * 3, [[0.0, 1.0]] * 3)
    assert measured == {
        "chat": {"accuracy": 1.0, "tfidf_accuracy": 0.0, "pairs": 1},
        "summaries": {"accuracy": 0.0, "tfidf_accuracy": 1.0, "pairs": 1},
    }


def test_the_gain_changes_no_measure(ready):
    measured = []
    for unit_std in (True, False):
        fit(ready, params(unit_std=unit_std))
        content = json.loads((ready / "metrics/reward_model/r1.json").read_text(encoding="utf-8"))
        measured.append(content["reward_model"]["r1"])
    assert measured[0].pop("by_category") == measured[1].pop("by_category")
    assert measured[0] == pytest.approx(measured[1], abs=1e-4)


def test_held_out_answers_that_are_all_tied_are_refused_before_training(ready):
    tied = toys.comparisons(2)
    for comparison in tied:
        comparison["labels"] = [{"labeler": "a", "ranks": [1, 1, 1], "scores": None, "scale": None}]
    with pytest.raises(ValueError, match="held-out"):
        fit(ready, params(), held_out=tied)
    assert not (ready / "data/reward_model/r1").exists()
