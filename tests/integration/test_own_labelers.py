"""Data of one's own without any ranking: labelers from elsewhere make the recipe whole, from its prompts to PPO."""

import json
import random

import pytest

from rlhf.params.base import read_yaml
from rlhf.records import records
from rlhf.records.types import Comparison
from stages import (
    collect_answers,
    collect_comparisons,
    collect_prompts,
    dpo,
    evaluate,
    feedme,
    judge,
    moderation,
    ppo,
    pretrain,
    rejection,
    reward_model,
    sft,
)
from tests import toys
from tests.collect_prompts_section import source
from tests.labelers import asked
from tests.labelers.judge_server import by_length, judging
from tools import check

WORDS = "red blue green amber violet silver fox mat".split()
TASTE = """
def length(messages, answers):
    return [float(len(answer)) for answer in answers]
"""
FUNCTION = {"kind": "function", "function": "my_taste:length", "tie_threshold": 1.0}
SPLITS = ["sft", "reward_model", "judge", "ppo", "validation", "test"]


def project(root, labelers, judge_labelers):
    """Write demonstrations and a text without any ranking, and params of a whole run on them."""
    draw = random.Random(3)
    rows = [
        {"prompt": f"{' '.join(draw.choices(WORDS, k=5))} {number}?", "response": " ".join(draw.choices(WORDS, k=3))}
        for number in range(240)
    ]
    (root / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = "\n\n".join(" ".join(draw.choices(WORDS, k=30)) + f" {number}." for number in range(60))
    (root / "texts.txt").write_text(texts)
    params = toys.shrunken_params()
    params["collect_prompts"]["sources"] = [
        source("own", "own.jsonl", use=["demonstrations", "prompts"], splits=SPLITS),
        source("texts", "texts.txt", use=["documents"], splits=[]),
    ]
    params["collect_prompts"]["cleaning"] |= {"near_duplicates": None, "personal_data": []}
    params["collect_prompts"]["documents"] |= {"personal_data": [], "separator": ""}
    shares = {"sft": 0.2, "reward_model": 0.2, "judge": 0.2, "ppo": 0.2, "validation": 0.1, "test": 0.1}
    params["collect_prompts"]["shares"] = shares
    params["collect_comparisons"] |= {"labelers": labelers, "judge_labelers": judge_labelers}
    counts = {"max_prompts": 20, "max_judge_prompts": 14, "prompts_with": "any"}
    params["collect_answers"] |= counts | {"max_prompt_tokens": 120}
    params["ppo"] |= {"max_prompt_tokens": 120, "monitor": "off"}
    params["rejection"]["train"] = False  # a policy of so few updates hardly ends an answer
    for name in ("sft", "feedme", "dpo", "reward_model", "judge"):
        params[name] |= {"epochs": 1, "max_tokens": 140}
    best = {"compare": [2], "curve": [1, 2], "curve_draws": 2, "curve_prompts": 6}
    params["evaluate"] |= {
        "max_prompt_tokens": 120, "test_prompts": 10, "validation_prompts": 6, "document_tokens": 300,
        "best_of_n": best, "max_completion_tokens": 6, "bootstrap_samples": 100, "sample_prompts": 4,
        "sequence_tokens": 32,
    }  # fmt: skip
    toys.write_params(root, params)


def run_all(root) -> None:
    assert check.mistakes_in(read_yaml(root / "params.yaml"), root) == []
    for stage in (collect_prompts, pretrain, sft):
        stage.main(root)
    for stage in (collect_answers, collect_comparisons, reward_model, ppo):
        stage.main(root, "r1")
    for stage in (feedme, rejection, dpo, judge, moderation, evaluate):
        stage.main(root)


def labelers_in(root, name: str) -> set[str]:
    found = records.read(root / f"data/collect_comparisons/r1/comparisons.{name}.jsonl", Comparison)
    assert found
    assert not any("task" in record or "gold" in record for record in found)
    return {label["labeler"] for record in found for label in record["labels"]}


def test_a_function_ranks_and_every_stage_goes_on(tmp_path):
    with asked.functions(tmp_path, TASTE):
        project(tmp_path, FUNCTION, None)
        run_all(tmp_path)
    assert labelers_in(tmp_path, "train") == labelers_in(tmp_path, "judge") == {"function:my_taste:length"}
    figures = json.loads((tmp_path / "metrics/evaluate.json").read_text())["evaluate"]
    assert figures["judged_by"]["accuracy"] >= 0
    assert (tmp_path / "data/ppo/r1/config.json").exists()


@pytest.mark.parametrize("compares", [{}, asked.SCORES], ids=["pairwise", "scores"])
def test_a_model_behind_an_address_ranks_and_a_function_for_the_judge(tmp_path, compares):
    with judging(by_length) as server, asked.functions(tmp_path, TASTE):
        project(tmp_path, asked.JUDGE | compares | {"base_url": server.base_url}, FUNCTION)
        if compares:
            for name in ("reward_model", "judge"):
                toys.set_param(tmp_path, f"{name}.likelihood_coef", 0.0)
            toys.set_param(tmp_path, "reward_model.loss", "direct")
        run_all(tmp_path)
    assert labelers_in(tmp_path, "train") == {"chat_model:judge-1"}
    assert labelers_in(tmp_path, "judge") == {"function:my_taste:length"}
