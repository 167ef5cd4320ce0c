"""Which models can be adopted: python -m tools.looking.adoption

For a tiny configuration of every causal model type that the installed transformers knows, with random weights: what the
stages compute (losses of left-padded and packed rows and their gradients, answers behind one prompt, values, sampling)
beside what transformers' own model says of each sequence alone. Writes metrics/adoption.json and its page in
docs/generated. --configs FILE.py: those of a dictionary `A` there, of functions that return a config, and writes none.
"""

import argparse
import runpy
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from rlhf.engine import logprobs
from rlhf.models import forward, loading, reward_head, ways
from rlhf.params.runtime import Runtime
from rlhf.runtime import files
from rlhf.sampling import rollouts
from rlhf.tokens import batching
from rlhf.training import language_modelling
from tools.looking import architectures

OUT, PAGE = Path("metrics/adoption.json"), Path("docs/generated/adoption.md")
LONGEST = 70  # tokens; beyond the windows and original contexts of the configurations
NOT_TRIED = "not tried"
MOST_WEIGHTS = 20_000_000
LIMIT = 1e-4  # nats, and of gradients relative to their norm
RUNTIME = Runtime(
    device="cpu", dtype="float32", attention="eager", processes=1, threads=1, workers=1, frozen_dtype=None,
    gradient_checkpointing=None,
    sharding=None,
)  # fmt: skip


class Verdict(NamedTuple):
    """What came of one configuration."""

    verdict: str  # exact | refused | wrong | not tried
    worst: float | None  # largest difference from each sequence alone, nats
    used: str  # how rows are read and decoded, or why it is refused


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--configs", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found: dict[str, Verdict] = {}
    configs = _of_file(options.configs) if options.configs else architectures.all_of_them()
    for name, make in configs:
        found[name] = verdict_of(make, MOST_WEIGHTS if options.configs is None else None)
        print(f"{name:40} {found[name].verdict:9} {_number(found[name].worst):>8}  {found[name].used}", flush=True)
    counts = {kind: sum(one.verdict == kind for one in found.values()) for kind in ("exact", "refused", "wrong")}
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()), f"of {len(found)}")
    if options.configs is None:
        kept = {
            name: {"verdict": one.verdict, "worst": one.worst, "how": one.used}
            for name, one in found.items()
            if one.verdict != NOT_TRIED
        }
        files.write_json(OUT, kept)
        files.write_text(PAGE, page(kept))


def verdict_of(make: Callable[[], Any], most_weights: int | None = None) -> Verdict:
    """Return what comes of a configuration: its model is drawn, saved, and adopted as the stages adopt one."""
    try:
        config = make()
        with torch.device("meta"):
            weights = sum(one.numel() for one in transformers.AutoModelForCausalLM.from_config(config).parameters())
        if most_weights is not None and weights > most_weights:
            return Verdict(NOT_TRIED, None, f"{weights / 1e6:.0f} million weights: its config keeps parts large")
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    except Exception as error:  # noqa: BLE001 - a configuration that transformers itself cannot build
        return Verdict(NOT_TRIED, None, f"transformers cannot build it: {_in_a_line(error)}")
    with tempfile.TemporaryDirectory() as place:
        try:
            model.save_pretrained(place)
            policy = loading.load_causal(place, RUNTIME, longest=LONGEST)
            policy.save_pretrained(place)
            classifier: Any = loading.load_classifier(place, RUNTIME, new_head=True, longest=LONGEST)
        except ValueError as error:  # a stage would end with it before its work
            return Verdict("refused", None, _in_a_line(error).replace(place, "it"))
        except Exception as error:  # noqa: BLE001 - a traceback is no refusal
            return Verdict("wrong", None, f"{type(error).__name__} at load: {_in_a_line(error)}")
        kind = type(model)
        plain = kind.from_pretrained(place, trust_remote_code=False, attn_implementation="eager").eval()
        alone = Alone(plain, classifier)
        try:
            worst = max(difference(policy, classifier, alone) for difference in DIFFERENCES)
        except Exception as error:  # noqa: BLE001 - it would end a stage at work
            return Verdict("wrong", None, f"{type(error).__name__} at work: {_in_a_line(error)}")
    used = ", ".join(f"{name} {exact[0]}" for name, exact in _used(policy, classifier))
    return Verdict("exact" if worst <= LIMIT else "wrong", worst, used)


def _used(policy: Any, classifier: Any) -> Iterator[tuple[str, Any]]:
    found = ways.proven(policy)
    exact = {**ways.proven(classifier).reading, **found.reading}
    yield from ((kind, exact[kind]) for kind in ways.KINDS)
    yield "decoding", found.decoding


class Alone:
    """What transformers' own model says of one sequence at a time, unpadded and without a cache."""

    def __init__(self, model: Any, classifier: Any):
        self.model, self.head = model, reward_head.scalar_head(classifier)
        self.backbone = classifier.base_model
        tied = bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
        self.likelihoods = tied and getattr(model.config, "proven_logits", ()) is not None

    def logprobs(self, ids: list[int]) -> torch.Tensor:
        """Return log p of the tokens behind the first: [T - 1], nats."""
        logits = self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1].float()
        return logits.log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None]).squeeze(-1)

    def scalars(self, ids: list[int]) -> torch.Tensor:
        """Return the scalar at each token: [T]."""
        return self.head(self.backbone(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]).squeeze(-1)


def _sequences(policy: Any) -> list[list[int]]:
    """Return three random sequences, of other lengths than the proof's."""
    config, generator = policy.config.get_text_config(), torch.Generator().manual_seed(1)
    special = [getattr(config, f"{name}_token_id", None) for name in ("pad", "eos", "bos")]
    free = torch.tensor([token for token in range(config.vocab_size) if token not in special])
    return [free[torch.randint(len(free), (length,), generator=generator)].tolist() for length in (LONGEST, 41, 12)]


@torch.no_grad()
def of_left_padded(policy: Any, _classifier: Any, alone: Alone) -> float:
    """Return by how much the log-probabilities that PPO uses are off."""
    sequences, num_last = _sequences(policy), 9
    padded = batching.pad(sequences, 0, "left")
    completion = padded.mask[:, -num_last:]
    hidden = forward.completion_states(policy, padded.ids, padded.mask, completion)
    found = logprobs.of_hidden(hidden, forward.output_head(policy), padded.ids[:, -num_last:][completion])
    return _off(found, torch.cat([alone.logprobs(ids)[-num_last:] for ids in sequences]))


def of_packed(policy: Any, _classifier: Any, alone: Alone) -> float:
    """Return by how much the losses of packed rows are off, and the gradients of their sum, beside its norm."""
    sequences = _sequences(policy)
    order = [1, 0, 2]
    examples = [[(sequences[row], [True] * len(sequences[row])) for row in order[:2]], [(sequences[2], [True] * 12)]]
    packed = batching.pack(examples, 0, "cpu")
    found = -language_modelling.packed_losses(policy, packed, packed.loss_mask[:, 1:])
    right = torch.cat([alone.logprobs(sequences[row]) for row in order])
    found.mean().backward()
    right.mean().backward()
    pairs = [(one.grad, other.grad) for one, other in zip(policy.parameters(), alone.model.parameters(), strict=True)]
    norm = sum(other.square().sum() for _, other in pairs if other is not None) ** 0.5
    off = [(one if one is not None else 0) - other for one, other in pairs if other is not None]
    gradients = (sum(one.square().sum() for one in off) ** 0.5 / norm).item()
    policy.zero_grad()
    alone.model.zero_grad()
    return max(_off(found.detach(), right.detach()), gradients)


@torch.no_grad()
def of_decoding(policy: Any, _classifier: Any, alone: Alone) -> float:
    """Return by how much a greedy choice is worse than the best, in nats: four answers to three prompts."""
    prompts = batching.pad(_sequences(policy), 0, "left")
    owners, draws = torch.tensor([0, 1, 2, 1]), torch.zeros(4, 8)
    made = rollouts.complete(policy, prompts, draws, 0.0, rollouts.Ends((1,), 0), owners)
    worst = 0.0
    for row, owner in enumerate(owners.tolist()):
        prompt, answer = _sequences(policy)[owner], made.ids[row][made.mask[row]].tolist()
        logits = alone.model(input_ids=torch.tensor([prompt + answer]), use_cache=False).logits[0].float()
        chosen = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        best = chosen.amax(-1) - chosen.gather(-1, torch.tensor(answer)[:, None]).squeeze(-1)
        worst = max(worst, best.amax().item())
    return worst


@torch.no_grad()
def of_rewards(policy: Any, classifier: Any, alone: Alone) -> float:
    """Return by how much rewards are off, of four answers behind one prompt and of each by itself, with likelihoods
    where the reward model knows them.
    """
    sequences = _sequences(policy)
    prompt, coef = sequences[0][:40], 1.5 if alone.likelihoods else 0.0
    answers = [sequences[0][40:], sequences[1][:5], sequences[2], sequences[1][9:30]]
    rows = [(prompt + answer, len(answer)) for answer in answers]
    right = torch.stack([alone.scalars(ids)[-1] for ids, _ in rows])
    if coef:
        right = right + coef * torch.stack([alone.logprobs(ids)[-num:].mean() for ids, num in rows])
    forked = reward_head.forked_rewards(classifier, batching.fork([rows], 0, "cpu"), "last", coef)
    padded = batching.pad([ids for ids, _ in rows], 0, "right")
    num = torch.tensor([num for _, num in rows])
    by_row = reward_head.sequence_rewards(classifier, padded.ids, padded.mask, num, "last", coef)
    return max(_off(forked, right), _off(by_row, right))


@torch.no_grad()
def of_values(policy: Any, classifier: Any, alone: Alone) -> float:
    """Return by how much the values before each token of an answer are off."""
    sequences, num_last = _sequences(policy), 7
    padded = batching.pad(sequences, 0, "left")
    found = reward_head.token_values(classifier, padded.ids, padded.mask, padded.mask[:, -num_last:])
    return _off(found, torch.stack([alone.scalars(ids)[-num_last - 1 : -1] for ids in sequences]))


DIFFERENCES = (of_left_padded, of_packed, of_decoding, of_rewards, of_values)


def _off(found: torch.Tensor, right: torch.Tensor) -> float:
    off = (found - right).abs().amax().item()
    return off if off == off else float("inf")


def _of_file(path: Path) -> Iterator[tuple[str, Any]]:
    yield from runpy.run_path(str(path))["A"].items()


def _in_a_line(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 200 else f"{words[:197]}..."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _cell(text: str) -> str:
    return text.replace("|", "/")


def page(found: dict[str, dict[str, Any]]) -> str:
    """Return the page of what metrics/adoption.json holds."""
    rows = [
        f"| {name} | {one['verdict']} | {_number(one['worst'])} | {_cell(one['how'])} |" for name, one in found.items()
    ]
    lines = [
        f"*Written by `python -m tools.looking.adoption` from `{OUT}`; what is written here by hand is lost.*",
        "",
        "# Models that can be adopted",
        "",
        f"Transformers {transformers.__version__}: a tiny model of each causal type with random weights, sequences of "
        f"12 to {LONGEST} tokens, float32 on a CPU. *worst*: the largest difference of what the stages compute (losses "
        "of left-padded and packed rows, gradients relative to their norm, greedy answers, rewards of four answers "
        "behind one prompt, values) from transformers' own model on each sequence alone, in nats.",
        "",
        "| configuration | verdict | worst | how |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
