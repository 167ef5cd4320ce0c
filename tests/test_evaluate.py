"""The whole stage on two-layer models with random weights: what it writes and refuses, and that it is repeatable."""

import hashlib
import html
import json
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig

from rlhf.collection import data_card
from rlhf.collection.table.contents import Contents
from rlhf.evaluation import policy_measures
from rlhf.evaluation.controls import manners
from rlhf.evaluation.statistics import Bootstrap
from rlhf.models import loading
from rlhf.params.base import ParamsError, load, parse
from rlhf.params.collect_prompts import WorldSource
from rlhf.params.evaluate import Evaluate
from rlhf.params.rounds import Round
from rlhf.records import records
from rlhf.records.types import Prompt, Sample
from rlhf.rewards import weighted
from rlhf.runtime import outputs
from rlhf.sampling import rollouts
from rlhf.tokens import chat, tokenizer
from rlhf.world.asking import tasks
from rlhf.world.grading import gold
from stages import evaluate
from tests import notebook, toys

pytestmark = pytest.mark.usefixtures("plots_drawn_once")
SETTINGS = {
    "test_prompts": 24,
    "validation_prompts": 8,
    "document_tokens": 400,
    "sequence_tokens": 32,
    "max_prompt_tokens": 120,
    "max_completion_tokens": 6,
    "batch_size": 16,
    "scoring_batch_size": 8,
    "temperatures": [0.0, 0.7, 1.0],
    "best_of_n": {"compare": [2], "curve": [1, 2, 4], "curve_draws": 4, "curve_prompts": 6},
    "tie_threshold": {"gold": 0.02, "judge": 0.05},
    "bootstrap_samples": 100,
    "coverage": 0.95,
    "sample_prompts": 4,
}
PARAMS = {
    "seed": 5,
    "runtime": {"device": "cpu", "dtype": "float32", "attention": "eager", "processes": 1, "threads": 1, "workers": 1},
    "tracking": {"enabled": False, "uri": None, "experiment": "test", "max_model_mb": 1.0, "log_every": 1},
    "rounds": {
        "r1": {"policy": "sft", "earlier": "collect_prompts"},
        "r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"},
    },
    "rewards": toys.REWARDS,
    "evaluate": SETTINGS,
}


def build(root: Path, with_task: bool) -> None:
    """Make everything that evaluate reads: prompts, documents, six policies, a reward model and a judge."""
    prompts = [_prompt(random.Random(index), index, with_task) for index in range(32)]
    source = root / "data/collect_prompts"
    records.write(source / "prompts.test.jsonl", prompts[:24])
    records.write(source / "prompts.validation.jsonl", prompts[24:])
    texts = [prompt["messages"][-1]["content"] for prompt in prompts]
    records.write(
        source / "documents.validation.jsonl",
        [{"kind": "document", "text": text, "source": "world"} for text in texts * 2],
    )
    trained = tokenizer.train(texts, 400, 256)
    places = ("pretrain", "sft", "feedme", "ppo/r1", "ppo/r2", "judge", "reward_model/r2", "dpo")
    for number, name in enumerate(places):
        if name == "sft":
            trained.chat_template = chat.CHAT_TEMPLATE
        scores = name in ("judge", "reward_model/r2")
        _save_model(root / "data" / name, trained, number, scores)
    (root / "params.yaml").write_text("")
    YAML().dump(PARAMS, root / "params.yaml")
    own = {"accuracy": 0.7, "pairs": 50, "longer_preferred_by_model": 0.6, "longer_chosen_by_labelers": 0.5}
    own |= {"tfidf_accuracy": 0.6, "training_prompts": 20}
    outputs.write_metrics(root, "judge", own)
    (root / "data/rejection").mkdir()
    (root / "data/rejection/README.md").write_text("# No policy\n")
    toys.moderator(root / "data/moderation", "fox")
    write_history(root, own)


def write_history(root: Path, reward_model: dict) -> None:
    """Write what the stages before say of the training of the last round."""
    point = {"step": 1, "kl": 0.1, "score": 0.2, "score_std": 0.5, "completion_tokens": 4.0, "kl_coef": 0.1}
    outputs.write_metrics(root, "pretrain", {"parameters": 12345, "tokens": 678})
    outputs.write_metrics(root, "sft", {"demonstrations": 9, "kept_epoch": 1, "validation_loss": 2.0})
    outputs.write_metrics(root, "collect_comparisons/r2", {"answers": 40, "mean_answers_a_prompt": 4.0, "labelers": 3})
    outputs.write_metrics(root, "reward_model/r2", reward_model | {"by_category": {}})
    outputs.write_metrics(root, "ppo/r2", {"episodes": 64, "prompts": 32, "score": 0.2, "kl": 0.1})
    outputs.write_curve(root, "ppo/r2", [point, point | {"step": 2, "score": 0.4}])
    for stage in ("pretrain", "sft"):
        outputs.write_curve(root, stage, [{"step": 1, "loss": 2.5, "validation_loss": 2.0}])
    outputs.write_curve(root, "reward_model/r2", [{"step": 1, "loss": 0.7, "accuracy": 0.5}])
    source = WorldSource(
        name="world", kind="world", seed=1, documents=1, prompts=1, facts="seen", copy_probes=0, use=["prompts"],
        splits=["test"],
    )  # fmt: skip
    card = data_card.render(Contents({}, {}, 0, {}, {}, {}), {"world": 3}, {"world": Counter()}, [source])
    (root / "data/collect_prompts/data_card.md").write_text(card)


def _prompt(rng: random.Random, index: int, with_task: bool) -> dict:
    task, messages, category = tasks.draw(rng, "seen")
    prompt = {
        "kind": "prompt",
        "id": f"p{index}",
        "messages": messages,
        "category": category,
        "language": task["language"],
    }
    return prompt | {"user": "u", "source": "world"} | ({"task": task} if with_task else {})


def _save_model(folder: Path, trained, seed: int, scores: bool) -> None:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(trained), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=256, pad_token_id=trained.pad_token_id, eos_token_id=trained.eos_token_id, num_labels=1,
    )  # fmt: skip
    if scores:
        model = AutoModelForSequenceClassification.from_config(config)
        torch.nn.init.normal_(model.score.weight)
        model.config.reward_pooling, model.config.reward_likelihood_coef = "mean", 0.0
        model.config.reward_activation, model.config.reward_shift, model.config.reward_gain = "identity", 0.1, 1.0
    else:
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    trained.save_pretrained(folder)


def digests(root: Path) -> dict[str, str]:
    paths = [path for folder in ("data/evaluate", "metrics") for path in (root / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def test_what_it_reads_is_an_input_of_its_run_and_what_decides_is_what_it_measured(
    root, tmp_path, recorder, files_read
):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    toys.set_param(tmp_path, "tracking.enabled", True)
    evaluate.main(tmp_path)
    notebook.check_inputs(tmp_path, "evaluate", recorder, files_read)
    assert recorder.models == [tmp_path / "data/ppo/r2"]
    found = json.loads((tmp_path / "metrics/evaluate.json").read_text())["evaluate"]
    rate = found["controlled"]["ppo_vs_sft"]
    shown = [recorder.deciding[f"0 PPO beats SFT controlled/sampled{end}"] for end in ("", " low", " high")]
    assert shown == pytest.approx([rate["mean"], rate["low"], rate["high"]], abs=1e-6)
    assert recorder.columns[0] == "0 PPO beats SFT controlled/sampled"
    assert not [name for name in recorder.columns if name not in recorder.deciding or name.endswith(" low")]
    assert recorder.deciding["2 gold/PPO sampled"] == pytest.approx(found["gold"]["ppo_sampled"], abs=1e-6)
    report = (tmp_path / "data/evaluate/report.html").read_text()
    card = (tmp_path / "data/model_card/README.md").read_text()
    headline, _, warnings = recorder.page[0].partition("\n\n")
    for shown in (warnings, html.unescape(report), card):
        assert "Look at this first" in shown
        assert "Answers are cut off, without an EOS: PPO " in shown
    assert headline.strip("*") in report
    assert headline in card
    assert recorder.page[1].startswith("At its weakest, ")
    assert recorder.page[-1].startswith("# 3 test prompts")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world")
    build(root, with_task=True)
    evaluate.main(root)
    return root


def test_evaluate_writes_its_report_samples_metrics_and_plots(root):
    found = json.loads((root / "metrics/evaluate.json").read_text())["evaluate"]
    assert found["decided_by"] == "gold"
    assert found["prompts"] == 24
    assert {"ppo_vs_sft", "strict_ppo_vs_feedme_greedy", "ppo_vs_ppo_r1", "ppo_vs_best_of_2"} <= set(found["win_rate"])
    assert {"ppo_vs_dpo", "ppo_vs_dpo_greedy", "dpo_vs_sft", "strict_ppo_vs_dpo"} <= set(found["win_rate"])
    assert not [name for name in found["win_rate"] if "rejection" in name], "it was left out"
    assert set(found["document_loss"]) == {"base", "sft", "feedme", "dpo", "ppo", "ppo_r1"}
    assert set(found["best_of_n"]) == {"1", "2", "4"}
    assert found["held_out_text"]["documents"] > 1
    assert 1 < found["held_out_text"]["unigram_entropy"] < 6
    for name in ("report.html", "samples.md"):
        assert (root / "data/evaluate" / name).stat().st_size > 1000
    for name in ("win_rates.svg", "reward_vs_kl.svg", "evaluate/win_rates.csv", "evaluate/slices.csv"):
        assert (root / "metrics/plots" / name).is_file()
    samples = records.read(root / "data/evaluate/samples.jsonl", Sample)
    assert len(samples) == 24
    assert set(samples[0]["answers"]["ppo_greedy"]) >= {"text", "gold", "strict", "judge", "reward_model", "criteria"}


def test_controlled_figures_are_those_of_the_samples_in_the_controlled_form(root):
    found = json.loads((root / "metrics/evaluate.json").read_text())["evaluate"]
    samples = records.read(root / "data/evaluate/samples.jsonl", Sample)
    scores = {
        key: [
            gold.score(sample["task"], manners.one_closing(sample["task"], sample["answers"][key]["text"])).score
            for sample in samples
        ]
        for key in ("sft_sampled", "ppo_greedy", "best_of_2_sampled")
    }
    for key, own in scores.items():
        assert found["controlled_mean"][key]["mean"] == pytest.approx(sum(own) / 24, abs=1e-6)
    assert {"ppo_vs_best_of_2", "ppo_vs_ppo_r1", "refuse_vs_sft_greedy"} <= set(found["controlled"])
    copied = [gold.score(one["task"], one["messages"][-1]["content"]).score - one["answers"]["sft_greedy"]["gold"]
              for one in samples]  # fmt: skip
    assert sum(copied) > 0.1  # a text with its question answers it in part; the random policies earn nothing
    won = sum(0.5 if abs(difference) < 0.02 else float(difference > 0) for difference in copied)
    assert found["trivial"]["copy_vs_sft_greedy"]["mean"] == pytest.approx(won / 24, abs=1e-6)
    assert found["difference"]["copy_vs_sft_greedy"]["mean"] == pytest.approx(sum(copied) / 24, abs=1e-6)
    assert set(found["trivial"]) <= set(found["difference"])
    assert not set(found["trivial"]) & set(found["win_rate"])


def test_a_second_run_and_another_file_order_write_the_same_bytes(root, tmp_path, plots_drawn_anew):
    again = tmp_path / "again"
    shutil.copytree(root, again)
    shutil.rmtree(again / "data/evaluate")
    file = again / "data/collect_prompts/prompts.test.jsonl"
    records.write(file, reversed(records.read(file, Prompt)))
    evaluate.main(again)
    assert digests(again) == digests(root)


def test_kl_to_itself_is_zero_and_a_policy_against_itself_wins_half(root, tmp_path):
    same = tmp_path / "same"
    shutil.copytree(root, same)
    shutil.rmtree(same / "data/ppo/r2")
    shutil.copytree(same / "data/sft", same / "data/ppo/r2")
    evaluate.main(same)
    found = json.loads((same / "metrics/evaluate.json").read_text())["evaluate"]
    assert found["kl_per_answer"]["ppo"] == pytest.approx(0, abs=1e-5)
    assert found["win_rate"]["ppo_vs_sft_greedy"] == {"high": 0.5, "low": 0.5, "mean": 0.5}
    assert found["document_loss"]["ppo"] == found["document_loss"]["sft"]
    assert found["kl_per_answer"]["feedme"] > 0
    half = {"high": 0.5, "low": 0.5, "mean": 0.5}
    for name in ("ppo_vs_sft_greedy", "closing_vs_sft", "closing_vs_sft_greedy"):
        assert found["controlled"][name] == half
    assert found["controlled_difference"]["ppo_vs_sft_greedy"]["mean"] == 0
    assert found["controlled_mean"]["ppo_greedy"] == found["controlled_mean"]["sft_greedy"]


def test_kl_is_told_an_answer_and_a_token_of_it(root):
    """The EOS of an answer that ended is one of its tokens."""
    found = json.loads((root / "metrics/evaluate.json").read_text())["evaluate"]
    samples = records.read(root / "data/evaluate/samples.jsonl", Sample)
    for policy in ("base", "feedme", "ppo_r1", "ppo", "best_of_2"):
        answers = [sample["answers"][f"{policy}_sampled"] for sample in samples]
        tokens = sum(answer["num_tokens"] + answer["ended"] for answer in answers)
        assert tokens > 2 * len(answers)
        expected = found["kl_per_answer"][policy] * len(answers) / tokens
        assert found["kl_per_token"][policy] == pytest.approx(expected, abs=2e-6)


def test_the_best_temperatures_answers_are_drawn_at_that_temperature(root, tmp_path):
    """Under a threshold that makes all answers tie the lowest temperature is best: neither greedy nor 1, as here."""
    again = tmp_path / "again"
    shutil.copytree(root, again)
    ties = {"gold": 1.0, "judge": 1000.0}
    with open(again / "params.yaml", "w") as file:
        YAML().dump(PARAMS | {"evaluate": SETTINGS | {"temperatures": [0.7, 1.0], "tie_threshold": ties}}, file)
    evaluate.main(again)
    found = json.loads((again / "metrics/evaluate.json").read_text())["evaluate"]
    assert found["best_temperature"] == {"sft": 0.7, "ppo": 0.7}
    samples = records.read(again / "data/evaluate/samples.jsonl", Sample)
    params = load(again, evaluate.EvaluateInputs)
    for name, folder in (("sft", "sft"), ("ppo", "ppo/r2")):
        policy = policy_measures.Policy(name, *loading.load_policy(again / "data" / folder, params.runtime))
        scorers = policy_measures.Scorers(None, None, params, Bootstrap(100, 0.95, 0))
        drawn = {
            temperature: [answer.text for answer in policy_measures.ask(policy, samples, temperature, scorers)]
            for temperature in (0.7, 1.0)
        }
        assert [sample["answers"][f"{name}_best_temperature"]["text"] for sample in samples] == drawn[0.7]
        assert drawn[0.7] != drawn[1.0]


def test_without_tasks_the_judge_decides(tmp_path):
    build(tmp_path, with_task=False)
    evaluate.main(tmp_path)
    found = json.loads((tmp_path / "metrics/evaluate.json").read_text())["evaluate"]
    assert found["decided_by"] == "judge"
    assert "gold" not in found
    assert not [name for name in found["win_rate"] if name.startswith("strict")]
    assert found["judged_by"]["accuracy"] == 0.7
    assert "trivial" not in found
    assert {"ppo_vs_sft", "ppo_vs_sft_greedy", "ppo_vs_best_of_2"} <= set(found["controlled"])
    for name, mean in found["controlled_mean"].items():  # random answers have no fixed phrases
        assert mean["mean"] == pytest.approx(found["judge"][name], abs=1e-5)
    assert not [name for name in found["controlled"] if "closing" in name]


def test_held_out_text_shorter_than_a_sequence_is_left_out_and_said(tmp_path, capsys):
    """All that was trained before is not lost for a few words of text: `pretrain` takes such text as well."""
    build(tmp_path, with_task=False)
    short = [{"kind": "document", "text": "red", "source": "mine"}]
    records.write(tmp_path / "data/collect_prompts/documents.validation.jsonl", short)
    evaluate.main(tmp_path)
    assert "shorter than evaluate.sequence_tokens" in capsys.readouterr().out
    found = json.loads((tmp_path / "metrics/evaluate.json").read_text())["evaluate"]
    assert not {"document_loss", "held_out_text"} & found.keys()


def test_a_folder_of_a_round_that_params_do_not_list_is_refused(tmp_path):
    for name in ("r1", "r9"):
        (tmp_path / "data/ppo" / name).mkdir(parents=True)
    rounds = {"r1": parse(Round, {"policy": "sft", "earlier": "collect_prompts"}, "rounds.r1")}
    with pytest.raises(ValueError, match=r"data/ppo/r9: params\.yaml lists no round 'r9'.*rm -r data/ppo/r9"):
        evaluate.policy_folders(tmp_path, rounds)
    (tmp_path / "data/ppo/r1 *").mkdir()
    with pytest.raises(ValueError, match=r"rm -r 'data/ppo/r1 \*',"):
        evaluate.policy_folders(tmp_path, rounds)


def test_the_last_round_is_ppo_and_earlier_ones_carry_their_names(root):
    rounds = {name: parse(Round, content, name) for name, content in PARAMS["rounds"].items()}
    folders = evaluate.policy_folders(root, rounds)
    assert folders["ppo"] == root / "data/ppo/r2"
    assert folders["ppo_r1"] == root / "data/ppo/r1"
    assert list(folders) == ["base", "sft", "feedme", "dpo", "ppo_r1", "ppo"], "rejection was left out"


def test_a_rival_whose_folder_is_gone_is_no_rival_that_was_left_out(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "data/rejection")
    with pytest.raises((ValueError, OSError), match="data/rejection"):
        evaluate.main(tmp_path)


def test_a_sweep_without_temperature_one_is_refused():
    with pytest.raises(ParamsError, match=r"evaluate: temperatures must contain 1\.0"):
        parse(Evaluate, SETTINGS | {"temperatures": [0.0, 0.5]}, "evaluate")


def test_a_curve_beyond_its_draws_is_refused():
    settings = SETTINGS | {"best_of_n": SETTINGS["best_of_n"] | {"curve_draws": 3}}
    with pytest.raises(ParamsError, match=r"evaluate\.best_of_n: curve_draws must be at least.*4"):
        parse(Evaluate, settings, "evaluate")


class _Likes:
    """A scorer by a rule that a person can follow: the share of a letter."""

    def __init__(self, letter: str):
        self.letter = letter

    def score_texts(self, messages, responses, batch_size=1):
        return [text.count(self.letter) / 10 for text in responses]


def test_best_of_n_picks_what_the_reward_model_likes_and_not_what_the_judge_does(monkeypatch):
    texts = {"1/p": "ax", "2/p": "aab", "3/p": "bbbb"}
    monkeypatch.setattr(
        rollouts,
        "respond",
        lambda _, __, ___, row_ids, ____: [rollouts.Response(texts.get(i, "b"), [1, 2], True) for i in row_ids],
    )
    settings = SETTINGS | {"best_of_n": {"compare": [1, 3], "curve": [1], "curve_draws": 1, "curve_prompts": 1}}
    inputs = {key: value for key, value in PARAMS.items() if key != "tracking"} | {"evaluate": settings}
    params = parse(evaluate.EvaluateInputs, inputs, "")
    scorers = policy_measures.Scorers(weighted.alone(_Likes("a")), _Likes("b"), params, Bootstrap(100, 0.95, 0))
    prompts = [{"id": "p", "messages": [{"role": "user", "content": "?"}]}]
    picks, _ = policy_measures.best_of_n(policy_measures.Policy("sft", None, None), prompts, scorers)
    assert [picks[1][0].text, picks[3][0].text] == ["ax", "aab"]


def test_a_reward_of_several_terms_is_shown_with_its_terms_and_needs_no_trained_model(root, tmp_path, monkeypatch):
    """Best of two is the one that the function likes better; the reward model's folder says that none is trained."""
    monkeypatch.setattr("sys.path", [*sys.path])
    again = tmp_path / "again"
    shutil.copytree(root, again)
    shutil.rmtree(again / "data/reward_model/r2")
    (again / "data/reward_model/r2").mkdir()
    outputs.write_metrics(again, "reward_model/r2", {"training_prompts": 0, "by_category": {}})
    outputs.write_curve(again, "reward_model/r2", [{"step": 0, "accuracy": ""}])
    body = "def worth(messages, answers):\n    return [answer.count('e') for answer in answers]\n"
    (again / "my_evaluated.py").write_text(body)
    terms = {"trained": 0.0, "functions": [{"function": "my_evaluated:worth", "weight": 2.0}], "answer_tokens": -0.5}
    with open(again / "params.yaml", "w") as file:
        YAML().dump(PARAMS | {"rewards": toys.REWARDS | terms}, file)
    evaluate.main(again)
    found = json.loads((again / "metrics/evaluate.json").read_text())["evaluate"]
    for sample in records.read(again / "data/evaluate/samples.jsonl", Sample):
        for answer in sample["answers"].values():
            parts = {"worth": float(answer["text"].count("e")), "answer_tokens": float(answer["num_tokens"])}
            assert answer["reward_parts"] == parts
            assert answer["reward_model"] == 2 * parts["worth"] - 0.5 * parts["answer_tokens"]
    terms = found["reward_parts"]
    for name, mean in found["reward_model"].items():
        assert mean == pytest.approx(2 * terms["worth"][name] - 0.5 * terms["answer_tokens"][name], abs=1e-5)
    assert found["reward_model"]["best_of_2_sampled"] > found["reward_model"]["sft_sampled"]
    page = (again / "data/evaluate/report.html").read_text()
    assert "Terms of the reward" in page
    assert "not trained: rewards.trained is 0" in page


def test_the_gold_labeler_is_asked_about_the_answer_given(root):
    for sample in records.read(root / "data/evaluate/samples.jsonl", Sample)[:5]:
        answer = sample["answers"]["sft_sampled"]
        assert answer["gold"] == gold.score(sample["task"], answer["text"]).score


def test_prompts_too_long_are_left_out_and_none_left_is_refused(root):
    file = root / "data/collect_prompts/prompts.test.jsonl"
    prompts, trained = records.read(file, Prompt), loading.load_tokenizer(root / "data/sft")
    lengths = sorted(len(chat.prompt_ids(trained, prompt["messages"])) for prompt in prompts)
    limit = lengths[len(lengths) // 2]
    kept = policy_measures.fit(prompts, [trained], limit, file)
    assert len(kept) == sum(length <= limit for length in lengths) < len(prompts)
    with pytest.raises(ValueError, match=r"none of 24 prompts fits into evaluate\.max_prompt_tokens 1"):
        policy_measures.fit(prompts, [trained], 1, file)
