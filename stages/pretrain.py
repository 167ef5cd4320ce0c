"""documents → base language model and tokenizer: trained from scratch (Radford et al. 2018), or adopted as it is."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import Tensor

from rlhf.models import folders, initialisation, loading, placement, reading, shapes, weights
from rlhf.params.base import load, place_of
from rlhf.params.pretrain import AdoptedModel, HeldOut, HubModel, LocalModel, PretrainInputs, Scratch
from rlhf.params.runtime import Runtime
from rlhf.records import records
from rlhf.records.types import CopyProbe, Document
from rlhf.runs import checkpoints, launch
from rlhf.runtime import failures, outputs, seeds
from rlhf.runtime.files import new_folder
from rlhf.tokens import chat, markers, tokenizer, turns
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
    begins_from = "none: it starts from scratch" if isinstance(section, Scratch) else section.path
    with open_stage(root, STAGE, params, inputs, begins_from) as context:
        texts = [document["text"] for document in records.read(train_file, Document)]
        model, base_tokenizer = start(params, root, texts, context.run.say)
        metrics = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
        held_out = [document["text"] for document in records.read(validation_file, Document)]
        read = [*texts, *held_out] if isinstance(section, Scratch) else held_out
        metrics |= context.typed_markers(base_tokenizer, ([text] for text in read))
        validation = validation_rows(base_tokenizer, held_out, section)
        curve = []
        if isinstance(section, Scratch):
            rows = language_modelling.sequences(
                language_modelling.token_stream(base_tokenizer, texts), section.sequence_tokens
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


def start(
    params: PretrainInputs, root: Path, texts: list[str], say: Callable[[str], None]
) -> tuple["PreTrainedModel", Any]:
    """Return an untrained model of the named shape with a tokenizer made from `texts`, or the adopted pair."""
    if not isinstance(params.pretrain, Scratch):
        return adopt(params.pretrain, root, params.runtime, say)
    shape = shapes.SHAPES[params.pretrain.shape]
    made: Any = tokenizer.train(texts, params.pretrain.vocab_size, shape.context)
    config = shapes.config(params.pretrain.shape, len(made), made.pad_token_id, made.eos_token_id)
    loading.set_dropout(config, 0.0)
    torch.manual_seed(seeds.derive(params.seed, STAGE, "weights"))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=params.runtime.attention)
    if params.pretrain.previous_token_heads:
        initialisation.add_previous_token_heads(model, params.pretrain.previous_token_heads)
    return placement.placed(model, params.runtime), made


def adopt(
    params: AdoptedModel, root: Path, runtime: Runtime, say: Callable[[str], None]
) -> tuple["PreTrainedModel", Any]:
    """Return the model and tokenizer of a local folder or hub id, with a PAD token of its own and a chat template.

    What it brings and is not taken is said. Raises ValueError for weights that are not safetensors (pickles run code),
    or not the model that its config names, and for a tokenizer without EOS or with more tokens than the model.
    """
    place = place_of(params.path, root)
    path = str(place) if isinstance(params, LocalModel) or place.is_dir() else params.path
    revision = params.revision if isinstance(params, HubModel) else None
    adopted = loading.read_tokenizer(path, revision)
    config = loading.read_config(path, revision)
    model, other_heads = loading.read_model(transformers.AutoModelForCausalLM, path, runtime, config, revision)
    with reading.folder(path):
        weights.check_vocabulary(model, adopted)
    for line in folders.ignored(path, revision):
        say(line)
    if other_heads:
        say(f"{path}: {len(other_heads)} weights of other heads are left out: {', '.join(sorted(other_heads)[:6])}")
    if adopted.eos_token_id is None:
        raise ValueError(f"{path}: the tokenizer has no EOS token; set eos_token in its tokenizer_config.json")
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.num_embeddings
    if adopted.pad_token_id is None or adopted.pad_token_id == adopted.eos_token_id:
        adopted.add_special_tokens({"pad_token": chat.PAD})
    if adopted.chat_template is None:
        adopted.add_special_tokens({"additional_special_tokens": [chat.SYSTEM, chat.USER, chat.ASSISTANT]})
        begun = adopted.bos_token if markers.bos_ids(adopted) else ""
        adopted.chat_template = chat.adopted_template(adopted.eos_token, begun)
    with reading.folder(path):
        for line in turns.settle(adopted, params.template_date, params.system_turns):
            say(line)
        chat.check(adopted)
    if len(adopted) > rows:
        torch.manual_seed(0)
        model.resize_token_embeddings(len(adopted))
    model.config.pad_token_id = adopted.pad_token_id
    model.generation_config.pad_token_id = adopted.pad_token_id
    model.generation_config.eos_token_id = [*turns.end_ids(adopted, model.generation_config)]
    return loading.proved(placement.placed(model, runtime).eval(), path), adopted


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
