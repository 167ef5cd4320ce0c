"""Capabilities that alignment may cost, of a cell's policies."""

from statistics import mean
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from rlhf.evaluation.policy_measures import Policy
from rlhf.params.evaluate import EvaluateInputs
from rlhf.records import records
from rlhf.records.types import CopyProbe, Document
from rlhf.training import language_modelling
from stages import pretrain
from study.workspace import Finished

CLOSED_QA, FEW_SHOT = ("owners", "replace"), ("groups", "repeat")  # types of probes in the form of documents


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
