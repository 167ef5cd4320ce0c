"""Tasks as prompts: the label whose word is the likeliest next, zero-, one- and few-shot (Brown et al. 2020).

A word is scored in three ways:

    sum         log p(word | prompt)
    mean        the same a token, so that a longer word is at no loss
    calibrated  log p(word | prompt) - log mean over content-free prompts of p(word | content-free prompt)
                (Zhao et al. 2021: what the wording and the examples shown make likely whatever is asked)
"""

from collections.abc import Mapping, Sequence
from math import exp, log
from random import Random
from typing import Any, NamedTuple

import torch

from rlhf.engine import logprobs
from rlhf.evaluation.policy_measures import Policy
from rlhf.models import forward
from rlhf.runtime import parallel, seeds
from rlhf.tokens import batching
from study.forms import wordings
from study.forms.tasks import TASKS, Example
from study.forms.wordings import WAYS, Prompt

CONTENT_FREE = ("N/A", "", "[MASK]")  # Zhao et al. 2021, section 5
SCORES = ("sum", "mean", "calibrated")
BATCH = 64  # prompts


class Asked(NamedTuple):
    labels: dict[str, list[int]]  # by condition, way_shots_score: the label that was chosen of each example
    left_out: dict[str, int]  # conditions that do not fit into the model's context, and the tokens that they need


def ask(
    policy: Policy, task: str, tests: Sequence[Example], shown: Sequence[Sequence[Example]], shots: Mapping[str, int]
) -> Asked:
    """Return what a policy chooses under every condition.

    shown: sets of training examples, of which each test example sees one, the first `shots` of it.
    """
    found = Asked({}, {})
    context = int(getattr(policy.model.config.get_text_config(), "max_position_embeddings", 1 << 30))
    for way in WAYS:
        for name, count in shots.items():
            made: dict[tuple[int, Example], Prompt] = {}

            def prompt(number: int, example: Example, way: str = way, count: int = count, made: Any = made) -> Prompt:
                key = number % len(shown), example
                if key not in made:
                    own = shown[key[0]][:count]
                    made[key] = wordings.prompt(policy.tokenizer, task, way, own, example)
                return made[key]

            asked = [prompt(number, test) for number, test in enumerate(tests)]
            needed = max(len(one.ids) + max(map(len, one.words)) for one in asked)
            if needed > context:
                found.left_out[f"{way}_{name}"] = needed
                continue
            free = [
                [prompt(number, wordings.without_content(test, content)) for content in CONTENT_FREE]
                for number, test in enumerate(tests)
            ]
            found.labels.update(_chosen(policy, f"{way}_{name}", asked, free))
    return found


def _chosen(
    policy: Policy, name: str, asked: Sequence[Prompt], free: Sequence[Sequence[Prompt]]
) -> dict[str, list[int]]:
    """Return the likeliest label of each prompt, by each score; `free` are its content-free prompts."""
    known, labels = scored(policy, [*asked, *(one for row in free for one in row)]), {}
    for score in SCORES:
        rows = [
            [_score(score, known, prompt, own, word) for word in prompt.words]
            for prompt, own in zip(asked, free, strict=True)
        ]
        labels[f"{name}_{score}"] = [row.index(max(row)) for row in rows]
    return labels


def sets_to_show(task: str, pool: Sequence[Example], count: int, size: int) -> list[list[Example]]:
    """Return `count` sets of `size` examples of training, their labels as evenly many as can be."""
    found = []
    for number in range(count):
        rng = Random(seeds.derive(0, "forms shown", task, number))
        labels = rng.sample(range(TASKS[task].num_labels), TASKS[task].num_labels)
        found.append([rng.choice([one for one in pool if one.label == labels[k % len(labels)]]) for k in range(size)])
    return found


Words = Mapping[tuple[tuple[int, ...], tuple[int, ...]], list[float]]  # (prompt, word): log p of each token


def _score(name: str, known: Words, prompt: Prompt, free: Sequence[Prompt], word: tuple[int, ...]) -> float:
    tokens = known[prompt.ids, word]
    if name == "mean":
        return sum(tokens) / len(tokens)
    if name == "sum":
        return sum(tokens)
    return sum(tokens) - log(sum(exp(sum(known[one.ids, word])) for one in free) / len(free))


@torch.no_grad()
def scored(policy: Policy, prompts: Sequence[Prompt]) -> Words:
    """Return log p of the tokens of every word behind every prompt, each prompt read once, with its longest words."""
    words: dict[tuple[int, ...], dict[tuple[int, ...], None]] = {}
    for prompt in prompts:
        words.setdefault(prompt.ids, {}).update(dict.fromkeys(prompt.words))
    rows = [
        (ids, before) for ids, own in words.items() for before in dict.fromkeys(word[:-1] for word in own)
    ]  # a word's last token is read of no row
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], list[float]] = {}

    def measure(chosen: list[int]) -> list[torch.Tensor]:
        return _next_tokens(policy, [rows[index] for index in chosen])

    tables = parallel.by_length(measure, [len(ids) + len(before) for ids, before in rows], BATCH)
    by_row = dict(zip(rows, tables, strict=True))
    for ids, own in words.items():
        for word in own:
            table = by_row[ids, word[:-1]]
            found[ids, word] = [float(table[place, token]) for place, token in enumerate(word)]
    return found


def _next_tokens(policy: Policy, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[torch.Tensor]:
    """Return log p [1 + len(before), V] of what follows each prompt, and each token of `before` behind it."""
    padding: Any = policy.tokenizer.pad_token_id
    batch = batching.pad([[*ids, *before] for ids, before in rows], padding, "right", str(policy.model.device))
    wanted = torch.zeros_like(batch.mask)
    for number, (ids, before) in enumerate(rows):
        wanted[number, len(ids) - 1 : len(ids) + len(before)] = True
    positions = batching.position_ids(batch.mask)
    states = forward.hidden_states(policy.model, batch.ids, positions, batch.mask.long(), wanted)
    table = logprobs.logits(states, forward.output_head(policy.model)).log_softmax(dim=-1).cpu()
    return list(table.split([1 + len(before) for _, before in rows]))
