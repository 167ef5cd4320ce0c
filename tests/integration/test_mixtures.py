"""Mixtures of sources: whatever sources, languages, labelers and tasks are mixed, all stages run, or `check` refuses.

`MIXTURES=50 pytest tests/integration/test_mixtures.py` draws more of them than the few of every day.
"""

import json
import os
import random

import pytest

from rlhf.params.base import read_yaml
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
from tests.collect_prompts_section import ALL, source
from tools import check

SEEDS = range(int(os.environ["MIXTURES"])) if "MIXTURES" in os.environ else (7, 28)
STAGES = [
    collect_prompts, pretrain, sft, collect_answers, collect_comparisons, reward_model, ppo, feedme, rejection, dpo,
    judge, moderation, evaluate,
]  # fmt: skip
OF_A_ROUND = (collect_answers, collect_comparisons, reward_model, ppo)
WORDS = {"en": "red blue green amber violet silver fox mat", "zh": "红 蓝 绿 黄 紫 银 狐 猫"}


def world(name, draw, seed, facts, splits):
    use = ["documents", "demonstrations", "prompts"] if facts == "seen" else ["demonstrations", "prompts"]
    made = {"name": name, "kind": "world", "seed": seed, "facts": facts, "use": use, "splits": splits, "copy_probes": 0}
    return made | {"documents": 40 if facts == "seen" else 0, "prompts": draw.randint(90, 150)}


def written(root, name, draw):
    """Write rows of one kind, in one language, to a file; return the source that names it."""
    language, kind = draw.choice(["en", "zh"]), draw.choice(["demonstrations", "comparisons", "prompts"])
    words = WORDS[language].split()
    rows = []
    for number in range(draw.randint(90, 150)):
        text = " ".join(draw.choice(words) for _ in range(draw.randint(3, 12)))
        row = {"prompt": f"{text} {number}?"} | draw.choice([{}, {"category": "toys"}, {"user": f"u{number % 9}"}])
        if kind == "demonstrations":
            row["response"] = draw.choice(words)
        if kind == "comparisons":
            count = draw.randint(2, 4)
            row["responses"] = draw.sample(words, count)
            judgement = {"scores": [float(draw.randint(1, 7)) for _ in range(count)]}
            row |= draw.choice([judgement, {"ranks": draw.sample(range(count), count)}])
        rows.append(row)
    (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    use = [kind, "prompts"] if kind != "prompts" else ["prompts"]
    splits = {"demonstrations": ALL, "comparisons": ALL[1:], "prompts": ["reward_model", "judge", "ppo", "test"]}[kind]
    return source(name, f"{name}.jsonl", use=use, splits=splits, language=draw.choice([None, language]))


def mixture(root, draw):
    """Return the params of a mixture of sources and of what else depends on who asks and who ranks."""
    params = toys.shrunken_params()
    sources = [
        world("world", draw, 1, "seen", ALL[:4] if draw.random() < 0.5 else ALL),
        world("held_out", draw, 2, "held_out", ["validation", "test"]),
        *(written(root, f"file_{number}", draw) for number in range(draw.randint(1, 2))),
    ]
    draw.shuffle(sources)
    params["collect_prompts"] |= {"sources": sources}
    params["collect_prompts"]["cleaning"] |= {"near_duplicates": None, "personal_data": []}
    params["collect_prompts"]["documents"] |= {"personal_data": []}
    shares = {"sft": 0.2, "reward_model": 0.2, "judge": 0.2, "ppo": 0.2, "validation": 0.1, "test": 0.1}
    params["collect_prompts"]["shares"] = shares
    long = {"max_prompt_tokens": 180}
    params["collect_answers"] |= long | {"prompts": draw.choice(["reward_model", "sft"]), "min_responses": 2}
    params["ppo"] |= long | {"prompts": draw.choice(["ppo", "sft"]), "monitor": draw.choice(["warn", "stop", "off"])}
    params["ppo"] |= {"iterations": 6, "batch_size": 4, "minibatch_size": 2}
    if draw.random() < 0.2:
        params["collect_comparisons"]["labelers"] = None
        params["collect_answers"] |= {"max_prompts": 0, "max_judge_prompts": 0}
    params["rejection"]["train"] = False  # a policy of so few updates hardly ends an answer
    for name in ("sft", "feedme", "dpo", "reward_model", "judge"):
        params[name] |= {"epochs": 1, "max_tokens": 190}
    best = {"compare": [2], "curve": [1, 2], "curve_draws": 2, "curve_prompts": 6}
    params["evaluate"] |= long | {
        "test_prompts": 16,
        "validation_prompts": 8,
        "document_tokens": 400,
        "best_of_n": best,
    }
    params["evaluate"] |= {"max_completion_tokens": 6, "bootstrap_samples": 100, "sample_prompts": 4}
    params["evaluate"] |= {"sequence_tokens": 32}
    return params


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mixture_of_sources_goes_through_all_stages_or_is_refused(tmp_path, seed):
    params = mixture(tmp_path, random.Random(seed))
    toys.write_params(tmp_path, params)
    mistakes = check.mistakes_in(read_yaml(tmp_path / "params.yaml"), tmp_path)
    if mistakes:
        assert all("would learn from nothing" in mistake for mistake in mistakes)
        return
    for stage in STAGES:
        stage.main(tmp_path, "r1") if stage in OF_A_ROUND else stage.main(tmp_path)
    assert (tmp_path / "metrics/evaluate.json").exists()
