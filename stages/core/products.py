"""The dtype of matrix products: float32, or bfloat16 under autocast; weights, sums and gradients stay float32."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def dtype(states: Tensor) -> torch.dtype:
    """Return what autocast, where it is on, computes products of `states` in; else their own dtype."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def as_written() -> AbstractContextManager:
    """Return a context on a CPU in which products are computed in the dtypes of their factors."""
    return torch.autocast("cpu", enabled=False)
