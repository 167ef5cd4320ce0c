"""Where and how tensors are computed: device, precision, threads, seeds."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils import logging

from rlhf.engine import allocator, norms
from rlhf.params.runtime import Runtime
from rlhf.runtime import distributed, parallel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prepare(runtime: Runtime, seed: int) -> None:
    """Join the other processes; set threads, workers, seeds and determinism; call it once, before any tensor is made.

    Raises ValueError when the params ask for a GPU that is not there.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("params.yaml: runtime.device is 'cuda' but torch sees no GPU; set it to 'cpu'")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")  # of about 2 MB each; see products.num_rows
    allocator.keep_freed_memory()
    distributed.join(runtime.device)
    parallel.set_workers(runtime.workers)
    torch.set_num_threads(runtime.threads // runtime.workers)
    torch.use_deterministic_algorithms(True, warn_only=runtime.device == "cuda")  # CUDA has no deterministic cumsum
    settings: Any = torch.utils.deterministic  # the module's class is put in its place at run time
    settings.fill_uninitialized_memory = False  # costs time; no kernel here reads such memory
    torch.manual_seed(seed)
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def precision(runtime: Runtime) -> AbstractContextManager[Any]:
    """Return the context of forward passes: autocast to bfloat16, or none for float32."""
    if runtime.dtype == "bfloat16":
        return torch.autocast(runtime.device, dtype=torch.bfloat16)
    return nullcontext()


def placed(model: "PreTrainedModel", runtime: Runtime) -> "PreTrainedModel":
    """Return the model on the device; on a CPU, in float32, with the faster RMSNorm."""
    if (runtime.device, runtime.dtype) == ("cpu", "float32"):
        norms.replace(model)
    moved: Any = model  # transformers' wrapper of `to` hides its arguments
    return moved.to(runtime.device)


def recompute(model: "PreTrainedModel", runtime: Runtime) -> None:
    """Let a model that learns compute its layers' activations again for the gradient, where the params ask for it.

    The gradient stays the same: nothing is drawn at random in a layer that drops nothing. Raises ValueError for a model
    that transformers cannot do so with.
    """
    if runtime.gradient_checkpointing:
        try:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        except ValueError as error:
            raise ValueError(f"params.yaml: runtime.gradient_checkpointing: {error}; set it to null") from None


def lowered(model: "PreTrainedModel", runtime: Runtime) -> "PreTrainedModel":
    """Return a model that is only read, its matrices in the dtype of the params (Runtime.frozen_dtype).

    Vectors (norms, biases) stay float32, as the products' other factor does in autocast: no product changes by it, and
    what is looked up (embeddings) is rounded.
    """
    if runtime.frozen_dtype == "bfloat16":
        model.requires_grad_(False)
        output = model.get_output_embeddings()
        heads = [] if output is None else [*output.parameters()]  # of words; a scalar's stays float32
        low = {id(weight) for weight in (*model.base_model.parameters(), *heads) if weight.ndim >= 2}
        for weight in model.parameters():  # a copy of each: one that were left would keep the whole file in memory
            dtype = torch.bfloat16 if id(weight) in low else weight.dtype
            weight.data = weight.data.to(dtype, copy=True)
        allocator.hand_back()
    return model
