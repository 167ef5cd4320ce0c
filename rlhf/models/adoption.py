"""Adopting a model: what a folder or the hub holds becomes the base, tried before it is used."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from rlhf.models import folders, loading, placement, reading, weights
from rlhf.params.base import place_of
from rlhf.params.pretrain import AdoptedModel, HubModel, LocalModel
from rlhf.params.runtime import Runtime
from rlhf.tokens import chat, markers, turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
