"""Capabilities that alignment may cost, and ChatGPT's known limits, of a cell's policies."""

from collections import Counter, defaultdict
from random import Random
from statistics import mean
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from rlhf.evaluation import policy_measures
from rlhf.evaluation.policy_measures import Policy, Scorers
from rlhf.params.evaluate import EvaluateInputs
from rlhf.records import records
from rlhf.records.types import CopyProbe, Document, Prompt
from rlhf.runtime import seeds
from rlhf.training import language_modelling
from rlhf.world.asking import tasks
from rlhf.world.grading import gold
from stages import pretrain
from study.workspace import Finished

CLOSED_QA, FEW_SHOT = ("owners", "replace"), ("groups", "repeat")  # types of probes in the form of documents
HONESTY = ("false_premise", "unknown", "clarify", "harmful", "look_alike")  # kinds of tasks
SAME_TASK = ("fact", "list", "false_premise", "look_alike", "harmful")  # kinds that are asked in several ways
PHRASE_WORDS = 3


def capabilities(policy: Policy, done: Finished) -> dict[str, Any]:
    """Return what the policy still knows of its pretraining.

    Of each piece of held-out documents its loss in nats a token and its cloze accuracy; shares of right next words in
    closed QA and few-shot probes, which have the form of documents.
    """
    source, params = done.data / "collect_prompts", done.params
    copied = pretrain.copying(
        policy.model, policy.tokenizer, records.read(source / "copy_probes.jsonl", CopyProbe), params.runtime
    )["copying"]
    texts = [document["text"] for document in records.read(source / "documents.validation.jsonl", Document)]
    return {
        **on_documents(policy, texts, done.settings.probes, params),
        "closed_qa": mean(copied[name] for name in CLOSED_QA),
        "few_shot": mean(copied[name] for name in FEW_SHOT),
    }


@torch.no_grad()
def on_documents(policy: Policy, texts: list[str], limit: int, params: EvaluateInputs) -> dict[str, list[float]]:
    """Return the loss and the accuracy of the likeliest next token, of each of at most `limit` pieces of the texts."""
    stream = language_modelling.token_stream(policy.tokenizer, texts)
    rows = language_modelling.sequences(stream, params.evaluate.sequence_tokens)[:limit]  # [N, T]
    losses, hits = [], []
    for part in rows.to(params.runtime.device).split(32):
        logits = policy.model(input_ids=part[:, :-1], use_cache=False).logits.float()
        losses += cross_entropy(logits.transpose(1, 2), part[:, 1:], reduction="none").mean(1).tolist()
        hits += logits.argmax(-1).eq(part[:, 1:]).float().mean(1).tolist()
    return {"loss": [round(loss, 4) for loss in losses], "cloze": [round(hit, 4) for hit in hits]}


def limits(done: Finished) -> dict[str, Any]:
    """Return, for base, SFT and PPO, greedily decoded: honesty, refusals, consistency, length, over-used phrases."""
    scorers, count = done.scorers(), done.settings.paraphrases
    asked = {kind: drawn(kind, count) for kind in HONESTY}
    repeated = paraphrases(count)
    found: dict[str, Any] = {}
    for name, place in (("base", "pretrain"), ("sft", "sft"), ("ppo", f"ppo/{done.last_round}")):
        policy = done.policy(name, place)
        rows = {kind: _gold(policy, prompts, scorers) for kind, prompts in asked.items()}
        several = [prompt for group in repeated for prompt in group]
        answers = policy_measures.ask(policy, several, 0.0, scorers)
        scores = iter([gold.score(p["task"], a.text).score for p, a in zip(several, answers, strict=True)])
        spans = [[next(scores) for _ in group] for group in repeated]
        found[name] = {
            "gold": {kind: [round(score, 4) for score, _ in row] for kind, row in rows.items()},
            "paraphrase_spread": [round(max(span) - min(span), 4) for span in spans],
            "words": [len(answer.text.split()) for answer in answers],
            "phrases": overused([answer.text for answer in answers]),
        }
    return found


def drawn(kind: str, count: int) -> list[Prompt]:
    """Return prompts of one kind, the same ones for every cell."""
    rng = Random(seeds.derive(0, "study", kind))
    made = [tasks.draw_kind(rng, kind, "seen") for _ in range(count)]
    return [
        {"id": f"{kind}-{number}", "task": task, "messages": messages, "category": category}
        for number, (task, messages, category) in enumerate(made)
    ]


def paraphrases(count: int, ways: int = 3) -> list[list[Prompt]]:
    """Return `count` tasks, each asked in so many different ways."""
    groups: dict[str, dict[str, Prompt]] = defaultdict(dict)
    for kind in SAME_TASK:
        for prompt in drawn(kind, 40 * count):
            groups[repr(prompt["task"])][prompt["messages"][-1]["content"]] = prompt
    kept = [list(group.values())[:ways] for group in groups.values() if len(group) >= ways]
    Random(0).shuffle(kept)
    return kept[:count]


def overused(texts: list[str], most: int = 5) -> dict[str, float]:
    """Return the commonest runs of words and the share of answers that have them."""
    found = Counter(phrase for text in texts for phrase in set(_phrases(text.split())))
    return {phrase: round(count / len(texts), 4) for phrase, count in found.most_common(most)}


def _phrases(words: list[str]) -> list[str]:
    return [" ".join(words[start : start + PHRASE_WORDS]) for start in range(len(words) - PHRASE_WORDS + 1)]


def _gold(policy: Policy, prompts: list[Prompt], scorers: Scorers) -> list[tuple[float, str]]:
    answers = policy_measures.ask(policy, prompts, 0.0, scorers)
    return [(gold.score(p["task"], answer.text).score, answer.text) for p, answer in zip(prompts, answers, strict=True)]
