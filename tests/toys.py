"""Toys that the tests play with: a tokenizer, random models, records and a repository's root, all of them small."""

import io
import json
from collections import Counter
from collections.abc import Callable
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from rlhf.models.reward_head import RewardMeaning
from rlhf.params.base import read_yaml
from rlhf.records import records
from rlhf.tokens import chat

REPO = Path(__file__).resolve().parent.parent
REWARDS = {"trained": 1.0, "adopted": [], "functions": [], "answer_tokens": 0.0}  # the reward model alone
WORDS = ("red", "blue", "green", "amber", "violet", "silver")
TEXTS = (
    *(f"The {word} fox sat on the {other} mat. Say {word}." for word in WORDS for other in WORDS),
    "Who lives here? Nobody knows, they said; 17 people asked.",
    "北京在中国。你好，世界！",
)


def gradients(model, parts):
    """Return the sums of losses, gradients and measures of a batch's parts, one after another."""
    model.zero_grad()
    total, measures = 0.0, Counter()
    for part in parts:
        share = part()
        share.loss.backward()
        total += share.loss.item()
        measures.update(share.measures)
    return total, [weight.grad.clone() for weight in model.parameters() if weight.grad is not None], measures


def targets(episodes, numbers):
    """Return what an update learns from, with these numbers [B, R] as advantages and as returns."""
    from rlhf.rl.updates import Targets

    return Targets(episodes, numbers, numbers, [str(row) for row in range(len(numbers))])


def runtime(dtype: str = "float32", attention: str = "eager", **more: Any):
    from rlhf.params.runtime import Runtime

    return Runtime(device="cpu", dtype=dtype, attention=attention, processes=1, threads=1, workers=1, **more)


def tokenizer():
    """Return a trained tokenizer with the chat template, as `sft` leaves it."""
    from rlhf.tokens import tokenizer as module

    made = module.train(TEXTS, vocab_size=340, context=64)
    made.chat_template = chat.CHAT_TEMPLATE
    return made


def config(tokenizer, family: str, **more: Any):
    """Return the configuration of a model with two layers of width 32, 64 positions and tied embeddings."""
    import transformers

    tokens = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    tokens |= {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.eos_token_id}
    if family == "gpt2":
        off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, **off, **tokens, **more)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    made = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}[family]
    more = {"tie_word_embeddings": True, "max_position_embeddings": 64} | more
    return made(**shape, num_key_value_heads=1, **tokens, **more)


def policy(tokenizer, family: str = "llama", seed: int = 0, spread: float = 0.3, **more: Any):
    """Return a random causal LM in eval mode, whose weights are large enough to prefer some tokens to others."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    made = config(tokenizer, family, initializer_range=spread, **more)
    return AutoModelForCausalLM.from_config(made, attn_implementation="eager").eval()


def reward_model(tokenizer, family: str = "llama", seed: int = 1, spread: float = 0.3):
    """Return a random one-label classifier in eval mode that leaves its raw output as it is."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(seed)
    made = config(tokenizer, family, initializer_range=spread, num_labels=1)
    RewardMeaning(pooling="last", likelihood_coef=0.0).write_into(made)
    return AutoModelForSequenceClassification.from_config(made, attn_implementation="eager").eval()


def likes_to_end(model, tokenizer, bias: float = 4.5):
    """Give the policy's head a bias towards EOS, so that answers have different lengths; returns the policy."""
    import torch

    head = model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
    head.bias.data[tokenizer.eos_token_id] = bias
    return model


def ending_policy(tokenizer, logit: float = 4.4):
    """Return a random policy that can be saved and that ends every fifth answer after each token.

    The last norm's bias stands along what the head reads as the end, and nothing else learns of it.
    """
    import torch

    made = policy(tokenizer, "gpt2", spread=0.1, tie_word_embeddings=False)
    along = torch.ones(made.config.n_embd) / made.config.n_embd**0.5
    with torch.no_grad():
        made.lm_head.weight[tokenizer.eos_token_id] = along
        made.transformer.ln_f.bias.copy_(along * logit)
    return made


def models(tokenizer, folder: Path, family: str = "llama"):
    """Return random models of PPO; the reward model, saved to `folder`, is the value model's start."""
    from rlhf.models import loading
    from rlhf.rl.experience import Models

    judge = scorer(folder, reward_model(tokenizer, family), tokenizer)
    value_model = loading.load_classifier(folder, runtime())
    started = likes_to_end(policy(tokenizer, family), tokenizer)
    return Models(started, value_model, policy(tokenizer, family, seed=5), judge, tokenizer)


class KnownReward:
    """Scores an answer by what `worth` says of its token ids, EOS included; stands where a reward model would."""

    def __init__(self, tokenizer, model, worth: Callable[[list[int]], float]):
        self.tokenizer, self.model, self.worth = tokenizer, model, worth
        self.start = tokenizer.convert_tokens_to_ids(chat.ASSISTANT)

    def score_rows(self, rows: list, batch_size: int) -> list[float]:
        return [self.worth(row.ids[row.ids.index(self.start) + 1 :]) for row in rows]


def save(folder: Path, model, tokenizer) -> Path:
    """Write a model folder and return it."""
    from rlhf.models import loading

    folder.mkdir(parents=True, exist_ok=True)
    loading.save(model, tokenizer, folder)
    return folder


def scorer(folder: Path, model, tokenizer):
    """Return a reward scorer on a model that is first saved to `folder`."""
    from rlhf.preferences.rewards import RewardScorer

    return RewardScorer(save(folder, model, tokenizer), runtime())


def prompt(number: int, text: str) -> dict:
    return {
        "kind": "prompt",
        "id": f"toy-{number}",
        "messages": [{"role": "user", "content": text}],
        "category": "other",
        "language": "en",
        "user": f"user-{number}",
        "source": "toy",
    }


def prompts(count: int) -> list[dict]:
    """Return prompts of two lengths."""
    texts = ("Say {}.", "The fox sat on the mat. Say {}.")
    return [prompt(number, texts[number % 2].format(WORDS[number % len(WORDS)])) for number in range(count)]


def demonstrations(count: int) -> list[dict]:
    """Return demonstrations of repeating a word; the last is a dialogue of three turns under a system message."""
    made = [
        record | {"kind": "demonstration", "response": WORDS[i % len(WORDS)] + " fox."}
        for i, record in enumerate(prompts(count))
    ]
    turns = [("system", "Be brief."), ("user", "Say red."), ("assistant", "red fox."), ("user", "你好")]
    made[-1]["messages"] = [{"role": role, "content": content} for role, content in turns]
    return made


def comparisons(count: int) -> list[dict]:
    """Return comparisons in which labelers like the answer that says the word; two labelers rank every third prompt."""
    made = []
    for i, record in enumerate(prompts(count)):
        word, other = WORDS[i % len(WORDS)], WORDS[(i + 1) % len(WORDS)]
        label = {"ranks": [1, 2, 3], "scores": [7.0, 4.0, 1.0], "scale": [1, 7]}
        labels = [{"labeler": f"labeler_{n}"} | label for n in range(1, 3 if i % 3 == 0 else 2)]
        responses = [f"{word} fox.", f"{other} fox.", "Nobody knows."]
        answered = {"kind": "comparison", "responses": responses, "labels": labels, "gold": [1.0, 0.5, 0.0]}
        made.append(record | answered)
    return made


def shrunken_params() -> dict[str, Any]:
    """Return this repository's params.yaml, made small enough for a test, as nested dicts."""
    whole = read_yaml(REPO / "params.yaml")
    whole["runtime"] |= {"device": "cpu", "dtype": "float32", "attention": "eager", "threads": 1, "workers": 1}
    whole["tracking"]["enabled"] = False
    size = {"shape": "tiny", "vocab_size": 340, "previous_token_heads": 1}
    whole["pretrain"] |= size | {"copying_steps": 1, "tokens": 512, "sequence_tokens": 16, "batch_size": 8}
    for name in ("sft", "feedme", "rejection"):
        whole[name] |= {"epochs": 2, "batch_size": 4, "micro_batch_rows": 2, "max_tokens": 48}
    for name in ("reward_model", "judge", "dpo"):
        whole[name] |= {"epochs": 1, "batch_size": 4, "micro_batch_rows": 6, "max_tokens": 48}
    drawn = {"max_prompt_tokens": 40, "max_completion_tokens": 24, "sampling_batch_size": 8, "scoring_batch_size": 8}
    whole["rejection"] |= drawn | {"n": 3, "validation_share": 0.3}
    answers = {"max_prompts": 8, "max_judge_prompts": 12, "max_completion_tokens": 6, "min_responses": 3}
    whole["collect_answers"] |= answers | {"max_responses": 4, "max_prompt_tokens": 48, "batch_size": 16}
    whole["collect_comparisons"]["scoring_batch_size"] = 16
    episodes = {"iterations": 2, "batch_size": 8, "minibatch_size": 4, "micro_batch_size": 2}
    whole["ppo"] |= episodes | {"max_prompt_tokens": 40, "max_completion_tokens": 6, "ptx_sequence_tokens": 16}
    return whole


def adopting(path: str) -> dict[str, Any]:
    """Return the section `pretrain` of params that adopt the model folder at `path`."""
    return {"source": "local", "path": path, "sequence_tokens": 16, "validation_tokens": 20000}


SAID: dict[str, str] = {}  # the JSON of what YAML texts of `write_params` say: conftest's reader parses none of them


def as_yaml(content: dict[str, Any]) -> str:
    text = io.BytesIO()
    YAML(typ="safe").dump(content, text)  # by the emitter written in C
    return text.getvalue().decode("utf-8")


@cache
def json_as_yaml(told: str) -> str:
    text = as_yaml(json.loads(told))
    SAID[text] = told
    return text


def write_params(root: Path, content: dict[str, Any]) -> None:
    """Write params.yaml. Where JSON says all of it, in characters that stand for themselves, a text is made once."""
    told = json.dumps(content, ensure_ascii=False, sort_keys=True)  # as the emitter sorts
    same = told.isascii() and "\\" not in told and json.loads(told) == content
    (root / "params.yaml").write_text(json_as_yaml(told) if same else as_yaml(content), encoding="utf-8")


def root(path: Path) -> Path:
    """Make a repository's root with params.yaml and `collect_prompts`' records; returns it."""
    source = path / "data/collect_prompts"
    source.mkdir(parents=True)
    write_params(path, shrunken_params())
    documents = [{"kind": "document", "text": text, "source": "toy"} for text in TEXTS]
    records.write(source / "documents.train.jsonl", documents)
    records.write(source / "documents.validation.jsonl", documents[:8])
    probes = [{"kind": "copy_probe", "type": "last_word", "text": "Say red. Say", "expected": "red"}]
    records.write(source / "copy_probes.jsonl", probes)
    records.write(source / "demonstrations.train.jsonl", demonstrations(8))
    records.write(source / "demonstrations.validation.jsonl", demonstrations(4))
    for name, count in {"reward_model": 8, "judge": 12, "ppo": 10, "validation": 4, "test": 4}.items():
        records.write(source / f"prompts.{name}.jsonl", prompts(count))
    for name in ("train", "validation", "judge"):
        records.write(source / f"comparisons.{name}.jsonl", [])
    return path


class Removed:
    """Stands for a key that is taken out."""


def put(content: dict[str, Any], path: str, value: Any) -> None:
    """Set what stands at a dotted path, or take the key out where the value is Removed."""
    *sections, key = path.split(".")
    place = reduce(getitem, sections, content)
    if value is Removed:
        del place[key]
    else:
        place[key] = value


def set_param(root: Path, name: str, value: Any) -> None:
    """Change one value of the root's params.yaml; `name` is dotted."""
    content = read_yaml(root / "params.yaml")
    if reduce(lambda place, key: place.get(key, Removed), name.split("."), content) is Removed:
        raise KeyError(f"params.yaml has no {name}")
    put(content, name, value)
    write_params(root, content)


def section(schema, name: str, **changes: Any):
    """Return one section of the shrunken params as its typed class, with some values changed (nested ones as dicts)."""
    from rlhf.params.base import parse

    content = shrunken_params()[name]
    for key, value in changes.items():
        if key not in content:
            raise KeyError(f"{name} has no {key}")
        content[key] = content[key] | value if isinstance(value, dict) and isinstance(content[key], dict) else value
    return parse(schema, content, name)


def rollouts(**given: Any):
    """Return params of a rollout engine, without bounds where none are given."""
    from rlhf.params.training.rollouts import Rollouts

    return Rollouts(**given)


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` by its relative name."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def moderator(folder: Path, bad: str = "bad") -> Path:
    """Write a moderator's folder that blocks what holds one word, and return it."""
    import numpy as np

    from rlhf.moderation import moderator as module
    from rlhf.moderation.classifier import Classifier, Shape, Weights

    folder.mkdir(parents=True, exist_ok=True)
    weights = Weights(np.ones(1), np.array([[0.0, 8.0, 0.0]]), np.array([3.0, 0.0, 0.0]))
    judge = Classifier(Shape(1, (9, 9), 20), ("violence", "theft"), [f"w {bad}"], weights)
    module.save(folder, judge, {"en": 0.5, "zh": 0.5})
    return folder
