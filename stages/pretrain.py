"""documents → base language model and tokenizer: trained from scratch (Radford et al. 2018), or adopted as it is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import Tensor

from rlhf.models import adoption, initialisation, loading, placement, shapes
from rlhf.models.gguf import places
from rlhf.models.mup import scaling
from rlhf.models.sharded import putting
from rlhf.params.base import load
from rlhf.params.pretrain import GgufModel, HeldOut, PackageModel, PretrainInputs, Scratch
from rlhf.params.runtime import Runtime
from rlhf.records import records
from rlhf.records.types import CopyProbe, Document
from rlhf.runs import checkpoints, launch
from rlhf.runtime import failures, outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.tokens import markers, tokenizer
from rlhf.training import language_modelling, muon, optimisation
from rlhf.training.context import open_stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STAGE = "pretrain"


def main(root: Path = Path(".")) -> None:
    params = load(root, PretrainInputs)
    section = params.pretrain
    source = root / "data/collect_prompts"
    train_file, validation_file = source / "documents.train.jsonl", source / "documents.validation.jsonl"
    inputs = {"training": [train_file], "validation": [validation_file, source / "copy_probes.jsonl"]}
    begins_from = "none: it starts from scratch" if isinstance(section, Scratch) else section.model
    if isinstance(section, GgufModel | PackageModel):
        inputs["base"] = [places.file_of(section, root)]
    with open_stage(root, STAGE, params, inputs, begins_from) as context:
        documents = records.Stored(train_file, Document)
        model, base_tokenizer = start(params, root, texts_of(documents), context.run.say)
        context.rates_of(model)
        metrics = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
        held_out = [*texts_of(records.read(validation_file, Document))]
        read = chain(texts_of(documents), held_out) if isinstance(section, Scratch) else held_out
        metrics |= context.typed_markers(base_tokenizer, ([text] for text in read))
        validation = validation_rows(base_tokenizer, held_out, section)
        curve = []
        if isinstance(section, Scratch):
            rows = language_modelling.sequences(
                language_modelling.token_stream(base_tokenizer, texts_of(documents)), section.sequence_tokens
            )
            num_steps = count_steps(section)
            points = train(model, rows, section, params.runtime, params.seed, context.states)
            curve = list(context.followed(points, num_steps, ["loss"]))
            text_steps = num_steps - section.copying_steps
            metrics |= {"tokens": text_steps * section.batch_size * section.sequence_tokens}
        if validation is not None:
            model.eval()
            loss = language_modelling.mean_loss(model, validation, 32, params.runtime)
            metrics |= {"validation_loss": loss}
        metrics |= copying(model, base_tokenizer, records.read(source / "copy_probes.jsonl", CopyProbe), params.runtime)
        with new_folder(context.out) as folder:
            loading.save(model, base_tokenizer, folder)
        outputs.write_curve(
            root, STAGE, outputs.thinned(curve) or [{"step": 0, "loss": metrics.get("validation_loss", 0.0)}]
        )
        context.conclude(metrics)


def texts_of(documents: Iterable[Document]) -> Iterator[str]:
    """Yield the documents' texts."""
    return (document["text"] for document in documents)


def start(
    params: PretrainInputs, root: Path, texts: Iterable[str], say: Callable[[str], None]
) -> tuple["PreTrainedModel", Any]:
    """Return an untrained model of the named shape with a tokenizer made from `texts`, or the adopted pair."""
    if not isinstance(params.pretrain, Scratch):
        return adoption.adopt(params.pretrain, root, params.runtime, say)
    shape = shapes.named(params.pretrain.shape)
    made: Any = tokenizer.train(texts, params.pretrain.vocab_size, shape.context)
    config = shapes.config(params.pretrain.shape, len(made), made.pad_token_id, made.eos_token_id)
    return untrained(config, params.pretrain, params.runtime, params.seed), made


def untrained(config: Any, params: Scratch, runtime: Runtime, seed: int) -> "PreTrainedModel":
    """Return a model as training finds it; the seed decides its weights."""
    loading.set_dropout(config, 0.0)
    torch.manual_seed(seeds.derive(seed, STAGE, "weights"))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=runtime.attention)
    if params.base_width is not None:
        scaling.begin(model, params.base_width)
    if params.previous_token_heads:
        initialisation.add_previous_token_heads(model, params.previous_token_heads)
    return placement.placed(model, runtime)


def count_steps(params: Scratch) -> int:
    """Return the number of updates: those on repetition, then the tokens asked for, rounded up to whole batches."""
    return params.copying_steps + -(-params.tokens // (params.batch_size * params.sequence_tokens))


def train(
    model: "PreTrainedModel",
    rows: Tensor,
    params: Scratch,
    runtime: Runtime,
    seed: int,
    states: checkpoints.States = checkpoints.NONE,
) -> Iterator[dict]:
    """Train in place on rows [N, T]; yield step, loss (nats per token), learning rate and gradient norm."""
    model.train()
    putting.put(model, runtime)
    if params.muon_momentum is None:
        optimiser = optimisation.adamw(model, params.optimisation)
    else:
        optimiser = muon.Muon(model, params.optimisation, params.muon_momentum)
    batches = training_batches(rows, params, model.config.vocab_size, seed)
    num_steps = count_steps(params)
    parts = {"weights": model, "optimiser": optimiser}
    states.restore(parts)
    yield from states.points
    for step, batch in islice(enumerate(batches), len(states.points), num_steps):
        rate = optimisation.set_learning_rate(optimiser, params.optimisation, step, num_steps)
        losses = language_modelling.micro_batch_losses(model, batch, params.batch_size, runtime)
        with failures.at_step(step + 1, []):  # rows run across documents, which have no ids
            update = optimisation.step(model, optimiser, losses, params.optimisation.max_grad_norm)
        point = {"step": step + 1, "loss": update.loss, "learning_rate": rate, "grad_norm": update.grad_norm}
        states.keep(point, parts, last=step + 1 == num_steps)
        yield point


def training_batches(rows: Tensor, params: Scratch, vocab_size: int, seed: int) -> Iterator[Tensor]:
    """Yield batches [B, T]: first `copying_steps` of random repetition, then documents for ever."""
    generator = torch.Generator().manual_seed(seeds.derive(seed, STAGE, "copying"))
    for _ in range(params.copying_steps):
        yield initialisation.repeated_rows(params.batch_size, rows.shape[1], vocab_size, generator)
    yield from language_modelling.row_batches(rows, params.batch_size, seeds.derive(seed, STAGE, "order"))


def validation_rows(base_tokenizer: Any, texts: list[str], params: HeldOut) -> Tensor | None:
    """Return held-out documents as rows [N, T] up to `validation_tokens`, or None where they do not fill one row."""
    if not texts:
        return None
    stream = language_modelling.token_stream(base_tokenizer, texts)[: params.validation_tokens]
    return (
        language_modelling.sequences(stream, params.sequence_tokens) if len(stream) >= params.sequence_tokens else None
    )


@torch.no_grad()
def copying(
    model: "PreTrainedModel", base_tokenizer: Any, probes: Sequence[CopyProbe], runtime: Runtime
) -> dict[str, dict[str, float]]:
    """Return how often the likeliest next token begins the word that the text before demands, by type of probe.

    A base model that cannot copy a name from its prompt cannot be taught to by PPO; look here before anything else.
    """
    hits: dict[str, list[bool]] = {}
    for probe in probes:
        ids = markers.text_ids(base_tokenizer, f" {probe['text'].strip()}")
        expected = markers.text_ids(base_tokenizer, f" {probe['expected']}")[0]
        logits = model(input_ids=torch.tensor([ids], device=runtime.device), use_cache=False, logits_to_keep=1).logits
        hits.setdefault(probe["type"], []).append(logits[0, -1].argmax().item() == expected)
    return {"copying": {name: sum(found) / len(found) for name, found in sorted(hits.items())}} if hits else {}


if __name__ == "__main__":
    launch.run(STAGE, main)
