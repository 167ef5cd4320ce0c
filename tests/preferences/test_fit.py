"""What fitting a reward model says while it runs, which tokenizer it keeps, and what it refuses."""

import json

import pytest
from transformers import BertConfig, BertModel, BertTokenizerFast

from rlhf.models import loading
from rlhf.params.reward_model import RewardModel
from rlhf.preferences import preference_training, rewards
from rlhf.runs import checkpoints
from rlhf.tokens import chat
from rlhf.training.context import StageContext
from tests import notebook, toys

RUNTIME = toys.runtime()


class Run:
    """A stage's run that writes down what it is told."""

    def __init__(self):
        self.metrics, self.steps, self.models = [], [], []

    def log_metrics(self, metrics, step=None):
        self.metrics.append((step, metrics))

    def progress(self, step, total, metrics):
        self.steps.append((step, total, metrics))

    def log_model(self, path):
        self.models.append(path)

    def say(self, text):
        pass


def fit(root, training, held_out, round_name: str | None = "r1", **changes) -> Run:
    """Fit a reward model in a root; return what its run was told."""
    run = Run()
    stage = "reward_model" if round_name else "judge"
    context = StageContext(root, stage, round_name, RUNTIME, 1, checkpoints.NONE, run)
    chosen = toys.section(RewardModel, "reward_model", likelihood_coef=0.0, **changes)
    preference_training.fit(training, held_out, chosen, context)
    return run


@pytest.fixture
def ready(root, tokenizer):
    """A root with a policy, and a base model whose tokenizer has another template."""
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    base = toys.tokenizer()
    base.chat_template = chat.BASE_TEMPLATE
    toys.save(root / "data/pretrain", toys.policy(tokenizer, seed=9, spread=0.1), base)
    return root


@pytest.mark.parametrize("round_name", ["r1", None])
def test_each_step_is_told_and_written_and_then_the_measures_and_the_model(ready, round_name):
    run = fit(ready, toys.comparisons(10), toys.comparisons(4), round_name, epochs=2, batch_size=4, max_comparisons=9)
    name = "reward_model/r1" if round_name else "judge"
    out = ready / "data" / name
    curve = notebook.curve_of(ready / f"metrics/plots/{name}.csv")
    assert list(curve) == [1, 2, 3, 4, 5, 6]
    for (told_at, point), (step, total, shown) in zip(run.metrics[:-1], run.steps, strict=True):
        assert (told_at, step, total) == (point["step"], point["step"], 6)
        assert shown == {"loss": point["loss"], "accuracy": point["accuracy"]}
        assert {"step", "loss", "accuracy", "learning_rate", "grad_norm"} == point.keys()
        assert curve[step] == pytest.approx({key: value for key, value in point.items() if key != "step"}, abs=1e-6)
    step, measured = run.metrics[-1]
    written = json.loads((ready / f"metrics/{name}.json").read_text(encoding="utf-8"))
    written = written["reward_model"]["r1"] if round_name else written["judge"]
    assert (step, measured["training_prompts"], written["training_prompts"]) == (None, 9, 9)
    assert measured.keys() == written.keys() == {
        "accuracy", "pairs", "tfidf_accuracy", "by_category", "calibration_error", "longer_chosen_by_labelers",
        "longer_preferred_by_model", "labelers_agreement", "gold_accuracy", "gold_pairs", "training_prompts",
    }  # fmt: skip
    assert run.models == [out]
    bins = ready / f"metrics/plots/{'reward_model/r1_calibration' if round_name else 'judge/calibration'}.csv"
    assert bins.read_text(encoding="utf-8").startswith("claimed,measured,pairs\n")


@pytest.mark.parametrize("backbone", ["base", "sft"])
def test_dialogues_are_read_by_the_policys_tokenizer_whatever_the_backbone(ready, tokenizer, backbone):
    fit(ready, toys.comparisons(6), toys.comparisons(2), backbone=backbone, batch_size=6)
    assert loading.read_tokenizer(ready / "data/reward_model/r1").chat_template == tokenizer.chat_template


@pytest.fixture
def encoder(root):
    """A tiny BERT outside the pipeline, in the root's reach."""
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] say red blue green amber violet silver fox nobody knows . the sat on mat be"
    tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(words.split())})
    tokenizer.model_max_length = 48
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=48, initializer_range=0.3, **shape))
    toys.save(root / "bert", model, tokenizer)
    return tokenizer


def test_an_encoder_is_fitted_with_its_own_tokenizer(root, encoder):
    fit(
        root, toys.comparisons(6), toys.comparisons(2),
        backbone="encoder", encoder_path=str(root / "bert"), pooling="last",
    )  # fmt: skip
    kept = loading.read_tokenizer(root / "data/reward_model/r1")
    assert kept.get_vocab() == encoder.get_vocab()


def test_an_encoder_reads_dialogue_and_answer_as_a_pair_whose_oldest_words_go_first(encoder):
    messages = [{"role": "user", "content": "say red"}, {"role": "user", "content": "say blue"}]
    whole = rewards.sequence(encoder, messages, "silver fox", max_tokens=48)
    said = encoder.convert_ids_to_tokens(whole.ids)
    assert said == "[CLS] say red say blue [SEP] silver fox [SEP]".split()
    assert whole.num_answer == 2
    for dropped in range(1, 6):
        cut = rewards.sequence(encoder, messages, "silver fox", max_tokens=9 - dropped)
        words = ["say", "red", "say", "blue", "silver", "fox"][dropped:]
        assert [token for token in encoder.convert_ids_to_tokens(cut.ids) if token[0] != "["] == words
        assert sum(token in ("[CLS]", "[SEP]") for token in encoder.convert_ids_to_tokens(cut.ids)) == 3
        assert cut.num_answer == min(2, len(words))


def test_answers_that_all_score_alike_get_a_finite_gain(ready):
    alike = toys.comparisons(6)
    for comparison in alike:
        comparison["responses"] = ["red fox."] * 3
        comparison["messages"] = alike[0]["messages"]
    fit(ready, alike, toys.comparisons(2), unit_std=True)
    assert rewards.RewardScorer(ready / "data/reward_model/r1", RUNTIME).model.config.reward_gain == 1e6


def told(error) -> str:
    return str(error.value)


def test_what_cannot_be_learned_from_is_said_with_its_fix(ready, tokenizer):
    tied = toys.comparisons(2)
    for comparison in tied:
        comparison["labels"] = [{"labeler": "a", "ranks": [1, 1, 1], "scores": None, "scale": None}]
    with pytest.raises(ValueError) as error:
        fit(ready, toys.comparisons(2), tied)
    assert told(error) == (
        "no labeler ranked two answers apart in the 2 held-out comparisons: add comparisons, or where people rank have "
        "more prompts ranked (make label)"
    )
    chosen = toys.section(RewardModel, "reward_model", likelihood_coef=0.0)
    with pytest.raises(ValueError) as error:
        preference_training.encode(tokenizer, tied, chosen)
    assert told(error) == (
        "no comparison has two answers that a labeler ranked apart; the 'rank' loss cannot be trained on this data"
    )
    with pytest.raises(ValueError) as error:
        preference_training.encode(tokenizer, tied, chosen.model_copy(update={"loss": "direct"}))
    assert told(error) == "no comparison has labelers' scores; the 'direct' loss cannot be trained on this data"


def test_scales_that_differ_are_named_with_their_source():
    labels = [{"scores": [1, 2], "scale": scale} for scale in ([1, 7], [0, 1], None)]
    with pytest.raises(ValueError) as error:
        preference_training.unit_scores({"id": "toy", "source": "judges", "labels": labels})
    assert told(error) == (
        "comparison 'toy': direct scores need the one scale that its labelers used, got [(0, 1), (1, 7), None]; set "
        "collect_prompts.sources, scale: {low: ..., high: ...} of source 'judges', or reward_model.loss to 'rank'"
    )


@pytest.mark.parametrize(("batch_size", "expected"), [(1, 2), (2, 5), (3, 8), (4, 10)])
def test_a_batch_of_shuffled_pairs_has_as_many_as_its_prompts_have_on_average(tokenizer, batch_size, expected):
    """Two prompts, of three pairs and of two."""
    two = toys.comparisons(3)[1:]
    two[1]["labels"] = [{"labeler": "a", "ranks": [1, 1, 2]}]
    chosen = toys.section(RewardModel, "reward_model", pairs="shuffled", batch_size=batch_size, epochs=3)
    groups = preference_training.encode(tokenizer, two, chosen).groups
    made = preference_training.elements(groups, chosen)
    assert (len(made.groups), made.batch_size) == (5, expected)
    assert preference_training.count_steps(groups, chosen) == 3 * -(-5 // expected)
