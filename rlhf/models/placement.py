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
