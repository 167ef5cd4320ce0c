"""lm-eval on a saved policy, with the tasks of examples/lm_eval, without a network: it gets the pipeline's answers."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from rlhf.sampling import rollouts
from rlhf.tokens import chat
from tests import toys
from tests.models.test_adoption import chatml_tokenizer

VERSION = "lm_eval==0.4.13"
MOST = 32  # max_gen_toks of examples/lm_eval/own_answers.yaml


def evaluated(folder, out) -> dict[str, list[dict]]:
    """Run lm-eval's command on a policy; return what it logs of each question, by task."""
    words = f"-m lm_eval run --model hf --model_args pretrained={folder},dtype=float32 --tasks own_answers,own_choices"
    words += f" --include_path examples/lm_eval --apply_chat_template --device cpu --batch_size 4 --output_path {out}"
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(out / "home")}
    command = [sys.executable, *words.split(), "--log_samples"]
    subprocess.run(command, cwd=toys.REPO, env=os.environ | offline, check=True, capture_output=True)
    found = {}
    for task in ("own_answers", "own_choices"):
        (file,) = out.rglob(f"samples_{task}_*.jsonl")
        samples = [json.loads(line) for line in file.read_text().splitlines()]
        found[task] = sorted(samples, key=lambda sample: sample["doc_id"])
    return found


def test_lm_eval_gets_the_answers_that_the_pipeline_samples(tmp_path):
    if importlib.util.find_spec("lm_eval") is None:
        pytest.skip(f"lm-eval is not installed: pip install {VERSION}")
    tokenizer = chatml_tokenizer()
    policy = toys.policy(tokenizer, "qwen2", max_position_embeddings=256)
    folder = toys.save(tmp_path / "policy", policy, tokenizer)
    samples = evaluated(folder, tmp_path)
    questions = [[{"role": "user", "content": sample["doc"]["question"]}] for sample in samples["own_answers"]]
    ids = [str(number) for number in range(len(questions))]
    ours = rollouts.respond(policy, tokenizer, questions, ids, rollouts.Sampling(0.0, MOST, 0, 4))
    assert [sample["resps"][0][0].strip() for sample in samples["own_answers"]] == [
        chat.response_text(tokenizer, answer.token_ids) for answer in ours
    ]
    assert len({answer.token_ids[0] for answer in ours}) > 1, "the toy answers questions otherwise"
    assert {sample["acc"] for sample in samples["own_choices"]} <= {0.0, 1.0}
    assert len(samples["own_choices"][0]["resps"]) == 4
