"""Reading and writing model folders as `from_pretrained` knows them: safetensors, config, tokenizer, chat template.

Policies are causal LMs, reward and value models one-label classifiers. What cannot be read is named.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers

from rlhf.engine import allocator
from rlhf.lora import attaching
from rlhf.lora import folders as adapter_folders
from rlhf.models import classifiers, folder_files, folders, proof, reading, weights
from rlhf.models.placement import placed
from rlhf.models.sharded import saving
from rlhf.params.optimisation import Lora
from rlhf.params.runtime import Runtime
from rlhf.runtime import distributed
from rlhf.secrets import guard
from rlhf.sharding import shards

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_SAID: set[str] = set()  # of this process: a stage reads a folder several times
SPARE = 100_000_000  # weights that a model may lack in a folder, such as its head, and are named one by one


def read_tokenizer(path: Path | str, revision: str | None = None) -> Any:
    """Return the tokenizer of a folder or hub id, whatever markers it has or lacks; code of its own is never run."""
    at = {} if revision is None else {"revision": revision}
    with reading.folder(path, revision):
        folder_files.check(path, (folder_files.CONFIG, *folder_files.OF_TOKENIZER), revision)
        whole = "model_type" in folders.told(path, revision)  # else a tokenizer alone
    config = read_config(path, revision) if whole else None  # the tokenizer's class would read one for itself
    with reading.folder(path, revision), reading.files("tokenizer.json, tokenizer_config.json or what belongs to them"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, config=config, trust_remote_code=False, **at)
    tokenizer.init_kwargs.pop("auto_map", None)  # names of that code, which would pass on into saved folders
    forget_offline(tokenizer)
    return tokenizer


def forget_offline(tokenizer: Any) -> None:
    """Take out of what a tokenizer saves that HF_HUB_OFFLINE was set when it was read."""
    if "local_files_only" in tokenizer.init_kwargs:
        tokenizer.init_kwargs["local_files_only"] = False


def load_tokenizer(path: Path | str) -> Any:
    """Return the tokenizer of a model folder. Raises ValueError where PAD is missing or the same as EOS."""
    tokenizer = read_tokenizer(path)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{path}: the tokenizer has no EOS token; set eos_token in its tokenizer_config.json")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise ValueError(f"{path}: the tokenizer needs a PAD token that is not EOS, or answers never learn to end")
    return tokenizer


class Read(NamedTuple):
    """A model as it was read, and the names of a folder's weights that are another head's."""

    model: Any
    other_heads: list[str]


def read_config(path: Path | str, revision: str | None = None, **more: Any) -> Any:
    """Return the config of a folder or hub id, whole and without its switches: see `rlhf.models.folders`."""
    with reading.folder(path, revision):
        folder_files.check(path, folder_files.OF_MODEL, revision)
        folders.refuse(path, revision)
        with reading.files(folder_files.CONFIG):
            config = folders.backbone_config(path, revision, output_attentions=False, **more)
            if config is None:
                config = transformers.AutoConfig.from_pretrained(
                    path, revision=revision, trust_remote_code=False, output_attentions=False, **more
                )
            return folders.without_switches(config)


def read_model(
    kind: Any, path: Path | str, runtime: Runtime, config: Any, revision: str | None = None, new_head: bool = False
) -> Read:
    """Return the model of a folder or hub id by one of transformers' Auto classes: float32, no pickles, no code.

    Raises ValueError for what is not the whole model that its config names; `new_head`: its head alone may be missing
    (see `rlhf.models.weights`).
    """
    with reading.folder(path, revision):
        folders.refuse_adapter(path, revision)
        refuse_larger(kind, config, runtime.attention, folder_files.held(path, revision))
        with reading.files("config.json or model.safetensors"):
            model, found = kind.from_pretrained(
                path,
                config=config,
                revision=revision,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation=runtime.attention,
                ignore_mismatched_sizes=True,  # they are named and refused by `weights.check`
                output_loading_info=True,
            )
        if model.can_generate():
            with reading.files(f"{folder_files.GENERATION} (mend it, or remove it)"):
                model.generation_config.validate(strict=True)  # it is saved with the model, and would end that
        return Read(model, weights.check(model, found, new_head))


def refuse_larger(kind: Any, config: Any, attention: str, held: int | None) -> None:
    """Raise ValueError for a config of a much larger model than its weights are: it would be drawn, and then refused.

    `held`: how many numbers the weights' files hold; None: not known.
    """
    if held is None:
        return
    with reading.files(folder_files.CONFIG), torch.device("meta"):
        model = kind.from_config(copy.deepcopy(config), trust_remote_code=False, attn_implementation=attention)
        wanted = sum(weight.numel() for weight in model.parameters())
    if wanted > 2 * held + SPARE:
        raise ValueError(f"config.json: it names a model of {wanted:,} weights, and its files hold {held:,}")


def load_causal(
    path: Path | str,
    runtime: Runtime,
    dropout: float = 0.0,
    longest: int | None = None,
    kinds: Sequence[str] | None = None,
) -> "PreTrainedModel":
    """Return a causal LM in float32 in eval mode on the device; `dropout` replaces the folder's residual dropout.

    longest: tokens of the longest sequence that it will read, up to which `proof` tries what is exact for it; kinds:
    those of rows that it will read (None: the usual ones).
    """
    return proved(read_causal(path, runtime, dropout), path, longest, kinds)


def read_causal(path: Path | str, runtime: Runtime, dropout: float = 0.0) -> "PreTrainedModel":
    """Return the same, not tried yet: to be changed and saved."""
    config = read_config(path)
    set_dropout(config, dropout)
    return placed(_read(transformers.AutoModelForCausalLM, path, runtime, config), runtime).eval()


def _read(
    kind: Any, path: Path | str, runtime: Runtime, config: Any, revision: str | None = None, new_head: bool = False
) -> "PreTrainedModel":
    """Return the model of a folder; where it is an adapter of the pipeline, its base's with the adapter merged in."""
    base = adapter_folders.base_of(path)
    if base is None:
        return read_model(kind, path, runtime, config, revision, new_head).model
    if hasattr(config, adapter_folders.KEY):
        delattr(config, adapter_folders.KEY)  # it is of the folder, not of the model
    model = _read(kind, base, runtime, config, None, kind is not transformers.AutoModelForCausalLM)
    with reading.folder(path):
        adapter_folders.put_on(model, Path(path), new_head)
    attaching.merge(model)
    return model


def proved(
    model: "PreTrainedModel", path: Path | str, longest: int | None = None, kinds: Sequence[str] | None = None
) -> "PreTrainedModel":
    """Return a model whose exact ways of computing are known; say which usual ones are not used, and why.

    Raises ValueError for a model of which none is exact.
    """
    with reading.folder(path):
        found = proof.prove(model, longest, kinds)
    for line in (f"{path}: {line}" for line in found.lines()):
        if line not in _SAID:
            guard.say(line)
            _SAID.add(line)
    allocator.hand_back()
    return model


def load_policy(path: Path | str, runtime: Runtime, longest: int | None = None) -> tuple["PreTrainedModel", Any]:
    """Return (model, tokenizer) of a policy's folder, dropout off; `longest` as in load_causal."""
    return load_causal(path, runtime, longest=longest), load_tokenizer(path)


def load_classifier(
    path: Path | str,
    runtime: Runtime,
    revision: str | None = None,
    new_head: bool = False,
    longest: int | None = None,
) -> "PreTrainedModel":
    """Return a one-label sequence classifier (reward or value model), dropout off, in eval mode on the device.

    `new_head`: the folder may hold another model on the same backbone, and the head is drawn anew. `longest` as in
    load_causal.
    """
    config = read_config(path, revision, num_labels=1)
    set_dropout(config, 0.0)
    with reading.folder(path, revision):
        kinds = classifiers.kinds_of(config)
    model = _read(kinds[0], path, runtime, config, revision, new_head)
    if classifiers.is_encoder(model) and len(kinds) > 1 and classifiers.reads_forward(model):
        model = _read(kinds[1], path, runtime, config, revision, new_head)
    model = placed(model, runtime).eval()
    return model if classifiers.is_encoder(model) else proved(model, path, longest)


def attach(model: "PreTrainedModel", lora: Lora, seed: int, longest: int, say: Callable[[str], None]) -> None:
    """Put adapters on a model, see `attaching.attach`, and say what has one and what has none."""
    found = attaching.attach(model, lora, torch.Generator().manual_seed(seed))
    for line in found.lines():
        say(line)
    if lora.dropout and (model.can_generate() or not classifiers.is_encoder(model)):
        proved(model, type(model).__name__, longest)  # now it drops something, which our own forward pass does not


def set_dropout(config: Any, dropout: float) -> None:
    """Set every dropout rate that the architecture's configuration knows, in place of the folder's."""
    for name in list(vars(config)):
        if name.endswith(("_pdrop", "_dropout", "_dropout_prob")) or name == "dropout":
            setattr(config, name, dropout)


def save(
    model: "PreTrainedModel", tokenizer: Any, folder: Path, lora: Lora | None = None, base: Path | None = None
) -> None:
    """Write model and tokenizer into `folder` as `from_pretrained` reads them; of several processes the first does.

    A model with adapters is written as `lora.save` says: alone, beside the folder `base` that it stands on, or whole,
    and then its adapters are merged for good; in shards, it keeps them. All processes call it.
    """
    in_shards, alone = shards.is_sharded(model), lora is not None and lora.save == "adapter"
    if attaching.is_attached(model) and lora is not None and not alone and not in_shards:
        attaching.merge(model)
    try:
        if attaching.is_attached(model) and (alone or not in_shards):
            assert lora is not None and base is not None
            adapter_folders.write(model, lora, base, folder)
        elif in_shards:
            saving.save(model, folder)
        elif distributed.is_first():
            model.save_pretrained(folder)
        if distributed.is_first():
            tokenizer.save_pretrained(folder)
    except Exception as error:
        # safetensors has an error of its own for a full disk, tokenizers none but Exception; both keep Rust's words
        if "os error" not in str(error):
            raise
        raise OSError(f"{folder}: the model could not be written: {error}") from error
