"""The trainings of the study: which there are, what they learn from, the loss that each ends with, and what is known.

A loss that is known is not measured again, so that a study that was stopped goes on. It is known for the code of its
time: after a change that matters, remove .study/mup_losses.json.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from rlhf.models import shapes
from rlhf.params.base import Params, parse
from rlhf.params.pretrain import PretrainInputs, Scratch
from rlhf.records import records
from rlhf.records.types import Document
from rlhf.runtime import failures
from rlhf.runtime.files import write_json
from rlhf.tokens import tokenizer
from rlhf.training import language_modelling
from stages import pretrain
from study import cell, params, workspace

FILE = Path("study/mup/params.yaml")
KNOWN = workspace.FOLDER / "mup_losses.json"
PARAMETRISATIONS = ("standard", "mup")
Optimiser = Literal["adamw", "muon"]
CLOCKED = 3  # updates by which the cost is told, after one that is not


class Coordinates(Params):
    updates: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)


class Sizes(Params):
    seed: int = Field(ge=0)
    shape: str
    widths: list[int] = Field(min_length=2)
    base_width: int = Field(ge=1)
    vocab_size: int = Field(ge=280)
    largest_rate: float = Field(gt=0, le=1)
    num_rates: int = Field(ge=2)
    seeds: list[int] = Field(min_length=1)
    updates: int = Field(ge=1)
    warmup_steps: int = Field(ge=0)
    batch_size: int = Field(ge=1)
    sequence_tokens: int = Field(ge=8)
    validation_tokens: int = Field(ge=8)
    muon_momentum: float = Field(ge=0, lt=1)
    coordinates: Coordinates

    @property
    def rates(self) -> list[float]:
        """The rates that are tried, the largest first."""
        return [self.largest_rate / 2**number for number in range(self.num_rates)]


class Trial(NamedTuple):
    """One training."""

    optimiser: Optimiser
    parametrisation: str
    width: int
    rate: float
    seed: int


class Texts(NamedTuple):
    """What is learned and what is measured on, in tokens, and which tokens there are."""

    training: Tensor  # [N, T]
    validation: Tensor  # [M, T]
    vocab_size: int
    pad_id: int
    eos_id: int


def plan(sizes: Sizes, optimiser: Optimiser) -> Iterator[Trial]:
    """Yield the trainings of one optimiser, the narrow ones first."""
    for width in sizes.widths:
        for parametrisation in PARAMETRISATIONS:
            for rate in sizes.rates:
                for seed in sizes.seeds:
                    yield Trial(optimiser, parametrisation, width, rate, seed)


def inputs(root: Path, sizes: Sizes, trial: Trial) -> PretrainInputs:
    """Return the params of a training: the laptop preset's but for what the study says. Raises ParamsError."""
    mup = trial.parametrisation == "mup"
    change: dict[str, Any] = {
        "shape": f"{sizes.shape}@{trial.width}",
        "vocab_size": sizes.vocab_size,
        "previous_token_heads": 0,
        "copying_steps": 0,
        "tokens": sizes.updates * sizes.batch_size * sizes.sequence_tokens,
        "batch_size": sizes.batch_size,
        "sequence_tokens": sizes.sequence_tokens,
        "validation_tokens": sizes.validation_tokens,
        "muon_momentum": sizes.muon_momentum if trial.optimiser == "muon" else None,
        "parametrisation": trial.parametrisation,
        "base_width": sizes.base_width if mup else None,
        "optimisation.learning_rate": trial.rate,
        "optimisation.warmup_steps": sizes.warmup_steps,
    }
    placed = {f"pretrain.{key}": value for key, value in change.items()}
    content = cell.content(root, params.Cell(seed=trial.seed, change=placed, targets=["pretrain"], measures=[]))
    return parse(PretrainInputs, {name: content[name] for name in PretrainInputs.model_fields}, "")


def texts(root: Path, sizes: Sizes) -> Texts:
    """Return the documents of the study's seed, which the pipeline makes where DVC's cache has none."""
    plain = params.Cell(seed=sizes.seed, change={}, targets=["collect_prompts"], measures=[])
    folder = workspace.prepare(root, "mup", cell.content(root, plain))
    workspace.reproduce(folder, plain.targets)
    learned, held_out = (
        [document["text"] for document in records.read(folder / f"data/collect_prompts/{name}.jsonl", Document)]
        for name in ("documents.train", "documents.validation")
    )
    made: Any = tokenizer.train(learned, sizes.vocab_size, shapes.named(sizes.shape).context)
    rows = language_modelling.sequences(language_modelling.token_stream(made, learned), sizes.sequence_tokens)
    measured = language_modelling.token_stream(made, held_out)[: sizes.validation_tokens]
    validation = language_modelling.sequences(measured, sizes.sequence_tokens)
    return Texts(rows, validation, len(made), made.pad_token_id, made.eos_token_id)


def untrained(chosen: PretrainInputs, found: Texts) -> tuple[Any, Scratch]:
    """Return a training's model as it begins, and its section of params."""
    section: Any = chosen.pretrain
    config = shapes.config(section.shape, found.vocab_size, found.pad_id, found.eos_id)
    return pretrain.untrained(config, section, chosen.runtime, chosen.seed), section


def loss_of(chosen: PretrainInputs, found: Texts) -> float | None:
    """Return the loss on held-out text that a training ends with, in nats a token; None where it breaks down."""
    model, section = untrained(chosen, found)
    try:
        for _ in pretrain.train(model, found.training, section, chosen.runtime, chosen.seed):
            pass
    except failures.NotFinite:
        return None
    model.eval()
    return language_modelling.mean_loss(model, found.validation, 32, chosen.runtime)


def seconds_an_update(chosen: PretrainInputs, found: Texts) -> float:
    """Return how long a training's update takes here and now."""
    model, section = untrained(chosen, found)
    updates = pretrain.train(model, found.training, section, chosen.runtime, chosen.seed)
    next(updates)
    started = time.perf_counter()
    for _ in islice(updates, CLOCKED):
        pass
    return (time.perf_counter() - started) / CLOCKED


class Known:
    """The losses that are known of these sizes and texts, kept in a file after each training."""

    def __init__(self, root: Path, sizes: Sizes, found: Texts):
        self._file, self._key = root / KNOWN, fingerprint(sizes, found)
        self._all: dict[str, dict[str, float | None]] = {}
        if self._file.exists():
            self._all = json.loads(self._file.read_text(encoding="utf-8"))
        self._own = self._all.setdefault(self._key, {})

    def __contains__(self, trial: Trial) -> bool:
        return _name(trial) in self._own

    def __getitem__(self, trial: Trial) -> float | None:
        return self._own[_name(trial)]

    def add(self, trial: Trial, loss: float | None) -> None:
        """Keep a loss."""
        self._own[_name(trial)] = loss
        write_json(self._file, self._all)


def fingerprint(sizes: Sizes, found: Texts) -> str:
    """Return a hash of what all trainings have in common; further widths, rates and seeds leave it as it is."""
    apart = {"widths", "largest_rate", "num_rates", "seeds", "coordinates"}
    digest = hashlib.sha256(json.dumps(sizes.model_dump(exclude=apart), sort_keys=True).encode())
    for rows in (found.training, found.validation):
        digest.update(rows.to(torch.int64).numpy().tobytes())
    return digest.hexdigest()[:16]


def _name(trial: Trial) -> str:
    return f"{trial.optimiser} {trial.parametrisation} width {trial.width} rate {trial.rate:.6g} seed {trial.seed}"
