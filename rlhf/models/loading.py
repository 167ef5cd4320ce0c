"""Reading and writing model folders as `from_pretrained` knows them: safetensors, config, tokenizer, chat template.

Policies are causal LMs, reward and value models one-label classifiers. What cannot be read is named.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from safetensors import SafetensorError

from rlhf.models.placement import placed
from rlhf.params.runtime import Runtime
from rlhf.runtime import distributed

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Name the folder (or hub id) in whatever the libraries say of a model or tokenizer that they cannot read."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, SafetensorError) as error:
        if "can't allocate memory" in str(error):
            raise
        words = " ".join(str(error).split())[:500] or type(error).__name__
        raise ValueError(
            f"{path}: this model cannot be read: {words}. Expected a folder (or hub id) with config.json, weights as "
            "model.safetensors of the shapes that it names, and tokenizer.json"
        ) from error


def read_tokenizer(path: Path | str, revision: str | None = None) -> Any:
    """Return the tokenizer of a folder or hub id, whatever markers it has or lacks."""
    with reading(path):
        return transformers.AutoTokenizer.from_pretrained(path, **({} if revision is None else {"revision": revision}))


def load_tokenizer(path: Path | str) -> Any:
    """Return the tokenizer of a model folder. Raises ValueError where PAD is missing or the same as EOS."""
    tokenizer = read_tokenizer(path)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{path}: the tokenizer has no EOS token; set eos_token in its tokenizer_config.json")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise ValueError(f"{path}: the tokenizer needs a PAD token that is not EOS, or answers never learn to end")
    return tokenizer


def read_weights(kind: Any, path: Path | str, runtime: Runtime, revision: str | None = None, config: Any = None) -> Any:
    """Return the model of a folder or hub id by one of transformers' Auto classes: float32, and no pickles (code)."""
    return kind.from_pretrained(
        path,
        config=config,
        revision=revision,
        dtype=torch.float32,
        use_safetensors=True,
        attn_implementation=runtime.attention,
    )


def load_causal(path: Path | str, runtime: Runtime, dropout: float = 0.0) -> "PreTrainedModel":
    """Return a causal LM in float32 in eval mode on the device; `dropout` replaces the folder's residual dropout."""
    with reading(path):
        config = transformers.AutoConfig.from_pretrained(path)
        set_dropout(config, dropout)
        model = read_weights(transformers.AutoModelForCausalLM, path, runtime, config=config)
    return placed(model, runtime).eval()


def load_policy(path: Path | str, runtime: Runtime) -> tuple["PreTrainedModel", Any]:
    """Return (model, tokenizer) of a policy's folder, dropout off."""
    return load_causal(path, runtime), load_tokenizer(path)


def load_classifier(path: Path | str, runtime: Runtime, revision: str | None = None) -> "PreTrainedModel":
    """Return a one-label sequence classifier (reward or value model), dropout off, in eval mode on the device."""
    with reading(path):
        config = transformers.AutoConfig.from_pretrained(path, num_labels=1, revision=revision)
        set_dropout(config, 0.0)
        model = read_weights(transformers.AutoModelForSequenceClassification, path, runtime, revision, config)
    return placed(model, runtime).eval()


def set_dropout(config: Any, dropout: float) -> None:
    """Set every dropout rate that the architecture's configuration knows, in place of the folder's."""
    for name in list(vars(config)):
        if name.endswith(("_pdrop", "_dropout", "_dropout_prob")) or name == "dropout":
            setattr(config, name, dropout)


def save(model: "PreTrainedModel", tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer into `folder` as `from_pretrained` reads them; of several processes the first does."""
    if not distributed.is_first():
        return
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as error:
        # safetensors has an error of its own for a full disk, tokenizers none but Exception; both keep Rust's words
        if "os error" not in str(error):
            raise
        raise OSError(f"{folder}: the model could not be written: {error}") from error
