"""What is measured of a cell: each number is of the policy, the file and the rows that it names. Models are random."""

import json
import random
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig

from rlhf.evaluation import policy_measures
from rlhf.evaluation.controls import manners
from rlhf.models import loading
from rlhf.models.reward_head import RewardMeaning
from rlhf.params.base import parse
from rlhf.params.evaluate import EvaluateInputs
from rlhf.preferences.rewards import RewardScorer
from rlhf.records import records
from rlhf.records.types import Document
from rlhf.sampling import rollouts
from rlhf.tokens import chat, tokenizer
from rlhf.training import language_modelling
from rlhf.world import grammar
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from rlhf.world.grading import gold
from study import measure, probes
from study.evidence import clustered
from study.params import Forms, Settings
from study.probes import CLOSED_QA, FEW_SHOT
from study.workspace import Finished
from tests import toys

ROUNDS = {
    "r1": {"policy": "sft", "earlier": "collect_prompts"},
    "r2": {"policy": "ppo/r1", "earlier": "collect_comparisons/r1"},
}
EVALUATE = {"max_prompt_tokens": 120, "max_completion_tokens": 6, "batch_size": 16, "sequence_tokens": 32}
FORMS = Forms(
    training=6, test=4, stories=2, few_shots=2, shown_sets=1, epochs=1, batch_size=3, learning_rate=1e-3, lm_coef=0.5
)
SETTINGS = {"test_prompts": 6, "probes": 3, "best_of_n": [1, 2], "best_of_n_prompts": 4, "paraphrases": 2}


class World(NamedTuple):
    done: Finished
    prompts: list[dict]


def prompts(count: int) -> list[dict]:
    """Return prompts of the embedded world in English."""
    made, rng = [], random.Random(0)
    while len(made) < count:
        task, messages, category = tasks.draw(rng, "seen")
        if task["language"] == "en":
            made.append(toys.prompt(len(made), "") | {"messages": messages, "category": category, "task": task})
    return made


def save(folder: Path, made, seed: int, scores: bool) -> None:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(made), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=256, pad_token_id=made.pad_token_id, eos_token_id=made.eos_token_id, num_labels=1,
        initializer_range=0.3,
    )  # fmt: skip
    if scores:
        RewardMeaning(pooling="last", likelihood_coef=0.0).write_into(config)
        toys.save(folder, AutoModelForSequenceClassification.from_config(config), made)
    else:
        toys.save(folder, AutoModelForCausalLM.from_config(config), made)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    """A workspace of two rounds with all that measures read of it, and held-out comparisons elsewhere."""
    folder = tmp_path_factory.mktemp("cell")
    asked = prompts(24)
    source = folder / "data/collect_prompts"
    records.write(source / "prompts.test.jsonl", asked[:12])
    texts = [prompt["messages"][-1]["content"] for prompt in asked]
    records.write(
        source / "documents.validation.jsonl", [{"kind": "document", "text": text, "source": "toy"} for text in texts]
    )
    probe = {"kind": "copy_probe", "text": "Say red.", "expected": "red"}
    records.write(source / "copy_probes.jsonl", [probe | {"type": kind} for kind in (*CLOSED_QA, *FEW_SHOT)])
    made = tokenizer.train(texts, 400, 256)
    made.chat_template = chat.CHAT_TEMPLATE
    policies = ("pretrain", "sft", "feedme", "ppo/r1", "ppo/r2", "dpo")
    for number, name in enumerate((*policies[:5], "reward_model/r1", "reward_model/r2", "dpo")):
        save(folder / "data" / name, made, number, scores=name not in policies)
    (folder / "data/rejection").mkdir()
    (folder / "data/rejection/README.md").write_text("left out")
    content = {"seed": 5, "rounds": ROUNDS} | {
        key: toys.shrunken_params()[key] for key in ("runtime", "rewards", "evaluate")
    }
    content["evaluate"] |= EVALUATE | {"bootstrap_samples": 100, "test_prompts": 6}
    params = parse(EvaluateInputs, content, "")
    return World(Finished(folder, params, parse(Settings, SETTINGS, ""), folder / "elsewhere", FORMS), asked)


def test_forms_are_measured_of_every_policy_with_the_last_rounds_ppo(world, monkeypatch):
    read, load_policy = [], loading.load_policy

    def noted(path, runtime):
        read.append(path.relative_to(world.done.data).as_posix())
        return load_policy(path, runtime)

    monkeypatch.setattr(loading, "load_policy", noted)
    found = measure.of_workspace(world.done, ["forms"])["forms"]
    assert read == ["pretrain", "sft", "feedme", "ppo/r2"]
    assert set(found["policies"]) == {"base", "sft", "feedme", "ppo"}
    assert set(found["tasks"]) == {"inference", "similarity", "questions", "sentiment", "arithmetic"}
    for name, own in found["policies"].items():
        assert ("head_tuned" in own["inference"]) == (name == "base")
        for task, conditions in own.items():
            count = len(found["tasks"][task]["clusters"])
            assert count == (FORMS.stories if task == "arithmetic" else FORMS.test)
            assert all(len(right) == count for right in conditions.values())


def compared(prompt: dict, scores: list[float], golds: list[float]) -> dict:
    """Return a comparison of RESPONSES, ranked as the scores say."""
    order = sorted(scores, reverse=True)
    labels = [{"labeler": "l", "ranks": [order.index(score) + 1 for score in scores], "scores": None, "scale": None}]
    return prompt | {"kind": "comparison", "responses": RESPONSES, "labels": labels, "gold": golds}


RESPONSES = ["The fox lives in the forest.", "I do not know.", "It eats meat and grass."]


def test_a_reward_model_is_measured_on_each_held_out_comparison_and_on_those_that_trained_it(world):
    """The first round's; labels and gold are made to agree with it, or to say the contrary."""
    done, (first, second, *others) = world
    scorer = RewardScorer(done.data / "reward_model/r1", done.params.runtime)

    def own(prompt: dict) -> list[float]:
        return scorer.score_texts([prompt["messages"]] * 3, RESPONSES)

    def against(prompt: dict) -> list[float]:
        return [-score for score in own(prompt)]

    close = [0.5, 0.51, 0.9] if own(second)[0] > own(second)[2] else [0.9, 0.89, 0.5]
    for name, shown in {"validation": [first, second], "judge": [second]}.items():
        held_out = [compared(shown[0], own(shown[0]), against(shown[0]))]
        held_out += [compared(prompt, against(prompt), close) for prompt in shown[1:]]
        records.write(done.held_out / f"comparisons.{name}.jsonl", held_out)
    training = [compared(prompt, own(prompt), [0.0] * 3) for prompt in others[:4]]
    training += [compared(prompt, against(prompt), [0.0] * 3) for prompt in others[4:7]]
    records.write(done.data / "collect_comparisons/r1/comparisons.train.jsonl", training)
    for name, used in {"r1": 4, "r2": 7}.items():
        place = done.folder / f"metrics/reward_model/{name}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"reward_model": {name: {"training_prompts": used, "accuracy": used / 10}}}))
    found = measure.of_workspace(done, ["reward_model"])["reward_model"]
    assert found["training"] == {"accuracy": 1.0, "pairs": 12, "prompts": 4}
    assert found["validation"]["comparisons"] == [first["id"], second["id"]]
    assert found["validation"]["labelers"] == [[3, 3], [0, 3]]
    right = sum((close[2] > close[i]) == (own(second)[2] > own(second)[i]) for i in (0, 1))
    assert found["validation"]["gold"] == [[0, 3], [right, 2]]
    assert found["judge"] == {"comparisons": [second["id"]], "labelers": [[3, 3]], "gold": [[0, 3]]}
    belong = measure.of_workspace(done, ["reward_model"])["clusters"]
    assert belong == {"validation": clustered.ids([first, second]), "judge": clustered.ids([second])}


def test_without_a_criterion_the_win_rate_is_by_all_the_others(world):
    """PPO's sampled answers are polite beside the same ones of SFT; its greedy ones are right where SFT's are not."""
    done = world.done
    task = {"kind": "facts", "language": "en", "animal": "fox", "count": 2, "relations": ["lives", "eats"]}
    plain = "The fox lives in the forest. It eats meat."
    texts = {
        "ppo_sampled": f"{plain} I hope this helps.", "sft_sampled": plain,
        "ppo_greedy": plain, "sft_greedy": "The fox eats grass.",
    }  # fmt: skip
    sample = {
        "kind": "sample",
        "id": "a",
        "task": task,
        "answers": {name: {"text": text} for name, text in texts.items()},
    }
    records.write(done.data / "evaluate/samples.jsonl", [sample, sample | {"id": "b"}])
    found = measure.of_workspace(done, ["without_criterion"])["without_criterion"]
    assert found.keys() == gold.WEIGHTS.keys()
    sampled = {name: rates["sampled"]["mean"] for name, rates in found.items()}
    assert sampled == dict.fromkeys(gold.WEIGHTS, 1.0) | {"politeness": 0.5}
    assert {rates["greedy"]["mean"] for rates in found.values()} == {1.0}


def test_the_curve_and_the_evaluation_are_those_of_the_last_round(world):
    done = world.done
    curves = done.folder / "metrics/plots/ppo"
    curves.mkdir(parents=True)
    for name, kl in {"r1": 9.0, "r2": 0.123456}.items():
        (curves / f"{name}.csv").write_text(f"step,other,kl,score,gold,completion_tokens\n1,7,{kl},0.5,0.25,11\n")
        place = done.folder / f"metrics/reward_model/{name}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"reward_model": {name: {"training_prompts": 4, "accuracy": kl}}}))
    (done.folder / "metrics/evaluate.json").write_text(json.dumps({"evaluate": {"prompts": 12}}))
    found = measure.of_workspace(done, ["curve", "evaluation"])
    assert found["curve"] == [{"step": 1.0, "kl": 0.1235, "score": 0.5, "gold": 0.25, "completion_tokens": 11.0}]
    assert found["evaluation"] == {
        "evaluate": {"prompts": 12}, "reward_model": {"training_prompts": 4, "accuracy": 0.123456}
    }  # fmt: skip


@pytest.fixture(scope="module")
def policies(world) -> dict:
    return measure.of_workspace(world.done, ["policies"])["policies"]


def test_each_policy_answers_the_same_prompts_sampled_and_greedily(world, policies):
    done, scorers = world.done, world.done.scorers()
    asked = measure.test_prompts(done, 6)
    places = {"base": "pretrain", "sft": "sft", "feedme": "feedme", "dpo": "dpo", "ppo": "ppo/r2"}
    assert policies.keys() == {*places, "best_of_1", "best_of_2"}
    for name, place in places.items():
        assert done.folder_of(name) == done.data / place
        policy = done.policy(name)
        assert policies[name]["prompts"] == [prompt["id"] for prompt in asked]
        for decoding, temperature in {"sampled": 1.0, "greedy": 0.0}.items():
            answers = policy_measures.ask(policy, asked, temperature, scorers)
            judged = policy_measures.scored(asked, answers, scorers)
            found = policies[name][decoding]
            assert found["num_tokens"] == [answer.num_tokens for answer in judged]
            assert found["reward_model"] == [round(answer.reward_model, 4) for answer in judged]
            assert found["gold"] == [round(answer.gold, 4) for answer in judged]
        answers = policy_measures.ask(policy, asked, 1.0, scorers)
        nats = policy_measures.exact_kls(policy, done.policy("sft"), asked, answers, scorers)
        assert policies[name]["sampled"].get("kl") == (None if name == "sft" else [round(one, 4) for one in nats])
    shown = {tuple(policies[name][decoding]["reward_model"]) for name in places for decoding in measure.DECODINGS}
    assert len(shown) == 2 * len(places)


def test_means_by_criterion_and_by_category_are_over_the_answers_that_have_them(world, policies):
    done = world.done
    asked = measure.test_prompts(done, 6)
    answers = policy_measures.ask(done.policy("sft"), asked, 1.0, done.scorers())
    golds = [gold.score(prompt["task"], answer.text) for prompt, answer in zip(asked, answers, strict=True)]
    for name, mean in policies["sft"]["sampled"]["criteria"].items():
        having = [one.criteria[name] for one in golds if name in one.criteria]
        assert mean == pytest.approx(sum(having) / len(having), abs=1e-4)
    assert policies["sft"]["sampled"]["categories"].keys() == {prompt["category"] for prompt in asked}


def test_capabilities_are_of_the_policy_named_on_the_first_pieces_of_held_out_text(world, monkeypatch):
    done = world.done
    shares = {"owners": 0.1, "replace": 0.3, "groups": 0.5, "repeat": 0.9, "two_names": 0.7}
    monkeypatch.setattr(probes.pretrain, "copying", lambda *_: {"copying": shares})
    measured = measure.of_workspace(done, ["policy"])
    assert measured["clusters"] == {"prompts": clustered.ids(measure.test_prompts(done, 6))}
    found = measured["policy"]["probes"]
    assert found["closed_qa"] == pytest.approx(0.2)
    assert found["few_shot"] == pytest.approx(0.7)
    assert len(found["loss"]) == len(found["cloze"]) == done.settings.probes
    policy = done.policy("ppo")
    texts = [
        record["text"] for record in records.read(done.data / "collect_prompts/documents.validation.jsonl", Document)
    ]
    rows = language_modelling.sequences(language_modelling.token_stream(policy.tokenizer, texts), 32)[:3]
    loss = language_modelling.mean_loss(policy.model, rows, 8, done.params.runtime)
    assert sum(found["loss"]) / 3 == pytest.approx(loss, abs=1e-3)
    hits = policy.model(input_ids=rows).logits.argmax(-1)[:, :-1] == rows[:, 1:]
    assert found["cloze"] == [round(share, 4) for share in hits.float().mean(1).tolist()]


def test_the_best_of_more_answers_is_liked_more_by_the_reward_model_that_picks_it(policies):
    one, two = (policies[f"best_of_{n}"]["sampled"] for n in (1, 2))
    assert policies["best_of_1"]["prompts"] == policies["best_of_2"]["prompts"]
    assert all(low <= high for low, high in zip(one["reward_model"], two["reward_model"], strict=True))
    assert sum(one["reward_model"]) < sum(two["reward_model"])
    assert one["kl"] == [0.0] * 4
    assert two["kl"] == [pytest.approx(0.693147 - 0.5)] * 4


def test_the_prompts_are_those_that_evaluate_asks_and_fewer_are_the_first_of_more(world):
    more, fewer = (measure.test_prompts(world.done, limit) for limit in (12, 4))
    assert more[:4] == fewer
    assert sorted(prompt["id"] for prompt in more) == sorted(prompt["id"] for prompt in world.prompts[:12])


def test_the_controlled_column_is_gold_of_the_answer_in_one_form(world, monkeypatch):
    """To every prompt the ideal answer without any politeness: the one closing of the form is worth something."""
    asked = measure.test_prompts(world.done, 6)
    closing = grammar.render("closing", {}, "en", manners.CLOSING)
    polite = [manners.one_closing(prompt["task"], demonstrations.ideal(prompt["task"])) for prompt in asked]
    ideal = [text.removesuffix(closing).strip() for text in polite]
    answers = [rollouts.Response(text, [1], True) for text in ideal]
    monkeypatch.setattr(policy_measures, "ask", lambda *_: answers)
    monkeypatch.setattr(policy_measures, "exact_kls", lambda *_: [0.0] * 6)
    found = measure.of_workspace(world.done, ["policy"])["policy"]["greedy"]
    form = [manners.one_closing(prompt["task"], text) for prompt, text in zip(asked, ideal, strict=True)]
    expected = [round(gold.score(prompt["task"], text).score, 4) for prompt, text in zip(asked, form, strict=True)]
    assert found["controlled"] == expected
    assert found["controlled"] != found["gold"]


def test_limits_are_those_of_the_run_with_as_many_tasks_as_the_settings_say(world, monkeypatch):
    monkeypatch.setattr(measure.measuring, "of_run", lambda done, tasks: {"run": done.folder, "tasks": tasks})
    measured = measure.of_workspace(world.done, ["limits"])
    assert measured == {"limits": {"run": world.done.folder, "tasks": 2}, "clusters": {}}
