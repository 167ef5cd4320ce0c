"""Timed pieces of the work of stages, in the code that will run: parts, logits, steps of decoding, optimisers.

Models of one and of three layers stand for the model; workers compute side by side, as in a stage. torch is loaded.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoConfig, LlamaConfig

from rlhf.engine import logprobs
from rlhf.lora import attaching
from rlhf.models import decoding, forward, loading, placement, proof
from rlhf.runtime import parallel
from rlhf.sampling import rollouts
from rlhf.training import muon, optimisation
from rlhf.training.optimisation import MicroBatchLoss
from tools.planning.sizes import Dimensions
from tools.planning.timing.rates import Line, Plane
from tools.planning.work import ADAPT, LEARN, READ

LAYERS = (1, 3)
REPEATED = 3
STEPS = 6


class Sample(NamedTuple):
    """What of a plan is tried: its kinds of passes and of updates, and two sizes of parts and of steps."""

    whats: set[str]
    hows: set[str]
    tokens: tuple[int, int]  # of a part, whole rows
    read: int  # tokens of a row
    rows: tuple[int, int]  # of a step


def at_all(work: Callable[[int], object], runtime: Any) -> None:
    """Let every worker do a work at once."""
    for _ in parallel.here(work, range(runtime.workers)):
        pass


def model_of(sizes: Dimensions, layers: int, runtime: Any) -> Any:
    """Return a random model of so many layers of these sizes."""
    config: Any
    context = max(2048, sizes.context)
    if sizes.gated:
        config = LlamaConfig(
            hidden_size=sizes.width, intermediate_size=sizes.inner, num_hidden_layers=layers, head_dim=sizes.head,
            num_attention_heads=sizes.queries, num_key_value_heads=sizes.keys, vocab_size=sizes.vocab,
            max_position_embeddings=context, tie_word_embeddings=True,
        )  # fmt: skip
    elif sizes.ours:
        config = GPT2Config(
            n_embd=sizes.width, n_inner=sizes.inner, n_layer=layers, n_head=sizes.queries, vocab_size=sizes.vocab,
            n_positions=context,
        )  # fmt: skip
    else:
        config = GPTNeoConfig(
            hidden_size=sizes.width, intermediate_size=sizes.inner, num_layers=layers, num_heads=sizes.queries,
            vocab_size=sizes.vocab, max_position_embeddings=context, attention_types=[[["global"], layers]],
        )  # fmt: skip
    loading.set_dropout(config, 0.0)
    return placement.placed(AutoModelForCausalLM.from_config(config, attn_implementation=runtime.attention), runtime)


def timed(work: Callable[[], object], runtime: Any) -> float:
    """Return the median seconds of a work, after it was done once."""
    found = []
    for _ in range(1 + REPEATED):
        began = time.monotonic()
        work()
        _wait(runtime)
        found.append(time.monotonic() - began)
    return median(found[1:])


def _wait(runtime: Any) -> None:
    if runtime.device == "cuda":
        torch.cuda.synchronize()


class _Still:
    """An optimiser that leaves the weights where they are: a part is timed without it."""

    def __init__(self, model: nn.Module):
        self.model = model

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.model.zero_grad(set_to_none)

    def step(self) -> None:
        """Move nothing."""


def _rows(vocab: int, count: int, read: int, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ids, positions, segments and what is wanted of so many rows of `read` tokens, [B, T] each."""
    shape = (count, read)
    everywhere = torch.ones(shape, dtype=torch.bool, device=device)
    positions = torch.arange(read, device=device).expand(shape)
    return torch.randint(2, vocab, shape, device=device), positions, everywhere.long(), everywhere


def passes(params: Any, sizes: Dimensions, tried: Sample, what: str) -> Plane:
    """Return the seconds of a part through the layers, with its gradients where something learns."""
    runtime, found = params.runtime, {}
    for layers in LAYERS:
        model = model_of(sizes, layers, runtime).train(what != READ)
        if what == ADAPT:
            attaching.attach(model, lora_of(params), torch.Generator().manual_seed(0))
        if what != READ:
            placement.recompute(model, runtime)
        for count in tried.tokens:
            rows = _rows(sizes.vocab, count // tried.read, tried.read, runtime.device)
            found[layers, count] = timed(partial(_part, model, rows, what, runtime), runtime)
    return Plane.through(LAYERS, tried.tokens, found)


def lora_of(params: Any) -> Any:
    """Return the adapters of the first stage that has some; one has."""
    sections = (params.ppo, params.sft, params.reward_model, params.feedme, params.judge, params.rejection, params.dpo)
    return next(section.lora for section in sections if section.lora is not None)


def _part(model: Any, rows: tuple[Tensor, Tensor, Tensor, Tensor], what: str, runtime: Any) -> None:
    """Let each worker compute one part, with its gradients where something learns."""

    def states(_: object = None) -> Tensor:
        with placement.precision(runtime):
            return forward.hidden_states(model, *rows)

    if what == READ:
        with torch.no_grad():
            at_all(states, runtime)
        return

    def losses() -> Iterator[Callable[[], MicroBatchLoss]]:
        for _ in range(runtime.workers):
            yield lambda: MicroBatchLoss(states().float().mean())

    still: Any = _Still(model)
    optimisation.step(model, still, losses(), 1.0)


def heads(params: Any, sizes: Dimensions, tried: Sample, what: str) -> Line:
    """Return the seconds of the log-probabilities of so many tokens, with the gradients where something learns."""
    runtime, learns = params.runtime, what != READ
    weight = torch.randn(sizes.vocab, sizes.width, device=runtime.device, requires_grad=what == LEARN)

    def part(count: int, _: object) -> None:
        hidden = torch.randn(count, sizes.width, device=runtime.device, requires_grad=learns)
        ids = torch.randint(2, sizes.vocab, (count,), device=runtime.device)
        with placement.precision(runtime), torch.set_grad_enabled(learns):
            found = logprobs.of_hidden(hidden, logprobs.Head(weight, None), ids).sum()
        if learns:
            torch.autograd.grad(found, [hidden, *([weight] if what == LEARN else [])])

    few, many = (timed(partial(at_all, partial(part, count), runtime), runtime) for count in tried.tokens)
    return Line.through(tried.tokens, (few, many))


def steps(params: Any, sizes: Dimensions, tried: Sample) -> Plane:
    """Return the seconds of a step of decoding, logits with it, of so many rows."""
    runtime, found = params.runtime, {}
    for layers in LAYERS:
        model = model_of(sizes, layers, runtime).eval()
        for count in tried.rows:
            found[layers, count] = _step(model, count, tried.read, runtime)
    return Plane.through(LAYERS, tried.rows, found)


def _step(model: Any, count: int, read: int, runtime: Any) -> float:
    ids, positions, segments, _ = _rows(model.config.vocab_size, count, read, runtime.device)

    def write(_: int) -> float:
        with torch.no_grad(), placement.precision(runtime):
            reader = decoding.decoder(model, STEPS + 1)
            reader.read(ids, segments.bool(), positions)
            reader.step(ids[:, 0])
            began = time.monotonic()
            for _ in range(STEPS):
                reader.step(ids[:, 0])
            _wait(runtime)
            return (time.monotonic() - began) / STEPS

    return median(max(parallel.here(write, range(runtime.workers))) for _ in range(REPEATED))


def draws(params: Any, sizes: Dimensions, tried: Sample) -> Line:
    """Return the seconds that it takes to draw a token of each of so many rows."""
    runtime = params.runtime

    def draw(count: int, _: object) -> None:
        logits = torch.zeros(count, sizes.vocab, device=runtime.device)
        rollouts.choose(logits, torch.rand(count, dtype=torch.float64, device=runtime.device), 1.0)

    few, many = (timed(partial(at_all, partial(draw, count), runtime), runtime) for count in tried.rows)
    return Line.through(tried.rows, (few, many))


def updates(params: Any, sizes: Dimensions, how: str) -> Line:
    """Return the seconds of an optimiser's step over so many layers."""
    few, many = (_update(params, model_of(sizes, layers, params.runtime), how) for layers in LAYERS)
    return Line.through(LAYERS, (few, many))


def _update(params: Any, model: Any, how: str) -> float:
    if how == "adapters":
        attaching.attach(model, lora_of(params), torch.Generator().manual_seed(0))
    optimiser: Any
    if how == "muon":
        optimiser = muon.Muon(model, params.pretrain.optimisation, params.pretrain.muon_momentum)
    else:
        optimiser = optimisation.adamw(model, params.sft.optimisation)

    def step() -> None:
        for weight in model.parameters():
            if weight.requires_grad and weight.grad is None:
                weight.grad = torch.full_like(weight, 1e-3)
        optimiser.step()

    return timed(step, params.runtime)


def tries(params: Any, sizes: Dimensions) -> Line:
    """Return the seconds of trying what is exact for a model of so many layers, once it is read."""
    seconds = []
    for layers in LAYERS:
        model = model_of(sizes, layers, params.runtime).eval()
        began = time.monotonic()
        proof.prove(model)
        seconds.append(time.monotonic() - began)
    return Line.through(LAYERS, (seconds[0], seconds[1]))
