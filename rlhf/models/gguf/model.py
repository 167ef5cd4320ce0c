"""A GGUF file as a plain model: unpacked to float32, every weight in its place, so that it trains and saves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
import transformers

from rlhf.models import folders, loading, reading, weights
from rlhf.models.gguf import header, splitting
from rlhf.params.runtime import Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "model.gguf"


def read(file: Path, runtime: Runtime, say: Callable[[str], None]) -> tuple["PreTrainedModel", Any]:
    """Return the model and tokenizer of a file; what it is, and what of it is settled, is said.

    Raises ValueError, naming the file, for one that is torn, or not the whole model that it says it is.
    """
    with reading.gguf(file):
        found = header.read(file)
        say(f"{file}: {found.words()}; read as float32")
        with _alone(file) as folder:
            with reading.files("what it says of its model"):
                config = transformers.AutoConfig.from_pretrained(folder, gguf_file=NAME, trust_remote_code=False)
            config = folders.without_switches(config)
            tokenizer = _tokenizer(folder, found)
            loading.refuse_larger(transformers.AutoModelForCausalLM, config, runtime.attention, found.num_weights)
            model = _unpacked(folder, config, runtime)
        _refuse_others(model, found)
        weights.check_vocabulary(model, tokenizer)
        for line in splitting.settle(tokenizer, found.told):
            say(f"{file}: {line}")
    return model, tokenizer


@contextmanager
def _alone(file: Path) -> Iterator[str]:
    """Yield a folder that holds the file alone: transformers would read what else lies beside it."""
    with TemporaryDirectory() as folder:
        (Path(folder) / NAME).symlink_to(file.resolve())
        yield folder


def _tokenizer(folder: str, found: header.Header) -> Any:
    if not isinstance(found.told.get("tokenizer.ggml.eos_token_id"), int):
        raise ValueError("tokenizer.ggml.eos_token_id: missing; without it no answer ends. Convert the model again")
    with reading.files("what it says of its tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=NAME, trust_remote_code=False)
    for key in ("name_or_path", "vocab_file"):  # a folder that is gone
        tokenizer.init_kwargs.pop(key, None)
    loading.forget_offline(tokenizer)
    return tokenizer


def _unpacked(folder: str, config: Any, runtime: Runtime) -> "PreTrainedModel":
    """Return the model in float32. Raises ValueError for missing weights, ones without a place, and broken ones."""
    kind: Any = transformers.AutoModelForCausalLM
    with reading.files("its weights"):
        model, report = kind.from_pretrained(
            folder,
            gguf_file=NAME,
            config=config,
            dtype=torch.float32,
            quantization_config=transformers.GgufConfig(dequantize=True),  # else it is not saved, nor trained
            attn_implementation=runtime.attention,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # they are named and refused here
            output_loading_info=True,
        )
    weights.refuse(report["missing_keys"], "weights are missing that it says its model has")
    weights.refuse((name for name, *_ in report["mismatched_keys"]), "weights have another shape than it says")
    weights.refuse(report["unexpected_keys"], "there are weights that its model does not have")
    broken = (name for name, weight in model.state_dict().items() if not bool(weight.isfinite().all()))
    weights.refuse(broken, "weights are not finite (NaN or infinity)")
    return model


def _refuse_others(model: "PreTrainedModel", found: header.Header) -> None:
    """Raise ValueError where the file holds more numbers than the model has: transformers leaves out what it does not
    know, such as `rope_freqs.weight`, without which a model reads long texts otherwise than it was trained.
    """
    num_weights = sum(parameter.numel() for parameter in model.parameters())
    if num_weights != found.num_weights:
        others = sorted(name for name in found.tensors if not name.startswith(("blk.", "token_embd.", "output")))
        named = f" (perhaps {', '.join(others[:6])})" if others else ""
        raise ValueError(
            f"it holds {found.num_weights:,} weights, and transformers' {type(model).__name__} of it has "
            f"{num_weights:,}: some of them have no place there{named}; adopt the model's safetensors folder"
        )
