"""Adopting a model: what a folder, the hub or a GGUF file holds becomes the base, tried before it is used."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers

from rlhf.models import folders, loading, placement, reading, weights
from rlhf.models.gguf import model as gguf_model
from rlhf.models.gguf import places
from rlhf.params.base import place_of, text_of
from rlhf.params.pretrain import AdoptedModel, GgufModel, HubModel, LocalModel, PackageModel, installed
from rlhf.params.runtime import Runtime
from rlhf.tokens import chat, markers, turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Brought(NamedTuple):
    """A model and its tokenizer as they were brought."""

    path: str  # where from, in messages
    model: Any
    tokenizer: Any
    named: AbstractContextManager[None]  # names it in what is said of what cannot be read


def adopt(
    params: AdoptedModel, root: Path, runtime: Runtime, say: Callable[[str], None]
) -> tuple["PreTrainedModel", Any]:
    """Return the model and tokenizer of a folder, hub id, GGUF file or package, with a PAD token of its own and a chat
    template.

    What it brings and is not taken is said. Raises ValueError for weights that are not safetensors (pickles run code)
    or GGUF, or not the model that its config names, and for a tokenizer without EOS or with more tokens than the model.
    """
    packed = isinstance(params, GgufModel | PackageModel)
    path, model, adopted, named = (_from_gguf if packed else _from_folder)(params, root, runtime, say)
    if adopted.eos_token_id is None:
        raise ValueError(f"{path}: the tokenizer has no EOS token; set eos_token in its tokenizer_config.json")
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.num_embeddings
    if adopted.pad_token_id is None or adopted.pad_token_id == adopted.eos_token_id:
        adopted.add_special_tokens({"pad_token": chat.PAD})
    if params.chat_template is not None:
        adopted.chat_template = text_of(params.chat_template, root)
        say(f"{path}: the chat template is that of {params.chat_template} (pretrain.chat_template)")
    if adopted.chat_template is None:
        adopted.add_special_tokens({"additional_special_tokens": [chat.SYSTEM, chat.USER, chat.ASSISTANT]})
        begun = adopted.bos_token if markers.bos_ids(adopted) else ""
        adopted.chat_template = chat.adopted_template(adopted.eos_token, begun)
    with named:
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


def _from_folder(params: Any, root: Path, runtime: Runtime, say: Callable[[str], None]) -> Brought:
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
    return Brought(path, model, adopted, reading.folder(path))


def _from_gguf(params: Any, root: Path, runtime: Runtime, say: Callable[[str], None]) -> Brought:
    file = places.file_of(params, root)
    if isinstance(params, PackageModel):
        places.check_bytes(installed(params))
    model, adopted = gguf_model.read(file, runtime, say)
    return Brought(str(file), model, adopted, reading.gguf(file))
