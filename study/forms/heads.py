"""Tasks by a linear head on the backbone, as GPT-1 has them (Radford et al. 2018, section 3.3 and figure 1).

    classification  start text extract
    inference       start premise delimiter hypothesis extract
    similarity      both orders, their states added
    questions       start passage question delimiter answer extract, a score for each answer, softmaxed

Start, delimiter and extract are new vectors, learned with the head from the state at extract. `tuned` learns the
backbone too, with the language model's loss beside it (equation 5). `probe` learns the head alone, on a backbone that
knows no new vector: it reads the mean of all states and the last one, and line ends stand for start and delimiter.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rlhf.engine import logprobs
from rlhf.evaluation.policy_measures import Policy
from rlhf.models import forward
from rlhf.runtime import parallel, seeds
from rlhf.tokens import batching, markers
from study.forms.tasks import TASKS, Example
from study.params import Forms

START, DELIMITER, EXTRACT = range(3)  # new vectors
BATCH = 64
RIDGE = 1.0  # of the probe's weights, as scikit-learn's C = 1
STEPS = 100  # of LBFGS, at most


class Layout(NamedTuple):
    """A task's examples as rows of tokens: each has `options` scored apart, each of them `orders` rows, summed."""

    rows: list[list[int]]  # example by example, option by option; new vectors are -1 - number
    options: int
    orders: int


def layout(tokenizer: Any, task: str, examples: Sequence[Example]) -> Layout:
    """Return the examples as GPT-1 lays them out."""

    def row(*parts: str) -> list[int]:
        ids = [-1 - START]
        for number, part in enumerate(parts):
            ids += [-1 - DELIMITER] if number else []
            ids += markers.text_ids(tokenizer, f" {part}")
        return [*ids, -1 - EXTRACT]

    rows = []
    for example in examples:
        if task == "questions":
            rows += [row(" ".join(example.parts), answer) for answer in example.answers]
        elif task == "similarity":
            rows += [row(*example.parts), row(*reversed(example.parts))]
        else:
            rows.append(row(*example.parts))
    return Layout(rows, TASKS[task].num_labels if task == "questions" else 1, 2 if task == "similarity" else 1)


def probe(policy: Policy, task: str, training: Sequence[Example], tests: Sequence[Example]) -> list[int]:
    """Return the labels that a linear layer on the frozen backbone gives to the tests."""
    read, asked = (_features(policy, layout(policy.tokenizer, task, own)) for own in (training, tests))
    mean, spread = read.flatten(0, 1).mean(0), read.flatten(0, 1).std(0).clamp(min=1e-6)
    read, asked = (read - mean) / spread, (asked - mean) / spread
    head = _head(read.shape[-1], task, "probe").to(read.device)
    labels = _labels(training, read.device)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = cross_entropy(head(read).flatten(1), labels, reduction="sum") + RIDGE / 2 * head.weight.square().sum()
        found.backward()
        return found

    optimiser.step(loss)  # pyright: ignore[reportArgumentType]  # its closures return tensors
    with torch.no_grad():
        return head(asked).flatten(1).argmax(-1).tolist()


@torch.no_grad()
def _features(policy: Policy, of: Layout) -> Tensor:
    """Return mean and last of the frozen backbone's states, [N, options, 2 D], of several orders their sum."""
    line_end = markers.text_ids(policy.tokenizer, "\n")
    rows = [[token for one in row for token in ([one] if one >= 0 else line_end)] for row in of.rows]

    def measure(chosen: list[int]) -> list[Tensor]:
        own = [rows[index] for index in chosen]
        batch = batching.pad(own, policy.tokenizer.pad_token_id, "right", str(policy.model.device))
        positions = batching.position_ids(batch.mask)
        states = forward.hidden_states(policy.model, batch.ids, positions, batch.mask.long(), batch.mask).float()
        return [torch.cat([of_row.mean(0), of_row[-1]]) for of_row in states.split([len(row) for row in own])]

    found = torch.stack(parallel.by_length(measure, [len(row) for row in rows], BATCH))
    return found.view(-1, of.options, of.orders, found.shape[-1]).sum(2)


def tuned(
    policy: Policy, task: str, training: Sequence[Example], tests: Sequence[Example], settings: Forms
) -> list[int]:
    """Return the labels that a head gives to the tests which was trained with a copy of the whole backbone."""
    device = policy.model.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(0, "forms head", task))
        model = _Tuned(policy.model, task).to(device).train()
    read, labels = layout(policy.tokenizer, task, training), _labels(training, device)
    each, order = read.options * read.orders, torch.Generator().manual_seed(seeds.derive(0, "forms order", task))
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    steps = settings.epochs * -(-len(training) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    for _ in range(settings.epochs):
        for chosen in torch.randperm(len(training), generator=order).split(settings.batch_size):
            rows = [row for i in chosen.tolist() for row in read.rows[i * each : (i + 1) * each]]
            scores, text_loss = model(read._replace(rows=rows))
            loss = cross_entropy(scores, labels[chosen.to(device)]) + settings.lm_coef * text_loss
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    asked, found = layout(policy.tokenizer, task, tests), []
    with torch.no_grad():
        for start in range(0, len(tests), BATCH):
            part = asked._replace(rows=asked.rows[start * each : (start + BATCH) * each])
            found += model.eval()(part)[0].argmax(-1).tolist()
    return found


class _Tuned(nn.Module):
    """A copy of a causal model with three new vectors and a head at extract."""

    def __init__(self, model: Any, task: str):
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(True)
        embeddings = self.model.get_input_embeddings().weight
        self.new = nn.Parameter(torch.randn(3, embeddings.shape[1]) * float(embeddings.detach().std()))
        self.head = _head(self.model.config.get_text_config().hidden_size, task, "tuned")

    def forward(self, of: Layout) -> tuple[Tensor, Tensor]:
        """Return scores of the labels [N, labels] and the mean loss of the texts' tokens, which new vectors are not."""
        device = self.new.device
        batch = batching.pad(of.rows, -1 - EXTRACT, "right", str(device))
        ids, mask, is_new = batch.ids, batch.mask, batch.ids < 0
        known = self.model.get_input_embeddings()(ids.clamp(min=0))
        embedded = torch.where(is_new.unsqueeze(-1), self.new[(-1 - ids).clamp(min=0)].to(known.dtype), known)
        states = self.model.base_model(inputs_embeds=embedded, attention_mask=mask.long(), use_cache=False)[0].float()
        last = states[torch.arange(len(ids), device=device), mask.sum(1) - 1]  # [rows, D] at extract
        summed = last.view(-1, of.options, of.orders, last.shape[-1]).sum(2)
        text = ~is_new[:, 1:]
        logits = logprobs.logits(states[:, :-1][text], forward.output_head(self.model))
        return self.head(summed).flatten(1), cross_entropy(logits, ids[:, 1:][text])


def _head(width: int, task: str, kind: str) -> nn.Linear:
    made = nn.Linear(width, 1 if task == "questions" else TASKS[task].num_labels)
    generator = torch.Generator().manual_seed(seeds.derive(0, "forms linear", task, kind))
    nn.init.normal_(made.weight, std=0.02, generator=generator)
    nn.init.zeros_(made.bias)
    return made


def _labels(examples: Sequence[Example], device: Any) -> Tensor:
    return torch.tensor([example.label for example in examples], device=device)
